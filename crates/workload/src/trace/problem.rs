//! What can be wrong with the data of a trace.

use std::fmt;

/// Problems that are told one by one; more are only counted.
const TOLD_PROBLEMS: usize = 20;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceProblem {
    /// There is not even a row of names.
    #[error("the file is empty; expected a row of column names")]
    Empty,
    /// A column is not there.
    #[error(
        "no column `{column}`; the columns request_id, input_tokens, output_tokens and arrival_time_us are needed"
    )]
    MissingColumn {
        /// Its name.
        column: &'static str,
    },
    /// A column is there twice.
    #[error("column `{column}` appears more than once")]
    RepeatedColumn {
        /// Its name.
        column: &'static str,
    },
    /// A row ends too early.
    #[error("{columns} columns; expected at least {needed}")]
    ShortRow {
        /// Line of the file, from 1.
        line: u64,
        /// Columns it has.
        columns: usize,
        /// Columns that the names ask for.
        needed: usize,
    },
    /// A value cannot be used.
    #[error("column `{column}`: `{value}` is not {allowed}")]
    Value {
        /// Line of the file, from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// What is written there.
        value: String,
        /// What may be written there.
        allowed: &'static str,
    },
    /// A client gives up before it asks.
    #[error(
        "column `deadline_us`: {deadline_us} is before `arrival_time_us` {arrival_us}; expected 0 or a later time"
    )]
    DeadlineBeforeArrival {
        /// Line of the file, from 1.
        line: u64,
        /// The deadline.
        deadline_us: i64,
        /// The arrival.
        arrival_us: i64,
    },
    /// Blocks are named, but the header does not say how long they are.
    #[error("column `prefix_blocks`: blocks of unknown size; the header has no prefix_block_tokens")]
    BlocksOfUnknownSize {
        /// Line of the file, from 1.
        line: u64,
    },
    /// A prompt begins with two things.
    #[error(
        "column `prefix_blocks`: a prompt begins with its blocks, but `prefix_length` is {prefix_tokens}; expected 0"
    )]
    BlocksBehindPrefix {
        /// Line of the file, from 1.
        line: u64,
        /// The length of the prefix.
        prefix_tokens: u32,
    },
    /// A prompt is shorter than its blocks.
    #[error(
        "column `prefix_blocks`: {blocks} blocks of {block_tokens} tokens do not fit into `input_tokens`, {input_tokens}"
    )]
    TooManyBlocks {
        /// Line of the file, from 1.
        line: u64,
        /// How many blocks are named.
        blocks: u64,
        /// Tokens of each.
        block_tokens: u32,
        /// Tokens of the prompt.
        input_tokens: u32,
    },
    /// The file cannot be read as text in columns.
    #[error("{message}")]
    Unreadable {
        /// Line of the file, from 1; 0 when unknown.
        line: u64,
        /// What the reader says.
        message: String,
    },
}

impl TraceProblem {
    /// The line of the file that is to blame, from 1, if one is.
    pub fn line(&self) -> Option<u64> {
        match *self {
            Self::Empty => None,
            Self::MissingColumn { .. } | Self::RepeatedColumn { .. } => Some(1),
            Self::ShortRow { line, .. }
            | Self::Value { line, .. }
            | Self::DeadlineBeforeArrival { line, .. }
            | Self::BlocksOfUnknownSize { line }
            | Self::BlocksBehindPrefix { line, .. }
            | Self::TooManyBlocks { line, .. }
            | Self::Unreadable { line, .. } => Some(line).filter(|&line| line > 0),
        }
    }
}

/// Everything that is wrong with the data of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceError {
    /// The first problems in file order.
    pub problems: Vec<TraceProblem>,
    /// How many more there are.
    pub more: usize,
}

impl TraceError {
    pub(super) fn push(&mut self, problem: TraceProblem) {
        if self.problems.len() < TOLD_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            if let Some(line) = problem.line() {
                write!(f, "line {line}: ")?;
            }
            write!(f, "{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n… and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for TraceError {}
