//! Who writes which files.

use std::fmt;

/// One of the processes that share the trials of an experiment, on one machine or on many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    index: u32,
    of: u32,
}

impl Part {
    /// The only one.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// Part `index` of `of`, counted from 1; `None` where there is no such part.
    pub fn new(index: u32, of: u32) -> Option<Self> {
        (1..=of).contains(&index).then_some(Self { index, of })
    }

    /// Its number, from 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether a trial is this part's.
    pub fn has(self, trial: u64) -> bool {
        trial % u64::from(self.of) == u64::from(self.index - 1)
    }

    /// How its files begin.
    pub(crate) fn stem(self) -> String {
        format!("part-{}-of-{}", self.index, self.of)
    }

    /// Its file of this number.
    pub(crate) fn shard(self, number: u32) -> String {
        format!("{}-{number:06}.parquet", self.stem())
    }

    /// The number of a file of this part, also of one that was put aside.
    pub(crate) fn number(self, file: &str) -> Option<u32> {
        let rest = file.strip_prefix(&self.stem())?.strip_prefix('-')?;
        rest.split_once(".parquet")?.0.parse().ok()
    }
}

impl fmt::Display for Part {
    /// `k/n`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}
