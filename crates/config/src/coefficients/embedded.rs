//! The fitted sets that are built in. `blis fit` wrote them; `docs/fit.md` has the command.

use super::{CoefficientSet, HOST};
use blis_latency::Backend;
use std::sync::OnceLock;

const PROFILED: &str = include_str!("../../data/coefficients/profiled.json");

/// The built-in set of a step-time model, with the host's coefficients, where there is a fitted one. Our own, so a bad one is a bug.
pub fn embedded(backend: Backend) -> Option<&'static CoefficientSet> {
    static SET: OnceLock<CoefficientSet> = OnceLock::new();
    let read = || {
        CoefficientSet::read(PROFILED, "profiled.json")
            .unwrap_or_else(|problems| panic!("embedded coefficients: {}", problems[0]))
    };
    (backend == Backend::Profiled).then(|| SET.get_or_init(read))
}

/// A coefficient that is built in, of a step-time model or of the host.
pub(super) fn value(backend: Option<Backend>, name: &str) -> Option<f64> {
    let of_model = backend.and_then(embedded).and_then(|set| set.get(name));
    let is_host = || HOST.iter().any(|known| known.name == name);
    of_model.or_else(|| embedded(Backend::Profiled).filter(|_| is_host())?.get(name))
}
