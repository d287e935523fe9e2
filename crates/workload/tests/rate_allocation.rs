//! Law: rates are what their definition says, to the last bit, however clients, cohorts and windows are mixed.
//!
//! The definition is computed here the slow way: cohorts written out member by member, windows occurrence by
//! occurrence, and two clients are active together when some tick lies in a window of each.

use blis_kernel::Tick;
use blis_workload::Window;
use blis_workload::rates::{Share, constant_rates, window_rates};
use proptest::prelude::*;

const HORIZON: i64 = 120;
const RHYTHM: i64 = 25;

fn windows() -> impl Strategy<Value = Vec<(Window, Option<f64>)>> {
    let window = (0i64..60, 1i64..RHYTHM, any::<bool>()).prop_map(|(start, length, repeats)| {
        // Whoever repeats lies within the first period, as the hours of a day do.
        let start = if repeats { start.min(RHYTHM - length) } else { start };
        let window = Window::once(Tick::from_us(start), Tick::from_us(start + length));
        Window { every: repeats.then(|| Tick::from_us(RHYTHM)), ..window }
    });
    prop::collection::vec((window, prop::option::of(0.01..50.0)), 0..4)
}

fn shares() -> impl Strategy<Value = Vec<Share>> {
    let share = (prop_oneof![Just(1u32), 1u32..9], 0.001..5.0, windows())
        .prop_map(|(members, fraction, windows)| Share { members, fraction, windows });
    prop::collection::vec(share, 1..9)
}

/// The ticks of a window before the horizon; beyond it only those of its first occurrence.
fn ticks(window: &Window) -> Vec<i64> {
    let (start, end) = (window.start.as_us(), window.end.as_us());
    let mut ticks: Vec<i64> = (start..end).collect();
    let mut shift = RHYTHM;
    while window.every.is_some() && start + shift < HORIZON {
        ticks.extend(start + shift..end + shift);
        shift += RHYTHM;
    }
    ticks
}

fn meet(a: &Window, b: &Window) -> bool {
    let other = ticks(b);
    ticks(a).iter().any(|tick| other.contains(tick))
}

/// One entry per member.
fn written_out(shares: &[Share]) -> Vec<&Share> {
    shares.iter().flat_map(|share| std::iter::repeat_n(share, share.members as usize)).collect()
}

proptest! {
    /// Rate = R · (f / Σf over everybody who is ever active at the same time) / 10⁶.
    #[test]
    fn constant_rates_follow_their_definition(shares in shares(), total in 0.01..1e4) {
        let got = constant_rates(total, &shares, Tick::from_us(HORIZON));
        let members = written_out(&shares);
        for (share, &rate) in shares.iter().zip(&got) {
            let mut sum = 0.0;
            for other in &members {
                let together = share.windows.is_empty() || other.windows.is_empty()
                    || share.windows.iter().any(|(mine, _)| other.windows.iter().any(|(w, _)| meet(mine, w)));
                if together {
                    sum += other.fraction;
                }
            }
            prop_assert_eq!(rate, total * (share.fraction / sum) / 1e6);
        }
    }

    /// Rate of a window = R · (w / Σ of what everybody counts for in it) / 10⁶, where a client counts with the first
    /// of its windows that overlaps, or with its fraction when it has none.
    #[test]
    fn window_rates_follow_their_definition(shares in shares(), total in 0.01..1e4) {
        let got = window_rates(total, &shares, Tick::from_us(HORIZON));
        let members = written_out(&shares);
        for (share, rates) in shares.iter().zip(&got) {
            if share.windows.is_empty() {
                let mut sum = 0.0;
                for other in &members {
                    sum += other.windows.first().map_or(other.fraction, |(_, w)| w.unwrap_or(other.fraction));
                }
                prop_assert_eq!(rates, &[total * (share.fraction / sum) / 1e6]);
                continue;
            }
            prop_assert_eq!(rates.len(), share.windows.len());
            for ((window, weight), &rate) in share.windows.iter().zip(rates) {
                let mut sum = 0.0;
                for other in &members {
                    if other.windows.is_empty() {
                        sum += other.fraction;
                    } else if let Some((_, w)) = other.windows.iter().find(|(w, _)| meet(w, window)) {
                        sum += w.unwrap_or(other.fraction);
                    }
                }
                prop_assert_eq!(rate, total * (weight.unwrap_or(share.fraction) / sum) / 1e6);
            }
        }
    }

    /// Without a total every window has the rate that is written in it.
    #[test]
    fn without_a_total_every_window_has_its_own_rate(shares in shares()) {
        for (share, rates) in shares.iter().zip(window_rates(0.0, &shares, Tick::from_us(HORIZON))) {
            let own: Vec<f64> = share.windows.iter().map(|(_, rate)| rate.unwrap_or(0.0) / 1e6).collect();
            prop_assert_eq!(rates, if share.windows.is_empty() { vec![0.0] } else { own });
        }
    }

    /// The rates of clients that are always active sum to the total.
    #[test]
    fn rates_of_constant_clients_sum_to_the_total(
        fractions in prop::collection::vec((1u32..500, 0.001..5.0), 1..20),
        total in 0.01..1e4,
    ) {
        let shares: Vec<_> = fractions
            .iter()
            .map(|&(members, fraction)| Share { members, ..Share::constant(fraction) })
            .collect();
        let rates = constant_rates(total, &shares, Tick::MAX);
        let sum: f64 = rates.iter().zip(&shares).map(|(rate, share)| rate * f64::from(share.members)).sum();
        prop_assert!((sum * 1e6 / total - 1.0).abs() < 1e-12);
    }
}
