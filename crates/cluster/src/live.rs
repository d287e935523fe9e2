//! A cluster whose requests come from outside, one by one, and whose answers are wanted token by token.
//!
//! It is the same loop as that of a run ([`crate::run`]), played in pieces. Whoever drives it maps its ticks to a clock.

use crate::disaggregation::Stage;
use crate::observer::Observer;
use crate::plan::{Plan, Workload};
use crate::run::Cluster;
use blis_engine::{Happening, Replica};
use blis_kernel::{InstanceId, Tick};
use blis_metrics::{Outcome, RequestEnding};
use blis_workload::{Labels, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound};
use rustc_hash::FxHashMap;

/// Told what happens to each request, by its number. Calls about one request come in order of time, those about
/// different ones only within what [`LiveCluster::advance_to`] plays at once.
pub trait Listener {
    /// The instance got the request; of one that is split first its prompt, then its answer.
    fn routed(&mut self, number: u64, instance: InstanceId, at: Tick);

    /// The request joined a batch: for the first time, or again after a preemption. `cached_tokens` of its prompt were
    /// in the cache.
    fn scheduled(&mut self, number: u64, cached_tokens: u32, at: Tick);

    /// The client gets the request's `tokens`-th token, counted from one. `at` may lie behind the tick that is played:
    /// what the latency model adds behind a step is in it.
    fn token(&mut self, number: u64, tokens: u32, at: Tick);

    /// The request is over; its client knows at `at`.
    fn ended(&mut self, number: u64, ending: RequestEnding, at: Tick);
}

/// What a live cluster has beside a run's.
pub(crate) struct Live<'a> {
    listener: &'a mut dyn Listener,
    /// Requests in flight by number.
    handles: FxHashMap<u64, u32>,
}

/// A running cluster.
pub struct LiveCluster<'a> {
    cluster: Cluster<'a>,
    injected: u64,
    last_arrival: Tick,
    played_to: Tick,
    /// Requests that nobody wants any more and that could not be taken away yet.
    unwanted: Vec<u64>,
}

impl<'a> LiveCluster<'a> {
    /// A cluster without requests, at tick zero. Its plan must have the workload of [`live_workload`], the corrected
    /// reading and no horizon.
    ///
    /// # Panics
    /// When effects show at the start of a step under the plan's reading, or it has a horizon.
    pub fn new(plan: &'a Plan, listener: &'a mut dyn Listener) -> Self {
        assert_eq!(plan.horizon, Tick::MAX, "a live cluster with a horizon");
        let mut cluster = Cluster::new(plan, Box::leak(Box::new(Unwatched)));
        cluster.instances.iter_mut().for_each(Replica::keep_journal);
        cluster.live = Some(Live { listener, handles: FxHashMap::default() });
        Self { cluster, injected: 0, last_arrival: Tick::ZERO, played_to: Tick::ZERO, unwanted: Vec::new() }
    }

    /// Sends a request; returns its number. Arrivals come in order, and not before what was played.
    ///
    /// # Panics
    /// When they do not.
    pub fn inject(&mut self, request: RequestSpec) -> u64 {
        assert!(request.arrival >= self.last_arrival.max(self.played_to), "a request comes too late");
        self.last_arrival = request.arrival;
        self.cluster.follow_ups.set(request.arrival, request);
        self.injected += 1;
        self.injected - 1
    }

    /// The client of a request has gone away: it ends as evicted, as soon as it is where it can be taken away. One that
    /// has ended is left alone.
    pub fn cancel(&mut self, number: u64) {
        self.unwanted.push(number);
        self.drop_unwanted();
    }

    /// Plays every event before `tick`.
    pub fn advance_to(&mut self, tick: Tick) {
        self.cluster.play_before(tick);
        self.cluster.bring_up_to_date(tick);
        self.played_to = self.played_to.max(tick);
        for index in 0..self.cluster.instances.len() {
            self.cluster.tell(index);
        }
        if !self.unwanted.is_empty() {
            self.drop_unwanted();
        }
    }

    /// When the next event is due; [`Tick::MAX`] when nothing is.
    pub fn next_event_at(&self) -> Tick {
        let gateway = self.cluster.next_event_at();
        gateway.min(self.cluster.next_events.first_at())
    }

    /// What the instances look like, by number.
    pub fn instances(&self) -> &[Replica] {
        &self.cluster.instances
    }

    /// Requests that were sent and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.injected - self.cluster.ended
    }

    /// Ends it: what is left ends as what it is doing.
    pub fn finish(self) -> Outcome {
        self.cluster.finish()
    }

    fn drop_unwanted(&mut self) {
        let (now, injected) = (self.played_to, self.cluster.injected);
        let mut unwanted = std::mem::take(&mut self.unwanted);
        unwanted.retain(|&number| number >= injected || !self.cluster.take_away(number, now));
        self.unwanted = unwanted;
    }
}

impl Cluster<'_> {
    /// Takes a request away from its instance; false when it is not where that can be done.
    fn take_away(&mut self, number: u64, now: Tick) -> bool {
        let Some(&handle) = self.live.as_ref().and_then(|live| live.handles.get(&number)) else {
            return true;
        };
        let request = self.requests.get(handle);
        let instance = match &request.split {
            Some(split) => Some(split.decode).filter(|_| split.stage == Stage::Decode),
            None => request.instance,
        };
        let Some(instance) = instance.map(InstanceId::index) else { return false };
        let is_gone = self.instances[instance].evict(now, handle);
        if is_gone {
            self.next_events.set(instance, self.instances[instance].next_event_at());
            self.collect_ended(instance);
        }
        is_gone
    }

    /// Tells the listener what happened at an instance.
    pub(crate) fn tell(&mut self, index: usize) {
        let Some(live) = &mut self.live else { return };
        for happening in self.instances[index].take_journal() {
            match happening {
                Happening::Scheduled { handle, cached_tokens, at } => {
                    let request = self.requests.get(handle);
                    let is_answer = request.split.as_ref().is_some_and(|split| split.stage == Stage::Decode);
                    if !is_answer {
                        live.listener.scheduled(request.number, cached_tokens, at);
                    }
                }
                Happening::Token { handle, at } => {
                    let request = self.requests.get_mut(handle);
                    let is_prompt = request.split.as_ref().is_some_and(|split| split.stage == Stage::Prefill);
                    if is_prompt {
                        continue;
                    }
                    request.made += 1;
                    if request.made <= request.tokens {
                        // The client has it from an attempt that was lost.
                        continue;
                    }
                    request.tokens += 1;
                    // The front end works on one token after the other.
                    let per_token = self.instances[index].token_processing_time().as_us();
                    let at = at + Tick::from_us(i64::from(request.tokens) * per_token);
                    live.listener.token(request.number, request.tokens, at);
                }
            }
        }
    }

    /// An instance is added to a live cluster.
    pub(crate) fn keep_journal_of(&self, instance: &mut Replica) {
        if self.live.is_some() {
            instance.keep_journal();
        }
    }

    /// A request has arrived.
    pub(crate) fn note_arrival(&mut self, number: u64, handle: u32) {
        if let Some(live) = &mut self.live {
            live.handles.insert(number, handle);
        }
    }

    /// An instance got a request.
    pub(crate) fn note_routed(&mut self, handle: u32, instance: usize, now: Tick) {
        if let Some(live) = &mut self.live {
            live.listener.routed(self.requests.get(handle).number, InstanceId(instance as u32), now);
        }
    }

    /// A request is over.
    pub(crate) fn note_end(&mut self, number: u64, ending: RequestEnding, at: Tick) {
        if let Some(live) = &mut self.live {
            live.handles.remove(&number);
            live.listener.ended(number, ending, at);
        }
    }
}

/// The workload of a live cluster: nothing by itself, and these labels for requests that are injected.
pub fn live_workload(labels: Vec<Labels>) -> Workload {
    Workload::new(move || Box::new(Outside(labels.clone())))
}

/// Nobody watches.
struct Unwatched;

impl Observer for Unwatched {}

/// Requests come from outside.
struct Outside(Vec<Labels>);

impl RequestSource for Outside {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        None
    }

    /// A gateway that looks at the cluster must see it as it is when a request comes.
    fn is_reactive(&self) -> bool {
        true
    }

    fn on_end(&mut self, _ended: SessionRound, _at: Tick, _end: RequestEnd) -> Option<RequestSpec> {
        None
    }

    fn labels(&self) -> &[Labels] {
        &self.0
    }

    fn session_name(&self, _session: SessionId) -> &'static str {
        ""
    }

    fn groups(&self) -> &[Vec<u32>] {
        &[]
    }
}
