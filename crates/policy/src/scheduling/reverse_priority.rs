//! Least urgent first, to show priority inversion: vLLM priority descending, then arrival, then name.
//!
//! `a before b = (-priority, arrival, name) of a < (-priority, arrival, name) of b`

use super::{QueueOrder, SchedulerKind, Waiting, by_arrival};
use crate::registry::Entry;
use std::cmp::Ordering;

/// What the registry says of it.
pub const ENTRY: Entry<SchedulerKind> = Entry {
    name: "reverse-priority",
    summary: "least urgent SLO class first (for tests)",
    formula: "priority descending, (arrival, name) ascending",
    params: &[],
    make: SchedulerKind::ReversePriority,
};

/// `reverse-priority`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReversePriority;

impl QueueOrder for ReversePriority {
    fn compare(&self, a: &Waiting, b: &Waiting) -> Ordering {
        b.priority.cmp(&a.priority).then_with(|| by_arrival(a, b))
    }
}

#[cfg(test)]
mod tests {
    use crate::scheduling::SchedulerKind;
    use crate::scheduling::tests::{served, waiting};

    #[test]
    fn only_the_priority_is_turned_round() {
        let queue =
            vec![waiting(0, 0, 10, 1), waiting(1, 5, 20, 1), waiting(2, 5, 10, 1), waiting(3, 1, 0, 1)];
        assert_eq!(served(SchedulerKind::ReversePriority, queue), [2, 1, 3, 0]);
    }
}
