//! `blis models`, `blis hardware`, `blis presets`: what is known by name.

use crate::flags::Findings;
use crate::{Exit, printer};
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct ListingArgs {}

pub(crate) fn models(_: ListingArgs, findings: Findings) -> Result<(), Exit> {
    findings.check()?;
    Ok(printer::result("")?)
}
pub(crate) fn hardware(_: ListingArgs, findings: Findings) -> Result<(), Exit> {
    findings.check()
}
pub(crate) fn presets(_: ListingArgs, findings: Findings) -> Result<(), Exit> {
    findings.check()
}
