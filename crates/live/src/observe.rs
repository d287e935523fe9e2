//! Measuring a real server: requests sent as a workload plans them, and what came back, with times.

pub mod connection;
pub mod server_url;
