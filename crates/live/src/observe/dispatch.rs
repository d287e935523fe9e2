//! Sending on time. One thread waits for the next arrival or the next end, whichever comes first, and sends; answers are
//! read by other threads, so that none of them makes a request late.

use super::clock::Clock;
use super::exchange::{Exchange, exchange};
use super::pool::Pool;
use super::prompt::Prompts;
use super::request::{Call, Calls};
use super::{Observed, Progress, Settings};
use blis_kernel::Tick;
use blis_workload::{RequestEnd, RequestSource, RequestSpec};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The last bit of a wait is spent awake: sleeping threads wake up too late by about half of it.
const AWAKE: Duration = Duration::from_micros(120);
/// How long before its arrival a request's connection is opened.
const AHEAD: Duration = Duration::from_millis(200);
/// Connections that wait for the next requests.
const SPARE_CONNECTIONS: usize = 4;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

enum Event {
    Ended(Box<Observed>),
    Interrupted,
}

/// Where ends are told.
#[derive(Clone)]
pub(super) struct Events(Sender<Event>);

impl Events {
    pub(super) fn interrupt(&self) {
        // Nobody listens any more when everything is over.
        let _ = self.0.send(Event::Interrupted);
    }
}

/// Where ends are heard.
pub(super) struct Inbox(Receiver<Event>);

pub(super) fn channel() -> (Events, Inbox) {
    let (sender, receiver) = mpsc::channel();
    (Events(sender), Inbox(receiver))
}

/// An observation about to begin.
pub(super) struct Run<'a, 'c> {
    pub(super) source: &'a mut dyn RequestSource,
    pub(super) settings: &'a Settings,
    pub(super) prompts: Prompts,
    pub(super) calls: &'a mut Calls<'c>,
    pub(super) pool: Arc<Pool>,
    pub(super) handle: &'a Handle,
    pub(super) events: Events,
    pub(super) inbox: Inbox,
    pub(super) stopped: watch::Receiver<bool>,
}

/// What became of it.
pub(super) struct Dispatched {
    pub(super) clock: Clock,
    pub(super) requests: Vec<Observed>,
    pub(super) lateness: Vec<Duration>,
    pub(super) duration: Duration,
    pub(super) interrupted: bool,
}

/// A request that waits for its arrival; those that follow an answer come first at equal times.
struct Due {
    spec: RequestSpec,
    /// What will be sent, once there was time to put it together.
    call: Option<Call>,
    /// Sequence, so that the order of equal ones is known.
    order: u64,
}

impl Due {
    fn new(spec: RequestSpec, order: u64) -> Self {
        Self { spec, call: None, order }
    }

    fn key(&self) -> (Tick, u64) {
        (self.spec.arrival, self.order)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Run<'_, '_> {
    pub(super) fn dispatch(mut self, progress: &mut dyn FnMut(Progress)) -> Dispatched {
        let _runtime = self.handle.enter();
        self.pool.prepare(SPARE_CONNECTIONS.min(self.settings.max_concurrency));
        let clock = Clock::start();
        let mut state = State { clock, follow_ups: BinaryHeap::new(), ..State::new(clock) };
        let mut planned = self.source.next_arrival().map(|spec| Due::new(spec, 0));
        while !state.interrupted {
            let now = Instant::now();
            state.tell(now, progress);
            let follows = match (&planned, state.follow_ups.peek()) {
                (Some(next), Some(Reverse(due))) => due.spec.arrival <= next.spec.arrival,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            let next = if follows {
                state.follow_ups.peek().map(|Reverse(due)| due.spec.arrival)
            } else {
                planned.as_ref().map(|due| due.spec.arrival)
            };
            let is_full = state.in_flight >= self.settings.max_concurrency;
            let Some(arrival) = next.filter(|_| !is_full) else {
                if state.in_flight == 0 {
                    break;
                }
                // Only an end can change anything.
                state.was_full |= next.is_some_and(|arrival| clock.at(arrival) <= now);
                self.hear(now + TELL, &mut state);
                continue;
            };
            let at = clock.at(arrival);
            if at > now {
                // Long prompts take their time, which is there now.
                if follows {
                    if let Some(mut due) = state.follow_ups.peek_mut() {
                        self.put_together(&mut due.0);
                    }
                } else if let Some(due) = &mut planned {
                    self.put_together(due);
                }
                // Connections that are opened ahead of time do not count as the server's time.
                if at - now <= AHEAD {
                    self.pool.prepare(1);
                    self.hear(at.min(now + TELL), &mut state);
                } else {
                    self.hear(at.checked_sub(AHEAD).unwrap_or(at).min(now + TELL), &mut state);
                }
                continue;
            }
            let due = if follows {
                state.follow_ups.pop().map(|Reverse(due)| due)
            } else {
                let next = self.source.next_arrival().map(|spec| Due::new(spec, 0));
                std::mem::replace(&mut planned, next)
            };
            if let Some(mut due) = due {
                self.put_together(&mut due);
                self.send(due, &mut state);
                self.pool.prepare(SPARE_CONNECTIONS.min(self.settings.max_concurrency - state.in_flight));
            }
        }
        // What was cut off by an interrupt ends at once.
        let patience = Instant::now() + Duration::from_secs(5);
        while state.in_flight > 0 && Instant::now() < patience {
            self.hear(patience, &mut state);
        }
        Dispatched {
            clock,
            duration: state.last_end.saturating_duration_since(clock.at(Tick::ZERO)),
            requests: state.requests,
            lateness: state.lateness,
            interrupted: state.interrupted,
        }
    }

    /// Waits for an end until an instant.
    fn hear(&mut self, until: Instant, state: &mut State) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let asleep = left.saturating_sub(AWAKE);
            let heard = if asleep > Duration::ZERO {
                self.inbox.0.recv_timeout(asleep)
            } else {
                self.inbox.0.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            };
            match heard {
                Ok(Event::Ended(observed)) => return self.ended(*observed, state),
                Ok(Event::Interrupted) => {
                    state.interrupted = true;
                    return;
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return,
                Err(RecvTimeoutError::Timeout) => std::hint::spin_loop(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("this thread holds a sender"),
            }
        }
    }

    fn put_together(&mut self, due: &mut Due) {
        let spec = &due.spec;
        due.call.get_or_insert_with(|| {
            let labels = &self.source.labels()[spec.labels.0 as usize];
            let turns = self.prompts.turns(&spec.content, spec.input_tokens);
            self.calls.planned(spec, labels, &turns)
        });
    }

    /// Sends what was put together.
    fn send(&mut self, due: Due, state: &mut State) {
        let Due { spec, call: Some(call), .. } = due else { return };
        let (number, was_held) = (state.sent, std::mem::take(&mut state.was_full));
        state.sent += 1;
        state.in_flight += 1;
        let (pool, events, stopped) = (Arc::clone(&self.pool), self.events.clone(), self.stopped.clone());
        let (clock, timeout) = (state.clock, self.settings.timeout);
        self.handle.spawn(async move {
            let deadline = spec.deadline.map(|deadline| clock.at(deadline));
            let give_up = Instant::now() + timeout;
            let give_up = deadline.map_or(give_up, |deadline| deadline.min(give_up));
            let (exchange, left) = exchange(&pool, &call, give_up, stopped).await;
            let observed = Observed {
                number,
                planned: spec,
                streamed: call.stream,
                priority: call.priority,
                x_request_id: call.x_request_id,
                was_held,
                exchange,
            };
            let _ = events.0.send(Event::Ended(Box::new(observed)));
            left.reuse(&pool).await;
        });
    }

    /// Tells the source how a request ended, and keeps what was measured.
    fn ended(&mut self, mut observed: Observed, state: &mut State) {
        state.in_flight -= 1;
        let Exchange { ref failure, ended_at, .. } = observed.exchange;
        state.failed += u64::from(failure.is_some());
        state.last_end = state.last_end.max(ended_at);
        let lateness = observed.lateness(&state.clock);
        state.last_lateness = lateness;
        state.lateness.push(lateness);
        if let Some(round) = observed.planned.session {
            let tokens = observed.exchange.output_tokens();
            let end = match failure {
                None => RequestEnd::Completed { output_tokens: tokens },
                Some(failure) if failure.kind.is_timeout() => RequestEnd::TimedOut,
                Some(_) => RequestEnd::Dropped,
            };
            // Ends are told in order of time, whatever the order in which they were heard.
            state.told = state.told.max(state.clock.time(ended_at));
            match self.source.on_end(round, state.told, end) {
                Some(spec) => {
                    if spec.content.repeats(observed.planned.content.uid()) {
                        self.prompts.keep(&observed.planned.content, &observed.exchange.text, tokens);
                    }
                    state.order += 1;
                    state.follow_ups.push(Reverse(Due::new(spec, state.order)));
                }
                None => self.prompts.forget(&observed.planned.content),
            }
        }
        observed.exchange.text = String::new();
        if observed.number >= self.settings.warm_up_requests {
            state.requests.push(observed);
        }
    }
}

struct State {
    clock: Clock,
    follow_ups: BinaryHeap<Reverse<Due>>,
    order: u64,
    sent: u64,
    in_flight: usize,
    failed: u64,
    /// Whether the next request had to wait for an end.
    was_full: bool,
    interrupted: bool,
    last_end: Instant,
    last_lateness: Duration,
    /// The latest time that the source was told.
    told: Tick,
    last_told: Instant,
    requests: Vec<Observed>,
    lateness: Vec<Duration>,
}

impl State {
    fn new(clock: Clock) -> Self {
        let start = clock.at(Tick::ZERO);
        Self {
            clock,
            follow_ups: BinaryHeap::new(),
            order: 0,
            sent: 0,
            in_flight: 0,
            failed: 0,
            was_full: false,
            interrupted: false,
            last_end: start,
            last_lateness: Duration::ZERO,
            told: Tick::ZERO,
            last_told: start,
            requests: Vec::new(),
            lateness: Vec::new(),
        }
    }

    fn tell(&mut self, now: Instant, progress: &mut dyn FnMut(Progress)) {
        if now.saturating_duration_since(self.last_told) < TELL {
            return;
        }
        self.last_told = now;
        progress(Progress {
            sent: self.sent,
            in_flight: self.in_flight,
            failed: self.failed,
            elapsed: now.saturating_duration_since(self.clock.at(Tick::ZERO)),
            last_lateness: self.last_lateness,
        });
    }
}
