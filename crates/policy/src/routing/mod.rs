//! Routing: which instance gets a request.

use crate::Reads;
use blis_kernel::rng::GoRand;
use blis_kernel::{InstanceId, Tick};

pub mod always_busiest;
pub mod least_loaded;
pub mod round_robin;
pub mod scorers;
pub mod weighted;

pub use always_busiest::AlwaysBusiest;
pub use least_loaded::LeastLoaded;
pub use round_robin::RoundRobin;
pub use weighted::Weighted;

/// The full blocks of a prompt, as a prefix cache names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptKeys<'a> {
    /// The chained keys of the leading blocks, from the start of the prompt, that other prompts can share.
    pub shared: &'a [u64],
    /// How many full blocks come behind them, which no other prompt shares.
    pub private_blocks: u32,
}

impl<'a> PromptKeys<'a> {
    /// A prompt of which others can share every full block.
    pub fn all_shared(keys: &'a [u64]) -> Self {
        Self { shared: keys, private_blocks: 0 }
    }

    /// Number of full blocks.
    #[inline]
    pub fn blocks(&self) -> usize {
        self.shared.len() + self.private_blocks as usize
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
    /// Whether the request's LoRA adapter is resident; empty for a request without one.
    pub adapter_resident: &'a [bool],
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
        self.load.load(self.queue_depth, self.batch_size, self.in_flight, index)
    }
}

impl LoadRule {
    /// Load of the instance at `index` of these columns, requests. Columns that the rule does not read may be empty.
    #[inline]
    pub fn load(self, queue_depth: &[u32], batch_size: &[u32], in_flight: &[u32], index: usize) -> u64 {
        let in_flight = u64::from(in_flight[index]);
        match self {
            Self::InFlight => in_flight,
            Self::QueuePlusBatchPlusInFlight => {
                u64::from(queue_depth[index]) + u64::from(batch_size[index]) + in_flight
            }
        }
    }

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

    /// From now on, keeps what [`Self::last_scores_by_scorer`] gives.
    fn keep_scores_by_scorer(&mut self) {}

    /// What each scorer gave the candidates of the last decision: all candidates of the first scorer, then all of the
    /// second, and so on. Empty for a router without scorers, and unless they are kept.
    fn last_scores_by_scorer(&self) -> &[f64] {
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

/// One of `tied` candidates, in candidate order. Nothing is drawn when there is only one.
fn draw_tie(ties: &mut GoRand, tied: usize, mut candidates: impl Iterator<Item = usize>) -> Choice {
    let nth = if tied > 1 { ties.intn(tied as i64) as usize } else { 0 };
    Choice(candidates.nth(nth).expect("a router is asked with at least one candidate"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The random stream that breaks routing ties.
    pub(crate) fn router_stream(seed: i64) -> GoRand {
        GoRand::new(blis_kernel::rng::stream_seed(seed, "router"))
    }

    /// Columns for a view, which is also the cache that it asks.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Sheet {
        pub(crate) instances: Vec<InstanceId>,
        pub(crate) queue_depth: Vec<u32>,
        pub(crate) batch_size: Vec<u32>,
        pub(crate) kv_utilization: Vec<f64>,
        pub(crate) in_flight: Vec<u32>,
        pub(crate) cached: Vec<u32>,
        pub(crate) adapter_resident: Vec<bool>,
        pub(crate) keys: Vec<u64>,
    }

    impl Sheet {
        /// Rows of (queue depth, batch size, KV utilisation, in flight, cached blocks).
        pub(crate) fn from_rows(rows: &[(u32, u32, f64, u32, u32)]) -> Self {
            let mut sheet = Self::default();
            for (i, &(queue_depth, batch_size, kv_utilization, in_flight, cached)) in rows.iter().enumerate()
            {
                sheet.instances.push(InstanceId(i as u32));
                sheet.queue_depth.push(queue_depth);
                sheet.batch_size.push(batch_size);
                sheet.kv_utilization.push(kv_utilization);
                sheet.in_flight.push(in_flight);
                sheet.cached.push(cached);
            }
            sheet
        }

        pub(crate) fn idle(n: usize) -> Self {
            Self::from_rows(&vec![(0, 0, 0.0, 0, 0); n])
        }

        /// Three instances: busy with a warm cache, half busy, nearly idle. Loads 36, 17, 2.
        pub(crate) fn worked_example() -> Self {
            Self::from_rows(&[(8, 10, 0.75, 18, 4), (2, 6, 0.5, 9, 1), (0, 1, 0.25, 1, 0)])
        }

        pub(crate) fn view(&self) -> RouterView<'_> {
            RouterView {
                now: Tick::ZERO,
                request: RequestView {
                    input_tokens: 100,
                    keys: PromptKeys::all_shared(&self.keys),
                    slo_rank: 3,
                },
                instances: &self.instances,
                queue_depth: &self.queue_depth,
                batch_size: &self.batch_size,
                kv_utilization: &self.kv_utilization,
                in_flight: &self.in_flight,
                adapter_resident: &self.adapter_resident,
                load: LoadRule::QueuePlusBatchPlusInFlight,
                cache: self,
            }
        }

        /// What `scorer` gives each candidate.
        pub(crate) fn scores(&self, scorer: &mut dyn Scorer) -> Vec<f64> {
            let mut out = vec![f64::NAN; self.instances.len()];
            scorer.score(&self.view(), &mut out);
            out
        }
    }

    impl PrefixCache for Sheet {
        fn cached_blocks(&self, _: &RequestView<'_>, instances: &[InstanceId], out: &mut Vec<u32>) {
            out.clear();
            out.extend(instances.iter().map(|i| self.cached[i.index()]));
        }
    }
}
