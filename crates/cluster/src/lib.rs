//! The event loop over all instances: admission, routing, hand-over, conservation.

pub mod plan;

pub use plan::{AdmissionPlan, Detail, Plan, RoutingPlan, Workload};
