//! A coin: the baseline that deciders which learn are compared with.
//!
//! `split = u < p`, u uniform in [0, 1) from the deciders' own stream.

use super::{Decider, DeciderView};
use crate::Reads;
use crate::registry::{Entry, MakeDecider, Param, Range};
use blis_kernel::rng::GoRand;

const PROBABILITY: &str = "pd-split-probability";

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "bernoulli",
    summary: "a share of the prompts, drawn at random",
    formula: "split = u < p, u uniform",
    params: &[Param {
        name: PROBABILITY,
        summary: "share of the prompts that go to a prefill instance (p)",
        default: 0.5,
        range: Range::Share,
    }],
    make: &|setup| Box::new(Bernoulli { probability: setup.params.get(PROBABILITY), random: setup.random() }),
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Bernoulli {
    probability: f64,
    random: GoRand,
}

impl Decider for Bernoulli {
    fn splits(&mut self, view: &DeciderView<'_>) -> bool {
        view.input_tokens > 0 && self.random.float64() < self.probability
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
    fn the_share_is_the_probability_and_an_empty_prompt_is_never_split() {
        for (probability, least, most) in [(0.0, 0, 0), (0.25, 2_350, 2_650), (1.0, 10_000, 10_000)] {
            let mut decider = made(ENTRY, &[(PROBABILITY, probability)]);
            let splits = (0..10_000).filter(|_| decider.splits(&prompt(100, 0))).count();
            assert!((least..=most).contains(&splits), "{splits} at {probability}");
        }
        assert!(!made(ENTRY, &[(PROBABILITY, 1.0)]).splits(&prompt(0, 0)));
    }

    /// Law: equal seeds, equal decisions.
    #[test]
    fn the_coin_falls_the_same_way_in_every_run() {
        let decisions = || {
            let mut decider = made(ENTRY, &[]);
            (0..64).map(|_| decider.splits(&prompt(100, 0))).collect::<Vec<_>>()
        };
        assert_eq!(decisions(), decisions());
    }
}
