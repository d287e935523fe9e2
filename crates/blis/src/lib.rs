//! Simulates clusters of LLM servers: one call from a [`Plan`] to an [`Outcome`].
//!
//! What a user wants, [`RunOptions`], is mostly optional. [`plan`] checks all of it, fills in the rest from the
//! built-in catalogue of models and GPUs, and gives a [`Plan`] in which nothing is optional, or everything that is
//! wrong at once. [`run`] does the rest. It reads no files, knows no clock and no environment: the same plan gives the
//! same outcome, byte for byte, on every machine.
//!
//! ```
//! use blis::options::{RunOptions, Traffic, WorkloadOptions};
//!
//! let options = RunOptions {
//!     model: Some("qwen/qwen3-14b".into()),
//!     num_instances: Some(2),
//!     routing_policy: Some("least-loaded".into()),
//!     traffic: Traffic::Synthesised(WorkloadOptions {
//!         rate: Some(5.0),
//!         num_requests: Some(50),
//!         ..WorkloadOptions::default()
//!     }),
//!     ..RunOptions::default()
//! };
//! let plan = blis::plan(&options).expect("the options are in range");
//! let outcome = blis::run(&plan);
//!
//! assert_eq!(outcome.conservation.completed, 50);
//! assert!(outcome.cluster.ttft_ms.p99 > 0.0);
//! println!("{}", blis::report::table(&outcome, None, None));
//! ```
//!
//! Options that make no sense are all named:
//!
//! ```
//! use blis::options::RunOptions;
//!
//! let options = RunOptions { num_instances: Some(0), scheduler: Some("lifo".into()), ..RunOptions::default() };
//! let problems = blis::plan(&options).unwrap_err();
//! assert_eq!(problems.len(), 3, "no instances, no such scheduler, no model");
//! ```

pub use blis_cluster::{Control, Detail, Observer, Plan, Progress, Stopped, Workload, abandon};
pub use blis_config::{
    Diagnostic, Gpus, Resolved, Setting, Source, Surroundings, catalogue, convert, options, resolve,
};
pub use blis_kernel::{Semantics, Tick};
pub use blis_metrics::{self as metrics, Outcome, RunEnding};
pub use blis_report as report;
pub use options::RunOptions;

/// Checks the options and builds the plan, with nothing but the built-in catalogue and the files that the options
/// name. [`resolve()`] also tells warnings, and may download what it does not know.
///
/// # Errors
/// Everything that is wrong with the options and the files.
pub fn plan(options: &RunOptions) -> Result<Plan, Vec<Diagnostic>> {
    resolve::resolve(options, &Surroundings::default()).map(|resolved| resolved.plan)
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    blis_cluster::run(plan)
}

/// Runs a plan to its end while somebody watches.
pub fn run_observed(plan: &Plan, observer: &mut dyn Observer) -> Outcome {
    blis_cluster::run_observed(plan, observer)
}

/// Runs a plan to its end and tells now and then how far it is.
pub fn run_with_progress(plan: &Plan, progress: &mut dyn FnMut(Progress)) -> Outcome {
    blis_cluster::run_with_progress(plan, progress)
}
