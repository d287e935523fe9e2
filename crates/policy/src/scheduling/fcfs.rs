//! First come, first served: the order of entry is kept.
//!
//! `a before b = a entered before b`
//!
//! Preempted requests are put at the front by the engine and stay there.

use super::{QueueOrder, SchedulerKind, Waiting};
use crate::registry::Entry;
use std::cmp::Ordering;

/// What the registry says of it.
pub const ENTRY: Entry<SchedulerKind> = Entry {
    name: "fcfs",
    summary: "first come, first served",
    formula: "order of entry",
    params: &[],
    make: SchedulerKind::Fcfs,
};

/// `fcfs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fcfs;

impl QueueOrder for Fcfs {
    fn compare(&self, _: &Waiting, _: &Waiting) -> Ordering {
        Ordering::Equal
    }

    fn is_fifo(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::scheduling::SchedulerKind;
    use crate::scheduling::tests::{served, waiting};

    #[test]
    fn the_order_of_entry_is_kept() {
        let queue = vec![waiting(2, 5, 30, 9), waiting(0, 0, 10, 1), waiting(1, 1, 20, 5)];
        assert_eq!(served(SchedulerKind::Fcfs, queue), [2, 0, 1]);
    }
}
