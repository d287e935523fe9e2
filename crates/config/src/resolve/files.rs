//! Files that a run reads and writes.

use crate::Diagnostic;
use crate::options::{RunOptions, Traffic};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

/// What is wrong with the files that a run is to write, so that this is known before the run: they must be writable,
/// differ from one another and be none of the files that the run reads. `outputs` are flags with their paths.
/// Nothing is changed.
pub fn check_outputs(outputs: &[(&str, &Path)], inputs: &[PathBuf]) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let inputs: Vec<PathBuf> = inputs.iter().filter_map(|path| path.canonicalize().ok()).collect();
    for (i, (flag, path)) in outputs.iter().enumerate() {
        let shown = path.display();
        let place = path.canonicalize();
        if place.as_ref().is_ok_and(|place| inputs.contains(place)) {
            problems
                .push(Diagnostic::new(format!("{flag} is {shown}, which this run reads; name another file")));
        } else if let Some((earlier, _)) = outputs[..i].iter().find(|(_, other)| other == path) {
            problems.push(Diagnostic::new(format!("{earlier} and {flag} are both {shown}; name two files")));
        } else if let Err(error) = try_to_write(path) {
            problems.push(Diagnostic::new(format!("{flag}: cannot write {shown}: {error}")));
        }
    }
    problems
}

fn try_to_write(path: &Path) -> std::io::Result<()> {
    let is_new = fs::symlink_metadata(path).is_err();
    OpenOptions::new().append(true).create(true).open(path)?;
    if is_new {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Whether a run goes on without this file: nobody named it.
pub fn is_optional(options: &RunOptions, path: &Path) -> bool {
    options.defaults_filepath.is_none() && path == Path::new(DEFAULTS)
}

/// The catalogue that is read when it is there.
const DEFAULTS: &str = "defaults.yaml";

/// Every file that a run with these options may read.
pub fn inputs(options: &RunOptions) -> Vec<PathBuf> {
    let config = options.model_config_folder.as_ref().map(|folder| folder.join("config.json"));
    let (first, second) = match &options.traffic {
        Traffic::Synthesised(workload) => (workload.spec.clone(), None),
        Traffic::Trace(trace) => (trace.header.clone(), trace.data.clone()),
    };
    let defaults = options.defaults_filepath.clone().or_else(|| Some(PathBuf::from(DEFAULTS)));
    let (hardware, policies) =
        (options.hardware_config.clone(), options.policy_config.clone().or(options.epp_config.clone()));
    let detectors = options.saturation_config.clone();
    let offload = options.kv_offload_config.clone();
    let adapters = options.lora.config.clone();
    let coefficients = options.coefficients.clone();
    [config, first, second, defaults, hardware, policies, detectors, offload, adapters, coefficients]
        .into_iter()
        .flatten()
        .collect()
}
