//! Dispatch order: which band a request waits in, and its place within its flow.

use blis_kernel::Tick;

pub mod fifo;
pub mod priority;
pub mod slo_deadline;

pub use fifo::Fifo;
pub use priority::Priority;
pub use slo_deadline::SloDeadline;

/// A request that joins the queue.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    /// Rank of its SLO class; higher is more important.
    pub rank: i32,
    /// When it joined.
    pub since: Tick,
    /// How long it may take to its first token, by its own target or else its class's; `None` = no target.
    pub slo_target: Option<Tick>,
}

/// Orders the queue. Both answers are asked for once, when a request joins.
pub trait DispatchOrder: Send {
    /// The band; higher bands are served first.
    fn band(&self, request: &Queued) -> i32;

    /// The place within the flow: the smallest key goes first, the first come of equals.
    fn key(&self, request: &Queued) -> Tick;
}

#[cfg(test)]
pub(crate) fn queued(rank: i32, since_us: i64, target_us: Option<i64>) -> Queued {
    Queued { rank, since: Tick::from_us(since_us), slo_target: target_us.map(Tick::from_us) }
}
