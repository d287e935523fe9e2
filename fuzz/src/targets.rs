//! The readers. Each says whether it accepted its input.

use blis_config::convert::{ServegenOptions, servegen};
use blis_config::traffic_file;
use blis_config::workload_file::{self, Overrides};
use blis_workload::trace::TraceRow;
use blis_workload::{RequestEnd, RequestSource, Trace, TraceHeader, Traffic, Workload};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// A reader.
pub(crate) struct Target {
    /// Its name, and that of its corpus.
    pub(crate) name: &'static str,
    pub(crate) read: fn(&[u8]) -> bool,
}

pub(crate) const ALL: [Target; 5] = [
    Target { name: "workload", read: workload },
    Target { name: "trace-header", read: trace_header },
    Target { name: "trace-rows", read: trace_rows },
    Target { name: "servegen-trace", read: servegen_trace },
    Target { name: "servegen-dataset", read: servegen_dataset },
];

/// Requests that are taken from whatever is accepted.
const REQUESTS: usize = 50;
/// Clients and users beyond which only reading is tried.
const MANY: u64 = 2_000;

const ROWS: &[u8] = include_bytes!("../corpus/trace-rows/sessions.csv");
const SERVEGEN_TRACE: &[u8] = include_bytes!("../corpus/servegen-trace/gamma.csv");
const SERVEGEN_DATASET: &[u8] = include_bytes!("../corpus/servegen-dataset/language.json");

fn workload(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    // Reading ServeGen data from any folder is not what is tried here.
    if text.contains("servegen_data") {
        return false;
    }
    match workload_file::read(text, "w.yaml", Overrides::default()) {
        Ok(file) => {
            if is_small(&file.workload) {
                play(&mut *file.workload.stream());
            }
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
    }
}

/// Conversations and pools are looked through before the first request, so a large one takes its time by design.
fn is_small(workload: &Workload) -> bool {
    let users: u64 = workload
        .clients
        .iter()
        .map(|client| match &client.traffic {
            Traffic::Concurrency { users, .. } => u64::from(*users),
            Traffic::Counted { requests, .. } => *requests,
            _ => 1,
        })
        .sum();
    let tokens: u64 =
        workload.clients.iter().map(|c| c.prefix.as_ref().map_or(0, |p| u64::from(p.tokens))).sum();
    let looks_ahead = workload.clients.iter().any(|c| c.conversation.is_some())
        || workload.clients.iter().any(|c| matches!(c.traffic, Traffic::Concurrency { .. }));
    let rounds: u64 = workload
        .clients
        .iter()
        .filter_map(|client| client.conversation)
        .map(|conversation| u64::from(conversation.max_rounds))
        .sum();
    users < MANY
        && rounds < MANY
        && tokens < 10_000_000
        && (!looks_ahead || workload.max_requests.is_some_and(|max| max < MANY))
        && workload.clients.iter().all(|client| client.active.len() < 100)
}

fn play(source: &mut dyn RequestSource) {
    let mut open = Vec::new();
    for _ in 0..REQUESTS {
        let Some(request) = source.next_arrival() else { break };
        assert!((request.labels.0 as usize) < source.labels().len());
        // Lengths up to 4 billion tokens may be asked for; drawing them takes its time.
        if u64::from(request.input_tokens) + u64::from(request.output_tokens) > 50_000_000 {
            return;
        }
        open.extend(request.session.map(|session| (request.arrival, session, request.output_tokens)));
    }
    open.sort_by_key(|&(arrival, ..)| arrival);
    for (arrival, session, output_tokens) in open {
        if source.is_reactive() {
            source.on_end(session, arrival, RequestEnd::Completed { output_tokens });
        }
    }
}

fn trace_header(input: &[u8]) -> bool {
    match traffic_file::read((input, "t.yaml"), Some((ROWS, "t.csv")), None) {
        Ok(mut file) => {
            play(&mut *file.source);
            true
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
    }
}

fn trace_rows(input: &[u8]) -> bool {
    let header = TraceHeader { trace_version: 3, ..TraceHeader::default() };
    let trace = match Trace::read(header, input) {
        Ok(trace) => trace,
        Err(problems) => {
            assert!(!problems.problems.is_empty(), "refused without a reason");
            return false;
        }
    };
    trace.auto_horizon();
    let tokens = |row: &TraceRow| {
        [row.input_tokens, row.output_tokens, row.prefix_tokens, row.server_input_tokens].map(u64::from).iter().sum::<u64>()
    };
    // Replaying draws every token of the trace first.
    if trace.rows().iter().map(tokens).sum::<u64>() < 50_000_000 {
        play(&mut *Arc::new(trace).stream(42));
    }
    true
}

fn servegen_trace(input: &[u8]) -> bool {
    servegen_folder(input, SERVEGEN_DATASET)
}

fn servegen_dataset(input: &[u8]) -> bool {
    servegen_folder(SERVEGEN_TRACE, input)
}

fn servegen_folder(trace: &[u8], dataset: &[u8]) -> bool {
    let path: PathBuf = std::env::temp_dir().join(format!("blis-fuzz-{}", std::process::id()));
    fs::create_dir_all(&path).expect("the folder for temporary files is writable");
    fs::write(path.join("chunk-0-trace.csv"), trace).expect("writable");
    fs::write(path.join("chunk-0-dataset.json"), dataset).expect("writable");
    let options = ServegenOptions { path: Some(path), window_duration_s: None, drain_timeout_s: None, time: None };
    match servegen(&options) {
        Ok(converted) => workload(converted.yaml.as_bytes()),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
    }
}
