//! What was decided about each request at the gateway, with what each candidate had to say for it.

use blis_kernel::{InstanceId, RequestName, Tick};

/// An instance that could have got the request, as the router saw it: signals may be old.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The instance.
    pub instance: InstanceId,
    /// What the router gave it; of a router that does not score, the load, negated.
    pub score: f64,
    /// What each scorer gave it, 0 to 1, in the order of [`Decisions::scorers`]; empty without scorers.
    pub by_scorer: Vec<f64>,
    /// Requests waiting.
    pub queue_depth: u32,
    /// Requests running.
    pub batch_size: u32,
    /// Requests handed over and not finished yet.
    pub in_flight: u32,
    /// Share of the KV blocks in use, 0 to 1.
    pub kv_utilization: f64,
    /// KV blocks not in use.
    pub free_kv_blocks: u32,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// Whether the request was let in.
    Admission {
        /// It was.
        admitted: bool,
        /// Why it was not; empty when it was.
        reason: String,
    },
    /// The gateway queue gave up a request that had been let in.
    Queue {
        /// Why.
        reason: String,
    },
    /// Which instance got it.
    Routing {
        /// That instance.
        chosen: InstanceId,
        /// Why, in one line.
        reason: String,
        /// Score of the best candidate less that of the chosen one, 0 or more.
        regret: f64,
        /// The best candidates, by score and then by name; the chosen one comes last when it is none of them. Empty
        /// when no candidates were asked for.
        candidates: Vec<Candidate>,
    },
}

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// About which request.
    pub request: RequestName,
    /// When.
    pub at: Tick,
    /// What.
    pub decided: Decided,
}

/// All decisions of a run in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    /// The router's scorers with their weights, which sum to 1; empty for a router that does not score.
    pub scorers: Vec<(String, f64)>,
    /// The decisions.
    pub list: Vec<Decision>,
}
