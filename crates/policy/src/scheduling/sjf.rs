//! Shortest job first, by what is known of a job: prompt length ascending, then arrival, then name.
//!
//! `a before b = (input tokens, arrival, name) of a < (input tokens, arrival, name) of b`

use super::{QueueOrder, SchedulerKind, Waiting, by_arrival};
use crate::registry::Entry;
use std::cmp::Ordering;

/// What the registry says of it.
pub const ENTRY: Entry<SchedulerKind> = Entry {
    name: "sjf",
    summary: "shortest prompt first",
    formula: "(prompt length, arrival, name) ascending",
    params: &[],
    make: SchedulerKind::Sjf,
};

/// `sjf`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sjf;

impl QueueOrder for Sjf {
    fn compare(&self, a: &Waiting, b: &Waiting) -> Ordering {
        a.input_tokens.cmp(&b.input_tokens).then_with(|| by_arrival(a, b))
    }
}

#[cfg(test)]
mod tests {
    use crate::scheduling::SchedulerKind;
    use crate::scheduling::tests::{served, waiting};

    #[test]
    fn short_prompts_overtake_long_ones() {
        let queue =
            vec![waiting(0, 0, 10, 700), waiting(1, 0, 20, 30), waiting(2, 9, 5, 700), waiting(3, 0, 5, 31)];
        assert_eq!(served(SchedulerKind::Sjf, queue), [1, 3, 2, 0]);
    }
}
