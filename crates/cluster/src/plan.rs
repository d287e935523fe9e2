//! Everything a run needs, with nothing optional left.

use blis_engine::InstanceConfig;
use blis_kernel::{Semantics, Tick};
use blis_latency::LatencyModel;
use blis_policy::priority::SloTable;
use blis_workload::RequestSource;
use std::fmt::Debug;
use std::sync::Arc;

/// A run, resolved: the same plan gives the same outcome, byte for byte.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which reading of the mechanisms.
    pub semantics: Semantics,
    /// Seeds every random stream of the cluster (the workload carries its own).
    pub seed: i64,
    /// No event after this one runs; [`Tick::MAX`] = until everything is finished.
    pub horizon: Tick,
    /// Number of instances; at least 1.
    pub instances: u32,
    /// What each instance is built from.
    pub instance: InstanceConfig,
    /// Step times.
    pub latency: Arc<dyn LatencyModel>,
    /// Who may enter.
    pub admission: AdmissionPlan,
    /// From arrival to the admission decision.
    pub admission_latency: Tick,
    /// Who serves a request.
    pub routing: RoutingPlan,
    /// From admission to the routing decision.
    pub routing_latency: Tick,
    /// How old queue, batch and KV figures may be when the router reads them; zero = always fresh.
    pub snapshot_refresh_interval: Tick,
    /// How old the router's copies of the cache indexes may be; zero = always fresh.
    pub cache_signal_delay: Tick,
    /// Importance of each SLO class.
    pub priorities: SloTable,
    /// The model that the instances serve, as requests name it (lower case).
    pub model: String,
    /// The requests.
    pub workload: Workload,
    /// How much is kept of each request.
    pub detail: Detail,
}

/// A description of traffic that can be streamed any number of times.
#[derive(Clone)]
pub struct Workload(Arc<dyn Fn() -> Box<dyn RequestSource> + Send + Sync>);

impl Workload {
    /// Wraps a description; `stream` starts it from its beginning.
    pub fn new(stream: impl Fn() -> Box<dyn RequestSource> + Send + Sync + 'static) -> Self {
        Self(Arc::new(stream))
    }

    /// A fresh stream of its requests.
    pub fn stream(&self) -> Box<dyn RequestSource> {
        (self.0)()
    }
}

impl Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workload")
    }
}

/// Admission policy with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum AdmissionPlan {
    /// Everybody.
    AlwaysAdmit,
    /// Nobody.
    RejectAll,
    /// As long as a bucket of prompt tokens lasts.
    TokenBucket {
        /// Most tokens in the bucket; finite, above 0.
        capacity_tokens: f64,
        /// Tokens added per second; finite, above 0.
        refill_tokens_per_s: f64,
    },
}

/// Routing policy with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum RoutingPlan {
    /// In turn.
    RoundRobin,
    /// Smallest load.
    LeastLoaded,
    /// Largest weighted sum of scores: scorer names with their weights, in order.
    Weighted(Vec<(String, f64)>),
    /// Largest load, for tests.
    AlwaysBusiest,
}

/// How much is kept of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Only what the aggregate figures need (a few dozen bytes).
    Aggregate,
    /// A record of every request.
    PerRequest,
}
