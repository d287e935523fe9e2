//! The event loop over all instances: admission, routing, hand-over, conservation.

mod next_events;
mod prefix_index;
mod requests;
mod run;
mod signals;

pub mod plan;

pub use plan::{AdmissionPlan, Detail, Plan, RoutingPlan, Workload};
pub use run::{Progress, run, run_with_progress};
