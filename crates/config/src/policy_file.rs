//! Policy files: admission, routing, queues and budgets in one YAML file.
//!
//! The parameters of policies are read from the registry: a policy that is added there has its keys here.

mod elastic;
mod faults;
mod models;

use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::RunOptions;
use crate::yaml::tree::{Findings, Item, Node, Section};
use crate::yaml::{self, Spanned};
use blis_policy::priority::RANK_LIMIT;
use blis_policy::registry::{Registry, ScorerListError, Table};
use std::collections::BTreeMap;

/// Protects standard and critical requests when a file chooses `tier-shed` and says no more.
const TIER_SHED: (&str, &str, f64) = ("tier-shed", "tier-shed-min-priority", 3.0);

/// Reads a policy file into the options that nobody gave otherwise; returns warnings.
///
/// # Errors
/// Everything that is wrong with it, with line and column.
pub fn lay_under(
    options: &mut RunOptions,
    text: &str,
    file_name: &str,
    registry: &Registry,
) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let mut findings = Findings::new(file_name);
    if text.trim().is_empty() {
        findings.problem(None, Diagnostic::new("the file is empty"));
        return Err(findings.problems);
    }
    let Spanned { value: node, .. } = yaml::from_str::<Spanned<Node>>(text, file_name)?;
    let mut reader = Reader { options, registry, findings };
    reader.document(node);
    let Findings { problems, warnings, .. } = reader.findings;
    if problems.is_empty() { Ok(warnings) } else { Err(problems) }
}

struct Reader<'a, 'f> {
    options: &'a mut RunOptions,
    registry: &'a Registry,
    findings: Findings<'f>,
}

impl Reader<'_, '_> {
    fn document(&mut self, node: Node) {
        let registry = self.registry;
        let mut top = Section::document(node, &mut self.findings);
        if let Some(section) = top.section(&mut self.findings, "admission") {
            self.admission(section);
        }
        if let Some(section) = top.section(&mut self.findings, "routing") {
            self.routing(section);
        }
        if let Some(mut section) = top.section(&mut self.findings, "priority") {
            let policy = section.text(&mut self.findings, "policy");
            if let Some(policy) = policy.filter(|policy| !["", "constant"].contains(&policy.value.as_str())) {
                let text =
                    format!("priority.policy {} has no effect: classes have fixed priorities", policy.value);
                self.findings.warn(policy.at, Diagnostic::new(text));
            }
            section.finish(&mut self.findings);
        }
        let scheduler = self.policy(&mut top, "scheduler", &registry.schedulers);
        lay(&mut self.options.scheduler, scheduler);
        if let Some(mut section) = top.section(&mut self.findings, "preemption") {
            let policy = self.policy(&mut section, "policy", &registry.preemption);
            lay(&mut self.options.preemption_policy, policy);
            section.finish(&mut self.findings);
        }
        if let Some(section) = top.section(&mut self.findings, "tenant_budgets") {
            let range = |budget: f64| (0.0..=1.0).contains(&budget);
            self.options.tenant_budgets = self.numbers(section, range, "from 0 to 1");
        }
        if let Some(section) = top.section(&mut self.findings, "flow_control") {
            self.flow_control(section);
        }
        if let Some(mut section) = top.section(&mut self.findings, "usage_limit") {
            let policy = self.policy(&mut section, "policy", &registry.usage_limits);
            lay(&mut self.options.gateway.usage_limit_policy, policy);
            self.params(&mut section, &registry.usage_limits);
            section.finish(&mut self.findings);
        }
        models::read(self.options, &mut top, &mut self.findings);
        elastic::read(self.options, &mut top, &mut self.findings, registry);
        faults::read(self.options, &mut top, &mut self.findings);
        top.finish(&mut self.findings);
    }

    fn admission(&mut self, mut section: Section) {
        let table = &self.registry.admission;
        let policy = self.policy(&mut section, "policy", table);
        self.params(&mut section, table);
        let (name, param, value) = TIER_SHED;
        if policy.as_deref() == Some(name) {
            self.options.policy_file_params.entry(param.to_owned()).or_insert(value);
        }
        lay(&mut self.options.admission_policy, policy);
        if let Some(classes) = section.section(&mut self.findings, "slo_priorities") {
            let limit = f64::from(RANK_LIMIT);
            let is_rank = |rank: f64| rank.trunc() == rank && rank.abs() <= limit;
            let allowed = format!("a whole number from -{RANK_LIMIT} to {RANK_LIMIT}");
            let ranks = self.numbers(classes, is_rank, &allowed);
            self.options.slo_priorities =
                ranks.into_iter().map(|(class, rank)| (class, rank as i32)).collect();
        }
        if let Some(classes) = section.section(&mut self.findings, "slo_targets") {
            let is_target = |us: f64| us.trunc() == us && us >= 1.0;
            let targets = self.numbers(classes, is_target, "a whole number of microseconds of at least 1");
            if self.options.gateway.slo_targets_us.is_none() {
                let targets = targets.into_iter().map(|(class, us)| (class, us as i64));
                self.options.gateway.slo_targets_us = Some(targets.collect());
            }
        }
        section.finish(&mut self.findings);
    }

    fn routing(&mut self, mut section: Section) {
        let table = &self.registry.routing;
        let policy = self.policy(&mut section, "policy", table);
        lay(&mut self.options.routing_policy, policy);
        self.params(&mut section, table);
        self.params(&mut section, &self.registry.scorers);
        let Some(items) = section.sections(&mut self.findings, "scorers") else {
            return section.finish(&mut self.findings);
        };
        let (mut scorers, mut texts) = (Vec::new(), Vec::new());
        for mut item in items {
            let name = item.text(&mut self.findings, "name");
            let weight = item.number(
                &mut self.findings,
                "weight",
                |weight| weight.is_finite() && weight > 0.0,
                "a finite number above 0",
            );
            if let (Some(name), Some(weight)) = (&name, &weight) {
                match self.registry.add_scorer(&mut scorers, &name.value, weight.value) {
                    Ok(()) => texts.push(format!("{}:{}", name.value, weight.value)),
                    Err(error @ ScorerListError::Unknown(_)) => {
                        self.findings.problem(name.at, Diagnostic::new(error.to_string()));
                    }
                    Err(error) => self.findings.problem(name.at, Diagnostic::new(error.to_string())),
                }
            }
            let place = item.at();
            for (key, is_there) in [("name", name.is_some()), ("weight", weight.is_some())] {
                if !is_there && self.findings.problems.is_empty() {
                    let problem = format!("a scorer of routing.scorers has no {key}");
                    self.findings.problem(place, Diagnostic::new(problem));
                }
            }
            item.finish(&mut self.findings);
        }
        if !texts.is_empty() {
            lay(&mut self.options.routing_scorers, Some(texts.join(",")));
        }
        section.finish(&mut self.findings);
    }

    fn flow_control(&mut self, mut section: Section) {
        let registry = self.registry;
        let detector = self.policy(&mut section, "saturation_detector", &registry.saturation);
        let order = self.policy(&mut section, "dispatch_order", &registry.dispatch_orders);
        let fairness = self.policy(&mut section, "fairness_policy", &registry.fairness);
        self.params(&mut section, &registry.saturation);
        self.params(&mut section, &registry.usage_limits);
        let findings = &mut self.findings;
        let enabled = section.flag(findings, "enabled").map(|item| item.value);
        let [depth, band, ttl, tick] =
            ["max_gateway_queue_depth", "per_band_capacity", "request_ttl", "dispatch_tick_interval"]
                .map(|key| section.whole(findings, key, 0..=i64::MAX).map(|item| item.value));
        let [sheds, evicts] = ["queue_shedding", "in_flight_eviction"]
            .map(|key| section.flag(findings, key).map(|item| item.value));
        let gateway = &mut self.options.gateway;
        lay(&mut gateway.saturation_detector, detector);
        lay(&mut gateway.dispatch_order, order);
        lay(&mut gateway.fairness_policy, fairness);
        // A file that describes the queue wants it.
        lay(&mut gateway.enabled, Some(enabled.unwrap_or(true)));
        lay(&mut gateway.max_queue_depth, depth);
        lay(&mut gateway.band_capacity, band);
        lay(&mut gateway.request_ttl_us, ttl);
        lay(&mut gateway.dispatch_tick_us, tick);
        lay(&mut gateway.queue_shedding, sheds);
        lay(&mut gateway.in_flight_eviction, evicts);
        section.finish(&mut self.findings);
    }

    /// The name of a policy of `table`.
    fn policy<T: Copy>(&mut self, section: &mut Section, key: &str, table: &Table<T>) -> Option<String> {
        let name = section.text(&mut self.findings, key)?;
        if let Err(error) = table.get(&name.value) {
            let problem = unknown_name(table.axis.name, &name.value, error.valid);
            self.findings.problem(name.at, problem);
            return None;
        }
        Some(name.value)
    }

    /// The parameters of every policy of `table`, whichever is chosen.
    fn params<T: Copy>(&mut self, section: &mut Section, table: &Table<T>) {
        let params: BTreeMap<_, _> =
            table.entries().iter().flat_map(|entry| entry.params).map(|param| (param.key(), param)).collect();
        for (key, param) in params {
            let range = param.range;
            let given = section.number(&mut self.findings, &key, |value| range.contains(value), range.text());
            if let Some(Item { value, .. }) = given {
                self.options.policy_file_params.insert(param.name.to_owned(), value);
            }
        }
    }

    /// A mapping from names to numbers that `is_allowed`.
    fn numbers(
        &mut self,
        mut section: Section,
        is_allowed: impl Fn(f64) -> bool + Copy,
        allowed: &str,
    ) -> BTreeMap<String, f64> {
        let mut numbers = BTreeMap::new();
        for key in section.keys() {
            if let Some(item) = section.number(&mut self.findings, &key, is_allowed, allowed) {
                numbers.insert(key, item.value);
            }
        }
        numbers
    }
}

/// What was given otherwise stays.
fn lay<T>(given: &mut Option<T>, from_file: Option<T>) {
    if given.is_none() {
        *given = from_file;
    }
}
