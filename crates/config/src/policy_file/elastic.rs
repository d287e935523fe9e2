//! Instances that come and go: `node_pools`, `autoscaler` and `instance_lifecycle`.

use super::lay;
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::{NodePoolOptions, RunOptions};
use crate::yaml::tree::{Findings, Section};
use blis_cluster::{DrainPolicy, WarmUp};
use blis_policy::Registry;

pub(super) const AT_LEAST_0: &str = "a finite number of at least 0";
pub(super) const AT_LEAST_1: &str = "a finite number of at least 1";
const ABOVE_0: &str = "a finite number above 0";

pub(super) fn at_least_0(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

pub(super) fn at_least_1(value: f64) -> bool {
    value.is_finite() && value >= 1.0
}

fn above_0(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// The analyser's keys in the file, and the parameters that they are.
const ANALYZER: [(&str, &str); 4] = [
    ("kv_cache_threshold", "scaling-kv-cache-threshold"),
    ("scale_up_threshold", "scale-up-threshold"),
    ("scale_down_boundary", "scale-down-boundary"),
    ("avg_input_tokens", "scaling-avg-input-tokens"),
];

/// Reads the three blocks.
pub(super) fn read(
    options: &mut RunOptions,
    top: &mut Section,
    findings: &mut Findings<'_>,
    registry: &Registry,
) {
    if let Some(pools) = top.sections(findings, "node_pools") {
        let mut names = Vec::new();
        for mut section in pools {
            let at = section.at();
            let pool = node_pool(&mut section, findings);
            if names.contains(&pool.name) {
                let problem = format!("two node pools are called \"{}\"", pool.name);
                findings.problem(at, Diagnostic::new(problem));
            }
            names.push(pool.name.clone());
            section.finish(findings);
            options.elastic.node_pools.push(pool);
        }
    }
    if let Some(mut section) = top.section(findings, "autoscaler") {
        autoscaler(options, &mut section, findings, registry);
        section.finish(findings);
    }
    if let Some(mut section) = top.section(findings, "instance_lifecycle") {
        options.elastic.loading_delay_s = delay(&mut section, findings, "loading_delay");
        let warm = section.flag(findings, "warm_start_initial_instances");
        options.elastic.warm_start = warm.map(|item| item.value);
        options.elastic.warm_up = warm_up(&mut section, findings);
        section.finish(findings);
    }
}

fn node_pool(section: &mut Section, findings: &mut Findings<'_>) -> NodePoolOptions {
    let mut text = |key: &str| match section.text(findings, key) {
        Some(item) if !item.value.is_empty() => item.value,
        _ => {
            let problem = format!("a pool of node_pools has no {key}");
            if findings.problems.is_empty() {
                findings.problem(section.at(), Diagnostic::new(problem));
            }
            String::new()
        }
    };
    let (name, gpu) = (text("name"), text("gpu_type"));
    let mut whole = |key: &str, least: i64, default: i64| {
        section.whole(findings, key, least..=i64::from(u32::MAX)).map_or(default, |item| item.value)
    };
    let gpus_per_node = whole("gpus_per_node", 1, 1);
    let (initial_nodes, min_nodes) = (whole("initial_nodes", 0, 0), whole("min_nodes", 0, 0));
    let most = initial_nodes.max(min_nodes);
    let max_nodes = whole("max_nodes", most, most);
    let release_after_s = section.number(findings, "release_after_s", at_least_0, AT_LEAST_0);
    let warm_up = warm_up(section, findings);
    let gpu_memory_gib = section.number(findings, "gpu_memory_gib", above_0, ABOVE_0);
    let cost_per_hour = section.number(findings, "cost_per_hour", at_least_0, AT_LEAST_0);
    NodePoolOptions {
        name,
        gpu,
        gpus_per_node,
        gpu_memory_gib: gpu_memory_gib.map_or(0.0, |item| item.value),
        initial_nodes,
        min_nodes,
        max_nodes,
        release_after_s: release_after_s.map(|item| item.value),
        warm_up,
        provisioning_delay_s: delay(section, findings, "provisioning_delay"),
        cost_per_hour: cost_per_hour.map_or(0.0, |item| item.value),
    }
}

pub(super) fn delay(section: &mut Section, findings: &mut Findings<'_>, key: &str) -> (f64, f64) {
    let Some(mut section) = section.section(findings, key) else { return (0.0, 0.0) };
    let mut number =
        |key| section.number(findings, key, at_least_0, AT_LEAST_0).map_or(0.0, |item| item.value);
    let delay = (number("mean"), number("stddev"));
    section.finish(findings);
    delay
}

/// The first requests of an instance that has just started.
fn warm_up(section: &mut Section, findings: &mut Findings<'_>) -> Option<WarmUp> {
    let told = findings.problems.len();
    let requests = section.whole(findings, "warm_up_request_count", 0..=i64::from(u32::MAX));
    let factor = section.number(findings, "warm_up_ttft_factor", at_least_1, AT_LEAST_1);
    match (requests, factor) {
        (Some(requests), Some(factor)) => {
            Some(WarmUp { requests: requests.value as u32, factor: factor.value })
        }
        (Some(item), None) if findings.problems.len() == told => {
            item.report(findings, "needs warm_up_ttft_factor beside it");
            None
        }
        (None, Some(item)) if findings.problems.len() == told => {
            item.report(findings, "needs warm_up_request_count beside it");
            None
        }
        _ => None,
    }
}

/// The drain policies by name.
const DRAINS: [(&str, DrainPolicy); 3] =
    [("immediate", DrainPolicy::Immediate), ("redirect", DrainPolicy::Redirect), ("wait", DrainPolicy::Wait)];

fn autoscaler(
    options: &mut RunOptions,
    section: &mut Section,
    findings: &mut Findings<'_>,
    registry: &Registry,
) {
    if let Some(name) = section.text(findings, "policy") {
        match registry.autoscalers.get(&name.value) {
            Ok(_) => lay(&mut options.elastic.autoscaler, Some(name.value)),
            Err(error) => {
                let axis = registry.autoscalers.axis.name;
                findings.problem(name.at, unknown_name(axis, &name.value, error.valid));
            }
        }
    }
    for param in registry.autoscalers.entries().iter().flat_map(|entry| entry.params) {
        let given = section.number(findings, &param.key(), |v| param.range.contains(v), param.range.text());
        if let Some(item) = given {
            options.policy_file_params.insert(param.name.to_owned(), item.value);
        }
    }
    if let Some(name) = section.text(findings, "drain") {
        options.elastic.drain =
            DRAINS.iter().find(|(known, _)| *known == name.value).map(|&(_, drain)| drain);
        if options.elastic.drain.is_none() {
            let known = DRAINS.map(|(name, _)| name);
            findings.problem(name.at, unknown_name("drain policy", &name.value, known));
        }
    }
    let mut number = |key| section.number(findings, key, at_least_0, AT_LEAST_0).map(|item| item.value);
    let interval = number("interval_us");
    let windows = ["scale_up_stabilization_window_us", "scale_down_stabilization_window_us"].map(&mut number);
    let elastic = &mut options.elastic;
    lay(&mut elastic.interval_us, interval);
    [elastic.up_window_us, elastic.down_window_us] = windows;
    elastic.actuation_delay_s = delay(section, findings, "hpa_scrape_delay");
    let mut whole = |key| section.whole(findings, key, 0..=i64::from(u32::MAX)).map(|item| item.value);
    [elastic.min_replicas, elastic.max_replicas] = ["min_replicas", "max_replicas"].map(&mut whole);
    let Some(mut analyzer) = section.section(findings, "analyzer") else { return };
    for (key, name) in ANALYZER {
        let params = registry.params();
        let Some((param, _)) = params.get(name) else { continue };
        // Zero stands for the default.
        let allowed = |value: f64| value == 0.0 || param.range.contains(value);
        let given = analyzer.number(findings, key, allowed, param.range.text());
        if let Some(item) = given.filter(|item| item.value != 0.0) {
            options.policy_file_params.insert(name.to_owned(), item.value);
        }
    }
    analyzer.finish(findings);
}
