//! A recorded trace: its header (YAML) and its rows (CSV).

use super::check::{Check, Source};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::offload_file;
use crate::options::TraceOptions;
use crate::workload_file::AdapterReference;
use crate::yaml::tree::Node;
use crate::yaml::{self, Spanned};
use blis_metrics::{Latency, SloTargets, Targets};
use blis_workload::trace::{
    ContextGrowth, GoodputTarget, ObservedKvMetrics, RecordedServer, TRACE_VERSIONS, TimeUnit, Trace,
    TraceHeader, TraceMode,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    trace_version: Spanned<i64>,
    time_unit: Option<Spanned<String>>,
    created_at: Option<String>,
    mode: Option<Spanned<String>>,
    #[serde(default)]
    warm_up_requests: u64,
    workload_seed: Option<i64>,
    workload_spec: Option<String>,
    session_context_growth: Option<Spanned<String>>,
    prefix_block_tokens: Option<Spanned<i64>>,
    server: Option<Server>,
    network: Option<Network>,
    #[serde(default)]
    goodput_slo_targets: BTreeMap<String, Goodput>,
    kv_offload: Option<Spanned<Node>>,
    observed_kv_metrics: Option<KvMetrics>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    #[serde(rename = "type")]
    kind: Option<String>,
    model: Option<String>,
    tensor_parallel: Option<u32>,
    max_num_seqs: Option<u32>,
    block_size: Option<u32>,
    gpu_memory_utilization: Option<f64>,
    max_model_len: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    measured_rtt_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Goodput {
    ttft_ms: Option<Spanned<f64>>,
    itl_ms: Option<Spanned<f64>>,
    e2e_ms: Option<Spanned<f64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct KvMetrics {
    source: String,
    hit_rate: f64,
    block_hits: i64,
    block_queries: i64,
    read_time_total: f64,
    write_time_total: f64,
    vllm_commit: String,
}

/// Reads both files; `None` when something is wrong.
pub(super) fn read(check: &mut Check, options: &TraceOptions) -> Option<Trace> {
    let header = named(check, "trace-header", options.header.as_deref());
    let data = named(check, "trace-data", options.data.as_deref());
    // The data is opened even when the header is wrong, so that both are told.
    let header = header.and_then(|path| {
        let text = super::read(check, "--trace-header", path, true)?;
        header_from(check, &text, &path.display().to_string())
    });
    let data = data.and_then(|path| match File::open(path) {
        Ok(file) => Some((file, path)),
        Err(error) => {
            check.problem(Diagnostic::new(format!("--trace-data: cannot read {}: {error}", path.display())));
            None
        }
    });
    let (header, (file, path)) = (header?, data?);
    rows(check, header, BufReader::new(file), &path.display().to_string())
}

/// The header of a trace from the contents of its file.
pub(crate) fn header(text: &str, file_name: &str) -> Result<(TraceHeader, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut check = Check::default();
    let header = header_from(&mut check, text, file_name);
    header.map(|header| (header, check.warnings)).ok_or(check.problems)
}

/// The rows of a trace from the contents of their file.
pub(crate) fn with_rows(header: TraceHeader, data: &[u8], file_name: &str) -> Result<Trace, Vec<Diagnostic>> {
    let mut check = Check::default();
    rows(&mut check, header, data, file_name).ok_or(check.problems)
}

fn rows(check: &mut Check, header: TraceHeader, data: impl BufRead, file_name: &str) -> Option<Trace> {
    match Trace::read(header, data) {
        Ok(trace) => Some(trace),
        Err(error) => {
            let in_file = |message: String| Diagnostic::new(message).in_file(file_name);
            check.problems.extend(error.problems.iter().map(|problem| {
                let line = problem.line().and_then(|line| u32::try_from(line).ok());
                Diagnostic { line, ..in_file(problem.to_string()) }
            }));
            if error.more > 0 {
                check.problem(in_file(format!("and {} more problems", error.more)));
            }
            None
        }
    }
}

/// The LoRA adapters that rows name, each with each model once.
pub(super) fn adapters(trace: &Trace) -> Vec<AdapterReference> {
    let named: BTreeSet<_> =
        trace.rows().iter().map(|row| (trace.text(row.adapter), trace.text(row.model))).collect();
    named
        .into_iter()
        .filter(|(adapter, _)| !adapter.is_empty())
        .map(|(adapter, model)| AdapterReference {
            adapter: adapter.to_owned(),
            model: model.to_lowercase(),
            place: Diagnostic::new("column adapter of the trace"),
        })
        .collect()
}

/// What the header says about goodput; 0 = no target.
pub(crate) fn slo_targets(header: &TraceHeader) -> SloTargets {
    let of = |target: &GoodputTarget| {
        [(Latency::Ttft, target.ttft_ms), (Latency::Itl, target.itl_ms), (Latency::E2e, target.e2e_ms)].into()
    };
    header.goodput_slo_targets.iter().map(|(class, target)| (class.clone(), of(target))).collect()
}

/// The same for a header that is written.
pub(super) fn header_targets(targets: &SloTargets) -> BTreeMap<String, GoodputTarget> {
    let of = |class: &Targets| {
        let ms = |latency| class.get(&latency).copied().unwrap_or_default();
        GoodputTarget { ttft_ms: ms(Latency::Ttft), itl_ms: ms(Latency::Itl), e2e_ms: ms(Latency::E2e) }
    };
    targets.iter().map(|(name, class)| (name.clone(), of(class))).collect()
}

fn named<'a>(check: &mut Check, flag: &str, path: Option<&'a Path>) -> Option<&'a Path> {
    let path = path.filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = path {
        check.note(flag, path.display(), Source::Given);
    } else {
        check.problem(Diagnostic::new(format!("--{flag} is missing; a replay needs a trace")));
    }
    path
}

fn header_from(check: &mut Check, text: &str, file_name: &str) -> Option<TraceHeader> {
    let file: Header = match yaml::from_str(text, file_name) {
        Ok(file) => file,
        Err(problems) => {
            check.problems.extend(problems);
            return None;
        }
    };
    let before = check.problems.len();
    let header = Reader { check, file_name }.header(file);
    (check.problems.len() == before).then_some(header)
}

struct Reader<'a> {
    check: &'a mut Check,
    file_name: &'a str,
}

impl Reader<'_> {
    fn header(&mut self, file: Header) -> TraceHeader {
        let trace_version = u32::try_from(file.trace_version.value).unwrap_or(0);
        if !TRACE_VERSIONS.contains(&trace_version) {
            let known = TRACE_VERSIONS.map(|version| version.to_string()).join(" or ");
            self.report(
                &file.trace_version,
                format!("trace_version is {}; it must be {known}", file.trace_version.value),
            );
        }
        let kv_offload = file.kv_offload.as_ref().and_then(|block| {
            let offload = offload_file::recorded(block, self.file_name);
            offload.map_err(|problems| self.check.problems.extend(problems)).ok()
        });
        let prefix_block_tokens = self.block_tokens(&file);
        TraceHeader {
            prefix_block_tokens,
            trace_version,
            time_unit: self.one_of(
                "time_unit",
                file.time_unit.as_ref(),
                &[("microseconds", TimeUnit::Microseconds), ("us", TimeUnit::Us)],
            ),
            created_at: file.created_at,
            mode: self.one_of(
                "mode",
                file.mode.as_ref(),
                &[
                    ("generated", TraceMode::Generated),
                    ("real", TraceMode::Real),
                    ("replayed", TraceMode::Replayed),
                ],
            ),
            warm_up_requests: file.warm_up_requests,
            workload_seed: file.workload_seed,
            workload_spec: file.workload_spec,
            context_growth: self.one_of(
                "session_context_growth",
                file.session_context_growth.as_ref(),
                &[("accumulate", ContextGrowth::Accumulate)],
            ),
            server: file.server.map(|server| RecordedServer {
                kind: server.kind,
                model: server.model,
                tensor_parallel: server.tensor_parallel,
                max_num_seqs: server.max_num_seqs,
                block_size: server.block_size,
                gpu_memory_utilization: server.gpu_memory_utilization,
                max_model_len: server.max_model_len,
            }),
            network_rtt_ms: file.network.map(|network| network.measured_rtt_ms),
            goodput_slo_targets: file
                .goodput_slo_targets
                .into_iter()
                .map(|(class, target)| {
                    let mut target_ms = |key: &str, given: Option<Spanned<f64>>| {
                        let Some(given) = given else { return 0.0 };
                        if !(given.value.is_finite() && given.value >= 0.0) {
                            let (key, value) = (format!("goodput_slo_targets.{class}.{key}"), given.value);
                            let message = format!("{key} is {value}; it must be a finite number, 0 or more");
                            self.report(&given, message);
                        }
                        given.value
                    };
                    let target = GoodputTarget {
                        ttft_ms: target_ms("ttft_ms", target.ttft_ms),
                        itl_ms: target_ms("itl_ms", target.itl_ms),
                        e2e_ms: target_ms("e2e_ms", target.e2e_ms),
                    };
                    (class, target)
                })
                .collect(),
            kv_offload,
            observed_kv_metrics: file.observed_kv_metrics.map(|observed| ObservedKvMetrics {
                source: observed.source,
                hit_rate: observed.hit_rate,
                block_hits: observed.block_hits,
                block_queries: observed.block_queries,
                read_time_total: observed.read_time_total,
                write_time_total: observed.write_time_total,
                vllm_commit: observed.vllm_commit,
            }),
        }
    }

    /// Tokens of a recorded block, an extension of the format.
    fn block_tokens(&mut self, file: &Header) -> Option<u32> {
        const MOST: i64 = 1 << 30;
        let given = file.prefix_block_tokens.as_ref()?;
        if !(1..MOST).contains(&given.value) {
            let value = given.value;
            self.report(given, format!("prefix_block_tokens is {value}; it must be from 1 to {}", MOST - 1));
            return None;
        }
        if file.session_context_growth.as_ref().is_some_and(|growth| !growth.value.is_empty()) {
            self.report(
                given,
                "prefix_block_tokens goes with whole prompts, but session_context_growth says that rows count increments",
            );
        }
        Some(given.value as u32)
    }

    /// One of some words; an absent or empty one is the default.
    fn one_of<T: Copy + Default>(
        &mut self,
        key: &str,
        given: Option<&Spanned<String>>,
        known: &[(&str, T)],
    ) -> T {
        let Some(given) = given.filter(|given| !given.value.is_empty()) else { return T::default() };
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == given.value) {
            return *value;
        }
        let problem = unknown_name(key, &given.value, known.iter().map(|(word, _)| *word));
        self.at(given, problem);
        T::default()
    }

    fn report<T>(&mut self, place: &Spanned<T>, message: impl Into<String> + Display) {
        self.at(place, Diagnostic::new(message));
    }

    fn at<T>(&mut self, place: &Spanned<T>, problem: Diagnostic) {
        let at = place.referenced;
        self.check.problem(problem.in_file(self.file_name).at(at.line() as u32, at.column() as u32));
    }
}
