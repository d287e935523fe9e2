//! A preset as a workload file: one client with constant gaps and normal lengths, or the clients of a scenario.

use super::scenario::SCENARIOS;
use super::{Converted, finish};
use crate::Diagnostic;
use crate::catalogue::Catalogue;
use crate::diagnostic::unknown_name;
use crate::resolve::check::{Check, POSITIVE, is_positive};
use crate::resolve::{self, Lengths};
use crate::workload_file::schema::{Entry, File};
use crate::workload_file::writer::{VERSION, arrival, normal, set, unplaced, whole};
use std::path::PathBuf;

const DEFAULT_RATE: f64 = 1.0;
const DEFAULT_REQUESTS: i64 = 100;
/// The prefix group of a preset that has a prefix, as in a run of the preset.
const PREFIX_GROUP: &str = "shared";

/// What a preset becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresetOptions {
    /// Name of the preset or scenario. Required. A preset of one's own hides a scenario of its name.
    pub name: Option<String>,
    /// Requests per second; default 1.
    pub rate: Option<f64>,
    /// Number of requests, 0 = no limit; default 100.
    pub num_requests: Option<i64>,
    /// YAML file with presets of one's own.
    pub defaults_filepath: Option<PathBuf>,
}

/// The preset as a workload file.
///
/// # Errors
/// Everything that is wrong with the options, the defaults file and the preset.
pub fn preset(options: &PresetOptions) -> Result<Converted, Vec<Diagnostic>> {
    let mut check = Check::default();
    let (catalogue, _) = resolve::catalogue(&mut check, options.defaults_filepath.as_deref());
    let rate = check.real("rate", options.rate, DEFAULT_RATE, is_positive, POSITIVE);
    let requests = check.integer("num-requests", options.num_requests, DEFAULT_REQUESTS, 0..=i64::MAX);
    let Some(name) = options.name.as_deref().filter(|name| !name.is_empty()) else {
        check.problem(
            Diagnostic::new("--name is missing")
                .with_help(format!("known presets: {}", known(&catalogue).join(", "))),
        );
        return Err(check.problems);
    };
    let scenario = SCENARIOS.iter().find(|(scenario, _)| *scenario == name);
    let clients = match (catalogue.preset(name), scenario) {
        (Ok(preset), _) => vec![client(name, resolve::lengths(&preset))],
        (Err(_), Some((_, clients))) => clients(),
        (Err(_), None) => {
            let known = known(&catalogue);
            check.problem(unknown_name("workload preset", name, known.iter().map(String::as_str)));
            return Err(check.problems);
        }
    };
    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    let file = File {
        version: set(VERSION.to_owned()),
        category: set("language".to_owned()),
        clients: Some(clients.into_iter().map(unplaced).collect()),
        aggregate_rate: set(rate),
        num_requests: if requests > 0 { whole(requests) } else { None },
        ..File::default()
    };
    finish(&file, check.warnings)
}

/// Presets and scenarios.
fn known(catalogue: &Catalogue) -> Vec<String> {
    let scenarios = SCENARIOS.iter().map(|(name, _)| (*name).to_owned());
    catalogue.preset_names().into_iter().chain(scenarios).collect()
}

/// The client of a preset.
fn client(name: &str, lengths: Lengths) -> Entry {
    let has_prefix = lengths.prefix_tokens > 0;
    Entry {
        id: Some(format!("preset-{name}")),
        rate_fraction: set(1.0),
        arrival: arrival("constant"),
        input_distribution: normal(lengths.prompt),
        output_distribution: normal(lengths.output),
        prefix_group: has_prefix.then(|| PREFIX_GROUP.to_owned()),
        prefix_length: if has_prefix { whole(lengths.prefix_tokens) } else { None },
        ..Entry::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{PresetOptions, preset};
    use crate::workload_file::{self, Overrides};
    use blis_kernel::Tick;

    fn chatbot() -> PresetOptions {
        PresetOptions { name: Some("chatbot".into()), ..PresetOptions::default() }
    }

    /// Law: what is written is read as the traffic that a run of the preset has.
    #[test]
    fn a_written_preset_is_the_synthesised_workload() {
        let options = PresetOptions { rate: Some(2.5), num_requests: Some(7), ..chatbot() };
        let yaml = preset(&options).unwrap().yaml;
        assert!(yaml.contains("aggregate_rate: 2.5\n") && yaml.contains("mean: 256\n"), "{yaml}");
        let workload = workload_file::read(&yaml, "w.yaml", Overrides::default()).unwrap().workload;
        let lengths =
            crate::resolve::lengths(&crate::catalogue::Catalogue::embedded().preset("chatbot").unwrap());
        let synthesised = blis_workload::SyntheticParams {
            client: "preset-chatbot".into(),
            load: blis_workload::SyntheticLoad::Rate { per_s: 2.5 },
            prompt_tokens: lengths.prompt,
            output_tokens: lengths.output,
            prefix_tokens: 0,
            timeout: None,
            horizon: Tick::MAX,
            max_requests: Some(7),
            seed: 0,
        };
        assert_eq!(workload, synthesised.workload());
    }

    #[test]
    fn every_bad_option_is_named_at_once() {
        let options = PresetOptions {
            name: Some("chatbox".into()),
            rate: Some(0.0),
            num_requests: Some(-1),
            ..PresetOptions::default()
        };
        let problems = preset(&options).unwrap_err();
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].starts_with("--rate is 0") && problems[1].starts_with("--num-requests is -1"));
        assert!(
            problems[2].contains("chatbox") && problems[2].contains("did you mean \"chatbot\""),
            "{problems:?}"
        );
        assert!(preset(&PresetOptions::default()).unwrap_err()[0].message.contains("--name is missing"));
    }
}
