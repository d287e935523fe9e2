//! The `blis` program as a library: a program with policies of its own is the same program, whose flags, help, policy
//! files and listings know them.
//!
//! ```no_run
//! use blis_policy::Registry;
//!
//! let mut policies = Registry::built_in();
//! // policies.routing.add(my_router::ENTRY);
//! blis_cli::main_with(&policies);
//! ```

mod arguments;
mod around;
mod commands;
mod deprecated;
mod flags;
mod flags_file;
pub mod library;
mod logger;
mod printer;
mod progress;
mod report_file;
mod trace_file;
mod trial_folder;
mod variation;

use blis_config::diagnostic::Diagnostic;
use blis_policy::Registry;
use std::io;
use std::process::ExitCode;

/// Why the program ends before its end.
#[derive(Debug)]
enum Exit {
    /// There is nothing more to do.
    Done,
    /// The user has to change something.
    Problems(Vec<Diagnostic>),
    /// Everything worked, but a figure is not as it has to be.
    Exceeded(Vec<Diagnostic>),
}

/// Exit code for [`Exit::Exceeded`].
const EXCEEDED: u8 = 3;

impl From<Diagnostic> for Exit {
    fn from(problem: Diagnostic) -> Self {
        Self::Problems(vec![problem])
    }
}

impl From<blis_store::Error> for Exit {
    fn from(error: blis_store::Error) -> Self {
        let problem = Diagnostic::new(error.to_string());
        match error.help() {
            Some(help) => problem.with_help(help).into(),
            None => problem.into(),
        }
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

/// Does what the command line of this process says, with these policies.
pub fn main_with(policies: &Registry) -> ExitCode {
    match commands::run(&std::env::args_os().collect::<Vec<_>>(), policies) {
        Ok(()) | Err(Exit::Done) => ExitCode::SUCCESS,
        Err(Exit::Problems(problems)) => {
            printer::problems(&problems);
            ExitCode::FAILURE
        }
        Err(Exit::Exceeded(problems)) => {
            printer::problems(&problems);
            ExitCode::from(EXCEEDED)
        }
    }
}
