//! Settings inside the files that a run reads, changed without touching the files.
//!
//! A setting is named by the file's flag and the path of keys to it, `policy-config.autoscaler.min_replicas` or
//! `workload-spec.clients[0].rate_fraction`. The changed text goes into [`RunOptions::texts`] under a name that says what was
//! changed, so that messages about it do too.

use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::{RunOptions, Traffic, WorkloadOptions};
use crate::yaml;
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// Flags of files whose settings can be changed.
pub const FILES: [&str; 8] = [
    "coefficients",
    "epp-config",
    "hardware-config",
    "kv-offload-config",
    "lora-config",
    "policy-config",
    "saturation-config",
    "workload-spec",
];

/// Whether a setting lies in a file rather than being a flag.
pub fn is_in_file(name: &str) -> bool {
    name.contains('.')
}

/// Changes a setting in a file.
///
/// # Errors
/// There is no such file or place in it, or the value is no YAML.
pub fn set_in_file(options: &mut RunOptions, name: &str, value: &str) -> Result<(), Diagnostic> {
    let (flag, keys) = name.split_once('.').unwrap_or((name, ""));
    let slot = slot(options, flag)
        .ok_or_else(|| unknown_name(&format!("file of the setting {name}"), flag, FILES))?;
    let Some(path) = slot.clone() else {
        let problem = format!("the setting {name} needs --{flag}, the file that it changes");
        return Err(Diagnostic::new(problem));
    };
    let file_name = path.display().to_string();
    let mut root = read(options, flag, &path)?;
    let value: Value = yaml::from_str(value, name).map_err(|mut problems| problems.swap_remove(0))?;
    let shown = value.clone();
    let place = place(&mut root, keys).map_err(|problem| {
        Diagnostic { message: format!("the setting {name}: {}", problem.message), ..problem }
            .in_file(file_name.clone())
    })?;
    *place = value;
    let changed = format!("{keys}={shown}");
    let named = match file_name.strip_suffix(')') {
        Some(earlier) if options.texts.contains_key(&path) => format!("{earlier}, {changed})"),
        _ => format!("{file_name} (with {changed})"),
    };
    give_text(options, flag, PathBuf::from(named), yaml::to_string(&root));
    Ok(())
}

/// The rate at which a workload file's clients send requests together, per second: `None` when it says none, or when nothing
/// in it depends on that.
///
/// # Errors
/// The file cannot be read.
pub fn aggregate_rate(options: &RunOptions) -> Result<Option<f64>, Diagnostic> {
    let Traffic::Synthesised(WorkloadOptions { spec: Some(path), .. }) = &options.traffic else {
        return Ok(None);
    };
    let root = read(options, "workload-spec", path)?;
    let shares = ["clients", "cohorts"].into_iter().filter_map(|key| root[key].as_array()).flatten();
    let any_share = shares.into_iter().any(|client| !client["rate_fraction"].is_null());
    Ok(root["aggregate_rate"].as_f64().filter(|rate| any_share && *rate > 0.0))
}

/// A file as a tree of values.
fn read(options: &RunOptions, flag: &str, path: &Path) -> Result<Value, Diagnostic> {
    let file_name = path.display().to_string();
    let text = match options.texts.get(path) {
        Some(text) => text.clone(),
        None => fs::read_to_string(path)
            .map_err(|error| Diagnostic::new(format!("--{flag}: cannot read {file_name}: {error}")))?,
    };
    // Whatever else is wrong with the file its own reader tells, and better.
    yaml::from_str(&text, &file_name).map_err(|mut problems| problems.swap_remove(0))
}

/// The problems without places in texts that were changed here: nobody has those to look at.
pub(crate) fn without_lines(options: &RunOptions, mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    for problem in &mut problems {
        let is_changed = |file: &String| file.ends_with(')') && options.texts.contains_key(Path::new(file));
        if problem.file.as_ref().is_some_and(is_changed) {
            (problem.line, problem.column) = (None, None);
        }
    }
    problems
}

/// Gives a file as a text, under a name for messages. A flag that names no such file is ignored.
pub fn give_text(options: &mut RunOptions, flag: &str, name: PathBuf, text: String) {
    if let Some(slot) = slot(options, flag) {
        *slot = Some(name.clone());
        options.texts.insert(name, text);
    }
}

/// Where the options hold the path of a flag's file.
fn slot<'a>(options: &'a mut RunOptions, flag: &str) -> Option<&'a mut Option<PathBuf>> {
    Some(match flag {
        "coefficients" => &mut options.coefficients,
        "epp-config" => &mut options.epp_config,
        "hardware-config" => &mut options.hardware_config,
        "kv-offload-config" => &mut options.kv_offload_config,
        "lora-config" => &mut options.lora.config,
        "policy-config" => &mut options.policy_config,
        "saturation-config" => &mut options.saturation_config,
        "workload-spec" => match &mut options.traffic {
            Traffic::Synthesised(workload) => &mut workload.spec,
            Traffic::Trace(_) => return None,
        },
        _ => return None,
    })
}

/// The value at a path. Keys that mappings do not have are added; places in lists have to be there.
fn place<'a>(root: &'a mut Value, keys: &str) -> Result<&'a mut Value, Diagnostic> {
    let mut value = root;
    let mut walked = String::new();
    // `a[0].b` is a, 0, b.
    for key in keys.split(['.', '[']).map(|key| key.trim_end_matches(']')) {
        if key.is_empty() {
            return Err(Diagnostic::new(format!("\"{keys}\" is no path of keys, such as a.b or a[0].b")));
        }
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        value = match value {
            Value::Object(map) => map.entry(key).or_insert(Value::Null),
            Value::Array(list) => {
                let items = list.len();
                key.parse().ok().and_then(|n: usize| list.get_mut(n)).ok_or_else(|| {
                    Diagnostic::new(format!(
                        "{walked} is a list of {items}; \"{key}\" must be a number below"
                    ))
                })?
            }
            other => {
                return Err(Diagnostic::new(format!(
                    "{walked} is {other}, which has no keys such as \"{key}\""
                )));
            }
        };
        walked = if walked.is_empty() { key.to_owned() } else { format!("{walked}.{key}") };
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_policies(text: &str) -> RunOptions {
        let mut options = RunOptions::default();
        give_text(&mut options, "policy-config", "p.yaml".into(), text.into());
        options
    }

    #[test]
    fn settings_of_a_file_change_in_its_text_and_in_its_name() {
        let mut options = with_policies("routing:\n  scorers:\n    - {name: queue-depth, weight: 1}\n");
        set_in_file(&mut options, "policy-config.routing.scorers[0].weight", "2.5").unwrap();
        set_in_file(&mut options, "policy-config.autoscaler.min_replicas", "3").unwrap();
        let name = PathBuf::from("p.yaml (with routing.scorers[0].weight=2.5, autoscaler.min_replicas=3)");
        assert_eq!(options.policy_config.as_ref(), Some(&name));
        let root: Value = yaml::from_str(&options.texts[&name], "p.yaml").unwrap();
        assert_eq!(root["routing"]["scorers"][0]["weight"], 2.5);
        assert_eq!(root["routing"]["scorers"][0]["name"], "queue-depth");
        assert_eq!(root["autoscaler"]["min_replicas"], 3);
    }

    #[test]
    fn a_workload_has_a_rate_where_its_clients_share_one() {
        let rate = |text: &str| {
            let mut options = RunOptions::default();
            give_text(&mut options, "workload-spec", "w.yaml".into(), text.into());
            aggregate_rate(&options).unwrap()
        };
        assert_eq!(rate("aggregate_rate: 12\nclients: [{rate_fraction: 1}]\n"), Some(12.0));
        assert_eq!(rate("aggregate_rate: 12\nclients: [{concurrency: 3}]\n"), None);
        assert_eq!(rate("clients: [{rate_fraction: 1}]\n"), None);
    }

    #[test]
    fn places_that_are_not_there_are_named() {
        let mut options = with_policies("scorers: [1]\nname: x\n");
        let mut told = |name: &str| set_in_file(&mut options, name, "1").unwrap_err().to_string();
        assert_eq!(
            told("policy-config.scorers[4]"),
            "p.yaml: the setting policy-config.scorers[4]: scorers is a list of 1; \"4\" must be a number below"
        );
        assert!(told("policy-config.name.x").contains("name is \"x\", which has no keys such as \"x\""));
        assert!(told("workload-spec.rate").contains("needs --workload-spec"));
        assert!(told("policies.x").contains("unknown file of the setting policies.x"));
    }
}
