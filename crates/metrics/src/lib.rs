//! What a run records of its requests, and how that is summed up.
//!
//! The host hands every request to the [`Recorder`] once, when its fate is known, and ends with
//! [`Recorder::finish`], which gives the [`Outcome`].

pub mod adapters;
pub mod aggregate;
pub mod breakdown;
pub mod client_side;
mod column;
pub mod curve;
pub mod decisions;
pub mod distribution;
pub mod fitness;
pub mod goodput;
mod imbalance;
mod inversions;
pub mod offload;
pub mod outcome;
pub mod record;
pub mod recorder;
pub mod saturation;
pub mod sessions;
pub mod splits;
pub mod timeline;
pub mod trace_summary;

pub use adapters::{AdapterAggregate, AdapterCounts};
pub use aggregate::{Aggregate, InstanceFigures};
pub use breakdown::{ClassFigures, ModelFigures, TenantFigures, Tenants};
pub use client_side::ClientSide;
pub use curve::{Curve, LatencyCurves};
pub use distribution::Distribution;
pub use fitness::{Fitness, FitnessWeights};
pub use goodput::{ClassGoodput, Goodput, Latency, SloTargets, Targets};
pub use offload::OffloadFigures;
pub use outcome::{
    Anomalies, Conservation, FaultFigures, FleetFigures, KvFigures, NodeFigures, Outcome, PerRequest,
    RunEnding,
};
pub use record::{Labels, RequestEnding, RequestRecord, SessionPlace};
pub use recorder::{Options, Recorder, RunFigures};
pub use saturation::Saturation;
pub use sessions::SessionFigures;
pub use splits::{SplitFigures, SplitRecord, SplitTally};
pub use timeline::{Sample, Timeline};
pub use trace_summary::TraceSummary;
