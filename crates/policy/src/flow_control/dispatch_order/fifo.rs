//! First come, first served, whatever the class: one band for all.
//!
//! `band = 0, key = 0`
//!
//! Under B4 (`gateway_fifo_is_priority`) it is the same as `priority`.

use super::{DispatchOrder, Priority, Queued};
use crate::registry::{Entry, MakeOrder};
use blis_kernel::Tick;

/// What the registry says of it.
pub const ENTRY: Entry<MakeOrder> = Entry {
    name: "fifo",
    summary: "first come, first served, whatever the class",
    formula: "order of arrival",
    params: &[],
    make: &|setup| {
        if setup.semantics.gateway_fifo_is_priority { Box::new(Priority) } else { Box::new(Fifo) }
    },
};

/// `fifo`.
#[derive(Clone, Copy, Debug)]
pub struct Fifo;

impl DispatchOrder for Fifo {
    fn band(&self, _: &Queued) -> i32 {
        0
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
    fn by_the_old_reading_the_band_is_the_rank() {
        let params = ENTRY.with_defaults().params;
        let band = |by_rank| {
            let mut setup = crate::Setup::of(&params);
            setup.semantics.gateway_fifo_is_priority = by_rank;
            (ENTRY.make)(&setup).band(&queued(-3, 0, None))
        };
        assert_eq!((band(false), band(true)), (0, -3));
    }

    #[test]
    fn classes_share_one_band() {
        let (low, high) = (queued(-3, 0, None), queued(4, 9, Some(1)));
        assert_eq!((Fifo.band(&low), Fifo.key(&low)), (Fifo.band(&high), Fifo.key(&high)));
    }
}
