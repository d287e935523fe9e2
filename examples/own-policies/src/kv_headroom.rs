//! KV caches with room to spare are as good as empty ones; below that, the fuller the worse.

use blis_policy::registry::MakeScorer;
use blis_policy::routing::{RouterView, Scorer};
use blis_policy::{Entry, Param, Range, Reads};

pub(crate) const ENTRY: Entry<MakeScorer> = Entry {
    name: "kv-headroom",
    summary: "enough free KV blocks",
    formula: "min(1, (1 - KV) / h)",
    params: &[Param {
        name: "kv-headroom-enough",
        summary: "share of free blocks that is enough (h)",
        default: 0.5,
        range: Range::Fraction,
    }],
    make: &|setup| Box::new(KvHeadroom { enough: setup.params.get("kv-headroom-enough") }),
};

struct KvHeadroom {
    enough: f64,
}

impl Scorer for KvHeadroom {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        for (score, used) in out.iter_mut().zip(view.kv_utilization) {
            *score = ((1.0 - used) / self.enough).min(1.0);
        }
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }
}
