//! `blis accuracy`: a folder of measured runs, simulated, and the errors.

use crate::flags::engine::HostFlags;
use crate::flags::intervals::{IntervalFlags, WantedIntervals};
use crate::flags::measured::{MeasuredFlags, use_named_engine};
use crate::flags::model::LatencyFlags;
use crate::flags::output::one_of;
use crate::flags::{Findings, text};
use crate::{Exit, printer};
use blis::{Diagnostic, RunOptions, report};
use blis_accuracy::{Extras, Measurements, assess, read};
use blis_intervals::Validated;
use blis_policy::Registry;
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs for the bands of a point: there are many points.
const DRAWS: u32 = 20;

#[derive(Args, Debug)]
pub(crate) struct AccuracyArgs {
    /// Folder with the measurements
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    measured: MeasuredFlags,
    #[command(flatten)]
    accuracy: AccuracyFlags,
    #[command(flatten)]
    latency: LatencyFlags,
    #[command(flatten)]
    host: HostFlags,
    #[command(flatten)]
    intervals: IntervalFlags,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Accuracy")]
struct AccuracyFlags {
    /// JSON table of GPUs [default: built in]
    #[arg(long, value_name = "FILE")]
    hardware_config: Option<PathBuf>,
    /// YAML file with models and coefficients [default: ./defaults.yaml when there is one, else built in]
    #[arg(long, value_name = "FILE")]
    defaults_filepath: Option<PathBuf>,
    /// What standard output shows: text (tables of errors), json (one document with every run) or csv (a row for every
    /// figure of every run) [default: text]
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Also write a table of validated configurations, from which bands come
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    /// Also write a page of documentation, with its plots in a folder beside it that has the page's name
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Text,
    Json,
    Csv,
}

/// # Errors
/// Whatever is wrong with the settings, the measurements or the files written.
pub(crate) fn run(args: AccuracyArgs, mut findings: Findings, policies: &Registry) -> Result<(), Exit> {
    const FORMATS: [(&str, Format); 3] =
        [("text", Format::Text), ("json", Format::Json), ("csv", Format::Csv)];
    let AccuracyArgs { folder, measured, accuracy: flags, latency, host, intervals } = args;
    let mut base = RunOptions::default();
    latency.fill(&mut base, &mut findings);
    host.fill(&mut base, &mut findings);
    let selection = measured.read(&mut base, &mut findings);
    base.hardware_config = flags.hardware_config;
    base.defaults_filepath = flags.defaults_filepath;
    let format = one_of("value of --format", text(flags.format), &FORMATS, &mut findings);
    let wanted = intervals.read(DRAWS, &mut findings);
    findings.check()?;

    let Measurements { mut points, left_out } = read(&folder, &selection).map_err(Exit::Problems)?;
    if points.is_empty() {
        return Err(Diagnostic::new("--sets, --models and --gpus together leave no run").into());
    }
    use_named_engine(&base, &mut points);
    let table = wanted.as_ref().map(WantedIntervals::table).transpose()?;
    let validation = flags.validation.filter(|path| !path.as_os_str().is_empty());
    let bands = table.as_ref().zip(wanted.as_ref().map(|wanted| wanted.draws));
    let assessed = assess(&points, &base, policies, Extras { bands, validates: validation.is_some() });
    if let Some(path) = &validation {
        let rows: Vec<Validated> = assessed.iter().filter_map(|point| point.validated.clone()).collect();
        fs::write(path, blis_intervals::write(&rows)).map_err(|error| {
            Diagnostic::new(format!("--validation: cannot write {}: {error}", path.display()))
        })?;
    }
    if let Some(path) = flags.markdown.filter(|path| !path.as_os_str().is_empty()) {
        let model = base.latency_model.as_deref().unwrap_or("auto");
        let named = |flag: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(" --{flag} {value}")).unwrap_or_default()
        };
        let asked = named("latency-model", &base.latency_model) + &named("engine", &base.engine);
        let asked = asked + if wanted.is_some() { " --intervals" } else { "" };
        let settings = [
            format!("BLIS {}, step-time model: {model}", env!("CARGO_PKG_VERSION")),
            match &base.engine {
                None => {
                    "engine's defaults and CPU: of the release that each run was measured with".to_owned()
                }
                Some(engine) => format!("engine's defaults and CPU: {engine}"),
            },
            format!("seed of what was not recorded: {}", base.seed.unwrap_or(42)),
            format!("command: `blis accuracy DIR{asked} --markdown FILE`, where DIR has the measurements"),
        ];
        write_page(&path, &|folder| report::accuracy_page(&assessed, &left_out, &settings, folder))?;
    }
    Ok(printer::result(&match format {
        Format::Text => report::accuracy_text(&assessed, &left_out),
        Format::Json => report::accuracy_document(&assessed, &left_out),
        Format::Csv => report::accuracy_csv(&assessed),
    })?)
}

/// Writes the page, and its plots into a folder beside it.
fn write_page(path: &Path, page: &dyn Fn(&str) -> report::Page) -> Result<(), Exit> {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.with_file_name(&name);
    let page = page(&name);
    let cannot = |what: &Path, error: std::io::Error| {
        Exit::from(Diagnostic::new(format!("--markdown: cannot write {}: {error}", what.display())))
    };
    fs::write(path, page.text).map_err(|error| cannot(path, error))?;
    fs::create_dir_all(&folder).map_err(|error| cannot(&folder, error))?;
    for (name, contents) in page.plots {
        let file = folder.join(name);
        fs::write(&file, contents).map_err(|error| cannot(&file, error))?;
    }
    Ok(())
}
