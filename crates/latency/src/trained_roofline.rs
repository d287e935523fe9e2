//! Trained-roofline: a roofline with seven fitted weights, the forerunner of trained-physics. Kept for old results.
//!
//! ```text
//! pc = (L·2·Tp·d·(2·d + 2·dkv)/TP + L·A + L·Tp·k·6·d·F/TP) / rate            pk = L·2·(dkv/TP)·Tp·2 / bw
//! dc = (L·2·Td·d·(2·d + 2·dkv)/TP + L·4·h·X·dh + L·Td·k·6·d·F/TP) / rate     dk = L·2·(dkv/TP)·2·(X + Td) / bw
//! tw = (L·d·(2·d + 2·dkv)·2/TP + L·ne·3·d·F·2/TP) / bw       ne = 1 if dense, else min(N, max(k, (Tp + Td)·k))
//! step = β0·max(pc, pk) + β1·max(dc, dk) + β2·tw + β3·0 + β4·L + β5·n + β6
//! ```
//!
//! with Tp = Σ q new prefill tokens, Td decodes, A = Σ 4·h·q·(I + q/2)·dh over prefills of prompts of I tokens, X the
//! sum of decode contexts, n scheduled requests, h = heads/TP, dh = d div heads, dkv = KV heads·dh, k experts per token
//! (at least 1) out of N. Two bytes per element and the FP16 rate whatever the model; every MLP has width F.

use crate::architecture::{GpuSpec, ModelArchitecture};
use crate::coefficients::Coefficients;
use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::problem::{Checks, InvalidModel};
use blis_kernel::Tick;

/// Fewest betas that the model works with.
pub const MIN_BETAS: usize = 7;

/// The model of one instance.
#[derive(Clone, Debug)]
pub struct TrainedRoofline {
    overheads: Overheads,
    beta: [f64; MIN_BETAS],
    tp: f64,
    layers: f64,
    hidden: f64,
    heads_per_gpu: f64,
    head_dim: f64,
    kv_width: f64,
    intermediate: f64,
    experts: f64,
    experts_per_token: f64,
    flop_per_us: f64,
    bytes_per_us: f64,
}

impl TrainedRoofline {
    /// Name of the model on the command line.
    pub const NAME: &'static str = "trained-roofline";

    /// Builds the model of one instance of `tp` GPUs.
    ///
    /// # Errors
    /// Everything that is wrong with the inputs.
    pub fn new(
        model: &ModelArchitecture,
        gpu: &GpuSpec,
        tp: u32,
        coefficients: &Coefficients,
    ) -> Result<Self, InvalidModel> {
        let mut checks = Checks::new();
        coefficients.check(MIN_BETAS, &mut checks);
        checks.positive("TP", tp.into());
        checks.positive("layers", model.layers.into());
        checks.positive("attention heads", model.heads.into());
        checks.positive("hidden size", model.hidden.into());
        checks.positive("intermediate size", model.intermediate.into());
        checks.divisible("attention heads", model.heads, tp);
        checks.divisible("KV heads", model.effective_kv_heads(), tp);
        checks.positive("FP16 rate (TFLOP/s)", gpu.fp16_tflops);
        checks.positive("memory bandwidth (TB/s)", gpu.hbm_tb_per_s);
        checks.finish(Self::NAME)?;

        let head_dim = f64::from(model.hidden / model.heads);
        Ok(Self {
            overheads: Overheads::with_end(&coefficients.alpha),
            beta: coefficients.betas(),
            tp: f64::from(tp),
            layers: f64::from(model.layers),
            hidden: f64::from(model.hidden),
            heads_per_gpu: f64::from(model.heads) / f64::from(tp),
            head_dim,
            kv_width: f64::from(model.effective_kv_heads()) * head_dim,
            intermediate: f64::from(model.intermediate),
            experts: f64::from(model.experts),
            experts_per_token: f64::from(model.experts_per_token.max(1)),
            flop_per_us: gpu.fp16_tflops * 1e6,
            bytes_per_us: gpu.hbm_tb_per_s * 1e6,
        })
    }

    /// `tokens` through all layers, with the attention term given.
    fn compute_us(&self, tokens: f64, attention: f64) -> f64 {
        let (layers, d, tp) = (self.layers, self.hidden, self.tp);
        let projections = layers * 2.0 * tokens * d * (2.0 * d + 2.0 * self.kv_width) / tp;
        let ffn = layers * tokens * self.experts_per_token * 6.0 * d * self.intermediate / tp;
        (projections + attention + ffn) / self.flop_per_us
    }

    fn weight_us(&self, tokens: f64) -> f64 {
        let (layers, d, tp) = (self.layers, self.hidden, self.tp);
        let experts = if self.experts > 0.0 {
            self.experts.min(self.experts_per_token.max(tokens * self.experts_per_token))
        } else {
            1.0
        };
        let attention = layers * d * (2.0 * d + 2.0 * self.kv_width) * 2.0 / tp;
        let ffn = layers * experts * 3.0 * d * self.intermediate * 2.0 / tp;
        (attention + ffn) / self.bytes_per_us
    }
}

impl LatencyModel for TrainedRoofline {
    fn overheads(&self) -> Overheads {
        self.overheads
    }

    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        if batch.is_empty() {
            return Tick::ONE;
        }
        let (layers, h, head_dim) = (self.layers, self.heads_per_gpu, self.head_dim);
        let mut prefill_tokens = 0.0;
        let mut prefill_attention = 0.0;
        for request in batch.prefills {
            let new_tokens = request.new_tokens as f64;
            prefill_tokens += new_tokens;
            prefill_attention +=
                4.0 * h * new_tokens * (request.prompt_tokens as f64 + new_tokens / 2.0) * head_dim;
        }
        let decodes = batch.decodes as f64;
        let contexts = batch.decode_context_tokens as f64;

        let kv_width = layers * 2.0 * (self.kv_width / self.tp);
        let prefill_compute = self.compute_us(prefill_tokens, layers * prefill_attention);
        let prefill_kv = kv_width * prefill_tokens * 2.0 / self.bytes_per_us;
        let decode_compute = self.compute_us(decodes, layers * 4.0 * h * contexts * head_dim);
        let decode_kv = kv_width * 2.0 * (contexts + decodes) / self.bytes_per_us;

        let [prefill, decode, weights, _collectives, per_layer, per_request, per_step] = self.beta;
        let step = prefill * prefill_compute.max(prefill_kv)
            + decode * decode_compute.max(decode_kv)
            + weights * self.weight_us(prefill_tokens + decodes)
            + per_layer * layers
            + per_request * batch.len() as f64
            + per_step;
        Tick::trunc(step).max(Tick::ONE)
    }
}
