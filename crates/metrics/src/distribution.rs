//! A distribution in a few figures.

use blis_kernel::stats::{Ascending, mean, mean_ms, percentile, percentile_ms};

/// Mean and percentiles of some values; all zero when there are none. The unit is that of the field that holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Number of values.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Distribution {
    /// Of the values as they are.
    pub fn of(values: &(impl Ascending + ?Sized)) -> Self {
        Self {
            count: values.count(),
            mean: mean(values),
            p50: percentile(values, 50.0),
            p90: percentile(values, 90.0),
            p95: percentile(values, 95.0),
            p99: percentile(values, 99.0),
        }
    }

    /// Of microseconds, in milliseconds.
    pub fn of_us_in_ms(values_us: &(impl Ascending + ?Sized)) -> Self {
        Self {
            count: values_us.count(),
            mean: mean_ms(values_us),
            p50: percentile_ms(values_us, 50.0),
            p90: percentile_ms(values_us, 90.0),
            p95: percentile_ms(values_us, 95.0),
            p99: percentile_ms(values_us, 99.0),
        }
    }
}
