//! The mean latency against a threshold.
//!
//! With the mean end-to-end latency m of the n completions so far and the threshold T: m < T is stable with score
//! 0.5 m / T, else overloaded with score 0.75 + min(0.25, (m - T) / (4 T)). confidence = 1 - 1 / sqrt(n + 1). Stable
//! with score 0 and confidence 0 before the first completion.

use super::{Detector, EventKind, Level, Verdict};
use blis_kernel::Tick;

#[derive(Debug)]
pub(super) struct Threshold {
    threshold_ms: f64,
    completions: u64,
    sum_us: i64,
}

impl Threshold {
    pub(super) fn new(threshold_ms: f64) -> Self {
        Self { threshold_ms, completions: 0, sum_us: 0 }
    }
}

impl Detector for Threshold {
    fn observe(&mut self, _: Tick, event: EventKind) -> Verdict {
        if let EventKind::Completion { e2e } = event {
            self.completions += 1;
            self.sum_us += e2e.as_us();
        }
        if self.completions == 0 {
            return Verdict::NONE;
        }
        let threshold_ms = self.threshold_ms;
        let mean_ms = self.sum_us as f64 / self.completions as f64 / 1e3;
        let (level, score) = if mean_ms < threshold_ms {
            (Level::Stable, 0.5 * mean_ms / threshold_ms)
        } else {
            (Level::Overloaded, 0.75 + ((mean_ms - threshold_ms) / (4.0 * threshold_ms)).min(0.25))
        };
        Verdict {
            level,
            score,
            confidence: 1.0 - 1.0 / ((self.completions + 1) as f64).sqrt(),
            signals: vec![("mean_e2e", mean_ms), ("threshold", threshold_ms)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DetectorKind;
    use super::super::tests::verdicts;
    use super::*;

    #[test]
    fn a_mean_of_680_ms_is_far_below_5_s() {
        let found = verdicts(DetectorKind::Threshold);
        let last = &found[49].1;
        assert_eq!((last.level, last.score), (Level::Stable, 0.068));
        assert_eq!(last.signals, [("mean_e2e", 680.0), ("threshold", 5000.0)]);
        assert_eq!(found[0].1, Verdict::NONE);
    }

    #[test]
    fn the_threshold_itself_is_overload_and_the_score_stops_at_one() {
        let mut detector = Threshold::new(100.0);
        let mut after = |ms: i64| {
            let e2e = Tick::from_us(ms * 1000);
            detector.observe(Tick::ZERO, EventKind::Completion { e2e })
        };
        assert_eq!((after(100).level, after(100).score), (Level::Overloaded, 0.75));
        assert_eq!(after(1_000_000).score, 1.0);
    }
}
