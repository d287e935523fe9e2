//! How long a forward pass takes, how many KV blocks fit beside the weights, how long a sequence may get.
//!
//! [`ModelArchitecture`] and [`GpuSpec`] describe what serves; [`LatencyModel`] answers for the time. One model per
//! file, its formula at the top. What LoRA adapters add to a step multiplies the finished step time, so it belongs to the
//! caller of [`LatencyModel::step_time`] and to no model.

pub mod architecture;
pub mod backend;
pub mod blackbox;
pub mod coefficients;
pub mod context_length;
pub mod crossmodel;
pub mod host;
pub mod kv_capacity;
pub mod kv_memory;
pub mod model;
pub mod overheads;
pub mod physics;
pub mod pipeline;
pub mod problem;
pub mod profiled;
pub mod roofline;
pub mod scaled;
pub mod trained_physics;
pub mod trained_roofline;

pub use architecture::{
    Deployment, Fp8Rule, GpuSpec, ModelArchitecture, MoeBackend, MoeComm, UnknownMoeComm,
};
pub use backend::{Backend, UnknownBackend};
pub use blackbox::Blackbox;
pub use coefficients::Coefficients;
pub use crossmodel::CrossModel;
pub use host::{HostTimes, Hosted};
pub use model::{Batch, LatencyModel, Prefill};
pub use overheads::Overheads;
pub use physics::Physics;
pub use pipeline::{Pipeline, StageShare};
pub use problem::{CoefficientList, InvalidModel, Problem};
pub use profiled::Profiled;
pub use roofline::Roofline;
pub use scaled::Scaled;
pub use trained_physics::TrainedPhysics;
pub use trained_roofline::TrainedRoofline;
