//! Tenants in turn, by name, each band with a turn of its own. After a tenant that has nothing waiting any more, the
//! turn starts anew.
//!
//! `choice = (place of the tenant served last + 1) mod number of tenants`, 0 where it has no place

use super::{BandView, Fairness};
use crate::registry::{Entry, MakeFairness};
use std::collections::BTreeMap;

/// What the registry says of it.
pub const ENTRY: Entry<MakeFairness> = Entry {
    name: "round-robin",
    summary: "tenants in turn",
    formula: "the tenant after the one served last in the band",
    params: &[],
    make: &|_| Box::new(RoundRobin::default()),
};

/// `round-robin`.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    /// The tenant served last, by band.
    last: BTreeMap<i32, u32>,
}

impl Fairness for RoundRobin {
    fn choose(&mut self, band: &BandView<'_>) -> usize {
        let last = self.last.get(&band.band);
        let after = last.and_then(|last| band.tenants.iter().position(|tenant| tenant == last));
        let chosen = after.map_or(0, |at| (at + 1) % band.tenants.len());
        self.last.insert(band.band, band.tenants[chosen]);
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_band_has_its_own_turn() {
        let mut fairness = RoundRobin::default();
        let mut choose =
            |band, tenants: &[u32]| fairness.choose(&BandView { band, tenants, first_joined: &[0; 3] });
        assert_eq!(choose(4, &[0, 1, 2]), 0);
        assert_eq!(choose(4, &[0, 1, 2]), 1);
        assert_eq!(choose(3, &[0, 1, 2]), 0);
        assert_eq!(choose(4, &[0, 1, 2]), 2);
        assert_eq!(choose(4, &[0, 1]), 0, "tenant 2 is gone");
    }

    proptest! {
        /// While the same tenants wait, nobody is served twice before everybody was served once.
        #[test]
        fn nobody_is_served_twice_in_a_turn(tenants in prop::collection::btree_set(0u32..50, 1..9)) {
            let tenants: Vec<_> = tenants.into_iter().collect();
            let first_joined = vec![0; tenants.len()];
            let band = BandView { band: 0, tenants: &tenants, first_joined: &first_joined };
            let mut fairness = RoundRobin::default();
            for _ in 0..3 {
                let mut turn: Vec<_> = tenants.iter().map(|_| fairness.choose(&band)).collect();
                turn.sort_unstable();
                prop_assert_eq!(turn, (0..tenants.len()).collect::<Vec<_>>());
            }
        }
    }
}
