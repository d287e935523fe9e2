//! What the catalogue holds.

use blis_latency::Coefficients;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is known of a model by its name alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its repository on the model hub, where it has one.
    pub hub_repository: Option<String>,
    /// The GPU it runs on unless the user says otherwise.
    pub gpu: Option<String>,
    /// GPUs per instance unless the user says otherwise.
    pub tp: Option<u32>,
    /// The same while the blackbox model existed.
    pub legacy: Option<LegacyDeployment>,
}

/// The key of a model's blackbox coefficients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyDeployment {
    /// GPU.
    pub gpu: String,
    /// GPUs per instance.
    pub tp: u32,
    /// Server image and version.
    pub server_version: String,
}

/// Coefficients of the blackbox model for one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct BlackboxRow {
    /// Model, in lower case.
    pub model: String,
    /// GPU.
    pub gpu: String,
    /// GPUs per instance.
    pub tp: u32,
    /// Server image and version.
    pub server_version: String,
    /// The coefficients.
    pub coefficients: Coefficients,
    /// KV blocks of that server, where recorded.
    pub total_kv_blocks: Option<u64>,
}

/// A named length distribution: normal, cut to a range. Tokens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Prefix that all prompts share.
    #[serde(default)]
    pub prefix_tokens: u64,
    /// Mean prompt length.
    pub prompt_tokens: u64,
    /// Standard deviation of prompt lengths.
    pub prompt_tokens_stdev: u64,
    /// Shortest prompt.
    pub prompt_tokens_min: u64,
    /// Longest prompt.
    pub prompt_tokens_max: u64,
    /// Mean output length.
    pub output_tokens: u64,
    /// Standard deviation of output lengths.
    pub output_tokens_stdev: u64,
    /// Shortest output.
    pub output_tokens_min: u64,
    /// Longest output.
    pub output_tokens_max: u64,
}

/// Costs of LoRA adapters, used when a run declares adapters.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LoraDefaults {
    /// Fixed part of loading an adapter, µs.
    pub load_base_latency_us: f64,
    /// Loading bandwidth, B/µs.
    pub load_bandwidth_bytes_us: f64,
    /// GPU memory of an adapter per unit of its rank, bytes.
    pub footprint_bytes_per_rank: f64,
    /// Step overhead by adapter rank.
    #[serde(default)]
    pub step_overhead_tiers: BTreeMap<u32, StepOverheadTier>,
}

/// A step with `n` distinct adapters takes 1 + (k6/k7)·n times as long.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct StepOverheadTier {
    /// Numerator.
    pub k6: f64,
    /// Denominator.
    pub k7: f64,
}

impl LoraDefaults {
    /// Everything that is out of range, as `key is value, must be ...`.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        not_negative(&mut problems, "load_base_latency_us", self.load_base_latency_us);
        positive(&mut problems, "load_bandwidth_bytes_us", self.load_bandwidth_bytes_us);
        positive(&mut problems, "footprint_bytes_per_rank", self.footprint_bytes_per_rank);
        for (rank, tier) in &self.step_overhead_tiers {
            not_negative(&mut problems, &format!("step_overhead_tiers.{rank}.k6"), tier.k6);
            positive(&mut problems, &format!("step_overhead_tiers.{rank}.k7"), tier.k7);
        }
        problems
    }
}

/// A device that holds offloaded KV blocks. The `buffered_` figures hold when the operating system's page cache is
/// not bypassed; absent ones are as the others.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct OffloadDevice {
    /// B/µs.
    pub read_bandwidth: f64,
    /// B/µs.
    pub write_bandwidth: f64,
    /// µs.
    pub base_latency: f64,
    /// Transfers in flight at which the device gives its full bandwidth.
    pub saturation_queue_depth: Option<f64>,
    /// Share of the bandwidth that a single transfer reaches.
    pub single_transfer_fraction: Option<f64>,
    /// Spread of the latency, relative to it.
    pub latency_jitter_stddev: Option<f64>,
    /// B/µs.
    pub buffered_read_bandwidth: Option<f64>,
    /// B/µs.
    pub buffered_write_bandwidth: Option<f64>,
    /// µs.
    pub buffered_base_latency: Option<f64>,
    /// As without `buffered_`.
    pub buffered_saturation_queue_depth: Option<f64>,
    /// As without `buffered_`.
    pub buffered_single_transfer_fraction: Option<f64>,
    /// As without `buffered_`.
    pub buffered_latency_jitter_stddev: Option<f64>,
}

impl OffloadDevice {
    /// Everything that is out of range, as `key is value, must be ...`.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        positive(&mut problems, "read_bandwidth", self.read_bandwidth);
        positive(&mut problems, "write_bandwidth", self.write_bandwidth);
        not_negative(&mut problems, "base_latency", self.base_latency);
        for (key, value) in [
            ("buffered_read_bandwidth", self.buffered_read_bandwidth),
            ("buffered_write_bandwidth", self.buffered_write_bandwidth),
        ] {
            if let Some(value) = value {
                positive(&mut problems, key, value);
            }
        }
        for (key, value) in [
            ("saturation_queue_depth", self.saturation_queue_depth),
            ("single_transfer_fraction", self.single_transfer_fraction),
            ("latency_jitter_stddev", self.latency_jitter_stddev),
            ("buffered_base_latency", self.buffered_base_latency),
            ("buffered_saturation_queue_depth", self.buffered_saturation_queue_depth),
            ("buffered_single_transfer_fraction", self.buffered_single_transfer_fraction),
            ("buffered_latency_jitter_stddev", self.buffered_latency_jitter_stddev),
        ] {
            if let Some(value) = value {
                not_negative(&mut problems, key, value);
            }
        }
        problems
    }
}

fn positive(problems: &mut Vec<String>, key: &str, value: f64) {
    if !(value.is_finite() && value > 0.0) {
        problems.push(format!("{key} is {value}, must be finite and greater than 0"));
    }
}

fn not_negative(problems: &mut Vec<String>, key: &str, value: f64) {
    if !(value.is_finite() && value >= 0.0) {
        problems.push(format!("{key} is {value}, must be finite and 0 or more"));
    }
}
