//! The candidate with the largest load, the first of them on ties; for tests of what bad routing costs.
//!
//! `choice = min { i : L_i = max L }`

use super::{Choice, LoadRule, Router, RouterView};
use crate::Reads;
use crate::registry::{Entry, MakeRouter};

/// What the registry says of it.
pub const ENTRY: Entry<MakeRouter> = Entry {
    name: "always-busiest",
    summary: "the instance with the largest load (for tests)",
    formula: "arg max load; the first of equals",
    params: &[],
    make: &|setup| Box::new(AlwaysBusiest::new(setup.load())),
};

/// `always-busiest`.
#[derive(Clone, Debug)]
pub struct AlwaysBusiest {
    rule: LoadRule,
    load: u64,
}

impl AlwaysBusiest {
    /// The host passes the same `rule` in every view.
    pub fn new(rule: LoadRule) -> Self {
        Self { rule, load: 0 }
    }
}

impl Router for AlwaysBusiest {
    fn route(&mut self, view: &RouterView<'_>) -> Choice {
        let mut busiest = 0;
        self.load = view.load_of(0);
        for i in 1..view.len() {
            let load = view.load_of(i);
            if load > self.load {
                (busiest, self.load) = (i, load);
            }
        }
        Choice(busiest)
    }

    fn reads(&self) -> Reads {
        self.rule.reads()
    }

    fn reason(&self) -> String {
        format!("always-busiest (load={})", self.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;
    use proptest::prelude::*;

    #[test]
    fn largest_load_wins_and_the_first_of_equals() {
        let mut router = AlwaysBusiest::new(LoadRule::QueuePlusBatchPlusInFlight);
        assert_eq!(router.route(&Sheet::worked_example().view()), Choice(0));
        assert_eq!(router.reason(), "always-busiest (load=36)");
        assert_eq!(router.route(&Sheet::idle(3).view()), Choice(0));
    }

    proptest! {
        /// Law: nobody has more load than the chosen one, and nobody before it as much.
        #[test]
        fn the_chosen_one_is_the_first_of_the_busiest(loads in prop::collection::vec(0u32..5, 1..20)) {
            let rows: Vec<_> = loads.iter().map(|&load| (load, 0, 0.0, 0, 0)).collect();
            let mut router = AlwaysBusiest::new(LoadRule::QueuePlusBatchPlusInFlight);
            let Choice(at) = router.route(&Sheet::from_rows(&rows).view());
            prop_assert!(loads[..at].iter().all(|&load| load < loads[at]));
            prop_assert!(loads[at..].iter().all(|&load| load <= loads[at]));
        }
    }
}
