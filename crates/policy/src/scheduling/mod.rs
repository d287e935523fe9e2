//! Scheduling: the order of an instance's wait queue.

use crate::Own;
use blis_kernel::{RequestName, Tick};
use std::cmp::Ordering;

pub mod fcfs;
pub mod priority_fcfs;
pub mod reverse_priority;
pub mod sjf;

pub use fcfs::Fcfs;
pub use priority_fcfs::PriorityFcfs;
pub use reverse_priority::ReversePriority;
pub use sjf::Sjf;

/// A request in the wait queue. Nothing of it changes while it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Where the engine keeps the request.
    pub slot: u32,
    /// vLLM priority; lower is more urgent.
    pub priority: i32,
    /// When its client sent it.
    pub arrival: Tick,
    /// Length of its prompt, tokens.
    pub input_tokens: u32,
    /// Its name, which breaks full ties in text order.
    pub name: RequestName,
}

/// The order in which waiting requests are admitted to the batch.
pub trait QueueOrder: Send + Sync {
    /// Which of two waiting requests goes first; `Equal` leaves them as they are. As nothing of a waiting request
    /// changes, a queue kept in this order by insertion is the same as one sorted before every step.
    fn compare(&self, a: &Waiting, b: &Waiting) -> Ordering;

    /// Whether the queue is left in the order of entry, preempted requests in front; it is never sorted then.
    fn is_fifo(&self) -> bool {
        false
    }

    /// Sorts the whole queue, stably; a queue already in order costs one comparison per request.
    fn sort(&self, queue: &mut [Waiting]) {
        if !self.is_fifo() {
            queue.sort_by(|a, b| self.compare(a, b));
        }
    }
}

/// The built-in orders, and any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchedulerKind {
    /// [`Fcfs`].
    #[default]
    Fcfs,
    /// [`PriorityFcfs`].
    PriorityFcfs,
    /// [`Sjf`].
    Sjf,
    /// [`ReversePriority`].
    ReversePriority,
    /// One that the program brings along.
    Own(Own<dyn QueueOrder>),
}

impl SchedulerKind {
    /// The order itself.
    pub fn order(self) -> &'static dyn QueueOrder {
        match self {
            Self::Fcfs => &Fcfs,
            Self::PriorityFcfs => &PriorityFcfs,
            Self::Sjf => &Sjf,
            Self::ReversePriority => &ReversePriority,
            Self::Own(own) => own.0,
        }
    }
}

/// Arrival, then name: how every sorting order breaks its ties.
fn by_arrival(a: &Waiting, b: &Waiting) -> Ordering {
    a.arrival.cmp(&b.arrival).then_with(|| a.name.cmp(&b.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn waiting(n: u64, priority: i32, arrival_us: i64, input_tokens: u32) -> Waiting {
        Waiting {
            slot: n as u32,
            priority,
            arrival: Tick::from_us(arrival_us),
            input_tokens,
            name: RequestName::Indexed(n),
        }
    }

    /// Slots in the order in which `kind` serves them.
    pub(super) fn served(kind: SchedulerKind, mut queue: Vec<Waiting>) -> Vec<u32> {
        kind.order().sort(&mut queue);
        queue.iter().map(|w| w.slot).collect()
    }

    proptest! {
        /// Sorting is a permutation, and sorting again changes nothing.
        #[test]
        fn sorting_is_idempotent(keys in prop::collection::vec((0i32..4, 0i64..4, 1u32..4), 0..40), kind in 0usize..4) {
            let kind = [SchedulerKind::Fcfs, SchedulerKind::PriorityFcfs, SchedulerKind::Sjf,
                SchedulerKind::ReversePriority][kind];
            let queue: Vec<_> = keys.iter().enumerate().map(|(n, &(p, a, i))| waiting(n as u64, p, a, i)).collect();
            let mut once = queue.clone();
            kind.order().sort(&mut once);
            let mut twice = once.clone();
            kind.order().sort(&mut twice);
            prop_assert_eq!(&once, &twice);
            let mut slots: Vec<_> = once.iter().map(|w| w.slot).collect();
            slots.sort_unstable();
            prop_assert_eq!(slots, (0..queue.len() as u32).collect::<Vec<_>>());
        }
    }
}
