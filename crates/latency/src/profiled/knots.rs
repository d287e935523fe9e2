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

/// A number as a real one; far below 2^63, in one instruction.
#[inline]
pub(super) fn real(x: u64) -> f64 {
    x as i64 as f64
}

/// The knot in front of a number, and the share of the way to the next one: from [`SUB`] on, exponent and first fraction bits
/// of the number, and the bits behind those.
#[inline]
fn place(x: f64) -> (usize, f64) {
    const REST_BITS: u32 = f64::MANTISSA_DIGITS - 1 - SUB_BITS;
    const PER_REST: f64 = 1.0 / (1_u64 << REST_BITS) as f64;
    const FIRST: u64 = (1023 + SUB_BITS as u64) << SUB_BITS;
    if x < SUB as f64 {
        let whole = x.max(0.0) as i64;
        return (whole as usize, x - whole as f64);
    }
    let bits = x.to_bits();
    let index = (bits >> REST_BITS) - FIRST + SUB;
    (index as usize, real(bits & ((1 << REST_BITS) - 1)) * PER_REST)
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
        let ends = &self.values[index..][..2];
        ends[0] + (ends[1] - ends[0]) * share
    }

    /// [`Self::at`] for whole numbers.
    #[inline]
    pub(super) fn at_whole(&self, x: u64) -> f64 {
        self.at(real(x))
    }

    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self { values: self.values.iter().map(|value| value * factor).collect() }
    }
}

/// A place between two rows of a plane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Its first cell.
    start: usize,
    /// The share of the way down.
    down: f64,
}

/// Times over two numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    rows: usize,
    columns: usize,
    /// Between four knots: the time at the upper left one, what is added on the way right, on the way down, and on both.
    cells: Vec<[f64; 4]>,
    left: Line,
}

impl Plane {
    pub(super) fn new(last_row: u64, last_column: u64, mut time: impl FnMut(f64, f64) -> f64) -> Self {
        let columns: Vec<u64> = knots(last_column).collect();
        let rows: Vec<Vec<f64>> = knots(last_row)
            .map(|row| columns.iter().map(|&column| time(row as f64, column as f64)).collect())
            .collect();
        let cell = |(upper, lower): (&[f64], &[f64])| {
            let (right, down) = (upper[1] - upper[0], lower[0] - upper[0]);
            [upper[0], right, down, lower[1] - lower[0] - right]
        };
        let cells = rows.windows(2).flat_map(|pair| pair[0].windows(2).zip(pair[1].windows(2)).map(cell));
        Self {
            rows: rows.len(),
            columns: columns.len(),
            cells: cells.collect(),
            left: Line { values: rows.iter().map(|row| row[0]).collect() },
        }
    }

    /// The place of a row.
    #[inline]
    pub(super) fn row(&self, row: f64) -> Row {
        let (index, down) = clamped(row, self.rows);
        Row { start: index * (self.columns - 1), down }
    }

    #[inline]
    pub(super) fn in_row(&self, row: Row, column: f64) -> f64 {
        let (index, right) = clamped(column, self.columns);
        let [at, more_right, more_down, more_both] = self.cells[row.start + index];
        at + more_right * right + (more_down + more_both * right) * row.down
    }

    /// The same for whole numbers.
    #[inline]
    pub(super) fn at_whole(&self, row: u64, column: u64) -> f64 {
        self.in_row(self.row(real(row)), real(column))
    }

    /// What lies at 0 in every row.
    #[inline]
    pub(super) fn at_left(&self, row: u64) -> f64 {
        self.left.at_whole(row)
    }

    pub(super) fn scaled(&self, factor: f64) -> Self {
        let cells = self.cells.iter().map(|cell| cell.map(|us| us * factor)).collect();
        Self { cells, left: self.left.scaled(factor), ..*self }
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
            assert!((plane.in_row(plane.row(x), x / 2.0) - (1.0 + x * 3.5)).abs() < 1e-6, "{x}");
            let (row, column) = (x as u64, x as u64 / 3);
            assert_eq!(plane.at_whole(row, column), plane.in_row(plane.row(row as f64), column as f64));
            assert!((plane.at_left(row) - plane.at_whole(row, 0)).abs() < 1e-9, "{row}");
        }
        assert!((line.scaled(0.5).at(10.0) - 11.5).abs() < 1e-9);
    }
}
