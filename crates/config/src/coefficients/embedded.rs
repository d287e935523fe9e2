//! The fitted sets that are built in. `blis fit` wrote them; `docs/fit.md` has the command.
//!
//! A run needs a few values of them; how sure they are and where they come from is read only for those who ask.

use super::{CoefficientSet, HOST};
use blis_latency::Backend;
use serde::Deserialize;
use std::sync::OnceLock;

/// A set that is built in: text, the values that were read of it, and all of it.
struct Embedded {
    file_name: &'static str,
    text: &'static str,
    values: OnceLock<Values<'static>>,
    set: OnceLock<CoefficientSet>,
}

impl Embedded {
    const fn new(file_name: &'static str, text: &'static str) -> Self {
        Self { file_name, text, values: OnceLock::new(), set: OnceLock::new() }
    }

    fn of(backend: Backend) -> Option<&'static Self> {
        static PROFILED: Embedded =
            Embedded::new("profiled.json", include_str!("../../data/coefficients/profiled.json"));
        static PHYSICS: Embedded = Embedded::new(
            "trained-physics.json",
            include_str!("../../data/coefficients/trained-physics.json"),
        );
        match backend {
            Backend::Profiled => Some(&PROFILED),
            Backend::TrainedPhysics => Some(&PHYSICS),
            _ => None,
        }
    }
}

/// The built-in set of a step-time model, with the host's coefficients, where there is a fitted one. Our own, so a bad one is a bug.
pub fn embedded(backend: Backend) -> Option<&'static CoefficientSet> {
    let Embedded { file_name, text, set, .. } = Embedded::of(backend)?;
    let read = || {
        CoefficientSet::read(text, file_name)
            .unwrap_or_else(|problems| panic!("embedded coefficients: {}", problems[0]))
    };
    Some(set.get_or_init(read))
}

/// What of a set a run needs.
#[derive(Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    coefficients: Vec<Value<'a>>,
}

#[derive(Deserialize)]
struct Value<'a> {
    name: &'a str,
    value: f64,
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<f64> {
        self.coefficients.iter().find(|own| own.name == name).map(|own| own.value)
    }
}

/// The values of [`embedded`].
fn values(backend: Backend) -> Option<&'static Values<'static>> {
    let Embedded { text, values, .. } = Embedded::of(backend)?;
    Some(values.get_or_init(|| {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("embedded coefficients: {error}"))
    }))
}

/// A coefficient that is built in, of a step-time model or of the host: fitted, else for the host as [`HOST`] has it.
pub(crate) fn value(backend: Option<Backend>, name: &str) -> Option<f64> {
    let of_model = backend.and_then(values).and_then(|set| set.get(name));
    of_model.or_else(|| {
        let known = HOST.iter().find(|known| known.name == name)?;
        values(Backend::Profiled).and_then(|set| set.get(name)).or(Some(known.default))
    })
}
