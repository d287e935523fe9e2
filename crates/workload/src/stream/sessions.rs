//! Conversations after they have begun: their names, and the next rounds of those that wait for answers.
//!
//! A stream of its own (seed + 7919) gives each conversation that will begin the seed of its later rounds: clients in
//! their order, the conversations of a client in the order of their names. Draws per round: input length, output
//! length, input ids, output ids.

use super::conversation::{Drafts, Round};
use super::rate::{Item, RateClients};
use super::{FollowUps, KEEP_OPEN, Shape};
use crate::client::Conversation;
use crate::content::{Content, Segment};
use crate::request::{RequestEnd, RequestSpec, SessionId, SessionRound};
use crate::workload::Workload;
use blis_kernel::rng::{GoRand, Stream};
use blis_kernel::{RequestName, Tick};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::vec;

const SEED_OFFSET: i64 = 7919;

/// A conversation whose next round waits for an answer.
struct Live {
    shape: usize,
    conversation: Conversation,
    /// Of its later rounds.
    rng: Stream,
    round: u32,
    /// Answer tokens that the current round will get.
    planned: u32,
    answer_uid: u64,
    /// The current prompt, if the next one begins with it.
    history: Vec<Segment>,
}

/// All conversations that have begun.
pub(super) struct Sessions {
    /// Number of the first.
    first: u32,
    names: Vec<Arc<str>>,
    /// By place in `names`.
    live: FxHashMap<u32, Box<Live>>,
    /// Of those that have not begun, in the order in which they will.
    seeds: vec::IntoIter<i64>,
    is_closed_loop: bool,
    horizon: Tick,
    /// Later rounds that may still be sent, if bounded.
    budget: Option<u64>,
    follow_ups: FollowUps,
}

impl Sessions {
    /// Looks ahead for the conversations that will begin.
    ///
    /// # Panics
    /// When some conversation waits for answers and conversations begin forever.
    pub(super) fn new(first: u32, workload: &Workload, shapes: &[Shape], arrivals: &RateClients) -> Self {
        let is_closed_loop = shapes.iter().any(Shape::is_closed_loop);
        let bound = workload.max_requests;
        let ahead = if is_closed_loop {
            Ahead::look(workload.seed, shapes, arrivals.clone(), bound.unwrap_or(u64::MAX))
        } else {
            Ahead::default()
        };
        Self {
            first,
            names: Vec::new(),
            live: FxHashMap::default(),
            seeds: ahead.seeds.into_iter(),
            is_closed_loop,
            horizon: workload.horizon,
            budget: bound.filter(|_| workload.bounds_follow_ups).map(|bound| bound - ahead.requests),
            follow_ups: FollowUps::default(),
        }
    }

    /// How many are known to begin in a closed loop.
    pub(super) fn to_come(&self) -> u64 {
        self.seeds.len() as u64
    }

    pub(super) fn is_closed_loop(&self) -> bool {
        self.is_closed_loop
    }

    pub(super) fn name(&self, session: SessionId) -> &str {
        &self.names[(session.0 - self.first) as usize]
    }

    /// The request of a round that its client sends by itself; `None` for one that will be sent after an answer.
    pub(super) fn request(
        &mut self,
        shapes: &[Shape],
        shape: usize,
        arrival: Tick,
        round: &Round,
        name: RequestName,
    ) -> Option<RequestSpec> {
        let form = &shapes[shape];
        let conversation = form.conversation.expect("a client that converses");
        let Round { round, drafts, .. } = round;
        let round = *round;
        if conversation.closed_loop && round > 0 {
            return None;
        }
        let session = *drafts.session.get_or_init(|| self.begin(drafts));
        let uid = drafts.first_uid + u64::from(round);
        let draft = drafts.rounds[round as usize].clone();
        let goes_on = conversation.accumulates && conversation.max_rounds > 1;
        let spec = if goes_on {
            form.prompt(prompt(form, drafts, round), draft, uid, arrival, name)
        } else {
            form.request(draft, uid, arrival, name)
        };
        if conversation.closed_loop {
            let seed = self.seeds.next().expect("a seed for every conversation that begins");
            let history = match &spec.content {
                Content::Shared { prompt, .. } if goes_on => prompt.clone(),
                _ => Vec::new(),
            };
            let live = Live {
                shape,
                conversation,
                rng: Stream::new(seed),
                round,
                planned: spec.output_tokens,
                answer_uid: uid,
                history,
            };
            self.live.insert(session.0 - self.first, Box::new(live));
        }
        Some(RequestSpec { session: Some(SessionRound { session, round }), ..spec })
    }

    fn begin(&mut self, drafts: &Drafts) -> SessionId {
        self.names.push(name(drafts.number).into());
        SessionId(self.first + self.names.len() as u32 - 1)
    }

    /// The next round after an answer. One that was refused or given up ends the conversation.
    pub(super) fn on_end(
        &mut self,
        shapes: &[Shape],
        uid: u64,
        ended: SessionRound,
        at: Tick,
        end: RequestEnd,
    ) -> Option<RequestSpec> {
        let place = ended.session.0 - self.first;
        let is_crowded = self.live.len() > KEEP_OPEN;
        let live = self.live.get_mut(&place)?;
        let session_name = &self.names[place as usize];
        assert_eq!(ended.round, live.round, "round that ended of {session_name}");
        let arrival = at + live.conversation.think_time;
        let answered = match end {
            RequestEnd::Completed { output_tokens } => Some(output_tokens),
            RequestEnd::TimedOut | RequestEnd::Dropped => None,
        };
        let is_last = live.round + 1 == live.conversation.max_rounds;
        let goes_on = !is_last && arrival <= self.horizon && self.budget != Some(0);
        let Some(output_tokens) = answered.filter(|_| goes_on) else {
            self.follow_ups.close(&mut live.rng);
            self.live.remove(&place);
            return None;
        };
        if let Some(budget) = &mut self.budget {
            *budget -= 1;
        }
        live.round += 1;
        let form = &shapes[live.shape];
        let (draft, name) = self.follow_ups.draw(form, &mut live.rng, is_crowded, (session_name, live.round));
        let spec = if live.history.is_empty() {
            form.request(draft, uid, arrival, name)
        } else {
            // The server never computed the state of the last token, and nobody feeds it back.
            let tokens = output_tokens.min(live.planned).saturating_sub(1);
            live.history.push(Segment::Answer { uid: live.answer_uid, tokens });
            live.history.push(draft.segment(uid));
            form.prompt(live.history.clone(), draft, uid, arrival, name)
        };
        (live.planned, live.answer_uid) = (spec.output_tokens, uid);
        let session = Some(SessionRound { session: ended.session, round: live.round });
        Some(RequestSpec { session, ..spec })
    }
}

fn name(number: i64) -> String {
    format!("sess_{number}")
}

/// Everything that was said before a round of an open loop, and what is said in it.
fn prompt(shape: &Shape, drafts: &Drafts, round: u32) -> Vec<Segment> {
    let uid = |round: usize| drafts.first_uid + round as u64;
    let mut prompt: Vec<_> = shape.prefix_segment().into_iter().collect();
    for (number, draft) in drafts.rounds[..round as usize].iter().enumerate() {
        let tokens = draft.output_tokens;
        prompt.push(draft.segment(uid(number)));
        prompt.push(Segment::Answer { uid: uid(number), tokens });
    }
    prompt.push(drafts.rounds[round as usize].segment(uid(round as usize)));
    prompt
}

/// What is known beforehand of the requests that come by themselves.
#[derive(Default)]
struct Ahead {
    /// The seeds of all conversations in a closed loop, in the order in which they begin.
    seeds: Vec<i64>,
    /// How many requests come by themselves.
    requests: u64,
}

impl Ahead {
    /// Looks at the first `left` arrivals.
    fn look(seed: i64, shapes: &[Shape], mut arrivals: RateClients, left: u64) -> Self {
        let mut begun = Vec::new();
        let mut requests = 0;
        for _ in 0..left {
            if arrivals.peek().is_none() {
                break;
            }
            let sent = arrivals.next(shapes);
            let is_closed_loop = shapes[sent.shape].is_closed_loop();
            match sent.item {
                Item::Round(Round { round: 1.., .. }) if is_closed_loop => continue,
                Item::Round(Round { drafts, .. }) if is_closed_loop => {
                    begun.push((shapes[sent.shape].labels, drafts.number));
                }
                _ => {}
            }
            requests += 1;
        }
        let mut order: Vec<u32> = (0..begun.len() as u32).collect();
        order.sort_by_key(|&i| {
            let (client, number) = begun[i as usize];
            (client, alphabetical(number))
        });
        let mut rng = GoRand::new(seed.wrapping_add(SEED_OFFSET));
        let mut seeds = vec![0; begun.len()];
        for i in order {
            seeds[i as usize] = rng.int63();
        }
        Self { seeds, requests }
    }
}

/// Sorts numbers that are not negative as their decimal digits do: "10" before "9", and "1" before "10".
fn alphabetical(number: i64) -> (u64, u32) {
    // A number of 63 bits has up to 19 digits, and any number of 19 digits fits 64 bits.
    let digits = number.checked_ilog10().map_or(1, |log| log + 1);
    (number as u64 * 10_u64.pow(19 - digits), digits)
}

#[cfg(test)]
mod tests {
    use super::alphabetical;
    use blis_kernel::rng::GoRand;

    /// Law: the key orders numbers as their names are ordered.
    #[test]
    fn the_key_is_that_of_the_name() {
        let mut rng = GoRand::new(1);
        let mut numbers: Vec<i64> = (0..2_000).map(|i| rng.int63() >> (i % 63)).collect();
        numbers.extend([0, 1, 9, 10, 100, 99, i64::MAX]);
        let mut by_name = numbers.clone();
        by_name.sort_by_key(|&number| super::name(number));
        numbers.sort_by_key(|&number| alphabetical(number));
        assert_eq!(numbers, by_name);
    }
}
