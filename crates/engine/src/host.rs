//! The CPU side of a server, before and behind the batch: the front end, scheduling ahead, looks for requests, streaming.
//!
//! A request passes the front end (HTTP, template, tokenisation), which has so many workers; it waits for a free one.
//! A server that schedules ahead forms the next batch when a step starts, so that the GPU finds it when the step ends: a
//! request that comes during a step is too late for the next one, and joins the wait queue just after that has started.
//! A server that looks for requests every so many rounds leaves those that came since the last look where they are; it looks at
//! once when it is idle and after a step with prompts.
//!
//! Tokens pass the front end again, all of a step one after the other and behind those of the steps before; there are so many
//! chunks as the streaming interval leaves of them, and the first token of an answer is one by itself:
//!
//! ```text
//! delivered = max(delivered before, end of the step) + us per token · (first tokens + other tokens / interval)
//! ```
//!
//! Clients see that; the GPU goes on meanwhile. Between two tokens lie the deliveries of their steps, which only differ from
//! the steps where the front end cannot keep up.
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
    /// Rounds from one look for new requests to the next; at least 1.
    pub recv_interval: u32,
    /// What the front end takes for a streamed token, µs; finite and at least 0 (and as 0 with several pipeline stages).
    pub output_us_per_token: f64,
    /// Tokens of a streamed chunk behind the first; at least 1.
    pub stream_interval: u32,
}

/// The front end at work.
#[derive(Debug)]
pub(crate) struct Host {
    config: HostConfig,
    /// When each worker that was ever used is free.
    free_at: BinaryHeap<Reverse<Tick>>,
    /// Rounds since the last look for requests.
    rounds: u32,
    /// When the tokens of the last step were delivered.
    delivered_at: Tick,
}

impl Host {
    pub(crate) fn new(config: HostConfig) -> Self {
        Self { config, free_at: BinaryHeap::new(), rounds: 0, delivered_at: Tick::ZERO }
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
        (self.rounds, self.delivered_at) = (0, Tick::ZERO);
    }
}

impl Instance {
    /// Before a batch is formed: whether requests that nobody looked at yet are left alone.
    #[cold]
    pub(crate) fn look_for_requests(&mut self) {
        let is_idle = self.batch.is_empty() && self.flying_requests == 0;
        let Some(host) = &mut self.host else { return };
        host.rounds = host.rounds.saturating_add(1);
        self.hides_unseen = !is_idle && host.rounds < host.config.recv_interval;
        if !self.hides_unseen {
            host.rounds = 0;
            for waiting in &self.waiting {
                self.requests[waiting.slot as usize].is_seen = true;
            }
        }
    }

    /// A step with prompts is formed: it is looked for requests before the next.
    #[cold]
    pub(crate) fn look_after_prompts(&mut self) {
        let has_prompts = self.forward.iter().any(|who| self.requests[who.slot as usize].scheduled > 0);
        if let Some(host) = &mut self.host
            && has_prompts
        {
            host.rounds = host.config.recv_interval;
        }
    }

    /// When clients get the tokens of a step that took `start .. end`, and when they got those of the step before (`start`
    /// where that is long ago).
    #[cold]
    pub(crate) fn deliver(&mut self, start: Tick, end: Tick) -> (Tick, Tick) {
        let (mut first_tokens, mut others) = (0_u64, 0_u64);
        for who in self.forward.iter().filter(|who| self.is_alive(**who)) {
            let request = &self.requests[who.slot as usize];
            let is_done = request.progress + request.scheduled >= request.target;
            first_tokens += u64::from(is_done && !request.has_first_token);
            others += u64::from(is_done && request.has_first_token);
        }
        let alone = self.alone.iter().filter(|&&slot| self.requests[slot as usize].scheduled > 0).count();
        let members = if self.lockstep.is_paused { 0 } else { self.lockstep.members };
        others += members + alone as u64;
        let Some(host) = &mut self.host else { return (start, end) };
        let before = host.delivered_at.max(start);
        let HostConfig { output_us_per_token, stream_interval, .. } = host.config;
        let chunks = first_tokens as f64 + others as f64 / f64::from(stream_interval);
        host.delivered_at = host.delivered_at.max(end) + Tick::trunc(output_us_per_token * chunks);
        (before, host.delivered_at)
    }

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
            recv_interval: 1,
            output_us_per_token: 0.0,
            stream_interval: 1,
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
