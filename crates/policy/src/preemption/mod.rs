//! Preemption: which running request gives its KV blocks back when they run out.

use crate::Own;
use blis_kernel::Tick;

pub mod fcfs;
pub mod priority;

pub use fcfs::Tail;
pub use priority::LeastUrgent;

/// A request in the running batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// vLLM priority; lower is more urgent.
    pub priority: i32,
    /// When its client sent it.
    pub arrival: Tick,
}

/// Chooses the victim.
pub trait PreemptionVictim: Send + Sync {
    /// The position in the batch of the request to evict; `batch` is in batch order and not empty.
    fn choose(&self, batch: &[Running]) -> usize;

    /// Whether it is always the last of the batch, so that nobody need build the list.
    fn is_tail(&self) -> bool {
        false
    }
}

/// The built-in policies, and any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreemptionKind {
    /// [`Tail`].
    #[default]
    Fcfs,
    /// [`LeastUrgent`].
    Priority,
    /// One that the program brings along.
    Own(Own<dyn PreemptionVictim>),
}

impl PreemptionKind {
    /// The policy itself.
    pub fn victim(self) -> &'static dyn PreemptionVictim {
        match self {
            Self::Fcfs => &Tail,
            Self::Priority => &LeastUrgent,
            Self::Own(own) => own.0,
        }
    }
}
