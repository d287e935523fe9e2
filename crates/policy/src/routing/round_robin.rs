//! In turn: candidate number (counter mod n), counter + 1 per decision.
//!
//! The counter is taken modulo the present number of candidates, so a change of their number shifts the phase.

use super::{Choice, Router, RouterView};
use crate::Reads;
use crate::registry::{Entry, MakeRouter};

/// What the registry says of it.
pub const ENTRY: Entry<MakeRouter> = Entry {
    name: "round-robin",
    summary: "in turn",
    formula: "decision number modulo the number of candidates",
    params: &[],
    make: &|_| Box::new(RoundRobin::default()),
};

/// `round-robin`.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    counter: u64,
}

impl Router for RoundRobin {
    fn route(&mut self, view: &RouterView<'_>) -> Choice {
        let index = (self.counter % view.len() as u64) as usize;
        self.counter += 1;
        Choice(index)
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }

    fn reason(&self) -> String {
        format!("round-robin[{}]", self.counter.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;
    use proptest::prelude::*;

    #[test]
    fn candidates_take_turns_and_a_change_of_their_number_shifts_the_phase() {
        let (three, two) = (Sheet::worked_example(), Sheet::idle(2));
        let mut router = RoundRobin::default();
        assert_eq!(router.route(&three.view()), Choice(0));
        assert_eq!(router.reason(), "round-robin[0]");
        let got: Vec<_> = [&three, &two, &two, &three].iter().map(|s| router.route(&s.view()).0).collect();
        assert_eq!(got, [1, 0, 1, 1]);
    }

    proptest! {
        /// Law: after any number of decisions no candidate is ahead of another by more than one request.
        #[test]
        fn nobody_gets_two_more_than_anybody_else(candidates in 1usize..20, decisions in 0usize..100) {
            let sheet = Sheet::idle(candidates);
            let mut router = RoundRobin::default();
            let mut got = vec![0; candidates];
            for _ in 0..decisions {
                got[router.route(&sheet.view()).0] += 1;
            }
            let (least, most) = (got.iter().min(), got.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{got:?}");
        }
    }
}
