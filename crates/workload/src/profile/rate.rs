//! Arrivals over a time whose length is not known beforehand.

use blis_kernel::Tick;

/// Twice as many bins as a curve has at least when it is full.
const BINS: usize = 128;

/// Arrivals in bins of equal length from time zero on. The bins grow by doubling as later arrivals come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCurve {
    bin_us: i64,
    counts: Vec<u64>,
}

impl Default for RateCurve {
    fn default() -> Self {
        Self { bin_us: 1, counts: Vec::new() }
    }
}

impl RateCurve {
    pub(super) fn add(&mut self, at: Tick) {
        let at_us = at.as_us().max(0);
        while at_us / self.bin_us >= BINS as i64 {
            self.bin_us = self.bin_us.saturating_mul(2);
            self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        let bin = (at_us / self.bin_us) as usize;
        if self.counts.len() <= bin {
            self.counts.resize(bin + 1, 0);
        }
        self.counts[bin] += 1;
    }

    /// Length of a bin.
    pub fn bin(&self) -> Tick {
        Tick::from_us(self.bin_us)
    }

    /// Arrivals per bin.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Requests per second in each bin.
    pub fn per_s(&self) -> impl Iterator<Item = f64> {
        self.counts.iter().map(|&count| count as f64 / (self.bin_us as f64 / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law: growing loses no arrival and moves none to another time.
    #[test]
    fn bins_grow_with_the_time() {
        let mut curve = RateCurve::default();
        let times: Vec<i64> = (0..1_000).map(|i| i * i).collect();
        for &us in &times {
            curve.add(Tick::from_us(us));
        }
        let bin = curve.bin().as_us();
        for (number, &count) in curve.counts().iter().enumerate() {
            let inside = times.iter().filter(|&&us| us / bin == number as i64).count();
            assert_eq!(count, inside as u64);
        }
        assert!(curve.counts().len() > BINS / 2 && curve.counts().len() <= BINS);
    }

    #[test]
    fn the_end_of_time_has_a_bin() {
        let mut curve = RateCurve::default();
        curve.add(Tick::MAX);
        assert_eq!(curve.counts().iter().sum::<u64>(), 1);
    }
}
