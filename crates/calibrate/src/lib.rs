//! Simulated against measured: the requests of a real server beside the same requests in the simulator.
//!
//! [`calibrate`] pairs the rows of a trace with the results of its replay and says how far they lie apart, metric by
//! metric. Nothing here reads files or prints.

pub mod adapters;
pub mod breakdown;
pub mod comparison;
mod gate;
mod goodput;
mod itl;
mod pairs;
mod statistics;

pub use adapters::{AdapterComparison, AdapterReference, compare_adapters};
pub use breakdown::{Breakdown, Cause};
pub use comparison::{Calibration, GroupErrors, HitRate, Settings, calibrate};
pub use gate::{Excess, Gate};
pub use goodput::{ClassComparison, GoodputComparison, Side};
pub use itl::ChunkTime;
pub use pairs::{Buckets, NothingToCompare};
pub use statistics::{Bias, Errors, Figure, Quality};

/// What a replay says about one request, as it is measured at the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimResult {
    /// Number of the row that was replayed.
    pub request_id: i64,
    /// Time to first token, µs.
    pub ttft_us: f64,
    /// End-to-end latency, µs.
    pub e2e_us: f64,
    /// Prompt tokens.
    pub input_tokens: u32,
    /// Answer tokens.
    pub output_tokens: u32,
    /// SLO class.
    pub slo_class: String,
    /// Model.
    pub model: String,
    /// Mean time between tokens, µs; 0 when it is not known.
    pub itl_mean_us: f64,
}

/// A latency whose measured and simulated values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// End-to-end latency.
    E2e,
    /// Mean time between the tokens of a request.
    Itl,
    /// Time to first token.
    Ttft,
}

impl Metric {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 3] = [Self::E2e, Self::Itl, Self::Ttft];

    /// What it is called in files and flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::E2e => "e2e",
            Self::Itl => "itl",
            Self::Ttft => "ttft",
        }
    }
}
