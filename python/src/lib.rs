//! The simulator for Python: the native half of the package `blis`. Settings come in as JSON, results go out as JSON and as
//! columns that Arrow and NumPy read where they lie.

// Python hands its arguments over by value.
#![allow(clippy::needless_pass_by_value)]

mod call;
mod job;
mod policies;
mod run;
mod table;

use blis_cli::library::{self, Settings};
use call::{problems, supervised};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Settings as JSON.
fn settings(text: &str, name: &str) -> PyResult<Settings> {
    let value = Settings::parse(text, "settings").map_err(problems)?;
    Settings::new(&value, name).map_err(problems)
}

/// Reads settings from YAML; gives them as JSON.
#[pyfunction]
fn parse(text: &str, file: PathBuf) -> PyResult<String> {
    Ok(Settings::parse(text, &file.display().to_string()).map_err(problems)?.to_string())
}

/// What `blis plan --format json` prints, and the warnings.
#[pyfunction]
fn plan(py: Python<'_>, text: &str, classes: Vec<Bound<'_, PyAny>>) -> PyResult<(String, Vec<String>)> {
    let settings = settings(text, "")?;
    let registry = policies::registry(&classes)?;
    supervised(py, &registry, None, |caller| library::plan(&settings, caller))
}

/// What `blis compare --format json` prints, and the warnings.
#[pyfunction]
fn compare(
    py: Python<'_>,
    configurations: Vec<(String, String)>,
    common: &str,
    classes: Vec<Bound<'_, PyAny>>,
) -> PyResult<(String, Vec<String>)> {
    let common = settings(common, "")?;
    let own = |(name, text): (String, String)| {
        let settings = settings(&text, &format!("{name}: "))?;
        Ok((name, settings))
    };
    let all = configurations.into_iter().map(own).collect::<PyResult<Vec<_>>>()?;
    let registry = policies::registry(&classes)?;
    supervised(py, &registry, None, |caller| library::compare(all, &common, caller))
}

/// The native half of the package `blis`.
#[pymodule]
fn _blis(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("version", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<job::SweepJob>()?;
    module.add_class::<run::Run>()?;
    module.add_class::<table::Column>()?;
    module.add_class::<table::Table>()?;
    module.add_function(wrap_pyfunction!(parse, module)?)?;
    module.add_function(wrap_pyfunction!(plan, module)?)?;
    module.add_function(wrap_pyfunction!(compare, module)?)?;
    module.add_function(wrap_pyfunction!(run::simulate, module)?)
}
