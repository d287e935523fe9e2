//! The CPU side of the servers: where it is modelled, and with which figures.
//!
//! It is where a release of the engine or one of its figures is given, and for step-time models that leave it out.

use super::check::{Check, Source};
use super::engine::Release;
use crate::coefficients::{CoefficientSet, built_in};
use crate::diagnostic::Diagnostic;
use crate::options::{HostOptions, RunOptions};
use blis_engine::{HostConfig, RankBalancing};
use blis_kernel::Semantics;
use blis_latency::{HostTimes, MoeBackend};

/// Largest batch that may have a CUDA graph.
const MOST_CAPTURED: i64 = 1 << 16;
/// Most workers of a front end.
const MOST_WORKERS: i64 = 1 << 16;
/// Most tokens of a streamed chunk, and most rounds between two looks for requests.
const LONGEST_INTERVAL: i64 = 1 << 20;
/// Longest time of a single thing that the CPU does, µs.
const LONGEST_US: f64 = 3.6e9;

/// The CPU side.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) config: HostConfig,
    pub(super) times: HostTimes,
    /// Whether the user asked for it.
    pub(super) is_asked_for: bool,
    /// Most requests, and most tokens, of a step.
    pub(super) limits: (u32, u32),
    /// Which data-parallel rank gets a request.
    pub(super) balancing: RankBalancing,
    /// Which kernels run experts unless somebody says so.
    pub(super) moe_backend: MoeBackend,
    /// Its figures as settings, where the user did not ask for it: they are shown if step times leave the CPU out.
    pub(super) unasked: Check,
}

/// What is known of the CPU side. `engine`: the release that was asked for, `coefficients`: where values are that are not given.
pub(super) fn host(
    check: &mut Check,
    options: &RunOptions,
    coefficients: Option<&CoefficientSet>,
    engine: Option<Release>,
    semantics: Semantics,
    limits: (u32, u32),
) -> Host {
    let given = &options.host;
    let is_asked_for = engine.is_some() || *given != HostOptions::default();
    if is_asked_for && semantics == Semantics::REFERENCE {
        check.problem(Diagnostic::new(
            "--engine, --front-end-*, --host-*, --stream-interval, --recv-interval, --async-scheduling and \
             --cuda-graph-max do not go with --compat inference-sim, which knows no CPU",
        ));
    }
    let is_asked_for = is_asked_for || coefficients.is_some_and(CoefficientSet::has_host);
    let release = engine.unwrap_or(Release::LATEST);
    let mut unasked = Check::default();
    let shown = if is_asked_for { &mut *check } else { &mut unasked };
    let time = |check: &mut Check, name: &str, given: Option<f64>| {
        let key = name.replace('-', "_");
        let fitted = coefficients.and_then(|set| set.get(&key));
        let default = fitted.or_else(|| built_in(None, &key)).unwrap_or_default();
        let allowed = |value: f64| (0.0..=LONGEST_US).contains(&value);
        let value = check.real(name, given, default, allowed, "at least 0 and at most an hour, µs");
        if given.is_none() && fitted.is_some() {
            check.note(name, value, Source::Coefficients);
        }
        value
    };
    let of_release = release.launch_us_per_layer();
    let times = HostTimes {
        latency_us: time(shown, "host-latency-us", given.latency_us),
        us_per_step: time(shown, "host-step-us", given.us_per_step),
        us_per_request: time(shown, "host-step-us-per-request", given.us_per_request),
        us_per_prefill_token: time(shown, "host-step-us-per-prefill-token", given.us_per_prefill_token),
        us_per_eager_layer: time(
            shown,
            "host-launch-us-per-layer",
            given.us_per_eager_layer.or(Some(of_release).filter(|us| *us > 0.0)),
        ),
        overlaps: given.async_scheduling.unwrap_or(release.schedules_ahead()),
        capture_sizes: Vec::new(),
    };
    shown.note("async-scheduling", times.overlaps, Source::of(given.async_scheduling.is_some()));
    let mut capture_sizes = release.capture_sizes(limits.0, limits.1);
    if given.cuda_graph_max.is_some() {
        let most = shown.integer("cuda-graph-max", given.cuda_graph_max, 0, 0..=MOST_CAPTURED) as u32;
        capture_sizes = release.capture_sizes(most, most);
        capture_sizes.retain(|size| *size <= most);
    } else {
        shown.note("cuda-graph-max", capture_sizes.last().copied().unwrap_or_default(), Source::Default);
    }
    let interval = |check: &mut Check, name: &str, given: Option<i64>| {
        check.integer(name, given, 1, 1..=LONGEST_INTERVAL) as u32
    };
    let config = HostConfig {
        front_end_workers: shown.integer("front-end-workers", given.front_end_workers, 1, 1..=MOST_WORKERS)
            as u32,
        front_end_us: time(shown, "front-end-us", given.front_end_us),
        front_end_us_per_token: time(shown, "front-end-us-per-token", given.front_end_us_per_token),
        schedules_ahead: times.overlaps,
        recv_interval: interval(shown, "recv-interval", given.recv_interval),
        output_us_per_token: time(shown, "host-output-us-per-token", given.output_us_per_token),
        stream_interval: interval(shown, "stream-interval", given.stream_interval),
    };
    if engine.is_some() {
        let of_engine: Vec<&str> = [
            ("async-scheduling", given.async_scheduling.is_none()),
            ("cuda-graph-max", given.cuda_graph_max.is_none()),
            ("host-launch-us-per-layer", given.us_per_eager_layer.is_none() && of_release > 0.0),
        ]
        .into_iter()
        .filter_map(|(name, is_preset)| is_preset.then_some(name))
        .collect();
        super::engine::note(check, &of_engine);
    }
    Host {
        config,
        times: HostTimes { capture_sizes, ..times },
        is_asked_for,
        limits,
        balancing: release.balancing(),
        moe_backend: release.moe_backend(),
        unasked,
    }
}
