//! The Sobol sequence with the direction numbers of Joe and Kuo (2008, new-joe-kuo-6), shifted digitally by a random
//! number, so that seeds differ and no point lies at a corner.

use blis_kernel::rng::GoRand;

/// Degree, coefficients and first direction numbers of the primitive polynomial of each dimension after the first.
const POLYNOMIALS: [(u32, u32, &[u32]); 20] = [
    (1, 0, &[1]),
    (2, 1, &[1, 3]),
    (3, 1, &[1, 3, 1]),
    (3, 2, &[1, 1, 1]),
    (4, 1, &[1, 1, 3, 3]),
    (4, 4, &[1, 3, 5, 13]),
    (5, 2, &[1, 1, 5, 5, 17]),
    (5, 4, &[1, 1, 5, 5, 5]),
    (5, 7, &[1, 1, 7, 11, 19]),
    (5, 11, &[1, 1, 5, 1, 1]),
    (5, 13, &[1, 1, 1, 3, 11]),
    (5, 14, &[1, 3, 5, 5, 31]),
    (6, 1, &[1, 3, 3, 9, 7, 49]),
    (6, 13, &[1, 1, 1, 15, 21, 21]),
    (6, 16, &[1, 3, 1, 13, 27, 49]),
    (6, 19, &[1, 1, 1, 15, 7, 5]),
    (6, 22, &[1, 3, 1, 15, 13, 25]),
    (6, 25, &[1, 1, 5, 5, 19, 61]),
    (7, 1, &[1, 3, 7, 11, 23, 15, 103]),
    (7, 4, &[1, 3, 7, 13, 13, 15, 69]),
];

/// Most dimensions.
pub const MOST_DIMENSIONS: usize = POLYNOMIALS.len() + 1;
const BITS: usize = 32;

/// A shifted sequence.
pub(super) struct Sobol {
    /// Direction numbers by dimension and bit.
    directions: Vec<[u32; BITS]>,
    shift: Vec<u32>,
}

impl Sobol {
    pub(super) fn new(dimensions: usize, rng: &mut GoRand) -> Self {
        assert!(dimensions <= MOST_DIMENSIONS, "{dimensions} dimensions");
        let directions = (0..dimensions).map(directions).collect();
        Self { directions, shift: (0..dimensions).map(|_| rng.uint32()).collect() }
    }

    /// A point of the unit cube; `n` counts from 0.
    pub(super) fn nth(&self, n: u32) -> Vec<f64> {
        let gray = n ^ (n >> 1);
        let coordinate = |(directions, shift): (&[u32; BITS], &u32)| {
            let bits = directions.iter().enumerate().filter(|(bit, _)| gray >> bit & 1 == 1);
            let sum = bits.fold(*shift, |sum, (_, direction)| sum ^ direction);
            f64::from(sum) / 4_294_967_296.0
        };
        self.directions.iter().zip(&self.shift).map(coordinate).collect()
    }
}

fn directions(dimension: usize) -> [u32; BITS] {
    let mut v = [0; BITS];
    let Some(&(degree, coefficients, first)) = dimension.checked_sub(1).map(|n| &POLYNOMIALS[n]) else {
        for (bit, v) in v.iter_mut().enumerate() {
            *v = 1 << (BITS - 1 - bit);
        }
        return v;
    };
    let degree = degree as usize;
    for (bit, m) in first.iter().enumerate() {
        v[bit] = m << (BITS - 1 - bit);
    }
    for bit in degree..BITS {
        v[bit] = v[bit - degree] ^ (v[bit - degree] >> degree);
        for k in 1..degree {
            if coefficients >> (degree - 1 - k) & 1 == 1 {
                v[bit] ^= v[bit - k];
            }
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first points of the unshifted sequence in five dimensions.
    #[test]
    fn the_first_points_are_those_of_the_published_sequence() {
        let mut sequence = Sobol::new(5, &mut GoRand::new(1));
        sequence.shift.fill(0);
        let points: Vec<_> = (0..5).map(|n| sequence.nth(n)).collect();
        let published = [
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.5, 0.5, 0.5, 0.5, 0.5],
            [0.75, 0.25, 0.25, 0.25, 0.75],
            [0.25, 0.75, 0.75, 0.75, 0.25],
            [0.375, 0.375, 0.625, 0.875, 0.375],
        ];
        assert_eq!(points, published);
    }

    /// Law: of the first 2^k points each of 2^k equal intervals of every coordinate has one.
    #[test]
    fn every_coordinate_is_spread_evenly() {
        let sequence = Sobol::new(MOST_DIMENSIONS, &mut GoRand::new(7));
        let points: Vec<_> = (0..256).map(|n| sequence.nth(n)).collect();
        for dimension in 0..MOST_DIMENSIONS {
            let mut hits = [0; 256];
            for point in &points {
                hits[(point[dimension] * 256.0) as usize] += 1;
            }
            assert_eq!(hits, [1; 256], "dimension {dimension}");
        }
    }
}
