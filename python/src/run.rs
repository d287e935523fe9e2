//! One run.

use crate::call::supervised;
use crate::table::{self, Table};
use crate::{policies, settings};
use blis::{Outcome, Source};
use blis_cli::library;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What a run gave.
#[pyclass(frozen, module = "blis._blis")]
pub(crate) struct Run {
    run: library::Run,
}

/// Simulates; `command` is run or replay. Gives the run and the warnings.
#[pyfunction]
pub(crate) fn simulate(
    py: Python<'_>,
    command: &str,
    text: &str,
    classes: Vec<Bound<'_, PyAny>>,
) -> PyResult<(Run, Vec<String>)> {
    let settings = settings(text, "")?;
    let registry = policies::registry(&classes)?;
    let simulate = if command == "replay" { library::replay } else { library::run };
    let (run, told) = supervised(py, &registry, None, |caller| simulate(&settings, caller))?;
    Ok((Run { run }, told))
}

#[pymethods]
impl Run {
    /// What `--format json` prints.
    #[getter]
    fn document(&self) -> &str {
        &self.run.document
    }

    /// Every figure by name.
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = PyDict::new(py);
        for (name, value) in &self.run.figures {
            figures.set_item(name, value)?;
        }
        Ok(figures)
    }

    /// Every setting: name, value and where that comes from.
    fn settings(&self) -> Vec<(&str, &str, &'static str)> {
        let source = |source| match source {
            Source::Given => "given",
            Source::Catalogue => "catalogue",
            Source::ModelConfig => "model-config",
            Source::Coefficients => "coefficients",
            Source::Engine => "engine",
            Source::Computed => "computed",
            Source::Default => "default",
        };
        let all = self.run.settings.iter();
        all.map(|setting| (setting.name.as_str(), setting.value.as_str(), source(setting.source))).collect()
    }

    /// A row for every request.
    fn requests(&self, py: Python<'_>) -> PyResult<Table> {
        let outcome: &Outcome = &self.run.outcome;
        py.detach(|| table::requests(outcome))
    }
}
