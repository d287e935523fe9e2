//! Blackbox: a regression on token counts, fitted per model, GPU, TP and server version. Kept for old results.
//!
//! ```text
//! step = β0 + β1·(prefill tokens) + β2·(decode tokens)
//! ```

use crate::coefficients::Coefficients;
use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::problem::{Checks, InvalidModel};
use blis_kernel::Tick;

/// Fewest betas that the model works with.
pub const MIN_BETAS: usize = 3;

/// The model. It needs neither an architecture nor a GPU.
#[derive(Clone, Debug)]
pub struct Blackbox {
    overheads: Overheads,
    beta: [f64; MIN_BETAS],
}

impl Blackbox {
    /// Name of the model on the command line.
    pub const NAME: &'static str = "blackbox";

    /// Builds the model.
    ///
    /// # Errors
    /// Everything that is wrong with the coefficients.
    pub fn new(coefficients: &Coefficients) -> Result<Self, InvalidModel> {
        let mut checks = Checks::new();
        coefficients.check(MIN_BETAS, &mut checks);
        checks.finish(Self::NAME)?;
        Ok(Self { overheads: Overheads::with_prompt(&coefficients.alpha), beta: coefficients.betas() })
    }
}

impl LatencyModel for Blackbox {
    fn overheads(&self) -> Overheads {
        self.overheads
    }

    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let [per_step, per_prefill_token, per_decode_token] = self.beta;
        let prefill_tokens: u64 = batch.prefills.iter().map(|request| request.new_tokens).sum();
        let step =
            per_step + per_prefill_token * prefill_tokens as f64 + per_decode_token * batch.decodes as f64;
        Tick::trunc(step).max(Tick::ONE)
    }
}
