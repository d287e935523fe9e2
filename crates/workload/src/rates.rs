//! How clients share a total rate.
//!
//! All results are requests per microsecond. Sums run in the order of the clients and every quotient is evaluated as
//! it is written, because another order moves the last bit of a rate and with it whole arrival times.

use crate::window::Window;
use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, GapShape};

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
fn sum(shares: &[Share], value: impl Fn(&Share) -> Option<f64>) -> f64 {
    let mut total = 0.0;
    for share in shares {
        if let Some(value) = value(share) {
            for _ in 0..share.members {
                total += value;
            }
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
    let everybody = sum(shares, |other| Some(other.fraction));
    shares
        .iter()
        .map(|share| {
            let total = if share.windows.is_empty() {
                everybody
            } else {
                sum(shares, |other| share.is_active_with(other, horizon).then_some(other.fraction))
            };
            aggregate_per_s * (share.fraction / total) / 1e6
        })
        .collect()
}

/// One rate per window of each client (for a client without windows, one for all time).
///
/// Without a total, the rate of a window is its own weight, requests per second. Otherwise it is R · (w / Σ) / 10⁶, where
/// the sum is over the clients' weights in their first window that overlaps this one.
pub fn window_rates(aggregate_per_s: f64, shares: &[Share], horizon: Tick) -> Vec<Vec<f64>> {
    let always = [(Window::once(Tick::ZERO, Tick::MAX), None)];
    let rate = |share: &Share, window: &Window, weight: Option<f64>| {
        if aggregate_per_s == 0.0 {
            return weight.unwrap_or_default() / 1e6;
        }
        let total = sum(shares, |other| other.weight_in(window, horizon));
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
