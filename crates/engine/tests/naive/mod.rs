//! One serving instance, written as plainly as its rules can be written: one function per rule, lists that are
//! searched from the start, every block and every token latency kept. It shares no code with the engine that it
//! judges, only the types that say what goes in and what comes out.

#![allow(missing_docs, clippy::missing_panics_doc, unreachable_pub)]

pub mod adapters;
pub mod cache;
pub mod chain;
mod step;

use crate::common::{MOST_TICKS, Outcome, Scenario, View};
use adapters::Adapters;
use blis_engine::{Counters, Ended, Ending};
use blis_kernel::{Semantics, Tick};
use cache::Cache;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not injected yet.
    Absent,
    Entering,
    Queued,
    Running,
    /// Completed, timed out or dropped.
    Gone,
}

struct Request {
    chain: Vec<u32>,
    input: usize,
    output: usize,
    max_output: i64,
    state: State,
    /// The prompt; after a preemption under Q14's correction, also what was generated before it.
    target: usize,
    progress: usize,
    /// Tokens processed or cached, once the step has its effects.
    computed: usize,
    new_tokens: usize,
    newly_admitted: bool,
    first_token: Option<i64>,
    recorded_ttft: Option<i64>,
    itl: Vec<i64>,
    last_token_at: i64,
    scheduling_delay: Option<i64>,
    lone_evictions: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Arrival(usize),
    StepEnd {
        start: i64,
    },
    Queued(usize),
    Step,
    /// A step, if none started since the one of this number.
    Look(u64),
    AdapterLoaded,
    Left,
    Timeout(usize),
}

impl Event {
    fn rank(self) -> u32 {
        match self {
            Self::Arrival(_) => 0,
            Self::StepEnd { .. } => 1,
            Self::Queued(_) => 2,
            Self::AdapterLoaded => 3,
            Self::Step | Self::Look(_) => 4,
            Self::Left => 5,
            Self::Timeout(_) => 6,
        }
    }
}

pub struct Naive<'a> {
    scenario: &'a Scenario,
    semantics: Semantics,
    requests: Vec<Request>,
    /// (time, rank, sequence number, what)
    events: Vec<(i64, u32, u64, Event)>,
    next_sequence: u64,
    clock: i64,
    queue: Vec<usize>,
    batch: Vec<usize>,
    /// A step or the end of one is among the events.
    step_pending: bool,
    /// When the step in flight ends.
    running_until: Option<i64>,
    /// When each worker of the front end is free.
    workers: Vec<i64>,
    /// Requests that came too late for a batch.
    late: Vec<usize>,
    /// Rounds since the last look for requests; whether somebody was in prefill in the last; who has been looked at.
    rounds: u32,
    had_prompts: bool,
    seen: Vec<usize>,
    /// When clients had the tokens of the last step.
    delivered_at: i64,
    /// In the step being formed a fetch was refused.
    fetch_found_no_room: bool,
    cache: Cache,
    adapters: Option<Adapters>,
    counters: Counters,
    itl: BTreeMap<i64, u64>,
    ended: Vec<Option<Ended>>,
    order: Vec<usize>,
    views: Vec<View>,
}

/// Runs a scenario; also tells whether [`Cache::has_misaligned_blocks`]. An error says that it does not come to an end.
pub fn run(scenario: &Scenario, semantics: Semantics) -> Result<(Outcome, bool), String> {
    let mut naive = Naive::new(scenario, semantics);
    naive.drive()?;
    let misaligned = naive.cache.has_misaligned_blocks();
    Ok((naive.outcome(), misaligned))
}

impl<'a> Naive<'a> {
    fn new(scenario: &'a Scenario, semantics: Semantics) -> Self {
        let requests: Vec<_> = scenario
            .requests
            .iter()
            .map(|r| Request {
                chain: r.input.iter().chain(&r.output).copied().collect(),
                input: r.input.len(),
                output: r.output.len(),
                max_output: r.max_output,
                state: State::Absent,
                target: r.input.len(),
                progress: 0,
                computed: 0,
                new_tokens: 0,
                newly_admitted: false,
                first_token: None,
                recorded_ttft: None,
                itl: Vec::new(),
                last_token_at: 0,
                scheduling_delay: None,
                lone_evictions: 0,
            })
            .collect();
        let mut naive = Self {
            scenario,
            semantics,
            events: Vec::new(),
            next_sequence: 0,
            clock: 0,
            queue: Vec::new(),
            batch: Vec::new(),
            step_pending: false,
            running_until: None,
            workers: vec![0; scenario.host.map_or(0, |host| host.front_end_workers as usize)],
            late: Vec::new(),
            rounds: 0,
            had_prompts: false,
            seen: Vec::new(),
            delivered_at: 0,
            fetch_found_no_room: false,
            cache: Cache::new(scenario, semantics),
            adapters: scenario.adapters.clone().map(Adapters::new),
            counters: Counters::default(),
            itl: BTreeMap::new(),
            ended: vec![None; requests.len()],
            order: Vec::new(),
            views: Vec::new(),
            requests,
        };
        for (r, request) in scenario.requests.iter().enumerate() {
            naive.schedule(request.arrival_us, Event::Arrival(r));
        }
        naive
    }

    fn schedule(&mut self, at: i64, event: Event) {
        self.events.push((at, event.rank(), self.next_sequence, event));
        self.next_sequence += 1;
    }

    /// 3.2: events in order, none after the horizon; the time-out of a request that is gone leaves no trace.
    fn drive(&mut self) -> Result<(), String> {
        let mut count = 0;
        while let Some(next) = (0..self.events.len()).min_by_key(|&i| {
            let (at, rank, sequence, _) = self.events[i];
            (at, rank, sequence)
        }) {
            let (at, _, _, event) = self.events[next];
            if at > self.scenario.horizon.as_us() {
                break;
            }
            self.events.remove(next);
            if let Event::Timeout(r) = event
                && self.requests[r].state == State::Gone
            {
                continue;
            }
            if let Event::Look(steps) = event
                && (self.step_pending || self.counters.steps != steps || self.queue.is_empty())
            {
                continue;
            }
            assert!(at >= self.clock, "the clock goes backwards");
            self.clock = at;
            match event {
                Event::Arrival(r) => self.arrive(r, at),
                Event::StepEnd { start } => self.finish_step(start, at),
                Event::Queued(r) if self.is_late(r, at) => {
                    self.late.push(r);
                    let end = self.running_until.expect("a step in flight");
                    self.schedule(end + 1, Event::Queued(r));
                }
                Event::Queued(r) => {
                    self.enqueue(r, at);
                    if !self.step_pending && !self.queue.is_empty() {
                        self.schedule_step(at);
                    }
                }
                Event::Step | Event::Look(_) => self.step(at),
                Event::AdapterLoaded => self.adapter_loaded(at),
                Event::Left => {}
                Event::Timeout(r) => self.time_out(r, at),
            }
            self.cache.check();
            count += 1;
            if count == 4 * MOST_TICKS {
                return Err(format!("{count} events and no end at {at} us"));
            }
        }
        Ok(())
    }

    /// 4.1.
    fn arrive(&mut self, r: usize, now: i64) {
        let findable = self.cache.prefix(&self.scenario.requests[r].input).len();
        self.views.push(View {
            queue_depth: self.queue.len() as u32,
            batch_size: self.batch.len() as u32,
            kv_utilization: self.cache.used() as f64 / f64::from(self.scenario.kv_blocks),
            findable_blocks: findable,
            adapters: self
                .adapters
                .as_ref()
                .map_or(0, |adapters| adapters.resident.iter().map(|(adapter, _)| 1 << adapter).sum()),
        });
        self.requests[r].state = State::Entering;
        let through = self.front_end(r, now);
        let delay = self.scenario.latency.overheads().queueing_time(self.requests[r].input as u64).as_us();
        self.schedule(through + delay, Event::Queued(r));
    }

    /// The worker who is free first takes the request, as soon as he is.
    fn front_end(&mut self, r: usize, now: i64) -> i64 {
        let Some(host) = self.scenario.host else { return now };
        let worker = self.workers.iter_mut().min().expect("a front end has workers");
        let work = host.front_end_us + host.front_end_us_per_token * self.requests[r].input as f64;
        *worker = now.max(*worker) + work as i64;
        *worker
    }

    /// With batches formed ahead, a request that comes during a step misses the next one, once.
    fn is_late(&self, r: usize, now: i64) -> bool {
        self.scenario.host.is_some_and(|host| host.schedules_ahead)
            && self.running_until.is_some_and(|end| end > now)
            && !self.late.contains(&r)
    }

    /// 4.2.
    fn enqueue(&mut self, r: usize, now: i64) {
        let longest = self.scenario.max_model_len as i64;
        let request = &mut self.requests[r];
        let input = request.input as i64;
        if request.max_output == 0 && longest > 0 && input < longest {
            request.max_output = longest - input;
        }
        let blocks = request.input.div_ceil(self.scenario.block_tokens as usize);
        if request.max_output < 0
            || (longest > 0 && input >= longest)
            || (longest > 0 && request.max_output > 0 && input + request.max_output > longest)
            || blocks > self.scenario.kv_blocks as usize
        {
            self.counters.dropped_unservable += 1;
            self.end(r, Ending::Unservable, now);
            return;
        }
        self.counters.input_tokens += input as u64;
        let deadline = self.scenario.requests[r].deadline_us;
        if deadline > 0 && deadline <= now {
            self.counters.timed_out += 1;
            self.end(r, Ending::TimedOut, now);
            return;
        }
        self.requests[r].state = State::Queued;
        self.queue.push(r);
        if deadline > 0 && deadline <= self.scenario.horizon.as_us() {
            self.schedule(deadline, Event::Timeout(r));
        }
    }

    fn schedule_step(&mut self, at: i64) {
        assert!(!self.step_pending, "two steps at once");
        self.step_pending = true;
        self.schedule(at, Event::Step);
    }

    /// 14.2.
    fn adapter_loaded(&mut self, now: i64) {
        self.adapters.as_mut().expect("adapters").loaded();
        if !self.step_pending && !self.queue.is_empty() {
            self.schedule_step(now);
        }
    }

    /// 10.1.
    fn time_out(&mut self, r: usize, now: i64) {
        self.counters.timed_out += 1;
        self.cache.release(r);
        self.batch.retain(|&b| b != r);
        self.queue.retain(|&q| q != r);
        self.end(r, Ending::TimedOut, now);
        if self.batch.is_empty() && !self.step_pending && !self.queue.is_empty() {
            self.schedule_step(now);
        }
    }

    /// A request is gone without an answer.
    fn end(&mut self, r: usize, ending: Ending, at: i64) {
        let request = &self.requests[r];
        let ended = Ended {
            first_interval: None,
            handle: r as u32,
            ending,
            at: Tick::from_us(at),
            ttft: request.recorded_ttft.map(Tick::from_us),
            last_token: request
                .recorded_ttft
                .map(|ttft| Tick::from_us(ttft + request.itl.iter().sum::<i64>())),
            e2e: None,
            itl_mean_us: 0.0,
            scheduling_delay: request.scheduling_delay.map(Tick::from_us),
            output_tokens: 0,
        };
        self.end_as(r, ended);
    }

    fn end_as(&mut self, r: usize, ended: Ended) {
        assert!(self.ended[r].is_none(), "request {r} ends twice");
        self.requests[r].state = State::Gone;
        if let Some(chain) = &mut self.cache.chain {
            chain.forget(r);
        }
        if let Some(adapters) = &mut self.adapters {
            adapters.release(r);
        }
        self.order.push(r);
        self.ended[r] = Some(ended);
    }

    /// 3.2 step 5: what is left, and the figures.
    fn outcome(mut self) -> Outcome {
        let sim_ended = self.clock.min(self.scenario.horizon.as_us());
        for r in self.batch.clone() {
            self.cache.release(r);
            self.end(r, Ending::StillRunning, sim_ended);
        }
        for r in self.queue.clone() {
            self.cache.release(r);
            self.end(r, Ending::StillQueued, sim_ended);
        }
        let mut entering: Vec<_> = self
            .events
            .iter()
            .filter_map(|&(at, _, sequence, event)| match event {
                Event::Queued(r) => Some((at, sequence, r)),
                _ => None,
            })
            .collect();
        entering.sort_unstable();
        for (_, _, r) in entering {
            self.end(r, Ending::StillEntering, sim_ended);
        }
        assert_eq!(self.cache.used(), 0, "blocks are held for nobody");
        Outcome {
            ended: self.ended,
            order: self.order,
            counters: self.counters,
            sim_ended: Tick::from_us(sim_ended),
            hits_and_misses: self.cache.hits_and_misses(),
            thrashing_rate: self.cache.thrashing_rate(),
            offload: self.cache.offload_figures(),
            adapters: self.adapters.map_or(Vec::new(), |adapters| adapters.figures),
            itl: self.itl.into_iter().collect(),
            views: self.views,
        }
    }
}
