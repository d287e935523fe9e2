//! Where a command that makes one text puts it.

use crate::{Exit, printer};
use blis::Diagnostic;
use clap::Args;
use std::path::PathBuf;

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
