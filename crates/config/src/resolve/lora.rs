//! LoRA adapters: which there are, who names them, what they cost.

use super::check::{Check, Source, is_positive};
use crate::catalogue::Catalogue;
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::lora_file::{self, DeclaredAdapter, LoraFile};
use crate::options::{LoraOptions, RunOptions};
use crate::workload_file::AdapterReference;
use blis_engine::{AdapterConfig, AdapterModel, OverheadTier};
use blis_kernel::Tick;
use blis_policy::registry::Scorers;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest load, µs.
const LONGEST_LOAD_US: f64 = 1e15;
/// Most memory for adapters, bytes.
const MOST_BYTES: f64 = 1e18;

/// The adapters of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Lora {
    declared: Vec<DeclaredAdapter>,
    /// `None` when there are no adapters, or no room for any is given: requests then run on the base model.
    config: Option<AdapterConfig>,
    /// GPU memory kept for adapters.
    pub(super) reserved_bytes: i64,
}

/// What flags, the file and the catalogue say, in this order.
pub(super) fn lora(check: &mut Check, options: &RunOptions, catalogue: &Catalogue) -> Lora {
    let wanted = &options.lora;
    let file = file(check, wanted);
    let defaults = catalogue.lora();
    let mut cost = |name: &str, given: Option<f64>, in_file: Option<f64>, default, least: f64| {
        let value = given.or(in_file).unwrap_or(default);
        if !(value.is_finite() && value >= 0.0 && (value > 0.0 || least == 0.0)) {
            let allowed =
                if least == 0.0 { "a finite number of at least 0" } else { "a finite number above 0" };
            check.out_of_range(name, value, allowed);
            return default;
        }
        if wanted.config.is_some() {
            check.note(name, value, Source::of(given.or(in_file).is_some()));
        }
        value
    };
    let base = cost(
        "lora-load-base-latency-us",
        wanted.load_base_latency_us,
        file.load_base_latency_us,
        defaults.load_base_latency_us,
        0.0,
    );
    let bandwidth = cost(
        "lora-load-bandwidth-bytes-us",
        wanted.load_bandwidth_bytes_us,
        file.load_bandwidth_bytes_us,
        defaults.load_bandwidth_bytes_us,
        1.0,
    );
    let footprint = cost(
        "lora-footprint-bytes-per-rank",
        wanted.footprint_bytes_per_rank,
        file.footprint_bytes_per_rank,
        defaults.footprint_bytes_per_rank,
        1.0,
    );
    let flag = wanted
        .adapter_capacity
        .map(|given| check.integer("lora-adapter-capacity", Some(given), 1, 1..=i64::from(u32::MAX)));
    if file.adapters.is_empty() {
        for (flag, is_given) in wanted.given() {
            if is_given {
                check.warn(format!("--{flag} has no effect: no LoRA adapters are declared (--lora-config)"));
            }
        }
        return Lora::default();
    }
    let Some(capacity) = flag.or(file.capacity) else {
        check.warn(
            "LoRA adapters have no effect: neither lora.adapter_capacity nor --lora-adapter-capacity says how many an \
             instance holds",
        );
        return Lora { declared: file.adapters, ..Lora::default() };
    };
    check.note("lora-adapter-capacity", capacity, Source::Given);
    let mut adapters = Vec::new();
    for adapter in &file.adapters {
        let load_us = base + (footprint * f64::from(adapter.rank) / bandwidth).ceil();
        if load_us.is_nan() || load_us > LONGEST_LOAD_US {
            let (id, allowed) = (&adapter.id, LONGEST_LOAD_US);
            check.problem(Diagnostic::new(format!(
                "LoRA adapter \"{id}\" takes {load_us:e} us to load; that must be at most {allowed:e}"
            )));
        }
        let load_time = Tick::trunc(load_us.ceil()).max(Tick::ONE);
        adapters.push(AdapterModel { name: adapter.id.clone(), rank: adapter.rank, load_time });
    }
    let largest = adapters.iter().map(|adapter| adapter.rank).max().unwrap_or(0);
    let reserved = capacity as f64 * footprint * f64::from(largest);
    if reserved.is_nan() || reserved > MOST_BYTES {
        check.problem(Diagnostic::new(format!(
            "{capacity} LoRA adapters of rank {largest} take {reserved:e} bytes of GPU memory; that must be at most \
             {MOST_BYTES:e}"
        )));
    }
    let by_rank: BTreeMap<u32, f64> = file.step_overhead.unwrap_or_else(|| {
        defaults.step_overhead_tiers.iter().map(|(&rank, tier)| (rank, tier.k6 / tier.k7)).collect()
    });
    let overhead =
        by_rank.into_iter().map(|(rank, per_adapter)| OverheadTier { rank, per_adapter }).collect();
    Lora {
        declared: file.adapters,
        config: Some(AdapterConfig { capacity: capacity as u32, adapters, overhead }),
        reserved_bytes: reserved as i64,
    }
}

fn file(check: &mut Check, wanted: &LoraOptions) -> LoraFile {
    let Some(path) = wanted.config.as_deref() else { return LoraFile::default() };
    check.note("lora-config", path.display(), Source::Given);
    let Some(text) = super::read(check, "--lora-config", path, true) else { return LoraFile::default() };
    lora_file::read(&text, &path.display().to_string()).unwrap_or_else(|problems| {
        check.problems.extend(problems);
        LoraFile::default()
    })
}

impl Lora {
    /// Every adapter that traffic names has to be there, and for the model that serves it.
    pub(super) fn check_references(
        &self,
        check: &mut Check,
        model: Option<&str>,
        references: &[AdapterReference],
        is_replay: bool,
    ) {
        if self.declared.is_empty() {
            // A recorded run may have had adapters that do not matter here.
            if is_replay && let Some(first) = references.first() {
                let adapter = &first.adapter;
                check.warn(format!(
                    "requests of the trace name LoRA adapters such as \"{adapter}\", but none are declared (--lora-config): \
                     they run on the base model"
                ));
                return;
            }
            for AdapterReference { adapter, place, .. } in references {
                let what = "which is not declared: there is no --lora-config";
                let message = format!("{} is LoRA adapter \"{adapter}\", {what}", place.message);
                check.problem(Diagnostic { message, ..place.clone() });
            }
            return;
        }
        for AdapterReference { adapter, model: named, place } in references {
            let path = &place.message;
            let Some(declared) = self.declared.iter().find(|declared| declared.id == *adapter) else {
                let ids = self.declared.iter().map(|declared| declared.id.as_str());
                let problem = unknown_name("LoRA adapter", adapter, ids);
                let message = format!("{path}: {}", problem.message);
                check.problem(Diagnostic { message, help: problem.help, ..place.clone() });
                continue;
            };
            let served = if named.is_empty() { model.unwrap_or_default() } else { named };
            if !declared.base_model.is_empty() && !served.is_empty() && declared.base_model != served {
                let base = &declared.base_model;
                let message =
                    format!("{path} is LoRA adapter \"{adapter}\" of {base}, but the model is {served}");
                check.problem(Diagnostic { message, ..place.clone() });
            }
        }
    }

    /// The adapters of an instance. Only two step-time models know what they cost a step.
    pub(super) fn config(&self, check: &mut Check, knows_overhead: bool) -> Option<Arc<AdapterConfig>> {
        let mut config = self.config.clone()?;
        if !knows_overhead {
            check.warn("steps take no longer with LoRA adapters: only trained-physics and roofline know their overhead");
            config.overhead.clear();
        }
        Some(Arc::new(config))
    }

    /// Whether adapters make a difference.
    pub(super) fn is_active(&self) -> bool {
        self.config.is_some()
    }
}

impl LoraOptions {
    /// Flags that only matter with adapters, and whether they are given.
    fn given(&self) -> [(&'static str, bool); 4] {
        [
            ("lora-adapter-capacity", self.adapter_capacity.is_some_and(|capacity| capacity != 0)),
            ("lora-load-base-latency-us", self.load_base_latency_us.is_some()),
            ("lora-load-bandwidth-bytes-us", self.load_bandwidth_bytes_us.is_some()),
            ("lora-footprint-bytes-per-rank", self.footprint_bytes_per_rank.is_some()),
        ]
    }
}

/// Name of the scorer that `--lora-scorer-weight` adds.
const SCORER: &str = "lora-affinity";

/// Adds the scorer that the flag asks for to those of weighted routing.
pub(super) fn add_scorer(
    check: &mut Check,
    options: &RunOptions,
    registry: &blis_policy::Registry,
    is_weighted: bool,
    scorers: &mut Scorers,
) {
    let Some(weight) = options.lora.scorer_weight else { return };
    if !is_positive(weight) {
        check.out_of_range("lora-scorer-weight", weight, super::check::POSITIVE);
    } else if !is_weighted {
        check.warn("--lora-scorer-weight is unused: --routing-policy is not weighted");
    } else if let Err(error) = registry.add_scorer(scorers, SCORER, weight) {
        check.problem(Diagnostic::new(format!("--lora-scorer-weight: {error}")));
    } else {
        check.note("lora-scorer-weight", weight, Source::Given);
    }
}

/// Says when scorers for adapters cannot tell candidates apart.
pub(super) fn warn_of_idle_scorer<'a>(
    check: &mut Check,
    mut lists: impl Iterator<Item = &'a Scorers>,
    lora: &Lora,
) {
    if !lora.is_active() && lists.any(|scorers| scorers.iter().any(|(scorer, _)| scorer.entry.name == SCORER))
    {
        check.warn(format!("scorer {SCORER} has no effect: this run has no LoRA adapters"));
    }
}
