//! Every policy axis: the trait and its read-only view at the top of a folder, each built-in policy in a file of
//! its own beside it, and the registry that names them.
//!
//! A policy sees a view, returns a decision, and the host checks and applies it. It is called once per decision,
//! over columns, never once per candidate. No view shows the output length of a request: a gateway does not know it.

pub mod admission;
pub mod autoscaling;
pub mod disaggregation;
pub mod encode;
pub mod flow_control;
mod own;
pub mod preemption;
pub mod priority;
pub mod registry;
pub mod routing;
pub mod saturation;
pub mod scheduling;

pub use own::Own;
pub use registry::{Configured, Entry, Param, ParamError, Params, Range, Registry, Setup, Table};

/// Which figures a policy looks at, so that the host need not bring the others up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Requests handed to each instance and not finished yet.
    pub in_flight: bool,
    /// Queue depth, batch size, KV utilisation.
    pub snapshot: bool,
    /// How much of the prompt each instance holds in its KV cache.
    pub cache: bool,
}

impl Reads {
    /// Nothing at all.
    pub const NONE: Self = Self { in_flight: false, snapshot: false, cache: false };
    /// Only requests in flight.
    pub const IN_FLIGHT: Self = Self { in_flight: true, ..Self::NONE };
    /// Only the snapshot figures.
    pub const SNAPSHOT: Self = Self { snapshot: true, ..Self::NONE };
    /// Only the KV caches.
    pub const CACHE: Self = Self { cache: true, ..Self::NONE };

    /// What either of two policies looks at.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            in_flight: self.in_flight || other.in_flight,
            snapshot: self.snapshot || other.snapshot,
            cache: self.cache || other.cache,
        }
    }
}
