//! The scheduling profile: scorers with weights, filters, a picker, and who runs it.

use super::file::{EppFile, Plugin, Reference};
use super::plugins::Role;
use super::{Mapper, lay};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::yaml::tree::Item;
use blis_policy::registry::{SCORING_ROUTER, Scorers};

/// Scorers with the same formula here.
const SAME: [(&str, &str); 3] = [
    ("queue-scorer", "queue-depth"),
    ("running-requests-size-scorer", "running-requests"),
    ("kv-cache-utilization-scorer", "kv-utilization"),
];
/// Waiting requests of `load-aware-scorer` where a file gives none above 0.
const LOAD_AWARE_THRESHOLD: f64 = 128.0;

impl Mapper<'_, '_> {
    /// At most one profile handler, and one that can run the profiles.
    pub(super) fn check_handlers(&mut self, file: &mut EppFile) {
        let is_handler = |plugin: &Plugin| matches!(plugin.role, Role::SingleProfile | Role::Profiles);
        let handlers: Vec<usize> =
            (0..file.plugins.len()).filter(|&i| is_handler(&file.plugins[i])).collect();
        let Some((&first, others)) = handlers.split_first() else {
            if let [_, second, ..] = &file.profiles[..] {
                self.findings.problem(
                    second.at,
                    Diagnostic::new("there are several profiles, and no profile handler that could run them"),
                );
            }
            return;
        };
        for &other in others {
            let (first, other) = (&file.plugins[first], &file.plugins[other]);
            let text = format!("{} is a second profile handler; {} is one already", other.name, first.name);
            self.findings.problem(other.at, Diagnostic::new(text));
        }
        if file.plugins[first].role == Role::Profiles {
            self.profiles_of_handler(file, first);
        } else if let [_, second, ..] = &file.profiles[..] {
            let text = format!("{} runs one profile, and there are several", file.plugins[first].name);
            self.findings.problem(second.at, Diagnostic::new(text));
        }
    }

    /// A handler of several profiles: what it names has to exist; running it is not modelled.
    fn profiles_of_handler(&mut self, file: &mut EppFile, handler: usize) {
        let mut named = Vec::new();
        if let Some(mut params) = file.plugins[handler].params.take() {
            for section in ["profiles", "deciders"] {
                let Some(mut names) = params.section(&mut self.findings, section) else { continue };
                for key in ["decode", "prefill", "encode"] {
                    let name = names.text(&mut self.findings, key);
                    named.extend(name.map(|name| (section == "deciders", name)));
                }
                names.finish(&mut self.findings);
            }
            for key in ["decodeProfile", "prefillProfile", "encodeProfile", "defaultProfile"] {
                named.extend(params.text(&mut self.findings, key).map(|name| (false, name)));
            }
            for key in ["deciderPluginName", "prefillDeciderPluginName", "encodeDeciderPluginName"] {
                named.extend(params.text(&mut self.findings, key).map(|name| (true, name)));
            }
            params.text(&mut self.findings, "stageOrder");
        }
        for (is_decider, name) in named {
            if !is_decider {
                let known = file.profiles.iter().map(|profile| profile.name.as_str());
                if !known.clone().any(|known| known == name.value) {
                    self.findings.problem(name.at, unknown_name("profile", &name.value, known));
                }
                continue;
            }
            match self.refer(file, &name) {
                Some(index) if file.plugins[index].role == Role::Decider => {
                    self.decider(&mut file.plugins[index]);
                }
                Some(_) => {
                    name.report(&mut self.findings, format_args!("is {}, which decides nothing", name.value));
                }
                None => {}
            }
        }
        self.not_modelled(
            &file.plugins[handler],
            "profiles of prefill and decode instances are not taken from such a file",
        );
    }

    fn decider(&mut self, plugin: &mut Plugin) {
        let Some(mut params) = plugin.params.take() else { return };
        for key in ["nonCachedTokens", "promptTokens"] {
            params.whole(&mut self.findings, key, 0..=i64::MAX);
        }
        self.finish(params);
    }

    /// The plugin that is referred to, by number.
    pub(super) fn refer(&mut self, file: &mut EppFile, name: &Item<String>) -> Option<usize> {
        let found = file.find(&name.value);
        if let Some(index) = found {
            file.plugins[index].is_used = true;
        } else {
            let known = file.plugins.iter().map(|plugin| plugin.name.as_str());
            let problem = unknown_name("plugin", &name.value, known);
            self.findings.problem(name.at, problem);
        }
        found
    }

    /// Maps the profile, if there is one only.
    pub(super) fn profiles(&mut self, file: &mut EppFile) {
        let mut profiles = std::mem::take(&mut file.profiles);
        if profiles.len() > 1 {
            for reference in profiles.iter().flat_map(|profile| &profile.plugins) {
                self.refer(file, &reference.plugin);
            }
            return;
        }
        let at = profiles.first().and_then(|profile| profile.at);
        let entries = profiles.pop().map_or_else(|| every_plugin(file), |profile| profile.plugins);
        let (mut scorers, mut texts) = (Scorers::new(), Vec::new());
        let mut picker: Option<String> = None;
        for Reference { plugin: name, weight } in entries {
            let Some(index) = self.refer(file, &name) else { continue };
            let plugin = &file.plugins[index];
            if let Some(weight) = weight.as_ref().filter(|_| plugin.role != Role::Scorer) {
                let text = format!("{} has no effect: {} is no scorer", weight.path, plugin.name);
                self.findings.warn(weight.at, Diagnostic::new(text));
            }
            match plugin.role {
                Role::Scorer => {
                    let Some(scorer) = self.scorer(file, index) else { continue };
                    let (weight_at, weight) =
                        weight.map_or((name.at, 1.0), |weight| (weight.at, weight.value));
                    match self.registry.add_scorer(&mut scorers, scorer, weight) {
                        Ok(()) => texts.push(format!("{scorer}:{weight}")),
                        Err(error) => self.findings.problem(weight_at, Diagnostic::new(error.to_string())),
                    }
                    let plugin = &file.plugins[index];
                    self.note(plugin, format_args!("scorer {scorer}, weight {weight}"));
                }
                Role::Filter if plugin.kind == "decode-filter" => {
                    self.note(plugin, "lets every instance pass: they have no roles");
                }
                Role::Filter | Role::Detector => {
                    self.not_modelled(plugin, "candidates are not filtered; every instance can be chosen");
                }
                Role::Picker => {
                    if let Some(first) = &picker {
                        let text = format!("is {}, but {first} picks already", name.value);
                        name.report(&mut self.findings, text);
                    }
                    picker = Some(plugin.name.clone());
                    self.picker(plugin);
                }
                _ => self.note(plugin, "has no place in a profile, and no effect there"),
            }
        }
        let declared = file.plugins.iter().position(|plugin| plugin.role == Role::Picker);
        if let (None, Some(index)) = (picker, declared) {
            file.plugins[index].is_used = true;
            self.picker(&file.plugins[index]);
        }
        if texts.is_empty() && self.findings.problems.is_empty() {
            let text = "the profile has no scorer; a uniform choice is not modelled";
            self.findings.problem(at, Diagnostic::new(text));
        }
        lay(&mut self.options.routing_policy, SCORING_ROUTER.to_owned());
        lay(&mut self.options.routing_scorers, texts.join(","));
    }

    fn picker(&mut self, plugin: &Plugin) {
        if plugin.kind == "max-score-picker" {
            self.note(plugin, "the largest sum of scores, a random one of equals");
        } else {
            self.not_modelled(plugin, "the instance with the largest sum of scores is chosen");
        }
    }

    /// The scorer here that a scorer there is, with its parameters.
    fn scorer(&mut self, file: &mut EppFile, index: usize) -> Option<&'static str> {
        let kind = file.plugins[index].kind.clone();
        if let Some((_, here)) = SAME.iter().find(|(there, _)| *there == kind) {
            return Some(here);
        }
        if kind.starts_with("prefix-cache") || kind.starts_with("precise-prefix") {
            return self.prefix_scorer(file, index);
        }
        let params = file.plugins[index].params.take();
        match kind.as_str() {
            "load-aware-scorer" => {
                let mut threshold = LOAD_AWARE_THRESHOLD;
                if let Some(mut params) = params {
                    let given = params.whole(&mut self.findings, "threshold", i64::MIN..=i64::MAX);
                    let given = given.map(|item| item.value as f64).filter(|&given| given > 0.0);
                    threshold = given.unwrap_or(threshold);
                    self.finish(params);
                }
                self.param("load-aware-threshold", threshold);
                Some("load-aware")
            }
            "active-request-scorer" => {
                if let Some(mut params) = params {
                    let idle = params.whole(&mut self.findings, "idleThreshold", i64::MIN..=i64::MAX);
                    let busy =
                        params.number(&mut self.findings, "maxBusyScore", f64::is_finite, "a finite number");
                    params.take("inFlightLoadProducerName");
                    params.take("requestTimeout");
                    self.finish(params);
                    if let Some(idle) = idle {
                        self.param("active-requests-idle", idle.value.max(0) as f64);
                    }
                    if let Some(busy) = busy.filter(|busy| (0.0..=1.0).contains(&busy.value)) {
                        self.param("active-requests-max-busy", busy.value);
                    }
                }
                Some("active-requests")
            }
            "no-hit-lru-scorer" => {
                if let Some(mut params) = params {
                    let size = params.whole(&mut self.findings, "lruSize", i64::MIN..=i64::MAX);
                    let instances = self.options.num_instances.unwrap_or(1);
                    if let Some(size) = size.filter(|size| (1..instances).contains(&size.value)) {
                        let what = "every instance that got a cold prompt is remembered";
                        self.not_modelled_value(&size, what);
                    }
                    for key in ["prefixMatchInfoProducerName", "prefixPluginType", "prefixPluginName"] {
                        params.take(key);
                    }
                    self.finish(params);
                }
                Some("no-hit-lru")
            }
            _ => {
                self.not_modelled(&file.plugins[index], "there is no such scorer here");
                None
            }
        }
    }

    /// What is left to be said of a plugin.
    pub(super) fn rest(&mut self, plugin: &Plugin) {
        match plugin.role {
            Role::Acting => self.not_modelled(plugin, "it changes when or where requests go"),
            Role::NoEffect | Role::SingleProfile => self.note(plugin, "no effect here"),
            Role::Admitter | Role::Profiles => {}
            Role::PrefixProducer if !plugin.is_used => {
                self.note(plugin, "no effect here: no scorer asks it");
            }
            _ if !plugin.is_used => {
                let text = format!("{} is declared, and nothing refers to it", plugin.name);
                self.findings.warn(plugin.at, Diagnostic::new(text));
            }
            _ => {}
        }
    }
}

/// The profile that a file without any has: every filter, scorer and picker.
fn every_plugin(file: &EppFile) -> Vec<Reference> {
    let has_place = |plugin: &&Plugin| matches!(plugin.role, Role::Scorer | Role::Filter | Role::Picker);
    let reference = |plugin: &Plugin| Reference {
        plugin: Item { value: plugin.name.clone(), path: "plugins".to_owned(), at: plugin.at },
        weight: None,
    };
    file.plugins.iter().filter(has_place).map(reference).collect()
}
