//! What goes wrong: `faults`.

use super::elastic::{AT_LEAST_0, AT_LEAST_1, at_least_0, at_least_1, delay};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::{FaultOptions, RunOptions};
use crate::yaml::tree::{Findings, Item, Section};
use blis_cluster::{Delay, FaultKind, FaultTarget, RandomFault, ScheduledFault};
use blis_kernel::Tick;

/// How often a request is tried again where the file says no more than that it is.
const DEFAULT_MAX_RETRIES: u32 = 3;

/// Nobody means more than a year of seconds.
const LONGEST_S: f64 = 31_536_000.0;

const KINDS: [&str; 3] = ["crash", "slow", "lost_transfers"];

/// Pools of instances that do not lie on nodes of one kind.
const POOLS: [(&str, FaultTarget); 4] = [
    ("all", FaultTarget::All),
    ("decode", FaultTarget::Decode),
    ("encode", FaultTarget::Encode),
    ("prefill", FaultTarget::Prefill),
];

/// Reads the block. The node pools must be known already.
pub(super) fn read(options: &mut RunOptions, top: &mut Section, findings: &mut Findings<'_>) {
    let Some(mut section) = top.section(findings, "faults") else { return };
    let mut faults = FaultOptions::default();
    faults.plan.max_retries = max_retries(&mut section, findings);
    for mut item in section.sections(findings, "scheduled").unwrap_or_default() {
        if let Some(fault) = scheduled(options, &mut item, findings) {
            faults.plan.scheduled.push(fault);
            faults.places.push(findings.placed(item.at(), Diagnostic::default()));
        }
        item.finish(findings);
    }
    if let Some(mut random) = section.section(findings, "random") {
        for kind in ["crash", "slow"] {
            let Some(mut section) = random.section(findings, kind) else { continue };
            let rate = needed(&mut section, findings, "per_instance_hour", not_negative);
            let (mean_s, std_dev_s) = delay(&mut section, findings, "duration");
            let kind = kind_of(kind, &mut section, findings);
            if let (Some(rate), Some(kind)) = (rate.filter(|rate| rate.value > 0.0), kind) {
                let duration = Delay { mean_s, std_dev_s };
                faults.plan.random.push(RandomFault { kind, per_instance_hour: rate.value, duration });
            }
            section.finish(findings);
        }
        if let Some(mut section) = random.section(findings, "lost_transfers") {
            let is_probability = |p: f64| (0.0..=1.0).contains(&p);
            let given = needed(&mut section, findings, "probability", |section, findings, key| {
                section.number(findings, key, is_probability, "from 0 to 1")
            });
            faults.plan.transfer_loss = given.map_or(0.0, |item| item.value);
            section.finish(findings);
        }
        random.finish(findings);
    }
    section.finish(findings);
    options.faults = Some(faults);
}

/// `on_failure` and `max_retries`.
fn max_retries(section: &mut Section, findings: &mut Findings<'_>) -> u32 {
    let most = section.whole(findings, "max_retries", 1..=i64::from(u32::MAX));
    let retries = match section.text(findings, "on_failure") {
        Some(item) if item.value == "retry" => true,
        Some(item) if item.value != "fail" => {
            findings.problem(item.at, unknown_name("on_failure", &item.value, ["fail", "retry"]));
            true
        }
        _ => false,
    };
    match most {
        Some(item) if !retries => {
            item.report(findings, "needs on_failure: retry");
            0
        }
        Some(item) => item.value as u32,
        None if retries => DEFAULT_MAX_RETRIES,
        None => 0,
    }
}

fn scheduled(
    options: &RunOptions,
    section: &mut Section,
    findings: &mut Findings<'_>,
) -> Option<ScheduledFault> {
    let kind = needed(section, findings, "kind", Section::text);
    let at = needed(section, findings, "at_s", seconds);
    let target = target(options, section, findings);
    // What a kind needs beside it is only known of one that is.
    let is_known = |kind: &Item<String>| KINDS.contains(&kind.value.as_str());
    let Some(kind) = kind.as_ref().filter(|kind| is_known(kind)) else {
        if let Some(kind) = kind {
            findings.problem(kind.at, unknown_name("kind of fault", &kind.value, KINDS));
        }
        for key in ["duration_s", "factor"] {
            section.take(key);
        }
        return None;
    };
    // Transfers under way at a moment are lost without any duration.
    let duration = match kind.value.as_str() {
        "lost_transfers" => Some(seconds(section, findings, "duration_s").map_or(0.0, |item| item.value)),
        _ => needed(section, findings, "duration_s", seconds).map(|item| item.value),
    };
    let kind = kind_of(&kind.value, section, findings)?;
    let span = |seconds: f64| Tick::trunc(seconds * 1e6);
    Some(ScheduledFault { at: span(at?.value), target: target?, kind, duration: span(duration?) })
}

/// A kind of fault that is known, with what it needs.
fn kind_of(kind: &str, section: &mut Section, findings: &mut Findings<'_>) -> Option<FaultKind> {
    match kind {
        "crash" => Some(FaultKind::Crash),
        "slow" => {
            let factor = needed(section, findings, "factor", |section, findings, key| {
                section.number(findings, key, at_least_1, AT_LEAST_1)
            })?;
            Some(FaultKind::Slow { factor: factor.value })
        }
        _ => Some(FaultKind::LostTransfers),
    }
}

/// `instance`, by number, or `pool`, by name; without either everybody.
fn target(options: &RunOptions, section: &mut Section, findings: &mut Findings<'_>) -> Option<FaultTarget> {
    let instance = section.whole(findings, "instance", 0..=i64::from(u32::MAX));
    let pool = section.text(findings, "pool");
    match (instance, pool) {
        (None, None) => Some(FaultTarget::All),
        (Some(item), None) => Some(FaultTarget::Instance(item.value as u32)),
        (Some(_), Some(item)) => {
            item.report(findings, "has no place beside instance");
            None
        }
        (None, Some(item)) => {
            let node_pools: Vec<_> =
                options.elastic.node_pools.iter().map(|pool| pool.name.as_str()).collect();
            let of_nodes = node_pools.iter().position(|name| *name == item.value).map(FaultTarget::NodePool);
            let known = POOLS.iter().find(|(name, _)| *name == item.value).map(|&(_, target)| target);
            if of_nodes.or(known).is_none() {
                let names = POOLS.iter().map(|&(name, _)| name).chain(node_pools);
                findings.problem(item.at, unknown_name("pool", &item.value, names));
            }
            of_nodes.or(known)
        }
    }
}

/// A value that must be there.
fn needed<T>(
    section: &mut Section,
    findings: &mut Findings<'_>,
    key: &str,
    read: impl FnOnce(&mut Section, &mut Findings<'_>, &str) -> Option<Item<T>>,
) -> Option<Item<T>> {
    let told = findings.problems.len();
    let item = read(section, findings, key);
    if item.is_none() && findings.problems.len() == told {
        let problem = format!("{} has no {key}", section.path());
        findings.problem(section.at(), Diagnostic::new(problem));
    }
    item
}

fn not_negative(section: &mut Section, findings: &mut Findings<'_>, key: &str) -> Option<Item<f64>> {
    section.number(findings, key, at_least_0, AT_LEAST_0)
}

fn seconds(section: &mut Section, findings: &mut Findings<'_>, key: &str) -> Option<Item<f64>> {
    let is_span = |s: f64| (0.0..=LONGEST_S).contains(&s);
    section.number(findings, key, is_span, &format!("from 0 to {LONGEST_S}"))
}
