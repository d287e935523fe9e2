//! The numbers that hold for all models and GPUs.

use crate::problem::Checks;

/// What of the model is fitted. `Default` is rated speed, with nothing beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// By what the arithmetic of linear layers takes longer than at the peak rate.
    pub arithmetic: f64,
    /// By what reading weights takes longer than at the memory bandwidth.
    pub weights: f64,
    /// What share of the shorter of the two is hidden behind the longer one, 0 to 1.
    pub overlap: f64,
    /// By what reading and writing activations takes longer than at the memory bandwidth.
    pub activations: f64,
    /// By what attention over prompts takes longer than at the peak rate for 16 bits.
    pub prompt_attention: f64,
    /// By what reading the KV cache takes longer than at the memory bandwidth.
    pub cache: f64,
    /// By what transfers between GPUs take longer than at the bandwidth of a link.
    pub communication: f64,
    /// Each sum over a tensor-parallel group, and each exchange between experts, µs.
    pub collective_us: f64,
    /// Each layer, µs.
    pub layer_us: f64,
    /// Each layer with experts, beside that, µs.
    pub moe_layer_us: f64,
    /// Each scheduled request, µs.
    pub request_us: f64,
    /// Each step, µs.
    pub step_us: f64,
}

impl Default for Factors {
    fn default() -> Self {
        Self {
            arithmetic: 1.0,
            weights: 1.0,
            overlap: 1.0,
            activations: 1.0,
            prompt_attention: 1.0,
            cache: 1.0,
            communication: 1.0,
            collective_us: 0.0,
            layer_us: 0.0,
            moe_layer_us: 0.0,
            request_us: 0.0,
            step_us: 0.0,
        }
    }
}

impl Factors {
    pub(super) fn check(&self, checks: &mut Checks) {
        let all = [
            ("arithmetic", self.arithmetic),
            ("weights", self.weights),
            ("overlap", self.overlap),
            ("activations", self.activations),
            ("prompt_attention", self.prompt_attention),
            ("cache", self.cache),
            ("communication", self.communication),
            ("collective_us", self.collective_us),
            ("layer_us", self.layer_us),
            ("moe_layer_us", self.moe_layer_us),
            ("request_us", self.request_us),
            ("step_us", self.step_us),
        ];
        for (quantity, value) in all {
            checks.not_negative(quantity, value);
        }
    }
}
