//! Who the instances are and what they may get.

use crate::plan::Plan;
use crate::routing::Pool;

/// The instances by what they do.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    routable: Vec<u32>,
    prefill: Vec<u32>,
    decode: Vec<u32>,
    encode: Vec<u32>,
}

impl Fleet {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut fleet = Self { routable: (0..plan.instances).collect(), ..Self::default() };
        if let Some(disaggregation) = &plan.disaggregation {
            let pools = disaggregation.pools;
            let mut at = 0;
            let mut deal = |count: u32| {
                at += count;
                at - count..at
            };
            fleet.prefill.extend(deal(pools.prefill));
            fleet.decode.extend(deal(pools.decode));
            let shared = deal(pools.shared);
            fleet.prefill.extend(shared.clone());
            fleet.decode.extend(shared);
            fleet.encode.extend(deal(pools.encode));
        }
        fleet
    }

    /// The instances of a pool that take requests, in order.
    #[inline]
    pub(crate) fn members(&self, pool: Pool) -> &[u32] {
        match pool {
            Pool::Routable => &self.routable,
            Pool::Prefill => &self.prefill,
            Pool::Decode => &self.decode,
            Pool::Encode => &self.encode,
        }
    }

    /// Which instances are in a pool, by number.
    pub(crate) fn flags(&self, pool: Pool) -> Vec<bool> {
        let members = self.members(pool);
        let last = members.iter().max().map_or(0, |&last| last as usize + 1);
        let mut flags = vec![false; last];
        for &member in members {
            flags[member as usize] = true;
        }
        flags
    }
}
