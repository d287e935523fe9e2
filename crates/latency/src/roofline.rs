//! Roofline: the longer of arithmetic and memory traffic at the GPU's rated speeds. No fitted step coefficients.
//!
//! ```text
//! FLOPs of t new tokens on a context of s
//!   projections (2·t·(d·d + 2·d·kv) + 2·t·d·d)·L
//!   attention   (4·H·t·c·dh)·L                      c = s + (t − 1)/2 for t > 1, else s
//!   MLP         (2·t·(2·d·Fe)·k)·moe + (2·t·(2·d·Fd))·dense
//!   vector      (5·H·t·c + 2·t·d)·L
//! bytes
//!   weights     ((d·(d + 2·kv) + d·d)·L + (2·d·Fe)·n_eff·moe + (2·d·Fd)·dense)·w
//!               n_eff = N·(1 − ((N − k)/N)^t), the experts that t tokens visit on average
//!   KV          2·L·KV·dh·b·(t written, s read);  activations L·d·b·t
//!
//! compute = Σ prefill FLOPs/TP/(peak·mfu_prefill) + Σ decode FLOPs/TP/(peak·mfu_decode)
//! memory  = (weights of the whole batch/TP + Σ KV and activations/TP) / bandwidth
//! step    = max(compute, memory)
//! ```
//!
//! with dh = d/H as a real number, kv = KV heads·dh, and two MLP matrices whatever the activation. There is no
//! communication and no per-layer cost.

use crate::architecture::{Fp8Rule, GpuSpec, ModelArchitecture};
use crate::coefficients::Coefficients;
use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::pipeline::StageShare;
use crate::problem::{Checks, CoefficientList, InvalidModel, Problem};
use blis_kernel::Tick;

/// The model of one instance.
#[derive(Clone, Debug)]
pub struct Roofline {
    overheads: Overheads,
    tp: f64,
    layers: f64,
    hidden: f64,
    heads: f64,
    kv_heads: f64,
    head_dim: f64,
    kv_width: f64,
    moe_layers: f64,
    dense_layers: f64,
    experts: f64,
    experts_per_token: f64,
    expert_width: f64,
    dense_width: f64,
    bytes_per_param: f64,
    weight_bytes: f64,
    prefill_flop_per_s: f64,
    decode_flop_per_s: f64,
    bytes_per_s: f64,
}

impl Roofline {
    /// Name of the model on the command line.
    pub const NAME: &'static str = "roofline";

    /// Builds the model of one instance of `tp` GPUs. `alpha` are the overheads outside the step, µs: fixed and per
    /// prompt token until a request is queued, per output token.
    ///
    /// # Errors
    /// Everything that is wrong with the inputs.
    pub fn new(
        model: &ModelArchitecture,
        gpu: &GpuSpec,
        tp: u32,
        alpha: &[f64],
        fp8_rule: Fp8Rule,
    ) -> Result<Self, InvalidModel> {
        check(model, gpu, tp, alpha)?;

        let (moe_layers, dense_layers) = model.layer_split();
        let hidden = f64::from(model.hidden);
        let heads = f64::from(model.heads);
        let head_dim = hidden / heads;
        let kv_heads = f64::from(model.effective_kv_heads());
        let intermediate = if model.intermediate == 0 { 4.0 * hidden } else { f64::from(model.intermediate) };
        let width = |stated: u32| if stated == 0 { intermediate } else { f64::from(stated) };
        let peak_flop_per_s = gpu.peak_tflops(model, fp8_rule) * 1e12;
        Ok(Self {
            overheads: Overheads::with_prompt(alpha),
            tp: f64::from(tp),
            layers: f64::from(model.layers),
            hidden,
            heads,
            kv_heads,
            head_dim,
            kv_width: kv_heads * head_dim,
            moe_layers: f64::from(moe_layers),
            dense_layers: f64::from(dense_layers),
            experts: f64::from(model.experts),
            experts_per_token: f64::from(model.experts_per_token),
            expert_width: width(model.expert_intermediate),
            dense_width: width(model.dense_intermediate),
            bytes_per_param: model.bytes_per_param,
            weight_bytes: model.effective_weight_bytes(),
            prefill_flop_per_s: peak_flop_per_s * gpu.mfu_prefill,
            decode_flop_per_s: peak_flop_per_s * gpu.mfu_decode,
            bytes_per_s: gpu.hbm_tb_per_s * 1e12,
        })
    }

    /// The model of one stage of a pipeline: its share of the layers. There is nothing beside layers.
    #[must_use]
    pub fn stage(&self, share: StageShare) -> Self {
        Self {
            layers: self.layers * share.of_layers,
            moe_layers: self.moe_layers * share.of_layers,
            dense_layers: self.dense_layers * share.of_layers,
            ..self.clone()
        }
    }

    fn flops(&self, context: u64, new_tokens: u64) -> f64 {
        let (s, t, d) = (context as f64, new_tokens as f64, self.hidden);
        let mut matrix = (2.0 * t * (d * d + 2.0 * d * self.kv_width) + 2.0 * t * d * d) * self.layers;
        let c = if new_tokens > 1 { s + (t - 1.0) / 2.0 } else { s };
        matrix += (4.0 * self.heads * t * c * self.head_dim) * self.layers;
        let vector = (5.0 * self.heads * t * c + 2.0 * t * d) * self.layers;
        if self.moe_layers > 0.0 {
            matrix += (2.0 * t * (2.0 * d * self.expert_width) * self.experts_per_token) * self.moe_layers;
        }
        if self.dense_layers > 0.0 {
            matrix += (2.0 * t * (2.0 * d * self.dense_width)) * self.dense_layers;
        }
        matrix + vector
    }

    /// Weight bytes that `tokens` tokens touch together.
    fn weight_traffic(&self, tokens: u64) -> f64 {
        let d = self.hidden;
        let attention = d * (d + 2.0 * self.kv_width) + d * d;
        let moe = if self.moe_layers > 0.0 {
            let missed = (self.experts - self.experts_per_token) / self.experts;
            let visited = self.experts * (1.0 - power(missed, tokens));
            (2.0 * d * self.expert_width) * visited * self.moe_layers
        } else {
            0.0
        };
        let dense =
            if self.dense_layers > 0.0 { (2.0 * d * self.dense_width) * self.dense_layers } else { 0.0 };
        (attention * self.layers + (moe + dense)) * self.weight_bytes
    }

    /// KV and activation bytes of one request. `weights` is [`Self::weight_traffic`] of its new tokens: adding and
    /// subtracting it leaves a rounding error that belongs to the model.
    fn request_traffic(&self, context: u64, new_tokens: u64, weights: f64) -> f64 {
        let per_token = 2.0 * self.layers * self.kv_heads * self.head_dim * self.bytes_per_param;
        let write = per_token * new_tokens as f64;
        let read = per_token * context as f64;
        let activations = self.layers * self.hidden * self.bytes_per_param * new_tokens as f64;
        (weights + write + read + activations) - weights
    }
}

impl LatencyModel for Roofline {
    fn overheads(&self) -> Overheads {
        self.overheads
    }

    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        debug_assert_eq!(batch.decode_contexts.len() as u64, batch.decodes);
        if batch.prefills.is_empty() && batch.decodes == 0 {
            return Tick::ONE;
        }
        let mut compute_s = 0.0;
        let mut traffic = 0.0;
        let mut tokens = batch.decodes;
        for request in batch.prefills {
            let (context, new_tokens) = (request.progress, request.new_tokens);
            compute_s += self.flops(context, new_tokens) / self.tp / self.prefill_flop_per_s;
            traffic += self.request_traffic(context, new_tokens, self.weight_traffic(new_tokens)) / self.tp;
            tokens += new_tokens;
        }
        let weights_of_one = self.weight_traffic(1);
        for &context in batch.decode_contexts {
            compute_s += self.flops(context, 1) / self.tp / self.decode_flop_per_s;
            traffic += self.request_traffic(context, 1, weights_of_one) / self.tp;
        }
        let weights = self.weight_traffic(tokens) / self.tp;
        let memory_s = (weights + traffic) / self.bytes_per_s;
        Tick::trunc(compute_s.max(memory_s) * 1e6).max(Tick::ONE)
    }

    fn wants_decode_contexts(&self) -> bool {
        true
    }
}

/// `base` (0 to 1) to a whole power by squaring, with the binary exponent kept apart from a mantissa in [0.5, 1):
/// the reference's rounding, which differs from other power functions in the last bit.
fn power(base: f64, exponent: u64) -> f64 {
    // 2^-4096 is far below the smallest real number.
    const VANISHED: i32 = -(1 << 12);
    match exponent {
        0 => return 1.0,
        1 => return base,
        _ if base == 0.0 => return 0.0,
        _ => {}
    }
    let (mut mantissa, mut binary_exponent) = libm::frexp(base);
    let (mut product, mut product_exponent) = (1.0, 0_i32);
    let mut rest = exponent;
    while rest > 0 {
        if binary_exponent < VANISHED {
            return 0.0;
        }
        if rest & 1 == 1 {
            product *= mantissa;
            product_exponent += binary_exponent;
        }
        mantissa *= mantissa;
        binary_exponent *= 2;
        if mantissa < 0.5 {
            mantissa += mantissa;
            binary_exponent -= 1;
        }
        rest >>= 1;
    }
    libm::ldexp(product, product_exponent)
}

fn check(model: &ModelArchitecture, gpu: &GpuSpec, tp: u32, alpha: &[f64]) -> Result<(), InvalidModel> {
    let mut checks = Checks::new();
    checks.coefficients(CoefficientList::Alpha, alpha, Coefficients::ALPHAS);
    checks.positive("TP", tp.into());
    checks.positive("attention heads", model.heads.into());
    checks.positive("layers", model.layers.into());
    checks.positive("hidden size", model.hidden.into());
    checks.positive("bytes per parameter", model.bytes_per_param);
    checks.positive_or_absent("bytes per weight", model.weight_bytes_per_param);
    checks.positive("FP16 rate (TFLOP/s)", gpu.fp16_tflops);
    checks.positive_or_absent("FP8 rate (TFLOP/s)", gpu.fp8_tflops);
    checks.positive("memory bandwidth (TB/s)", gpu.hbm_tb_per_s);
    checks.positive("prefill MFU", gpu.mfu_prefill);
    checks.positive("decode MFU", gpu.mfu_decode);
    checks.positive_or_absent("GPU memory (GiB)", gpu.memory_gib.unwrap_or(0.0));
    let (experts, experts_per_token) = (model.experts, model.experts_per_token);
    checks.require(experts <= 1 || experts_per_token > 0, Problem::NoExpertsPerToken { experts });
    checks.require(
        experts <= 1 || experts_per_token <= experts,
        Problem::TooManyExpertsPerToken { experts_per_token, experts },
    );
    checks.require(
        experts > 0 || experts_per_token == 0,
        Problem::ExpertsPerTokenWithoutExperts { experts_per_token },
    );
    checks.finish(Roofline::NAME)
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn a_power_of_a_probability_falls_from_one_to_zero() {
        assert_eq!(power(0.75, 0), 1.0);
        assert_eq!(power(0.75, 1), 0.75);
        assert_eq!(power(0.75, 2), 0.5625);
        assert_eq!(power(0.5, 1000), libm::ldexp(1.0, -1000));
        assert_eq!(power(0.0, 3), 0.0);
        assert_eq!(power(0.875, u64::MAX), 0.0);
        assert!((power(0.9375, 300) - libm::pow(0.9375, 300.0)).abs() < 1e-22);
    }
}
