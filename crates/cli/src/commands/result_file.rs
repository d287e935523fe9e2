//! Files of commands that make one text from another.

use crate::{Exit, printer};
use blis::Diagnostic;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct ResultFile {
    /// File for the result [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl ResultFile {
    /// # Errors
    /// The file or standard output cannot be written.
    pub(crate) fn write(&self, text: &str) -> Result<(), Exit> {
        match self.output.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            None => Ok(printer::result(text)?),
            Some(path) => std::fs::write(path, text).map_err(|error| {
                Diagnostic::new(format!("--output: cannot write {}: {error}", path.display())).into()
            }),
        }
    }
}

/// The text of a file that a flag has to name, and its name.
///
/// # Errors
/// The flag is missing; the file cannot be read.
pub(crate) fn read(flag: &str, path: Option<&Path>) -> Result<(String, String), Vec<Diagnostic>> {
    let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
        return Err(vec![Diagnostic::new(format!("{flag} is missing"))]);
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((text, path.display().to_string())),
        Err(error) => Err(vec![Diagnostic::new(format!("{flag}: cannot read {}: {error}", path.display()))]),
    }
}
