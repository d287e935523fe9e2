//! One serving instance: wait queue, batch formation, KV cache, steps.

pub mod config;

pub use config::{CpuTierConfig, InstanceConfig};
