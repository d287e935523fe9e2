//! Most urgent first: vLLM priority ascending, then arrival, then name.
//!
//! `a before b = (priority, arrival, name) of a < (priority, arrival, name) of b`

use super::{QueueOrder, SchedulerKind, Waiting, by_arrival};
use crate::registry::Entry;
use std::cmp::Ordering;

/// What the registry says of it.
pub const ENTRY: Entry<SchedulerKind> = Entry {
    name: "priority-fcfs",
    summary: "most urgent SLO class first, then first come",
    formula: "(priority, arrival, name) ascending",
    params: &[],
    make: SchedulerKind::PriorityFcfs,
};

/// `priority-fcfs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriorityFcfs;

impl QueueOrder for PriorityFcfs {
    fn compare(&self, a: &Waiting, b: &Waiting) -> Ordering {
        a.priority.cmp(&b.priority).then_with(|| by_arrival(a, b))
    }
}

#[cfg(test)]
mod tests {
    use crate::scheduling::SchedulerKind;
    use crate::scheduling::tests::{served, waiting};

    #[test]
    fn priority_then_arrival_then_name_as_text() {
        let queue = vec![
            waiting(1, 5, 10, 1),
            waiting(9, 1, 30, 1),
            waiting(10, 1, 30, 1),
            waiting(3, 1, 20, 1),
            waiting(4, 0, 99, 1),
        ];
        // "request_10" comes before "request_9".
        assert_eq!(served(SchedulerKind::PriorityFcfs, queue), [4, 3, 10, 9, 1]);
    }
}
