//! What `run` and `replay` share: from options to results.

use crate::flags::Findings;
use crate::flags::analysis::AnalysisFiles;
use crate::flags::output::{Format, Output};
use crate::logger::Logger;
use crate::trace_file::{TraceFiles, Watch};
use crate::{Exit, deprecated, printer, report_file};
use blis::options::Traffic;
use blis::report::html::{Kind, RunReport, run_page};
use blis::resolve::{self, files};
use blis::{Diagnostic, Outcome, Resolved, RunEnding, RunOptions, Surroundings, report};
use blis_live::Hub;
use blis_policy::Registry;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Files to write.
#[derive(Debug)]
pub(super) struct Files {
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

/// Simulates and shows the results.
///
/// # Errors
/// Whatever is wrong with the settings, the files or standard output; then standard output stays empty.
pub(super) fn simulate(
    mut options: RunOptions,
    output: &Output,
    files: &Files,
    mut findings: Findings,
    words: &[OsString],
    policies: &Registry,
) -> Result<(), Exit> {
    let logger = Logger { least: output.log };
    for notice in deprecated::notices(words) {
        logger.warning(notice);
    }
    options.per_request = files.list_requests();
    let hub = Hub::from_environment();
    let surroundings = Surroundings { hub: Some(&hub), cache: hub.cache(), policies: Some(policies) };
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
    let Some(resolved) = resolved.filter(|_| findings.is_empty()) else {
        return findings.check();
    };
    tell(&resolved, output, logger);

    let mut watch = Watch::new(&resolved, files.trace.as_ref(), output.report.is_some());
    let mut outcome = blis::run_observed(&resolved.plan, &mut watch);
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
    let fitness = (!resolved.fitness.is_empty()).then(|| resolved.fitness.rate(&outcome.cluster));
    let fitness = fitness.as_ref();
    if let Some(path) = &output.report {
        let origin = report_file::origin(words, &resolved.settings, &resolved.warnings);
        let command = if matches!(options.traffic, Traffic::Trace(_)) { "replay" } else { "run" };
        let (outcome, timeline, origin) = (&outcome, timeline.as_ref(), &origin);
        let kind = Kind::Simulated;
        let (more, failures) = (&[], &[]);
        let page = RunReport { command, kind, outcome, timeline, fitness, more, failures, origin };
        report_file::write(path, &run_page(&page))?;
    }
    if output.quiet_instances {
        outcome.instances.clear();
    }
    if output.format != Format::Json && !options.summarize_trace {
        outcome.trace = None;
    }
    Ok(printer::result(&match output.format {
        Format::Text => report::standard_output(&outcome, fitness),
        Format::Json => report::document(&outcome, fitness),
        Format::Table => report::table(&outcome, fitness),
    })?)
}

/// What there is to say before the run.
fn tell(resolved: &Resolved, output: &Output, logger: Logger) {
    resolved.notices.iter().for_each(|notice| logger.info(notice));
    resolved.warnings.iter().for_each(|warning| logger.warning(warning));
    if output.show_config {
        let width = resolved.settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
        for setting in &resolved.settings {
            let source = report_file::source_name(setting.source);
            printer::line(format_args!("{:width$}  {}  ({source})", setting.name, setting.value));
        }
    }
}
