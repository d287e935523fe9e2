//! Admission, routing, engine limits, the CPU tier.

use super::check::{Check, POSITIVE, Source, is_positive};
use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;
use blis_cluster::{AdmissionPlan, RoutingPlan};
use blis_engine::CpuTierConfig;
use blis_kernel::Tick;
use blis_policy::registry::{self, Table, UnknownName};

/// Policies that are known but not built yet.
const LATER: [(&str, &str); 2] =
    [("tier-shed", "shedding by SLO class"), ("gaie-legacy", "shedding by saturation")];

/// A policy's name and how it is made; the default's stands in for one that does not exist.
pub(super) fn policy<T: Copy>(
    check: &mut Check,
    flag: &str,
    table: &Table<T>,
    given: Option<&str>,
) -> (&'static str, T) {
    let entry = match table.get(given.unwrap_or_default()) {
        Ok(entry) => entry,
        Err(error) => {
            check.problem(unknown_policy(flag, &error));
            table.get("").unwrap_or(&table.entries[0])
        }
    };
    check.note(flag, entry.name, Source::of(given.is_some()));
    (entry.name, entry.make)
}

fn unknown_policy(flag: &str, error: &UnknownName) -> Diagnostic {
    match LATER.iter().find(|(name, _)| *name == error.name) {
        Some((name, subject)) => Diagnostic::new(format!("--{flag} {name} is not available yet: {subject}")),
        None => Diagnostic::new(format!("--{flag}: {error}")),
    }
}

pub(super) fn admission(check: &mut Check, options: &RunOptions) -> AdmissionPlan {
    let (name, _) =
        policy(check, "admission-policy", &registry::ADMISSION, options.admission_policy.as_deref());
    let defaults = registry::AdmissionParams::default();
    match name {
        "token-bucket" => AdmissionPlan::TokenBucket {
            capacity_tokens: check.real(
                "token-bucket-capacity",
                options.token_bucket_capacity,
                defaults.token_bucket_capacity,
                is_positive,
                POSITIVE,
            ),
            refill_tokens_per_s: check.real(
                "token-bucket-refill-rate",
                options.token_bucket_refill_rate,
                defaults.token_bucket_refill_rate,
                is_positive,
                POSITIVE,
            ),
        },
        other => {
            let given = [
                ("token-bucket-capacity", options.token_bucket_capacity),
                ("token-bucket-refill-rate", options.token_bucket_refill_rate),
            ];
            for (flag, _) in given.iter().filter(|(_, value)| value.is_some()) {
                check.warn(format!("--{flag} is unused with --admission-policy {other}"));
            }
            if other == "reject-all" { AdmissionPlan::RejectAll } else { AdmissionPlan::AlwaysAdmit }
        }
    }
}

pub(super) fn routing(check: &mut Check, options: &RunOptions) -> RoutingPlan {
    let (name, _) = policy(check, "routing-policy", &registry::ROUTING, options.routing_policy.as_deref());
    let given = options.routing_scorers.as_deref();
    // A list is checked even where it is unused: a mistake in it is still one.
    let scorers = registry::parse_scorers(given.unwrap_or_default()).unwrap_or_else(|error| {
        check.problem(Diagnostic::new(format!("--routing-scorers: {error}")));
        Vec::new()
    });
    if name == "weighted" {
        let source = Source::of(given.is_some());
        check.note("routing-scorers", given.unwrap_or(registry::DEFAULT_SCORERS), source);
        return RoutingPlan::Weighted(scorers);
    }
    if given.is_some() {
        check.warn(format!("--routing-scorers is unused with --routing-policy {name}; it needs weighted"));
    }
    match name {
        "least-loaded" => RoutingPlan::LeastLoaded,
        "always-busiest" => RoutingPlan::AlwaysBusiest,
        _ => RoutingPlan::RoundRobin,
    }
}

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
