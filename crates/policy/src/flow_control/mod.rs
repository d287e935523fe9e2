//! Flow control: requests wait at the gateway, and go on when the instances have room for them.
//!
//! The queue is one list of bands, the most important first; a band holds one flow per tenant. Four policies share the
//! work: a saturation detector measures how full the instances are, a usage limit says up to which saturation each
//! band is served, fairness picks the flow within a band, and the dispatch order the request within a flow.

pub mod dispatch_order;
pub mod fairness;
pub mod usage_limit;

pub use dispatch_order::{DispatchOrder, Queued};
pub use fairness::{BandView, Fairness};
pub use usage_limit::UsageLimit;
