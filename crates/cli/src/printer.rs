//! The only file that prints.

use blis_config::diagnostic::Diagnostic;
use std::fmt::Display;
use std::io::{self, Write};

/// Writes results to standard output.
///
/// # Errors
/// As the stream fails; a reader that went away is no failure of ours, see [`crate::Exit`].
pub(crate) fn result(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes one line to standard error. A closed standard error leaves nobody to tell.
pub(crate) fn line(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes one message to standard error.
pub(crate) fn message(word: &str, message: impl Display) {
    line(format_args!("{word}: {message}"));
}

/// Writes every problem to standard error.
pub(crate) fn problems(problems: &[Diagnostic]) {
    for problem in problems {
        message("error", problem);
    }
}
