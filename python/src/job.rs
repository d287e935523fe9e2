//! Sweeps, as a whole or trial by trial.

use crate::call::{problems, supervised};
use crate::table::{self, Table};
use crate::{policies, settings};
use blis_cli::library;
use blis_policy::Registry;
use blis_search::Point;
use blis_search::sweep::Trial;
use pyo3::prelude::*;

/// A trial as it travels between processes: number, point, figures, figures of the SLO, by how much that is missed, and
/// why there are none.
type Plain = (u64, Point, Vec<Option<f64>>, Vec<Option<f64>>, f64, Option<String>);

fn plain(trial: Trial) -> Plain {
    let Trial { number, point, figures, slo_ms, violation, problem } = trial;
    (number, point, figures, slo_ms, violation, problem)
}

fn trial(plain: Plain) -> Trial {
    let (number, point, figures, slo_ms, violation, problem) = plain;
    Trial { number, point, figures, slo_ms, violation, problem }
}

fn trials(plain: Vec<Plain>) -> Vec<Trial> {
    let mut trials: Vec<_> = plain.into_iter().map(trial).collect();
    trials.sort_by_key(|trial| trial.number);
    trials
}

/// A sweep that is ready to be made.
#[pyclass(frozen, module = "blis._blis")]
pub(crate) struct SweepJob {
    job: library::SweepJob,
    registry: Registry,
    /// What was warned of while it was checked.
    #[pyo3(get)]
    told: Vec<String>,
}

#[pymethods]
impl SweepJob {
    #[new]
    fn new(py: Python<'_>, text: &str, classes: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        let settings = settings(text, "")?;
        let registry = policies::registry(&classes)?;
        let (job, told) =
            supervised(py, &registry, None, |caller| library::SweepJob::new(&settings, caller))?;
        Ok(Self { job, registry, told })
    }

    /// How many trials there are.
    #[getter]
    fn planned(&self) -> u64 {
        self.job.sweep().trials
    }

    /// Makes all trials; `counter` is told how many of how many are done.
    fn run(&self, py: Python<'_>, counter: Option<Py<PyAny>>) -> PyResult<(Vec<Plain>, Vec<String>)> {
        let work = |caller: library::Caller<'_>| self.job.run(caller);
        let (trials, told) = supervised(py, &self.registry, counter.as_ref(), work)?;
        Ok((trials.into_iter().map(plain).collect(), told))
    }

    /// The points from number `first` on that can be said when those before are done, and the number behind them.
    fn points(&self, py: Python<'_>, first: u64, done: Vec<Plain>) -> (u64, Vec<(u64, Point)>) {
        py.detach(|| {
            let done = done.into_iter().map(|plain| (plain.0, trial(plain))).collect();
            self.job.points(first, &done)
        })
    }

    /// Makes these trials.
    fn make(&self, py: Python<'_>, jobs: Vec<(u64, Point)>) -> PyResult<Vec<Plain>> {
        let work = |caller: library::Caller<'_>| self.job.trials(&jobs, caller);
        let (trials, _) = supervised(py, &self.registry, None, work)?;
        Ok(trials.into_iter().map(plain).collect())
    }

    /// Opens the folder for results and gives what it has.
    fn open(&self, py: Python<'_>) -> PyResult<(Vec<Plain>, Vec<String>)> {
        let (known, told) = supervised(py, &self.registry, None, |caller| self.job.open(caller))?;
        Ok((known.into_iter().map(plain).collect(), told))
    }

    /// Keeps trials in it.
    fn keep(&self, done: Vec<Plain>) -> PyResult<()> {
        self.job.keep(&trials(done)).map_err(problems)
    }

    /// Closes it.
    fn close(&self) -> PyResult<()> {
        self.job.close().map_err(problems)
    }

    /// Writes the page of all trials, if the settings ask for one.
    fn report(&self, done: Vec<Plain>) -> PyResult<()> {
        self.job.report(&trials(done)).map_err(problems)
    }

    /// What `--format json` prints.
    fn document(&self, done: Vec<Plain>) -> String {
        self.job.document(&trials(done))
    }

    /// The numbers of the trials that no other beats.
    fn front(&self, done: Vec<Plain>) -> Vec<u64> {
        let trials = trials(done);
        self.job.sweep().front(&trials).into_iter().map(|n| trials[n].number).collect()
    }

    /// A row for every trial.
    fn table(&self, done: Vec<Plain>) -> PyResult<Table> {
        let (columns, rows) = self.job.table(&trials(done));
        table::trials(&columns, &rows)
    }
}
