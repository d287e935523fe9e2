//! Clients that send at a rate, merged in time.
//!
//! A client's draws: gap, request (or whole conversation), gap, … Each phase of a client has a stream of its own: the
//! client's stream gives one seed per phase, in the order in which they are written, and the n-th repetition of a phase
//! adds n to its seed. The gaps of a counted client come from another stream, whose seed is the first draw of its own.
//!
//! Of many clients most have drawn little at any time: their generators are put aside between requests.
//!
//! A silence that would take a random process billions of gaps is not drawn gap by gap: the process begins anew so long
//! before the next window that it has forgotten how it began.

use super::conversation::{Conversations, Round};
use super::{Draft, Generators, KEEP_OPEN, Shape};
use crate::client::{Client, Traffic};
use crate::window::{Phase, Window};
use blis_kernel::Tick;
use blis_kernel::rng::{GoRand, Stream, first_draws};
use blis_kernel::samplers::{ArrivalProcess, ArrivalSampler, CountedGaps};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

/// A silence of more gaps than this (a second of drawing) is skipped …
const LONG_SILENCE_GAPS: f64 = 1e8;
/// … up to so many gaps before its end.
const RUN_IN_GAPS: f64 = 1e6;

/// What arrives.
pub(super) enum Item {
    /// A request of its own.
    Single(Draft),
    /// A round of a conversation, at the time that stands in for its true one.
    Round(Round),
}

/// One arrival.
pub(super) struct Sent {
    /// Index into the shapes.
    pub(super) shape: usize,
    pub(super) arrival: Tick,
    pub(super) item: Item,
}

/// The gaps of a process.
#[derive(Clone)]
enum Gaps {
    /// Independent ones, from the stream of what is sent.
    Endless(ArrivalSampler),
    /// A fixed number of them.
    Counted(Box<CountedGaps>),
}

/// One process: that of a client or of a phase while it lasts.
#[derive(Clone)]
struct Sender {
    shape: usize,
    gaps: Gaps,
    rng: Stream,
    /// Nothing is sent at or after this time.
    end: Tick,
    /// When something may be sent; empty = always.
    active: Arc<[Window]>,
    conversations: Option<Box<Conversations>>,
}

impl Sender {
    #[inline]
    fn gap(&mut self) -> Option<Tick> {
        let us = match &mut self.gaps {
            Gaps::Endless(sampler) => sampler.sample_us(self.rng.open()),
            Gaps::Counted(gaps) => gaps.next_us()?,
        };
        Some(Tick::from_us(us))
    }

    /// The next arrival of the process within the windows.
    #[inline]
    fn next_start(&mut self, mut at: Tick) -> Option<Tick> {
        loop {
            at += self.gap()?;
            if at >= self.end {
                return None;
            }
            if self.active.is_empty() || self.active.iter().any(|window| window.contains(at)) {
                return Some(at);
            }
            let wakes_at = self.active.iter().filter_map(|window| window.next_start(at)).min()?;
            if wakes_at >= self.end {
                return None;
            }
            at = self.skip_silence(at, wakes_at);
        }
    }

    /// A time of the process before `until` from which on its gaps have to be drawn.
    fn skip_silence(&self, at: Tick, until: Tick) -> Tick {
        let silence_us = (until - at).as_us();
        match &self.gaps {
            Gaps::Endless(ArrivalSampler::Constant { gap_us }) => {
                at + Tick::from_us((silence_us - 1) / gap_us * gap_us)
            }
            Gaps::Endless(sampler) => {
                let mean_us = sampler.mean_us().max(1.0);
                if silence_us as f64 / mean_us > LONG_SILENCE_GAPS {
                    until - Tick::trunc(mean_us * RUN_IN_GAPS)
                } else {
                    at
                }
            }
            Gaps::Counted(_) => at,
        }
    }

    /// The only start of a client that holds one conversation: the first gap after its beginning.
    fn only_start(&mut self, from: Tick) -> Option<Tick> {
        let from = self.active.first().map_or(from, |window| window.start);
        let at = from + self.gap()?;
        let is_active = self.active.is_empty() || self.active.iter().any(|window| window.contains(at));
        (at < self.end && is_active).then_some(at)
    }

    /// Begins; returns the first arrival.
    fn begin(&mut self, from: Tick, shapes: &[Shape], uids: &mut u64) -> Option<Tick> {
        let single_session = self.conversations.as_ref().is_some_and(|c| c.single_session());
        let first = if single_session { self.only_start(from) } else { self.next_start(from) };
        match &mut self.conversations {
            None => first,
            Some(conversations) => {
                conversations.next_start = first;
                self.settle(shapes, uids)
            }
        }
    }

    /// Draws the conversations that begin before anything else arrives; returns the next arrival.
    fn settle(&mut self, shapes: &[Shape], uids: &mut u64) -> Option<Tick> {
        let mut conversations = self.conversations.take()?;
        while let Some(start) = conversations.due_start() {
            let (active, end) = (Arc::clone(&self.active), self.end);
            let is_sent = |at| active.is_empty() || active.iter().any(|window| window.contains(at));
            conversations.draw(start, end, is_sent, &shapes[self.shape], self.rng.open(), uids);
            conversations.next_start =
                if conversations.begins_another() { self.next_start(start) } else { None };
        }
        let next = conversations.peek();
        self.conversations = Some(conversations);
        next
    }

    /// Takes the arrival at `at`; returns it with the time of the next one.
    #[inline]
    fn take(&mut self, at: Tick, shapes: &[Shape], uids: &mut u64) -> (Item, Option<Tick>) {
        match &mut self.conversations {
            None => {
                let draft = shapes[self.shape].draw(self.rng.open());
                (Item::Single(draft), self.next_start(at))
            }
            Some(conversations) => {
                let round = conversations.pop();
                (Item::Round(round), self.settle(shapes, uids))
            }
        }
    }

    /// Which of its generators are open: that of what is sent, and that of the gaps.
    fn open_generators(&mut self) -> [bool; 2] {
        let gaps = match &mut self.gaps {
            Gaps::Endless(_) => false,
            Gaps::Counted(gaps) => gaps.stream().is_open(),
        };
        [self.rng.is_open(), gaps]
    }

    /// After a draw: decides which of its generators stay open.
    fn settle_generators(&mut self, generators: &mut Generators, were_open: [bool; 2], is_crowded: bool) {
        generators.settle(&mut self.rng, were_open[0], is_crowded);
        if let Gaps::Counted(gaps) = &mut self.gaps {
            generators.settle(gaps.stream(), were_open[1], is_crowded);
        }
    }
}

/// A phase of a client that has not begun, or the next occurrence of one that repeats.
#[derive(Clone)]
struct Upcoming {
    shape: usize,
    phases: Arc<[Phase]>,
    phase: usize,
    occurrence: u64,
    seed: i64,
}

impl Upcoming {
    fn span(&self, horizon: Tick) -> (Tick, Tick) {
        let (start, end) = self.phases[self.phase].window.occurrence(self.occurrence);
        (start, end.min(horizon))
    }

    fn open(&self, shapes: &[Shape], horizon: Tick) -> Sender {
        let phase = &self.phases[self.phase];
        Sender {
            shape: self.shape,
            gaps: Gaps::Endless(phase.process.sampler(phase.per_us)),
            rng: Stream::new(self.seed.wrapping_add_unsigned(self.occurrence)),
            end: self.span(horizon).1,
            active: Arc::default(),
            conversations: shapes[self.shape].conversations(None),
        }
    }

    /// The occurrence after this one, if there is one before the horizon.
    fn following(&self, horizon: Tick) -> Option<Self> {
        self.phases[self.phase].window.every?;
        let next = Self { occurrence: self.occurrence + 1, ..self.clone() };
        (next.span(horizon).0 < horizon).then_some(next)
    }
}

#[derive(Clone, Default)]
struct Place {
    sender: Option<Box<Sender>>,
    upcoming: Option<Box<Upcoming>>,
}

/// All clients that send at a rate, and their phases.
#[derive(Clone)]
pub(super) struct RateClients {
    /// In the order of the clients and, within a client, of its phases.
    places: Vec<Place>,
    /// When each of them sends next, with its place. A phase that has not begun stands at its start.
    next: BinaryHeap<Reverse<(Tick, u32)>>,
    horizon: Tick,
    uids: u64,
    generators: Generators,
}

impl RateClients {
    /// Draws one seed per client with a positive rate from `rng`, in client order. The shapes of the clients come first
    /// in `shapes`; those of phases that change a client's lengths are added to them.
    pub(super) fn new(
        clients: &[Client],
        shapes: &mut Vec<Shape>,
        rng: &mut GoRand,
        horizon: Tick,
        max_requests: Option<u64>,
    ) -> Self {
        let (places, next, generators) = (Vec::new(), BinaryHeap::new(), Generators::default());
        let mut sending = Self { places, next, horizon, uids: 0, generators };
        if horizon <= Tick::ZERO {
            return sending;
        }
        for (index, client) in clients.iter().enumerate() {
            let mut begin = |gaps, stream| {
                let conversations = shapes[index].conversations(max_requests);
                let active = Arc::clone(&client.active);
                let sender = Sender { shape: index, gaps, rng: stream, end: horizon, active, conversations };
                sending.begin(sender, shapes, clients.len());
            };
            match &client.traffic {
                Traffic::Rate { per_us, process } if *per_us > 0.0 => {
                    begin(Gaps::Endless(process.sampler(*per_us)), Stream::new(rng.int63()));
                }
                Traffic::Stage { per_us } if *per_us > 0.0 => {
                    let mut stream = Stream::new(rng.int63());
                    stream.open().int63();
                    begin(Gaps::Endless(ArrivalProcess::Poisson.sampler(*per_us)), stream);
                }
                Traffic::Counted { requests, duration } => {
                    let mut stream = Stream::new(rng.int63());
                    let seed = stream.open().int63();
                    let gaps = CountedGaps::new(seed, *requests, duration.as_us());
                    begin(Gaps::Counted(Box::new(gaps)), stream);
                }
                Traffic::Phases(phases) => {
                    for (phase, seed) in first_draws(rng.int63(), phases.len()).into_iter().enumerate() {
                        sending.add_phase(index, phases, phase, seed, shapes);
                    }
                }
                _ => {}
            }
        }
        sending.open_due(shapes);
        sending
    }

    /// Adds a client of `of` that is active from the start.
    fn begin(&mut self, mut sender: Sender, shapes: &[Shape], of: usize) {
        if let Some(first) = sender.begin(Tick::ZERO, shapes, &mut self.uids) {
            sender.settle_generators(&mut self.generators, [false; 2], of > KEEP_OPEN);
            self.next.push(Reverse((first, self.places.len() as u32)));
            self.places.push(Place { sender: Some(Box::new(sender)), upcoming: None });
        }
    }

    fn add_phase(
        &mut self,
        client: usize,
        phases: &Arc<[Phase]>,
        phase: usize,
        seed: i64,
        shapes: &mut Vec<Shape>,
    ) {
        let Phase { window, per_us, input, output, .. } = &phases[phase];
        if window.start >= self.horizon || per_us.is_nan() || *per_us <= 0.0 {
            return;
        }
        let mut shape = client;
        if input.is_some() || output.is_some() {
            shape = shapes.len();
            let changed = shapes[client].with_lengths(input.as_ref(), output.as_ref());
            shapes.push(changed);
        }
        let upcoming = Upcoming { shape, phases: Arc::clone(phases), phase, occurrence: 0, seed };
        self.next.push(Reverse((window.start, self.places.len() as u32)));
        self.places.push(Place { sender: None, upcoming: Some(Box::new(upcoming)) });
    }

    /// Opens the phases that begin before anything else arrives.
    fn open_due(&mut self, shapes: &[Shape]) {
        let is_crowded = self.places.len() > KEEP_OPEN;
        while let Some(mut top) = self.next.peek_mut() {
            let Reverse((_, number)) = *top;
            let place = &mut self.places[number as usize];
            if place.sender.is_some() {
                return;
            }
            let upcoming = place.upcoming.take().expect("a place that is waited for");
            let (start, _) = upcoming.span(self.horizon);
            let mut sender = upcoming.open(shapes, self.horizon);
            let first = sender.begin(start, shapes, &mut self.uids);
            place.upcoming = upcoming.following(self.horizon).map(Box::new);
            if let Some(first) = first {
                sender.settle_generators(&mut self.generators, [false; 2], is_crowded);
                place.sender = Some(Box::new(sender));
                *top = Reverse((first, number));
            } else if let Some(following) = &place.upcoming {
                *top = Reverse((following.span(self.horizon).0, number));
            } else {
                PeekMut::pop(top);
            }
        }
    }

    /// A number that no request has had.
    pub(super) fn next_uid(&mut self) -> u64 {
        self.uids += 1;
        self.uids
    }

    /// When the next request arrives.
    pub(super) fn peek(&self) -> Option<Tick> {
        self.next.peek().map(|Reverse((arrival, _))| *arrival)
    }

    /// The next arrival.
    ///
    /// # Panics
    /// When [`Self::peek`] is `None`.
    pub(super) fn next(&mut self, shapes: &[Shape]) -> Sent {
        let sent = self.take(shapes);
        self.open_due(shapes);
        sent
    }

    fn take(&mut self, shapes: &[Shape]) -> Sent {
        let is_crowded = self.places.len() > KEEP_OPEN;
        let mut top = self.next.peek_mut().expect("a client that still sends");
        let Reverse((arrival, number)) = *top;
        let place = &mut self.places[number as usize];
        let sender = place.sender.as_mut().expect("a phase that has begun");
        let shape = sender.shape;
        let were_open = sender.open_generators();
        let (item, next) = sender.take(arrival, shapes, &mut self.uids);
        if let Some(next) = next {
            sender.settle_generators(&mut self.generators, were_open, is_crowded);
            *top = Reverse((next, number));
        } else {
            for was_open in were_open {
                self.generators.forget(was_open);
            }
            place.sender = None;
            match &place.upcoming {
                Some(following) => *top = Reverse((following.span(self.horizon).0, number)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        Sent { shape, arrival, item }
    }

    /// How many requests are still to come, counted up to `max`.
    pub(super) fn count(mut self, shapes: &[Shape], max: u64) -> u64 {
        let mut count = 0;
        while count < max && self.peek().is_some() {
            self.next(shapes);
            count += 1;
        }
        count
    }
}
