//! What can be wrong with a recording.

use std::fmt;
use std::io;

/// Problems that are told one by one; more are only counted.
const TOLD_PROBLEMS: usize = 20;

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1; `None` when it concerns the file as a whole.
    pub line: Option<u64>,
    /// Column in bytes, from 1, where it is known.
    pub column: Option<u64>,
    /// What is wrong: name, value and what is allowed.
    pub message: String,
}

impl Problem {
    /// A problem of the whole file.
    pub(crate) fn of_file(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A problem of a line.
    pub(crate) fn at(line: u64, message: impl Into<String>) -> Self {
        Self { line: Some(line), column: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: {}", self.message),
            (Some(line), None) => write!(f, "line {line}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

/// Everything that is wrong, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones.
    pub told: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.told.len() < TOLD_PROBLEMS {
            self.told.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Goes on when there are none.
    pub(crate) fn check(self) -> Result<(), Failure> {
        if self.is_empty() { Ok(()) } else { Err(Failure::Problems(self)) }
    }
}

/// Why a conversion stopped.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The recording is wrong.
    #[error("{} problems", .0.told.len() + .0.more)]
    Problems(Problems),
    /// The recording is not in order of time; [`crate::Sorted`] takes it.
    #[error("line {line} is earlier than the line before")]
    OutOfOrder {
        /// The first line that is earlier than one before it.
        line: u64,
    },
    /// The recording could not be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The trace could not be written.
    #[error("cannot be written: {0}")]
    Write(io::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problems(Problems { told: vec![problem], more: 0 })
    }
}
