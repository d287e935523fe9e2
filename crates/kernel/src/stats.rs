//! Percentiles and means over sorted values.
//!
//! The percentile p of n ascending values v interpolates linearly: rank = p / 100 * (n - 1), between the values at
//! the whole ranks around it. Of no values, mean and percentiles are 0.

use crate::{DurationHistogram, Tick};

/// Values in ascending order.
pub trait Ascending {
    /// How many.
    fn count(&self) -> u64;

    /// The value at `rank`, which counts from zero and is below [`Self::count`].
    fn at(&self, rank: u64) -> f64;

    /// Their sum, added up in ascending order.
    fn sum(&self) -> f64;
}

impl Ascending for [f64] {
    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn at(&self, rank: u64) -> f64 {
        self[rank as usize]
    }

    fn sum(&self) -> f64 {
        self.iter().fold(0.0, |sum, value| sum + value)
    }
}

impl Ascending for [u32] {
    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn at(&self, rank: u64) -> f64 {
        f64::from(self[rank as usize])
    }

    fn sum(&self) -> f64 {
        self.iter().map(|&value| u64::from(value)).sum::<u64>() as f64
    }
}

/// In microseconds.
impl Ascending for [Tick] {
    fn count(&self) -> u64 {
        self.len() as u64
    }

    fn at(&self, rank: u64) -> f64 {
        self[rank as usize].as_us() as f64
    }

    fn sum(&self) -> f64 {
        self.iter().map(|value| i128::from(value.as_us())).sum::<i128>() as f64
    }
}

/// The durations of a histogram, each as often as it occurred, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct WeightedDurations {
    /// Each duration with the number of values up to and including it.
    cumulative: Vec<(Tick, u64)>,
    sum_us: i128,
}

impl WeightedDurations {
    /// Counts what `histogram` holds.
    pub fn new(histogram: &DurationHistogram) -> Self {
        let mut all = Self::default();
        let mut seen = 0;
        for (duration, count) in histogram.counts() {
            seen += count;
            all.sum_us += i128::from(duration.as_us()) * i128::from(count);
            all.cumulative.push((duration, seen));
        }
        all
    }
}

impl Ascending for WeightedDurations {
    fn count(&self) -> u64 {
        self.cumulative.last().map_or(0, |&(_, seen)| seen)
    }

    fn at(&self, rank: u64) -> f64 {
        let index = self.cumulative.partition_point(|&(_, seen)| seen <= rank);
        self.cumulative[index].0.as_us() as f64
    }

    fn sum(&self) -> f64 {
        self.sum_us as f64
    }
}

/// The two values around percentile `p` (0 to 100), and how far it lies from the first to the second.
fn around(values: &(impl Ascending + ?Sized), p: f64) -> Option<(f64, f64, f64)> {
    let last = values.count().checked_sub(1)?;
    let rank = p / 100.0 * last as f64;
    let below = rank.floor();
    Some((values.at(below as u64), values.at(rank.ceil() as u64), rank - below))
}

/// Percentile `p` (0 to 100).
pub fn percentile(values: &(impl Ascending + ?Sized), p: f64) -> f64 {
    around(values, p).map_or(0.0, |(low, high, part)| low + (high - low) * part)
}

/// Percentile `p` (0 to 100) of microseconds, in milliseconds.
pub fn percentile_ms(values_us: &(impl Ascending + ?Sized), p: f64) -> f64 {
    around(values_us, p).map_or(0.0, |(low, high, part)| low / 1000.0 + (high - low) * part / 1000.0)
}

/// Arithmetic mean.
pub fn mean(values: &(impl Ascending + ?Sized)) -> f64 {
    if values.count() == 0 { 0.0 } else { values.sum() / values.count() as f64 }
}

/// Arithmetic mean of microseconds, in milliseconds.
pub fn mean_ms(values_us: &(impl Ascending + ?Sized)) -> f64 {
    mean(values_us) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate_between_ranks() {
        let values = [10_u32, 20, 40, 80];
        // rank 0.9 * 3 = 2.7
        assert_eq!(percentile(&values[..], 90.0), 40.0 + 40.0 * (0.9 * 3.0 - 2.0));
        assert_eq!(percentile(&values[..], 0.0), 10.0);
        assert_eq!(percentile(&values[..], 100.0), 80.0);
        assert_eq!(mean(&values[..]), 37.5);
    }

    #[test]
    fn of_no_values_everything_is_zero() {
        let none: &[Tick] = &[];
        assert_eq!((percentile_ms(none, 99.0), mean_ms(none)), (0.0, 0.0));
        assert_eq!(percentile(&WeightedDurations::default(), 50.0), 0.0);
    }

    #[test]
    fn a_histogram_counts_as_the_values_it_was_given() {
        let mut histogram = DurationHistogram::default();
        let mut values = Vec::new();
        for i in 0..1000_u32 {
            let value = 6_000 + i * i % 977;
            histogram.add(Tick::from_us(i64::from(value)), u64::from(1 + i % 3));
            values.extend((0..=i % 3).map(|_| value));
        }
        values.sort_unstable();
        let weighted = WeightedDurations::new(&histogram);
        assert_eq!(weighted.count(), values.len() as u64);
        for p in [0.0, 1.0, 33.3, 50.0, 90.0, 95.0, 99.0, 99.99, 100.0] {
            assert_eq!(percentile_ms(&weighted, p), percentile_ms(&values[..], p), "p{p}");
        }
        assert_eq!(mean_ms(&weighted), mean_ms(&values[..]));
    }

    #[test]
    fn milliseconds_divide_last() {
        // Of 9.05 ms and 9.176 ms a quarter of the way: 9050 / 1000 + 126 * 0.25 / 1000.
        let values = [Tick::from_us(9_050), Tick::from_us(9_176)];
        assert_eq!(percentile_ms(&values[..], 25.0), 9_050.0 / 1000.0 + 126.0 * 0.25 / 1000.0);
    }
}
