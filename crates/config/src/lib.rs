//! Flags and files as types, the embedded catalogue, and their resolution to a plan.

pub mod calibration_files;
pub mod catalogue;
pub mod coefficients;
pub mod convert;
pub mod decision_file;
pub mod diagnostic;
pub mod edit;
pub mod epp;
pub mod lora_file;
pub mod model_config;
pub mod model_json;
pub mod model_shape;
pub mod offload_file;
pub mod options;
pub mod policy_file;
pub mod policy_listing;
pub mod quantity;
pub mod resolve;
pub mod schemas;
mod servegen;
pub mod slo_targets;
pub mod think_time;
pub mod trace_header;
pub mod traffic_file;
pub mod validate;
pub mod workload_file;
pub mod yaml;

pub use diagnostic::Diagnostic;
pub use options::RunOptions;
pub use resolve::{Deployed, Gpus, Resolved, Setting, Source, Surroundings, resolve};
