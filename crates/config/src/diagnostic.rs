//! One problem with what a user gave us, in a form that a person can act on.

use std::fmt;

/// A problem in a file or a flag. Loaders return all they find, so that a file is repaired in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic {
    /// File in which it lies, as the user named it; `None` for a problem that no file has.
    pub file: Option<String>,
    /// Line, counted from 1.
    pub line: Option<u32>,
    /// Column in characters, counted from 1.
    pub column: Option<u32>,
    /// What is wrong: the setting's name, its value and what is allowed.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem that belongs to no file.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Names the file.
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Names the position, both counted from 1.
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// Says what to do.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: message; help` with the absent parts left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(f, "{number}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for Diagnostic {}

/// A message for a name that is not among the known ones: what it is, the nearest known name, all known names in
/// order.
pub fn unknown_name<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Diagnostic {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let problem = Diagnostic::new(format!("unknown {what} \"{name}\", known: {}", known.join(", ")));
    match nearest(name, &known) {
        Some(near) => problem.with_help(format!("did you mean \"{near}\"?")),
        None => problem,
    }
}

/// The known name that a mistyped one most resembles, if any is near enough to be meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // 0.8 is the usual threshold of the Jaro-Winkler measure for "the same word, mistyped".
    const NEAR_ENOUGH: f64 = 0.8;
    let wanted = name.to_lowercase();
    known
        .iter()
        .map(|&candidate| (strsim::jaro_winkler(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR_ENOUGH)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::{Diagnostic, unknown_name};

    #[test]
    fn a_diagnostic_reads_as_one_line_with_its_position() {
        let problem = Diagnostic::new("tp is -1").in_file("plan.yaml").at(3, 7).with_help("give 1 or more");
        assert_eq!(problem.to_string(), "plan.yaml:3:7: tp is -1; give 1 or more");
        assert_eq!(Diagnostic::new("no model").to_string(), "no model");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_sorted_known_ones_and_the_nearest() {
        let problem = unknown_name("GPU", "h10", ["L40S", "H100", "A100-SXM"]);
        assert_eq!(
            problem.to_string(),
            "unknown GPU \"h10\", known: A100-SXM, H100, L40S; did you mean \"H100\"?"
        );
        assert_eq!(unknown_name("GPU", "TPU-9", ["H100"]).help, None);
    }
}
