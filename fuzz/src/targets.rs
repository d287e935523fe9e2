//! The readers. Each says whether it accepted its input.

use blis_config::calibration_files;
use blis_config::convert::{ServegenOptions, servegen};
use blis_config::traffic_file;
use blis_config::workload_file::{self, Overrides};
use blis_convert::{Failure, InOrder, MooncakeOptions, mooncake};
use blis_live::observe::{metrics, sse};
use blis_workload::trace::{OptionalColumns, TraceRow};
use blis_workload::{Client, RequestEnd, RequestSource, Trace, TraceHeader, Traffic, Window, Workload};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// A reader.
pub(crate) struct Target {
    /// Its name, and that of its corpus.
    pub(crate) name: &'static str,
    pub(crate) read: fn(&[u8]) -> bool,
}

pub(crate) const ALL: [Target; 10] = [
    Target { name: "workload", read: workload },
    Target { name: "trace-header", read: trace_header },
    Target { name: "trace-rows", read: trace_rows },
    Target { name: "mooncake", read: mooncake_lines },
    Target { name: "servegen-trace", read: servegen_trace },
    Target { name: "servegen-dataset", read: servegen_dataset },
    Target { name: "sse", read: sse },
    Target { name: "metrics-page", read: metrics_page },
    Target { name: "chunk-times", read: chunk_times },
    Target { name: "results", read: results },
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
        && workload.clients.iter().all(|client| gaps_before_the_last_window(client) < 1e6)
}

/// A client's gaps run on while it is not active: so many are drawn before its last window begins.
fn gaps_before_the_last_window(client: &Client) -> f64 {
    let starts = |windows: &mut dyn Iterator<Item = (f64, Window)>| {
        windows.map(|(per_us, window)| per_us * window.start.as_us() as f64).sum::<f64>()
    };
    match &client.traffic {
        Traffic::Rate { per_us, .. } | Traffic::Stage { per_us } => {
            starts(&mut client.active.iter().map(|&window| (*per_us, window)))
        }
        Traffic::Phases(phases) => starts(&mut phases.iter().map(|phase| (phase.per_us, phase.window))),
        Traffic::Concurrency { .. } | Traffic::Counted { .. } => 0.0,
    }
}

fn play(source: &mut dyn RequestSource) {
    let (mut open, mut tokens) = (Vec::new(), 0);
    for _ in 0..REQUESTS {
        let Some(request) = source.next_arrival() else { break };
        assert!((request.labels.0 as usize) < source.labels().len());
        // Lengths up to 100 million tokens may be asked for; drawing them takes its time.
        tokens += u64::from(request.input_tokens) + u64::from(request.output_tokens);
        if tokens > 50_000_000 {
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
    if is_short(&trace) {
        play(&mut *Arc::new(trace).stream(42));
    }
    true
}

/// Replaying draws every token of the trace first.
fn is_short(trace: &Trace) -> bool {
    let tokens = |row: &TraceRow| {
        [row.input_tokens, row.output_tokens, row.prefix_tokens, row.server_input_tokens].map(u64::from).iter().sum::<u64>()
    };
    trace.rows().iter().map(tokens).sum::<u64>() < 50_000_000
}

/// What is converted is a trace that can be read and replayed.
fn mooncake_lines(input: &[u8]) -> bool {
    let columns = OptionalColumns { blocks: true, ..OptionalColumns::default() };
    let mut sink = InOrder::new(Vec::new(), columns).expect("writing to memory does not fail");
    match mooncake(input, MooncakeOptions { block_tokens: 512 }, &mut sink) {
        Ok(()) => {
            let (rows, _) = sink.finish().expect("writing to memory does not fail");
            let header =
                TraceHeader { trace_version: 3, prefix_block_tokens: Some(512), ..TraceHeader::default() };
            let trace = Trace::read(header, &rows[..]).expect("what was converted is a trace");
            if is_short(&trace) {
                play(&mut *Arc::new(trace).stream(42));
            }
            true
        }
        Err(Failure::Problems(problems)) => {
            assert!(!problems.told.is_empty(), "refused without a reason");
            false
        }
        Err(_) => false,
    }
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

/// The events of a stream do not depend on where it is cut.
fn sse(input: &[u8]) -> bool {
    let events = |cut: usize| {
        let (mut parser, mut found) = (sse::Events::default(), Vec::new());
        for piece in [&input[..cut], &input[cut..]] {
            if parser.push(piece, |data| found.push(data.to_vec())).is_err() {
                return None;
            }
        }
        parser.finish(|data| found.push(data.to_vec()));
        Some(found)
    };
    let whole = events(input.len());
    for cut in [1, input.len() / 2, input.len() - input.len().min(1)] {
        assert_eq!(events(cut.min(input.len())), whole, "cut at {cut}");
    }
    whole.is_some_and(|events| !events.is_empty())
}

fn metrics_page(input: &[u8]) -> bool {
    let families = metrics::families(&String::from_utf8_lossy(input));
    assert!(families.values().all(|value| !value.is_nan()));
    if let Ok(compared) = metrics::compare(&metrics::Families::new(), &families) {
        assert!((0.0..=1.0).contains(&compared.hit_rate));
    }
    !families.is_empty()
}

fn chunk_times(input: &[u8]) -> bool {
    match calibration_files::read_chunk_times((input, "i.csv")) {
        Ok(_) => true,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
    }
}

fn results(input: &[u8]) -> bool {
    match calibration_files::read_results((input, "r.json")) {
        Ok(_) => true,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            false
        }
    }
}
