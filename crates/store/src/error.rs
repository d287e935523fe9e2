//! What can go wrong, and what to do about it.

use crate::part::Part;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why something could not be done. Its text says what is wrong; [`Error::help`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not there.
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    /// The folder is no experiment's.
    #[error("{} holds no experiment: it has no {}", .0.display(), crate::experiment::FILE)]
    NoExperiment(PathBuf),
    /// What was asked differs from what the folder was made for.
    #[error("{} holds another experiment: {difference}", .folder.display())]
    OtherExperiment {
        /// The folder.
        folder: PathBuf,
        /// In which point they differ, with both values.
        difference: String,
    },
    /// The file that says what was asked is damaged.
    #[error("{}: {reason}", .file.display())]
    BadExperiment {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The experiment cannot be kept like this.
    #[error("{0}")]
    BadColumns(String),
    /// A row does not fit the columns.
    #[error("trial {trial}: {reason}")]
    BadRow {
        /// The trial's number.
        trial: u64,
        /// What does not fit.
        reason: String,
    },
    /// Another process writes the same part.
    #[error("another process writes part {part} of {}", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The part.
        part: Part,
    },
    /// The folder cannot be brought into its final form.
    #[error("{} is not complete: {missing} of {planned} trials are missing, the first is {first}", .folder.display())]
    Incomplete {
        /// The folder.
        folder: PathBuf,
        /// How many trials were planned.
        planned: u64,
        /// How many of them are not there.
        missing: u64,
        /// The first that is not there.
        first: u64,
    },
    /// The folder has files that cannot be believed.
    #[error("{}: {reason}", .file.display())]
    Damaged {
        /// The first of them.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// SQL that cannot be done.
    #[error("SQL: {reason}{}; {}", at(*.place), known(.tables))]
    Sql {
        /// Why.
        reason: String,
        /// Where in the statement, in characters from 1, where that can be told.
        place: Option<usize>,
        /// The tables that there are, each with its columns.
        tables: Vec<(String, Vec<String>)>,
    },
    /// The index cannot be made.
    #[error("{}: the index cannot be made: {reason}", .file.display())]
    Index {
        /// The index.
        file: PathBuf,
        /// The words of SQLite.
        reason: String,
    },
    /// The disk or the user's share of it is full.
    #[error("{} cannot be written: {}{}", .path.display(), .cause, told(*.safe))]
    Full {
        /// The file.
        path: PathBuf,
        /// The words of the operating system.
        cause: String,
        /// How many trials are safely in the folder, where that can be told.
        safe: Option<u64>,
    },
    /// Nothing may be written there.
    #[error("{} cannot be written: {}{}", .path.display(), .cause, told(*.safe))]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// The words of the operating system.
        cause: String,
        /// How many trials are safely in the folder, where that can be told.
        safe: Option<u64>,
    },
    /// Anything else that the operating system refuses.
    #[error("{} cannot be {doing}: {source}{}", .path.display(), told(*.safe))]
    Io {
        /// What was tried, as in "cannot be …".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The words of the operating system.
        source: io::Error,
        /// How many trials are safely in the folder, where that can be told.
        safe: Option<u64>,
    },
}

fn told(trials: Option<u64>) -> String {
    match trials {
        None => String::new(),
        Some(1) => "; 1 trial is safely in the folder".to_owned(),
        Some(trials) => format!("; {trials} trials are safely in the folder"),
    }
}

fn at(place: Option<usize>) -> String {
    place.map(|place| format!(" (at character {place})")).unwrap_or_default()
}

fn known(tables: &[(String, Vec<String>)]) -> String {
    let tables: Vec<_> =
        tables.iter().map(|(table, columns)| format!("{table} has {}", columns.join(", "))).collect();
    tables.join("; ")
}

impl Error {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Error::NoFolder(_) | Error::NoExperiment(_) => "give the folder that the results were written to",
            Error::OtherExperiment { .. } => {
                "give another folder, or ask for the same as before to have it taken up again"
            }
            Error::BadExperiment { .. } => {
                "move this file away and give the command that made it once more: it is written anew"
            }
            Error::InUse { .. } => {
                "wait for it, stop it, or give another part such as 2/2 to every further process"
            }
            Error::Incomplete { .. } => "give the same command once more: it runs what is missing",
            Error::Damaged { .. } => {
                "give the same command once more: the file is put aside and its trials are run again"
            }
            Error::Full { .. } => {
                "free some space and give the same command once more: it goes on from there"
            }
            Error::NotWritable { .. } => "allow writing there and give the same command once more",
            Error::Io { doing: "locked", .. } => {
                "give a folder on a disk that has locks; rows of several machines can be copied together afterwards"
            }
            Error::BadColumns(_)
            | Error::BadRow { .. }
            | Error::Sql { .. }
            | Error::Index { .. }
            | Error::Io { .. } => return None,
        })
    }

    /// What a failure to write, rename or remove means.
    pub(crate) fn writing(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Error::Full { path, cause: error.to_string(), safe: None }
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Error::NotWritable { path, cause: error.to_string(), safe: None }
            }
            _ => Error::Io { doing: "written", path, source: error, safe: None },
        }
    }

    /// What a failure to read means.
    pub(crate) fn reading(path: &Path, error: io::Error) -> Self {
        Error::Io { doing: "read", path: path.to_owned(), source: error, safe: None }
    }

    /// Tells also how much is safe.
    pub(crate) fn with_safe(mut self, trials: impl FnOnce() -> Option<u64>) -> Self {
        if let Error::Full { safe, .. } | Error::NotWritable { safe, .. } | Error::Io { safe, .. } = &mut self
        {
            *safe = trials();
        }
        self
    }
}
