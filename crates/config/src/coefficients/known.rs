//! The coefficients that there are.

use crate::catalogue::Catalogue;
use blis_latency::physics::Factors;
use blis_latency::profiled::Tuning;
use blis_latency::{Backend, Coefficients};

/// A coefficient that may be fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Its name; a unit comes last.
    pub name: &'static str,
    /// Its value where nobody fitted it.
    pub default: f64,
    /// Least value.
    pub lower: f64,
    /// Largest value of a fit that is told no other.
    pub upper: f64,
}

impl Parameter {
    const fn new(name: &'static str, default: f64, upper: f64) -> Self {
        Self { name, default, lower: 0.0, upper }
    }

    /// A factor of something that was measured or rated.
    const fn factor(name: &'static str) -> Self {
        Self { name, default: 1.0, lower: 0.1, upper: 10.0 }
    }

    /// Whether it is a member of the list alpha or beta.
    pub(super) fn is_in_list(&self, letter: &str) -> bool {
        let number = self.name.strip_prefix(letter);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// The host's. The front end: the mean TTFT of 59 runs of ten models under vLLM 0.15.1 (A100, H100, L40S) and 88 points of closed
/// loops of two models under vLLM 0.11 to 0.19 (H100, H200, B200, B300). Fitted without the model that is scored, base and
/// slope come out between 2 and 4 ms and 6 and 9 µs (`docs/host.md`).
pub const HOST: [Parameter; 8] = [
    Parameter::new("front_end_us", 4_000.0, 200_000.0),
    Parameter::new("front_end_us_per_token", 6.0, 1_000.0),
    Parameter::new("host_latency_us", 0.0, 200_000.0),
    Parameter::new("host_launch_us_per_layer", 0.0, 50_000.0),
    Parameter::new("host_output_us_per_token", 0.0, 10_000.0),
    Parameter::new("host_step_us", 0.0, 50_000.0),
    Parameter::new("host_step_us_per_prefill_token", 0.0, 50.0),
    Parameter::new("host_step_us_per_request", 0.0, 1_000.0),
];

pub(super) const PREFILL_RATE: &str = "prefill_rate";
pub(super) const DECODE_RATE: &str = "decode_rate";
pub(super) const BANDWIDTH: &str = "memory_bandwidth";

const ALPHAS: [&str; 3] = ["alpha0", "alpha1", "alpha2"];
const BETAS: [&str; 11] =
    ["beta0", "beta1", "beta2", "beta3", "beta4", "beta5", "beta6", "beta7", "beta8", "beta9", "beta10"];

/// The coefficients of a step-time model.
pub fn parameters(backend: Backend) -> Vec<Parameter> {
    let catalogue = Catalogue::embedded();
    match backend {
        Backend::Profiled => profiled(),
        Backend::TrainedPhysics => physics(),
        Backend::CrossModel => lists(&catalogue.crossmodel()),
        Backend::TrainedRoofline => lists(&catalogue.trained_roofline()),
        // Its coefficients are of one model on one GPU; these are of the right size for a small one.
        Backend::Blackbox => {
            lists(&Coefficients { alpha: vec![5_000.0, 5.0, 100.0], beta: vec![7_000.0, 20.0, 20.0] })
        }
        Backend::Roofline => [PREFILL_RATE, DECODE_RATE, BANDWIDTH]
            .map(Parameter::factor)
            .into_iter()
            .chain(ALPHAS.map(|name| Parameter::new(name, 0.0, 1e6)))
            .collect(),
    }
}

fn lists(known: &Coefficients) -> Vec<Parameter> {
    let of = |names: &'static [&'static str], values: &[f64]| -> Vec<Parameter> {
        let upper = |value: f64| (1_000.0 * value).max(100.0);
        names.iter().zip(values).map(|(name, &value)| Parameter::new(name, value, upper(value))).collect()
    };
    [of(&ALPHAS, &known.alpha), of(&BETAS, &known.beta)].concat()
}

fn profiled() -> Vec<Parameter> {
    let mut tuning = Tuning::default();
    let parameter = |(name, value): (&'static str, &mut f64)| {
        let (lower, upper) = match name {
            "small_kernel_bandwidth" => (0.05, 1.5),
            "small_kernel_us" => (0.1, 50.0),
            "skew_us" => (0.0, 100.0),
            "eager_skew_us" => (0.0, 1_000.0),
            "linear_piece_us" | "linear_eager_us" => (0.0, 20_000.0),
            "step_us" => (0.0, 50_000.0),
            _ => (0.1, 10.0),
        };
        Parameter { name, default: *value, lower, upper }
    };
    places(&mut tuning).map(parameter).into()
}

fn physics() -> Vec<Parameter> {
    let mut factors = Factors::default();
    let parameter = |(name, value): (&'static str, &mut f64)| {
        let (lower, upper) = match name {
            "overlap" => (0.0, 1.0),
            "collective_us" | "layer_us" => (0.0, 200.0),
            "moe_layer_us" | "request_us" => (0.0, 1_000.0),
            "step_us" => (0.0, 50_000.0),
            "communication" => (1.0, 20.0),
            "activations" => (0.0, 10.0),
            // Nothing is quicker than it is rated.
            _ => (1.0, 4.0),
        };
        Parameter { name, default: *value, lower, upper }
    };
    factor_places(&mut factors).map(parameter).into()
}

/// The coefficients of trained-physics by name.
pub(super) fn factor_places(factors: &mut Factors) -> [(&'static str, &mut f64); 12] {
    let Factors {
        arithmetic,
        weights,
        overlap,
        activations,
        prompt_attention,
        cache,
        communication,
        collective_us,
        layer_us,
        moe_layer_us,
        request_us,
        step_us,
    } = factors;
    [
        ("arithmetic", arithmetic),
        ("weights", weights),
        ("overlap", overlap),
        ("activations", activations),
        ("prompt_attention", prompt_attention),
        ("cache", cache),
        ("communication", communication),
        ("collective_us", collective_us),
        ("layer_us", layer_us),
        ("moe_layer_us", moe_layer_us),
        ("request_us", request_us),
        ("step_us", step_us),
    ]
}

/// The coefficients of the profiled model by name.
pub(super) fn places(tuning: &mut Tuning) -> [(&'static str, &mut f64); 12] {
    let Tuning {
        small_kernel_us,
        small_kernel_bandwidth,
        skew_us,
        eager_skew_us,
        linear_piece_us,
        linear_eager_us,
        gemm,
        context_attention,
        generation_attention,
        experts,
        communication,
        us_per_step,
    } = tuning;
    [
        ("small_kernel_us", small_kernel_us),
        ("small_kernel_bandwidth", small_kernel_bandwidth),
        ("skew_us", skew_us),
        ("eager_skew_us", eager_skew_us),
        ("linear_piece_us", linear_piece_us),
        ("linear_eager_us", linear_eager_us),
        ("gemm", gemm),
        ("context_attention", context_attention),
        ("generation_attention", generation_attention),
        ("experts", experts),
        ("communication", communication),
        ("step_us", us_per_step),
    ]
}
