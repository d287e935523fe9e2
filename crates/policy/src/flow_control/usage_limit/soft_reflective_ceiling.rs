//! Less important bands are opened now and then instead of being shut, without any parameter.
//!
//! The first band's ceiling is 1. Band i of N is open while sat < 1 - i * sat / (N - 1). Beyond that it is open once in
//! every `period` attempts, period = max(1, round(sat / (1 - sat))), halves up, counted per band; and shut at sat >= 1.

use super::UsageLimit;
use crate::registry::{Entry, MakeUsageLimit};
use std::collections::BTreeMap;

/// What the registry says of it.
pub const ENTRY: Entry<MakeUsageLimit> = Entry {
    name: "soft-reflective-ceiling",
    summary: "less important bands are served ever more rarely, without any parameter",
    formula: "open if sat < 1 - i * sat / (N - 1), else once in round(sat / (1 - sat)) attempts",
    params: &[],
    make: &|_| Box::new(SoftReflectiveCeiling::default()),
};

/// `soft-reflective-ceiling`.
#[derive(Clone, Debug, Default)]
pub struct SoftReflectiveCeiling {
    /// Attempts at which a band was held back, by band.
    attempts: BTreeMap<i32, u64>,
}

impl UsageLimit for SoftReflectiveCeiling {
    fn ceilings(&mut self, saturation: f64, bands: &[i32], out: &mut [f64]) {
        out.fill(1.0);
        for (i, (band, ceiling)) in bands.iter().zip(out).enumerate().skip(1) {
            let reflected = 1.0 - i as f64 * saturation / (bands.len() - 1) as f64;
            if saturation < reflected {
                continue;
            }
            if saturation >= 1.0 {
                *ceiling = 0.0;
                continue;
            }
            // The odds of 0.6 are 1.5, and a hair less in binary: they are to round up.
            let period = libm::round(saturation / (1.0 - saturation) + 1e-9).max(1.0) as u64;
            let attempts = self.attempts.entry(*band).or_default();
            *attempts += 1;
            *ceiling = if attempts.is_multiple_of(period) { 1.0 } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_control::usage_limit::ceilings;
    use proptest::prelude::*;

    #[test]
    fn at_three_fifths_the_last_of_three_bands_opens_every_second_time() {
        let mut limit = SoftReflectiveCeiling::default();
        let got: Vec<_> = (0..4).map(|_| ceilings(&mut limit, 0.6, &[4, 3, -1])).collect();
        assert_eq!(got.iter().map(|c| (c[0], c[1])).collect::<Vec<_>>(), [(1.0, 1.0); 4]);
        assert_eq!(got.iter().map(|c| c[2]).collect::<Vec<_>>(), [0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn the_share_of_refused_attempts_grows_with_saturation() {
        for (saturation, period) in [(0.5, 1), (0.6, 2), (0.75, 3), (0.9, 9)] {
            let mut limit = SoftReflectiveCeiling::default();
            let open = (0..90).filter(|_| ceilings(&mut limit, saturation, &[1, 0])[1] > 0.0).count();
            assert_eq!(open, 90 / period, "saturation {saturation}");
        }
        assert_eq!(ceilings(&mut SoftReflectiveCeiling::default(), 1.0, &[1, 0]), [1.0, 0.0]);
        assert_eq!(ceilings(&mut SoftReflectiveCeiling::default(), 0.9, &[1]), [1.0]);
    }

    proptest! {
        /// Law: at a steady saturation a band that is held back is opened once in every period, evenly.
        #[test]
        fn a_held_band_opens_at_an_even_pace(saturation in 0.51f64..0.99, periods in 1usize..5) {
            let mut limit = SoftReflectiveCeiling::default();
            let mut opens = || ceilings(&mut limit, saturation, &[1, 0])[1] == 1.0;
            let period = 1 + (0..1_000).take_while(|_| !opens()).count();
            let odds = saturation / (1.0 - saturation);
            prop_assert!((period as f64 - odds).abs() < 0.5 + 1e-6, "{period} at odds of {odds}");
            let opened: Vec<_> = (0..periods * period).map(|_| opens()).collect();
            for turn in opened.chunks(period) {
                prop_assert!(turn[period - 1] && turn.iter().filter(|&&open| open).count() == 1);
            }
        }
    }
}
