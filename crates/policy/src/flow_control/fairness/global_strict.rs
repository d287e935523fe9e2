//! The flow whose first come has waited longest: tenants do not count.

use super::{BandView, Fairness};
use crate::registry::{Entry, MakeFairness};

/// What the registry says of it.
pub const ENTRY: Entry<MakeFairness> = Entry {
    name: "global-strict",
    summary: "whoever came first, whichever tenant",
    formula: "arg min of the first come's number",
    params: &[],
    make: |_| Box::new(GlobalStrict),
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

    #[test]
    fn the_longest_wait_wins() {
        let band = BandView { band: 3, tenants: &[0, 4, 7], first_joined: &[12, 5, 9] };
        assert_eq!(GlobalStrict.choose(&band), 1);
    }
}
