//! The event loop over all instances: admission, routing, hand-over, conservation.

mod decisions;
mod flow_control;
mod gateway_queue;
mod next_events;
mod observer;
mod prefix_index;
mod requests;
mod run;
mod signals;

pub mod plan;

pub use observer::{Observer, Progress};
pub use plan::{AdmissionPlan, Detail, FlowControlPlan, Plan, RoutingPlan, TracePlan, Workload};
pub use run::{run, run_observed, run_with_progress};
