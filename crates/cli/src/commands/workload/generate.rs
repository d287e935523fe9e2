//! `blis workload generate`: the requests of a workload file as a trace, without simulating anything.

use crate::flags::{Findings, Typed};
use crate::trace_file::{TraceFiles, unwritable};
use crate::{Exit, printer};
use blis::resolve::{files, new_header};
use blis::{Diagnostic, Tick};
use blis_config::trace_header::trace_header_file;
use blis_config::workload_file::{self, Overrides};
use blis_workload::trace::{ContextGrowth, RowNumbers, RowStatus, Served, TraceExport, TraceMode};
use blis_workload::{Client, RequestSource, TraceHeader, Traffic, Workload};
use clap::Args;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// Workload file, YAML
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Trace to write: PREFIX.yaml and PREFIX.csv [required]
    #[arg(long, value_name = "PREFIX")]
    trace_output: Option<PathBuf>,
    /// Seed that replaces that of the file
    #[arg(long, value_name = "INT")]
    seed: Option<Typed<i64>>,
    /// Number of requests instead of that of the file; 0 = no limit
    #[arg(long, value_name = "INT")]
    num_requests: Option<Typed<i64>>,
}

/// # Errors
/// Whatever is wrong with the settings, the workload file or the files of the trace.
pub(crate) fn run(args: GenerateArgs, mut findings: Findings) -> Result<(), Exit> {
    let seed = findings.value("--seed", args.seed);
    let num_requests = findings.value("--num-requests", args.num_requests);
    if let Some(count) = num_requests.filter(|&count| count < 0) {
        findings.add(Diagnostic::new(format!("--num-requests is {count}; it must be at least 0")));
    }
    let trace = TraceFiles::of_prefix(args.trace_output);
    match &trace {
        None => findings.add(Diagnostic::new("--trace-output is missing; it names the trace to write")),
        Some(trace) => {
            findings.extend(files::check_outputs(&trace.outputs(), std::slice::from_ref(&args.file)));
        }
    }
    let max_requests = num_requests.map(|count| u64::try_from(count).ok().filter(|&count| count > 0));
    let overrides = Overrides { seed, max_requests, ..Overrides::default() };
    let workload = match read(&args.file, overrides) {
        Ok((workload, warnings)) => {
            for warning in warnings {
                printer::message("warning", warning);
            }
            Some(workload)
        }
        Err(problems) => {
            findings.extend(problems);
            None
        }
    };
    findings.check()?;
    let (Some(mut workload), Some(trace)) = (workload, trace) else { return Err(Exit::Done) };
    if workload.clients.iter().any(|client| matches!(client.traffic, Traffic::Concurrency { .. })) {
        let message = "users of a concurrency pool send their next requests when answers come, which nobody gives \
                       here: only the first request of each is written";
        printer::message("warning", message);
    }
    // Rounds that wait for answers are sent at the times that stand in for them.
    for conversation in workload.clients.iter_mut().filter_map(|client| client.conversation.as_mut()) {
        conversation.closed_loop = false;
    }
    let requests =
        write_rows(&trace.data, &mut *workload.stream()).map_err(|error| unwritable(&trace.data, &error))?;
    let header = TraceHeader {
        workload_seed: Some(workload.seed),
        workload_spec: Some(args.file.display().to_string()),
        ..new_header(TraceMode::Generated)
    };
    fs::write(&trace.header, trace_header_file(&header))
        .map_err(|error| unwritable(&trace.header, &error))?;
    let (header, data) = (trace.header.display(), trace.data.display());
    Ok(printer::result(&format!("{header} and {data}: {requests} requests\n"))?)
}

fn read(path: &Path, overrides: Overrides) -> Result<(Workload, Vec<Diagnostic>), Vec<Diagnostic>> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| vec![Diagnostic::new(format!("cannot read {name}: {error}"))])?;
    let file = workload_file::read(&text, &name, overrides)?;
    let Workload { horizon, max_requests, ref clients, .. } = file.workload;
    if horizon == Tick::MAX && max_requests.is_none() && !clients.iter().all(Client::is_bounded) {
        let problem = Diagnostic::new("nothing ends this workload: it has no horizon and no num_requests");
        return Err(vec![problem.in_file(name).with_help("give --num-requests")]);
    }
    Ok((file.workload, file.warnings))
}

/// Writes every request that comes by itself; returns how many there are.
fn write_rows(path: &Path, source: &mut dyn RequestSource) -> io::Result<u64> {
    let file = BufWriter::new(File::create(path)?);
    let mut export = TraceExport::new(file, source, RowNumbers::Counted, ContextGrowth::None)?;
    let mut number = 0;
    let served = Served { status: RowStatus::Ok, ..Served::default() };
    while let Some(request) = source.next_arrival() {
        export.ended(number, request, served, source)?;
        number += 1;
    }
    export.finish()?;
    Ok(number)
}
