//! Scenarios for a bare instance: requests with known tokens, and a step-time model that is easy to follow.

#![allow(dead_code, missing_docs, clippy::missing_panics_doc, unreachable_pub)]

use blis_engine::{
    AdapterConfig, AdapterFigures, BatchFormation, BlockKeys, Counters, CpuTierConfig, Ended, HostConfig,
    IndexChange, InstanceConfig, OffloadConfig, OffloadFigures, RankConfig, Replica, Submission,
};
use blis_kernel::{RequestName, Semantics, Tick};
use blis_latency::{Batch, LatencyModel, Overheads};
use blis_policy::preemption::PreemptionKind;
use blis_policy::priority::SloTable;
use blis_policy::scheduling::SchedulerKind;
use std::collections::BTreeSet;
use std::sync::Arc;

/// step = trunc(b0 + b1 · prefill tokens + b2 · decode tokens), queueing = trunc(a0 + a1 · prompt).
#[derive(Clone, Debug)]
pub struct Linear {
    pub alpha: [f64; 3],
    pub beta: [f64; 3],
    pub post_decode_us: i64,
}

impl LatencyModel for Linear {
    fn overheads(&self) -> Overheads {
        Overheads {
            queueing_us: self.alpha[0],
            queueing_us_per_prompt_token: self.alpha[1],
            output_token: Tick::trunc(self.alpha[2]),
            post_decode: Tick::from_us(self.post_decode_us),
        }
    }

    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let prefill: u64 = batch.prefills.iter().map(|p| p.new_tokens).sum();
        Tick::trunc(self.beta[0] + self.beta[1] * prefill as f64 + self.beta[2] * batch.decodes as f64)
            .max(Tick::ONE)
    }
}

/// Step times that depend on everything that a model may read, so that no difference in a batch goes unseen.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    pub wants_decode_contexts: bool,
    pub spread_us: u64,
}

impl LatencyModel for Fingerprint {
    fn overheads(&self) -> Overheads {
        Overheads {
            queueing_us: 0.0,
            queueing_us_per_prompt_token: 0.03,
            output_token: Tick::from_us(3),
            post_decode: Tick::from_us(5),
        }
    }

    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let prefills = batch.prefills.iter().flat_map(|p| [p.prompt_tokens, p.progress, p.new_tokens]);
        let figures =
            [batch.decodes, batch.decode_context_tokens, batch.longest_decode_context, batch.others];
        let hash = prefills
            .chain(figures)
            .chain(batch.decode_contexts.iter().copied())
            .fold(17u64, |hash, figure| (hash ^ figure).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
        Tick::from_us(1 + (hash % self.spread_us) as i64)
    }

    fn wants_decode_contexts(&self) -> bool {
        self.wants_decode_contexts
    }

    fn wants_longest_decode_context(&self) -> bool {
        self.wants_decode_contexts
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct ScenarioRequest {
    pub id: String,
    pub arrival_us: i64,
    pub input: Vec<u32>,
    pub output: Vec<u32>,
    pub max_output: i64,
    pub slo_class: String,
    pub deadline_us: i64,
    /// By its place among the scenario's adapters.
    pub adapter: Option<u32>,
}

impl ScenarioRequest {
    /// Prompt and answer.
    pub fn tokens(&self) -> impl Iterator<Item = &u32> {
        self.input.iter().chain(&self.output)
    }
}

/// Tokens as runs of consecutive ids.
fn runs(tokens: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &token in tokens {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == token => *count += 1,
            _ => runs.push((token, 1)),
        }
    }
    runs
}

impl std::fmt::Debug for ScenarioRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScenarioRequest")
            .field("id", &self.id)
            .field("arrival_us", &self.arrival_us)
            .field("input", &format_args!("{:?}", runs(&self.input)))
            .field("output", &format_args!("{:?}", runs(&self.output)))
            .field("max_output", &self.max_output)
            .field("slo_class", &self.slo_class)
            .field("deadline_us", &self.deadline_us)
            .field("adapter", &self.adapter)
            .finish()
    }
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub kv_blocks: u32,
    pub block_tokens: u32,
    pub max_num_seqs: u32,
    pub max_num_batched_tokens: u32,
    pub long_prefill_token_threshold: u32,
    pub max_model_len: u64,
    pub batch_formation: BatchFormation,
    pub scheduler: SchedulerKind,
    pub preemption: PreemptionKind,
    pub cpu_tier: Option<CpuTierConfig>,
    pub offload: Option<OffloadConfig>,
    pub adapters: Option<AdapterConfig>,
    pub host: Option<HostConfig>,
    pub horizon: Tick,
    pub latency: Arc<dyn LatencyModel>,
    pub priorities: SloTable,
    /// In order of submission; arrivals ascend.
    pub requests: Vec<ScenarioRequest>,
}

/// What a router may see of an instance when a request arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub queue_depth: u32,
    pub batch_size: u32,
    pub kv_utilization: f64,
    /// Leading blocks of the arriving prompt that are cached; 0 for a prompt without keys.
    pub findable_blocks: usize,
    /// Adapters that are resident, one bit each.
    pub adapters: u64,
}

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// By request, in order of submission; `None` for those that arrive after the horizon.
    pub ended: Vec<Option<Ended>>,
    /// Requests in the order in which they ended.
    pub order: Vec<usize>,
    pub counters: Counters,
    pub sim_ended: Tick,
    pub hits_and_misses: (u64, u64),
    pub thrashing_rate: f64,
    pub offload: Option<OffloadFigures>,
    /// By adapter.
    pub adapters: Vec<AdapterFigures>,
    /// Inter-token latencies of the completed requests, µs → count.
    pub itl: Vec<(i64, u64)>,
    /// At each submission, just before it.
    pub views: Vec<View>,
}

/// Chained keys of every full block of prompt and answer.
pub fn block_keys(input: &[u32], output: &[u32], block_tokens: u32) -> Box<[u64]> {
    let tokens: Vec<u32> = input.iter().chain(output).copied().collect();
    let mut key = 0xcbf2_9ce4_8422_2325_u64;
    tokens
        .chunks_exact(block_tokens as usize)
        .map(|block| {
            for &token in block {
                key = (key ^ u64::from(token)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            }
            key = (key ^ 0x55).wrapping_mul(0xff51_afd7_ed55_8ccd);
            key ^= key >> 33;
            key
        })
        .collect()
}

/// More ticks with an event than any scenario has.
pub const MOST_TICKS: usize = 100_000;

/// What one of the two implementations makes of a scenario.
pub type Run = fn(&Scenario, Semantics) -> Outcome;

impl Scenario {
    /// Nothing but room for everybody: 100 blocks, 100 requests in a batch, 1,000 tokens in a step.
    pub fn plain(latency: Arc<dyn LatencyModel>) -> Self {
        Self {
            name: String::new(),
            kv_blocks: 100,
            block_tokens: 16,
            max_num_seqs: 100,
            max_num_batched_tokens: 1000,
            long_prefill_token_threshold: 0,
            max_model_len: 0,
            batch_formation: BatchFormation::Mixed,
            scheduler: SchedulerKind::Fcfs,
            preemption: PreemptionKind::Fcfs,
            cpu_tier: None,
            offload: None,
            adapters: None,
            host: None,
            horizon: Tick::MAX,
            latency,
            priorities: SloTable::default(),
            requests: Vec::new(),
        }
    }

    pub fn config(&self, semantics: Semantics) -> InstanceConfig {
        InstanceConfig {
            kv_blocks: self.kv_blocks,
            block_tokens: self.block_tokens,
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: self.max_num_batched_tokens,
            long_prefill_token_threshold: self.long_prefill_token_threshold,
            max_model_len: self.max_model_len,
            batch_formation: self.batch_formation,
            scheduler: self.scheduler,
            preemption: self.preemption,
            cpu_tier: self.cpu_tier,
            offload: self.offload.clone().map(Arc::new),
            adapters: self.adapters.clone().map(Arc::new),
            host: self.host,
            ranks: None,
            horizon: self.horizon,
            semantics,
        }
    }

    /// Runs the instance up to `until`, tick by tick, so that one which goes on for ever is caught.
    pub fn run_before(&self, instance: &mut Replica, until: Tick) {
        for _ in 0..MOST_TICKS {
            let next = instance.next_event_at();
            if next >= until || next > self.horizon {
                return;
            }
            instance.run_before(next + Tick::ONE, false);
        }
        panic!("{}: no end at {:?}", self.name, instance.clock());
    }

    /// Runs the scenario with the keys of every prompt.
    pub fn run_listed(&self, semantics: Semantics) -> Outcome {
        self.run(semantics, |_| false)
    }

    /// Runs the scenario; requests that share no first token with another are submitted without keys.
    pub fn run_private(&self, semantics: Semantics) -> Outcome {
        self.run(semantics, |_| true)
    }

    /// Runs the scenario; of the requests that share no first token with another, those that `private` picks are
    /// submitted without keys.
    pub fn run(&self, semantics: Semantics, private: impl Fn(usize) -> bool) -> Outcome {
        self.run_on(None, semantics, private)
    }

    /// The same on ranks.
    pub fn run_on(
        &self,
        ranks: Option<RankConfig>,
        semantics: Semantics,
        private: impl Fn(usize) -> bool,
    ) -> Outcome {
        let config = InstanceConfig { ranks, ..self.config(semantics) };
        let mut instance = Replica::new(config, self.latency.clone());
        instance.keep_index_journal();
        let mut index = BTreeSet::new();
        let mut ended = vec![None; self.requests.len()];
        let mut order = Vec::new();
        let mut views = Vec::new();
        let mut collect = |instance: &mut Replica| {
            for end in instance.drain_ended() {
                let place = &mut ended[end.handle as usize];
                assert!(place.is_none(), "{}: request {} ended twice", self.name, end.handle);
                *place = Some(end);
                order.push(end.handle as usize);
            }
        };
        for (handle, request) in self.requests.iter().enumerate() {
            let now = Tick::from_us(request.arrival_us);
            if now > self.horizon {
                break;
            }
            self.run_before(&mut instance, now);
            collect(&mut instance);
            instance.drain_index_journal(|change| match change {
                IndexChange::Added(key) => assert!(index.insert(key), "{key} is added twice"),
                IndexChange::Removed(key) => assert!(index.remove(&key), "{key} is removed twice"),
            });
            let in_common = |other: &ScenarioRequest| {
                request.tokens().zip(other.tokens()).take_while(|(mine, its)| mine == its).count()
            };
            let others = self.requests.iter().enumerate().filter(|(other, _)| *other != handle);
            let shared_tokens = others.map(|(_, other)| in_common(other)).max().unwrap_or(0);
            let shared_blocks = shared_tokens / self.block_tokens as usize;
            let keys = block_keys(&request.input, &request.output, self.block_tokens);
            let can_be_mixed = shared_tokens == 0 || instance.mixes_blocks();
            let prompt_blocks = request.input.len() / self.block_tokens as usize;
            let is_private = !instance.needs_listed_keys()
                && private(handle)
                && can_be_mixed
                && shared_blocks <= prompt_blocks;
            views.push(View {
                queue_depth: instance.queue_depth(),
                batch_size: instance.batch_size(),
                kv_utilization: instance.kv_utilization(),
                findable_blocks: keys[..prompt_blocks].iter().take_while(|key| index.contains(key)).count(),
                adapters: (0..64).map(|n| u64::from(instance.has_adapter(n)) << n).sum(),
            });
            instance.submit(
                now,
                Submission {
                    handle: handle as u32,
                    name: RequestName::text(&request.id),
                    arrival: now,
                    input_tokens: request.input.len() as u32,
                    output_tokens: request.output.len() as u32,
                    max_output_tokens: request.max_output,
                    deadline: (request.deadline_us > 0).then(|| Tick::from_us(request.deadline_us)),
                    adapter: request.adapter,
                    priority: self.priorities.priority(&request.slo_class),
                    keys: if is_private {
                        BlockKeys::Leading(keys[..shared_blocks].into())
                    } else {
                        BlockKeys::Listed(keys)
                    },
                },
            );
        }
        self.run_before(&mut instance, Tick::MAX);
        collect(&mut instance);
        let sim_ended = instance.finish();
        collect(&mut instance);
        Outcome {
            ended,
            order,
            counters: instance.counters(),
            sim_ended,
            hits_and_misses: instance.cache_hits_and_misses(),
            thrashing_rate: instance.kv_thrashing_rate(),
            offload: instance.offload_figures(),
            adapters: instance.adapter_figures(),
            itl: instance.take_inter_token_latencies().counts().map(|(t, n)| (t.as_us(), n)).collect(),
            views,
        }
    }
}
