//! Everything that touches a network.

pub mod hub;

pub use hub::{Hub, HubError, cache_folder};
