//! The last request of the batch gives way: the one admitted most recently.
//!
//! `victim = arg max position`

use super::{PreemptionKind, PreemptionVictim, Running};
use crate::registry::Entry;

/// What the registry says of it.
pub const ENTRY: Entry<PreemptionKind> = Entry {
    name: "fcfs",
    summary: "the last request of the batch",
    formula: "last position",
    params: &[],
    make: PreemptionKind::Fcfs,
};

/// `fcfs`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail;

impl PreemptionVictim for Tail {
    fn choose(&self, batch: &[Running]) -> usize {
        batch.len() - 1
    }

    fn is_tail(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_kernel::Tick;

    #[test]
    fn the_tail_gives_way_whatever_its_priority() {
        let batch = [7, 0].map(|priority| Running { priority, arrival: Tick::ZERO });
        assert_eq!(Tail.choose(&batch), 1);
    }
}
