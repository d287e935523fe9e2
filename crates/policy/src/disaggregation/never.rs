//! Never: the decode instance does everything.
//!
//! `split = no`

use super::{Decider, DeciderView};
use crate::Reads;
use crate::registry::{Entry, MakeDecider};

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "never",
    summary: "the decode instance does everything",
    formula: "split = no",
    params: &[],
    make: &|_| Box::new(Never),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Never;

impl Decider for Never {
    fn splits(&mut self, _: &DeciderView<'_>) -> bool {
        false
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::prompt;
    use super::*;

    #[test]
    fn no_prompt_is_split() {
        assert!([0, 1, 16, 100_000].iter().all(|&tokens| !Never.splits(&prompt(tokens, 0))));
    }
}
