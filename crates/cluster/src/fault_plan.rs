//! What goes wrong in a run, and how instances begin and end: the part of a plan that disturbs.

use crate::plan::Delay;
use blis_kernel::Tick;

/// What goes wrong, and what becomes of the requests that it takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Faults at given times.
    pub scheduled: Vec<ScheduledFault>,
    /// Faults of instances at random times, at most one entry of each kind.
    pub random: Vec<RandomFault>,
    /// Probability that a transfer between a prefill and a decode instance is lost, 0 to 1.
    pub transfer_loss: f64,
    /// How often a request is tried again after a fault took it; 0 = it fails.
    pub max_retries: u32,
}

/// A fault at a given time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduledFault {
    /// When it strikes.
    pub at: Tick,
    /// Whom.
    pub target: FaultTarget,
    /// What happens.
    pub kind: FaultKind,
    /// For how long.
    pub duration: Tick,
}

/// Faults at random times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomFault {
    /// What happens; not the loss of transfers.
    pub kind: FaultKind,
    /// How often it happens to an instance on average; the times between are exponentially distributed.
    pub per_instance_hour: f64,
    /// For how long.
    pub duration: Delay,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// An instance loses everything that it has and takes no requests until the fault is over; then it is empty.
    Crash,
    /// The steps of an instance that begin meanwhile take so many times as long; of several slowdowns at once the worst
    /// counts.
    Slow {
        /// How many times; at least 1.
        factor: f64,
    },
    /// Transfers between a prefill and a decode instance that are under way or begin meanwhile do not arrive.
    LostTransfers,
}

/// Who is hit. Of transfers, those from or to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultTarget {
    /// Everybody.
    All,
    /// The instance of this number.
    Instance(u32),
    /// Those that process prompts.
    Prefill,
    /// Those that generate answers.
    Decode,
    /// Those that encode.
    Encode,
    /// Those on nodes of this kind.
    NodePool(usize),
}

/// How an instance that is to go treats the requests that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainPolicy {
    /// It finishes them.
    #[default]
    Wait,
    /// It finishes those that run; those that wait are routed again.
    Redirect,
    /// It is gone at once; they are lost as in a crash.
    Immediate,
}
