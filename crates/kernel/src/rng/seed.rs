//! From a seed to the cells of a stream.
//!
//! Cell i of Go's source = x₁·2⁴⁰ ⊕ x₂·2²⁰ ⊕ x₃ ⊕ cooked[i], where the x are successive values of the Lehmer generator
//! x ← 48271·x mod (2³¹ − 1) after twenty discarded ones.

use super::tables::COOKED;
use super::{LEN, TAP};

const MODULUS: u64 = (1 << 31) - 1;
const MULTIPLIER: u32 = 48_271;
const DISCARDED: usize = 20;
/// Stands in for a seed that is a multiple of the modulus.
const ZERO_SEED: u32 = 89_482_311;

/// What each cell is made of, in order of use.
struct Recipe {
    /// Powers of the multiplier that give the cell's three values, independently of all other cells.
    powers: [[u32; LEN]; 3],
    cooked: [u64; LEN],
}

static RECIPE: Recipe = recipe();

const fn recipe() -> Recipe {
    let mut recipe = Recipe { powers: [[0; LEN]; 3], cooked: [0; LEN] };
    let mut power = 1;
    let mut step = 0;
    while step < DISCARDED {
        power = multiply(power, MULTIPLIER);
        step += 1;
    }
    let mut i = 0;
    while i < LEN {
        // Go's first draw updates cell 333 and goes down from there, wrapping from 0 to 606.
        let place = (LEN - TAP - 1 + LEN - i) % LEN;
        let mut k = 0;
        while k < 3 {
            power = multiply(power, MULTIPLIER);
            recipe.powers[k][place] = power;
            k += 1;
        }
        recipe.cooked[place] = COOKED[i];
        i += 1;
    }
    recipe
}

/// a·b mod (2³¹ − 1) for a, b in [1, 2³¹ − 2].
///
/// 2³¹ ≡ 1, so the high part folds onto the low part; the second fold stands for the one subtraction that can remain
/// (the product of two non-zero residues of a prime is never the modulus itself).
#[inline]
const fn multiply(a: u32, b: u32) -> u32 {
    let product = a as u64 * b as u64;
    let folded = (product & MODULUS) + (product >> 31);
    ((folded & MODULUS) + (folded >> 31)) as u32
}

fn start(seed: i64) -> u32 {
    match seed.rem_euclid(MODULUS as i64) {
        0 => ZERO_SEED,
        s => s as u32,
    }
}

/// One of the cells of a seed.
pub(super) fn cell(seed: i64, place: usize) -> u64 {
    let value = |k: usize| u64::from(multiply(start(seed), RECIPE.powers[k][place]));
    RECIPE.cooked[place] ^ value(0) << 40 ^ value(1) << 20 ^ value(2)
}

/// The cells of a seed in order of use.
pub(super) fn cells(seed: i64) -> [u64; LEN] {
    let start = start(seed);
    let mut cells = RECIPE.cooked;
    for (k, shift) in [(0, 40), (1, 20), (2, 0)] {
        for (cell, &power) in cells.iter_mut().zip(&RECIPE.powers[k]) {
            *cell ^= u64::from(multiply(start, power)) << shift;
        }
    }
    cells
}
