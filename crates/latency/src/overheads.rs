//! What a request costs outside of steps.

use blis_kernel::Tick;

/// Overheads of a request outside of the steps that it takes part in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overheads {
    /// From its arrival at the instance to its entry into the wait queue, µs.
    pub queueing_us: f64,
    /// The same for each token of its prompt, µs.
    pub queueing_us_per_prompt_token: f64,
    /// Added to every reported token time; the instance's clock does not see it.
    pub output_token: Tick,
    /// Added once to the end-to-end latency of a request with output.
    pub post_decode: Tick,
}

impl Overheads {
    /// From at least three checked alphas: alpha0 + alpha1 · prompt tokens until it is queued, alpha2 per output token.
    pub(crate) fn with_prompt(alpha: &[f64]) -> Self {
        Self {
            queueing_us: alpha[0],
            queueing_us_per_prompt_token: alpha[1],
            output_token: Tick::trunc(alpha[2]),
            post_decode: Tick::ZERO,
        }
    }

    /// From at least three checked alphas: alpha0 until it is queued, alpha1 after its last token, alpha2 per output token.
    pub(crate) fn with_end(alpha: &[f64]) -> Self {
        Self {
            queueing_us: alpha[0],
            queueing_us_per_prompt_token: 0.0,
            output_token: Tick::trunc(alpha[2]),
            post_decode: Tick::trunc(alpha[1]),
        }
    }

    /// From arrival at the instance to entry into its wait queue.
    #[inline]
    #[must_use]
    pub fn queueing_time(&self, prompt_tokens: u64) -> Tick {
        Tick::trunc(self.queueing_us + self.queueing_us_per_prompt_token * prompt_tokens as f64)
    }
}
