//! Streams of requests: synthesised traffic, closed-loop users, recorded traces.

pub mod client;
pub mod content;
pub mod profile;
pub mod rates;
pub mod request;
mod stream;
mod tokens;
pub mod trace;
pub mod window;
pub mod workload;

pub use client::{Client, Conversation, Modalities, Modality, ModalityItems, Prefix, Traffic};
pub use content::{Content, GroupId, Segment};
pub use profile::{Profile, ProfileOptions};
pub use rates::allocate_rates;
pub use request::{
    Composition, DetailKinds, Details, Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, SessionId,
    SessionRound,
};
pub use tokens::VOCABULARY;
pub use trace::{Trace, TraceHeader};
pub use window::{Phase, Window};
pub use workload::{NormalLengths, SyntheticLoad, SyntheticParams, Workload};
