//! What `run` and `replay` share: from options to results.

use crate::around::{Around, Messages};
use crate::flags::Findings;
use crate::flags::analysis::AnalysisFiles;
use crate::flags::intervals::WantedIntervals;
use crate::flags::output::{Format, Output};
use crate::trace_file::{TraceFiles, Watch};
use crate::{Exit, deprecated, printer, report_file};
use blis::metrics::Fitness;
use blis::options::Traffic;
use blis::report::html::{Kind, RunReport, run_page};
use blis::resolve::{self, files};
use blis::{Diagnostic, Outcome, Resolved, RunEnding, RunOptions, Surroundings, report};
use blis_intervals::Intervals;
use blis_live::Hub;
use blis_search::intervals::{Made, can_have_bands, intervals};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) options: RunOptions,
    pub(crate) output: Output,
    pub(crate) files: Files,
}

/// Files to write.
#[derive(Debug)]
pub(crate) struct Files {
    /// Aggregate figures and a record of every request.
    pub(super) metrics: Option<PathBuf>,
    /// Latencies of every finished request.
    pub(super) results: Option<PathBuf>,
    /// A trace of all requests.
    pub(super) trace: Option<TraceFiles>,
}

/// What goes into a file.
type Content = fn(&Outcome) -> String;

/// A file to write: its flag and its path, and what goes into it.
type Written<'a> = (&'static str, &'a Path, Content);

impl Files {
    /// Each file, those of the analysis too.
    fn all<'a>(&'a self, analysis: &'a AnalysisFiles) -> impl Iterator<Item = Written<'a>> {
        let paths = [&self.metrics, &self.results, &analysis.saturation_report, &analysis.decision_trace];
        let files: [(&str, Content); 4] = [
            ("--metrics-path", report::metrics_file),
            ("--results-path", report::results_file),
            ("--saturation-report", report::saturation_report),
            ("--decision-trace", report::decision_trace),
        ];
        let given = paths.into_iter().zip(files);
        let given = given.filter_map(|(path, (flag, content))| Some((flag, path.as_deref()?, content)));
        given.filter(|(_, path, _)| !path.as_os_str().is_empty())
    }

    /// Whether any of them lists requests.
    fn list_requests(&self) -> bool {
        self.metrics.is_some() || self.results.is_some()
    }
}

/// What was simulated.
pub(crate) struct Simulated {
    pub(crate) outcome: Outcome,
    pub(crate) fitness: Option<Fitness>,
    pub(crate) intervals: Option<Intervals>,
    pub(crate) resolved: Resolved,
}

/// Simulates and shows the results.
///
/// # Errors
/// Whatever is wrong with the settings, the files or standard output; then standard output stays empty.
pub(super) fn simulate(
    asked: Asked,
    findings: Findings,
    words: &[OsString],
    around: &Around<'_>,
) -> Result<(), Exit> {
    let (format, summarize_trace) = (asked.output.format, asked.options.summarize_trace);
    let Simulated { mut outcome, fitness, intervals, .. } = simulated(asked, findings, words, around)?;
    if format != Format::Json && !summarize_trace {
        outcome.trace = None;
    }
    let (fitness, intervals) = (fitness.as_ref(), intervals.as_ref());
    Ok(printer::result(&match format {
        Format::Text => report::standard_output(&outcome, fitness, intervals),
        Format::Json => report::document(&outcome, fitness, intervals),
        Format::Table => report::table(&outcome, fitness, intervals),
    })?)
}

/// Simulates and writes the files.
///
/// # Errors
/// Whatever is wrong with the settings and the files; the run was stopped.
pub(crate) fn simulated(
    asked: Asked,
    mut findings: Findings,
    words: &[OsString],
    around: &Around<'_>,
) -> Result<Simulated, Exit> {
    let Asked { mut options, output, files } = asked;
    let (output, files) = (&output, &files);
    options.texts.clone_from(around.texts);
    let logger = around.messages(output.log);
    for notice in deprecated::notices(words) {
        logger.warning(notice);
    }
    options.per_request |= files.list_requests();
    let hub = Hub::from_environment();
    let surroundings = Surroundings { hub: Some(&hub), cache: hub.cache(), policies: Some(around.policies) };
    // Flags that cannot be read already rule the run out, and with it a download.
    let surroundings =
        if findings.is_empty() { surroundings } else { Surroundings { hub: None, ..surroundings } };
    let resolved = resolve::resolve(&options, &surroundings);
    let mut outputs: Vec<_> = files.all(&output.files).map(|(flag, path, _)| (flag, path)).collect();
    outputs.extend(files.trace.iter().flat_map(TraceFiles::outputs));
    outputs.extend(output.report.as_deref().map(|path| (report_file::FLAG, path)));
    let unwritable = files::check_outputs(&outputs, &files::inputs(&options));
    let resolved = match resolved {
        Ok(resolved) => Some(resolved),
        Err(problems) => {
            findings.extend(problems);
            None
        }
    };
    findings.extend(unwritable);
    let table = output.intervals.as_ref().map(WantedIntervals::table);
    let table = match table.transpose() {
        Ok(table) => table,
        Err(Exit::Problems(problems)) => {
            findings.extend(problems);
            None
        }
        Err(exit) => return Err(exit),
    };
    if let (Some(resolved), Some(_)) = (&resolved, &output.intervals) {
        findings.try_all(can_have_bands(&options, resolved));
    }
    let Some(resolved) = resolved.filter(|_| findings.is_empty()) else {
        return Err(Exit::Problems(findings.into_vec()));
    };
    tell(&resolved, output, around, logger);

    let shows = around.is_terminal();
    let mut watch = Watch::new(&resolved, files.trace.as_ref(), output.report.is_some(), shows);
    let run = around.control.run(&resolved.plan, &mut watch);
    let mut outcome = run.map_err(|_| blis_search::stopped())?;
    outcome.latency_model = resolved.latency_model;
    let timeline = watch.finish(&resolved)?;
    if let RunEnding::Deadlock(waiting) = &outcome.ending {
        return Err(Diagnostic::new(format!("the simulation is stuck: {waiting}")).into());
    }
    if outcome.conservation.completed == 0 {
        logger.warning("no request completed: latencies are shown as 0");
    }
    let met = outcome.goodput.iter().flat_map(|goodput| goodput.classes.keys()).collect::<Vec<_>>();
    for class in resolved.plan.slo_targets.keys().filter(|class| !met.contains(class)) {
        logger.warning(format_args!("no request has the SLO class {class}, for which there are targets"));
    }
    for (flag, path, content) in files.all(&output.files) {
        fs::write(path, content(&outcome))
            .map_err(|error| Diagnostic::new(format!("{flag}: cannot write {}: {error}", path.display())))?;
    }
    let draws = output.intervals.as_ref().map(|wanted| wanted.draws);
    let made =
        Made { options: &options, resolved: &resolved, outcome: &outcome, surroundings: &surroundings };
    let bands = table.zip(draws).map(|(table, draws)| intervals(&made, &table, draws, around.control));
    let intervals = bands.transpose().map_err(Exit::Problems)?;
    if let Some(warning) = intervals.as_ref().and_then(|intervals| intervals.warning.as_ref()) {
        logger.warning(warning);
    }
    let fitness = (!resolved.fitness.is_empty()).then(|| resolved.fitness.rate(&outcome.cluster));
    if let Some(path) = &output.report {
        let fitness = fitness.as_ref();
        let origin = report_file::origin(words, &resolved.settings, &resolved.warnings);
        let command = if matches!(options.traffic, Traffic::Trace(_)) { "replay" } else { "run" };
        let (outcome, timeline, origin) = (&outcome, timeline.as_ref(), &origin);
        let kind = Kind::Simulated;
        let (more, failures, intervals) = (&[], &[], intervals.as_ref());
        let page = RunReport { command, kind, outcome, timeline, fitness, intervals, more, failures, origin };
        report_file::write(path, &run_page(&page))?;
    }
    if output.quiet_instances {
        outcome.instances.clear();
    }
    Ok(Simulated { outcome, fitness, intervals, resolved })
}

/// What there is to say before the run.
fn tell(resolved: &Resolved, output: &Output, around: &Around<'_>, logger: Messages<'_>) {
    resolved.notices.iter().for_each(|notice| logger.info(notice));
    resolved.warnings.iter().for_each(|warning| logger.warning(warning));
    // A program has them as a result.
    if output.show_config && around.is_terminal() {
        let width = resolved.settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
        for setting in &resolved.settings {
            let source = report_file::source_name(setting.source);
            printer::line(format_args!("{:width$}  {}  ({source})", setting.name, setting.value));
        }
    }
}
