//! Step-time models, model architecture and GPU figures, KV capacity.

pub mod model;

pub use model::{Batch, LatencyModel, Prefill};
