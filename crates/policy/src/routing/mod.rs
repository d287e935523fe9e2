//! Routing: which instance gets a request.

use crate::Reads;
use blis_kernel::{InstanceId, Tick};

pub mod scorers;

/// The full blocks of a prompt, as a prefix cache names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptKeys<'a> {
    /// So many full blocks that no other prompt shares.
    Private {
        /// Number of full blocks.
        blocks: u32,
    },
    /// The chained key of each full block, from the start of the prompt.
    Listed(&'a [u64]),
}

impl PromptKeys<'_> {
    /// Number of full blocks.
    #[inline]
    pub fn blocks(&self) -> usize {
        match self {
            Self::Private { blocks } => *blocks as usize,
            Self::Listed(keys) => keys.len(),
        }
    }
}

/// What a router knows of the request.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Length of the prompt, tokens.
    pub input_tokens: u32,
    /// Its full blocks.
    pub keys: PromptKeys<'a>,
    /// Rank of its SLO class; higher is more important.
    pub slo_rank: i32,
}

/// What counts as an instance's load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadRule {
    /// Queue depth + batch size + requests in flight: queued and running requests count twice, because they are
    /// in flight as well.
    QueuePlusBatchPlusInFlight,
    /// Requests in flight, each once.
    #[default]
    InFlight,
}

/// The KV caches of the instances, as far as the router is told about them.
pub trait PrefixCache {
    /// Writes to `out`, for each of `instances`, how many leading blocks of the prompt it holds. `out` is cleared first.
    fn cached_blocks(&self, request: &RequestView<'_>, instances: &[InstanceId], out: &mut Vec<u32>);
}

/// What a router sees. Every column is parallel to `instances` and as fresh as the host's settings make it;
/// a column that [`Router::reads`] does not name may hold anything.
pub struct RouterView<'a> {
    /// The current time.
    pub now: Tick,
    /// The request to place.
    pub request: RequestView<'a>,
    /// The candidates in instance order; never empty.
    pub instances: &'a [InstanceId],
    /// Requests waiting.
    pub queue_depth: &'a [u32],
    /// Requests running.
    pub batch_size: &'a [u32],
    /// Share of the KV blocks in use, 0 to 1.
    pub kv_utilization: &'a [f64],
    /// Requests handed over and not finished yet; always exact.
    pub in_flight: &'a [u32],
    /// What counts as load.
    pub load: LoadRule,
    /// The KV caches.
    pub cache: &'a dyn PrefixCache,
}

impl RouterView<'_> {
    /// Number of candidates.
    #[inline]
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there are no candidates; the host never asks a router then.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Load of the candidate at `index`, requests.
    #[inline]
    pub fn load_of(&self, index: usize) -> u64 {
        let in_flight = self.in_flight[index] as u64;
        match self.load {
            LoadRule::InFlight => in_flight,
            LoadRule::QueuePlusBatchPlusInFlight => {
                self.queue_depth[index] as u64 + self.batch_size[index] as u64 + in_flight
            }
        }
    }
}

impl LoadRule {
    /// What must be brought up to date to compute it.
    #[inline]
    pub const fn reads(self) -> Reads {
        match self {
            Self::InFlight => Reads::IN_FLIGHT,
            Self::QueuePlusBatchPlusInFlight => Reads::IN_FLIGHT.union(Reads::SNAPSHOT),
        }
    }
}

/// The candidate that a router chose: an index into [`RouterView::instances`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice(pub usize);

/// Chooses an instance for each request.
pub trait Router: Send {
    /// Chooses among the candidates, of which there is at least one.
    fn route(&mut self, view: &RouterView<'_>) -> Choice;

    /// What it looks at.
    fn reads(&self) -> Reads;

    /// The score of each candidate of the last decision; empty for a router that does not score.
    fn last_scores(&self) -> &[f64] {
        &[]
    }

    /// Why the last decision fell as it did, in one line. Made when asked for, never on the way.
    fn reason(&self) -> String;
}

/// One criterion of the weighted router.
pub trait Scorer: Send {
    /// Writes the score of every candidate to `out`, which is as long as the candidates are many.
    /// The router clamps scores to 0..1.
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]);

    /// Learns which candidate was chosen for the request it scored last.
    fn observe(&mut self, request: &RequestView<'_>, chosen: InstanceId) {
        let _ = (request, chosen);
    }

    /// What it looks at.
    fn reads(&self) -> Reads;
}
