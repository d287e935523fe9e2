//! Coefficient files: JSON.

use super::{Achieved, Coefficient, CoefficientSet, Covariance, HOST, Provenance, parameters};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::yaml::{self, Location, Spanned};
use blis_latency::Backend;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The version of the files that are written, and the only one that is read.
const VERSION: i64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    version: Spanned<i64>,
    #[serde(default)]
    latency_model: Option<Spanned<String>>,
    coefficients: Vec<Spanned<Coefficient>>,
    #[serde(default)]
    covariance: Option<Spanned<Covariance>>,
    #[serde(default)]
    provenance: Provenance,
    #[serde(default)]
    errors: Vec<Achieved>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_model: Option<&'static str>,
    coefficients: &'a [Coefficient],
    covariance: &'a Covariance,
    provenance: &'a Provenance,
    errors: &'a [Achieved],
}

/// See [`CoefficientSet::to_json`].
pub(super) fn write(set: &CoefficientSet) -> String {
    let written = Written {
        version: VERSION,
        latency_model: set.latency_model.map(Backend::name),
        coefficients: &set.coefficients,
        covariance: &set.covariance,
        provenance: &set.provenance,
        errors: &set.errors,
    };
    let mut text = serde_json::to_string_pretty(&written).expect("names and numbers");
    text.push('\n');
    text
}

struct Problems<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl Problems<'_> {
    fn at(&mut self, place: Location, problem: Diagnostic) {
        let (line, column) = (place.line() as u32, place.column() as u32);
        self.found.push(problem.in_file(self.file).at(line, column));
    }

    fn require(&mut self, holds: bool, place: Location, problem: impl FnOnce() -> String) {
        if !holds {
            self.at(place, Diagnostic::new(problem()));
        }
    }
}

/// See [`CoefficientSet::read`]. JSON is read as the YAML that it also is, which tells positions and keys given twice.
pub(super) fn read(text: &str, file_name: &str) -> Result<CoefficientSet, Vec<Diagnostic>> {
    let file: Read = yaml::from_str(text, file_name)?;
    let mut problems = Problems { file: file_name, found: Vec::new() };
    let version = file.version.value;
    problems.require(version == VERSION, file.version.referenced, || {
        format!("version is {version}; it must be {VERSION}")
    });
    let latency_model = file.latency_model.as_ref().and_then(|name| {
        let found = Backend::ALL.into_iter().find(|backend| backend.name() == name.value);
        if found.is_none() {
            let known = Backend::ALL.map(Backend::name);
            problems.at(name.referenced, unknown_name("latency_model", &name.value, known));
        }
        found
    });
    let names = latency_model.map(parameters).unwrap_or_default();
    let known: BTreeSet<&str> = names.iter().chain(&HOST).map(|parameter| parameter.name).collect();
    // Of a model that nobody knows, no coefficient is known either.
    let names_count = file.latency_model.is_none() || latency_model.is_some();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for Spanned { value: own, referenced: place, .. } in &file.coefficients {
        let Coefficient { name, value, lower, upper, sd } = own;
        if names_count && !known.contains(name.as_str()) {
            problems.at(*place, unknown_name("coefficient", name, known.iter().copied()));
        }
        problems.require(seen.insert(name.clone()), *place, || format!("coefficient {name} is given twice"));
        let is_range = lower.is_finite() && upper.is_finite() && *lower >= 0.0 && lower <= upper;
        problems.require(is_range, *place, || {
            format!("{name} has bounds {lower} and {upper}; they must be finite, at least 0 and in order")
        });
        let is_inside = value.is_finite() && (!is_range || (lower..=upper).contains(&value));
        problems.require(is_inside, *place, || {
            format!("{name} is {value}; it must be within its bounds, {lower} and {upper}")
        });
        if let Some(sd) = sd {
            problems.require(sd.is_finite() && *sd >= 0.0, *place, || {
                format!("sd of {name} is {sd}; it must be finite and at least 0")
            });
        }
    }
    if let Some(covariance) = &file.covariance {
        check_covariance(&covariance.value, covariance.referenced, &seen, &mut problems);
    }
    if !problems.found.is_empty() {
        return Err(problems.found);
    }
    Ok(CoefficientSet {
        latency_model,
        coefficients: file.coefficients.into_iter().map(|own| own.value).collect(),
        covariance: file.covariance.map(|covariance| covariance.value).unwrap_or_default(),
        provenance: file.provenance,
        errors: file.errors,
    })
}

fn check_covariance(
    covariance: &Covariance,
    place: Location,
    names: &BTreeSet<String>,
    problems: &mut Problems<'_>,
) {
    let Covariance { of, matrix } = covariance;
    let mut seen = BTreeSet::new();
    for name in of {
        problems.require(names.contains(name), place, || {
            format!("covariance.of names {name}, which is not among the coefficients")
        });
        problems.require(seen.insert(name), place, || format!("covariance.of names {name} twice"));
    }
    let count = of.len();
    if matrix.len() != count || matrix.iter().any(|row| row.len() != count) {
        problems.require(false, place, || {
            format!("covariance.matrix must have {count} rows of {count} numbers, as many as covariance.of")
        });
        return;
    }
    for (i, row) in matrix.iter().enumerate() {
        problems.require(row.iter().all(|value| value.is_finite()), place, || {
            format!("covariance.matrix[{i}] has a number that is not finite")
        });
        problems.require(row[i] >= 0.0, place, || {
            format!("covariance.matrix[{i}][{i}] is {}; it must be at least 0", row[i])
        });
        for (j, value) in row.iter().enumerate().take(i) {
            let other = matrix[j][i];
            let is_same = (value - other).abs() <= 1e-9 * value.abs().max(other.abs());
            problems.require(is_same, place, || {
                format!(
                    "covariance.matrix[{i}][{j}] is {value} and [{j}][{i}] is {other}; they must be equal"
                )
            });
        }
    }
}
