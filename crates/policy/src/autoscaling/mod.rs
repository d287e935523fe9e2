//! Autoscaling: how many instances there should be.

use blis_kernel::Tick;

pub mod hpa;
pub mod saturation_v2;
pub mod saturation_v2_greedy;

pub use hpa::Hpa;
pub use saturation_v2::SaturationV2;
pub use saturation_v2_greedy::SaturationV2Greedy;

/// An instance that takes requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// Tokens that its KV cache holds; 0 while nothing is known of it.
    pub capacity_tokens: u64,
    /// Tokens' worth of KV blocks in use.
    pub used_tokens: u64,
    /// Requests waiting.
    pub queue_depth: u32,
    /// Requests handed over and not finished yet.
    pub in_flight: u32,
}

/// Instances of one GPU type and one number of GPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// GPU type.
    pub gpu: String,
    /// GPUs per instance.
    pub tp: u32,
    /// What a node of it costs.
    pub cost_per_hour: f64,
    /// Those that take requests.
    pub replicas: Vec<Replica>,
    /// Tokens that the KV caches of those that load will hold.
    pub pending_capacity_tokens: u64,
    /// Those that load.
    pub pending: u32,
    /// How many more find GPUs, on nodes that are there or may be had; `None` = there is no end of them.
    pub room: Option<u32>,
}

/// What an autoscaler sees.
#[derive(Clone, Copy, Debug)]
pub struct ScalingView<'a> {
    /// The current time.
    pub now: Tick,
    /// Kinds of instances by cost, GPU type and GPUs: those of which there are any, and the others of the node pools for
    /// whoever [looks beyond](Autoscaler::looks_beyond).
    pub variants: &'a [Variant],
}

/// A number of instances to add (above zero) or to take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Which kind: an index into [`ScalingView::variants`].
    pub variant: usize,
    /// How many.
    pub replicas: i64,
}

/// Decides at every interval.
pub trait Autoscaler: Send {
    /// What to change, if anything.
    fn decide(&mut self, view: &ScalingView<'_>) -> Option<Scaling>;

    /// Whether it also wants to see kinds of which there are no instances.
    fn looks_beyond(&self) -> bool {
        false
    }

    /// Whether it keeps its wishes back itself, rather than having the host's windows do that.
    fn stabilises(&self) -> bool {
        false
    }
}
