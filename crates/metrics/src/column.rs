//! Compact lists of durations.

use blis_kernel::Tick;
use blis_kernel::stats::Ascending;

/// Durations, four bytes each until one does not fit (about 71 minutes), then eight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DurationColumn {
    Narrow(Vec<u32>),
    Wide(Vec<Tick>),
}

impl Default for DurationColumn {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl DurationColumn {
    #[inline]
    pub(crate) fn push(&mut self, duration: Tick) {
        match self {
            Self::Wide(values) => values.push(duration),
            Self::Narrow(values) => match u32::try_from(duration.as_us()) {
                Ok(us) => values.push(us),
                Err(_) => self.widen().push(duration),
            },
        }
    }

    fn widen(&mut self) -> &mut Vec<Tick> {
        if let Self::Narrow(values) = self {
            *self = Self::Wide(values.iter().map(|&us| Tick::from_us(i64::from(us))).collect());
        }
        match self {
            Self::Wide(values) => values,
            Self::Narrow(_) => unreachable!("widened above"),
        }
    }

    /// Adds everything in `other`.
    pub(crate) fn append(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Narrow(values), Self::Narrow(more)) => values.extend_from_slice(more),
            (_, Self::Wide(more)) => self.widen().extend_from_slice(more),
            (Self::Wide(values), Self::Narrow(more)) => {
                values.extend(more.iter().map(|&us| Tick::from_us(i64::from(us))));
            }
        }
    }

    pub(crate) fn sort(&mut self) {
        match self {
            Self::Narrow(values) => values.sort_unstable(),
            Self::Wide(values) => values.sort_unstable(),
        }
    }
}

/// In microseconds; only after sorting.
impl Ascending for DurationColumn {
    fn count(&self) -> u64 {
        match self {
            Self::Narrow(values) => values.as_slice().count(),
            Self::Wide(values) => values.as_slice().count(),
        }
    }

    fn at(&self, rank: u64) -> f64 {
        match self {
            Self::Narrow(values) => values.as_slice().at(rank),
            Self::Wide(values) => values.as_slice().at(rank),
        }
    }

    fn sum(&self) -> f64 {
        match self {
            Self::Narrow(values) => values.as_slice().sum(),
            Self::Wide(values) => values.as_slice().sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[i64]) -> DurationColumn {
        let mut column = DurationColumn::default();
        for &us in values {
            column.push(Tick::from_us(us));
        }
        column
    }

    fn sorted(mut column: DurationColumn) -> Vec<f64> {
        column.sort();
        (0..column.count()).map(|rank| column.at(rank)).collect()
    }

    #[test]
    fn a_long_duration_widens_the_column() {
        let long = 5_000_000_000;
        assert!(matches!(column(&[7, 3]), DurationColumn::Narrow(_)));
        assert_eq!(sorted(column(&[7, long, 3])), [3.0, 7.0, 5e9]);
        for (a, b) in [(vec![9, 1], vec![long, 4]), (vec![long, 4], vec![9, 1]), (vec![9, long], vec![4, 1])]
        {
            let mut both = column(&a);
            both.append(&column(&b));
            assert_eq!(both.count(), 4);
            assert_eq!(sorted(both).last(), Some(&5e9));
        }
    }
}
