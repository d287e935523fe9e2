//! Room is held back for important bands: ceilings on a straight line from cMax for the first band to cMin for the
//! last; cMax for a lone band.

use super::{UsageLimit, on_a_line};
use crate::registry::{Entry, MakeUsageLimit, Param, Range};

const HIGHEST: &str = "holdback-max-ceiling";
const LOWEST: &str = "holdback-min-ceiling";

/// What the registry says of it.
pub const ENTRY: Entry<MakeUsageLimit> = Entry {
    name: "priority-holdback",
    summary: "room is held back for important bands, the most important one included",
    formula: "cMax - i * (cMax - cMin) / (N - 1)",
    params: &[
        Param {
            name: HIGHEST,
            summary: "ceiling of the most important band (cMax)",
            default: 1.0,
            range: Range::Fraction,
        },
        Param {
            name: LOWEST,
            summary: "ceiling of the least important band (cMin)",
            default: 0.5,
            range: Range::Fraction,
        },
    ],
    make: &|setup| {
        Box::new(PriorityHoldback { highest: setup.params.get(HIGHEST), lowest: setup.params.get(LOWEST) })
    },
};

/// `priority-holdback`.
#[derive(Clone, Copy, Debug)]
pub struct PriorityHoldback {
    highest: f64,
    lowest: f64,
}

impl UsageLimit for PriorityHoldback {
    fn ceilings(&mut self, _: f64, bands: &[i32], out: &mut [f64]) {
        for (i, ceiling) in out.iter_mut().enumerate() {
            *ceiling = on_a_line(self.highest, self.lowest, i, bands.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_control::usage_limit::ceilings;
    use proptest::prelude::*;

    #[test]
    fn even_the_first_band_stops_below_full() {
        let mut limit = PriorityHoldback { highest: 0.75, lowest: 0.25 };
        assert_eq!(ceilings(&mut limit, 0.0, &[4, 3, -1]), [0.75, 0.5, 0.25]);
        assert_eq!(ceilings(&mut limit, 0.0, &[4]), [0.75]);
    }

    proptest! {
        /// Laws: every ceiling lies between the two that are given, and holding more back raises none.
        #[test]
        fn every_ceiling_lies_between_the_two(
            lowest in 0.01f64..=1.0, above in 0.0f64..=1.0, saturation in 0.0f64..2.0, bands in 2i32..9,
        ) {
            let bands: Vec<_> = (0..bands).rev().collect();
            let highest = lowest + above * (1.0 - lowest);
            let of = |highest| ceilings(&mut PriorityHoldback { highest, lowest }, saturation, &bands);
            let (got, fullest) = (of(highest), of(1.0));
            prop_assert!(got[0] == highest && got.iter().all(|&c| lowest - 1e-12 <= c && c <= highest), "{got:?}");
            prop_assert!(got.iter().zip(&fullest).all(|(c, full)| *c <= full + 1e-12), "{got:?} {fullest:?}");
        }
    }
}
