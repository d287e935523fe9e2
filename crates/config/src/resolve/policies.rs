//! Policies by name, with their parameters, for every axis.

use super::check::{Check, Source};
use super::cluster::span;
use super::lora;
use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;
use blis_cluster::{AdmissionPlan, FlowControlPlan, RoutingPlan};
use blis_kernel::{Semantics, Tick};
use blis_policy::priority::SloTable;
use blis_policy::registry::{self, Configured, Entry, Registry, Scorers, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Time between attempts to dispatch when none is given, µs.
const DISPATCH_TICK_US: i64 = 1_000;

/// Resolves policies, and remembers which parameters anybody takes.
pub(super) struct Policies<'a> {
    pub(super) check: &'a mut Check,
    pub(super) options: &'a RunOptions,
    pub(super) registry: &'a Registry,
    taken: BTreeSet<&'static str>,
}

impl<'a> Policies<'a> {
    pub(super) fn new(check: &'a mut Check, options: &'a RunOptions, registry: &'a Registry) -> Self {
        Self { check, options, registry, taken: BTreeSet::new() }
    }

    /// A policy with its parameters; another one stands in for one that does not exist.
    pub(super) fn policy<T: Copy>(&mut self, table: &Table<T>, given: Option<&str>) -> Configured<T> {
        let flag = table.axis.flag;
        let entry = table.get(given.unwrap_or_default()).unwrap_or_else(|error| {
            self.check.problem(Diagnostic::new(format!("--{flag}: {error}")));
            table.entries()[0]
        });
        self.check.note(flag, entry.name, Source::of(given.is_some()));
        self.configured(entry)
    }

    /// A policy with what was given for its parameters.
    fn configured<T: Copy>(&mut self, entry: Entry<T>) -> Configured<T> {
        let mut values = Vec::new();
        for param in entry.params {
            self.taken.insert(param.name);
            let by_flag = self.options.policy_params.get(param.name);
            let given = by_flag.or_else(|| self.options.policy_file_params.get(param.name));
            let value = given.copied().unwrap_or(param.default);
            if param.range.contains(value) {
                self.check.note(param.name, value, Source::of(given.is_some()));
                values.push((param.name, value));
            } else {
                self.check.out_of_range(param.name, value, param.range.text());
            }
        }
        entry.with(&values).expect("names and ranges were checked")
    }

    pub(super) fn admission(&mut self) -> AdmissionPlan {
        let (registry, options) = (self.registry, self.options);
        let name = options.admission_policy.as_deref();
        let policy = self.policy(&registry.admission, name);
        AdmissionPlan { policy, tenant_budgets: options.tenant_budgets.clone() }
    }

    pub(super) fn routing(&mut self) -> RoutingPlan {
        let (registry, options) = (self.registry, self.options);
        let policy = self.policy(&registry.routing, options.routing_policy.as_deref());
        let given = options.routing_scorers.as_deref();
        // A list is checked even where it is unused: a mistake in it is still one.
        let scorers = registry.parse_scorers(given.unwrap_or_default()).unwrap_or_else(|error| {
            self.check.problem(Diagnostic::new(format!("--routing-scorers: {error}")));
            Vec::new()
        });
        let scores = policy.entry.name == registry::SCORING_ROUTER;
        let mut scorers = scorers;
        lora::add_scorer(self.check, options, registry, scores, &mut scorers);
        let scorers: Scorers = if scores {
            let configured = |(scorer, weight): (Configured<_>, f64)| (self.configured(scorer.entry), weight);
            scorers.into_iter().map(configured).collect()
        } else {
            scorers
        };
        if scores {
            let source = Source::of(given.is_some());
            self.check.note("routing-scorers", given.unwrap_or(registry::DEFAULT_SCORERS), source);
        } else if given.is_some() {
            let (name, scoring) = (policy.entry.name, registry::SCORING_ROUTER);
            self.check.warn(format!(
                "--routing-scorers is unused with --routing-policy {name}; it needs {scoring}"
            ));
        }
        RoutingPlan { policy, scorers }
    }

    pub(super) fn priorities(&mut self) -> SloTable {
        let overrides = self.options.slo_priorities.iter().map(|(class, rank)| (class.as_str(), *rank));
        SloTable::with_overrides(overrides).unwrap_or_else(|error| {
            self.check.problem(Diagnostic::new(error.to_string()));
            SloTable::default()
        })
    }

    pub(super) fn flow_control(&mut self, semantics: Semantics) -> Option<FlowControlPlan> {
        let (registry, options) = (self.registry, self.options);
        let gateway = &options.gateway;
        let ttl = span(self.check, "request-ttl", gateway.request_ttl_us, 0);
        let tick = span(self.check, "dispatch-tick-interval", gateway.dispatch_tick_us, DISPATCH_TICK_US);
        if gateway.enabled != Some(true) {
            self.warn_of_a_queue_that_is_off();
            return None;
        }
        self.check.note("flow-control", true, Source::Given);
        let saturation = self.policy(&registry.saturation, gateway.saturation_detector.as_deref());
        let order = self.policy(&registry.dispatch_orders, gateway.dispatch_order.as_deref());
        let fairness = self.policy(&registry.fairness, gateway.fairness_policy.as_deref());
        let usage_limit = self.policy(&registry.usage_limits, gateway.usage_limit_policy.as_deref());
        let limit = |check: &mut Check, name, given| match check.count(name, given, 0, 0) {
            0 => None,
            limit => Some(limit),
        };
        let max_depth = limit(self.check, "max-gateway-queue-depth", gateway.max_queue_depth);
        let band_capacity = limit(self.check, "per-band-capacity", gateway.band_capacity);
        let slo_targets = self.slo_targets();
        let names = [saturation.entry.name, order.entry.name];
        self.question(names, &usage_limit, !slo_targets.is_empty(), semantics);
        Some(FlowControlPlan {
            saturation,
            order,
            fairness,
            usage_limit,
            slo_targets,
            max_depth,
            band_capacity,
            ttl: (ttl > Tick::ZERO).then_some(ttl),
            sheds: gateway.queue_shedding.unwrap_or(false),
            evicts: gateway.in_flight_eviction.unwrap_or(false),
            tick: if tick > Tick::ZERO { tick } else { Tick::from_us(DISPATCH_TICK_US) },
        })
    }

    fn slo_targets(&mut self) -> BTreeMap<String, Tick> {
        let given = self.options.gateway.slo_targets_us.iter().flatten();
        let mut targets = BTreeMap::new();
        for (class, &us) in given {
            if us >= 1 {
                targets.insert(class.clone(), Tick::from_us(us));
            } else {
                let message = format!("--slo-targets: {class} is {us}; it must be at least 1 microsecond");
                self.check.problem(Diagnostic::new(message));
            }
        }
        targets
    }

    /// Combinations that do less than they seem to.
    fn question<T>(
        &mut self,
        [saturation, order]: [&str; 2],
        usage_limit: &Configured<T>,
        has_targets: bool,
        semantics: Semantics,
    ) {
        if saturation == self.registry.saturation.axis.default {
            self.check.warn(format!(
                "--saturation-detector {saturation} holds nobody back: the gateway queue only passes requests on"
            ));
        }
        let is_even = usage_limit.entry.params.iter().all(|param| usage_limit.params.get(param.name) >= 1.0)
            && !usage_limit.entry.params.is_empty();
        if order == self.registry.dispatch_orders.axis.default && !is_even {
            let what =
                "lower ceilings for less important classes need --dispatch-order priority or slo-deadline";
            if semantics.gateway_fifo_is_priority {
                self.check.warn(format!("--dispatch-order {order}: {what}"));
            } else {
                self.check.problem(
                    Diagnostic::new(format!("--dispatch-order {order} serves all classes alike"))
                        .with_help(what),
                );
            }
        }
        if has_targets && order != "slo-deadline" {
            self.check.warn(format!("--slo-targets is unused with --dispatch-order {order}"));
        }
    }

    fn warn_of_a_queue_that_is_off(&mut self) {
        let (gateway, registry) = (&self.options.gateway, self.registry);
        let differs = |given: &Option<String>, default| given.as_deref().is_some_and(|name| name != default);
        let given = [
            ("saturation-detector", differs(&gateway.saturation_detector, registry.saturation.axis.default)),
            ("dispatch-order", differs(&gateway.dispatch_order, registry.dispatch_orders.axis.default)),
            ("fairness-policy", differs(&gateway.fairness_policy, registry.fairness.axis.default)),
            ("usage-limit-policy", differs(&gateway.usage_limit_policy, registry.usage_limits.axis.default)),
            ("slo-targets", gateway.slo_targets_us.is_some()),
            ("max-gateway-queue-depth", gateway.max_queue_depth.is_some_and(|depth| depth != 0)),
            ("per-band-capacity", gateway.band_capacity.is_some_and(|capacity| capacity != 0)),
            ("request-ttl", gateway.request_ttl_us.is_some_and(|ttl| ttl != 0)),
            ("queue-shedding", gateway.queue_shedding == Some(true)),
            ("in-flight-eviction", gateway.in_flight_eviction == Some(true)),
            ("dispatch-tick-interval", gateway.dispatch_tick_us.is_some()),
        ];
        for (flag, _) in given.iter().filter(|(_, is_given)| *is_given) {
            self.check.warn(format!("--{flag} is unused without --flow-control"));
        }
    }

    /// Parameters by flag that no policy of this run takes.
    pub(super) fn warn_of_unused_params(self) {
        let params = self.registry.params();
        for (name, &value) in &self.options.policy_params {
            let Some((param, owners)) = params.get(name.as_str()) else { continue };
            if !self.taken.contains(param.name) && value != param.default {
                let owners = owners.join(", ");
                self.check.warn(format!("--{name} is unused: it is a parameter of {owners}"));
            }
        }
    }
}
