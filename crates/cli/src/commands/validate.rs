//! `blis validate`: whether files are as they should be.

use crate::flags::Findings;
use crate::{Exit, printer};
use blis::Diagnostic;
use blis_config::validate::{Validated, validate};
use blis_policy::Registry;
use clap::Args;
use std::fs;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// Workload files, trace headers and rows, policy and defaults files, hardware tables, config.json of models
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// # Errors
/// Everything that is wrong with the command line, the files or standard output.
pub(crate) fn run(args: &ValidateArgs, mut findings: Findings, policies: &Registry) -> Result<(), Exit> {
    let mut files = Vec::new();
    for path in &args.files {
        match fs::read(path) {
            Ok(bytes) => files.push((path.display().to_string(), bytes)),
            Err(error) => {
                findings.add(Diagnostic::new(format!("cannot read {}: {error}", path.display())));
            }
        }
    }
    let mut good = Vec::new();
    for Validated { name, kind, problems, warnings } in validate(&files, policies) {
        for warning in warnings {
            printer::message("warning", warning);
        }
        if let Some(kind) = kind.filter(|_| problems.is_empty()) {
            good.push(format!("{name}: {kind}, nothing wrong\n"));
        }
        findings.extend(problems);
    }
    printer::result(&good.concat())?;
    findings.check()
}
