//! Times, and the CPU tier.

use super::check::{Check, POSITIVE, is_positive};
use crate::options::RunOptions;
use blis_engine::CpuTierConfig;
use blis_kernel::Tick;

pub(super) fn span(check: &mut Check, name: &str, given: Option<i64>, default_us: i64) -> Tick {
    Tick::from_us(check.integer(name, given, default_us, 0..=i64::MAX))
}

pub(super) fn cpu_tier(check: &mut Check, options: &RunOptions) -> Option<CpuTierConfig> {
    let blocks = check.count("kv-cpu-blocks", options.kv_cpu_blocks, 0, 0);
    let unit_range = |value: f64| (0.0..=1.0).contains(&value);
    check.real("kv-offload-threshold", options.kv_offload_threshold, 0.9, unit_range, "from 0 to 1");
    let base_latency = span(check, "kv-transfer-base-latency", options.kv_transfer_base_latency_us, 0);
    if blocks == 0 {
        return None;
    }
    let bandwidth_tokens_per_us =
        check.real("kv-transfer-bandwidth", options.kv_transfer_bandwidth, 100.0, is_positive, POSITIVE);
    Some(CpuTierConfig { blocks, bandwidth_tokens_per_us, base_latency })
}
