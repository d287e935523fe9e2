//! The numbers that hold for all kernels, models and GPUs.

use super::operators::{EAGER_SKEW_US, SKEW_US, SMALL_KERNEL_BANDWIDTH, SMALL_KERNEL_US};
use super::{LINEAR_EAGER_US, LINEAR_PIECE_US};
use crate::problem::Checks;

/// What of the model may be fitted to measurements. `Default` is the model as it is described, with kernels as measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// See [`SMALL_KERNEL_US`].
    pub small_kernel_us: f64,
    /// See [`SMALL_KERNEL_BANDWIDTH`].
    pub small_kernel_bandwidth: f64,
    /// See [`SKEW_US`].
    pub skew_us: f64,
    /// See [`EAGER_SKEW_US`].
    pub eager_skew_us: f64,
    /// See [`LINEAR_PIECE_US`].
    pub linear_piece_us: f64,
    /// See [`LINEAR_EAGER_US`].
    pub linear_eager_us: f64,
    /// By what the measured times of matrix products are multiplied.
    pub gemm: f64,
    /// The same of attention over prompts.
    pub context_attention: f64,
    /// The same of attention of single tokens over the cache.
    pub generation_attention: f64,
    /// The same of routed experts.
    pub experts: f64,
    /// The same of transfers between GPUs.
    pub communication: f64,
    /// Added to every step, µs.
    pub us_per_step: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            small_kernel_us: SMALL_KERNEL_US,
            small_kernel_bandwidth: SMALL_KERNEL_BANDWIDTH,
            skew_us: SKEW_US,
            eager_skew_us: EAGER_SKEW_US,
            linear_piece_us: LINEAR_PIECE_US,
            linear_eager_us: LINEAR_EAGER_US,
            gemm: 1.0,
            context_attention: 1.0,
            generation_attention: 1.0,
            experts: 1.0,
            communication: 1.0,
            us_per_step: 0.0,
        }
    }
}

impl Tuning {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.positive("small_kernel_bandwidth", self.small_kernel_bandwidth);
        let others = [
            ("small_kernel_us", self.small_kernel_us),
            ("skew_us", self.skew_us),
            ("eager_skew_us", self.eager_skew_us),
            ("linear_piece_us", self.linear_piece_us),
            ("linear_eager_us", self.linear_eager_us),
            ("gemm", self.gemm),
            ("context_attention", self.context_attention),
            ("generation_attention", self.generation_attention),
            ("experts", self.experts),
            ("communication", self.communication),
            ("us_per_step", self.us_per_step),
        ];
        for (quantity, value) in others {
            checks.not_negative(quantity, value);
        }
    }
}
