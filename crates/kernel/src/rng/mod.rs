//! Seeded random streams.
//!
//! The generator is the additive lagged-Fibonacci source of Go's `math/rand` (607 cells, lag 273), so that a seed means
//! the same requests here as in the tools that people come from. Every consumer owns a stream of its own whose seed is
//! derived from the master seed and the consumer's name ([`stream_seed`]).

mod seed;
mod stream;
mod tables;
mod ziggurat;

pub use stream::Stream;

/// Number of cells of state.
const LEN: usize = 607;
/// Distance between the two cells that are added.
const TAP: usize = 273;

/// Seed of the stream `name` under `master`: the master seed XOR the 64-bit FNV-1a hash of the name.
/// The stream called `workload` is the master stream itself.
pub fn stream_seed(master: i64, name: &str) -> i64 {
    if name == "workload" { master } else { master ^ fnv1a_64(name) as i64 }
}

/// The first `count` draws of [`GoRand::int63`] from the stream of a seed. Of few draws only the cells that they need
/// are computed.
pub fn first_draws(seed: i64, count: usize) -> Vec<i64> {
    if count > TAP {
        let mut rng = GoRand::new(seed);
        return (0..count).map(|_| rng.int63()).collect();
    }
    // The taps of the first draws are cells that no draw has changed yet.
    let draw = |i| seed::cell(seed, i).wrapping_add(seed::cell(seed, i + LEN - TAP));
    (0..count).map(|i| (draw(i) & (u64::MAX >> 1)) as i64).collect()
}

/// The 64-bit FNV-1a hash of a text.
pub fn fnv1a_64(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// One random stream.
///
/// Go walks its cells downwards; here they lie in the order of use, so that `cells[pos] += cells[pos + 334]` runs
/// upwards over contiguous memory and whole blocks can be advanced at once.
#[derive(Clone, PartialEq, Eq)]
pub struct GoRand {
    cells: [u64; LEN],
    /// The cell that the next draw updates and returns.
    pos: usize,
    /// How often all cells have been used.
    laps: u64,
}

impl std::fmt::Debug for GoRand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoRand").field("pos", &self.pos).finish_non_exhaustive()
    }
}

impl GoRand {
    /// The stream of a seed.
    pub fn new(seed: i64) -> Self {
        Self { cells: seed::cells(seed), pos: 0, laps: 0 }
    }

    /// A 64-bit draw.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let tap = if self.pos < TAP { self.pos + (LEN - TAP) } else { self.pos - TAP };
        let value = self.cells[self.pos].wrapping_add(self.cells[tap]);
        self.cells[self.pos] = value;
        self.pos += 1;
        if self.pos == LEN {
            (self.pos, self.laps) = (0, self.laps + 1);
        }
        value
    }

    /// A draw from [0, 2⁶³).
    #[inline]
    pub fn int63(&mut self) -> i64 {
        (self.next_u64() & (u64::MAX >> 1)) as i64
    }

    /// A 32-bit draw.
    #[inline]
    pub fn uint32(&mut self) -> u32 {
        (self.int63() >> 31) as u32
    }

    /// A draw from [0, 2³¹).
    #[inline]
    pub fn int31(&mut self) -> i32 {
        (self.int63() >> 32) as i32
    }

    /// A draw from [0, n).
    ///
    /// # Panics
    /// When `n` is not positive.
    pub fn intn(&mut self, n: i64) -> i64 {
        assert!(n > 0, "intn needs a positive bound, not {n}");
        if let Ok(n) = i32::try_from(n) {
            return i64::from(self.int31n(n, int31_limit(n)));
        }
        let limit = int63_limit(n);
        loop {
            let v = self.int63();
            if v <= limit {
                return v % n;
            }
        }
    }

    #[inline]
    fn int31n(&mut self, n: i32, limit: i32) -> i32 {
        loop {
            let v = self.int31();
            if v <= limit {
                return v % n;
            }
        }
    }

    /// Fills `out` with draws from [0, n).
    ///
    /// # Panics
    /// When `n` is not in 1 … 2³¹ − 1.
    pub fn fill_intn(&mut self, n: i64, out: &mut [u32]) {
        let n = small_bound(n);
        let limit = int31_limit(n);
        for cell in out {
            *cell = self.int31n(n, limit) as u32;
        }
    }

    /// Leaves the stream as `count` calls of [`Self::intn`] would, without computing their values.
    ///
    /// # Panics
    /// When `n` is not in 1 … 2³¹ − 1.
    pub fn skip_intn(&mut self, n: i64, count: usize) {
        let limit = int31_limit(small_bound(n));
        let mut owed = count;
        // A rejected value costs one more draw, which may be rejected in its turn.
        while owed > 0 {
            owed = self.advance(owed, limit);
        }
    }

    /// Leaves the stream as `count` calls of [`Self::next_u64`] would.
    pub fn skip(&mut self, count: u64) {
        self.advance(usize::try_from(count).expect("fewer draws than fit into memory"), i32::MAX);
    }

    /// 64-bit draws made so far.
    pub fn draws(&self) -> u64 {
        self.laps * LEN as u64 + self.pos as u64
    }

    /// Advances by `count` draws and counts those whose 31-bit value exceeds `limit`.
    fn advance(&mut self, count: usize, limit: i32) -> usize {
        let mut left = count;
        let mut rejected = 0;
        while left > 0 {
            // A block may reach neither its own tap cells (273 ahead or behind) nor the end of the cells.
            let (block, tap) = if self.pos < TAP {
                let len = left.min(TAP - self.pos);
                let (low, high) = self.cells.split_at_mut(LEN - TAP);
                (&mut low[self.pos..self.pos + len], &high[self.pos..self.pos + len])
            } else {
                let len = left.min(TAP).min(LEN - self.pos);
                let (low, high) = self.cells.split_at_mut(self.pos);
                (&mut high[..len], &low[self.pos - TAP..self.pos - TAP + len])
            };
            rejected += add_block(block, tap, limit);
            left -= block.len();
            self.pos += block.len();
            if self.pos == LEN {
                (self.pos, self.laps) = (0, self.laps + 1);
            }
        }
        rejected
    }

    /// A draw from [0, 1).
    #[inline]
    pub fn float64(&mut self) -> f64 {
        loop {
            let f = self.int63() as f64 / (1u64 << 63) as f64;
            // Values within 2⁻⁵⁴ of one round to it.
            if f != 1.0 {
                return f;
            }
        }
    }

    /// A permutation of 0 … n − 1.
    pub fn perm(&mut self, n: usize) -> Vec<usize> {
        let mut m = vec![0; n];
        for i in 0..n {
            let j = self.intn(i as i64 + 1) as usize;
            m[i] = m[j];
            m[j] = i;
        }
        m
    }

    /// Shuffles in place.
    ///
    /// # Panics
    /// When there are 2³¹ items or more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let bound = i32::try_from(i + 1).expect("fewer than 2^31 items");
            let j = self.bounded(bound as u32);
            items.swap(i, j as usize);
        }
    }

    /// A draw from [0, n) by Lemire's multiplication method.
    fn bounded(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.uint32()) * u64::from(n);
        if (product as u32) < n {
            let reject_below = n.wrapping_neg() % n;
            while (product as u32) < reject_below {
                product = u64::from(self.uint32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }
}

fn small_bound(n: i64) -> i32 {
    i32::try_from(n).ok().filter(|&n| n > 0).unwrap_or_else(|| panic!("bound {n} is not in 1 to 2147483647"))
}

/// The largest 31-bit value that is accepted for bound `n`; all of them when `n` is a power of two, for which
/// the remainder is then the low bits.
#[inline]
fn int31_limit(n: i32) -> i32 {
    (i32::MAX as u32 - (1u32 << 31) % n as u32) as i32
}

#[inline]
fn int63_limit(n: i64) -> i64 {
    (i64::MAX as u64 - (1u64 << 63) % n as u64) as i64
}

/// Draws per turn of the inner loop; wide enough for the compiler to pack the upper halves of several cells together.
const LANES: usize = 16;

/// `block += tap`, counting the sums whose 31-bit value exceeds `limit`.
#[inline]
fn add_block(block: &mut [u64], tap: &[u64], limit: i32) -> usize {
    let exceeds = |value: u64| u32::from((((value >> 32) as u32 & i32::MAX as u32) as i32) > limit);
    let (chunks, rest) = block.as_chunks_mut::<LANES>();
    let (tap_chunks, tap_rest) = tap.as_chunks::<LANES>();
    let mut rejected = [0; LANES];
    for (cells, taps) in chunks.iter_mut().zip(tap_chunks) {
        for lane in 0..LANES {
            cells[lane] = cells[lane].wrapping_add(taps[lane]);
        }
        for lane in 0..LANES {
            rejected[lane] += exceeds(cells[lane]);
        }
    }
    let mut total: u32 = rejected.iter().sum();
    for (cell, &tap) in rest.iter_mut().zip(tap_rest) {
        *cell = cell.wrapping_add(tap);
        total += exceeds(*cell);
    }
    total as usize
}
