//! Scenarios for a bare instance: requests with known tokens and a linear step-time model.

#![allow(dead_code, missing_docs, clippy::missing_panics_doc, unreachable_pub)]

use blis_engine::{BlockKeys, CpuTierConfig, Ended, Instance, InstanceConfig, Submission};
use blis_kernel::{RequestName, Semantics, Tick};
use blis_latency::{Batch, LatencyModel};
use blis_policy::preemption::PreemptionKind;
use blis_policy::priority::SloTable;
use blis_policy::scheduling::SchedulerKind;
use std::sync::Arc;

/// step = trunc(b0 + b1 · prefill tokens + b2 · decode tokens), queueing = trunc(a0 + a1 · prompt).
#[derive(Clone, Debug)]
pub struct Linear {
    pub alpha: [f64; 3],
    pub beta: [f64; 3],
    pub post_decode_us: i64,
}

impl LatencyModel for Linear {
    fn queueing_time(&self, prompt_tokens: u64) -> Tick {
        Tick::trunc(self.alpha[0] + self.alpha[1] * prompt_tokens as f64)
    }

    fn output_token_processing_time(&self) -> Tick {
        Tick::trunc(self.alpha[2])
    }

    fn post_decode_overhead(&self) -> Tick {
        Tick::from_us(self.post_decode_us)
    }

    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let prefill: u64 = batch.prefills.iter().map(|p| p.new_tokens).sum();
        Tick::trunc(self.beta[0] + self.beta[1] * prefill as f64 + self.beta[2] * batch.decodes as f64)
            .max(Tick::ONE)
    }
}

#[derive(Clone, Debug)]
pub struct ScenarioRequest {
    pub id: String,
    pub arrival_us: i64,
    pub input: Vec<u32>,
    pub output: Vec<u32>,
    pub max_output: i64,
    pub slo_class: String,
    pub deadline_us: i64,
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
    pub scheduler: SchedulerKind,
    pub preemption: PreemptionKind,
    pub cpu_tier: Option<CpuTierConfig>,
    pub horizon: Tick,
    pub latency: Linear,
    pub priorities: SloTable,
    /// In order of submission; arrivals ascend.
    pub requests: Vec<ScenarioRequest>,
}

/// What a scenario came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Result {
    /// By request, in order of submission.
    pub ended: Vec<Option<Ended>>,
    pub counters: blis_engine::Counters,
    pub sim_ended: Tick,
    pub hits_and_misses: (u64, u64),
    pub thrashing_rate: f64,
    /// Inter-token latencies of the completed requests, µs → count.
    pub itl: Vec<(i64, u64)>,
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

impl Scenario {
    pub fn config(&self, semantics: Semantics) -> InstanceConfig {
        InstanceConfig {
            kv_blocks: self.kv_blocks,
            block_tokens: self.block_tokens,
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: self.max_num_batched_tokens,
            long_prefill_token_threshold: self.long_prefill_token_threshold,
            max_model_len: self.max_model_len,
            scheduler: self.scheduler,
            preemption: self.preemption,
            cpu_tier: self.cpu_tier,
            horizon: self.horizon,
            semantics,
        }
    }

    /// Runs the scenario; with `private`, requests that share no first token with another are submitted without keys.
    pub fn run(&self, semantics: Semantics, private: bool) -> Result {
        let mut instance = Instance::new(self.config(semantics), Arc::new(self.latency.clone()));
        let mut ended = vec![None; self.requests.len()];
        let mut collect = |instance: &mut Instance| {
            for end in instance.drain_ended() {
                let place = &mut ended[end.handle as usize];
                assert!(place.is_none(), "{}: request {} ended twice", self.name, end.handle);
                *place = Some(end);
            }
        };
        for (handle, request) in self.requests.iter().enumerate() {
            let now = Tick::from_us(request.arrival_us);
            if now > self.horizon {
                break;
            }
            instance.run_before(now, false);
            collect(&mut instance);
            let alone = || {
                let first = request.input.first();
                self.requests.iter().filter(|other| other.input.first() == first).count() == 1
            };
            let keys = if private && self.cpu_tier.is_none() && alone() {
                BlockKeys::Private
            } else {
                BlockKeys::Listed(block_keys(&request.input, &request.output, self.block_tokens))
            };
            instance.submit(
                now,
                Submission {
                    handle: handle as u32,
                    name: RequestName::Text(request.id.as_str().into()),
                    arrival: now,
                    input_tokens: request.input.len() as u32,
                    output_tokens: request.output.len() as u32,
                    max_output_tokens: request.max_output,
                    deadline: (request.deadline_us > 0).then(|| Tick::from_us(request.deadline_us)),
                    priority: self.priorities.priority(&request.slo_class),
                    keys,
                },
            );
        }
        instance.run_before(Tick::MAX, false);
        collect(&mut instance);
        let sim_ended = instance.finish();
        collect(&mut instance);
        Result {
            ended,
            counters: instance.counters().clone(),
            sim_ended,
            hits_and_misses: instance.cache_hits_and_misses(),
            thrashing_rate: instance.kv_thrashing_rate(),
            itl: instance.inter_token_latencies().counts().map(|(t, n)| (t.as_us(), n)).collect(),
        }
    }
}
