//! The least urgent request gives way: largest vLLM priority, among these the latest arrival, among these the one
//! nearest the end of the batch.

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
}
