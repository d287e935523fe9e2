//! Growth of the number of requests in the system.
//!
//! Windows follow one another from the one of the first event. One sample per window: the requests in the system at
//! its end; the last sample is what there is now. slope = least squares of the samples against their index, 0 with
//! fewer than two; floor = 1 / sqrt(A) with A arrivals. slope <= floor is stable, slope <= 3 floor backlogged, else
//! overloaded. score = min(1, max(0, slope) / (3 floor)); confidence = min(1, A / 20).
//!
//! With samples y_0 … y_(n-1), slope = (12 sum(i y_i) - 6 (n - 1) sum(y_i)) / (n (n^2 - 1)), so two sums are kept.

use super::{Detector, EventKind, Level, Verdict, confidence, noise_floor};
use blis_kernel::Tick;

/// Noise floors above which a slope is overload.
const OVERLOADED_FLOORS: f64 = 3.0;

#[derive(Debug)]
pub(super) struct BacklogDrift {
    window: Tick,
    /// The window that is going on.
    current: Option<i64>,
    /// Windows that have ended.
    ended: i128,
    /// Sum of their samples.
    sum: i128,
    /// Sum of their samples times their index.
    weighted_sum: i128,
    arrivals: u64,
    completions: u64,
    departures: u64,
}

impl BacklogDrift {
    pub(super) fn new(window: Tick) -> Self {
        Self {
            window,
            current: None,
            ended: 0,
            sum: 0,
            weighted_sum: 0,
            arrivals: 0,
            completions: 0,
            departures: 0,
        }
    }

    fn in_flight(&self) -> i128 {
        i128::from(self.arrivals) - i128::from(self.completions) - i128::from(self.departures)
    }

    /// Ends every window before the one of `at`. In windows without events the number stayed as it was.
    fn advance(&mut self, at: Tick) {
        let window = at.as_us() / self.window.as_us();
        let passed = i128::from((window - *self.current.get_or_insert(window)).max(0));
        if passed > 0 {
            let in_flight = self.in_flight();
            self.sum += passed * in_flight;
            self.weighted_sum += in_flight * (passed * self.ended + passed * (passed - 1) / 2);
            self.ended += passed;
            self.current = Some(window);
        }
    }

    fn slope(&self) -> f64 {
        let (n, last) = (self.ended + 1, self.in_flight());
        if n < 2 {
            return 0.0;
        }
        let (sum, weighted) = (self.sum + last, self.weighted_sum + self.ended * last);
        (12 * weighted - 6 * (n - 1) * sum) as f64 / (n as f64 * (n * n - 1) as f64)
    }
}

impl Detector for BacklogDrift {
    fn observe(&mut self, at: Tick, event: EventKind) -> Verdict {
        self.advance(at);
        match event {
            EventKind::Arrival => self.arrivals += 1,
            EventKind::Completion { .. } => self.completions += 1,
            EventKind::Departure => self.departures += 1,
        }
        let slope = self.slope();
        let floor = noise_floor(self.arrivals);
        let level = if slope <= floor {
            Level::Stable
        } else if slope <= OVERLOADED_FLOORS * floor {
            Level::Backlogged
        } else {
            Level::Overloaded
        };
        Verdict {
            level,
            score: (slope.max(0.0) / (OVERLOADED_FLOORS * floor)).min(1.0),
            confidence: confidence(self.arrivals),
            signals: vec![
                ("arrivals", self.arrivals as f64),
                ("completions", self.completions as f64),
                ("in_flight", self.in_flight() as f64),
                ("noise_floor", floor),
                ("running_slope", slope),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DetectorKind;
    use super::super::tests::verdicts;
    use super::*;

    fn slope(verdict: &Verdict) -> f64 {
        verdict.signals[4].1
    }

    #[test]
    fn a_growing_number_of_requests_is_overload_and_a_shrinking_one_is_not() {
        let found = verdicts(DetectorKind::BacklogDrift);
        assert_eq!((found[29].1.level, slope(&found[29].1)), (Level::Overloaded, 2.0));
        assert_eq!((found[49].1.level, slope(&found[49].1)), (Level::Stable, -1.4));
    }

    #[test]
    fn a_slope_on_a_bound_belongs_to_the_lower_level() {
        // One arrival in each of two windows: samples 1 and 2, slope 1 = 1.41 floors.
        let mut detector = BacklogDrift::new(Tick::from_us(10));
        assert_eq!(detector.observe(Tick::from_us(5), EventKind::Arrival).level, Level::Stable);
        let second = detector.observe(Tick::from_us(15), EventKind::Arrival);
        assert_eq!((second.level, slope(&second)), (Level::Backlogged, 1.0));
        // Nine arrivals, of which three leave before the first window ends: samples 6 and 7, slope 1 = 3 floors.
        let mut detector = BacklogDrift::new(Tick::from_us(10));
        (0..8).for_each(|_| drop(detector.observe(Tick::ZERO, EventKind::Arrival)));
        (0..2).for_each(|_| drop(detector.observe(Tick::ZERO, EventKind::Departure)));
        let last = detector.observe(Tick::from_us(10), EventKind::Arrival);
        assert_eq!((last.level, slope(&last), last.score), (Level::Backlogged, 1.0, 1.0));
    }

    #[test]
    fn a_long_silence_costs_no_time() {
        let mut detector = BacklogDrift::new(Tick::from_us(1));
        detector.observe(Tick::ZERO, EventKind::Arrival);
        let late = detector.observe(Tick::from_us(i64::MAX / 2), EventKind::Departure);
        assert!(slope(&late) <= 0.0 && late.level == Level::Stable, "{late:?}");
    }
}
