//! Cross-model: one regression for all models, on a few features of their architecture. Kept for old results.
//!
//! ```text
//! step = β0·L + β1·(decode tokens)·kvs + β2·(prefill + decode tokens)·moe + β3·tpb
//! kvs = (L·KV·dh/TP)·10^-6    moe = 1 with experts, else 0    tpb = 1 if TP > 1, else 0
//! ```
//!
//! with L layers, KV key/value heads and dh = hidden/heads as a real number. Prefill of a dense model is free.

use crate::architecture::ModelArchitecture;
use crate::coefficients::Coefficients;
use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::problem::{Checks, InvalidModel};
use blis_kernel::Tick;

/// Fewest betas that the model works with.
pub const MIN_BETAS: usize = 4;

/// The model of one instance.
#[derive(Clone, Debug)]
pub struct CrossModel {
    overheads: Overheads,
    /// β0·L.
    layers_us: f64,
    us_per_scaled_kv: f64,
    scaled_kv: f64,
    us_per_moe_token: f64,
    moe: f64,
    /// β3·tpb.
    barrier_us: f64,
}

impl CrossModel {
    /// Name of the model on the command line.
    pub const NAME: &'static str = "crossmodel";

    /// Builds the model of one instance of `tp` GPUs.
    ///
    /// # Errors
    /// Everything that is wrong with the inputs.
    pub fn new(
        model: &ModelArchitecture,
        tp: u32,
        coefficients: &Coefficients,
    ) -> Result<Self, InvalidModel> {
        let mut checks = Checks::new();
        coefficients.check(MIN_BETAS, &mut checks);
        checks.positive("TP", tp.into());
        checks.positive("layers", model.layers.into());
        checks.positive("attention heads", model.heads.into());
        checks.positive("hidden size", model.hidden.into());
        checks.finish(Self::NAME)?;

        let layers = f64::from(model.layers);
        let head_dim = f64::from(model.hidden) / f64::from(model.heads);
        let kv_heads = f64::from(model.effective_kv_heads());
        let [per_layer, us_per_scaled_kv, us_per_moe_token, barrier] = coefficients.betas();
        Ok(Self {
            overheads: Overheads::with_prompt(&coefficients.alpha),
            layers_us: per_layer * layers,
            us_per_scaled_kv,
            scaled_kv: (layers * kv_heads * head_dim / f64::from(tp)) * 1e-6,
            us_per_moe_token,
            moe: if model.experts > 0 { 1.0 } else { 0.0 },
            barrier_us: barrier * if tp > 1 { 1.0 } else { 0.0 },
        })
    }
}

impl LatencyModel for CrossModel {
    fn overheads(&self) -> Overheads {
        self.overheads
    }

    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let prefill_tokens: u64 = batch.prefills.iter().map(|request| request.new_tokens).sum();
        let tokens = (prefill_tokens + batch.decodes) as f64;
        let step = self.layers_us
            + self.us_per_scaled_kv * batch.decodes as f64 * self.scaled_kv
            + self.us_per_moe_token * tokens * self.moe
            + self.barrier_us;
        Tick::trunc(step).max(Tick::ONE)
    }
}
