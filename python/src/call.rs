//! Calls that last: other Python threads go on meanwhile, and Ctrl-C ends them.

use blis::{Control, Diagnostic};
use blis_cli::library::{Caller, Problems};
use blis_policy::Registry;
use pyo3::prelude::*;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Time between two looks for signals.
const LOOK: Duration = Duration::from_millis(50);

/// A problem as `blis.Problem` takes it: message, file, line, column, help.
type Fields = (String, Option<String>, Option<u32>, Option<u32>, Option<String>);

/// The exception for what the command line would say.
pub(crate) fn problems(problems: Problems) -> PyErr {
    let fields = |problem: Diagnostic| {
        let Diagnostic { file, line, column, message, help } = problem;
        (message, file, line, column, help)
    };
    let fields: Vec<Fields> = problems.into_iter().map(fields).collect();
    let raised = Python::attach(|py| {
        let error = py.import("blis._problems")?.getattr("BlisError")?.call_method1("of", (fields,))?;
        Ok(PyErr::from_value(error))
    });
    raised.unwrap_or_else(|error| error)
}

/// Does the work on another thread, without the lock of the interpreter; gives the result and the warnings. `counter` is
/// told how many trials of how many are done.
pub(crate) fn supervised<T: Send>(
    py: Python<'_>,
    policies: &Registry,
    counter: Option<&Py<PyAny>>,
    work: impl FnOnce(Caller<'_>) -> Result<T, Problems> + Send,
) -> PyResult<(T, Vec<String>)> {
    let (control, told) = (Control::new(), Mutex::new(Vec::new()));
    let raised = Mutex::new(None);
    let fail = |error: PyErr| {
        control.stop();
        raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    let count = |done: u64, of: u64| {
        if let Some(counter) = counter
            && let Err(error) = Python::attach(|py| counter.call1(py, (done, of)).map(drop))
        {
            fail(error);
        }
    };
    let result = py.detach(|| {
        let caller =
            Caller { policies, control: &control, told: &told, counter: counter.map(|_| &count as _) };
        let (sender, done) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                // Whoever waits does so until there is a result.
                let _ = sender.send(work(caller));
            });
            loop {
                match done.recv_timeout(LOOK) {
                    Ok(result) => return Some(result),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Err(error) = Python::attach(look_for_signals) {
                            fail(error);
                        }
                    }
                    // It failed an assertion, which the scope tells.
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        })
    });
    if let Some(error) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if let Some(cause) = control.take_cause() {
        return Err(match cause.downcast::<PyErr>() {
            Ok(error) => *error,
            Err(_) => problems(vec![blis_search::stopped()]),
        });
    }
    let result = result.expect("the work has a result").map_err(problems)?;
    Ok((result, told.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

fn look_for_signals(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}
