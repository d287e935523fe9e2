//! Ranges of settings, and what is found while they are checked.

use crate::diagnostic::Diagnostic;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The user gave it.
    Given,
    /// The catalogue's entry of the model, or a preset.
    Catalogue,
    /// The model's configuration file.
    ModelConfig,
    /// The file of coefficients.
    Coefficients,
    /// The defaults of the engine's release.
    Engine,
    /// Computed from other settings.
    Computed,
    /// What holds when nobody says otherwise.
    Default,
}

impl Source {
    pub(crate) fn of(is_given: bool) -> Self {
        if is_given { Self::Given } else { Self::Default }
    }
}

/// One setting of a run as it came out, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name, as on the command line without the dashes.
    pub name: String,
    /// Value.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(crate) struct Check {
    pub(crate) problems: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) notices: Vec<Diagnostic>,
    /// By name, so that what comes out replaces what went in.
    pub(crate) settings: BTreeMap<String, Setting>,
    /// Files that are given as texts.
    pub(crate) texts: BTreeMap<PathBuf, String>,
}

impl Check {
    pub(crate) fn problem(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// A setting out of its range.
    pub(crate) fn out_of_range(&mut self, name: &str, value: impl Display, allowed: &str) {
        self.problem(Diagnostic::new(format!("--{name} is {value}; it must be {allowed}")));
    }

    pub(crate) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(Diagnostic::new(message));
    }

    pub(crate) fn notice(&mut self, message: impl Into<String>) {
        self.notices.push(Diagnostic::new(message));
    }

    pub(crate) fn note(&mut self, name: &str, value: impl Display, source: Source) {
        let setting = Setting { name: name.to_owned(), value: value.to_string(), source };
        self.settings.insert(name.to_owned(), setting);
    }

    /// A whole number within `range`; one outside it is noted and the default stands in.
    pub(crate) fn integer(
        &mut self,
        name: &str,
        given: Option<i64>,
        default: i64,
        range: RangeInclusive<i64>,
    ) -> i64 {
        let value = given.unwrap_or(default);
        if !range.contains(&value) {
            let allowed = if *range.end() == i64::MAX {
                format!("at least {}", range.start())
            } else {
                format!("from {} to {}", range.start(), range.end())
            };
            self.out_of_range(name, value, &allowed);
            return default;
        }
        self.note(name, value, Source::of(given.is_some()));
        value
    }

    /// A whole number from `min` that fits 32 bits.
    pub(crate) fn count(&mut self, name: &str, given: Option<i64>, default: u32, min: u32) -> u32 {
        self.integer(name, given, i64::from(default), i64::from(min)..=i64::from(u32::MAX)) as u32
    }

    /// A real number that `is_allowed`; another one is noted and the default stands in.
    pub(crate) fn real(
        &mut self,
        name: &str,
        given: Option<f64>,
        default: f64,
        is_allowed: fn(f64) -> bool,
        allowed: &str,
    ) -> f64 {
        let value = given.unwrap_or(default);
        if !is_allowed(value) {
            self.out_of_range(name, value, allowed);
            return default;
        }
        self.note(name, value, Source::of(given.is_some()));
        value
    }
}

/// Finite and above 0.
pub(crate) fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// What [`is_positive`] allows.
pub(crate) const POSITIVE: &str = "a finite number above 0";
