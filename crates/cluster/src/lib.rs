//! The event loop over all instances: admission, routing, hand-over, conservation.

mod decisions;
mod disaggregation;
mod ending;
mod fault_plan;
mod faults;
mod fleet;
mod flow_control;
mod gateway_queue;
mod live;
mod next_events;
mod nodes;
mod observer;
mod prefix_index;
mod requests;
mod routing;
mod run;
mod sampling;
mod scaling;
mod signals;
mod stop;

pub mod plan;

pub use live::{Listener, LiveCluster, live_workload};
pub use observer::{Observer, Progress};
pub use plan::{
    AdmissionPlan, AutoscalerPlan, Delay, Detail, DisaggregationPlan, DrainPolicy, ElasticPlan, FaultKind,
    FaultPlan, FaultTarget, FlowControlPlan, InstanceKind, ModelPlan, NodePool, Plan, PoolSizes, RandomFault,
    RoutingPlan, ScheduledFault, TracePlan, TransferPlan, WarmUp, Workload,
};
pub use run::{run, run_observed, run_with_progress};
pub use stop::{Cause, Control, Stopped, abandon};
