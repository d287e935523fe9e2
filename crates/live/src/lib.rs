//! Everything that touches a network.

pub mod hub;
pub mod mock;
pub mod observe;

pub use hub::{Hub, HubError, cache_folder};
