//! `blis loop`: a real server measured, the record replayed, and the two compared.

use super::observe::{MeasuredFiles, measure, plan};
use crate::flags::model::ModelFlags;
use crate::flags::server::{SentFlags, ServerFlags, replayed};
use crate::flags::{Findings, SharedFlags, Typed, text};
use crate::logger::Logger;
use crate::{Exit, printer, report_file};
use blis::report::html::{Origin, calibration_page};
use blis::resolve::{self, files::check_outputs, files::inputs};
use blis::{Diagnostic, Resolved, RunEnding, RunOptions, Surroundings, report};
use blis_calibrate::{Gate, Settings, calibrate};
use blis_config::calibration_files as reading;
use blis_config::slo_targets::SloFlags;
use blis_live::Hub;
use blis_policy::Registry;
use clap::Args;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct LoopArgs {
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// What the server calls the model [default: --model]
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    server_model: Option<String>,
    /// Most requests in flight; more wait, and are late [default: --concurrency, else 256]
    #[arg(long, value_name = "INT", help_heading = "Server")]
    max_in_flight: Option<Typed<i64>>,
    #[command(flatten)]
    sent: SentFlags,
    #[command(flatten)]
    shared: SharedFlags,
    /// What the names of the files begin with: PREFIX.yaml and PREFIX.csv (trace), PREFIX.itl.csv, PREFIX.results.json,
    /// PREFIX.metrics.json, PREFIX.report.json [required]
    #[arg(long, value_name = "PREFIX", help_heading = "Output")]
    out: Option<PathBuf>,
    /// Fail with exit code 1 when the mean relative error (MAPE) of any latency is larger than this fraction
    #[arg(long, value_name = "NUM", help_heading = "Output")]
    max_mape: Option<Typed<f64>>,
}

/// The files of a loop.
struct LoopFiles {
    measured: MeasuredFiles,
    results: PathBuf,
    metrics: PathBuf,
    report: PathBuf,
}

impl LoopFiles {
    fn of_prefix(prefix: &Path, keeps_times: bool) -> Self {
        let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", prefix.display()));
        Self {
            measured: MeasuredFiles {
                header: with(".yaml"),
                data: with(".csv"),
                pieces: keeps_times.then(|| with(".itl.csv")),
            },
            results: with(".results.json"),
            metrics: with(".metrics.json"),
            report: with(".report.json"),
        }
    }
}

/// Difference of the hit rates that is still fine, percentage points.
const HIT_RATE_TOLERANCE_PP: f64 = 5.0;
/// Mean error of the time to first token that is still fine.
const TTFT_MAPE_THRESHOLD: f64 = 0.15;

/// # Errors
/// Whatever is wrong with the settings or the files; an error that is larger than allowed.
pub(crate) fn run(
    args: LoopArgs,
    mut findings: Findings,
    words: &[OsString],
    policies: &Registry,
) -> Result<(), Exit> {
    let mut options = RunOptions::default();
    args.model.fill(&mut options, &mut findings);
    let output = args.shared.fill(&mut options, &mut findings);
    let logger = Logger { least: output.log };
    let max_mape = findings.value("--max-mape", args.max_mape);
    if let Some(most) = max_mape.filter(|most| !(most.is_finite() && *most >= 0.0)) {
        findings
            .add(Diagnostic::new(format!("--max-mape is {most}; it must be a finite number, at least 0")));
    }
    for (flag, path) in [
        ("--saturation-report", &output.files.saturation_report),
        ("--decision-trace", &output.files.decision_trace),
    ] {
        if path.is_some() {
            findings.add(
                Diagnostic::new(format!("{flag} has no place in a loop"))
                    .with_help("replay the trace of the loop with it"),
            );
        }
    }
    let sent = args.sent.read(&mut findings);
    let model = text(args.server_model).or_else(|| options.model.clone());
    let most = ("--max-in-flight", args.max_in_flight);
    let seed = options.seed.unwrap_or(42);
    let measuring = args.server.read(model, most, (sent.concurrency, seed), &mut findings);
    let (planned, measuring) = plan(&mut options, sent, measuring, &mut findings);
    let hub = Hub::from_environment();
    let surroundings = Surroundings { hub: Some(&hub), cache: hub.cache(), policies: Some(policies) };
    // What is wrong with the simulator is told before the server is bothered.
    if findings.is_empty()
        && let Err(problems) = resolve::resolve(&options, &surroundings)
    {
        findings.extend(problems);
    }
    let out = args.out.filter(|path| !path.as_os_str().is_empty());
    if out.is_none() {
        findings.add(Diagnostic::new("--out is missing: what the names of the files begin with"));
    }
    let files = out
        .zip(measuring.as_ref())
        .map(|(out, measuring)| LoopFiles::of_prefix(&out, measuring.settings.piece_times));
    if let Some(files) = &files {
        let mut outputs: Vec<_> =
            files.measured.outputs().into_iter().map(|(_, path)| ("--out", path)).collect();
        outputs.extend([&files.results, &files.metrics, &files.report].map(|path| ("--out", path.as_path())));
        outputs.extend(output.report.as_deref().map(|path| (report_file::FLAG, path)));
        findings.extend(check_outputs(&outputs, &inputs(&options)));
    }
    let (Some(planned), Some(measuring), Some(files)) = (planned, measuring, files) else {
        return findings.check();
    };
    findings.check()?;

    let measured = measure(planned, &measuring, &files.measured, logger)?;
    if measured.interrupted {
        logger.warning("the measurement was interrupted: what was recorded until then is compared");
    }
    if measured.recorded == 0 {
        return Err(Diagnostic::new("nothing was recorded that could be compared").into());
    }
    let resolved = replay(&mut options, &files, &surroundings)?;
    let page = output.report.as_deref().map(|path| {
        let origin = report_file::origin(words, &resolved.settings, &resolved.warnings);
        let origin = Origin { is_measured: true, ..origin };
        (path, origin)
    });
    compare(&files, &options.slo_targets, max_mape, page)
}

/// Replays the trace and writes what the simulator says. Returns what was simulated.
fn replay(
    options: &mut RunOptions,
    files: &LoopFiles,
    surroundings: &Surroundings<'_>,
) -> Result<Resolved, Exit> {
    options.traffic = replayed(files.measured.header.clone(), files.measured.data.clone());
    // The horizon ended the sending; the answers come after it.
    options.horizon = None;
    options.per_request = true;
    let resolved = resolve::resolve(options, surroundings).map_err(Exit::Problems)?;
    let outcome = blis::run(&resolved.plan);
    if let RunEnding::Deadlock(waiting) = &outcome.ending {
        return Err(Diagnostic::new(format!("the simulation is stuck: {waiting}")).into());
    }
    write(&files.results, &report::results_file(&outcome))?;
    write(&files.metrics, &report::metrics_file(&outcome))?;
    Ok(resolved)
}

/// Compares what was measured with what was simulated, from the files, as `blis calibrate` would.
fn compare(
    files: &LoopFiles,
    slo_targets: &SloFlags,
    max_mape: Option<f64>,
    page: Option<(&Path, Origin)>,
) -> Result<(), Exit> {
    let read = |path: &Path| {
        let name = path.display().to_string();
        let bytes =
            fs::read(path).map_err(|error| Diagnostic::new(format!("cannot read {name}: {error}")))?;
        Ok::<_, Exit>((bytes, name))
    };
    let (header, rows) = (read(&files.measured.header)?, read(&files.measured.data)?);
    let (trace, targets, _) =
        reading::read_trace((&header.0, &header.1), (&rows.0, &rows.1)).map_err(Exit::Problems)?;
    let results = read(&files.results)?;
    let results = reading::read_results((&results.0, &results.1)).map_err(Exit::Problems)?;
    let metrics = read(&files.metrics)?;
    let metrics = reading::read_run_figures((&metrics.0, &metrics.1)).map_err(Exit::Problems)?;
    let pieces = match &files.measured.pieces {
        None => Vec::new(),
        Some(path) => {
            let pieces = read(path)?;
            reading::read_chunk_times((&pieces.0, &pieces.1)).map_err(Exit::Problems)?
        }
    };
    let settings = Settings {
        targets: slo_targets.over(targets).map_err(Exit::Problems)?,
        sim_hit_rate: metrics.cache_hit_rate,
        hit_rate_tolerance_pp: HIT_RATE_TOLERANCE_PP,
        ttft_mape_threshold: TTFT_MAPE_THRESHOLD,
        ..Settings::default()
    };
    let calibration = calibrate(&trace, &results, &pieces, &settings)
        .map_err(|nothing| Diagnostic::new(nothing.to_string()))?;
    write(&files.report, &report::calibration_file(&calibration))?;
    if let Some((path, origin)) = page {
        report_file::write(path, &calibration_page("loop", &calibration, &origin))?;
    }
    printer::result(&report::calibration_table(&calibration))?;
    let excesses = Gate { max_mape, tolerances: false }.judge(&calibration);
    if excesses.is_empty() {
        return Ok(());
    }
    let told = excesses.iter().map(|excess| Diagnostic::new(format!("--max-mape: {excess}")));
    Err(Exit::Problems(told.collect()))
}

fn write(path: &Path, text: &str) -> Result<(), Exit> {
    fs::write(path, text)
        .map_err(|error| Diagnostic::new(format!("cannot write {}: {error}", path.display())).into())
}
