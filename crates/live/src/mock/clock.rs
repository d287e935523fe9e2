//! Simulated time in real time.

use blis_kernel::Tick;
use std::time::{Duration, Instant};

/// Maps instants to ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    speedup: f64,
}

impl Clock {
    pub(crate) fn new(speedup: f64) -> Self {
        Self { start: Instant::now(), speedup }
    }

    /// The tick at an instant.
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        Tick::trunc(at.saturating_duration_since(self.start).as_secs_f64() * self.speedup * 1e6)
    }

    /// Seconds of real time that a span of simulated time takes.
    pub(crate) fn seconds(&self, span: Tick) -> f64 {
        span.as_seconds() / self.speedup
    }

    /// The time left until a tick; nothing when it is past.
    pub(crate) fn until(&self, tick: Tick) -> Duration {
        let at = Duration::try_from_secs_f64(self.seconds(tick)).unwrap_or(Duration::MAX);
        at.saturating_sub(self.start.elapsed())
    }
}
