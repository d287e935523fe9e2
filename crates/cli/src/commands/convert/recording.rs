//! What all conversions of recordings to traces share: files in, files out.

use crate::flags::Findings;
use crate::logger::Logger;
use crate::trace_file::{TraceFiles, unwritable};
use crate::{Exit, printer};
use blis::Diagnostic;
use blis::resolve::{files, new_header};
use blis_config::trace_header::trace_header_file;
use blis_convert::{Facts, Failure, InOrder, Problems, Sink, Sorted, Summary};
use blis_workload::TraceHeader;
use blis_workload::trace::{OptionalColumns, RecordedServer, TraceMode};
use clap::Args;
use flate2::bufread::MultiGzDecoder;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct RecordingFlags {
    /// Recording, as it is or compressed with gzip
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Trace to write: PREFIX.yaml and PREFIX.csv [required]
    #[arg(long, value_name = "PREFIX")]
    trace_output: Option<PathBuf>,
}

/// One kind of recording.
#[derive(Debug)]
pub(super) struct Kind {
    /// Name of the subcommand.
    pub(super) name: &'static str,
    /// What its traces say about themselves.
    pub(super) header: TraceHeader,
    /// What its rows have.
    pub(super) columns: OptionalColumns,
    /// Whether its files are usually in order of time, so that rows can be written as they are read.
    pub(super) in_order: bool,
}

impl Kind {
    /// A recording of traffic: arrivals and lengths.
    pub(super) fn traffic(name: &'static str) -> Self {
        let header = new_header(TraceMode::Generated);
        Self { name, header, columns: OptionalColumns::default(), in_order: true }
    }

    /// The results of a load generator: what a server did.
    pub(super) fn results(name: &'static str) -> Self {
        let columns = OptionalColumns { x_request_id: true, ..OptionalColumns::default() };
        Self { header: new_header(TraceMode::Real), columns, in_order: false, name }
    }
}

/// Converts a recording, which `read` hands to a sink.
///
/// # Errors
/// Whatever is wrong with the flags, the recording or the files of the trace; those then stay as they were.
pub(super) fn convert(
    flags: RecordingFlags,
    mut findings: Findings,
    mut kind: Kind,
    read: impl Fn(&mut dyn BufRead, &mut dyn Sink) -> Result<Facts, Failure>,
) -> Result<(), Exit> {
    let RecordingFlags { file, trace_output } = flags;
    let Some(trace) = TraceFiles::of_prefix(trace_output) else {
        findings.add(Diagnostic::new("--trace-output is missing; it names the trace to write"));
        return findings.check();
    };
    findings.extend(files::check_outputs(&trace.outputs(), std::slice::from_ref(&file)));
    if let Err(error) = open(&file) {
        findings.add(Diagnostic::new(format!("cannot read {}: {error}", file.display())));
    }
    findings.check()?;
    // An earlier trace of this name is only replaced by a whole one.
    let mut unfinished = trace.data.clone().into_os_string();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let converted = write(&file, &unfinished, &kind, &read);
    let (facts, summary) = match converted {
        Ok(converted) => converted,
        Err(failure) => {
            // It may not exist.
            let _ = fs::remove_file(&unfinished);
            return Err(Exit::Problems(diagnostics(failure, &file, &trace.data)));
        }
    };
    fs::rename(&unfinished, &trace.data).map_err(|error| unwritable(&trace.data, &error))?;
    kind.header.warm_up_requests = facts.warm_up_requests;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    kind.header.workload_spec = Some(format!("{}:{name}", kind.name));
    if facts.model.is_some() {
        kind.header.server = Some(RecordedServer { model: facts.model, ..RecordedServer::default() });
    }
    fs::write(&trace.header, trace_header_file(&kind.header))
        .map_err(|error| unwritable(&trace.header, &error))?;
    if facts.left_out > 0 {
        Logger::default().warning(format_args!(
            "{}: {} left out, of which the file does not say when they were sent or how long they are",
            file.display(),
            facts.left_out
        ));
    }
    let Summary { requests, input_tokens, output_tokens, span_us } = summary;
    Ok(printer::result(&format!(
        "{} and {}: {requests} requests within {:.3} s, {input_tokens} prompt tokens, {output_tokens} answer tokens\n",
        trace.header.display(),
        trace.data.display(),
        span_us as f64 / 1e6
    ))?)
}

fn write(
    from: &Path,
    to: &Path,
    kind: &Kind,
    read: &impl Fn(&mut dyn BufRead, &mut dyn Sink) -> Result<Facts, Failure>,
) -> Result<(Facts, Summary), Failure> {
    let begin = || {
        let file = File::create(to).map_err(Failure::Write)?;
        InOrder::new(BufWriter::new(file), kind.columns)
    };
    if kind.in_order {
        let mut rows = begin()?;
        match read(&mut *open(from).map_err(Failure::Read)?, &mut rows) {
            Err(Failure::OutOfOrder { line }) => Logger::default().warning(format_args!(
                "{}:{line}: earlier than the line before: the recording is not in order of time, so all of it is \
                 kept in memory and sorted",
                from.display()
            )),
            read => return Ok((read?, rows.finish()?.1)),
        }
    }
    let mut sorted = Sorted::default();
    let facts = read(&mut *open(from).map_err(Failure::Read)?, &mut sorted)?;
    let mut rows = begin()?;
    sorted.write(&mut rows)?;
    Ok((facts, rows.finish()?.1))
}

/// Opens a file; what is compressed is told by its first bytes.
fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut file = BufReader::new(File::open(path)?);
    let is_compressed = file.fill_buf()?.starts_with(&GZIP);
    Ok(if is_compressed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

fn diagnostics(failure: Failure, from: &Path, to: &Path) -> Vec<Diagnostic> {
    let in_file = |message: String| Diagnostic::new(message).in_file(from.display().to_string());
    match failure {
        Failure::Problems(Problems { told, more }) => {
            let mut all: Vec<_> = told
                .into_iter()
                .map(|problem| Diagnostic {
                    line: problem.line.map(|line| line as u32),
                    column: problem.column.map(|column| column as u32),
                    ..in_file(problem.message)
                })
                .collect();
            all.extend((more > 0).then(|| in_file(format!("and {more} more problems"))));
            all
        }
        Failure::Read(error) => vec![in_file(format!("cannot be read: {error}"))],
        Failure::Write(error) => vec![unwritable(to, &error)],
        failure @ Failure::OutOfOrder { .. } => vec![in_file(failure.to_string())],
    }
}
