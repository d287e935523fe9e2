//! `blis observe`: a workload against a real server.

use crate::flags::analysis::{AnalysisFiles, AnalysisFlags};
use crate::flags::output::one_of;
use crate::flags::server::{Measuring, SentFlags, ServerFlags};
use crate::flags::{Findings, Micros, Typed, text};
use crate::logger::{Level, Logger};
use crate::progress::Sending;
use crate::report_file::{self, ReportFlag};
use crate::{Exit, printer};
use blis::metrics::Latency;
use blis::report::html::{KeyFigure, Kind, Origin, RunReport, duration_ms, run_page};
use blis::resolve::files::{check_outputs, inputs};
use blis::{Diagnostic, Outcome, RunOptions, Setting, Source, report};
use blis_calibrate::ChunkTime;
use blis_config::calibration_files::chunk_times_file;
use blis_config::options::{Horizon, Traffic, WorkloadOptions};
use blis_config::resolve::observation::{Observation, observation};
use blis_config::trace_header::trace_header_file;
use blis_live::observe::timeline::timeline;
use blis_live::observe::{self as live, outcome, summary, trace};
use blis_workload::trace::TraceHeader;
use clap::Args;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct ObserveArgs {
    /// Model to ask for, as the server calls it [required]
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    model: Option<String>,
    #[command(flatten)]
    server: ServerFlags,
    /// Most requests in flight; more wait, and are late [default: --concurrency, else 256]
    #[arg(long, value_name = "INT", help_heading = "Server")]
    max_concurrency: Option<Typed<i64>>,
    #[command(flatten)]
    sent: SentFlags,
    /// Seed of every random stream [default: 42, or the file's]
    #[arg(long, value_name = "INT", help_heading = "Workload")]
    seed: Option<Typed<i64>>,
    /// When the last request may be sent, µs or a duration; 0 = no end [default: 0, or the file's]
    #[arg(long, value_name = "TIME", help_heading = "Workload")]
    horizon: Option<Typed<Micros>>,
    /// YAML file with presets [default: ./defaults.yaml when there is one, else built in]
    #[arg(long, value_name = "FILE", help_heading = "Workload")]
    defaults_filepath: Option<PathBuf>,
    #[command(flatten)]
    analysis: AnalysisFlags,
    #[command(flatten)]
    files: ObserveFiles,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
struct ObserveFiles {
    /// YAML header of the trace [required]
    #[arg(long, value_name = "FILE")]
    trace_header: Option<PathBuf>,
    /// CSV rows of the trace [required]
    #[arg(long, value_name = "FILE")]
    trace_data: Option<PathBuf>,
    /// Times of the pieces of answers, CSV; needs --record-itl [default: --trace-data with .itl.csv]
    #[arg(long, value_name = "FILE")]
    itl_output: Option<PathBuf>,
    /// Least serious message to show on standard error: trace, debug, info, warn, error, fatal or panic
    /// [default: warn]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    #[command(flatten)]
    report: ReportFlag,
}

/// The files of a measurement.
pub(super) struct MeasuredFiles {
    pub(super) header: PathBuf,
    pub(super) data: PathBuf,
    /// Times of pieces, where they are kept.
    pub(super) pieces: Option<PathBuf>,
}

impl MeasuredFiles {
    /// Each with the flag that names it.
    pub(super) fn outputs(&self) -> Vec<(&'static str, &Path)> {
        let pieces = self.pieces.as_deref().map(|path| ("--itl-output", path));
        [("--trace-header", self.header.as_path()), ("--trace-data", &self.data)]
            .into_iter()
            .chain(pieces)
            .collect()
    }
}

/// `t.csv` → `t.itl.csv`.
fn beside(data: &Path) -> PathBuf {
    let name = data.to_string_lossy();
    PathBuf::from(format!("{}.itl.csv", name.strip_suffix(".csv").unwrap_or(&name)))
}

/// # Errors
/// Whatever is wrong with the settings or the files. Nothing that the server does is an error.
pub(crate) fn run(args: ObserveArgs, mut findings: Findings, words: &[OsString]) -> Result<(), Exit> {
    let mut options = RunOptions {
        seed: findings.value("--seed", args.seed),
        horizon: findings.micros("--horizon", args.horizon).map(Horizon::Us),
        defaults_filepath: args.defaults_filepath,
        ..RunOptions::default()
    };
    let log = text(args.files.log).map(|level| level.to_lowercase());
    let logger = Logger { least: one_of("value of --log", log, &Level::NAMES, &mut findings) };
    let analysis = args.analysis.fill(&mut options, &mut findings);
    let sent = args.sent.read(&mut findings);
    let most = ("--max-concurrency", args.max_concurrency);
    let seed = options.seed.unwrap_or(DEFAULT_SEED);
    let measuring = args.server.read(text(args.model), most, (sent.concurrency, seed), &mut findings);
    let (planned, measuring) = plan(&mut options, sent, measuring, &mut findings);
    let report = args.files.report.path();
    let files = files(args.files.trace_header, args.files.trace_data, &mut findings).map(|(header, data)| {
        let keeps_times = measuring.as_ref().is_some_and(|measuring| measuring.settings.piece_times);
        let given = args.files.itl_output.filter(|path| !path.as_os_str().is_empty());
        if given.is_some() && !keeps_times {
            logger.warning("--itl-output is unused without --record-itl");
        }
        let pieces = keeps_times.then(|| given.unwrap_or_else(|| beside(&data)));
        MeasuredFiles { header, data, pieces }
    });
    if let Some(files) = &files {
        let mut outputs = files.outputs();
        outputs.extend(analysis.saturation_report.as_deref().map(|path| ("--saturation-report", path)));
        outputs.extend(report.as_deref().map(|path| (report_file::FLAG, path)));
        findings.extend(check_outputs(&outputs, &inputs(&options)));
    }
    let (Some(planned), Some(measuring), Some(files)) = (planned, measuring, files) else {
        return findings.check();
    };
    findings.check()?;
    let mut settings = planned.settings.clone();
    let mut warnings = planned.warnings.clone();
    let measured = measure(planned, &measuring, &files, logger)?;
    write_report(&measured, &analysis)?;
    if let Some(path) = report {
        let (name, value) = ("model".to_owned(), measuring.settings.model.clone());
        settings.insert(0, Setting { name, value, source: Source::Given });
        warnings.extend(measured.observation.warnings.iter().map(Diagnostic::new));
        let origin = Origin { is_measured: true, ..report_file::origin(words, &settings, &warnings) };
        report_file::write(&path, &page(&measured, &origin))?;
    }
    Ok(printer::result(&measured.shown)?)
}

const DEFAULT_SEED: i64 = 42;

/// The page of what was measured.
fn page(measured: &Measured, origin: &Origin) -> String {
    let Measured { observation, outcome, .. } = measured;
    let late = |percentile: f64| duration_ms(observation.lateness_at(percentile).as_secs_f64() * 1e3);
    let note = format!("half within {}", late(50.0));
    run_page(&RunReport {
        command: "observe",
        kind: Kind::Measured,
        outcome,
        timeline: Some(&timeline(observation)),
        fitness: None,
        intervals: None,
        more: &[KeyFigure::new("Sent late, p99", late(99.0), note)],
        failures: &observation.failures(),
        origin,
    })
}

/// What is sent, from the same options as a run.
pub(super) fn plan(
    options: &mut RunOptions,
    sent: WorkloadOptions,
    measuring: Option<Measuring>,
    findings: &mut Findings,
) -> (Option<Observation>, Option<Measuring>) {
    let timeout_s = measuring.as_ref().and_then(|measuring| measuring.timeout_s);
    options.traffic = Traffic::Synthesised(WorkloadOptions { timeout_s, ..sent });
    let planned = observation(options).map_err(|problems| findings.extend(problems)).ok();
    (planned, measuring)
}

/// The files of the trace, both of which are needed.
fn files(
    header: Option<PathBuf>,
    data: Option<PathBuf>,
    findings: &mut Findings,
) -> Option<(PathBuf, PathBuf)> {
    let mut given = |flag: &str, path: Option<PathBuf>| {
        let path = path.filter(|path| !path.as_os_str().is_empty());
        if path.is_none() {
            findings.add(Diagnostic::new(format!("{flag} is missing")));
        }
        path
    };
    let (header, data) = (given("--trace-header", header), given("--trace-data", data));
    header.zip(data)
}

/// What was measured.
pub(super) struct Measured {
    observation: live::Observation,
    outcome: Outcome,
    /// What there is to show.
    shown: String,
    /// Requests that were recorded.
    pub(super) recorded: usize,
    pub(super) interrupted: bool,
}

/// Sends everything and writes what came back.
pub(super) fn measure(
    planned: Observation,
    measuring: &Measuring,
    files: &MeasuredFiles,
    logger: Logger,
) -> Result<Measured, Exit> {
    for warning in &planned.warnings {
        logger.warning(warning);
    }
    let mut source = planned.workload.stream();
    let mut progress = Sending::new(planned.requests);
    let measured = live::observe(&mut *source, &measuring.settings, &mut |at| progress.show(at));
    progress.clear();
    let measured =
        measured.map_err(|error| Diagnostic::new(format!("cannot start reading answers: {error}")))?;
    for warning in &measured.warnings {
        logger.warning(warning);
    }
    if measured.requests.is_empty() {
        logger.warning("no request was recorded; the trace is empty");
    }
    let header = TraceHeader {
        created_at: Some(measured.clock.started()),
        observed_kv_metrics: trace::kv_metrics(&measured, &measuring.vllm_commit),
        ..measuring.header(planned.header)
    };
    fs::write(&files.header, trace_header_file(&header))
        .map_err(|e| unwritable("--trace-header", &files.header, &e))?;
    File::create(&files.data)
        .and_then(|file| trace::write(&measured, &*source, BufWriter::new(file)).map(drop))
        .map_err(|error| unwritable("--trace-data", &files.data, &error))?;
    if let Some(path) = &files.pieces {
        let times = trace::piece_times(&measured);
        let times = times.map(|(request_id, index, at_us)| ChunkTime { request_id, index, at_us });
        fs::write(path, chunk_times_file(times)).map_err(|error| unwritable("--itl-output", path, &error))?;
    }
    let mut targets = planned.slo_targets;
    if !measuring.settings.piece_times && targets.values().any(|class| class.contains_key(&Latency::Itl)) {
        logger.warning("targets of the time between tokens are not judged without --record-itl");
        for class in targets.values_mut() {
            class.retain(|latency, _| *latency != Latency::Itl);
        }
        targets.retain(|_, class| !class.is_empty());
    }
    let outcome = outcome::outcome(&measured, &*source, targets, planned.saturation);
    Ok(Measured {
        shown: report::standard_output(&outcome, None, None) + &summary::summary(&measured),
        outcome,
        recorded: measured.requests.len(),
        interrupted: measured.interrupted,
        observation: measured,
    })
}

fn unwritable(flag: &str, path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(format!("{flag}: cannot write {}: {error}", path.display()))
}

fn write_report(measured: &Measured, files: &AnalysisFiles) -> Result<(), Exit> {
    let Some(path) = &files.saturation_report else { return Ok(()) };
    fs::write(path, report::saturation_report(&measured.outcome))
        .map_err(|error| unwritable("--saturation-report", path, &error).into())
}
