//! Ceilings on a straight line: band i of N gets 1 - i * (1 - u) / (N - 1); 1 for a lone band.

use super::{UsageLimit, on_a_line};
use crate::registry::{Entry, MakeUsageLimit, Param, Range};

const THRESHOLD: &str = "usage-limit-threshold";

/// What the registry says of it.
pub const ENTRY: Entry<MakeUsageLimit> = Entry {
    name: "static-usage-limit",
    summary: "the less important the band, the lower its ceiling, down to a threshold",
    formula: "1 - i * (1 - u) / (N - 1)",
    params: &[Param {
        name: THRESHOLD,
        summary: "ceiling of the least important band (u)",
        default: 1.0,
        range: Range::Fraction,
    }],
    make: &|setup| Box::new(StaticUsageLimit { threshold: setup.params.get(THRESHOLD) }),
};

/// `static-usage-limit`.
#[derive(Clone, Copy, Debug)]
pub struct StaticUsageLimit {
    threshold: f64,
}

impl UsageLimit for StaticUsageLimit {
    fn ceilings(&mut self, _: f64, bands: &[i32], out: &mut [f64]) {
        for (i, ceiling) in out.iter_mut().enumerate() {
            *ceiling = on_a_line(1.0, self.threshold, i, bands.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_control::usage_limit::ceilings;
    use proptest::prelude::*;

    #[test]
    fn three_bands_down_to_two_fifths() {
        let mut limit = StaticUsageLimit { threshold: 0.4 };
        assert_eq!(ceilings(&mut limit, 0.9, &[4, 3, -1]), [1.0, 0.7, 0.4]);
        assert_eq!(ceilings(&mut limit, 0.9, &[-1]), [1.0]);
    }

    proptest! {
        /// Law: whatever the threshold and the saturation, from full down to the threshold in equal steps.
        #[test]
        fn ceilings_fall_in_equal_steps(threshold in 0.01f64..=1.0, saturation in 0.0f64..2.0, bands in 2i32..9) {
            let bands: Vec<_> = (0..bands).rev().collect();
            let got = ceilings(&mut StaticUsageLimit { threshold }, saturation, &bands);
            let step = (1.0 - threshold) / (bands.len() - 1) as f64;
            prop_assert!(got[0] == 1.0 && (got[bands.len() - 1] - threshold).abs() < 1e-12, "{got:?}");
            prop_assert!(got.windows(2).all(|pair| (pair[0] - pair[1] - step).abs() < 1e-12), "{got:?}");
        }
    }
}
