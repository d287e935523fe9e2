//! Trained-physics with the model read as it is published: FLOPs and bytes at the rated speeds of the GPU, with twelve
//! fitted numbers ([`Factors`], by name).
//!
//! ```text
//! per GPU, with T tokens in the step (Tp of them of prompts), n requests, L layers of which `moe` have experts:
//!
//! linear layers  C = arithmetic·(T/dp·2·P/rate)       P: projections, dense networks, shared experts; and n output layers
//!                W = weights·(bytes of P and of the output layer)/bw
//! experts        C = arithmetic·T·moe·k·2·E/G/rate    E: weights of an expert, k of N visited by a token, G = TP·dp
//!                W = weights·moe·N·(1 − (1 − k/N)^T)·bytes of E/G/bw
//! each of both   C + W − overlap·min(C, W)
//! activations    activations·T/dp·2 B·(L·(8·d + 4·(h + 2·kv)·dh) + dense·3·F + moe·(4·k·d + 3·(k·Fe + Fs)))/bw
//! prompts        prompt_attention·Σ 4·h·dh·q·(past + q/2)/rate of 16 bits             windowed layers: at most the window
//! decoding       cache·Σ bytes of the context/bw      MLA: the latent vector, or its arithmetic where that takes longer
//! TP > 1         2·L·(communication·2·(TP − 1)/TP·T/dp·d·2 B/link + collective_us)
//! dp > 1         no sum after experts; to them and back, moe·2·(communication·bytes/link + collective_us)
//! beside         layer_us·L + moe_layer_us·moe + request_us·n + step_us
//! ```
//!
//! Rates and bytes go by how each kind of layer holds its weights. The form with lists of coefficients, as it was fitted by the
//! reference, is [`TrainedPhysics`].

mod factors;

pub use factors::Factors;

use crate::architecture::{Deployment, GpuSpec};
use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::pipeline::{PCIE_GB_PER_S, StageShare};
use crate::problem::{Checks, InvalidModel, Problem};
use crate::profiled::{KvFormat, LinearAttention, ModelShape, WeightFormat};
use crate::trained_physics::TrainedPhysics;
use blis_kernel::Tick;
use std::sync::Arc;

/// Bytes of an activation.
const ACTIVATION: f64 = 2.0;
/// Bytes of an element of the state of linear attention.
const STATE: f64 = 4.0;
/// Share of the experts that may be missed where all are taken to be visited.
const MISSED: f64 = 1e-4;
/// Tokens up to which visited experts are counted.
const MOST_COUNTED: u32 = 8192;

/// The model, with everything worked out that no batch changes. Times hold the fitted factors.
#[derive(Clone, Debug)]
pub struct Physics {
    // Linear layers but experts.
    us_per_token: f64,
    us_per_output: f64,
    weights_us: f64,
    // Experts.
    expert_us_per_token: f64,
    /// By tokens; the last one for all further ones.
    experts_us: Arc<[f64]>,
    experts_share: f64,
    overlap: f64,
    activations_us_per_token: f64,
    // Attention: µs per score of all layers of a kind, and per cached token.
    us_per_score: f64,
    us_per_windowed_score: f64,
    us_per_cached_token: f64,
    us_per_windowed_token: f64,
    window: f64,
    us_per_state: f64,
    // Beside.
    transfer_us_per_token: f64,
    layers_us: f64,
    us_per_request: f64,
    us_per_step: f64,
}

impl Physics {
    /// Name of the model on the command line.
    pub const NAME: &'static str = TrainedPhysics::NAME;

    /// Builds the model of one instance.
    ///
    /// # Errors
    /// Everything that is wrong with the inputs.
    pub fn new(
        shape: &ModelShape,
        gpu: &GpuSpec,
        deployment: &Deployment,
        kv: KvFormat,
        factors: &Factors,
    ) -> Result<Self, InvalidModel> {
        check(shape, gpu, deployment, factors)?;
        let rated = Rated::new(gpu);
        let (tp, dp) = (f64::from(deployment.tp), f64::from(deployment.dp));
        let gpus = tp * dp;
        let layers = f64::from(shape.layers);
        let moe_layers = f64::from(shape.moe_layers);
        let hidden = f64::from(shape.hidden);

        let attention = attention_weights(shape, deployment.tp);
        let matrices = if shape.gated_mlp { 3.0 } else { 2.0 };
        let dense = matrices
            * hidden
            * ((layers - moe_layers) * f64::from(shape.dense_intermediate)
                + moe_layers * f64::from(shape.shared_intermediate))
            / tp;
        let output = hidden * f64::from(shape.vocabulary) / tp;
        let flops_us = 2.0
            * (attention / rated.flops(shape.attention_weights) + dense / rated.flops(shape.dense_weights));
        let bytes = attention * shape.attention_weights.bytes()
            + dense * shape.dense_weights.bytes()
            + output * WeightFormat::Bf16.bytes();
        let expert = moe_layers * matrices * hidden * f64::from(shape.expert_intermediate) / gpus;
        let expert_flops_us =
            2.0 * f64::from(shape.experts_per_token) * expert / rated.flops(shape.expert_weights);
        let us_per_expert = factors.weights * expert * shape.expert_weights.bytes() / rated.bytes_per_us;

        let scores = |layers: f64| {
            factors.prompt_attention * layers * flops_per_score(shape, tp) / rated.flop_per_us / dp
        };
        let windowed = f64::from(shape.windowed_layers);
        let full = f64::from(shape.full_attention_layers());
        let cached = |layers: f64| factors.cache * layers * cached_us(shape, deployment.tp, kv, &rated) / dp;

        let activations = factors.activations * activation_bytes(shape, tp) / rated.bytes_per_us / dp;
        Ok(Self {
            activations_us_per_token: activations,
            us_per_token: factors.arithmetic * flops_us / dp,
            us_per_output: factors.arithmetic * 2.0 * output / rated.flop_per_us / dp,
            weights_us: factors.weights * bytes / rated.bytes_per_us,
            expert_us_per_token: factors.arithmetic * expert_flops_us,
            experts_us: visited(shape).map(|experts| experts * us_per_expert).collect(),
            experts_share: 1.0,
            overlap: factors.overlap,
            us_per_score: scores(full),
            us_per_windowed_score: scores(windowed),
            us_per_cached_token: cached(full),
            us_per_windowed_token: cached(windowed),
            window: f64::from(shape.window),
            us_per_state: factors.cache * shape.linear_attention.map_or(0.0, state_bytes)
                / gpus
                / rated.bytes_per_us,
            transfer_us_per_token: factors.communication * transferred(shape, deployment)
                / rated.link_bytes_per_us,
            layers_us: layers * factors.layer_us
                + moe_layers * factors.moe_layer_us
                + collectives(shape, deployment) * factors.collective_us,
            us_per_request: factors.request_us,
            us_per_step: factors.step_us,
        })
    }

    /// The model of one stage of a pipeline: its share of the layers; the last stage has what is beside them. The output
    /// layer's weights are dealt out like the others.
    #[must_use]
    pub fn stage(&self, share: StageShare) -> Self {
        let (of_layers, beside) = (share.of_layers, f64::from(u8::from(share.is_last)));
        Self {
            us_per_token: self.us_per_token * of_layers,
            us_per_output: self.us_per_output * beside,
            weights_us: self.weights_us * of_layers,
            expert_us_per_token: self.expert_us_per_token * of_layers,
            experts_share: self.experts_share * of_layers,
            activations_us_per_token: self.activations_us_per_token * of_layers,
            us_per_score: self.us_per_score * of_layers,
            us_per_windowed_score: self.us_per_windowed_score * of_layers,
            us_per_cached_token: self.us_per_cached_token * of_layers,
            us_per_windowed_token: self.us_per_windowed_token * of_layers,
            us_per_state: self.us_per_state * of_layers,
            transfer_us_per_token: self.transfer_us_per_token * of_layers,
            layers_us: self.layers_us * of_layers,
            us_per_request: self.us_per_request * beside,
            us_per_step: self.us_per_step * beside,
            ..self.clone()
        }
    }

    #[inline]
    fn both(&self, arithmetic: f64, weights: f64) -> f64 {
        arithmetic + weights - self.overlap * arithmetic.min(weights)
    }

    #[inline]
    fn experts_us(&self, tokens: f64) -> f64 {
        let last = self.experts_us.len() - 1;
        self.experts_us[(tokens as usize).min(last)] * self.experts_share
    }
}

impl LatencyModel for Physics {
    fn overheads(&self) -> Overheads {
        Overheads::default()
    }

    #[inline]
    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        if batch.is_empty() {
            return Tick::ONE;
        }
        let mut prompt_tokens = 0.0;
        let mut attention = 0.0;
        for request in batch.prefills {
            let new_tokens = request.new_tokens as f64;
            let mean = request.progress as f64 + new_tokens / 2.0;
            prompt_tokens += new_tokens;
            attention +=
                new_tokens * (self.us_per_score * mean + self.us_per_windowed_score * mean.min(self.window));
        }
        let decodes = batch.decodes as f64;
        let contexts = batch.decode_context_tokens as f64;
        let tokens = prompt_tokens + decodes;
        let requests = batch.len() as f64;
        let linear = self.both(self.us_per_token * tokens + self.us_per_output * requests, self.weights_us);
        let experts = self.both(self.expert_us_per_token * tokens, self.experts_us(tokens));
        let cache = self.us_per_cached_token * contexts
            + self.us_per_windowed_token * contexts.min(decodes * self.window)
            + self.us_per_state * decodes;
        let step = linear
            + experts
            + attention
            + cache
            + (self.activations_us_per_token + self.transfer_us_per_token) * tokens
            + self.layers_us
            + self.us_per_request * requests
            + self.us_per_step;
        Tick::trunc(step).max(Tick::ONE)
    }

    /// Its steps hold what the CPU adds to them, but nothing stands for the front end.
    fn covers_host(&self) -> bool {
        false
    }
}

/// A GPU's speeds per µs.
struct Rated<'a> {
    gpu: &'a GpuSpec,
    flop_per_us: f64,
    bytes_per_us: f64,
    link_bytes_per_us: f64,
}

impl<'a> Rated<'a> {
    fn new(gpu: &'a GpuSpec) -> Self {
        Self {
            gpu,
            flop_per_us: gpu.fp16_tflops * 1e6,
            bytes_per_us: gpu.hbm_tb_per_s * 1e6,
            link_bytes_per_us: gpu.link_gb_per_s.unwrap_or(PCIE_GB_PER_S) * 1e3,
        }
    }

    /// Formats with activations of 8 bits or less take the FP8 units, where there are some: no other rate is in the table.
    fn flops(&self, format: WeightFormat) -> f64 {
        match format {
            WeightFormat::Fp8 | WeightFormat::Fp8Block | WeightFormat::Nvfp4 if self.gpu.fp8_tflops > 0.0 => {
                self.gpu.fp8_tflops * 1e6
            }
            _ => self.flop_per_us,
        }
    }
}

/// Fewer KV heads than GPUs are repeated.
fn kv_heads(shape: &ModelShape, tp: u32) -> f64 {
    f64::from(shape.kv_heads.div_ceil(tp))
}

/// Weights of the projections of all layers on a GPU.
fn attention_weights(shape: &ModelShape, tp: u32) -> f64 {
    let gpus = f64::from(tp);
    let hidden = f64::from(shape.hidden);
    let heads = f64::from(shape.heads) / gpus;
    let per_layer = if let Some(latent) = shape.latent_attention {
        let (q_rank, kv_rank) = (f64::from(latent.q_rank), f64::from(latent.kv_rank));
        let (nope, rope) = (f64::from(latent.nope_dim), f64::from(latent.rope_dim));
        let value = f64::from(latent.value_dim);
        let queries = if latent.q_rank > 0 {
            hidden * q_rank + q_rank * heads * (nope + rope)
        } else {
            hidden * heads * (nope + rope)
        };
        queries + hidden * (kv_rank + rope) + kv_rank * heads * (nope + value) + heads * value * hidden
    } else {
        let dim = f64::from(shape.head_dim);
        let gates = if shape.gated_attention { heads } else { 0.0 };
        hidden * dim * (2.0 * heads + gates + 2.0 * kv_heads(shape, tp))
    };
    let linear = shape.linear_attention.map_or(0.0, |linear| {
        let keys = f64::from(linear.key_heads) * f64::from(linear.key_dim);
        let values = f64::from(linear.value_heads) * f64::from(linear.value_dim);
        f64::from(linear.layers) * hidden * (2.0 * keys + 3.0 * values) / gpus
    });
    let layers = shape.layers - shape.linear_attention.map_or(0, |linear| linear.layers);
    f64::from(layers) * per_layer + linear
}

/// Bytes of activations that a GPU reads and writes for a token: norms and the residual, queries and keys before and after
/// they are turned, feed-forward networks before and after the activation function, and the copies of a token for its experts.
fn activation_bytes(shape: &ModelShape, tp: f64) -> f64 {
    let (layers, moe_layers) = (f64::from(shape.layers), f64::from(shape.moe_layers));
    let hidden = f64::from(shape.hidden);
    let heads = f64::from(shape.heads + 2 * shape.kv_heads) * f64::from(shape.head_dim) / tp;
    let visits = f64::from(shape.experts_per_token);
    let width = visits * f64::from(shape.expert_intermediate) + f64::from(shape.shared_intermediate);
    let elements = layers * (8.0 * hidden + 4.0 * heads)
        + (layers - moe_layers) * 3.0 * f64::from(shape.dense_intermediate) / tp
        + moe_layers * (4.0 * visits * hidden + 3.0 * width / tp);
    elements * ACTIVATION
}

/// FLOPs of one query token against one key of a layer, on a GPU.
fn flops_per_score(shape: &ModelShape, tp: f64) -> f64 {
    let widths = match shape.latent_attention {
        Some(latent) => f64::from(latent.nope_dim + latent.rope_dim + latent.value_dim),
        None => 2.0 * f64::from(shape.head_dim),
    };
    2.0 * f64::from(shape.heads) / tp * widths
}

/// What a cached token of a layer costs a decoding request on a GPU, µs.
fn cached_us(shape: &ModelShape, tp: u32, kv: KvFormat, rated: &Rated<'_>) -> f64 {
    match shape.latent_attention {
        Some(latent) => {
            // All heads of the GPU read one vector.
            let (rank, rope) = (f64::from(latent.kv_rank), f64::from(latent.rope_dim));
            let bytes = (rank + rope) * kv.bytes();
            let flops = 2.0 * f64::from(shape.heads) / f64::from(tp) * (2.0 * rank + rope);
            (bytes / rated.bytes_per_us).max(flops / rated.flop_per_us)
        }
        None => 2.0 * kv_heads(shape, tp) * f64::from(shape.head_dim) * kv.bytes() / rated.bytes_per_us,
    }
}

/// Bytes of a request's state that a token reads and writes, in all layers.
fn state_bytes(linear: LinearAttention) -> f64 {
    let values = f64::from(linear.value_heads) * f64::from(linear.value_dim);
    2.0 * f64::from(linear.layers) * values * f64::from(linear.key_dim) * STATE
}

/// Experts that so many tokens visit on average, from no tokens on, until nearly all are.
fn visited(shape: &ModelShape) -> impl Iterator<Item = f64> {
    let experts = f64::from(shape.experts);
    let share = if shape.experts > 0 { f64::from(shape.experts_per_token) / experts } else { 1.0 };
    let mut missed = 1.0;
    let mut is_last = false;
    (0..=MOST_COUNTED).map_while(move |_| {
        if is_last {
            return None;
        }
        is_last = missed < MISSED;
        let visited = experts * (1.0 - missed);
        missed *= 1.0 - share;
        Some(visited)
    })
}

/// Bytes that a GPU sends for one token of the step.
fn transferred(shape: &ModelShape, deployment: &Deployment) -> f64 {
    let (tp, dp) = (f64::from(deployment.tp), f64::from(deployment.dp));
    let token = f64::from(shape.hidden) * ACTIVATION;
    let sums = sums(shape, deployment) * 2.0 * (tp - 1.0) / tp * token / dp;
    if deployment.dp == 1 {
        return sums;
    }
    let visits =
        if deployment.moe_comm.is_all_to_all() { f64::from(shape.experts_per_token) / dp } else { 1.0 };
    let gpus = tp * dp;
    sums + f64::from(shape.moe_layers) * 2.0 * visits * (gpus - 1.0) / gpus * token
}

/// Sums over a tensor-parallel group in a step.
fn sums(shape: &ModelShape, deployment: &Deployment) -> f64 {
    let all = 2.0 * f64::from(shape.layers);
    if deployment.dp > 1 { all - f64::from(shape.moe_layers) } else { all }
}

/// Transfers between GPUs in a step.
fn collectives(shape: &ModelShape, deployment: &Deployment) -> f64 {
    let sums = if deployment.tp > 1 { sums(shape, deployment) } else { 0.0 };
    let exchanges = if deployment.dp > 1 { 2.0 * f64::from(shape.moe_layers) } else { 0.0 };
    sums + exchanges
}

fn check(
    shape: &ModelShape,
    gpu: &GpuSpec,
    deployment: &Deployment,
    factors: &Factors,
) -> Result<(), InvalidModel> {
    let mut checks = Checks::new();
    factors.check(&mut checks);
    checks.require(factors.overlap <= 1.0, Problem::OverlapAboveOne { value: factors.overlap });
    shape.check(deployment, &mut checks);
    checks.positive("FP16 rate (TFLOP/s)", gpu.fp16_tflops);
    checks.positive("memory bandwidth (TB/s)", gpu.hbm_tb_per_s);
    if let Some(link) = gpu.link_gb_per_s {
        checks.positive("bandwidth between GPUs (GB/s)", link);
    }
    checks.finish(Physics::NAME)
}
