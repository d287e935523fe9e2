//! Grids that a step reads in a few nanoseconds.
//!
//! Knots lie where a whole number has [`SUB_BITS`] bits behind its first one: 0 to 2·4, then four per octave up to 2^k.
//! The knot in front of a number is its leading bits, so nothing is searched and no logarithm taken. Between knots times are
//! linear.

/// log2 of the knots per octave.
const SUB_BITS: u32 = 2;
const SUB: u64 = 1 << SUB_BITS;

/// The whole number at a knot.
fn knot(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB {
        return index;
    }
    let octave = index / SUB - 1;
    (SUB + index % SUB) << octave
}

/// The knot in front of a number, and the share of the way to the next one.
#[inline]
fn place(x: f64) -> (usize, f64) {
    // Signed: what a processor converts in one instruction.
    let whole = (x as i64).max(0);
    let shift = (whole as u64 | SUB).ilog2() - SUB_BITS;
    let low = whole >> shift << shift;
    let index = (i64::from(shift) << SUB_BITS) + (whole >> shift);
    // 1/2^shift.
    let per_width = f64::from_bits(u64::from(1023 - shift) << 52);
    (index as usize, (x - low as f64) * per_width)
}

/// [`place`] of a whole number, before the last of `count` knots.
#[inline]
fn place_whole(x: u64, count: usize) -> (usize, f64) {
    let shift = (x | SUB).ilog2() - SUB_BITS;
    let leading = x >> shift;
    let index = ((u64::from(shift) << SUB_BITS) + leading) as usize;
    let per_width = f64::from_bits(u64::from(1023 - shift) << 52);
    let rest = (x - (leading << shift)) as i64;
    if index + 1 < count { (index, rest as f64 * per_width) } else { beyond(x as f64, count) }
}

/// Times over one number. Beyond the last knot they go on as between the last two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    values: Vec<f64>,
}

impl Line {
    /// Up to the first knot that is not below `last`.
    pub(super) fn new(last: u64, mut time: impl FnMut(f64) -> f64) -> Self {
        Self { values: knots(last).map(|x| time(x as f64)).collect() }
    }

    #[inline]
    pub(super) fn at(&self, x: f64) -> f64 {
        let (index, share) = clamped(x, self.values.len());
        let low = self.values[index];
        low + (self.values[index + 1] - low) * share
    }

    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self { values: self.values.iter().map(|value| value * factor).collect() }
    }
}

/// Times over two numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Plane {
    pub(super) fn new(last_row: u64, last_column: u64, mut time: impl FnMut(f64, f64) -> f64) -> Self {
        let columns: Vec<u64> = knots(last_column).collect();
        let rows: Vec<u64> = knots(last_row).collect();
        let values = rows
            .iter()
            .flat_map(|&row| columns.iter().map(move |&column| (row, column)))
            .map(|(row, column)| time(row as f64, column as f64))
            .collect();
        Self { rows: rows.len(), columns: columns.len(), values }
    }

    #[inline]
    pub(super) fn at(&self, row: f64, column: f64) -> f64 {
        self.between(clamped(row, self.rows), clamped(column, self.columns))
    }

    /// [`Self::at`] for whole numbers.
    #[inline]
    pub(super) fn at_whole(&self, row: u64, column: u64) -> f64 {
        self.between(place_whole(row, self.rows), place_whole(column, self.columns))
    }

    #[inline]
    fn between(&self, (i, down): (usize, f64), (j, right): (usize, f64)) -> f64 {
        let upper = &self.values[i * self.columns + j..][..self.columns + 2];
        let (a, b, c, d) = (upper[0], upper[1], upper[self.columns], upper[self.columns + 1]);
        let (low, high) = (a + (b - a) * right, c + (d - c) * right);
        low + (high - low) * down
    }

    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self { values: self.values.iter().map(|value| value * factor).collect(), ..*self }
    }
}

/// The knots up to the first that is not below `last`; at least two.
fn knots(last: u64) -> impl Iterator<Item = u64> {
    let (index, share) = place(last as f64);
    let count = index + 1 + usize::from(share > 0.0);
    (0..count.max(2)).map(knot)
}

/// Like [`place`], before the last of `count` knots; the share may then be above 1.
#[inline]
fn clamped(x: f64, count: usize) -> (usize, f64) {
    let (index, share) = place(x);
    if index + 1 < count { (index, share) } else { beyond(x, count) }
}

#[cold]
fn beyond(x: f64, count: usize) -> (usize, f64) {
    let (low, high) = (knot(count - 2) as f64, knot(count - 1) as f64);
    (count - 2, (x - low) / (high - low))
}

#[cfg(test)]
mod tests {
    use super::{Line, Plane, knot, place};

    #[test]
    fn every_whole_number_lies_between_its_knots() {
        for x in 0..5000_u64 {
            let (index, share) = place(x as f64);
            let (low, high) = (knot(index), knot(index + 1));
            assert!(low <= x && x < high, "{x}: {low} to {high}");
            assert!(((low as f64 + share * (high - low) as f64) - x as f64).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_linear_stays_so_within_and_beyond_the_knots() {
        let line = Line::new(100, |x| 3.0 + 2.0 * x);
        let plane = Plane::new(100, 50, |x, y| 1.0 + x * 2.0 + y * 3.0);
        for x in [0.0, 0.5, 7.9, 8.0, 63.25, 100.0, 4000.5] {
            assert!((line.at(x) - (3.0 + 2.0 * x)).abs() < 1e-6, "{x}");
            assert!((plane.at(x, x / 2.0) - (1.0 + x * 3.5)).abs() < 1e-6, "{x}");
            let (row, column) = (x as u64, x as u64 / 3);
            assert_eq!(plane.at_whole(row, column), plane.at(row as f64, column as f64));
        }
        assert!((line.scaled(0.5).at(10.0) - 11.5).abs() < 1e-9);
    }
}
