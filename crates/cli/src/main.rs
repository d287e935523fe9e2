//! The `blis` program.

mod arguments;
mod commands;
mod deprecated;
mod flags;
mod logger;
mod printer;
mod progress;
mod trace_file;

use blis_config::diagnostic::Diagnostic;
use std::io;
use std::process::ExitCode;

/// Why the program ends before its end.
#[derive(Debug)]
enum Exit {
    /// There is nothing more to do.
    Done,
    /// The user has to change something.
    Problems(Vec<Diagnostic>),
}

impl From<Diagnostic> for Exit {
    fn from(problem: Diagnostic) -> Self {
        Self::Problems(vec![problem])
    }
}

impl From<io::Error> for Exit {
    /// Standard output failed. A reader that has seen enough, as `head` does, is no problem.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Done,
            _ => Diagnostic::new(format!("standard output: {error}")).into(),
        }
    }
}

fn main() -> ExitCode {
    match commands::run(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(()) | Err(Exit::Done) => ExitCode::SUCCESS,
        Err(Exit::Problems(problems)) => {
            printer::problems(&problems);
            ExitCode::FAILURE
        }
    }
}
