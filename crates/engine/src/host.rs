//! The CPU side of a server, before the batch: the front end, and scheduling ahead.
//!
//! A request passes the front end (HTTP, template, tokenisation), which has so many workers; it waits for a free one.
//! A server that schedules ahead forms the next batch when a step starts, so that the GPU finds it when the step ends: a
//! request that comes during a step is too late for the next one, and joins the wait queue just after that has started.
//! What the CPU does in every step belongs to step times, see `blis_latency::Hosted`.

use crate::instance::{Instance, Step};
use blis_kernel::Tick;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The CPU side of a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostConfig {
    /// Requests that the front end works on at once; at least 1.
    pub front_end_workers: u32,
    /// What a request takes there, µs; finite and at least 0.
    pub front_end_us: f64,
    /// And for each token of its prompt, µs; finite and at least 0.
    pub front_end_us_per_token: f64,
    /// Whether batches are formed one step ahead (not with several pipeline stages, nor where steps have their effects at
    /// their start).
    pub schedules_ahead: bool,
}

/// The front end at work.
#[derive(Debug)]
pub(crate) struct Host {
    config: HostConfig,
    /// When each worker that was ever used is free.
    free_at: BinaryHeap<Reverse<Tick>>,
}

impl Host {
    pub(crate) fn new(config: HostConfig) -> Self {
        Self { config, free_at: BinaryHeap::new() }
    }

    /// When a request that comes at `now` is through. Requests come in order of time.
    pub(crate) fn pass(&mut self, now: Tick, prompt_tokens: u32) -> Tick {
        let HostConfig { front_end_us, front_end_us_per_token, .. } = self.config;
        let work = Tick::trunc(front_end_us + front_end_us_per_token * f64::from(prompt_tokens));
        let is_staffed = self.free_at.len() >= self.config.front_end_workers as usize;
        let free_at = if is_staffed { self.free_at.pop() } else { None };
        let done = free_at.map_or(now, |Reverse(free_at)| free_at.max(now)) + work;
        self.free_at.push(Reverse(done));
        done
    }

    /// Everything that it worked on is lost.
    pub(crate) fn restart(&mut self) {
        self.free_at.clear();
    }
}

impl Instance {
    /// Where the request that enters at `now` comes too late for the batch that follows the step in flight: when it
    /// joins the wait queue instead.
    #[cold]
    pub(crate) fn is_late_until(&mut self, slot: u32, now: Tick) -> Option<Tick> {
        let ahead = self.host.as_ref().is_some_and(|host| host.config.schedules_ahead);
        let Step::Running { end, .. } = self.step else { return None };
        if !ahead || self.pipeline.is_some() || end <= now {
            return None;
        }
        let was_late = std::mem::replace(&mut self.requests[slot as usize].was_late, true);
        (!was_late).then_some(end + Tick::ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, HostConfig};
    use blis_kernel::Tick;

    #[test]
    fn a_request_waits_for_the_first_free_worker() {
        let config = HostConfig {
            front_end_workers: 2,
            front_end_us: 100.0,
            front_end_us_per_token: 0.5,
            schedules_ahead: false,
        };
        let mut host = Host::new(config);
        let mut through = |now: i64, tokens: u32| host.pass(Tick::from_us(now), tokens).as_us();
        assert_eq!(through(0, 200), 200);
        assert_eq!(through(0, 0), 100, "a second worker");
        assert_eq!(through(10, 100), 250, "behind the second");
        assert_eq!(through(10, 0), 300, "behind the first");
        assert_eq!(through(1_000, 3), 1_101, "nobody is there; parts of a microsecond are dropped");
    }
}
