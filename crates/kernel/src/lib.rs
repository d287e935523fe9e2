//! What everything stands on: simulated time, typed ids, seeded random streams, small statistics.
//!
//! Nothing here performs I/O or knows a clock, an environment or a thread.

pub mod histogram;
pub mod ids;
pub mod network;
pub mod rng;
pub mod samplers;
pub mod semantics;
pub mod stats;
pub mod time;
pub mod timers;

pub use histogram::DurationHistogram;
pub use ids::{FollowUpName, InstanceId, RequestName};
pub use network::Network;
pub use semantics::Semantics;
pub use time::Tick;
pub use timers::TimerQueue;
