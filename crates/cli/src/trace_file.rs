//! `--trace-output`: the trace of a run, written while it runs.

use crate::progress::Progress;
use blis::metrics::{Sample, Timeline};
use blis::{Diagnostic, Observer, Resolved, Tick};
use blis_config::trace_header::trace_header_file;
use blis_workload::trace::{ContextGrowth, RowNumbers, Served, TraceExport};
use blis_workload::{RequestSource, RequestSpec};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// The two files of a trace.
#[derive(Debug)]
pub(crate) struct TraceFiles {
    pub(crate) header: PathBuf,
    pub(crate) data: PathBuf,
}

impl TraceFiles {
    /// `<prefix>.yaml` and `<prefix>.csv`; none for an empty prefix.
    pub(crate) fn of_prefix(prefix: Option<PathBuf>) -> Option<Self> {
        let prefix = prefix.filter(|prefix| !prefix.as_os_str().is_empty())?;
        let with = |suffix: &str| {
            let mut name = OsString::from(&prefix);
            name.push(suffix);
            PathBuf::from(name)
        };
        Some(Self { header: with(".yaml"), data: with(".csv") })
    }

    /// Both, as `--trace-output` names them.
    pub(crate) fn outputs(&self) -> [(&'static str, &Path); 2] {
        [(FLAG, &self.header), (FLAG, &self.data)]
    }
}

const FLAG: &str = "--trace-output";

/// What a failure to write is called.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(format!("{FLAG}: cannot write {}: {error}", path.display()))
}

/// Shows how far a run is, writes its trace if one is wanted, and keeps how it went if somebody asks.
pub(crate) struct Watch<'a> {
    progress: Progress,
    trace: Option<Recording<'a>>,
    timeline: Option<Timeline>,
}

struct Recording<'a> {
    files: &'a TraceFiles,
    numbers: RowNumbers,
    growth: ContextGrowth,
    state: State,
}

enum State {
    NotBegun,
    Writing(Box<TraceExport<BufWriter<File>>>),
    /// Nothing more is written after the first failure.
    Failed(io::Error),
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        resolved: &Resolved,
        files: Option<&'a TraceFiles>,
        keeps_timeline: bool,
        shows: bool,
    ) -> Self {
        let progress = Progress::new(resolved.requests, resolved.plan.horizon, shows);
        let (numbers, growth) = (resolved.row_numbers, resolved.trace_header.context_growth);
        let trace = files.map(|files| Recording { files, numbers, growth, state: State::NotBegun });
        Self { progress, trace, timeline: keeps_timeline.then(Timeline::default) }
    }

    /// Takes the progress bar away and finishes the trace; returns how the run went.
    ///
    /// # Errors
    /// The trace could not be written.
    pub(crate) fn finish(self, resolved: &Resolved) -> Result<Option<Timeline>, Diagnostic> {
        self.progress.clear();
        let Some(Recording { files, state, .. }) = self.trace else { return Ok(self.timeline) };
        let data = match state {
            State::NotBegun => Ok(()),
            State::Failed(error) => Err(error),
            State::Writing(export) => export.finish().map(drop),
        };
        data.map_err(|error| unwritable(&files.data, &error))?;
        fs::write(&files.header, trace_header_file(&resolved.trace_header))
            .map_err(|error| unwritable(&files.header, &error))?;
        Ok(self.timeline)
    }
}

impl Observer for Watch<'_> {
    fn begin(&mut self, source: &dyn RequestSource) {
        let Some(Recording { files, numbers, growth, state }) = &mut self.trace else { return };
        let begun = File::create(&files.data)
            .and_then(|file| TraceExport::new(BufWriter::new(file), source, *numbers, *growth));
        *state = begun.map_or_else(State::Failed, |export| State::Writing(Box::new(export)));
    }

    fn progress(&mut self, at: blis::Progress) {
        self.progress.show(at);
    }

    fn next_sample_at(&self) -> Tick {
        self.timeline.as_ref().map_or(Tick::MAX, Timeline::next_at)
    }

    fn sample(&mut self, sample: Sample) {
        if let Some(timeline) = &mut self.timeline {
            timeline.push(sample);
        }
    }

    fn ended(&mut self, number: u64, request: RequestSpec, served: Served, source: &dyn RequestSource) {
        let Some(Recording { state, .. }) = &mut self.trace else { return };
        if let State::Writing(export) = state
            && let Err(error) = export.ended(number, request, served, source)
        {
            *state = State::Failed(error);
        }
    }
}
