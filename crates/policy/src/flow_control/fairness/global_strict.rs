//! The flow whose first come has waited longest: tenants do not count.
//!
//! `choice = arg min number of the first come`

use super::{BandView, Fairness};
use crate::registry::{Entry, MakeFairness};

/// What the registry says of it.
pub const ENTRY: Entry<MakeFairness> = Entry {
    name: "global-strict",
    summary: "whoever came first, whichever tenant",
    formula: "arg min of the first come's number",
    params: &[],
    make: &|_| Box::new(GlobalStrict),
};

/// `global-strict`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalStrict;

impl Fairness for GlobalStrict {
    fn choose(&mut self, band: &BandView<'_>) -> usize {
        let first = band.first_joined.iter().enumerate().min_by_key(|&(_, joined)| joined);
        first.expect("a band is asked with at least one flow").0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_wait_wins() {
        let band = BandView { band: 3, tenants: &[0, 4, 7], first_joined: &[12, 5, 9] };
        assert_eq!(GlobalStrict.choose(&band), 1);
    }

    proptest! {
        /// Law: nobody who joined later is served earlier, whichever tenants there are.
        #[test]
        fn requests_are_served_in_the_order_in_which_they_joined(
            flows in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..6), 1..6),
        ) {
            let mut flows: Vec<_> = flows.into_iter().enumerate().map(|(tenant, flow)| (tenant as u32, flow)).collect();
            for (_, flow) in &mut flows {
                flow.sort_unstable();
            }
            let mut served = Vec::new();
            while !flows.is_empty() {
                let tenants: Vec<_> = flows.iter().map(|(tenant, _)| *tenant).collect();
                let first_joined: Vec<_> = flows.iter().map(|(_, flow)| flow[0]).collect();
                let chosen = GlobalStrict.choose(&BandView { band: 0, tenants: &tenants, first_joined: &first_joined });
                served.push(flows[chosen].1.remove(0));
                flows.retain(|(_, flow)| !flow.is_empty());
            }
            prop_assert!(served.is_sorted());
        }
    }
}
