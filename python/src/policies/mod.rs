//! Policies that are Python classes. One file per group of axes turns what a policy sees into the arguments of a method, and
//! what that returns into a decision. An exception ends the run and is raised where the run was asked for.

mod gateway;
mod instance;
mod placement;

use crate::call::problems;
use blis::{Diagnostic, abandon};
use blis_policy::registry::Setup;
use blis_policy::{Entry, Param, Range, Reads, Registry};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A policy class, kept for as long as the process lasts: a plan may name it at any time.
struct Class {
    axis: String,
    name: &'static str,
    summary: &'static str,
    params: &'static [Param],
    reads: Reads,
    /// Whether it is made with the seed of the run.
    seeded: bool,
    class: Py<PyAny>,
    /// `blis.policy`, which has the classes of what policies see.
    views: Py<PyAny>,
}

/// Every class that was used, by its address: a class that is kept keeps its own.
static KNOWN: Mutex<BTreeMap<usize, &'static Class>> = Mutex::new(BTreeMap::new());

/// The built-in policies and these.
pub(crate) fn registry(classes: &[Bound<'_, PyAny>]) -> PyResult<Registry> {
    let mut registry = Registry::built_in();
    for class in classes {
        add(&mut registry, known(class)?)?;
    }
    Ok(registry)
}

fn known(class: &Bound<'_, PyAny>) -> PyResult<&'static Class> {
    let address = class.as_ptr() as usize;
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(&address) {
        return Ok(known);
    }
    let known: &'static Class = Box::leak(Box::new(described(class)?));
    all.insert(address, known);
    Ok(known)
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// What the decorator says of a class: axis, name, summary, parameters (name, default, range, summary), what it reads,
/// whether it takes the seed.
type Said = (String, String, String, Vec<(String, f64, String, String)>, Vec<String>, bool);

fn described(class: &Bound<'_, PyAny>) -> PyResult<Class> {
    let Ok(said) = class.getattr("__blis_policy__") else {
        let text = format!("{} is no policy; decorate its class with @blis.policy.AXIS(NAME)", class.repr()?);
        return Err(PyTypeError::new_err(text));
    };
    let (axis, name, summary, params, reads, seeded): Said = said.extract()?;
    let params = params
        .into_iter()
        .map(|(name, default, range, summary)| {
            let range = range_of(&range)?;
            if !range.contains(default) {
                let text = format!("the default of {name} is {default}; it must be {}", range.text());
                return Err(PyValueError::new_err(text));
            }
            Ok(Param { name: leaked(name), summary: leaked(summary), default, range })
        })
        .collect::<PyResult<Vec<_>>>()?;
    let named = |what: &str| reads.iter().any(|name| name == what);
    Ok(Class {
        axis,
        name: leaked(name),
        summary: leaked(summary),
        params: params.leak(),
        reads: Reads { in_flight: named("in_flight"), snapshot: named("snapshot"), cache: named("cache") },
        seeded,
        class: class.clone().unbind(),
        views: class.py().import("blis.policy")?.into_any().unbind(),
    })
}

fn range_of(name: &str) -> PyResult<Range> {
    const RANGES: [(&str, Range); 8] = [
        ("finite", Range::Finite),
        ("positive", Range::Positive),
        ("non-negative", Range::NonNegative),
        ("fraction", Range::Fraction),
        ("share", Range::Share),
        ("count", Range::Count),
        ("positive-count", Range::PositiveCount),
        ("integer", Range::Integer),
    ];
    let found = RANGES.iter().find(|(known, _)| *known == name).map(|(_, range)| *range);
    found.ok_or_else(|| {
        let known: Vec<_> = RANGES.iter().map(|(known, _)| *known).collect();
        PyValueError::new_err(format!("unknown range {name:?}, known: {}", known.join(", ")))
    })
}

fn add(registry: &mut Registry, class: &'static Class) -> PyResult<()> {
    let is_new =
        |mut names: Box<dyn Iterator<Item = &'static str> + '_>| names.all(|name| name != class.name);
    macro_rules! into {
        ($table:ident, $make:expr) => {{
            if !is_new(Box::new(registry.$table.names())) {
                return Err(taken(class, registry.$table.axis.name));
            }
            let (name, summary, params) = (class.name, class.summary, class.params);
            registry.$table.add(Entry { name, summary, formula: "a Python class", params, make: $make });
        }};
    }
    /// A closure that lasts as long as the class.
    macro_rules! make {
        ($of:path) => {
            Box::leak(Box::new(move |setup: &Setup<'_>| {
                Box::new($of(class, Object::new(class, setup))) as Box<_>
            }))
        };
    }
    match class.axis.as_str() {
        "admission" => into!(admission, make!(placement::Admits::new)),
        "routing" => into!(routing, make!(placement::Routes::new)),
        "scorer" => into!(scorers, make!(placement::Scores::new)),
        "disaggregation" => into!(deciders, make!(placement::Splits::new)),
        "encode" => into!(encode_deciders, make!(placement::Encodes::new)),
        "saturation" => into!(saturation, make!(gateway::Measures::new)),
        "dispatch_order" => into!(dispatch_orders, make!(gateway::Orders::new)),
        "fairness" => into!(fairness, make!(gateway::TakesTurns::new)),
        "usage_limit" => into!(usage_limits, make!(gateway::Limits::new)),
        "scheduling" => into!(schedulers, instance::scheduler(class)),
        "preemption" => into!(preemption, instance::preemption(class)),
        other => return Err(PyValueError::new_err(format!("there is no axis {other:?}"))),
    }
    Ok(())
}

fn taken(class: &Class, axis: &str) -> PyErr {
    problems(vec![
        Diagnostic::new(format!("there is a {axis} called {} already", class.name))
            .with_help("choose another name for the class"),
    ])
}

/// Ends the run unless it went well.
fn or_abandon<T>(result: PyResult<T>) -> T {
    result.unwrap_or_else(|error| abandon(Box::new(error)))
}

/// A policy at work.
struct Object {
    class: &'static Class,
    object: Py<PyAny>,
}

impl Object {
    /// With its parameters, and with the seed of the run if it wants that.
    fn new(class: &'static Class, setup: &Setup<'_>) -> Self {
        or_abandon(Python::attach(|py| {
            let given = PyDict::new(py);
            for param in class.params {
                given.set_item(param.key(), setup.params.get(param.name))?;
            }
            if class.seeded {
                given.set_item("seed", setup.seed)?;
            }
            let object = class.class.bind(py).call((), Some(&given))?.unbind();
            Ok(Self { class, object })
        }))
    }

    /// Of a class that remembers nothing.
    fn plain(class: &'static Class, py: Python<'_>) -> PyResult<Self> {
        Ok(Self { class, object: class.class.call0(py)? })
    }

    /// Asks it, and understands its answer.
    fn ask<T>(&self, ask: impl for<'py> FnOnce(&Asking<'_, 'py>) -> PyResult<T>) -> T {
        or_abandon(Python::attach(|py| {
            ask(&Asking { class: self.class, object: self.object.bind(py), views: self.class.views.bind(py) })
        }))
    }

    fn has(&self, method: &str) -> bool {
        Python::attach(|py| self.object.bind(py).hasattr(method).unwrap_or(false))
    }
}

/// A policy that is being asked.
struct Asking<'a, 'py> {
    class: &'static Class,
    object: &'a Bound<'py, PyAny>,
    views: &'a Bound<'py, PyAny>,
}

impl<'py> Asking<'_, 'py> {
    fn py(&self) -> Python<'py> {
        self.object.py()
    }

    /// What it sees, as an object of a class of `blis.policy`.
    fn view(&self, class: &str, fields: impl pyo3::call::PyCallArgs<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.views.getattr(class)?.call1(fields)
    }

    /// A column, if the policy said that it reads it.
    fn column<T: Copy + IntoPyObject<'py>>(
        &self,
        is_read: bool,
        values: &[T],
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        if is_read { PyTuple::new(self.py(), values.iter().copied()).map(Some) } else { Ok(None) }
    }

    /// Its answer as a place among so many.
    fn place(&self, answer: &Bound<'py, PyAny>, method: &str, among: usize) -> PyResult<usize> {
        let wrong = || {
            let name = self.class.name;
            PyValueError::new_err(format!(
                "{method} of {name} gave {answer}; it must be from 0 to {}",
                among - 1
            ))
        };
        let place: i64 = answer.extract().map_err(|_| wrong())?;
        usize::try_from(place).ok().filter(|&place| place < among).ok_or_else(wrong)
    }

    /// Its answer as a finite number.
    fn number(&self, answer: &Bound<'py, PyAny>, method: &str) -> PyResult<f64> {
        let number: Option<f64> = answer.extract().ok();
        number.filter(|number| number.is_finite()).ok_or_else(|| {
            let name = self.class.name;
            PyValueError::new_err(format!("{method} of {name} gave {answer}; it must be a finite number"))
        })
    }

    /// Its answer as so many finite numbers.
    fn numbers(&self, answer: &Bound<'py, PyAny>, method: &str, out: &mut [f64]) -> PyResult<()> {
        let numbers: Option<Vec<f64>> = answer.extract().ok();
        let all = numbers.filter(|all| all.len() == out.len() && all.iter().all(|number| number.is_finite()));
        let Some(all) = all else {
            let (name, many) = (self.class.name, out.len());
            let text =
                format!("{method} of {name} gave {answer}; it must be a list of {many} finite numbers");
            return Err(PyValueError::new_err(text));
        };
        out.copy_from_slice(&all);
        Ok(())
    }
}
