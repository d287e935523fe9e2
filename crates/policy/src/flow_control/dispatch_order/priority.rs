//! The most important class first, first come first served within it.
//!
//! `band = rank, key = 0`

use super::{DispatchOrder, Queued};
use crate::registry::{Entry, MakeOrder};
use blis_kernel::Tick;

/// What the registry says of it.
pub const ENTRY: Entry<MakeOrder> = Entry {
    name: "priority",
    summary: "the most important SLO class first",
    formula: "(rank descending, order of arrival)",
    params: &[],
    make: &|_| Box::new(Priority),
};

/// `priority`.
#[derive(Clone, Copy, Debug)]
pub struct Priority;

impl DispatchOrder for Priority {
    fn band(&self, request: &Queued) -> i32 {
        request.rank
    }

    fn key(&self, _: &Queued) -> Tick {
        Tick::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::super::queued;
    use super::*;

    #[test]
    fn bands_are_ranks() {
        assert!(Priority.band(&queued(4, 9, None)) > Priority.band(&queued(-3, 0, Some(1))));
        assert_eq!(Priority.key(&queued(4, 9, None)), Priority.key(&queued(4, 0, Some(1))));
    }
}
