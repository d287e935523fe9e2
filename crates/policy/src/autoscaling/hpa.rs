//! The rule of the Kubernetes Horizontal Pod Autoscaler on requests in flight per replica.
//!
//! ```text
//! ratio   = (requests in flight / replicas) / target
//! desired = max(1, ceil(replicas · ratio)), or replicas if |ratio - 1| is within the tolerance
//! ```
//!
//! Going down waits for the highest wish of a window, going up for the lowest of another. Replicas that load count as
//! replicas.

use super::{Autoscaler, Scaling, ScalingView};
use crate::registry::{Entry, MakeAutoscaler, Param, Range};
use blis_kernel::Tick;
use std::collections::VecDeque;

const TARGET: &str = "hpa-target-in-flight";
const TOLERANCE: &str = "hpa-tolerance";
const UP_WINDOW: &str = "hpa-scale-up-window-s";
const DOWN_WINDOW: &str = "hpa-scale-down-window-s";

/// What is said about it.
pub const ENTRY: Entry<MakeAutoscaler> = Entry {
    name: "hpa",
    summary: "the Kubernetes HPA rule on requests in flight per replica",
    formula: "ceil(replicas * (in flight / replicas) / target), held back by windows",
    params: &[
        Param {
            name: TARGET,
            summary: "requests in flight per replica that are aimed at",
            default: 32.0,
            range: Range::Positive,
        },
        Param {
            name: TOLERANCE,
            summary: "distance of the ratio from 1 that changes nothing",
            default: 0.1,
            range: Range::NonNegative,
        },
        Param {
            name: UP_WINDOW,
            summary: "seconds whose lowest wish counts when going up",
            default: 0.0,
            range: Range::NonNegative,
        },
        Param {
            name: DOWN_WINDOW,
            summary: "seconds whose highest wish counts when going down",
            default: 300.0,
            range: Range::NonNegative,
        },
    ],
    make: &|setup| {
        let get = |name| setup.params.get(name);
        let window = |name| Tick::trunc(get(name) * 1e6);
        Box::new(Hpa {
            target: get(TARGET),
            tolerance: get(TOLERANCE),
            up_window: window(UP_WINDOW),
            down_window: window(DOWN_WINDOW),
            wishes: VecDeque::new(),
        })
    },
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Hpa {
    target: f64,
    tolerance: f64,
    up_window: Tick,
    down_window: Tick,
    /// What was wished for, with the time, as far back as either window reaches.
    wishes: VecDeque<(Tick, i64)>,
}

impl Autoscaler for Hpa {
    fn decide(&mut self, view: &ScalingView<'_>) -> Option<Scaling> {
        let replicas: i64 =
            view.variants.iter().map(|v| v.replicas.len() as i64 + i64::from(v.pending)).sum();
        if replicas == 0 {
            return None;
        }
        let in_flight: u64 =
            view.variants.iter().flat_map(|v| &v.replicas).map(|replica| u64::from(replica.in_flight)).sum();
        let ratio = in_flight as f64 / replicas as f64 / self.target;
        let wish = if (ratio - 1.0).abs() <= self.tolerance {
            replicas
        } else {
            ((replicas as f64 * ratio).ceil() as i64).max(1)
        };
        let longest = self.up_window.max(self.down_window);
        self.wishes.push_back((view.now, wish));
        while self.wishes.front().is_some_and(|&(at, _)| view.now - at > longest) {
            self.wishes.pop_front();
        }
        let within = |window: Tick| {
            let recent = move |at: Tick| view.now - at <= window;
            self.wishes.iter().filter(move |&&(at, _)| recent(at)).map(|&(_, wish)| wish)
        };
        let lowest = within(self.up_window).min().unwrap_or(wish);
        let highest = within(self.down_window).max().unwrap_or(wish);
        let change = if lowest > replicas {
            lowest - replicas
        } else if highest < replicas {
            highest - replicas
        } else {
            return None;
        };
        let down = || view.variants.iter().rposition(|variant| !variant.replicas.is_empty());
        let variant = if change > 0 { Some(0) } else { down() }?;
        let there = view.variants[variant].replicas.len() as i64;
        Some(Scaling { variant, replicas: change.max(-there) })
    }

    fn stabilises(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::{Replica, Variant};

    fn hpa(values: &[(&str, f64)]) -> Box<dyn Autoscaler> {
        (ENTRY.make)(&crate::Setup::of(&ENTRY.with(values).expect("in range").params))
    }

    fn at(policy: &mut dyn Autoscaler, now_s: i64, replicas: usize, in_flight: u32) -> i64 {
        let replica = Replica { in_flight, ..Replica::default() };
        let variants = [Variant { replicas: vec![replica; replicas], ..Variant::default() }];
        let view = ScalingView { now: Tick::from_us(now_s * 1_000_000), variants: &variants };
        policy.decide(&view).map_or(0, |scaling| scaling.replicas)
    }

    #[test]
    fn worked_example_with_a_target_of_32() {
        let mut policy = hpa(&[]);
        assert_eq!(at(&mut *policy, 0, 3, 48), 2, "ceil(3 * 1.5) - 3");
        assert_eq!(at(&mut *policy, 15, 3, 35), 0, "within the tolerance");
    }

    #[test]
    fn going_down_waits_for_five_minutes_without_a_higher_wish() {
        let mut policy = hpa(&[]);
        assert_eq!(at(&mut *policy, 0, 4, 32), 0);
        assert_eq!(at(&mut *policy, 200, 4, 8), 0, "four were wished for 200 s ago");
        assert_eq!(at(&mut *policy, 301, 4, 8), -3);
    }

    /// Law: at a steady load the number of replicas is reached once and kept.
    #[test]
    fn a_steady_load_settles() {
        for total in [1u32, 31, 32, 33, 500] {
            let mut policy = hpa(&[(DOWN_WINDOW, 0.0)]);
            let mut replicas = 7;
            for second in 0..20 {
                let share = total.div_ceil(replicas as u32);
                replicas = (replicas as i64 + at(&mut *policy, second, replicas, share)).max(1) as usize;
            }
            let share = total.div_ceil(replicas as u32);
            assert_eq!(at(&mut *policy, 20, replicas, share), 0, "{total} requests on {replicas}");
        }
    }
}
