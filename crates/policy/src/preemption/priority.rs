//! The least urgent request gives way: largest vLLM priority, among these the latest arrival, among these the one
//! nearest the end of the batch.
//!
//! `victim = arg max (priority, arrival, position)`

use super::{PreemptionKind, PreemptionVictim, Running};
use crate::registry::Entry;

/// What the registry says of it.
pub const ENTRY: Entry<PreemptionKind> = Entry {
    name: "priority",
    summary: "the least urgent request, the latest of them",
    formula: "max (priority, arrival, position)",
    params: &[],
    make: PreemptionKind::Priority,
};

/// `priority`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastUrgent;

impl PreemptionVictim for LeastUrgent {
    fn choose(&self, batch: &[Running]) -> usize {
        let mut victim = batch.len() - 1;
        for i in (0..victim).rev() {
            if (batch[i].priority, batch[i].arrival) > (batch[victim].priority, batch[victim].arrival) {
                victim = i;
            }
        }
        victim
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_kernel::Tick;
    use proptest::prelude::*;

    fn victim(batch: &[(i32, i64)]) -> usize {
        let batch: Vec<_> =
            batch.iter().map(|&(priority, at)| Running { priority, arrival: Tick::from_us(at) }).collect();
        LeastUrgent.choose(&batch)
    }

    #[test]
    fn priority_then_arrival_then_position() {
        assert_eq!(victim(&[(5, 10), (1, 90)]), 0);
        assert_eq!(victim(&[(5, 10), (5, 20), (1, 90)]), 1);
        assert_eq!(victim(&[(5, 20), (5, 20), (5, 10)]), 1);
        assert_eq!(victim(&[(1, 0)]), 0);
    }

    proptest! {
        /// Law: nobody in the batch is less urgent than the victim, and nobody behind it is as little urgent.
        #[test]
        fn nobody_is_less_urgent_than_the_victim(batch in prop::collection::vec((0i32..4, 0i64..4), 1..20)) {
            let victim = victim(&batch);
            prop_assert!(batch[..victim].iter().all(|request| *request <= batch[victim]));
            prop_assert!(batch[victim + 1..].iter().all(|request| *request < batch[victim]));
        }
    }
}
