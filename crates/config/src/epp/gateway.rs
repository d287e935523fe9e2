//! Who is let in, and the queue of flow control.

use super::file::{EppFile, Plugin};
use super::plugins::Role;
use super::{Generation, Mapper, lay};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::quantity::parse_micros;
use crate::yaml::tree::{Item, Node, Section};

/// Policies that exist without being declared.
const INJECTED: [(&str, Role); 4] = [
    ("fcfs-ordering-policy", Role::Ordering),
    ("global-strict-fairness-policy", Role::Fairness),
    ("static-usage-limit-policy", Role::UsageLimit),
    ("utilization-detector", Role::Detector),
];
/// Longest wait where a file of the newer releases says nothing, µs.
const DEFAULT_TTL_US: i64 = 60_000_000;
/// Requests of a band where a file says nothing.
const DEFAULT_BAND: i64 = 5_000;

/// What a saturation detector is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Detector {
    Utilization { queue_depth: f64, kv: f64 },
    Concurrency { limit: f64 },
}

/// A policy that something refers to.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// The plugin of that number.
    Declared(usize),
    /// One that is there without being declared.
    Injected,
}

/// What a band does.
#[derive(Clone, Debug, PartialEq)]
struct Band {
    max_requests: i64,
    fairness: String,
    ordering: String,
}

impl Mapper<'_, '_> {
    pub(super) fn gateway(&mut self, file: &mut EppFile) {
        let mut section = file.flow_section.take();
        if let Some(section) = section.as_ref().filter(|_| !file.flow_control) {
            let text =
                "flowControl has no effect but for its detector: the feature gate flowControl is not set";
            self.findings.warn(section.at(), Diagnostic::new(text));
        }
        let inner =
            section.as_mut().and_then(|section| section.section(&mut self.findings, "saturationDetector"));
        let inner = inner.and_then(|mut detector| {
            let reference = detector.text(&mut self.findings, "pluginRef");
            detector.finish(&mut self.findings);
            reference
        });
        let reference = inner.or(file.detector.take());
        let detector = self.detector(file, reference.as_ref());
        let admitters: Vec<_> =
            (0..file.plugins.len()).filter(|&i| file.plugins[i].role == Role::Admitter).collect();
        if file.flow_control {
            for index in admitters {
                self.admitter(file, index, None);
            }
            if let Some(detector) = detector {
                self.lay_detector(detector);
            }
            self.flow_control(file, section);
            return;
        }
        match (detector, admitters[..].first()) {
            (Some(detector), Some(&index)) => self.admitter(file, index, Some(detector)),
            (Some(Detector::Utilization { queue_depth, kv }), None) => {
                lay(&mut self.options.admission_policy, "gaie-legacy".to_owned());
                self.param("gaie-qd-threshold", queue_depth);
                self.param("gaie-kv-threshold", kv);
            }
            (Some(Detector::Concurrency { .. }), None) => {
                if let Some(reference) = &reference {
                    let what = "without flow control requests are refused by queues and KV caches only";
                    self.not_modelled_value(reference, what);
                }
            }
            (None, _) => {}
        }
    }

    /// The policy of a role that a name refers to.
    fn of_role(&mut self, file: &mut EppFile, name: &Item<String>, role: Role, what: &str) -> Option<Found> {
        if let Some(index) = file.find(&name.value) {
            file.plugins[index].is_used = true;
            if file.plugins[index].role == role {
                return Some(Found::Declared(index));
            }
            let kind = &file.plugins[index].kind;
            name.report(
                &mut self.findings,
                format_args!("names {}, whose type {kind} is no {what}", name.value),
            );
            return None;
        }
        if INJECTED.contains(&(name.value.as_str(), role)) {
            return Some(Found::Injected);
        }
        let known = file.plugins.iter().map(|plugin| plugin.name.as_str());
        let known = known.chain(INJECTED.iter().filter(|(_, other)| *other == role).map(|(name, _)| *name));
        let problem = unknown_name("plugin", &name.value, known);
        self.findings.problem(name.at, problem);
        None
    }

    fn detector(&mut self, file: &mut EppFile, reference: Option<&Item<String>>) -> Option<Detector> {
        let declared = match reference {
            Some(name) => self.of_role(file, name, Role::Detector, "saturation detector")?,
            None => file.find("utilization-detector").map_or(Found::Injected, Found::Declared),
        };
        let Found::Declared(index) = declared else {
            return Some(Detector::Utilization { queue_depth: 5.0, kv: 0.8 });
        };
        file.plugins[index].is_used = true;
        let mut params = file.plugins[index].params.take();
        let findings = &mut self.findings;
        let mut get = |key: &str, default: f64, is_allowed: fn(f64) -> bool, allowed: &str| {
            let given = params.as_mut().and_then(|params| params.number(findings, key, is_allowed, allowed));
            given.map_or(default, |given| given.value)
        };
        let whole = |value: f64| value >= 1.0 && value.trunc() == value;
        let detector = if file.plugins[index].kind == "concurrency-detector" {
            let limit = get("maxConcurrency", 100.0, whole, "a whole number of at least 1");
            get("maxTokenConcurrency", 1e6, whole, "a whole number of at least 1");
            Detector::Concurrency { limit }
        } else {
            let queue_depth = get("queueDepthThreshold", 5.0, whole, "a whole number of at least 1");
            let kv = get("kvCacheUtilThreshold", 0.8, |kv| kv > 0.0 && kv <= 1.0, "above 0 and at most 1");
            Detector::Utilization { queue_depth, kv }
        };
        // It only counts where the detector filters.
        get(
            "headroom",
            0.0,
            |headroom| headroom.is_finite() && headroom >= 0.0,
            "a finite number of at least 0",
        );
        if let Some(mut params) = params {
            let mode = params.text(&mut self.findings, "concurrencyMode");
            if let Some(mode) = mode.filter(|mode| mode.value != "requests") {
                self.not_modelled_value(&mode, "requests in flight are counted, not their tokens");
            }
            params.take("metricsStalenessThreshold");
            params.take("inFlightLoadProducerName");
            self.finish(params);
        }
        let plugin = &file.plugins[index];
        self.note(plugin, "how full the instances are");
        Some(detector)
    }

    fn lay_detector(&mut self, detector: Detector) {
        let name = match detector {
            Detector::Utilization { queue_depth, kv } => {
                self.param("queue-depth-threshold", queue_depth);
                self.param("kv-cache-util-threshold", kv);
                "utilization"
            }
            Detector::Concurrency { limit } => {
                self.param("max-concurrency", limit);
                "concurrency"
            }
        };
        lay(&mut self.options.gateway.saturation_detector, name.to_owned());
    }

    /// An admitter; without flow control, those that count little are refused at `detector`'s saturation before it.
    fn admitter(&mut self, file: &mut EppFile, index: usize, detector: Option<Detector>) {
        let params = file.plugins[index].params.take();
        let plugin = &file.plugins[index];
        if plugin.kind != "probabilistic-admitter" {
            return self.not_modelled(plugin, "there is no such admission policy here");
        }
        let mut values = [5.0, 0.8, 5.0, 300.0];
        if let Some(mut params) = params {
            let keys = ["queueDepthThreshold", "kvCacheUtilThreshold", "power", "k"];
            for (value, key) in values.iter_mut().zip(keys) {
                let is_allowed = |value: f64| value.is_finite() && value > 0.0;
                let given = params.number(&mut self.findings, key, is_allowed, "a finite number above 0");
                *value = given.map_or(*value, |given| given.value);
            }
            self.finish(params);
        }
        let [queue_depth, kv, power, scale] = values;
        let same = Detector::Utilization { queue_depth, kv };
        // From saturation 1 on it refuses everything that the refusal before it would.
        if detector.is_some_and(|detector| detector != same) || (detector.is_some() && scale < 1.0) {
            let plugin = &file.plugins[index];
            return self
                .not_modelled(plugin, "its thresholds are not the detector's, which refuses before it");
        }
        lay(&mut self.options.admission_policy, "probabilistic-admitter".to_owned());
        self.param("probabilistic-qd-threshold", queue_depth);
        self.param("probabilistic-kv-threshold", kv);
        self.param("probabilistic-power", power);
        self.param("probabilistic-scale", scale);
        self.note(&file.plugins[index], "admission probabilistic-admitter");
    }

    fn flow_control(&mut self, file: &mut EppFile, section: Option<Section>) {
        let ttl = match self.generation {
            Generation::LlmD => DEFAULT_TTL_US,
            Generation::Inference => 0,
        };
        let default_band = Band {
            max_requests: DEFAULT_BAND,
            fairness: "global-strict".to_owned(),
            ordering: "priority".to_owned(),
        };
        lay(&mut self.options.gateway.enabled, true);
        let Some(mut section) = section else {
            lay(&mut self.options.gateway.request_ttl_us, ttl);
            return self.lay_band(default_band);
        };
        let ttl = self.duration(&mut section, "defaultRequestTTL").unwrap_or(ttl);
        lay(&mut self.options.gateway.request_ttl_us, ttl);
        self.duration(&mut section, "noEndpointRequestTTL");
        self.max_bytes(&mut section);
        if let Some(depth) = self.quantity(&mut section, "maxRequests") {
            lay(&mut self.options.gateway.max_queue_depth, depth.value);
        }
        if let Some(evicts) = section.flag(&mut self.findings, "enableEviction") {
            lay(&mut self.options.gateway.in_flight_eviction, evicts.value);
        }
        if let Some(name) = section.text(&mut self.findings, "usageLimitPolicyPluginRef") {
            let found = self.of_role(file, &name, Role::UsageLimit, "usage limit policy");
            if let Some(Found::Declared(index)) = found {
                self.usage_limit(&mut file.plugins[index]);
            }
        }
        let mut template = default_band;
        if let Some(band) = section.section(&mut self.findings, "defaultPriorityBand") {
            template = self.band(file, band, &template).1;
        }
        let mut bands = Vec::new();
        if let Some(band) = section.section(&mut self.findings, "defaultNegativePriorityBand") {
            let at = band.at();
            bands.push((at, self.band(file, band, &template).1));
        }
        let mut priorities = Vec::new();
        for band in section.sections(&mut self.findings, "priorityBands").unwrap_or_default() {
            let at = band.at();
            let (priority, band) = self.band(file, band, &template);
            if priorities.contains(&priority) {
                self.findings
                    .problem(at, Diagnostic::new(format!("there are two bands of priority {priority}")));
            }
            priorities.push(priority);
            bands.push((at, band));
        }
        section.finish(&mut self.findings);
        for (at, band) in &bands {
            if *band != template {
                let text = "a band of its own kind is not modelled: all bands have one order, one fairness and one capacity";
                self.findings.problem(*at, Diagnostic::new(text));
            }
        }
        self.lay_band(template);
    }

    fn lay_band(&mut self, band: Band) {
        let gateway = &mut self.options.gateway;
        lay(&mut gateway.band_capacity, band.max_requests);
        lay(&mut gateway.fairness_policy, band.fairness);
        lay(&mut gateway.dispatch_order, band.ordering);
    }

    fn band(&mut self, file: &mut EppFile, mut section: Section, template: &Band) -> (i64, Band) {
        let mut band = template.clone();
        let priority =
            section.whole(&mut self.findings, "priority", i64::from(i32::MIN)..=i64::from(i32::MAX));
        self.max_bytes(&mut section);
        if let Some(most) = self.quantity(&mut section, "maxRequests").filter(|most| most.value > 0) {
            band.max_requests = most.value;
        }
        for (key, role, what) in [
            ("fairnessPolicyRef", Role::Fairness, "fairness policy"),
            ("orderingPolicyRef", Role::Ordering, "ordering policy"),
        ] {
            let Some(name) = section.text(&mut self.findings, key) else { continue };
            let Some(found) = self.of_role(file, &name, role, what) else { continue };
            let kind = match found {
                Found::Declared(index) => file.plugins[index].kind.as_str(),
                Found::Injected => name.value.as_str(),
            };
            let here = match kind {
                "global-strict-fairness-policy" => "global-strict",
                "round-robin-fairness-policy" => "round-robin",
                "fcfs-ordering-policy" => "priority",
                "slo-deadline-ordering-policy" => "slo-deadline",
                _ => {
                    self.not_modelled_value(&name, format_args!("there is no {kind} here"));
                    continue;
                }
            };
            let place = if role == Role::Fairness { &mut band.fairness } else { &mut band.ordering };
            here.clone_into(place);
            if let Found::Declared(index) = found {
                self.note(&file.plugins[index], here);
            }
        }
        section.finish(&mut self.findings);
        (priority.map_or(0, |priority| priority.value), band)
    }

    fn usage_limit(&mut self, plugin: &mut Plugin) {
        let params = plugin.params.take();
        let gateway = &mut self.options.gateway.usage_limit_policy;
        match plugin.kind.as_str() {
            "static-usage-limit-policy" => {
                let Some(mut params) = params else { return };
                let threshold =
                    params.number(&mut self.findings, "threshold", f64::is_finite, "a finite number");
                self.finish(params);
                match threshold {
                    Some(limit) if limit.value > 0.0 && limit.value < 1.0 => {
                        // One ceiling for all bands.
                        lay(&mut self.options.gateway.usage_limit_policy, "priority-holdback".to_owned());
                        self.param("holdback-min-ceiling", limit.value);
                        self.param("holdback-max-ceiling", limit.value);
                    }
                    Some(limit) if limit.value != 1.0 => {
                        self.not_modelled_value(&limit, "ceilings lie above 0 and at 1 at most");
                    }
                    _ => {}
                }
            }
            "priority-holdback-policy" => {
                lay(gateway, "priority-holdback".to_owned());
                let Some(mut params) = params else {
                    let problem = Diagnostic::new(format!("{} has no minCeiling", plugin.name));
                    return self.findings.problem(plugin.at, problem);
                };
                let is_share = |value: f64| value > 0.0 && value <= 1.0;
                let [low, high] = ["minCeiling", "maxCeiling"]
                    .map(|key| params.number(&mut self.findings, key, is_share, "above 0 and at most 1"));
                for (key, here) in [("domain", "rank"), ("shape", "linear")] {
                    let given = params.text(&mut self.findings, key);
                    if let Some(given) = given.filter(|given| given.value != here) {
                        self.not_modelled_value(&given, format_args!("ceilings are {here} here"));
                    }
                }
                self.finish(params);
                let high = high.map_or(1.0, |high| high.value);
                self.param("holdback-max-ceiling", high);
                match low {
                    Some(low) if low.value < high => self.param("holdback-min-ceiling", low.value),
                    Some(low) => low.report(
                        &mut self.findings,
                        format_args!("is {}; it must be below maxCeiling", low.value),
                    ),
                    None => {}
                }
            }
            _ => self
                .not_modelled(plugin, "its attempts are counted per band here, not for all bands together"),
        }
    }

    fn max_bytes(&mut self, section: &mut Section) {
        if let Some(bytes) = self.quantity(section, "maxBytes").filter(|bytes| bytes.value > 0) {
            self.not_modelled_value(&bytes, "queued requests are counted, not their bytes");
        }
    }

    /// How often the instances' figures are read.
    pub(super) fn metrics(&mut self, file: &mut EppFile) {
        let source = file.plugins.iter_mut().find(|plugin| plugin.kind == "metrics-data-source");
        let Some(mut params) = source.and_then(|source| source.params.take()) else { return };
        if let Some(interval) = self.duration(&mut params, "interval") {
            lay(&mut self.options.snapshot_refresh_interval_us, interval);
        }
    }

    /// A Go duration, µs; the empty text is none.
    fn duration(&mut self, section: &mut Section, key: &str) -> Option<i64> {
        let text = section.text(&mut self.findings, key).filter(|text| !text.value.is_empty())?;
        let is_bare = text.value != "0" && text.value.bytes().all(|byte| byte.is_ascii_digit());
        match parse_micros(&text.value) {
            Ok(us) if us >= 0 && !is_bare => Some(us),
            _ => {
                text.report(
                    &mut self.findings,
                    format_args!("is \"{}\"; it must be a duration such as 60s", text.value),
                );
                None
            }
        }
    }

    /// A Kubernetes quantity, rounded up.
    fn quantity(&mut self, section: &mut Section, key: &str) -> Option<Item<i64>> {
        let item = section.take(key)?;
        let value = match &item.value {
            Node::Number(number) => Some(*number),
            Node::Text(text) => quantity(text),
            _ => None,
        };
        let fitting = value.map(f64::ceil).filter(|value| (0.0..9e18).contains(value));
        if fitting.is_none() {
            item.report(&mut self.findings, "must be a quantity such as 500, 1k or 2Gi");
        }
        Some(Item { value: fitting? as i64, path: item.path, at: item.at })
    }
}

/// The number that a quantity stands for.
fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let suffix = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, factor) =
        suffix.map_or((text, 1.0), |(suffix, factor)| (&text[..text.len() - suffix.len()], *factor));
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        let cases = [
            ("500", 500.0),
            ("1k", 1e3),
            ("500M", 5e8),
            ("1Gi", 1_073_741_824.0),
            ("1e3", 1e3),
            ("0.5", 0.5),
        ];
        for (text, value) in cases {
            assert_eq!(quantity(text), Some(value), "{text}");
        }
        assert_eq!((quantity("many"), quantity("Gi")), (None, None));
    }
}
