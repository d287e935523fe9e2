//! `blis fit`: coefficients from measurements.

use crate::flags::engine::{EngineFlags, HostFlags, KvFlags};
use crate::flags::measured::{MeasuredFlags, use_named_engine};
use crate::flags::model::{LatencyFlags, ModelFlags};
use crate::flags::output::one_of;
use crate::flags::{Findings, Typed, text};
use crate::{Exit, printer};
use blis::{Diagnostic, RunOptions, report};
use blis_accuracy::{Point, Server, read, step_log, trace};
use blis_config::catalogue::Catalogue;
use blis_config::coefficients::{CoefficientSet, HOST, Provenance};
use blis_config::diagnostic::unknown_name;
use blis_config::resolve::files::check_outputs;
use blis_fit::{Groups, Settings, fit};
use blis_kernel::rng::fnv1a_64;
use blis_latency::Backend;
use blis_policy::Registry;
use clap::Args;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct FitArgs {
    /// Folder with measurements, as of `blis accuracy`
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    measured: MeasuredFlags,
    #[command(flatten)]
    own: OwnFlags,
    #[command(flatten)]
    fit: FitFlags,
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    engine: EngineFlags,
    #[command(flatten)]
    host: HostFlags,
    #[command(flatten)]
    kv: KvFlags,
    #[command(flatten)]
    latency: LatencyFlags,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Measured")]
struct OwnFlags {
    /// YAML header of a trace of a server that the flags below describe; may be given again, each with its --trace-data
    #[arg(long, value_name = "FILE")]
    trace_header: Vec<PathBuf>,
    /// CSV rows of the trace, with the times that were measured
    #[arg(long, value_name = "FILE")]
    trace_data: Vec<PathBuf>,
    /// CSV log of steps of such a server: prefills, prefill_tokens, prefill_context_tokens, decodes, decode_context_tokens,
    /// step_ms; may be given again
    #[arg(long, value_name = "FILE")]
    step_log: Vec<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Fit")]
struct FitFlags {
    /// File for the coefficients
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Coefficients to start from, as --out writes them [default: the built-in ones]
    #[arg(long, value_name = "FILE")]
    start: Option<PathBuf>,
    /// Coefficients to fit, separated by commas [default: all that change a figure, but host_latency_us]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    parameters: Vec<String>,
    /// A coefficient that keeps a value, NAME=VALUE; may be given again
    #[arg(long, value_name = "NAME=VALUE")]
    fix: Vec<String>,
    /// Bounds of a coefficient, NAME=LEAST..MOST; may be given again
    #[arg(long, value_name = "NAME=RANGE")]
    bounds: Vec<String>,
    /// What is left out together to see how well a fit meets what it did not see: model, gpu, set or none [default: model]
    #[arg(long, value_name = "NAME")]
    cross_validate: Option<String>,
    /// Most steps of the search; 0 = only tell how sure the coefficients are that it starts from [default: 20]
    #[arg(long, value_name = "INT")]
    steps: Option<Typed<i64>>,
    /// Date for the provenance of --out [default: none, so that the same input gives the same bytes]
    #[arg(long, value_name = "TEXT")]
    date: Option<String>,
    /// A word about the measurements for the provenance of --out; may be given again
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// What standard output shows: text or json [default: text]
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CrossValidate(Option<Groups>);

impl Default for CrossValidate {
    fn default() -> Self {
        Self(Some(Groups::Model))
    }
}

/// # Errors
/// Whatever is wrong with the settings, the measurements or the files written.
pub(crate) fn run(args: FitArgs, mut findings: Findings, policies: &Registry) -> Result<(), Exit> {
    let FitArgs { folder, measured, own, fit: flags, model, engine, host, kv, latency } = args;
    let mut base = RunOptions::default();
    model.fill(&mut base, &mut findings);
    engine.fill(&mut base, &mut findings);
    host.fill(&mut base, &mut findings);
    kv.fill(&mut base, &mut findings);
    latency.fill(&mut base, &mut findings);
    let selection = measured.read(&mut base, &mut findings);
    if base.coefficients.take().is_some() {
        findings.add(Diagnostic::new("--coefficients does not go with fit: --start says where it begins"));
    }
    if base.alpha_coeffs.is_some() || base.beta_coeffs.is_some() {
        findings.add(Diagnostic::new(
            "--alpha-coeffs and --beta-coeffs do not go with fit: --start says where it begins, --fix what stays",
        ));
    }
    let format = one_of(
        "value of --format",
        text(flags.format),
        &[("text", Format::Text), ("json", Format::Json)],
        &mut findings,
    );
    let mut choices: Vec<(&str, CrossValidate)> =
        Groups::NAMES.iter().map(|(name, groups)| (*name, CrossValidate(Some(*groups)))).collect();
    choices.push(("none", CrossValidate(None)));
    let CrossValidate(cross_validate) =
        one_of("value of --cross-validate", text(flags.cross_validate), &choices, &mut findings);
    let parameters: Vec<String> = flags.parameters.into_iter().filter(|name| !name.is_empty()).collect();
    let fixed = pairs("--fix", "NAME=VALUE", &flags.fix, |value| value.parse().ok(), &mut findings);
    let bounds = pairs(
        "--bounds",
        "NAME=LEAST..MOST",
        &flags.bounds,
        |range| {
            let (lower, upper) = range.split_once("..")?;
            Some((lower.parse().ok()?, upper.parse().ok()?))
        },
        &mut findings,
    );
    let steps = findings.value("--steps", flags.steps).unwrap_or(20);
    if !(0..=1000).contains(&steps) {
        findings.add(Diagnostic::new(format!("--steps is {steps}; it must be from 0 to 1000")));
    }
    let out = flags.out.filter(|path| !path.as_os_str().is_empty());
    let inputs = [&own.trace_header[..], &own.trace_data, &own.step_log, flags.start.as_slice()].concat();
    if let Some(out) = &out {
        findings.extend(check_outputs(&[("--out", out)], &inputs));
    }
    let names_host =
        parameters.iter().chain(fixed.keys()).any(|name| HOST.iter().any(|known| known.name == *name));
    let has_host = names_host || base.engine.is_some() || folder.is_some();
    let start = match &flags.start {
        Some(path) => findings.try_all(started(path, &mut base)),
        None => built_in(&mut base, has_host, &mut findings),
    };
    let mut left_out = Vec::new();
    let mut points = Vec::new();
    let mut files = BTreeMap::new();
    if let Some(folder) = &folder {
        if let Some(found) = findings.try_all(read(folder, &selection)) {
            left_out = found.left_out;
            points = found.points;
        }
        checksums(folder, &mut files);
    }
    use_named_engine(&base, &mut points);
    points.extend(own.points(&base, &mut findings));
    for path in own.trace_data.iter().chain(&own.step_log) {
        checksum(path, name_of(path), &mut files);
    }
    if points.is_empty() && findings.is_empty() {
        findings.add(
            Diagnostic::new("there are no measurements")
                .with_help("give a folder, --trace-header with --trace-data, or --step-log"),
        );
    }
    findings.check()?;
    let Some(start) = start else { return Ok(()) };

    let settings = Settings {
        parameters,
        fixed,
        bounds,
        cross_validate,
        most_steps: steps as usize,
        provenance: Provenance { date: text(flags.date), notes: flags.note, files, ..Provenance::default() },
    };
    let mut fitted = fit(&points, &base, &start, &settings, policies).map_err(Exit::Problems)?;
    fitted.left_out.extend(left_out);
    if let Some(path) = out {
        fs::write(&path, fitted.set.to_json())
            .map_err(|error| Diagnostic::new(format!("--out: cannot write {}: {error}", path.display())))?;
    }
    Ok(printer::result(&match format {
        Format::Text => report::fit_text(&fitted),
        Format::Json => report::fit_document(&fitted),
    })?)
}

/// `NAME=…` by name.
fn pairs<T>(
    flag: &str,
    form: &str,
    given: &[String],
    parse: impl Fn(&str) -> Option<T>,
    findings: &mut Findings,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for text in given.iter().filter(|text| !text.is_empty()) {
        let parts = text.split_once('=').and_then(|(name, value)| Some((name.to_owned(), parse(value)?)));
        match parts {
            Some((name, _)) if all.contains_key(&name) => {
                findings.add(Diagnostic::new(format!("{flag} names {name} twice")));
            }
            Some((name, value)) => {
                all.insert(name, value);
            }
            None => findings.add(Diagnostic::new(format!("{flag} is \"{text}\"; it must be {form}"))),
        }
    }
    all
}

/// The set of a file, completed with what it does not say. It chooses the step-time model where none is named.
fn started(path: &Path, base: &mut RunOptions) -> Result<CoefficientSet, Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| vec![Diagnostic::new(format!("--start: cannot read {shown}: {error}"))])?;
    let mut set = CoefficientSet::read(&text, &shown)?;
    let known = CoefficientSet::built_in(set.latency_model);
    for own in known.coefficients {
        let is_host = HOST.iter().any(|known| known.name == own.name);
        if set.coefficient(&own.name).is_none() && (!is_host || set.has_host()) {
            set.coefficients.push(own);
        }
    }
    match (set.latency_model, base.latency_model.as_deref()) {
        (Some(model), Some(name)) if name != model.name() => Err(vec![Diagnostic::new(format!(
            "--start has coefficients of {model}, but --latency-model is {name}"
        ))]),
        (Some(model), _) => {
            base.latency_model = Some(model.name().to_owned());
            Ok(set)
        }
        (None, _) => Ok(set),
    }
}

/// The built-in set of the step-time model. `auto` cannot be fitted: it is two models.
fn built_in(base: &mut RunOptions, has_host: bool, findings: &mut Findings) -> Option<CoefficientSet> {
    let name = base.latency_model.get_or_insert_with(|| Backend::Profiled.name().to_owned());
    let Some(backend) = Backend::ALL.into_iter().find(|known| known.name() == *name) else {
        let known = Backend::ALL.map(Backend::name);
        let problem = unknown_name("latency model to fit", name, known);
        findings.add(Diagnostic { message: format!("--latency-model: {}", problem.message), ..problem });
        return None;
    };
    let mut set = CoefficientSet::built_in(Some(backend));
    // Whole steps hold the host already, unless it is asked for.
    if !has_host && !matches!(backend, Backend::Profiled | Backend::TrainedPhysics) {
        set.coefficients.retain(|own| HOST.iter().all(|known| known.name != own.name));
    }
    Some(set)
}

impl OwnFlags {
    /// The points of traces and logs of the server that the flags describe.
    fn points(&self, base: &RunOptions, findings: &mut Findings) -> Vec<Point> {
        let Self { trace_header, trace_data, step_log: logs } = self;
        if trace_header.is_empty() && trace_data.is_empty() && logs.is_empty() {
            return Vec::new();
        }
        if trace_header.len() != trace_data.len() {
            findings.add(Diagnostic::new(format!(
                "--trace-header is given {} times and --trace-data {} times; they go in pairs",
                trace_header.len(),
                trace_data.len()
            )));
        }
        let Some(model) = base.model.clone() else {
            findings.add(Diagnostic::new("--model is missing: the server of the traces and logs"));
            return Vec::new();
        };
        let entry = Catalogue::embedded().model_entry(&model.to_lowercase()).unwrap_or_default();
        let server = Server {
            model,
            gpu: base.hardware.clone().or(entry.gpu).unwrap_or_default(),
            ..Server::default()
        };
        let traces =
            trace_header.iter().zip(trace_data).map(|(header, rows)| trace(header, rows, server.clone()));
        let logs = logs.iter().map(|path| step_log(path, server.clone()));
        traces.chain(logs).filter_map(|point| findings.try_all(point)).collect()
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Checksums of the files of a folder that hold measurements.
fn checksums(root: &Path, files: &mut BTreeMap<String, String>) {
    for name in ["ground-truth/experiments.csv", "silicon/dev.csv"] {
        checksum(&root.join(name), name.to_owned(), files);
    }
    for sub in ["per-request", "steps"] {
        for entry in fs::read_dir(root.join(sub)).into_iter().flatten().flatten() {
            let name = name_of(&entry.path());
            if name.ends_with(".csv.gz") {
                checksum(&entry.path(), format!("{sub}/{name}"), files);
            }
        }
    }
}

fn checksum(path: &Path, name: String, files: &mut BTreeMap<String, String>) {
    if let Ok(bytes) = fs::read(path) {
        files.insert(name, format!("{:016x}", fnv1a_64(&String::from_utf8_lossy(&bytes))));
    }
}
