//! Always 0: nothing is ever held back.

use super::{FleetView, SaturationDetector};
use crate::Reads;
use crate::registry::{Entry, MakeDetector};

/// What the registry says of it.
pub const ENTRY: Entry<MakeDetector> = Entry {
    name: "never",
    summary: "nothing is ever saturated",
    formula: "0",
    params: &[],
    make: &|_| Box::new(Never),
};

/// `never`.
#[derive(Clone, Copy, Debug)]
pub struct Never;

impl SaturationDetector for Never {
    fn saturation(&mut self, _: &FleetView<'_>) -> f64 {
        0.0
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::tests::saturation;

    #[test]
    fn full_instances_and_no_instances_are_fine() {
        assert_eq!(saturation(&mut Never, &[(99, 1.0, 99)]), 0.0);
        assert_eq!(saturation(&mut Never, &[]), 0.0);
    }
}
