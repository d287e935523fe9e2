//! `blis explain`: why a request went where it went.

use crate::flags::Findings;
use crate::{Exit, printer};
use blis::{Diagnostic, report};
use blis_config::decision_file;
use clap::Args;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Name of the request, or the number of request_<number>
    request: String,
    /// File that a run or a replay wrote with --decision-trace
    #[arg(long, value_name = "FILE")]
    decision_trace: Option<PathBuf>,
}

/// # Errors
/// The file cannot be read or has no decision about the request, or standard output failed.
pub(crate) fn run(args: ExplainArgs, mut findings: Findings) -> Result<(), Exit> {
    let Some(path) = args.decision_trace.filter(|path| !path.as_os_str().is_empty()) else {
        findings.add(
            Diagnostic::new("--decision-trace is missing")
                .with_help("let a run or a replay write the file with the same flag"),
        );
        return findings.check();
    };
    findings.check()?;
    let shown = path.display();
    let is_number = args.request.bytes().all(|byte| byte.is_ascii_digit());
    let request = if is_number { format!("request_{}", args.request) } else { args.request };
    let file = File::open(&path)
        .map_err(|error| Diagnostic::new(format!("--decision-trace: cannot read {shown}: {error}")))?;
    let decisions =
        decision_file::read(BufReader::new(file), &shown.to_string(), &request).map_err(Exit::Problems)?;
    let explanation = report::explanation(&decisions, &request)
        .ok_or_else(|| Diagnostic::new(format!("{shown} has no decision about \"{request}\"")))?;
    Ok(printer::result(&explanation)?)
}
