//! How clients share a total rate.
//!
//! All results are requests per microsecond. Sums run in the order of the clients and every quotient is evaluated as
//! it is written, because another order moves the last bit of a rate and with it whole arrival times.
//!
//! Windows that many clients have are summed up once, equal members are added many at a time, and only clients whose
//! windows overlap are looked at.

mod overlap;

use crate::window::Window;
use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, GapShape};
use overlap::Overlaps;
use rustc_hash::FxHashMap;

/// A number of equal clients that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// How many.
    pub members: u32,
    /// The part of the total rate that each of them asks for; the parts need not sum to 1.
    pub fraction: f64,
    /// When they are active; empty = always. The weight replaces the fraction in its window.
    pub windows: Vec<(Window, Option<f64>)>,
}

impl Share {
    /// One client that is always active.
    pub fn constant(fraction: f64) -> Self {
        Self { members: 1, fraction, windows: Vec::new() }
    }

    fn is_active_with(&self, other: &Self, horizon: Tick) -> bool {
        self.windows.is_empty()
            || other.windows.is_empty()
            || self
                .windows
                .iter()
                .any(|(mine, _)| other.windows.iter().any(|(w, _)| mine.overlaps(w, horizon)))
    }

    /// What each member counts for while `window` lasts.
    fn weight_in(&self, window: &Window, horizon: Tick) -> Option<f64> {
        if self.windows.is_empty() {
            return Some(self.fraction);
        }
        let first = self.windows.iter().find(|(mine, _)| mine.overlaps(window, horizon))?;
        Some(first.1.unwrap_or(self.fraction))
    }
}

/// The sum of one value per client, in the order of the clients.
fn sum<'a>(shares: impl Iterator<Item = &'a Share>, value: impl Fn(&Share) -> Option<f64>) -> f64 {
    shares
        .fold(0.0, |total, share| value(share).map_or(total, |value| add_times(total, value, share.members)))
}

/// What adding `value` to `total` so many times gives, rounded each time; neither is negative.
fn add_times(mut total: f64, value: f64, times: u32) -> f64 {
    let exponent = |x: f64| x.to_bits() >> 52;
    let mut left = times;
    while left > 0 {
        let (once, twice) = (total + value, total + value + value);
        if left == 1 {
            return once;
        }
        left -= 2;
        // Sums of one exponent have one distance. From the second on they also all round to the same side: half a
        // distance goes to the even neighbour, and an even one stays even.
        let step = twice - once;
        if step == 0.0 {
            return twice;
        }
        let same = exponent(total) == exponent(twice) && twice.is_finite();
        total = twice;
        if same {
            let end = f64::from_bits((exponent(twice) + 1) << 52);
            // One less, because the quotient is rounded.
            let steps = (((end - twice) / step).floor() - 1.0).clamp(0.0, f64::from(left));
            total += steps * step;
            left -= steps as u32;
        }
    }
    total
}

/// The shares of clients that are always active: R · (fᵢ / Σf) / 10⁶.
pub fn allocate_rates(aggregate_per_s: f64, fractions: &[f64]) -> Vec<f64> {
    let shares: Vec<_> = fractions.iter().map(|&fraction| Share::constant(fraction)).collect();
    constant_rates(aggregate_per_s, &shares, Tick::MAX)
}

/// One rate per client for all its windows: R · (fᵢ / Σf) / 10⁶, where the sum is over the clients that are active at
/// the same time as client i at least once before `horizon`.
///
/// A client that is active all the time shares with everybody, also with clients that never meet each other: then the
/// rates of a moment sum to less than R.
pub fn constant_rates(aggregate_per_s: f64, shares: &[Share], horizon: Tick) -> Vec<f64> {
    let everybody = sum(shares.iter(), |other| Some(other.fraction));
    let overlaps = Overlaps::new(shares);
    let mut totals = FxHashMap::<Vec<Window>, f64>::default();
    let mut total_of = |share: &Share| {
        if share.windows.is_empty() {
            return everybody;
        }
        let windows: Vec<Window> = share.windows.iter().map(|(window, _)| *window).collect();
        if let Some(&total) = totals.get(&windows) {
            return total;
        }
        let others = overlaps.candidates(windows.iter());
        let others = others.into_iter().map(|other| &shares[other as usize]);
        let total = sum(others, |other| share.is_active_with(other, horizon).then_some(other.fraction));
        totals.insert(windows, total);
        total
    };
    shares.iter().map(|share| aggregate_per_s * (share.fraction / total_of(share)) / 1e6).collect()
}

/// One rate per window of each client (for a client without windows, one for all time).
///
/// Without a total, the rate of a window is its own weight, requests per second. Otherwise it is R · (w / Σ) / 10⁶, where
/// the sum is over the clients' weights in their first window that overlaps this one.
pub fn window_rates(aggregate_per_s: f64, shares: &[Share], horizon: Tick) -> Vec<Vec<f64>> {
    let always = [(Window::once(Tick::ZERO, Tick::MAX), None)];
    let overlaps = Overlaps::new(shares);
    let mut totals = FxHashMap::<Window, f64>::default();
    let mut rate = |share: &Share, window: &Window, weight: Option<f64>| {
        if aggregate_per_s == 0.0 {
            return weight.unwrap_or_default() / 1e6;
        }
        let total = *totals.entry(*window).or_insert_with(|| {
            let others = overlaps.candidates(std::iter::once(window));
            let others = others.into_iter().map(|other| &shares[other as usize]);
            sum(others, |other| other.weight_in(window, horizon))
        });
        if total == 0.0 { 0.0 } else { aggregate_per_s * (weight.unwrap_or(share.fraction) / total) / 1e6 }
    };
    shares
        .iter()
        .map(|share| {
            let windows = if share.windows.is_empty() { &always[..] } else { &share.windows };
            windows.iter().map(|(window, weight)| rate(share, window, *weight)).collect()
        })
        .collect()
}

/// The process with its mean moved to that of the rate and its shape kept, when shape and scale are both given.
pub fn at_rate(process: ArrivalProcess, per_us: f64) -> ArrivalProcess {
    let moved = |gap: GapShape, mean_of_unit_scale: fn(f64) -> f64| match (gap.shape, gap.scale_us) {
        (Some(shape), Some(scale)) if shape > 0.0 && scale > 0.0 && per_us > 0.0 => {
            GapShape { scale_us: Some(1.0 / per_us / mean_of_unit_scale(shape)), ..gap }
        }
        _ => gap,
    };
    match process {
        ArrivalProcess::Gamma(gap) => ArrivalProcess::Gamma(moved(gap, |shape| shape)),
        ArrivalProcess::Weibull(gap) => {
            ArrivalProcess::Weibull(moved(gap, |shape| libm::tgamma(1.0 + 1.0 / shape)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(fraction: f64, windows: &[(i64, i64, Option<f64>)]) -> Share {
        let window = |&(start, end, weight): &(i64, i64, Option<f64>)| {
            (Window::once(Tick::from_us(start), Tick::from_us(end)), weight)
        };
        Share { members: 1, fraction, windows: windows.iter().map(window).collect() }
    }

    #[test]
    fn clients_share_with_those_they_meet() {
        let shares =
            [share(0.6, &[(0, 10, None), (30, 40, None)]), share(0.2, &[(10, 20, None)]), share(0.2, &[])];
        let rates = constant_rates(8e6, &shares, Tick::MAX);
        assert_eq!(
            rates,
            [8.0 * (0.6 / (0.6 + 0.2)), 8.0 * (0.2 / (0.2 + 0.2)), 8.0 * (0.2 / (0.6 + 0.2 + 0.2))]
        );
    }

    #[test]
    fn members_of_a_cohort_count_one_by_one() {
        let cohort = Share { members: 3, ..share(0.1, &[]) };
        let rates = constant_rates(1e6, &[cohort, share(0.2, &[])], Tick::MAX);
        assert_eq!(rates[0], 0.1 / (0.1 + 0.1 + 0.1 + 0.2));
    }

    /// Law: adding many at a time gives, bit by bit, what adding one after the other gives.
    #[test]
    fn many_members_are_added_as_if_one_by_one() {
        let mut rng = blis_kernel::rng::GoRand::new(5);
        for round in 0..3_000 {
            let mut number = || libm::exp(20.0 * (rng.float64() - 0.7));
            let (start, mut value) = (if round % 3 == 0 { 0.0 } else { number() }, number());
            if round % 5 == 0 {
                // Half of the last place of many sums.
                value = f64::from_bits(value.to_bits() >> 40 << 40);
            }
            if round % 7 == 0 {
                value = 0.0;
            }
            let mut slowly = start;
            for times in 0..=20_000_u32 {
                if times % 4_999 < 3 || times.is_power_of_two() {
                    assert_eq!(add_times(start, value, times), slowly, "{start} + {times} * {value}");
                }
                slowly += value;
            }
        }
    }

    /// Law: a hundred thousand clients with windows of their own do not look at each other all.
    #[test]
    fn clients_that_never_meet_are_quick() {
        let many: Vec<_> = (0..100_000).map(|i| share(0.5, &[(i * 10, i * 10 + 15, Some(2.0))])).collect();
        let rates = window_rates(12e6, &many, Tick::MAX);
        assert_eq!((rates[0][0], rates[5][0]), (12.0 * (2.0 / 4.0), 12.0 * (2.0 / 6.0)));
        let rates = constant_rates(12e6, &many, Tick::MAX);
        assert_eq!((rates[0], rates[99_998]), (12.0 * (0.5 / 1.0), 12.0 * (0.5 / 1.5)));
    }

    #[test]
    fn a_window_has_its_own_rate_or_a_weight_in_the_total() {
        let shares = [share(1.0, &[(0, 10, Some(3.0)), (10, 20, Some(6.0))]), share(2.0, &[(5, 30, None)])];
        assert_eq!(window_rates(0.0, &shares[..1], Tick::MAX), [[3.0 / 1e6, 6.0 / 1e6]]);
        let rates = window_rates(10e6, &shares, Tick::MAX);
        assert_eq!(rates[0], [10.0 * (3.0 / 5.0), 10.0 * (6.0 / 8.0)]);
        assert_eq!(rates[1], [10.0 * (2.0 / (3.0 + 2.0))], "the first window that overlaps decides");
    }

    #[test]
    fn an_explicit_scale_gives_way_to_the_rate() {
        let explicit = GapShape { cv: None, shape: Some(0.5), scale_us: Some(7.0) };
        let moved = at_rate(ArrivalProcess::Gamma(explicit), 0.01);
        assert_eq!(moved, ArrivalProcess::Gamma(GapShape { scale_us: Some(200.0), ..explicit }));
        assert_eq!(at_rate(ArrivalProcess::Poisson, 0.01), ArrivalProcess::Poisson);
    }
}
