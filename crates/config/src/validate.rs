//! Checks files of any kind that we read, without doing anything with them.

use crate::catalogue::Catalogue;
use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;
use crate::resolve::trace;
use crate::workload_file::{self, Overrides};
use crate::{epp, model_config, offload_file, policy_file};
use blis_policy::registry::Registry;
use blis_workload::TraceHeader;
use blis_workload::trace::TRACE_VERSIONS;
use std::fmt;

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Clients and cohorts.
    Workload,
    /// Header of a trace.
    TraceHeader,
    /// Rows of a trace.
    TraceRows,
    /// Policies of a cluster.
    Policy,
    /// Configuration of an Endpoint Picker.
    Epp,
    /// What a site knows about models and presets.
    Defaults,
    /// A table of GPUs.
    Hardware,
    /// A chain of KV tiers.
    Offload,
    /// A model's `config.json`.
    ModelConfig,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workload => "workload file",
            Self::TraceHeader => "trace header",
            Self::TraceRows => "rows of a trace",
            Self::Policy => "policy file",
            Self::Epp => "Endpoint Picker configuration",
            Self::Defaults => "defaults file",
            Self::Hardware => "hardware table",
            Self::Offload => "offload file",
            Self::ModelConfig => "model configuration",
        })
    }
}

/// Keys that tell a YAML file's kind. What several kinds have tells nothing.
const MARKS: [(FileKind, &[&str]); 5] = [
    (
        FileKind::Workload,
        &[
            "seed",
            "category",
            "clients",
            "cohorts",
            "aggregate_rate",
            "horizon",
            "num_requests",
            "servegen_data",
            "inference_perf",
        ],
    ),
    (
        FileKind::TraceHeader,
        &[
            "trace_version",
            "time_unit",
            "created_at",
            "warm_up_requests",
            "workload_seed",
            "observed_kv_metrics",
        ],
    ),
    (
        FileKind::Policy,
        &[
            "admission",
            "routing",
            "priority",
            "scheduler",
            "preemption",
            "tenant_budgets",
            "flow_control",
            "usage_limit",
        ],
    ),
    (
        FileKind::Defaults,
        &[
            "defaults",
            "workloads",
            "models",
            "trained_physics_coefficients",
            "crossmodel_defaults",
            "trained_roofline_defaults",
            "kv_offload_devices",
            "lora",
        ],
    ),
    // A trace header may have it too, but is told by its other keys.
    (FileKind::Offload, &["kv_offload"]),
];
/// Keys of a GPU; no other file has them.
const GPU_MARKS: [&str; 5] = ["TFlopsPeak", "TFlopsFP8", "BwPeakTBs", "mfuPrefill", "MemoryGiB"];

/// What a file is, by its content.
pub fn kind_of(text: &str) -> Option<FileKind> {
    if model_config::looks_like_model_config(text) {
        return Some(FileKind::ModelConfig);
    }
    if GPU_MARKS.iter().any(|mark| text.contains(&format!("\"{mark}\""))) {
        return Some(FileKind::Hardware);
    }
    let first = text.lines().find(|line| !line.trim().is_empty())?;
    if first.contains("request_id,") || first.contains(",arrival_time_us") {
        return Some(FileKind::TraceRows);
    }
    if epp::is_epp_config(text) {
        return Some(FileKind::Epp);
    }
    let keys: Vec<&str> = text.lines().filter_map(top_key).collect();
    let score = |marks: &[&str]| marks.iter().filter(|mark| keys.contains(mark)).count();
    let scored = MARKS.iter().map(|&(kind, marks)| (score(marks), kind)).filter(|&(score, _)| score > 0);
    scored.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, kind)| kind)
}

/// The key that a line begins with when it is not indented.
fn top_key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(':')?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(key)
}

/// What was found in one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// The file's name.
    pub name: String,
    /// What it is.
    pub kind: Option<FileKind>,
    /// Everything that is wrong with it.
    pub problems: Vec<Diagnostic>,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

/// Checks files, given with their names. Rows of a trace are read by the first trace header among the files.
pub fn validate(files: &[(String, Vec<u8>)], policies: &Registry) -> Vec<Validated> {
    let texts = files.iter().map(|(name, bytes)| (name, std::str::from_utf8(bytes).ok()));
    let mut headers =
        texts.filter(|(_, text)| text.is_some_and(|text| kind_of(text) == Some(FileKind::TraceHeader)));
    let header = headers.find_map(|(name, text)| trace::header(text?, name).ok());
    let newest = TRACE_VERSIONS.into_iter().max().unwrap_or_default();
    let default = TraceHeader { trace_version: newest, ..TraceHeader::default() };
    let header = header.map_or(default, |(header, _)| header);
    files.iter().map(|(name, bytes)| one(name, bytes, &header, policies)).collect()
}

fn one(name: &str, bytes: &[u8], header: &TraceHeader, policies: &Registry) -> Validated {
    let text = std::str::from_utf8(bytes);
    let kind = text.ok().and_then(kind_of);
    let result = match (text, kind) {
        (Ok(text), Some(kind)) => read(kind, text, name, header, policies),
        (Ok(text), None) if text.trim().is_empty() => Err(vec![Diagnostic::new("the file is empty").in_file(name)]),
        (Ok(_), None) => Err(vec![
            Diagnostic::new("nothing in it tells what it is")
                .in_file(name)
                .with_help("it has to be a workload, a trace, policies, an Endpoint Picker configuration, defaults, a hardware table, an offload file or a model's config.json"),
        ]),
        (Err(error), _) => {
            let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
            Err(vec![Diagnostic::new(format!("line {line} is not UTF-8 text")).in_file(name)])
        }
    };
    let (problems, warnings) = match result {
        Ok(warnings) => (Vec::new(), warnings),
        Err(problems) => (problems, Vec::new()),
    };
    Validated { name: name.to_owned(), kind, problems, warnings }
}

fn read(
    kind: FileKind,
    text: &str,
    name: &str,
    header: &TraceHeader,
    policies: &Registry,
) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    match kind {
        FileKind::Workload => workload_file::read(text, name, Overrides::default()).map(|file| file.warnings),
        FileKind::TraceHeader => trace::header(text, name).map(|(_, warnings)| warnings),
        FileKind::TraceRows => trace::with_rows(header.clone(), text.as_bytes(), name).map(|_| Vec::new()),
        FileKind::Policy => policy_file::lay_under(&mut RunOptions::default(), text, name, policies),
        FileKind::Epp => {
            epp::lay_under(&mut RunOptions::default(), text, name, policies).map(|mapped| mapped.warnings)
        }
        FileKind::Defaults => Catalogue::embedded().with_defaults_file(text, name).map(|_| Vec::new()),
        FileKind::Hardware => Catalogue::embedded().with_hardware_file(text, name).map(|_| Vec::new()),
        FileKind::Offload => {
            offload_file::read(text, name, &Catalogue::embedded(), None).map(|(_, warnings)| warnings)
        }
        FileKind::ModelConfig => model_config::from_json(text, name, name).map(|_| Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_content() {
        let cases = [
            ("clients: []\nversion: 2\n", Some(FileKind::Workload)),
            ("trace_version: 3\n", Some(FileKind::TraceHeader)),
            ("request_id,client_id,arrival_time_us\n", Some(FileKind::TraceRows)),
            ("routing:\n  policy: weighted\n", Some(FileKind::Policy)),
            ("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n", Some(FileKind::Epp)),
            ("defaults:\n  m: {GPU: H100}\nversion: 1\n", Some(FileKind::Defaults)),
            ("{\"H\": {\"TFlopsPeak\": 1, \"BwPeakTBs\": 2}}", Some(FileKind::Hardware)),
            ("{\"hidden_size\": 8}", Some(FileKind::ModelConfig)),
            ("kv_offload: {cpu_bytes_to_use: 5}\n", Some(FileKind::Offload)),
            ("kv_offload: {}\ntrace_version: 3\n", Some(FileKind::TraceHeader)),
            ("version: 2\nname: x\n", None),
            ("", None),
        ];
        for (text, kind) in cases {
            assert_eq!(kind_of(text), kind, "{text}");
        }
    }
}
