//! Saturation, as the workload-variant autoscaler of llm-d measures it: tokens asked for against tokens of KV cache.
//!
//! ```text
//! supply    = θ · capacity,  demand = tokens in use + queue depth · n          of each replica, summed
//! required  = demand / a - (supply + θ · pending capacity)                     above 0: more of the cheapest kind
//! spare     = supply - demand / b                                              above 0: fewer of the dearest kind,
//!             if what is left without one replica still exceeds demand / b
//! replicas  = required, or spare, over the supply of one replica               rounded up, or down to at least 1
//! ```

use super::{Autoscaler, Scaling, ScalingView, Variant};
use crate::registry::{Entry, MakeAutoscaler, Param, Range, Setup};

const KV: &str = "scaling-kv-cache-threshold";
const UP: &str = "scale-up-threshold";
const DOWN: &str = "scale-down-boundary";
const INPUT: &str = "scaling-avg-input-tokens";

/// What is said about it.
pub const ENTRY: Entry<MakeAutoscaler> = Entry {
    name: "saturation-v2",
    summary: "tokens asked for against tokens of KV cache",
    formula: "more when demand / a > supply, fewer when demand / b < supply without a replica",
    params: PARAMS,
    make: &|setup| Box::new(SaturationV2::new(setup)),
};

/// What can be set of the analysis.
pub(super) const PARAMS: &[Param] = &[
    Param {
        name: KV,
        summary: "share of the KV cache that may be filled (θ)",
        default: 0.8,
        range: Range::Fraction,
    },
    Param {
        name: UP,
        summary: "share of the supply above which replicas are added (a)",
        default: 0.8,
        range: Range::Positive,
    },
    Param {
        name: DOWN,
        summary: "share of the supply below which replicas are taken away (b)",
        default: 0.4,
        range: Range::Positive,
    },
    Param {
        name: INPUT,
        summary: "tokens that a waiting request counts as (n)",
        default: 512.0,
        range: Range::Positive,
    },
];

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct SaturationV2 {
    kv: f64,
    up: f64,
    down: f64,
    input: f64,
}

/// Sums over the replicas of a kind whose capacity is known.
struct Load {
    replicas: usize,
    supply: f64,
    demand: f64,
}

impl Load {
    fn of_one(&self) -> Option<f64> {
        (self.replicas > 0).then(|| self.supply / self.replicas as f64)
    }
}

/// What the analysis says, tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Signal {
    /// So much supply is missing.
    Required(f64),
    /// So much supply could go.
    Spare(f64),
}

impl SaturationV2 {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let get = |name| setup.params.get(name);
        Self { kv: get(KV), up: get(UP), down: get(DOWN), input: get(INPUT) }
    }

    fn load(&self, variant: &Variant) -> Load {
        let known = variant.replicas.iter().filter(|replica| replica.capacity_tokens > 0);
        known.fold(Load { replicas: 0, supply: 0.0, demand: 0.0 }, |load, replica| Load {
            replicas: load.replicas + 1,
            supply: load.supply + self.kv * replica.capacity_tokens as f64,
            demand: load.demand + replica.used_tokens as f64 + f64::from(replica.queue_depth) * self.input,
        })
    }

    /// What all replicas together have and need.
    pub(super) fn analyse(&self, variants: &[Variant]) -> Option<Signal> {
        if variants.iter().all(|variant| variant.replicas.is_empty()) {
            return None;
        }
        let loads: Vec<_> = variants.iter().map(|variant| self.load(variant)).collect();
        let supply = loads.iter().fold(0.0, |sum, load| sum + load.supply);
        let demand = loads.iter().fold(0.0, |sum, load| sum + load.demand);
        let pending = variants.iter().fold(0, |sum, variant| sum + variant.pending_capacity_tokens);
        let counted: usize = loads.iter().map(|load| load.replicas).sum();
        let required = demand / self.up - (supply + self.kv * pending as f64);
        if required > 0.0 {
            return Some(Signal::Required(required));
        }
        let spare = supply - demand / self.down;
        let largest = loads.iter().filter_map(Load::of_one).fold(0.0, f64::max);
        let can_spare = counted >= 2 && spare > 0.0 && supply - largest > demand / self.down;
        can_spare.then_some(Signal::Spare(spare))
    }

    /// How many more of a kind supply so many tokens; 1 when nobody knows what one supplies.
    pub(super) fn replicas_for(&self, tokens: f64, variant: &Variant) -> i64 {
        self.load(variant).of_one().map_or(1, |one| ((tokens / one).ceil() as i64).max(1))
    }

    /// Fewer of the dearest kind.
    pub(super) fn fewer(&self, spare: f64, variants: &[Variant]) -> Option<Scaling> {
        let by_cost = |a: &usize, b: &usize| {
            let [a, b] = [*a, *b].map(|i| &variants[i]);
            let names = || (b.gpu.as_str(), b.tp).cmp(&(a.gpu.as_str(), a.tp));
            a.cost_per_hour.total_cmp(&b.cost_per_hour).then_with(names)
        };
        let variant = (0..variants.len()).filter(|&i| !variants[i].replicas.is_empty()).max_by(by_cost)?;
        let replicas = variants[variant].replicas.len() as i64;
        let removed = self.load(&variants[variant]).of_one().map_or(1.0, |one| (spare / one).floor());
        Some(Scaling { variant, replicas: -(removed as i64).clamp(1, replicas) })
    }
}

impl Autoscaler for SaturationV2 {
    fn decide(&mut self, view: &ScalingView<'_>) -> Option<Scaling> {
        match self.analyse(view.variants)? {
            Signal::Required(tokens) => {
                let replicas = self.replicas_for(tokens, &view.variants[0]);
                Some(Scaling { variant: 0, replicas })
            }
            Signal::Spare(tokens) => self.fewer(tokens, view.variants),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::Replica;
    use blis_kernel::Tick;

    fn decide(variants: &[Variant]) -> Option<Scaling> {
        let mut policy = (ENTRY.make)(&crate::Setup::of(&ENTRY.with_defaults().params));
        policy.decide(&ScalingView { now: Tick::ZERO, variants })
    }

    fn replica(capacity_tokens: u64, used_tokens: u64, queue_depth: u32) -> Replica {
        Replica { capacity_tokens, used_tokens, queue_depth, in_flight: queue_depth }
    }

    fn h100(replicas: Vec<Replica>) -> Variant {
        Variant { gpu: "H100".into(), tp: 1, cost_per_hour: 4.0, replicas, ..Variant::default() }
    }

    #[test]
    fn a_full_replica_gets_a_second_unless_one_is_on_its_way() {
        let mut variants = [h100(vec![replica(100_000, 70_000, 20)])];
        assert_eq!(decide(&variants), Some(Scaling { variant: 0, replicas: 1 }));
        variants[0].pending_capacity_tokens = 100_000;
        assert_eq!(decide(&variants), None);
    }

    #[test]
    fn the_dearest_kind_goes_first() {
        let busy = h100(vec![replica(100_000, 10_000, 0), replica(100_000, 5_000, 0)]);
        let idle = Variant {
            gpu: "A100".into(),
            tp: 2,
            cost_per_hour: 6.0,
            replicas: vec![replica(50_000, 0, 0)],
            ..Variant::default()
        };
        assert_eq!(decide(&[busy, idle]), Some(Scaling { variant: 1, replicas: -1 }));
    }

    #[test]
    fn idle_replicas_may_all_go() {
        let variants = [h100(vec![replica(100_000, 0, 0); 3])];
        assert_eq!(decide(&variants), Some(Scaling { variant: 0, replicas: -3 }));
    }

    /// Law: more demand never brings fewer replicas.
    #[test]
    fn the_wish_grows_with_demand() {
        let wishes: Vec<_> = (0..200)
            .map(|queue| decide(&[h100(vec![replica(100_000, 0, queue); 3])]).map_or(0, |s| s.replicas))
            .collect();
        assert!(wishes.is_sorted() && wishes[0] < 0 && wishes[199] > 0, "{wishes:?}");
    }
}
