//! How the sessions of a trace are replayed.

use super::check::{Check, Source};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::TraceOptions;
use crate::think_time::parse_think_time;
use blis_cluster::Workload;
use blis_kernel::samplers::LengthSampler;
use blis_kernel::{Semantics, Tick};
use blis_workload::Trace;
use blis_workload::trace::ClosedLoop;
use std::sync::Arc;

const MODES: [&str; 2] = ["fixed", "closed-loop"];
/// Longest pause, ms: a century.
const MAX_THINK_TIME_MS: i64 = 100 * 365 * 86_400_000;

/// Which requests a replay has. Flags are checked even when the trace itself is wrong.
pub(super) fn replay(
    check: &mut Check,
    options: &TraceOptions,
    trace: Option<&Arc<Trace>>,
    seed: i64,
    horizon: Tick,
    semantics: Semantics,
) -> Option<Workload> {
    let mode = options.session_mode.as_deref().filter(|mode| !mode.is_empty());
    check.note("session-mode", mode.unwrap_or(MODES[0]), Source::of(mode.is_some()));
    if let Some(mode) = mode.filter(|mode| !MODES.contains(mode)) {
        check.problem(unknown_name("value of --session-mode", mode, MODES));
    }
    let think_time_us = think_time(check, options, mode);
    let trace = Arc::clone(trace?);
    if mode != Some(MODES[1]) {
        return Some(Workload::new(move || trace.stream(seed)));
    }
    if !trace.has_sessions() {
        check.warn("--session-mode closed-loop: no row of the trace belongs to a session, so all rows arrive at their recorded times");
    }
    let problems = trace.round_problems();
    check.problems.extend(problems.iter().map(|problem| Diagnostic::new(problem.to_string())));
    let settings = ClosedLoop { think_time_us, horizon, rounds_are_new: semantics.replayed_rounds_are_new };
    problems.is_empty().then(|| Workload::new(move || trace.closed_loop_stream(seed, &settings)))
}

fn think_time(check: &mut Check, options: &TraceOptions, mode: Option<&str>) -> Option<LengthSampler> {
    let ms = check.integer("think-time-ms", options.think_time_ms, 0, 0..=MAX_THINK_TIME_MS);
    let dist = options.think_time_dist.as_deref().filter(|dist| !dist.is_empty());
    let given = [(ms > 0).then_some("think-time-ms"), dist.map(|_| "think-time-dist")];
    for flag in given.into_iter().flatten().filter(|_| mode != Some(MODES[1])) {
        check.problem(Diagnostic::new(format!("--{flag} needs --session-mode closed-loop")));
    }
    if options.think_time_ms.is_some() && dist.is_some() {
        check.problem(Diagnostic::new("--think-time-ms and --think-time-dist exclude each other; give one"));
    }
    let Some(dist) = dist else {
        return (ms > 0).then_some(LengthSampler::Constant { value: ms * 1000 });
    };
    check.note("think-time-dist", dist, Source::Given);
    match parse_think_time(dist) {
        Ok(sampler) => Some(sampler),
        Err(problems) => {
            for problem in problems {
                check.problem(Diagnostic::new(format!("--think-time-dist {dist}: {problem}")));
            }
            None
        }
    }
}
