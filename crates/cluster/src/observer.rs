//! Who watches a run.

use blis_kernel::Tick;
use blis_metrics::{Sample, Timeline};
use blis_workload::trace::Served;
use blis_workload::{RequestSource, RequestSpec};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Simulated time.
    pub now: Tick,
    /// Requests that arrived.
    pub injected: u64,
    /// Requests that ended.
    pub ended: u64,
}

/// Told what happens; cannot change it.
pub trait Observer {
    /// The run begins. Labels and details of `source` are known from now on.
    fn begin(&mut self, _source: &dyn RequestSource) {}

    /// How far the run is, now and then.
    fn progress(&mut self, _at: Progress) {}

    /// The `number`-th request that arrived, from zero, is over, or the run is. Each number comes once, in any order.
    fn ended(&mut self, _number: u64, _request: RequestSpec, _served: Served, _source: &dyn RequestSource) {}

    /// When it wants to know how the cluster stands; asked at the beginning and after each [`Self::sample`].
    fn next_sample_at(&self) -> Tick {
        Tick::MAX
    }

    /// How the cluster stood at the time that it asked for.
    fn sample(&mut self, _sample: Sample) {}
}

/// Watches how the cluster stands.
impl Observer for Timeline {
    fn next_sample_at(&self) -> Tick {
        self.next_at()
    }

    fn sample(&mut self, sample: Sample) {
        self.push(sample);
    }
}

/// Watches only how far the run is.
pub(crate) struct ProgressOnly<'a>(pub(crate) &'a mut dyn FnMut(Progress));

impl Observer for ProgressOnly<'_> {
    fn progress(&mut self, at: Progress) {
        (self.0)(at);
    }
}
