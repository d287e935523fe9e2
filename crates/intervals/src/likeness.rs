//! How unlike two configurations are.
//!
//! distance² = sum over features of (difference / scale)². Amounts differ by the logarithm of their ratio; what is not an
//! amount differs or does not. A scale is what the feature may differ by until errors tell little about each other.

use crate::configuration::Configuration;
use libm::{fabs, log, sqrt};

/// A feature in which two configurations differ, and by how much of its scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) feature: &'static str,
    pub(crate) size: f64,
}

/// Suffixes of models' names that say how the weights are held, or that the model was tuned for chats.
const FORMATS: [&str; 8] = ["-fp8-dynamic", "-nvfp4", "-mxfp4", "-fp8", "-fp4", "-int4", "-awq", "-w4a16"];

/// The model without who published it and how its weights are held.
fn plain(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model).to_lowercase();
    FORMATS.iter().find_map(|format| name.strip_suffix(format)).map_or(name.clone(), str::to_owned)
}

/// Whether two names are of one model, however its weights are held.
pub fn same_model(a: &str, b: &str) -> bool {
    plain(a) == plain(b)
}

/// All differences.
pub(crate) fn differences(a: &Configuration, b: &Configuration) -> [Difference; 12] {
    let ratio = |a: f64, b: f64, least: f64, scale: f64| fabs(log(a.max(least) / b.max(least))) / log(scale);
    let other = |differs: bool, size: f64| if differs { size } else { 0.0 };
    let of = |feature, size| Difference { feature, size };
    [
        of("step-time model", other(a.latency_model != b.latency_model, 2.0)),
        of("engine", other(a.engine != b.engine, 2.0)),
        of("CPU side", other(a.has_cpu != b.has_cpu, 2.0)),
        of("GPU", other(a.gpu != b.gpu, 0.7)),
        of("dense or MoE", other(a.is_moe != b.is_moe, 1.0)),
        of("weight format", ratio(a.weight_bits, b.weight_bits, 1.0, 4.0)),
        of("active parameters", ratio(a.active_b, b.active_b, 0.05, 8.0)),
        of("GPUs", ratio(f64::from(a.gpus), f64::from(b.gpus), 1.0, 8.0)),
        of("requests at once", ratio(a.requests, b.requests, 0.25, 16.0)),
        of("prompt length", ratio(a.prompt_tokens, b.prompt_tokens, 8.0, 16.0)),
        of("waiting", fabs(a.waiting - b.waiting) / 0.5),
        of("answer length", ratio(a.output_tokens, b.output_tokens, 1.0, 32.0)),
    ]
}

/// All of them together.
pub(crate) fn distance(a: &Configuration, b: &Configuration) -> f64 {
    sqrt(differences(a, b).iter().map(|difference| difference.size * difference.size).sum())
}

#[cfg(test)]
mod tests {
    use super::{differences, distance, same_model};
    use crate::Configuration;

    #[test]
    fn a_format_makes_no_other_model() {
        assert!(same_model("MiniMax-M2.5-NVFP4", "minimaxai/minimax-m2.5"));
        assert!(same_model("RedHatAI/Llama-4-Scout-17B-16E-FP8-dynamic", "llama-4-scout-17b-16e"));
        assert!(!same_model("llama-3.1-8b", "llama-3.1-70b"));
    }

    #[test]
    fn likeness_is_mutual_and_what_is_alike_is_near() {
        let a =
            Configuration { gpu: "H100".into(), tp: 1, gpus: 1, active_b: 8.0, ..Configuration::default() };
        let b = Configuration { gpu: "B200".into(), gpus: 8, active_b: 64.0, ..a.clone() };
        assert!(distance(&a, &a).abs() < f64::EPSILON);
        assert!((distance(&a, &b) - distance(&b, &a)).abs() < 1e-12);
        let of = |feature: &str| differences(&a, &b).into_iter().find(|d| d.feature == feature).unwrap().size;
        assert!((of("active parameters") - 1.0).abs() < 1e-12, "eight times as many are one scale");
        assert!(of("engine").abs() < f64::EPSILON);
    }
}
