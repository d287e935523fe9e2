//! What makes an instance's steps take longer than its latency model says.

use crate::instance::Instance;
use crate::instance::SlotRef;
use blis_kernel::Tick;

/// How an instance that has just started does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// Its first so many requests.
    pub requests: u32,
    /// Steps that process prompt tokens of one of them take so many times as long; at least 1.
    pub factor: f64,
}

/// Why steps take longer at the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacing {
    /// Whether anything does.
    is_uneven: bool,
    slowness: f64,
    warm_up_factor: f64,
    /// Requests that are still to come of the first ones.
    cold_requests: u32,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { is_uneven: false, slowness: 1.0, warm_up_factor: 1.0, cold_requests: 0 }
    }
}

impl Pacing {
    /// The next request that is handed over is one of the first.
    pub(crate) fn expect_cold(&mut self) {
        self.cold_requests = 1;
    }
}

impl Instance {
    /// From the next step on, steps take `factor` times as long; 1 = as usual.
    pub fn set_slowness(&mut self, factor: f64) {
        self.pacing.slowness = factor;
        self.pacing.is_uneven = true;
    }

    /// It has just started: the next requests are its first.
    pub fn begin_warm_up(&mut self, warm_up: WarmUp) {
        self.pacing.cold_requests = warm_up.requests;
        self.pacing.warm_up_factor = warm_up.factor;
        self.pacing.is_uneven = true;
    }

    /// A request is handed over.
    #[inline]
    pub(crate) fn mark_cold(&mut self, slot: u32) {
        if self.pacing.cold_requests > 0 {
            self.pacing.cold_requests -= 1;
            self.requests[slot as usize].is_cold = true;
        }
    }

    /// How many times as long as usual the step being formed takes.
    #[inline]
    pub(crate) fn pace(&self) -> f64 {
        if self.pacing.is_uneven { self.uneven_pace() } else { 1.0 }
    }

    #[cold]
    fn uneven_pace(&self) -> f64 {
        // Of a prompt that is processed again after a preemption the first token is known.
        let is_cold = |&SlotRef { slot, .. }: &SlotRef| {
            let request = &self.requests[slot as usize];
            request.is_cold && request.scheduled > 0 && request.recorded_ttft == Tick::MAX
        };
        let warm_up = if self.forward.iter().any(is_cold) { self.pacing.warm_up_factor } else { 1.0 };
        self.pacing.slowness * warm_up
    }
}
