//! The traffic of a measured run, as a workload.

use crate::point::{Load, RecordedRequest, Stage, Stages};
use blis_cluster::Workload;
use blis_kernel::Tick;
use blis_kernel::rng::GoRand;
use blis_kernel::samplers::{EmpiricalLengths, LengthSampler};
use blis_workload::{Client, Labels, Trace, TraceHeader, Traffic};
use std::fmt::Write;
use std::sync::Arc;

/// The load generator of the open loops gave a request up after this long, µs.
const CLIENT_TIMEOUT_US: i64 = 300_000_000;
/// Pause between two stages. The generator waited for the last answer of a stage and a little longer; servers that are idle
/// for longer than that answer no differently.
const PAUSE_S: f64 = 120.0;

/// What a load arrives as, and when each of its stages ends.
pub(crate) struct Arriving {
    pub(crate) workload: Workload,
    /// Of each stage but the last.
    pub(crate) ends: Vec<Tick>,
}

/// The traffic of a load; `None` where there is none.
pub(crate) fn arriving(load: &Load, seed: i64) -> Option<Arriving> {
    match load {
        Load::Stages(stages) => {
            let (requests, ends) = drawn(stages, seed);
            Some(Arriving { workload: replayed(&requests, stages.output_tokens, seed), ends })
        }
        Load::Recorded { requests, output_tokens } => {
            Some(Arriving { workload: replayed(requests, *output_tokens, seed), ends: Vec::new() })
        }
        Load::ClosedLoop { users, requests, prompt_tokens, output_tokens } => {
            let uniform = |(least, most): (i64, i64)| {
                LengthSampler::Empirical(EmpiricalLengths::new((least..=most).map(|length| (length, 1.0))))
            };
            let traffic = Traffic::Concurrency { users: *users, think_time: Tick::ZERO };
            let labels = Labels { client: "users".to_owned(), ..Labels::default() };
            let client = Client::new(labels, traffic, uniform(*prompt_tokens), uniform(*output_tokens));
            let workload = blis_workload::Workload {
                seed,
                clients: vec![client],
                horizon: Tick::MAX,
                max_requests: Some(*requests),
                bounds_follow_ups: true,
            };
            Some(Arriving { workload: Workload::new(move || workload.stream()), ends: Vec::new() })
        }
        Load::Trace { trace, ends } => {
            let trace = Arc::clone(trace);
            Some(Arriving { workload: Workload::new(move || trace.stream(seed)), ends: ends.clone() })
        }
        Load::Steps(_) => None,
    }
}

/// Exponential gaps, scaled so that a stage holds as many requests as it should; the prompts in one random order, again and
/// again.
fn drawn(stages: &Stages, seed: i64) -> (Vec<RecordedRequest>, Vec<Tick>) {
    let mut rng = GoRand::new(seed);
    let prompts = rng.perm(stages.prompts.max(1) as usize);
    let (mut requests, mut ends) = (Vec::new(), Vec::new());
    let mut start_s = 0.0;
    for &Stage { requests: count, duration_s } in &stages.stages {
        let gaps: Vec<f64> = (0..count).map(|_| rng.exp_float64()).collect();
        let scale = duration_s / gaps.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut at_s = start_s;
        for gap in gaps {
            at_s += gap * scale;
            requests.push(RecordedRequest {
                arrival_us: (at_s * 1e6) as i64,
                prompt: prompts[requests.len() % prompts.len()] as i64,
                prompt_tokens: stages.prompt_tokens.max(1),
            });
        }
        start_s += duration_s + PAUSE_S;
        ends.push(Tick::trunc((start_s - PAUSE_S / 2.0) * 1e6));
    }
    ends.pop();
    (requests, ends)
}

/// Equal prompts are prefix groups: all tokens but the last can be reused.
fn replayed(requests: &[RecordedRequest], output_tokens: u32, seed: i64) -> Workload {
    let mut csv = String::from(
        "request_id,prefix_group,prefix_length,input_tokens,output_tokens,deadline_us,arrival_time_us\n",
    );
    for (id, request) in requests.iter().enumerate() {
        let &RecordedRequest { arrival_us, prompt, prompt_tokens } = request;
        let (prefix, deadline) = (prompt_tokens - 1, arrival_us + CLIENT_TIMEOUT_US);
        writeln!(csv, "{id},prompt_{prompt},{prefix},1,{output_tokens},{deadline},{arrival_us}")
            .expect("a text takes everything");
    }
    let trace = Trace::read(TraceHeader::default(), csv.as_bytes());
    let trace = Arc::new(trace.unwrap_or_else(|problem| panic!("our own rows: {problem}")));
    Workload::new(move || trace.stream(seed))
}
