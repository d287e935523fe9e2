//! Saturation as in `saturation-v2`, and more only of a kind that has room for all of them.
//!
//! ```text
//! more   = required / supply of one, rounded up, of the cheapest kind for which as many find GPUs; else none
//! fewer  = as in saturation-v2
//! ```

use super::saturation_v2::{PARAMS, SaturationV2, Signal};
use super::{Autoscaler, Scaling, ScalingView};
use crate::registry::{Entry, MakeAutoscaler};

/// What is said about it.
pub const ENTRY: Entry<MakeAutoscaler> = Entry {
    name: "saturation-v2-greedy",
    summary: "saturation-v2 that looks for a kind of instance with room",
    formula: "more of the cheapest kind for which all of them find GPUs, fewer as saturation-v2",
    params: PARAMS,
    make: &|setup| Box::new(SaturationV2Greedy { analysis: SaturationV2::new(setup) }),
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct SaturationV2Greedy {
    analysis: SaturationV2,
}

impl Autoscaler for SaturationV2Greedy {
    fn decide(&mut self, view: &ScalingView<'_>) -> Option<Scaling> {
        let tokens = match self.analysis.analyse(view.variants)? {
            Signal::Spare(tokens) => return self.analysis.fewer(tokens, view.variants),
            Signal::Required(tokens) => tokens,
        };
        let wishes = view.variants.iter().map(|kind| (kind, self.analysis.replicas_for(tokens, kind)));
        let mut with_room = wishes
            .enumerate()
            .filter(|(_, (kind, replicas))| kind.room.is_none_or(|room| i64::from(room) >= *replicas));
        with_room.next().map(|(variant, (_, replicas))| Scaling { variant, replicas })
    }

    fn looks_beyond(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::{Replica, Variant};
    use blis_kernel::Tick;

    fn decide(variants: &[Variant]) -> Option<Scaling> {
        let mut policy = (ENTRY.make)(&crate::Setup::of(&ENTRY.with_defaults().params));
        policy.decide(&ScalingView { now: Tick::ZERO, variants })
    }

    /// One full replica of the cheap kind asks for a second; the dear kind, of which there is none, has room for three.
    fn full(room: Option<u32>) -> [Variant; 2] {
        let full = Replica { capacity_tokens: 100_000, used_tokens: 70_000, queue_depth: 20, in_flight: 90 };
        let kind = |gpu: &str, cost_per_hour, replicas, room| Variant {
            gpu: gpu.into(),
            tp: 1,
            cost_per_hour,
            replicas,
            room,
            ..Variant::default()
        };
        [kind("A100", 2.0, vec![full], room), kind("H100", 4.0, Vec::new(), Some(3))]
    }

    #[test]
    fn the_cheapest_kind_with_room_grows() {
        assert_eq!(decide(&full(None)), Some(Scaling { variant: 0, replicas: 1 }));
        assert_eq!(decide(&full(Some(1))), Some(Scaling { variant: 0, replicas: 1 }));
        assert_eq!(decide(&full(Some(0))), Some(Scaling { variant: 1, replicas: 1 }));
    }

    #[test]
    fn nothing_grows_where_nobody_has_room_for_all() {
        let mut kinds = full(Some(0));
        kinds[1].room = Some(0);
        assert_eq!(decide(&kinds), None);
    }
}
