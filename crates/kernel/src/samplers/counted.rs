//! Gaps of a fixed number of arrivals that fill a fixed time.

use crate::rng::Stream;

/// As many gaps as there are arrivals: exponential ones of mean duration / count, all stretched by the same factor so
/// that their sum is the duration; then whole microseconds, at least one each. The arrivals lie like those of a Poisson
/// process of which it is known how many fall into the time, the last of them at its end.
///
/// Draws X per gap from a stream of its own. The stream is read twice, once for the sum, instead of being stored.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedGaps {
    stream: Stream,
    mean_us: f64,
    stretch: f64,
    left: u64,
}

impl CountedGaps {
    /// The gaps of `count` arrivals within `duration_us`, from the stream of this seed.
    pub fn new(seed: i64, count: u64, duration_us: i64) -> Self {
        let mut stream = Stream::new(seed);
        let mean_us = duration_us as f64 / count as f64;
        let rng = stream.open();
        let mut sum_us = 0.0;
        for _ in 0..count {
            sum_us += rng.exp_float64() * mean_us;
        }
        Self { stream: Stream::new(seed), mean_us, stretch: duration_us as f64 / sum_us, left: count }
    }

    /// The next gap, microseconds, at least 1; `None` when all have been given.
    pub fn next_us(&mut self) -> Option<i64> {
        self.left = self.left.checked_sub(1)?;
        let gap_us = self.stream.open().exp_float64() * self.mean_us * self.stretch;
        Some(super::whole_us(gap_us))
    }

    /// How many gaps are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The stream, which its owner may put aside between gaps.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law: there are exactly as many arrivals as wanted, and the last comes at the end of the time, to the
    /// microsecond that each gap may lose.
    #[test]
    fn the_gaps_fill_the_time() {
        for (count, duration_us) in [(1, 5_000_000), (1_000, 9_000_000), (50_000, 1_000_000_000)] {
            let mut gaps = CountedGaps::new(42, count, duration_us);
            let given: Vec<i64> = std::iter::from_fn(|| gaps.next_us()).collect();
            assert_eq!((given.len() as u64, gaps.left(), gaps.next_us()), (count, 0, None));
            let end_us: i64 = given.iter().sum();
            assert!((duration_us - count as i64 - 1..=duration_us).contains(&end_us), "{end_us}");
        }
    }

    #[test]
    fn a_crowded_time_still_has_whole_gaps() {
        let mut gaps = CountedGaps::new(1, 1_000, 1_000);
        assert!(std::iter::from_fn(|| gaps.next_us()).all(|gap| gap >= 1));
    }
}
