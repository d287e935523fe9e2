//! `blis workload describe`: what the requests of a workload look like.

use crate::flags::output::{Format, one_of};
use crate::flags::{Findings, Typed, text};
use crate::{Exit, printer};
use blis::{Diagnostic, Tick, report};
use blis_config::traffic_file::{self, TrafficFile};
use blis_workload::{Profile, ProfileOptions};
use clap::Args;
use std::fs;
use std::path::PathBuf;

const DEFAULT_REQUESTS: i64 = 1_000_000;
const DEFAULT_TOKEN_TIME_US: f64 = 20_000.0;

#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// Workload file or header of a trace, YAML
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// CSV rows of the trace, if FILE is the header of one
    #[arg(long, value_name = "FILE")]
    trace_data: Option<PathBuf>,
    /// table (for people) or json [default: table]
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Seed that replaces that of the file
    #[arg(long, value_name = "INT")]
    seed: Option<Typed<i64>>,
    /// Requests to look at [default: 1000000]
    #[arg(long, value_name = "INT")]
    max_requests: Option<Typed<i64>>,
    /// What a token of an answer takes, ms, where requests wait for answers [default: 20]
    #[arg(long, value_name = "NUM")]
    itl_ms: Option<Typed<f64>>,
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(args: DescribeArgs, mut findings: Findings) -> Result<(), Exit> {
    const FORMATS: [(&str, Format); 2] = [("table", Format::Table), ("json", Format::Json)];
    let format = text(args.format).unwrap_or_else(|| "table".to_owned());
    let format = one_of("value of --format", Some(format), &FORMATS, &mut findings);
    let seed = findings.value("--seed", args.seed);
    let max_requests = findings.value("--max-requests", args.max_requests).unwrap_or(DEFAULT_REQUESTS);
    if max_requests < 1 {
        findings.add(Diagnostic::new(format!("--max-requests is {max_requests}; it must be at least 1")));
    }
    let token_time_us = match findings.value("--itl-ms", args.itl_ms) {
        None => DEFAULT_TOKEN_TIME_US,
        Some(ms) if ms >= 0.0 && ms.is_finite() => ms * 1e3,
        Some(ms) => {
            findings.add(Diagnostic::new(format!("--itl-ms is {ms}; it must be finite and at least 0")));
            0.0
        }
    };
    let name = args.file.display().to_string();
    let traffic = match (read(&args.file), args.trace_data.as_ref().map(read).transpose()) {
        (Ok(file), Ok(rows)) => {
            let rows_name = args.trace_data.as_ref().map(|path| path.display().to_string());
            let rows = rows.as_deref().zip(rows_name.as_deref());
            traffic_file::read((&file, &name), rows, seed)
        }
        (file, rows) => Err(file.err().into_iter().chain(rows.err()).collect()),
    };
    let traffic = match traffic {
        Ok(traffic) => Some(traffic),
        Err(problems) => {
            findings.extend(problems);
            None
        }
    };
    findings.check()?;
    let Some(TrafficFile { mut source, warnings }) = traffic else { return Err(Exit::Done) };
    for warning in warnings {
        printer::message("warning", warning);
    }
    let token_time = Tick::trunc(token_time_us);
    let options = ProfileOptions { max_requests: max_requests as u64, token_time };
    let profile = Profile::of(&mut *source, options);
    Ok(printer::result(&match format {
        Format::Json => report::profile_document(&name, &profile, options),
        Format::Text | Format::Table => report::profile_table(&name, &profile, options),
    })?)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Diagnostic> {
    fs::read(path).map_err(|error| Diagnostic::new(format!("cannot read {}: {error}", path.display())))
}
