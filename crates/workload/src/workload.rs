//! The description of a synthesised workload.

use crate::client::{Client, Prefix, Traffic};
use crate::request::{Labels, RequestSource};
use crate::stream::WorkloadStream;
use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};

/// Clients and the bounds of what they send. The same value gives the same requests every time it is streamed.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Seed of all random draws.
    pub seed: i64,
    /// Who sends; the order decides about random streams and ties.
    pub clients: Vec<Client>,
    /// No client sends at or after this time by itself, and no follow-up is sent after it; [`Tick::MAX`] = no end.
    pub horizon: Tick,
    /// Most requests over all clients, if bounded. Of conversations that wait for answers it bounds how many begin:
    /// all their rounds count at the times that stand in for their true ones.
    pub max_requests: Option<u64>,
    /// Whether `max_requests` also bounds what such conversations send: their later rounds are then a budget of what
    /// is left of it beside the requests that come by themselves.
    pub bounds_follow_ups: bool,
}

impl Workload {
    /// Starts over with the requests of this description.
    ///
    /// Memory follows the number of clients, users, prefix tokens and conversations, not the number of requests.
    ///
    /// # Panics
    /// When conversations that wait for answers begin forever: neither a horizon nor a number of requests bounds them.
    pub fn stream(&self) -> Box<dyn RequestSource> {
        Box::new(WorkloadStream::new(self))
    }

    /// How many conversations that wait for answers begin, which is found by drawing them.
    ///
    /// # Panics
    /// As [`Self::stream`] does.
    pub fn closed_loop_conversations(&self) -> u64 {
        WorkloadStream::new(self).closed_loop_conversations()
    }
}

/// What a workload is made of when it is described by a handful of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticParams {
    /// Name of the one client.
    pub client: String,
    /// How much it sends.
    pub load: SyntheticLoad,
    /// Prompt lengths without the prefix.
    pub prompt_tokens: NormalLengths,
    /// Answer lengths.
    pub output_tokens: NormalLengths,
    /// Length of a prefix that all requests share, tokens; 0 = none.
    pub prefix_tokens: u32,
    /// How long after its arrival a request is given up; `None` = never.
    pub timeout: Option<Tick>,
    /// End of generation; [`Tick::MAX`] = none.
    pub horizon: Tick,
    /// Most requests, if bounded.
    pub max_requests: Option<u64>,
    /// Seed of all random draws.
    pub seed: i64,
}

/// How much a synthesised workload sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SyntheticLoad {
    /// Equally spaced requests.
    Rate {
        /// Requests per second.
        per_s: f64,
    },
    /// A pool of users.
    Concurrency {
        /// How many.
        users: u32,
        /// Pause between a user's requests.
        think_time: Tick,
    },
}

/// A normal distribution of lengths, clamped, tokens. Equal bounds make it constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormalLengths {
    /// Mean before clamping.
    pub mean: i64,
    /// Standard deviation before clamping.
    pub std_dev: i64,
    /// Least length.
    pub min: i64,
    /// Greatest length.
    pub max: i64,
}

impl From<NormalLengths> for LengthSampler {
    fn from(lengths: NormalLengths) -> Self {
        let NormalLengths { mean, std_dev, min, max } = lengths;
        Self::Gaussian { mean: mean as f64, std_dev: std_dev as f64, min, max }
    }
}

impl SyntheticParams {
    /// The workload of these numbers: one client, constant gaps, normal lengths, at most one prefix group (`shared`).
    pub fn workload(&self) -> Workload {
        let traffic = match self.load {
            SyntheticLoad::Rate { per_s } => {
                Traffic::Rate { per_us: per_s / 1e6, process: ArrivalProcess::Constant }
            }
            SyntheticLoad::Concurrency { users, think_time } => Traffic::Concurrency { users, think_time },
        };
        let prefix = (self.prefix_tokens > 0)
            .then(|| Prefix { group: "shared".to_owned(), tokens: self.prefix_tokens });
        let labels = Labels { client: self.client.clone(), ..Labels::default() };
        let (input, output) = (self.prompt_tokens.into(), self.output_tokens.into());
        let client = Client { prefix, timeout: self.timeout, ..Client::new(labels, traffic, input, output) };
        Workload {
            seed: self.seed,
            clients: vec![client],
            horizon: self.horizon,
            max_requests: self.max_requests,
            bounds_follow_ups: false,
        }
    }
}
