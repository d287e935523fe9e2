//! Checked values of a workload file, and everything that is wrong with the others.

use super::AdapterReference;
use super::schema::{Maybe, Whole};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::yaml::Spanned;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// What was found in one file so far.
pub(super) struct Reader<'a> {
    /// `None` for a file that this program makes.
    file_name: Option<&'a str>,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) adapters: Vec<AdapterReference>,
}

/// Where an entry stands: its path of keys, and its place in the file.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) path: String,
    line: u32,
    column: u32,
}

impl At {
    /// The whole file.
    pub(super) fn file() -> Self {
        Self { path: String::new(), line: 0, column: 0 }
    }

    /// A key below this place; without a place of its own it stands at this one.
    pub(super) fn key<T>(&self, key: &str, value: Option<&Spanned<T>>) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        match value.map(|value| value.referenced) {
            Some(place) if place.line() > 0 => {
                Self { path, line: place.line() as u32, column: place.column() as u32 }
            }
            _ => Self { path, ..self.clone() },
        }
    }
}

pub(super) fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

pub(super) fn is_not_negative(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// What [`is_not_negative`] allows.
pub(super) const NOT_NEGATIVE: &str = "a finite number, 0 or more";

/// What [`is_positive`] allows.
pub(super) const POSITIVE: &str = "a finite number above 0";

/// What there is to say about a key.
fn about(at: &At, what: impl Display) -> Diagnostic {
    Diagnostic::new(if at.path.is_empty() { what.to_string() } else { format!("{} {what}", at.path) })
}

impl<'a> Reader<'a> {
    /// Nothing was found yet.
    pub(super) fn new(file_name: Option<&'a str>) -> Self {
        Self { file_name, problems: Vec::new(), warnings: Vec::new(), adapters: Vec::new() }
    }

    pub(super) fn place(&self, at: &At, diagnostic: Diagnostic) -> Diagnostic {
        let diagnostic = Diagnostic { file: self.file_name.map(str::to_owned), ..diagnostic };
        if at.line == 0 { diagnostic } else { diagnostic.at(at.line, at.column) }
    }

    pub(super) fn problem(&mut self, at: &At, problem: Diagnostic) {
        let problem = self.place(at, problem);
        self.problems.push(problem);
    }

    /// A problem whose message begins with the key's path.
    pub(super) fn report(&mut self, at: &At, what: impl Display) {
        self.problem(at, about(at, what));
    }

    pub(super) fn warn(&mut self, at: &At, what: impl Display) {
        let warning = self.place(at, about(at, what));
        self.warnings.push(warning);
    }

    pub(super) fn out_of_range(&mut self, at: &At, value: impl Display, allowed: &str) {
        self.report(at, format_args!("is {value}; it must be {allowed}"));
    }

    /// A real number that `is_allowed`.
    pub(super) fn real(
        &mut self,
        parent: &At,
        key: &str,
        given: &Maybe<f64>,
        is_allowed: fn(f64) -> bool,
        allowed: &str,
    ) -> Option<f64> {
        let given = given.as_ref()?;
        if is_allowed(given.value) {
            return Some(given.value);
        }
        self.out_of_range(&parent.key(key, Some(given)), given.value, allowed);
        None
    }

    /// A whole number within `range`.
    pub(super) fn whole(
        &mut self,
        parent: &At,
        key: &str,
        given: &Maybe<Whole>,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let given = given.as_ref()?;
        let Whole(value) = given.value;
        if range.contains(&value) {
            return Some(value);
        }
        let allowed = if *range.end() == i64::MAX {
            format!("at least {}", range.start())
        } else {
            format!("from {} to {}", range.start(), range.end())
        };
        self.out_of_range(&parent.key(key, Some(given)), value, &allowed);
        None
    }

    /// The same for a number that has to be there.
    pub(super) fn required_whole(
        &mut self,
        parent: &At,
        key: &str,
        given: &Maybe<Whole>,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        if given.is_none() {
            self.report(&parent.key::<()>(key, None), "is missing");
        }
        self.whole(parent, key, given, range)
    }

    /// One of some words; `None` for an absent or empty one, and for one that is not known.
    pub(super) fn word<T: Copy>(
        &mut self,
        parent: &At,
        key: &str,
        given: &Maybe<String>,
        known: &[(&str, T)],
    ) -> Option<T> {
        let given = given.as_ref().filter(|given| !given.value.is_empty())?;
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == given.value) {
            return Some(*value);
        }
        let at = parent.key(key, Some(given));
        let problem = unknown_name(&at.path, &given.value, known.iter().map(|(word, _)| *word));
        self.problem(&at, problem);
        None
    }
}
