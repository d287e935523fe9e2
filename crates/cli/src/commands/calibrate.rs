//! `blis calibrate`: simulated against measured requests.

use crate::flags::output::one_of;
use crate::flags::{Findings, Typed, text};
use crate::logger::{Level, Logger};
use crate::{Exit, printer, report_file};
use blis::report::html::{Origin, adapter_comparison_page, calibration_page};
use blis::{Diagnostic, report};
use blis_calibrate::{Excess, Gate, Settings, calibrate, compare_adapters};
use blis_config::calibration_files as files;
use blis_config::resolve::files::check_outputs;
use blis_config::slo_targets::SloFlags;
use clap::Args;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const DEFAULT_HIT_RATE_TOLERANCE_PP: f64 = 5.0;
const DEFAULT_TTFT_MAPE_THRESHOLD: f64 = 0.15;
const DEFAULT_ADAPTER_MAPE_THRESHOLD: f64 = 0.20;

#[derive(Args, Debug)]
pub(crate) struct CalibrateArgs {
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    simulated: Simulated,
    #[command(flatten)]
    judging: Judging,
    /// File for the report: JSON, or a page for a browser when its name ends in .html; given twice, both [required]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Vec<PathBuf>,
    /// Least serious message to show on standard error: trace, debug, info, warn, error, fatal or panic
    /// [default: warn]
    #[arg(long, value_name = "LEVEL", help_heading = "Output")]
    log: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Measured")]
struct Measured {
    /// YAML header of the trace of the server [required]
    #[arg(long, value_name = "FILE")]
    trace_header: Option<PathBuf>,
    /// CSV rows of the trace of the server [required]
    #[arg(long, value_name = "FILE")]
    trace_data: Option<PathBuf>,
    /// Times of the pieces of answers, as `blis observe --record-itl` writes them; without them the times between
    /// tokens are not compared
    #[arg(long, value_name = "FILE")]
    itl_data: Option<PathBuf>,
    /// Leading requests to leave out; -1 = as many as the header says [default: -1]
    #[arg(long, value_name = "INT")]
    warmup_requests: Option<Typed<i64>>,
    /// Round trip between client and server, us; -1 = what the header says [default: -1]
    #[arg(long, value_name = "INT")]
    network_rtt_us: Option<Typed<i64>>,
    /// Bandwidth between client and server, Mbit/s; 0 = transfers take no time [default: 0]
    #[arg(long, value_name = "NUM")]
    network_bandwidth_mbps: Option<Typed<f64>>,
    /// Figures of another model of LoRA serving, JSON: only these are compared, with --sim-metrics
    #[arg(long, value_name = "FILE")]
    adapter_reference: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Simulated")]
struct Simulated {
    /// Results of the trace's replay, as `blis replay --results-path` writes them [required]
    #[arg(long, value_name = "FILE")]
    sim_results: Option<PathBuf>,
    /// Aggregate figures of the replay, as --metrics-path writes them; needed for the hit rate
    #[arg(long, value_name = "FILE")]
    sim_metrics: Option<PathBuf>,
    /// The same of a run without adapters, for --adapter-reference
    #[arg(long, value_name = "FILE")]
    sim_metrics_blind: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Judging")]
struct Judging {
    /// Target of the time to first token by SLO class: class=duration,… [default: what the header says]
    #[arg(long, value_name = "LIST")]
    slo_ttft: Option<String>,
    /// Target of the mean time between tokens by SLO class [default: what the header says]
    #[arg(long, value_name = "LIST")]
    slo_itl: Option<String>,
    /// Target of the end-to-end latency by SLO class [default: what the header says]
    #[arg(long, value_name = "LIST")]
    slo_e2e: Option<String>,
    /// Difference of the hit rates that is still fine, percentage points [default: 5]
    #[arg(long, value_name = "NUM")]
    hit_rate_tolerance_pp: Option<Typed<f64>>,
    /// Mean error of the time to first token that is still fine, a fraction [default: 0.15]
    #[arg(long, value_name = "NUM")]
    ttft_mape_threshold: Option<Typed<f64>>,
    /// Error that is still fine with --adapter-reference, a fraction [default: 0.2]
    #[arg(long, value_name = "NUM")]
    adapter_mape_threshold: Option<Typed<f64>>,
    /// Fail with exit code 1 when the mean relative error (MAPE) of any latency is larger than this fraction
    #[arg(long, value_name = "NUM")]
    max_mape: Option<Typed<f64>>,
    /// Fail with exit code 3 when a tolerance is exceeded, instead of a warning
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fail_on_exceed: Option<Typed<bool>>,
}

/// A file's contents and its name.
type File = (Vec<u8>, String);

fn contents(file: &File) -> files::Contents<'_> {
    (&file.0, &file.1)
}

/// The contents of a file that a flag names; a failure is noted. `None` too when the flag is not given.
fn open(flag: &str, path: Option<&Path>, findings: &mut Findings) -> Option<File> {
    let path = path.filter(|path| !path.as_os_str().is_empty())?;
    match std::fs::read(path) {
        Ok(bytes) => Some((bytes, path.display().to_string())),
        Err(error) => {
            findings.add(Diagnostic::new(format!("{flag}: cannot read {}: {error}", path.display())));
            None
        }
    }
}

/// What was read; problems are noted.
fn parsed<T>(result: Result<T, Vec<Diagnostic>>, findings: &mut Findings) -> Option<T> {
    result.map_err(|problems| findings.extend(problems)).ok()
}

/// A number in its range; any other is noted.
fn number(
    flag: &str,
    given: Option<Typed<f64>>,
    allowed: (&str, fn(f64) -> bool),
    findings: &mut Findings,
) -> Option<f64> {
    let value = findings.value(flag, given)?;
    if value.is_finite() && allowed.1(value) {
        return Some(value);
    }
    findings.add(Diagnostic::new(format!("{flag} is {value}; it must be {}", allowed.0)));
    None
}

const AT_LEAST_ZERO: (&str, fn(f64) -> bool) = ("a finite number, at least 0", |value| value >= 0.0);
const ABOVE_ZERO: (&str, fn(f64) -> bool) = ("a finite number above 0", |value| value > 0.0);

/// A count, or -1 for what the header says; any other negative number is noted.
fn or_header(flag: &str, given: Option<Typed<i64>>, findings: &mut Findings) -> Option<u64> {
    let value = findings.value(flag, given)?;
    if value < -1 {
        findings.add(Diagnostic::new(format!(
            "{flag} is {value}; it must be at least 0, or -1 for what the header says"
        )));
    }
    u64::try_from(value).ok()
}

fn is_given(path: Option<&PathBuf>) -> bool {
    path.is_some_and(|path| !path.as_os_str().is_empty())
}

/// # Errors
/// Whatever is wrong with the flags, the files or standard output; an error that is not allowed.
pub(crate) fn run(args: CalibrateArgs, mut findings: Findings, words: &[OsString]) -> Result<(), Exit> {
    let CalibrateArgs { measured, simulated, judging, report, log } = args;
    let least: Level =
        one_of("value of --log", text(log).map(|level| level.to_lowercase()), &Level::NAMES, &mut findings);
    let is_against_model = is_given(measured.adapter_reference.as_ref());
    let required = if is_against_model {
        vec![("--sim-metrics", &simulated.sim_metrics)]
    } else {
        vec![
            ("--trace-header", &measured.trace_header),
            ("--trace-data", &measured.trace_data),
            ("--sim-results", &simulated.sim_results),
        ]
    };
    for (flag, path) in required {
        if !is_given(path.as_ref()) {
            findings.add(Diagnostic::new(format!("{flag} is missing")));
        }
    }
    let reports: Vec<_> = report.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
    if reports.is_empty() {
        findings.add(Diagnostic::new("--report is missing"));
    }
    if !is_against_model && is_given(simulated.sim_metrics_blind.as_ref()) {
        findings.add(Diagnostic::new("--sim-metrics-blind goes with --adapter-reference, which is missing"));
    }
    let inputs: Vec<PathBuf> = [
        &measured.trace_header,
        &measured.trace_data,
        &measured.itl_data,
        &measured.adapter_reference,
        &simulated.sim_results,
        &simulated.sim_metrics,
        &simulated.sim_metrics_blind,
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect();
    let outputs: Vec<_> = reports.iter().map(|path| (report_file::FLAG, path.as_path())).collect();
    findings.extend(check_outputs(&outputs, &inputs));
    let output = Output { reports, logger: Logger { least }, words };
    if is_against_model {
        against_model(&measured, &simulated, judging, &output, findings)
    } else {
        against_server(measured, &simulated, judging, &output, findings)
    }
}

struct Output<'a> {
    reports: Vec<PathBuf>,
    logger: Logger,
    words: &'a [OsString],
}

impl Output<'_> {
    /// Writes the reports and shows the table.
    fn write(
        &self,
        file: &str,
        page: impl Fn(&Origin) -> String,
        table: &str,
        warnings: &[Diagnostic],
    ) -> Result<(), Exit> {
        for path in &self.reports {
            let is_page = path.extension().is_some_and(|extension| {
                ["html", "htm"].iter().any(|known| extension.eq_ignore_ascii_case(known))
            });
            if is_page {
                report_file::write(path, &page(&report_file::origin(self.words, &[], warnings)))?;
            } else {
                report_file::write(path, file)?;
            }
        }
        Ok(printer::result(table)?)
    }
}

fn against_server(
    measured: Measured,
    simulated: &Simulated,
    judging: Judging,
    output: &Output<'_>,
    mut findings: Findings,
) -> Result<(), Exit> {
    let warm_up_requests = or_header("--warmup-requests", measured.warmup_requests, &mut findings);
    let rtt_us = or_header("--network-rtt-us", measured.network_rtt_us, &mut findings);
    let bandwidth =
        number("--network-bandwidth-mbps", measured.network_bandwidth_mbps, AT_LEAST_ZERO, &mut findings);
    let tolerance_pp =
        number("--hit-rate-tolerance-pp", judging.hit_rate_tolerance_pp, AT_LEAST_ZERO, &mut findings);
    let threshold =
        number("--ttft-mape-threshold", judging.ttft_mape_threshold, AT_LEAST_ZERO, &mut findings);
    let max_mape = number("--max-mape", judging.max_mape, AT_LEAST_ZERO, &mut findings);
    number("--adapter-mape-threshold", judging.adapter_mape_threshold, ABOVE_ZERO, &mut findings);
    let is_strict = findings.value("--fail-on-exceed", judging.fail_on_exceed).unwrap_or_default();

    let header = open("--trace-header", measured.trace_header.as_deref(), &mut findings);
    let rows = open("--trace-data", measured.trace_data.as_deref(), &mut findings);
    let trace = header.zip(rows).and_then(|(header, rows)| {
        parsed(files::read_trace(contents(&header), contents(&rows)), &mut findings)
    });
    let results = open("--sim-results", simulated.sim_results.as_deref(), &mut findings)
        .and_then(|file| parsed(files::read_results(contents(&file)), &mut findings));
    let chunks = open("--itl-data", measured.itl_data.as_deref(), &mut findings)
        .and_then(|file| parsed(files::read_chunk_times(contents(&file)), &mut findings));
    let figures = open("--sim-metrics", simulated.sim_metrics.as_deref(), &mut findings)
        .and_then(|file| parsed(files::read_run_figures(contents(&file)), &mut findings));
    let flags =
        SloFlags { ttft: text(judging.slo_ttft), itl: text(judging.slo_itl), e2e: text(judging.slo_e2e) };
    let in_header = trace.as_ref().map(|(_, targets, _)| targets.clone()).unwrap_or_default();
    let targets = parsed(flags.over(in_header), &mut findings);
    let (Some((trace, _, warnings)), Some(results), Some(targets)) = (trace, results, targets) else {
        return findings.check();
    };
    findings.check()?;

    let logger = output.logger;
    for warning in &warnings {
        logger.warning(warning);
    }
    let sim_hit_rate = figures.and_then(|figures| figures.cache_hit_rate);
    if trace.header.observed_kv_metrics.is_some() && sim_hit_rate.is_none() {
        logger.warning(
            "the trace has a measured hit rate, which is not compared: it needs --sim-metrics with cache_hit_rate",
        );
    }
    let settings = Settings {
        warm_up_requests,
        rtt_ms: rtt_us.map(|us| us as f64 / 1e3),
        bandwidth_mbps: bandwidth.unwrap_or_default(),
        targets,
        sim_hit_rate,
        hit_rate_tolerance_pp: tolerance_pp.unwrap_or(DEFAULT_HIT_RATE_TOLERANCE_PP),
        ttft_mape_threshold: threshold.unwrap_or(DEFAULT_TTFT_MAPE_THRESHOLD),
    };
    let calibration = calibrate(&trace, &results, &chunks.unwrap_or_default(), &settings)
        .map_err(|nothing| Diagnostic::new(nothing.to_string()))?;
    output.write(
        &report::calibration_file(&calibration),
        |origin| calibration_page("calibrate", &calibration, origin),
        &report::calibration_table(&calibration),
        &warnings,
    )?;

    let tolerances = Gate { max_mape: None, tolerances: true }.judge(&calibration);
    let gated = Gate { max_mape, tolerances: false }.judge(&calibration);
    if gated.is_empty() {
        return exceeded(&tolerances, is_strict, logger);
    }
    Err(Exit::Problems(problems(&gated, "--max-mape")))
}

fn problems(excesses: &[Excess], by: &str) -> Vec<Diagnostic> {
    excesses.iter().map(|excess| Diagnostic::new(format!("{by}: {excess}"))).collect()
}

/// Tolerances that are exceeded: a warning, or a failure.
fn exceeded(excesses: &[Excess], is_strict: bool, logger: Logger) -> Result<(), Exit> {
    if is_strict && !excesses.is_empty() {
        return Err(Exit::Exceeded(problems(excesses, "--fail-on-exceed")));
    }
    for excess in excesses {
        logger.warning(excess);
    }
    Ok(())
}

fn against_model(
    measured: &Measured,
    simulated: &Simulated,
    judging: Judging,
    output: &Output<'_>,
    mut findings: Findings,
) -> Result<(), Exit> {
    let threshold =
        number("--adapter-mape-threshold", judging.adapter_mape_threshold, ABOVE_ZERO, &mut findings)
            .unwrap_or(DEFAULT_ADAPTER_MAPE_THRESHOLD);
    let is_strict = findings.value("--fail-on-exceed", judging.fail_on_exceed).unwrap_or_default();
    let max_mape = number("--max-mape", judging.max_mape, AT_LEAST_ZERO, &mut findings);
    let file = open("--adapter-reference", measured.adapter_reference.as_deref(), &mut findings);
    let reference =
        file.as_ref().and_then(|file| parsed(files::read_adapter_reference(contents(file)), &mut findings));
    let mut figures = |flag: &str, path: Option<&Path>| {
        let file = open(flag, path, &mut findings)?;
        let figures = parsed(files::read_run_figures(contents(&file)), &mut findings)?;
        parsed(figures.adapter_figures(&file.1).map_err(|problem| vec![problem]), &mut findings)
    };
    let aware = figures("--sim-metrics", simulated.sim_metrics.as_deref());
    let blind = figures("--sim-metrics-blind", simulated.sim_metrics_blind.as_deref());
    let (Some(reference), Some(aware)) = (reference, aware) else { return findings.check() };
    findings.check()?;
    let comparison = compare_adapters(&reference, aware, blind, threshold).map_err(|unusable| {
        let name = file.map(|(_, name)| name).unwrap_or_default();
        let problems = unusable.iter().map(|one| Diagnostic::new(one.to_string()).in_file(&*name));
        Exit::Problems(problems.collect())
    })?;
    output.write(
        &report::adapter_comparison_file(&comparison),
        |origin| adapter_comparison_page(&comparison, origin),
        &report::adapter_comparison_table(&comparison),
        &[],
    )?;
    let beyond = |most: f64| -> Vec<Excess> {
        let metrics = comparison.metrics.iter().filter(|metric| metric.mape > most);
        metrics
            .map(|metric| Excess {
                figure: format!("the error of {}", metric.name),
                value: metric.mape,
                most,
                in_points: false,
            })
            .collect()
    };
    let gated = max_mape.map(beyond).unwrap_or_default();
    if gated.is_empty() {
        return exceeded(&beyond(threshold), is_strict, output.logger);
    }
    Err(Exit::Problems(problems(&gated, "--max-mape")))
}
