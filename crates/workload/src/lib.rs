//! Streams of requests: synthesised traffic, closed-loop users, recorded traces.

pub mod content;
pub mod request;

pub use content::{Content, GroupId, Segment};
pub use request::{Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound};
