//! The numbers that tie a step-time model to measurements.

use crate::problem::{Checks, CoefficientList};
use blis_kernel::Tick;

/// Fitted coefficients of a step-time model; each model says what they mean in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coefficients {
    /// Overheads outside the step, µs; at least three.
    pub alpha: Vec<f64>,
    /// Terms of the step time.
    pub beta: Vec<f64>,
}

impl Coefficients {
    /// Number of alphas that every model needs.
    pub const ALPHAS: usize = 3;

    pub(crate) fn check(&self, betas: usize, checks: &mut Checks) {
        checks.coefficients(CoefficientList::Alpha, &self.alpha, Self::ALPHAS);
        checks.coefficients(CoefficientList::Beta, &self.beta, betas);
    }

    /// The betas, cut or filled with zeros to `N`.
    pub(crate) fn betas<const N: usize>(&self) -> [f64; N] {
        std::array::from_fn(|i| self.beta.get(i).copied().unwrap_or(0.0))
    }
}

/// Overheads that depend on the prompt: alpha0 + alpha1 x prompt tokens until the request is queued, alpha2 per
/// output token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerPromptToken {
    fixed_us: f64,
    us_per_prompt_token: f64,
    output_token: Tick,
}

impl PerPromptToken {
    /// From at least three checked alphas.
    pub(crate) fn new(alpha: &[f64]) -> Self {
        Self { fixed_us: alpha[0], us_per_prompt_token: alpha[1], output_token: Tick::trunc(alpha[2]) }
    }

    pub(crate) fn queueing_time(self, prompt_tokens: u64) -> Tick {
        Tick::trunc(self.fixed_us + self.us_per_prompt_token * prompt_tokens as f64)
    }

    pub(crate) fn output_token_processing_time(self) -> Tick {
        self.output_token
    }
}

/// Overheads that are the same for every request: alpha0 until it is queued, alpha1 after its last token, alpha2 per
/// output token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerRequest {
    pub(crate) queueing: Tick,
    pub(crate) post_decode: Tick,
    pub(crate) output_token: Tick,
}

impl PerRequest {
    /// From at least three checked alphas.
    pub(crate) fn new(alpha: &[f64]) -> Self {
        Self {
            queueing: Tick::trunc(alpha[0]),
            post_decode: Tick::trunc(alpha[1]),
            output_token: Tick::trunc(alpha[2]),
        }
    }
}
