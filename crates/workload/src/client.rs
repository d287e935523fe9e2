//! A client: one source of requests with its own lengths, prefix and timing.

use crate::request::Labels;
use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};

/// How long a client of a session waits when nobody says how long: 300 seconds.
pub const DEFAULT_SESSION_TIMEOUT: Tick = Tick::from_us(300_000_000);
/// Length of a prefix group when none of its clients states one, tokens.
pub const DEFAULT_PREFIX_TOKENS: u32 = 50;

/// One client of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// What its requests are marked with; the prefix group is filled in from `prefix`.
    pub labels: Labels,
    /// When it sends.
    pub traffic: Traffic,
    /// New prompt tokens per request; the prefix comes on top.
    pub input: LengthSampler,
    /// Tokens generated per request.
    pub output: LengthSampler,
    /// The prefix that it shares with others, if any.
    pub prefix: Option<Prefix>,
    /// How long after its arrival a request is given up; `None` = never.
    pub timeout: Option<Tick>,
}

/// A shared prefix as one client states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Name of the group; clients that name the same group share its tokens.
    pub group: String,
    /// Length, tokens; 0 = [`DEFAULT_PREFIX_TOKENS`]. The first client of a group decides for all.
    pub tokens: u32,
}

/// When a client sends requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Traffic {
    /// Single requests at a rate, whatever happens to them.
    Rate {
        /// Requests per microsecond; nothing is sent unless it is positive.
        per_us: f64,
        /// How the gaps vary.
        process: ArrivalProcess,
    },
    /// A pool of virtual users, each of which sends its next request when its last one has ended.
    Concurrency {
        /// How many users.
        users: u32,
        /// Pause between a request's end and the user's next request. The users' first requests are spread over it.
        think_time: Tick,
    },
}

/// The shares of clients in a total rate, requests per microsecond.
///
/// Client i gets R · (fᵢ / Σf) / 10⁶, evaluated in this order, with the sum in client order. `aggregate_per_s` is in
/// requests per second; fractions need not sum to 1.
pub fn allocate_rates(aggregate_per_s: f64, fractions: &[f64]) -> Vec<f64> {
    let total: f64 = fractions.iter().sum();
    fractions.iter().map(|fraction| aggregate_per_s * (fraction / total) / 1e6).collect()
}
