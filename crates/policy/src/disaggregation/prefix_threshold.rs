//! Prefix threshold: a prompt goes to a prefill instance when the decode instance would have to compute much of it.
//!
//! `split = input tokens - cached tokens > pd-prefix-threshold`

use super::{Decider, DeciderView};
use crate::Reads;
use crate::registry::{Entry, MakeDecider, Param, Range};

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "prefix-threshold",
    summary: "prompts of which the decode instance would have to compute more than so many tokens",
    formula: "split = input tokens - cached tokens > pd-prefix-threshold",
    params: &[Param {
        name: "pd-prefix-threshold",
        summary: "uncached tokens up to which the decode instance does everything",
        default: 16.0,
        range: Range::Count,
    }],
    make: &|setup| Box::new(PrefixThreshold { threshold_tokens: setup.params.get("pd-prefix-threshold") }),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct PrefixThreshold {
    /// Uncached tokens up to which the decode instance does everything.
    pub threshold_tokens: f64,
}

impl Decider for PrefixThreshold {
    fn splits(&mut self, view: &DeciderView<'_>) -> bool {
        f64::from(view.uncached_tokens()) > self.threshold_tokens
    }

    fn reads(&self) -> Reads {
        Reads::CACHE
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::prompt;
    use super::*;

    #[test]
    fn worked_example_with_blocks_of_16_tokens_and_a_threshold_of_16() {
        let mut decider = PrefixThreshold { threshold_tokens: 16.0 };
        let cases = [(40, 16, true), (40, 32, false), (16, 0, false), (17, 0, true), (0, 0, false)];
        for (input, cached, splits) in cases {
            assert_eq!(decider.splits(&prompt(input, cached)), splits, "{input} tokens, {cached} cached");
        }
    }

    /// Law: who splits a prompt splits every longer one with as much in the cache.
    #[test]
    fn longer_prompts_are_split_when_shorter_ones_are() {
        let mut decider = PrefixThreshold { threshold_tokens: 100.0 };
        let decisions: Vec<_> = (0..400).map(|input| decider.splits(&prompt(input, 50))).collect();
        assert!(decisions.is_sorted() && decisions[399] && !decisions[0]);
    }
}
