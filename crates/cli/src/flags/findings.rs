//! What is wrong with a command line.

use super::value::{Micros, Typed};
use crate::Exit;
use blis_config::diagnostic::Diagnostic;

/// Everything that was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Diagnostic>);

impl Findings {
    pub(crate) fn add(&mut self, finding: Diagnostic) {
        self.0.push(finding);
    }

    pub(crate) fn extend(&mut self, more: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(more);
    }

    /// The value of a flag; a bad one is noted and counts as not given.
    pub(crate) fn value<T>(&mut self, flag: &str, typed: Option<Typed<T>>) -> Option<T> {
        match typed? {
            Typed::Good(value) => Some(value),
            Typed::Bad { text, expected } => {
                let finding = Diagnostic::new(format!("{flag} is \"{text}\"; it must be {expected}"));
                // A flag without its value takes the next flag for it.
                self.add(if text.starts_with("--") {
                    finding.with_help(format!("the value of {flag} seems to be missing"))
                } else {
                    finding
                });
                None
            }
        }
    }

    /// The same for a time, µs.
    pub(crate) fn micros(&mut self, flag: &str, typed: Option<Typed<Micros>>) -> Option<i64> {
        self.value(flag, typed).map(|Micros(us)| us)
    }

    /// The value, or a note of everything that is wrong with it.
    pub(crate) fn try_all<T>(&mut self, result: Result<T, Vec<Diagnostic>>) -> Option<T> {
        result.map_err(|problems| self.extend(problems)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes on when nothing was found.
    ///
    /// # Errors
    /// All findings.
    pub(crate) fn check(self) -> Result<(), Exit> {
        if self.0.is_empty() { Ok(()) } else { Err(Exit::Problems(self.0)) }
    }

    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        self.0
    }
}
