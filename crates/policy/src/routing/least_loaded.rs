//! The candidate with the smallest load; ties by random draw.
//!
//! `choice = one of { i : L_i = min L }`, each as likely; nothing is drawn for one alone.

use super::{Choice, LoadRule, Router, RouterView, draw_tie};
use crate::Reads;
use crate::registry::{Entry, MakeRouter};
use blis_kernel::rng::GoRand;

/// What the registry says of it.
pub const ENTRY: Entry<MakeRouter> = Entry {
    name: "least-loaded",
    summary: "the instance with the smallest load",
    formula: "arg min load; a random one of equals",
    params: &[],
    make: &|setup| Box::new(LeastLoaded::new(setup.load(), setup.random())),
};

/// `least-loaded`.
#[derive(Clone, Debug)]
pub struct LeastLoaded {
    rule: LoadRule,
    ties: GoRand,
    load: u64,
}

impl LeastLoaded {
    /// Draws ties from `ties`. The host passes the same `rule` in every view.
    pub fn new(rule: LoadRule, ties: GoRand) -> Self {
        Self { rule, ties, load: 0 }
    }
}

impl Router for LeastLoaded {
    fn route(&mut self, view: &RouterView<'_>) -> Choice {
        let (mut least, mut tied) = (u64::MAX, 0);
        for i in 0..view.len() {
            let load = view.load_of(i);
            if load < least {
                (least, tied) = (load, 1);
            } else if load == least {
                tied += 1;
            }
        }
        self.load = least;
        draw_tie(&mut self.ties, tied, (0..view.len()).filter(|&i| view.load_of(i) == least))
    }

    fn reads(&self) -> Reads {
        self.rule.reads()
    }

    fn reason(&self) -> String {
        format!("least-loaded (load={})", self.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::{Sheet, router_stream};
    use proptest::prelude::*;

    fn router() -> LeastLoaded {
        LeastLoaded::new(LoadRule::QueuePlusBatchPlusInFlight, router_stream(42))
    }

    #[test]
    fn smallest_load_wins() {
        let mut router = router();
        assert_eq!(router.route(&Sheet::worked_example().view()), Choice(2));
        assert_eq!(router.reason(), "least-loaded (load=2)");
    }

    #[test]
    fn four_equal_instances_are_drawn_from_the_router_stream() {
        let sheet = Sheet::idle(4);
        let mut router = router();
        let got: Vec<_> = (0..8).map(|_| router.route(&sheet.view()).0).collect();
        assert_eq!(got, [2, 0, 3, 2, 3, 3, 0, 3]);
    }

    #[test]
    fn a_single_smallest_load_consumes_no_draw() {
        let mut router = router();
        router.route(&Sheet::worked_example().view());
        assert_eq!(router.route(&Sheet::idle(4).view()), Choice(2));
    }

    proptest! {
        /// Law: nobody has less load than the chosen one, and as much more for everybody changes no choice.
        #[test]
        fn only_differences_of_load_count(
            loads in prop::collection::vec(0u32..5, 1..20), more in 0u32..100, decisions in 1usize..5,
        ) {
            let sheet = |more: u32| Sheet::from_rows(&loads.iter().map(|&n| (n, 0, 0.0, more, 0)).collect::<Vec<_>>());
            let (mut plain, mut shifted) = (router(), router());
            for _ in 0..decisions {
                let choice = plain.route(&sheet(0).view());
                prop_assert_eq!(Some(&loads[choice.0]), loads.iter().min());
                prop_assert_eq!(choice, shifted.route(&sheet(more).view()));
            }
        }
    }
}
