//! A server that looks from outside like vLLM's and answers at the times that the simulated cluster gives.
//!
//! One thread plays the cluster in real time (`engine.rs`); HTTP is served by others. A request's prompt is counted and
//! named by its text ([`text`]), its answer consists of common words, and its tokens are sent when they are due.

mod account;
mod answer;
mod body;
mod chunks;
mod clock;
mod desk;
mod engine;
mod error;
mod exposition;
mod fields;
mod request;
mod server;
mod service;
pub mod text;
mod whole;

pub use desk::Punctuality;
pub use server::{Handle, Summary, raise_open_files, signal, start};

use blis_cluster::Plan;
use blis_config::options::{LengthOptions, Traffic, WorkloadOptions};
use std::net::SocketAddr;
use std::time::Duration;

/// The release whose surface is offered, as `/version` tells it.
pub const VLLM_VERSION: &str = "0.33.0";

/// A server, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it simulates. The workload is only drawn from for the lengths of answers that end by themselves; see
    /// [`answer_lengths`].
    pub plan: Plan,
    /// Where it listens; port 0 = any free one.
    pub address: SocketAddr,
    /// Names of the model, the first of which answers carry; at least one.
    pub served_names: Vec<String>,
    /// Simulated seconds per second; finite and above zero.
    pub speedup: f64,
    /// What requests must carry as a bearer token, if anything.
    pub api_key: Option<String>,
    /// Tenants that requests may name, beside those with budgets.
    pub tenants: Vec<String>,
    /// How long requests in flight may go on after the server was asked to stop.
    pub shutdown_timeout: Duration,
}

/// The workload from whose requests the lengths of answers are drawn: truncated normal, as of a run.
pub fn answer_lengths(output: LengthOptions) -> Traffic {
    let shortest = LengthOptions { mean: Some(1), stdev: Some(0), min: Some(1), max: Some(1) };
    Traffic::Synthesised(WorkloadOptions {
        num_requests: Some(i64::MAX),
        prompt: shortest,
        output,
        ..WorkloadOptions::default()
    })
}
