//! Always: every prompt goes to a prefill instance.
//!
//! `split = yes`

use super::{Decider, DeciderView};
use crate::Reads;
use crate::registry::{Entry, MakeDecider};

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "always",
    summary: "every prompt goes to a prefill instance",
    formula: "split = yes",
    params: &[],
    make: &|_| Box::new(Always),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Always;

impl Decider for Always {
    fn splits(&mut self, _: &DeciderView<'_>) -> bool {
        true
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
    fn every_prompt_is_split() {
        assert!([0, 1, 16, 100_000].iter().all(|&tokens| Always.splits(&prompt(tokens, 0))));
    }
}
