//! What a real server is asked, from the same settings as a run.

use super::check::{Check, Setting};
use super::{analysis, catalogue, horizon, lengths, new_header, saturation, workload};
use crate::diagnostic::Diagnostic;
use crate::options::{Horizon, RunOptions, Traffic, WorkloadOptions};
use blis_kernel::Tick;
use blis_metrics::{SloTargets, saturation::Settings};
use blis_workload::Workload;
use blis_workload::trace::{TimeUnit, TraceHeader, TraceMode};

/// What is sent, and by what the answers are judged.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The requests.
    pub workload: Workload,
    /// How many there will be, where that is known.
    pub requests: Option<u64>,
    /// What the trace says about the workload.
    pub header: TraceHeader,
    /// Goodput targets.
    pub slo_targets: SloTargets,
    /// Whether and how saturation is detected.
    pub saturation: Option<Settings>,
    /// What the user should know.
    pub warnings: Vec<Diagnostic>,
    /// Every setting with its value and where that comes from, sorted by name.
    pub settings: Vec<Setting>,
}

/// Checks the traffic of `options`, and what it is judged by; the rest of them does not matter.
///
/// # Errors
/// Everything that is wrong.
pub fn observation(options: &RunOptions) -> Result<Observation, Vec<Diagnostic>> {
    let mut check = Check::default();
    let (catalogue, _) = catalogue(&mut check, options.defaults_filepath.as_deref());
    // As far as flags are concerned, 0 is no bound.
    let options = RunOptions {
        horizon: options.horizon.filter(|horizon| *horizon != Horizon::Us(0)),
        ..options.clone()
    };
    let Traffic::Synthesised(wanted) = &options.traffic else {
        return Err(vec![Diagnostic::new("a trace cannot be sent: what is sent has to be a workload")]);
    };
    one_kind_of_traffic(&mut check, wanted);
    let end = horizon(&mut check, &options);
    let saturation = saturation::settings(&mut check, &options);
    let mut header = TraceHeader { time_unit: TimeUnit::Us, ..new_header(TraceMode::Real) };
    let (workload, targets) = if let Some(path) = &wanted.spec {
        header.workload_spec = Some(path.display().to_string());
        let given = options.horizon.map(|_| end);
        let wanted =
            WorkloadOptions { num_requests: wanted.num_requests.filter(|&n| n != 0), ..wanted.clone() };
        let file = workload::from_file(&mut check, &wanted, path, options.seed, given);
        file.map(|file| (file.workload, file.slo_targets)).unzip()
    } else {
        header.workload_spec = wanted.workload.as_ref().map(|name| format!("preset:{name}"));
        let preset = |name: &str| catalogue.preset(name).map(|preset| lengths(&preset));
        let wanted = WorkloadOptions { num_requests: wanted.num_requests.or(Some(0)), ..wanted.clone() };
        let seed = options.seed.unwrap_or(super::DEFAULT_SEED);
        let mut workload = workload::synthesised(&mut check, &wanted, preset, seed, end).workload();
        // Times to the first token are what most people measure for.
        workload.clients.iter_mut().for_each(|client| client.labels.streaming = true);
        (Some(workload), None)
    };
    let slo_targets = analysis::slo_targets(&mut check, &options, targets.unwrap_or_default());
    let Some(workload) = workload.filter(|_| check.problems.is_empty()) else {
        return Err(check.problems);
    };
    let silent = workload.clients.iter().filter(|client| !client.labels.streaming).count();
    if silent > 0 {
        let all = workload.clients.len();
        check.warn(format!(
            "{silent} of {all} clients do not stream: their first token counts as come when their answer begins"
        ));
    }
    header.workload_seed = Some(workload.seed);
    let waits = workload.clients.iter().any(|c| c.conversation.is_some_and(|c| c.closed_loop));
    let is_bounded = workload.max_requests.is_some()
        || workload.horizon < Tick::MAX
        || workload.clients.iter().all(blis_workload::Client::is_bounded);
    if !is_bounded {
        return Err(vec![never_ends()]);
    }
    Ok(Observation {
        requests: workload.max_requests.filter(|_| !waits),
        header: TraceHeader { goodput_slo_targets: super::trace::header_targets(&slo_targets), ..header },
        workload,
        slo_targets,
        saturation,
        warnings: check.warnings,
        settings: check.settings.into_values().collect(),
    })
}

fn never_ends() -> Diagnostic {
    Diagnostic::new("the workload never ends: neither --num-requests nor --horizon bounds it")
}

/// Traffic is described in one way.
fn one_kind_of_traffic(check: &mut Check, wanted: &WorkloadOptions) {
    let has_users = wanted.concurrency.is_some_and(|users| users != 0);
    if wanted.spec.is_none() && wanted.workload.is_none() && wanted.rate.is_none() && !has_users {
        check.problem(
            Diagnostic::new("nothing says what to send")
                .with_help("give one of --workload-spec, --workload, --rate and --concurrency"),
        );
        return;
    }
    if wanted.workload.is_some() {
        if wanted.spec.is_some() {
            check.problem(Diagnostic::new(
                "--workload and --workload-spec are both given; give one of the two",
            ));
        } else if has_users {
            check
                .problem(Diagnostic::new("--workload and --concurrency are both given; give one of the two"));
        } else if wanted.rate.is_none() {
            check.problem(Diagnostic::new("--workload needs --rate"));
        }
    }
}
