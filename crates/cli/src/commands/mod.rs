//! One file per command.

mod accuracy;
mod calibrate;
pub(crate) mod compare;
mod completion;
mod compose;
mod convert;
mod explain;
mod fit;
mod full_loop;
mod listing;
mod mock;
mod observe;
pub(crate) mod plan;
mod policies;
pub(crate) mod replay;
mod result_file;
mod results;
pub(crate) mod run;
mod schema;
pub(crate) mod simulate;
pub(crate) mod sweep;
mod validate;
mod workload;

use crate::around::Around;
use crate::{Exit, arguments};
use blis_policy::Registry;
use clap::Subcommand;
use std::ffi::OsString;

/// The names of all commands, for suggestions.
pub(crate) const NAMES: [&str; 24] = [
    "accuracy",
    "calibrate",
    "compare",
    "completion",
    "compose",
    "convert",
    "explain",
    "fit",
    "hardware",
    "help",
    "loop",
    "mock",
    "models",
    "observe",
    "plan",
    "policies",
    "presets",
    "replay",
    "results",
    "run",
    "schema",
    "sweep",
    "validate",
    "workload",
];

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate a cluster under synthesised traffic
    Run(Box<run::RunArgs>),
    /// Simulate a cluster under the traffic of a recorded trace
    Replay(Box<replay::ReplayArgs>),
    /// Send a workload to a real server and record what comes back
    Observe(Box<observe::ObserveArgs>),
    /// Measure a real server, replay the record and compare: observe, replay and calibrate in one go
    Loop(Box<full_loop::LoopArgs>),
    /// Compare simulated with measured requests, and say what to change
    Calibrate(Box<calibrate::CalibrateArgs>),
    /// Simulate a folder of measured runs, and tell how far off the figures are
    Accuracy(Box<accuracy::AccuracyArgs>),
    /// Fit coefficients of a step-time model and of the host to measurements
    Fit(Box<fit::FitArgs>),
    /// Serve an OpenAI-compatible API at the pace of a simulated cluster
    Mock(Box<mock::MockArgs>),
    /// Say how many instances meet an SLO, or what rate so many bear, and with which GPUs and settings it is cheapest
    Plan(Box<plan::PlanArgs>),
    /// Look at results that were kept, and ask them in SQL
    Results(results::ResultsArgs),
    /// Try many configurations, and say which are best
    Sweep(Box<sweep::SweepArgs>),
    /// Run configurations with the same traffic and seeds, and say how they differ
    Compare(Box<compare::CompareArgs>),
    /// Merge workload files into one
    Compose(compose::ComposeArgs),
    /// Make a workload file or a trace from something else
    Convert(convert::ConvertArgs),
    /// Check files of any kind and tell everything that is wrong with them
    Validate(validate::ValidateArgs),
    /// Print the JSON Schema of a kind of file, for editors
    Schema(schema::SchemaArgs),
    /// Look at descriptions of traffic
    Workload(workload::WorkloadArgs),
    /// Tell why a request went where it went, from a trace of decisions
    Explain(explain::ExplainArgs),
    /// List the models that are known by name
    Models(listing::ListingArgs),
    /// List the GPU types that are known by name
    Hardware(listing::ListingArgs),
    /// List every policy with its rule, its parameters and an example
    Policies(policies::PoliciesArgs),
    /// List the workload presets
    Presets(listing::ListingArgs),
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Reads the command line and does what it says, with these policies.
///
/// # Errors
/// Why it could not.
pub(crate) fn run(words: &[OsString], policies: &Registry) -> Result<(), Exit> {
    let (command, findings) = arguments::read(words.to_vec(), policies)?;
    let around = &Around::terminal(policies);
    match command {
        Command::Run(args) => run::run(*args, findings, words, around),
        Command::Replay(args) => replay::run(*args, findings, words, around),
        Command::Plan(args) => plan::run(*args, findings, words, around),
        Command::Sweep(args) => sweep::run(*args, findings, words, around),
        Command::Compare(args) => compare::run(*args, findings, words, around),
        Command::Calibrate(args) => calibrate::run(*args, findings, words),
        Command::Accuracy(args) => accuracy::run(*args, findings, policies),
        Command::Fit(args) => fit::run(*args, findings, policies),
        Command::Mock(args) => mock::run(*args, findings, words, policies),
        Command::Observe(args) => observe::run(*args, findings, words),
        Command::Loop(args) => full_loop::run(*args, findings, words, policies),
        Command::Results(args) => results::run(args, findings),
        Command::Compose(args) => compose::run(&args, findings),
        Command::Convert(args) => convert::run(args, findings),
        Command::Validate(args) => validate::run(&args, findings, policies),
        Command::Schema(args) => schema::run(&args, findings),
        Command::Workload(args) => workload::run(args, findings),
        Command::Explain(args) => explain::run(args, findings),
        Command::Models(_) => listing::models(findings),
        Command::Hardware(_) => listing::hardware(findings),
        Command::Policies(args) => policies::run(&args, findings, policies),
        Command::Presets(_) => listing::presets(findings),
        Command::Completion(args) => completion::run(&args, findings, policies),
        Command::Other(words) => {
            let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
            Err(arguments::unknown_command(&name).into())
        }
    }
}
