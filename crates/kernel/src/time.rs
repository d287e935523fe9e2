//! Simulated time.

use std::ops::{Add, AddAssign, Sub};

/// A point in simulated time or a span of it, in whole microseconds.
///
/// Additions saturate, so that [`Tick::MAX`] works as "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(i64);

impl Tick {
    /// The start of a run; also an empty span.
    pub const ZERO: Self = Self(0);
    /// The shortest span that a step can last.
    pub const ONE: Self = Self(1);
    /// Never; also an unlimited horizon.
    pub const MAX: Self = Self(i64::MAX);

    /// A number of microseconds.
    #[inline]
    pub const fn from_us(us: i64) -> Self {
        Self(us)
    }

    /// The number of microseconds.
    #[inline]
    pub const fn as_us(self) -> i64 {
        self.0
    }

    /// The one place where a real number of microseconds becomes a tick: truncated toward zero;
    /// not a number or too large gives [`Tick::MAX`].
    #[inline]
    pub fn trunc(us: f64) -> Self {
        if us.is_nan() || us >= 9_223_372_036_854_775_808.0 { Self::MAX } else { Self(us as i64) }
    }

    /// Seconds, for reports.
    #[inline]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Milliseconds, for reports.
    #[inline]
    pub fn as_ms(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

impl Add for Tick {
    type Output = Self;
    #[inline]
    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign for Tick {
    #[inline]
    fn add_assign(&mut self, rhs: Self) {
        *self = *self + rhs;
    }
}

impl Sub for Tick {
    type Output = Self;
    #[inline]
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Tick;

    #[test]
    fn a_real_is_truncated_toward_zero_and_capped() {
        assert_eq!(Tick::trunc(7965.99), Tick::from_us(7965));
        assert_eq!(Tick::trunc(-0.5), Tick::ZERO);
        assert_eq!(Tick::trunc(f64::NAN), Tick::MAX);
        assert_eq!(Tick::trunc(1e300), Tick::MAX);
    }

    #[test]
    fn never_plus_anything_is_never() {
        assert_eq!(Tick::MAX + Tick::ONE, Tick::MAX);
    }
}
