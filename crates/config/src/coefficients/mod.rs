//! Coefficients of step-time models and of the host as a set with names, as `blis fit` writes them and `--coefficients` reads
//! them: values, bounds, how sure each is, and where they come from.
//!
//! A set may say any of the coefficients of its step-time model ([`parameters`]) and of the host ([`HOST`]); what it does not say
//! is as built in.

mod embedded;
mod file;
mod known;
#[cfg(test)]
mod tests;

pub use embedded::embedded;
pub(crate) use embedded::value as built_in;
pub use known::{HOST, Parameter, parameters};

use crate::diagnostic::Diagnostic;
use blis_latency::physics::Factors;
use blis_latency::profiled::Tuning;
use blis_latency::{Backend, Coefficients, GpuSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Coefficients with their provenance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoefficientSet {
    /// Whose coefficients they are; `None` = the host's only.
    pub latency_model: Option<Backend>,
    /// The coefficients, each name once.
    pub coefficients: Vec<Coefficient>,
    /// How those that were fitted vary together.
    pub covariance: Covariance,
    /// What they were fitted to.
    pub provenance: Provenance,
    /// How far simulations with them are from what was measured.
    pub errors: Vec<Achieved>,
}

/// A coefficient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficient {
    /// Name, as [`Parameter::name`].
    pub name: String,
    /// Value, in the unit of the name.
    pub value: f64,
    /// Least value that a fit or a draw may give it.
    pub lower: f64,
    /// Largest such value.
    pub upper: f64,
    /// Standard deviation; absent where it was not fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
}

/// Covariance of fitted coefficients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covariance {
    /// Names of the coefficients, in the order of rows and columns.
    pub of: Vec<String>,
    /// Rows; symmetric, in the product of the units of the two coefficients.
    pub matrix: Vec<Vec<f64>>,
}

/// What coefficients were fitted to. There is no date but the one that the user gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Version of BLIS that fitted them.
    #[serde(default)]
    pub blis_version: String,
    /// When, as the user said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Whatever else is to be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Files that measurements were read from: name, and the FNV-1a of the contents, 64 bits in hexadecimal digits.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Points by set.
    #[serde(default)]
    pub sets: BTreeMap<String, u64>,
    /// Points by model and GPU.
    #[serde(default)]
    pub points: Vec<Points>,
}

/// How many points there were of a model on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// Model.
    pub model: String,
    /// GPU type.
    pub gpu: String,
    /// How many.
    pub points: u64,
}

/// Errors achieved, as shares of what was measured: medians of their sizes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Achieved {
    /// Model; `all` = all of them.
    pub model: String,
    /// What, as `ttft_mean`.
    pub figure: String,
    /// How many.
    pub count: u64,
    /// With the coefficients that the fit began with.
    pub before: f64,
    /// With these coefficients.
    pub in_sample: f64,
    /// With coefficients fitted without the group that the point belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validated: Option<f64>,
}

impl CoefficientSet {
    /// The set that says all coefficients of a model and of the host as they are built in. `None` = the host's only.
    pub fn built_in(latency_model: Option<Backend>) -> Self {
        let coefficients = latency_model
            .map(parameters)
            .unwrap_or_default()
            .into_iter()
            .chain(HOST)
            .map(|parameter| Coefficient {
                name: parameter.name.to_owned(),
                value: built_in(latency_model, parameter.name).unwrap_or(parameter.default),
                lower: parameter.lower,
                upper: parameter.upper,
                sd: None,
            })
            .collect();
        Self { latency_model, coefficients, ..Self::default() }
    }

    /// Reads a set.
    ///
    /// # Errors
    /// Everything that is wrong with the text, with line and column in `file_name`.
    pub fn read(text: &str, file_name: &str) -> Result<Self, Vec<Diagnostic>> {
        file::read(text, file_name)
    }

    /// The set as a text that [`Self::read`] reads; the same bytes for the same set.
    pub fn to_json(&self) -> String {
        file::write(self)
    }

    /// A coefficient's value, where the set says it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.coefficient(name).map(|coefficient| coefficient.value)
    }

    /// A coefficient by name.
    pub fn coefficient(&self, name: &str) -> Option<&Coefficient> {
        self.coefficients.iter().find(|coefficient| coefficient.name == name)
    }

    /// The values of the fitted coefficients, in the order of [`Covariance::of`]: the mean of their posterior.
    pub fn fitted(&self) -> Vec<f64> {
        self.covariance.of.iter().map(|name| self.get(name).unwrap_or_default()).collect()
    }

    /// The set with other values of the fitted coefficients, in the order of [`Covariance::of`], kept within their bounds: for
    /// draws from the posterior. Values beyond the fitted coefficients are ignored, missing ones stay.
    #[must_use]
    pub fn with(&self, values: &[f64]) -> Self {
        let names: Vec<&str> = self.covariance.of.iter().map(String::as_str).collect();
        self.with_values(&names, values)
    }

    /// The set with other values of these coefficients, kept within their bounds. Names that the set does not have are ignored.
    #[must_use]
    pub fn with_values(&self, names: &[&str], values: &[f64]) -> Self {
        let mut set = self.clone();
        for (name, value) in names.iter().zip(values) {
            if let Some(own) = set.coefficients.iter_mut().find(|own| own.name == *name) {
                own.value = value.clamp(own.lower, own.upper);
            }
        }
        set
    }

    /// Whether it says anything about the host.
    pub fn has_host(&self) -> bool {
        HOST.iter().any(|parameter| self.get(parameter.name).is_some())
    }

    /// The lists of a model that takes lists, those of `defaults` where the set says nothing.
    pub fn lists(&self, defaults: &Coefficients) -> Coefficients {
        let overlaid = |known: &[f64], letter: &str| {
            let names = (0..).map(|index| self.get(&format!("{letter}{index}")));
            let of_backend = self.latency_model.map(parameters).unwrap_or_default();
            let count = of_backend.iter().filter(|parameter| parameter.is_in_list(letter)).count();
            names
                .take(count.max(known.len()))
                .enumerate()
                .map(|(index, own)| own.or(known.get(index).copied()).unwrap_or_default())
                .collect()
        };
        Coefficients { alpha: overlaid(&defaults.alpha, "alpha"), beta: overlaid(&defaults.beta, "beta") }
    }

    /// What of the profiled model it changes; what it does not say is as built in.
    pub fn tuning(&self) -> Tuning {
        let mut tuning = Tuning::default();
        for (name, place) in known::places(&mut tuning) {
            if let Some(value) = self.get(name).or_else(|| built_in(Some(Backend::Profiled), name)) {
                *place = value;
            }
        }
        tuning
    }

    /// The factors of trained-physics; what it does not say is as built in.
    pub fn factors(&self) -> Factors {
        let mut factors = Factors::default();
        for (name, place) in known::factor_places(&mut factors) {
            if let Some(value) = self.get(name).or_else(|| built_in(Some(Backend::TrainedPhysics), name)) {
                *place = value;
            }
        }
        factors
    }

    /// The GPU with the shares of its rates that roofline assumes.
    pub fn rated(&self, gpu: &GpuSpec) -> GpuSpec {
        let factor = |name: &str| self.get(name).unwrap_or(1.0);
        GpuSpec {
            mfu_prefill: gpu.mfu_prefill * factor(known::PREFILL_RATE),
            mfu_decode: gpu.mfu_decode * factor(known::DECODE_RATE),
            hbm_tb_per_s: gpu.hbm_tb_per_s * factor(known::BANDWIDTH),
            ..gpu.clone()
        }
    }
}
