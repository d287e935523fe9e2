//! A virtual queue of Lyapunov optimisation: what misses a target enters it, what stays below drains it.
//!
//! `Z := max(0, Z + value - target)`; while Z stays bounded, the mean of the values meets the target.

/// How far a target has been missed so far, in the unit of the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct VirtualQueue {
    target: f64,
    backlog: f64,
}

impl VirtualQueue {
    /// An empty one.
    pub(super) fn new(target: f64) -> Self {
        Self { target, backlog: 0.0 }
    }

    /// Z.
    pub(super) fn backlog(&self) -> f64 {
        self.backlog
    }

    /// Takes in one value.
    pub(super) fn note(&mut self, value: f64) {
        self.backlog = (self.backlog + value - self.target).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_fills_with_what_exceeds_the_target_and_never_falls_below_zero() {
        let mut queue = VirtualQueue::new(50.0);
        let backlogs = [80.0, 60.0, 20.0, 0.0].map(|value| {
            queue.note(value);
            queue.backlog()
        });
        assert_eq!(backlogs, [30.0, 40.0, 10.0, 0.0]);
    }

    proptest! {
        /// The law that makes it useful: mean of the values <= target + Z / number of values.
        #[test]
        fn the_mean_meets_the_target_up_to_the_backlog(values in prop::collection::vec(0u32..1_000_000, 1..200)) {
            let mut queue = VirtualQueue::new(1_000.0);
            for &value in &values {
                queue.note(f64::from(value));
            }
            let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
            prop_assert!(queue.backlog() >= 0.0);
            prop_assert!(mean <= 1_000.0 + queue.backlog() / values.len() as f64 + 1e-6);
        }
    }
}
