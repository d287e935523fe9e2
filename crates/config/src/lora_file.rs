//! LoRA files: which adapters there are, and what they cost.

use crate::diagnostic::Diagnostic;
use crate::yaml::tree::{Findings, Section, file_with_one_key};
use std::collections::{BTreeMap, BTreeSet};

/// The file's one key.
const KEY: &str = "lora";
/// Highest rank.
pub(crate) const MAX_RANK: i64 = 1 << 20;

/// What a file says; costs that it leaves out are the catalogue's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoraFile {
    /// Adapters that an instance holds at once.
    pub capacity: Option<i64>,
    /// Fixed part of a load, µs.
    pub load_base_latency_us: Option<f64>,
    /// Loading bandwidth, bytes/µs.
    pub load_bandwidth_bytes_us: Option<f64>,
    /// GPU memory per unit of rank, bytes.
    pub footprint_bytes_per_rank: Option<f64>,
    /// By rank: which share of its time each distinct adapter adds to a step.
    pub step_overhead: Option<BTreeMap<u32, f64>>,
    /// The adapters, in their order.
    pub adapters: Vec<DeclaredAdapter>,
}

/// One adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredAdapter {
    /// What requests call it.
    pub id: String,
    /// Its rank.
    pub rank: u32,
    /// The model that it belongs to, in lower case; empty = any.
    pub base_model: String,
}

/// Reads a LoRA file.
///
/// # Errors
/// Everything that is wrong with it, with line and column.
pub fn read(text: &str, file_name: &str) -> Result<LoraFile, Vec<Diagnostic>> {
    let mut findings = Findings::new(file_name);
    match file_with_one_key(text, &mut findings, KEY, lora)? {
        Some(file) if findings.problems.is_empty() => Ok(file),
        _ => Err(findings.problems),
    }
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn is_not_negative(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

const POSITIVE: &str = "a finite number above 0";
const NOT_NEGATIVE: &str = "a finite number of at least 0";

fn lora(mut section: Section, findings: &mut Findings<'_>) -> LoraFile {
    let capacity = section.whole(findings, "adapter_capacity", 1..=i64::from(u32::MAX));
    let base = section.number(findings, "load_base_latency_us", is_not_negative, NOT_NEGATIVE);
    let bandwidth = section.number(findings, "load_bandwidth_bytes_us", is_positive, POSITIVE);
    let footprint = section.number(findings, "footprint_bytes_per_rank", is_positive, POSITIVE);
    let tiers = section.section(findings, "step_overhead_tiers").map(|tiers| overhead(tiers, findings));
    let items = section.sections(findings, "adapters").unwrap_or_default();
    let mut ids = BTreeSet::new();
    let mut adapters = Vec::new();
    for mut item in items {
        let before = findings.problems.len();
        let id = item.text(findings, "id").filter(|id| !id.value.is_empty());
        let rank = item.whole(findings, "rank", 1..=MAX_RANK);
        let base_model = item.text(findings, "base_model");
        for (key, is_there) in [("id", id.is_some()), ("rank", rank.is_some())] {
            if !is_there && findings.problems.len() == before {
                let problem = format!("key \"{key}\" is missing in {}", item.path());
                findings.problem(item.at(), Diagnostic::new(problem));
            }
        }
        if let (Some(id), Some(rank)) = (id, rank) {
            if !ids.insert(id.value.clone()) {
                id.report(findings, format_args!("is \"{}\", which is declared twice", id.value));
            }
            adapters.push(DeclaredAdapter {
                id: id.value,
                rank: rank.value as u32,
                base_model: base_model.map_or(String::new(), |item| item.value.to_lowercase()),
            });
        }
        item.finish(findings);
    }
    section.finish(findings);
    LoraFile {
        capacity: capacity.map(|item| item.value),
        load_base_latency_us: base.map(|item| item.value),
        load_bandwidth_bytes_us: bandwidth.map(|item| item.value),
        footprint_bytes_per_rank: footprint.map(|item| item.value),
        step_overhead: tiers,
        adapters,
    }
}

/// Rank → k6/k7.
fn overhead(mut tiers: Section, findings: &mut Findings<'_>) -> BTreeMap<u32, f64> {
    let mut overhead = BTreeMap::new();
    for key in tiers.keys() {
        let rank = key.parse::<i64>().ok().filter(|rank| (1..=MAX_RANK).contains(rank));
        let Some(rank) = rank else {
            if let Some(item) = tiers.take(&key) {
                let what =
                    format_args!("is for rank \"{key}\"; it must be a whole number from 1 to {MAX_RANK}");
                item.report(findings, what);
            }
            continue;
        };
        let Some(mut tier) = tiers.section(findings, &key) else { continue };
        let before = findings.problems.len();
        let k6 = tier.number(findings, "k6", is_not_negative, NOT_NEGATIVE).map_or(0.0, |item| item.value);
        let k7 = tier.number(findings, "k7", is_positive, POSITIVE);
        if k7.is_none() && findings.problems.len() == before {
            let problem = format!("key \"k7\" is missing in {}", tier.path());
            findings.problem(tier.at(), Diagnostic::new(problem));
        }
        overhead.insert(rank as u32, k6 / k7.map_or(1.0, |item| item.value));
        tier.finish(findings);
    }
    overhead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_declares_adapters_and_costs() {
        let text = "lora:\n  adapter_capacity: 2\n  load_base_latency_us: 5\n  step_overhead_tiers:\n    8: {k6: 0.1, k7: \
                    2}\n  adapters:\n    - {id: law, rank: 8}\n    - {id: med, rank: 16, base_model: M/x}\n";
        let file = read(text, "l.yaml").unwrap();
        assert_eq!((file.capacity, file.load_base_latency_us), (Some(2), Some(5.0)));
        assert_eq!(file.step_overhead, Some(BTreeMap::from([(8, 0.05)])));
        let med = DeclaredAdapter { id: "med".into(), rank: 16, base_model: "m/x".into() };
        assert_eq!(file.adapters[1], med);
    }

    #[test]
    fn everything_wrong_is_told_at_once_where_it_stands() {
        let text = "lora:\n  adapter_capacity: 0\n  footprint_bytes_per_rank: -1\n  step_overhead_tiers:\n    0: {k7: 1}\n    \
                    8: {k6: 1}\n  adapters:\n    - {id: law, rank: 0}\n    - {id: med, rank: 4}\n    - {id: med, rank: \
                    4, size: 2}\n    - {rank: 4}\n";
        let problems = read(text, "l.yaml").unwrap_err();
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for wanted in [
            "l.yaml:2:21: lora.adapter_capacity is 0; it must be a whole number from 1 to 4294967295",
            "l.yaml:3:29: lora.footprint_bytes_per_rank is -1; it must be a finite number above 0",
            "l.yaml:5:8: lora.step_overhead_tiers.0 is for rank \"0\"; it must be a whole number from 1 to 1048576",
            "l.yaml:6:8: key \"k7\" is missing in lora.step_overhead_tiers.8",
            "l.yaml:8:23: lora.adapters[0].rank is 0; it must be a whole number from 1 to 1048576",
            "l.yaml:10:12: lora.adapters[2].id is \"med\", which is declared twice",
            "l.yaml:11:7: key \"id\" is missing in lora.adapters[3]",
        ] {
            assert!(found.iter().any(|text| text.starts_with(wanted)), "no {wanted} in {found:#?}");
        }
        assert_eq!(found.len(), 8, "{found:#?}");
    }
}
