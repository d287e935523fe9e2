//! Trained-physics as the reference fitted it: first principles with eleven weights, in lists. [`Physics`](crate::Physics) is the
//! form with named factors, which reads models as they are published.
//!
//! ```text
//! prefill  compute pc = (L·2·T·d·(2·d + 2·dkv)/td + L·A/dp + ffn(T)) / rate        T = Σ q, A = Σ 4·h·q·(I + q/2)·dh
//!          KV      pk = L·2·(dkv/td)·T·2 / bw
//! decode   compute dc = (L·2·T·d·(2·d + 2·dkv)/td + L·4·h·X·dh/dp + ffn(T)) / rate  T = decodes, X = Σ contexts
//!          KV      dk = L·2·(dkv/td)·2·(X + T) / bw
//! ffn(T) = moe·(T·k/G)·6·d·Fe + moe·T·6·d·Fs/td + dense·T·6·d·Fd/td
//! weights  tw = (L·d·(2·d + 2·dkv)·w/TP + moe·(N/G)·3·d·Fe·w + moe·3·d·Fs·w/TP + dense·3·d·Fd·w/TP) / bw
//! collectives of u layers: V(u) = u·T·d·b·2·((TP − 1)/TP) / bw                      T = all tokens
//!          ca = V(L)/dp   cf = V(dense)/dp   cr = V(moe), MoE on one rank
//! dispatch cd = (T/dp)·[k·](G − 1)/G·2·d·b/bw · moe, MoE on several ranks; k only if all-to-all
//!
//! step = β0·pc + β8·pk  (β0·max(pc, pk) with fewer than 9 β)
//!      + β1·dc + β9·dk  (β1·max(dc, dk) with fewer than 10 β)
//!      + β2·tw + β3·(ca + cf + cr) + β10·cd + β4·L + β5·n + β6 + β7·moe (interleaved models)
//! ```
//!
//! with q new tokens of a prompt of I tokens, n scheduled requests, L layers of which `moe` are MoE and `dense` are
//! not, width d, h = heads/TP, dh = d div heads, dkv = KV heads·dh, k experts per token out of N, expert, shared and
//! dense widths Fe, Fs, Fd, td = TP·dp, G = TP·dp for MoE and TP otherwise, b bytes per activation, w per weight, rate
//! in FLOP/µs, bw in B/µs. KV elements count 2 bytes. Every resident expert is read in every step.

use crate::architecture::{Deployment, Fp8Rule, GpuSpec, ModelArchitecture};
use crate::coefficients::Coefficients;
use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::pipeline::StageShare;
use crate::problem::{Checks, InvalidModel, Problem};
use blis_kernel::Tick;

/// Fewest betas that the model works with.
pub const MIN_BETAS: usize = 7;
/// Betas that the model reads; further ones are ignored.
pub const MAX_BETAS: usize = 11;

/// The model, with everything worked out that no batch changes.
///
/// Constants are prefixes of the products above, so that a step rounds exactly as the written formula does.
#[derive(Clone, Debug)]
pub struct TrainedPhysics {
    overheads: Overheads,

    // Shape.
    layers: f64,
    hidden: f64,
    head_dim: f64,
    moe_layers: f64,
    dense_layers: f64,
    expert_width: f64,
    shared_width: f64,
    dense_width: f64,
    experts_per_token: f64,
    bytes_per_param: f64,

    // Layout.
    data_parallel: f64,
    gpus_of_dense: f64,
    gpus_of_experts: f64,
    dispatched_per_token: f64,
    /// (TP − 1)/TP.
    ring_share: f64,
    comm: Communication,

    // Rates.
    flop_per_us: f64,
    bytes_per_us: f64,

    // Prefixes of the products.
    /// L·2.
    two_layers: f64,
    /// 2·d + 2·dkv.
    projection_width: f64,
    /// 4·h.
    four_heads: f64,
    /// L·4·h.
    four_heads_of_all_layers: f64,
    /// L·2·(dkv/td).
    kv_width: f64,

    // Terms.
    prefill: Blend,
    decode: Blend,
    collective_weight: f64,
    dispatch_weight: f64,
    us_per_request: f64,
    us_per_step: f64,
    /// β2·tw.
    weight_us: f64,
    /// β4·L.
    layer_us: f64,
    /// β7·moe of interleaved models.
    interleave_us: f64,
}

/// How compute and KV time of a phase make up its time.
#[derive(Clone, Copy, Debug)]
enum Blend {
    /// compute·β + kv·β'
    Sum { compute: f64, kv: f64 },
    /// Overlapped: the longer one · β
    Longer(f64),
}

/// Which transfers between GPUs a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Communication {
    None,
    /// Sums over a tensor-parallel group.
    AllReduce,
    /// Sums of the attention and dense layers; experts exchange tokens between ranks.
    Dispatch,
}

impl TrainedPhysics {
    /// Name of the model on the command line.
    pub const NAME: &'static str = "trained-physics";

    /// Builds the model of one instance.
    ///
    /// # Errors
    /// Everything that is wrong with the inputs.
    pub fn new(
        model: &ModelArchitecture,
        gpu: &GpuSpec,
        deployment: &Deployment,
        coefficients: &Coefficients,
        fp8_rule: Fp8Rule,
    ) -> Result<Self, InvalidModel> {
        check(model, gpu, deployment, coefficients)?;

        let (moe_count, dense_count) = model.layer_split();
        let is_moe = model.is_moe();
        let layers = f64::from(model.layers);
        let hidden = f64::from(model.hidden);
        let head_dim = f64::from(model.hidden / model.heads);
        let kv_width = f64::from(model.effective_kv_heads()) * head_dim;
        let tp = f64::from(deployment.tp);
        let data_parallel = f64::from(deployment.dp);
        let gpus_of_dense = tp * data_parallel;
        let gpus_of_experts = if is_moe { tp * data_parallel } else { tp };
        let heads_per_gpu = f64::from(model.heads) / tp;
        let moe_layers = f64::from(moe_count);
        let dense_layers = f64::from(dense_count);
        let expert_width = f64::from(model.effective_expert_intermediate());
        let shared_width = f64::from(model.shared_expert_intermediate);
        let dense_width = f64::from(model.effective_dense_intermediate());
        let experts_per_token = f64::from(model.experts_per_token.max(1));
        let weight_bytes = model.effective_weight_bytes();
        let bytes_per_us = gpu.hbm_tb_per_s * 1e6;

        let projection_width = 2.0 * hidden + 2.0 * kv_width;
        let attention_weights = layers * hidden * projection_width * weight_bytes / tp;
        let mut ffn_weights = 0.0;
        if moe_count > 0 {
            ffn_weights += moe_layers
                * (f64::from(model.experts) / gpus_of_experts)
                * 3.0
                * hidden
                * expert_width
                * weight_bytes;
            if shared_width > 0.0 {
                ffn_weights += moe_layers * 3.0 * hidden * shared_width * weight_bytes / tp;
            }
        }
        if dense_count > 0 {
            ffn_weights += dense_layers * 3.0 * hidden * dense_width * weight_bytes / tp;
        }
        let weight_load = (attention_weights + ffn_weights) / bytes_per_us;

        let beta: [f64; MAX_BETAS] = coefficients.betas();
        let given = coefficients.beta.len();
        let interleaved = is_moe && model.moe_interleave_step > 0;
        let sum = |compute, kv| Blend::Sum { compute, kv };
        Ok(Self {
            overheads: Overheads::with_end(&coefficients.alpha),
            layers,
            hidden,
            head_dim,
            moe_layers,
            dense_layers,
            expert_width,
            shared_width,
            dense_width,
            experts_per_token,
            bytes_per_param: model.bytes_per_param,
            data_parallel,
            gpus_of_dense,
            gpus_of_experts,
            dispatched_per_token: if deployment.moe_comm.is_all_to_all() { experts_per_token } else { 1.0 },
            ring_share: (tp - 1.0) / tp,
            comm: match (is_moe && deployment.dp > 1, deployment.tp > 1) {
                (true, _) => Communication::Dispatch,
                (false, true) => Communication::AllReduce,
                (false, false) => Communication::None,
            },
            flop_per_us: gpu.peak_tflops(model, fp8_rule) * 1e6,
            bytes_per_us,
            two_layers: layers * 2.0,
            projection_width,
            four_heads: 4.0 * heads_per_gpu,
            four_heads_of_all_layers: layers * 4.0 * heads_per_gpu,
            kv_width: layers * 2.0 * (kv_width / gpus_of_dense),
            prefill: if given >= 9 { sum(beta[0], beta[8]) } else { Blend::Longer(beta[0]) },
            decode: if given >= 10 { sum(beta[1], beta[9]) } else { Blend::Longer(beta[1]) },
            collective_weight: beta[3],
            dispatch_weight: if given > 10 { beta[10] } else { beta[3] },
            us_per_request: beta[5],
            us_per_step: beta[6],
            weight_us: beta[2] * weight_load,
            layer_us: beta[4] * layers,
            interleave_us: if interleaved { beta[7] * moe_layers } else { 0.0 },
        })
    }

    /// The model of one stage of a pipeline: the terms of its share of the layers, on the last stage also β5·n and β6.
    #[must_use]
    pub fn stage(&self, share: StageShare) -> Self {
        let (of_layers, beside) = (share.of_layers, f64::from(u8::from(share.is_last)));
        Self {
            layers: self.layers * of_layers,
            moe_layers: self.moe_layers * of_layers,
            dense_layers: self.dense_layers * of_layers,
            two_layers: self.two_layers * of_layers,
            four_heads_of_all_layers: self.four_heads_of_all_layers * of_layers,
            kv_width: self.kv_width * of_layers,
            weight_us: self.weight_us * of_layers,
            layer_us: self.layer_us * of_layers,
            interleave_us: self.interleave_us * of_layers,
            us_per_request: self.us_per_request * beside,
            us_per_step: self.us_per_step * beside,
            ..self.clone()
        }
    }

    /// FLOPs of the linear layers: projections, then the context term given, then feed-forward.
    #[inline]
    fn compute_us(&self, tokens: f64, attention_flops: f64) -> f64 {
        let projections = self.two_layers * tokens * self.hidden * self.projection_width / self.gpus_of_dense;
        (projections + attention_flops + self.ffn_flops(tokens)) / self.flop_per_us
    }

    #[inline]
    fn ffn_flops(&self, tokens: f64) -> f64 {
        let mut flops = 0.0;
        if self.moe_layers > 0.0 {
            let per_gpu = tokens * self.experts_per_token / self.gpus_of_experts;
            flops += self.moe_layers * per_gpu * 6.0 * self.hidden * self.expert_width;
            if self.shared_width > 0.0 {
                flops +=
                    self.moe_layers * tokens * 6.0 * self.hidden * self.shared_width / self.gpus_of_dense;
            }
        }
        if self.dense_layers > 0.0 {
            flops += self.dense_layers * tokens * 6.0 * self.hidden * self.dense_width / self.gpus_of_dense;
        }
        flops
    }

    #[inline]
    fn prefill_us(&self, tokens: f64, attention: f64) -> f64 {
        let compute = || self.compute_us(tokens, self.layers * attention / self.data_parallel);
        let kv = || self.kv_width * tokens * 2.0 / self.bytes_per_us;
        self.prefill.apply(compute, kv)
    }

    #[inline]
    fn decode_us(&self, decodes: f64, context_tokens: f64) -> f64 {
        let compute = || {
            let attention =
                self.four_heads_of_all_layers * context_tokens * self.head_dim / self.data_parallel;
            self.compute_us(decodes, attention)
        };
        let kv = || self.kv_width * 2.0 * (context_tokens + decodes) / self.bytes_per_us;
        self.decode.apply(compute, kv)
    }

    /// Time of one all-reduce per layer over `layers` layers.
    #[inline]
    fn all_reduce_us(&self, layers: f64, tokens: f64) -> f64 {
        layers * tokens * self.hidden * self.bytes_per_param * 2.0 * self.ring_share / self.bytes_per_us
    }

    /// β3·(ca + cf + cr) and β10·cd.
    #[inline]
    fn communication_us(&self, tokens: f64) -> (f64, f64) {
        match self.comm {
            Communication::None => (0.0, 0.0),
            Communication::AllReduce => {
                let attention = self.all_reduce_us(self.layers, tokens) / self.data_parallel;
                let dense = self.all_reduce_us(self.dense_layers, tokens) / self.data_parallel;
                let experts = self.all_reduce_us(self.moe_layers, tokens);
                (self.collective_weight * (attention + dense + experts), 0.0)
            }
            Communication::Dispatch => {
                let attention = self.all_reduce_us(self.layers, tokens) / self.data_parallel;
                let dense = self.all_reduce_us(self.dense_layers, tokens) / self.data_parallel;
                let per_layer =
                    tokens / self.data_parallel * self.dispatched_per_token * (self.gpus_of_experts - 1.0)
                        / self.gpus_of_experts
                        * 2.0
                        * self.hidden
                        * self.bytes_per_param
                        / self.bytes_per_us;
                (
                    self.collective_weight * (attention + dense),
                    self.dispatch_weight * (per_layer * self.moe_layers),
                )
            }
        }
    }
}

impl Blend {
    /// A part with weight 0 is not worked out: it would add exactly 0.
    #[inline]
    fn apply(self, compute_us: impl FnOnce() -> f64, kv_us: impl FnOnce() -> f64) -> f64 {
        match self {
            Self::Sum { compute, kv } => {
                let compute = if compute == 0.0 { 0.0 } else { compute * compute_us() };
                let kv = if kv == 0.0 { 0.0 } else { kv * kv_us() };
                compute + kv
            }
            Self::Longer(weight) => weight * compute_us().max(kv_us()),
        }
    }
}

impl LatencyModel for TrainedPhysics {
    fn overheads(&self) -> Overheads {
        self.overheads
    }

    #[inline]
    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        if batch.is_empty() {
            return Tick::ONE;
        }
        let mut prefill_tokens = 0.0;
        let mut attention = 0.0;
        for request in batch.prefills {
            let new_tokens = request.new_tokens as f64;
            prefill_tokens += new_tokens;
            attention += self.four_heads
                * new_tokens
                * (request.prompt_tokens as f64 + new_tokens / 2.0)
                * self.head_dim;
        }
        let decodes = batch.decodes as f64;

        let prefill = if prefill_tokens > 0.0 { self.prefill_us(prefill_tokens, attention) } else { 0.0 };
        let decode =
            if batch.decodes > 0 { self.decode_us(decodes, batch.decode_context_tokens as f64) } else { 0.0 };
        let (collectives, dispatch) = self.communication_us(prefill_tokens + decodes);
        let step = prefill
            + decode
            + self.weight_us
            + collectives
            + dispatch
            + self.layer_us
            + self.us_per_request * batch.len() as f64
            + self.us_per_step
            + self.interleave_us;
        Tick::trunc(step).max(Tick::ONE)
    }
}

fn check(
    model: &ModelArchitecture,
    gpu: &GpuSpec,
    deployment: &Deployment,
    coefficients: &Coefficients,
) -> Result<(), InvalidModel> {
    let mut checks = Checks::new();
    coefficients.check(MIN_BETAS, &mut checks);
    checks.positive("TP", deployment.tp.into());
    checks.positive("DP", deployment.dp.into());
    checks.positive("layers", model.layers.into());
    checks.positive("hidden size", model.hidden.into());
    checks.positive("attention heads", model.heads.into());
    checks.positive("intermediate size", model.intermediate.into());
    checks.positive("bytes per parameter", model.bytes_per_param);
    checks.positive_or_absent("bytes per weight", model.weight_bytes_per_param);
    checks.divisible("attention heads", model.heads, deployment.tp);
    checks.divisible("KV heads", model.effective_kv_heads(), deployment.tp);
    checks.positive("FP16 rate (TFLOP/s)", gpu.fp16_tflops);
    checks.positive("memory bandwidth (TB/s)", gpu.hbm_tb_per_s);
    checks.require(
        !model.is_moe() || model.experts_per_token > 0,
        Problem::NoExpertsPerToken { experts: model.experts },
    );
    checks.require(model.is_moe() || deployment.dp <= 1, Problem::DataParallelDense { dp: deployment.dp });
    checks.finish(TrainedPhysics::NAME)
}
