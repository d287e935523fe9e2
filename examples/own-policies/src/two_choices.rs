//! The less loaded of two candidates that are drawn at random (the power of two choices).

use blis_kernel::rng::GoRand;
use blis_policy::registry::MakeRouter;
use blis_policy::routing::{Choice, Router, RouterView};
use blis_policy::{Entry, Reads};

pub(crate) const ENTRY: Entry<MakeRouter> = Entry {
    name: "two-choices",
    summary: "the less loaded of two instances drawn at random",
    formula: "arg min load over two uniform draws",
    params: &[],
    make: &|setup| Box::new(TwoChoices(setup.random())),
};

struct TwoChoices(GoRand);

impl Router for TwoChoices {
    fn route(&mut self, view: &RouterView<'_>) -> Choice {
        let [first, second] = [0; 2].map(|_| self.0.intn(view.len() as i64) as usize);
        Choice(if view.load_of(second) < view.load_of(first) { second } else { first })
    }

    fn reads(&self) -> Reads {
        Reads::IN_FLIGHT
    }

    fn reason(&self) -> String {
        "two-choices".to_owned()
    }
}
