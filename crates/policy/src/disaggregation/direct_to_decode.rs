//! Direct to decode: short prompts stay where they are decoded, cached or not.
//!
//! `split = input tokens >= pd-direct-decode-threshold`

use super::{Decider, DeciderView};
use crate::Reads;
use crate::registry::{Entry, MakeDecider, Param, Range};

const THRESHOLD: &str = "pd-direct-decode-threshold";

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "direct-to-decode",
    summary: "prompts of at least so many tokens, cached or not",
    formula: "split = input tokens >= pd-direct-decode-threshold",
    params: &[Param {
        name: THRESHOLD,
        summary: "shortest prompt that goes to a prefill instance, tokens",
        default: 256.0,
        range: Range::Count,
    }],
    make: &|setup| Box::new(DirectToDecode { threshold_tokens: setup.params.get(THRESHOLD) }),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct DirectToDecode {
    threshold_tokens: f64,
}

impl Decider for DirectToDecode {
    fn splits(&mut self, view: &DeciderView<'_>) -> bool {
        view.input_tokens > 0 && f64::from(view.input_tokens) >= self.threshold_tokens
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{made, prompt};
    use super::*;

    #[test]
    fn worked_example() {
        let mut decider = made(ENTRY, &[]);
        let cases = [(255, 0, false), (256, 0, true), (256, 256, true), (0, 0, false)];
        for (input, cached, splits) in cases {
            assert_eq!(decider.splits(&prompt(input, cached)), splits, "{input} tokens, {cached} cached");
        }
        assert!(!made(ENTRY, &[(THRESHOLD, 0.0)]).splits(&prompt(0, 0)));
    }

    /// Law: who splits a prompt splits every longer one.
    #[test]
    fn longer_prompts_are_split_when_shorter_ones_are() {
        let mut decider = made(ENTRY, &[]);
        let decisions: Vec<_> = (0..600).map(|input| decider.splits(&prompt(input, 0))).collect();
        assert!(decisions.is_sorted() && decisions[599] && !decisions[0]);
    }
}
