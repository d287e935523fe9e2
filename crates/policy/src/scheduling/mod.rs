//! Scheduling: the order of an instance's wait queue.

use blis_kernel::{RequestName, Tick};
use std::cmp::Ordering;

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
    /// Which of two waiting requests goes first; `Equal` leaves them as they are.
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
