//! One serving instance: wait queue, batch formation, KV cache, steps.
//!
//! The engine knows nothing of the cluster: requests are [submitted](Instance::submit), events run up to a point in
//! time, and requests that left are drained.

pub mod adapters;
mod admission;
pub mod config;
mod events;
mod failure;
mod formation;
pub mod host;
pub mod instance;
mod journal;
pub mod kv;
mod leaving;
mod lockstep;
mod pacing;
mod pipeline;
mod preemption;
mod ranks;
mod remote;
mod replica;
pub mod request;
mod settle;
mod step;

pub use adapters::{AdapterConfig, AdapterFigures, AdapterModel, OverheadTier};
pub use config::{BatchFormation, CpuTierConfig, InstanceConfig, RankBalancing, RankConfig};
pub use host::HostConfig;
pub use instance::{Counters, Instance};
pub use journal::Happening;
pub use kv::offload::{Channel, DeviceModel, OffloadConfig, OffloadFigures, OffloadTierConfig};
pub use kv::{BlockKeys, IndexChange};
pub use pacing::WarmUp;
pub use ranks::Ranks;
pub use replica::Replica;
pub use request::{Ended, Ending, Reservation, Submission};
