//! Answers that are missing, and latencies that grow.
//!
//! With A arrivals and C completions so far, deficit = max(0, 1 - C / A). Over the latencies of the n completions in
//! order of time, raw = max(0, (mean of the second half - mean of the first) / mean of the first) from n = 2 on, where
//! the first half has n / 2 of them, rounded down; trend = raw from n = 20 on when the means of the four quarters grow
//! strictly, else 0. score = max(deficit, min(trend, 1)), floor = 1 / sqrt(A). score < floor is stable; else
//! trend > floor is overloaded; else backlogged. confidence = min(1, A / 20).

use super::{Detector, EventKind, Level, Verdict, confidence, noise_floor};
use blis_kernel::Tick;

/// Completions below which no trend is seen.
const FEWEST_FOR_TREND: usize = 20;

#[derive(Debug)]
pub(super) struct Composite {
    arrivals: u64,
    /// The sum of the first so many latencies, microseconds; begins with none.
    sums_us: Vec<i64>,
}

impl Default for Composite {
    fn default() -> Self {
        Self { arrivals: 0, sums_us: vec![0] }
    }
}

impl Composite {
    fn completions(&self) -> usize {
        self.sums_us.len() - 1
    }

    /// Mean of the latencies from number `from` to before number `to`, microseconds.
    fn mean_us(&self, from: usize, to: usize) -> f64 {
        (self.sums_us[to] - self.sums_us[from]) as f64 / (to - from) as f64
    }

    fn raw_trend(&self) -> f64 {
        let n = self.completions();
        if n < 2 {
            return 0.0;
        }
        let (first, second) = (self.mean_us(0, n / 2), self.mean_us(n / 2, n));
        if first > 0.0 { ((second - first) / first).max(0.0) } else { 0.0 }
    }

    fn quarters_grow(&self) -> bool {
        let n = self.completions();
        let quarter = n / 4;
        let bounds = [0, quarter, 2 * quarter, 3 * quarter, n];
        n >= FEWEST_FOR_TREND
            && bounds
                .windows(2)
                .map(|w| self.mean_us(w[0], w[1]))
                .is_sorted_by(|earlier, later| earlier < later)
    }
}

impl Detector for Composite {
    fn observe(&mut self, _: Tick, event: EventKind) -> Verdict {
        match event {
            EventKind::Arrival => self.arrivals += 1,
            EventKind::Completion { e2e } => {
                self.sums_us.push(self.sums_us[self.completions()] + e2e.as_us());
            }
            EventKind::Departure => {}
        }
        let deficit = (1.0 - self.completions() as f64 / self.arrivals as f64).max(0.0);
        let raw = self.raw_trend();
        let grows = self.quarters_grow();
        let trend = if grows { raw } else { 0.0 };
        let score = deficit.max(trend.min(1.0));
        let floor = noise_floor(self.arrivals);
        let level = if score < floor {
            Level::Stable
        } else if trend > floor {
            Level::Overloaded
        } else {
            Level::Backlogged
        };
        Verdict {
            level,
            score,
            confidence: confidence(self.arrivals),
            signals: vec![
                ("latency_trend", trend),
                ("latency_trend_raw", raw),
                ("noise_floor", floor),
                ("quartile_monotone", f64::from(u8::from(grows))),
                ("rate_deficit", deficit),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DetectorKind;
    use super::super::tests::verdicts;
    use super::*;

    #[test]
    fn a_server_that_falls_behind_is_backlogged_and_then_overloaded() {
        let found = verdicts(DetectorKind::Composite);
        let at = |n: usize| (found[n].1.level, format!("{:.6}", found[n].1.score));
        assert_eq!(at(9), (Level::Backlogged, "0.571429".into()));
        assert_eq!(at(29), (Level::Backlogged, "0.333333".into()));
        assert_eq!(at(49), (Level::Overloaded, "1.000000".into()));
        assert_eq!(found[9].1.confidence, 0.35);
    }

    #[test]
    fn latencies_of_zero_show_no_trend() {
        let mut detector = Composite::default();
        for _ in 0..30 {
            detector.observe(Tick::ZERO, EventKind::Arrival);
            let verdict = detector.observe(Tick::ZERO, EventKind::Completion { e2e: Tick::ZERO });
            assert_eq!((verdict.level, verdict.score), (Level::Stable, 0.0));
        }
    }
}
