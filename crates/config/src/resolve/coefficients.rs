//! The set of coefficients that a run is given, as a file or in memory.

use super::backend::AUTO;
use super::check::{Check, Source};
use super::read;
use crate::coefficients::CoefficientSet;
use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;
use blis_kernel::Semantics;
use blis_latency::Backend;
use std::sync::Arc;

/// A set of coefficients, and whether it chose the step-time model.
pub(super) struct Given {
    pub(super) set: Arc<CoefficientSet>,
    chooses_model: bool,
}

/// The set. Where no step-time model is named, the set's goes into the options.
pub(super) fn given(check: &mut Check, options: &mut RunOptions, semantics: Semantics) -> Option<Given> {
    let set = match (&options.coefficient_set, &options.coefficients) {
        (Some(set), _) => Arc::clone(set),
        (None, Some(path)) => {
            let shown = path.display().to_string();
            let text = read(check, "--coefficients", path, true)?;
            check.note("coefficients", &shown, Source::Given);
            match CoefficientSet::read(&text, &shown) {
                Ok(set) => Arc::new(set),
                Err(problems) => {
                    check.problems.extend(problems);
                    return None;
                }
            }
        }
        (None, None) => return None,
    };
    if semantics == Semantics::REFERENCE {
        check.problem(
            Diagnostic::new("--coefficients does not go with --compat inference-sim, which has its own")
                .with_help("give --alpha-coeffs and --beta-coeffs"),
        );
    }
    if options.alpha_coeffs.is_some() || options.beta_coeffs.is_some() {
        check.problem(Diagnostic::new(
            "--coefficients and --alpha-coeffs with --beta-coeffs both say what the coefficients are",
        ));
    }
    let mut chooses_model = false;
    if let Some(model) = set.latency_model {
        match options.latency_model.as_deref().filter(|name| !name.is_empty()) {
            None => {
                options.latency_model = Some(model.name().to_owned());
                chooses_model = true;
            }
            Some(name) if name == model.name() || name == AUTO => {}
            Some(name) => disagree(check, model, &format!("--latency-model is {name}")),
        }
    }
    Some(Given { set, chooses_model })
}

/// Says of the step-time model that the set chose it, where it did.
pub(super) fn note(check: &mut Check, given: Option<&Given>) {
    if given.is_some_and(|given| given.chooses_model)
        && let Some(setting) = check.settings.get_mut("latency-model")
    {
        setting.source = Source::Coefficients;
    }
}

/// The set, where it is of this step-time model.
pub(super) fn of_model(set: Option<&CoefficientSet>, backend: Backend) -> Option<&CoefficientSet> {
    set.filter(|set| set.latency_model == Some(backend))
}

/// The coefficients are of one model and the steps of another.
pub(super) fn disagree(check: &mut Check, model: Backend, but: &str) {
    check.problem(Diagnostic::new(format!("--coefficients has those of {model}, but {but}")));
}
