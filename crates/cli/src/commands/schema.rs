//! `blis schema`: JSON Schemas of our files, for editors.

use crate::flags::Findings;
use crate::{Exit, printer};
use blis_config::diagnostic::unknown_name;
use blis_config::schemas::SCHEMAS;
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {
    /// Kind of file: workload
    #[arg(value_name = "KIND")]
    kind: String,
}

/// # Errors
/// Findings of the command line; standard output fails.
pub(crate) fn run(args: &SchemaArgs, mut findings: Findings) -> Result<(), Exit> {
    let schema = SCHEMAS.iter().find(|(kind, _)| *kind == args.kind);
    if schema.is_none() {
        findings.add(unknown_name("kind of file", &args.kind, SCHEMAS.map(|(kind, _)| kind)));
    }
    findings.check()?;
    Ok(printer::result(schema.map_or("", |(_, text)| *text))?)
}
