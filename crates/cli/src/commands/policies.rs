//! `blis policies`: every policy with its rule and its parameters.

use crate::flags::Findings;
use crate::{Exit, printer};
use blis_config::policy_listing;
use blis_policy::Registry;
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct PoliciesArgs {
    /// As one JSON document
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As a page of documentation
    #[arg(long)]
    markdown: bool,
}

/// # Errors
/// Findings of the command line; standard output fails.
pub(crate) fn run(args: &PoliciesArgs, findings: Findings, policies: &Registry) -> Result<(), Exit> {
    findings.check()?;
    let listing = match (args.json, args.markdown) {
        (true, _) => policy_listing::json,
        (false, true) => policy_listing::markdown,
        (false, false) => policy_listing::text,
    };
    Ok(printer::result(&listing(policies))?)
}
