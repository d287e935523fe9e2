//! Streams by the hundred thousand.

use super::GoRand;

/// A stream that can be put aside: then it is only its seed and the number of draws that were made (24 bytes instead
/// of 5 kB), from which its cells are computed again when the next draw is due. The draws are the same either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    seed: i64,
    /// Draws made when it was put aside.
    made: u64,
    open: Option<Box<GoRand>>,
}

impl Stream {
    /// The stream of a seed, put aside.
    pub fn new(seed: i64) -> Self {
        Self { seed, made: 0, open: None }
    }

    /// The generator, ready to draw. Costs a seeding and a skip of all draws made when it had been put aside.
    #[inline]
    pub fn open(&mut self) -> &mut GoRand {
        self.open.get_or_insert_with(|| {
            let mut rng = GoRand::new(self.seed);
            rng.skip(self.made);
            Box::new(rng)
        })
    }

    /// Puts it aside.
    pub fn put_aside(&mut self) {
        if let Some(rng) = self.open.take() {
            self.made = rng.draws();
        }
    }

    /// 64-bit draws made so far.
    pub fn draws(&self) -> u64 {
        self.open.as_ref().map_or(self.made, |rng| rng.draws())
    }

    /// Whether it occupies the memory of a generator.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law: a stream that is put aside and taken up again draws what one that stays open does.
    #[test]
    fn putting_aside_changes_no_draw() {
        let mut stays = GoRand::new(-3);
        let mut goes = Stream::new(-3);
        for round in 0..40 {
            for _ in 0..round * 17 {
                assert_eq!(goes.open().next_u64(), stays.next_u64());
            }
            stays.skip_intn(128_000, round);
            goes.open().skip_intn(128_000, round);
            assert_eq!(goes.draws(), stays.draws());
            goes.put_aside();
            assert!(!goes.is_open());
            assert_eq!(goes.draws(), stays.draws());
        }
        assert_eq!(*goes.open(), stays);
    }
}
