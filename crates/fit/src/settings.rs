//! What is fitted, and how.

use blis_config::Diagnostic;
use blis_config::coefficients::{CoefficientSet, Provenance};
use blis_config::diagnostic::unknown_name;
use std::collections::BTreeMap;

/// What is left out together when a fit is judged by what it did not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// All points of a model.
    Model,
    /// All points on a GPU.
    Gpu,
    /// All points of a set.
    Set,
}

impl Groups {
    /// All of them by name.
    pub const NAMES: [(&str, Self); 3] = [("model", Self::Model), ("gpu", Self::Gpu), ("set", Self::Set)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, groups)| *groups == self).map_or("", |(name, _)| name)
    }
}

/// Settings of a fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Coefficients to fit; empty = all of the set but [`Self::NOT_BY_DEFAULT`] and those of `fixed`.
    pub parameters: Vec<String>,
    /// Coefficients that keep these values.
    pub fixed: BTreeMap<String, f64>,
    /// Other bounds.
    pub bounds: BTreeMap<String, (f64, f64)>,
    /// What is left out together; `None` = no cross-validation.
    pub cross_validate: Option<Groups>,
    /// Most steps of the search.
    pub most_steps: usize,
    /// What is known of the measurements' origin.
    pub provenance: Provenance,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parameters: Vec::new(),
            fixed: BTreeMap::new(),
            bounds: BTreeMap::new(),
            cross_validate: Some(Groups::Model),
            most_steps: 20,
            provenance: Provenance::default(),
        }
    }
}

impl Settings {
    /// Cannot be told from what the front end takes by itself.
    pub const NOT_BY_DEFAULT: &'static str = "host_latency_us";

    /// The set with the values and bounds that are given.
    pub(crate) fn applied(&self, start: &CoefficientSet) -> Result<CoefficientSet, Vec<Diagnostic>> {
        let mut set = start.clone();
        let mut problems = Vec::new();
        let known: Vec<String> = set.coefficients.iter().map(|own| own.name.clone()).collect();
        let mut of = |flag: &str, name: &str| {
            let place = known.iter().position(|own| own == name);
            if place.is_none() {
                let what = format!("coefficient of --{flag}");
                problems.push(unknown_name(&what, name, known.iter().map(String::as_str)));
            }
            place
        };
        for name in &self.parameters {
            of("parameters", name);
        }
        let fixed: Vec<_> = self.fixed.iter().map(|(name, value)| (of("fix", name), name, *value)).collect();
        let bounds: Vec<_> =
            self.bounds.iter().map(|(name, range)| (of("bounds", name), name, *range)).collect();
        for (place, name, (lower, upper)) in bounds {
            let is_range = lower.is_finite() && upper.is_finite() && lower >= 0.0 && lower < upper;
            if !is_range {
                problems.push(Diagnostic::new(format!(
                    "--bounds of {name} are {lower}..{upper}; they must be finite, at least 0 and in order"
                )));
            } else if let Some(own) = place.map(|place| &mut set.coefficients[place]) {
                (own.lower, own.upper) = (lower, upper);
                own.value = own.value.clamp(lower, upper);
            }
        }
        for (place, name, value) in fixed {
            if self.parameters.contains(name) {
                problems.push(Diagnostic::new(format!("--fix and --parameters both name {name}")));
            }
            let Some(own) = place.map(|place| &mut set.coefficients[place]) else { continue };
            if (own.lower..=own.upper).contains(&value) {
                own.value = value;
            } else {
                problems.push(Diagnostic::new(format!(
                    "--fix of {name} is {value}; it must be from {} to {}",
                    own.lower, own.upper
                )));
            }
        }
        if problems.is_empty() { Ok(set) } else { Err(problems) }
    }

    /// Names of the coefficients to fit.
    pub(crate) fn wanted(&self, set: &CoefficientSet) -> Result<Vec<String>, Vec<Diagnostic>> {
        let names: Vec<String> = if self.parameters.is_empty() {
            let all = set.coefficients.iter().map(|own| own.name.clone());
            all.filter(|name| name != Self::NOT_BY_DEFAULT && !self.fixed.contains_key(name)).collect()
        } else {
            // In the order of the set, each once.
            let all = set.coefficients.iter().map(|own| own.name.clone());
            all.filter(|name| self.parameters.contains(name)).collect()
        };
        if names.is_empty() {
            return Err(vec![Diagnostic::new("--fix leaves no coefficient to fit")]);
        }
        Ok(names)
    }
}
