//! Conversations as their client draws them: all rounds at once, when the conversation begins.
//!
//! Draws: a 63-bit number that names the conversation; then per round input length, output length, input ids, output
//! ids, share of reasoning. Round 0 arrives when the conversation begins, round r + 1 think time + 1 µs per answer token
//! after round r. In a closed loop only round 0 is sent at that time; the others still count toward the bound of all
//! requests, which therefore bounds the conversations that begin.

use super::{Draft, Shape};
use crate::client::Conversation;
use crate::request::SessionId;
use blis_kernel::Tick;
use blis_kernel::rng::GoRand;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, OnceLock};

/// What the random stream decides about a conversation.
#[derive(Debug)]
pub(super) struct Drafts {
    /// Part of its name.
    pub(super) number: i64,
    /// Names the tokens of round 0; round r has this plus r.
    pub(super) first_uid: u64,
    /// Of round 0 only, in a closed loop.
    pub(super) rounds: Vec<Draft>,
    /// Known when round 0 is sent.
    pub(super) session: OnceLock<SessionId>,
}

/// One round.
#[derive(Clone, Debug)]
pub(super) struct Round {
    arrival: Tick,
    /// Order in which the client drew its rounds.
    sequence: u64,
    pub(super) round: u32,
    pub(super) drafts: Arc<Drafts>,
}

impl Ord for Round {
    /// The greatest is the first to arrive.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.arrival, other.sequence).cmp(&(self.arrival, self.sequence))
    }
}

impl PartialOrd for Round {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Round {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Round {}

/// The conversations of one client.
#[derive(Clone)]
pub(super) struct Conversations {
    kind: Conversation,
    /// When the next one begins.
    pub(super) next_start: Option<Tick>,
    /// Rounds that have not arrived.
    pending: BinaryHeap<Round>,
    drawn: u64,
    /// No conversation begins when this many rounds have been drawn.
    cap: Option<u64>,
}

impl Conversations {
    /// `max_requests` is the bound of all requests: twice as many rounds are drawn at most, and the conversation that
    /// goes beyond is finished.
    pub(super) fn new(kind: Conversation, max_requests: Option<u64>) -> Self {
        let cap = max_requests.map(|max| max.saturating_mul(2));
        let next_start = None;
        Self { kind, next_start, pending: BinaryHeap::new(), drawn: 0, cap }
    }

    pub(super) fn single_session(&self) -> bool {
        self.kind.single_session
    }

    pub(super) fn begins_another(&self) -> bool {
        !self.kind.single_session && self.cap.is_none_or(|cap| self.drawn < cap)
    }

    /// The start of the next conversation, if that comes before the next round.
    pub(super) fn due_start(&self) -> Option<Tick> {
        self.next_start.filter(|&start| self.pending.peek().is_none_or(|round| start < round.arrival))
    }

    pub(super) fn peek(&self) -> Option<Tick> {
        self.pending.peek().map(|round| round.arrival)
    }

    pub(super) fn pop(&mut self) -> Round {
        self.pending.pop().expect("a round that was seen")
    }

    /// Draws a conversation. Rounds that `is_sent` refuses are left out; none is sent at or after `end`.
    pub(super) fn draw(
        &mut self,
        start: Tick,
        end: Tick,
        is_sent: impl Fn(Tick) -> bool,
        shape: &Shape,
        rng: &mut GoRand,
        uids: &mut u64,
    ) {
        let number = rng.int63();
        let first_uid = *uids + 1;
        *uids += u64::from(self.kind.max_rounds);
        let mut rounds = Vec::new();
        let mut arrivals = Vec::new();
        let mut arrival = start;
        for round in 0..self.kind.max_rounds {
            let draft = shape.draw(rng);
            // In a closed loop later rounds only count, and nothing is counted without a bound.
            let is_wanted = round == 0 || !self.kind.closed_loop || self.cap.is_some();
            if is_wanted && arrival < end && is_sent(arrival) {
                arrivals.push((arrival, round));
            }
            arrival += self.kind.think_time;
            arrival += Tick::from_us(i64::from(draft.output_tokens));
            if round == 0 || !self.kind.closed_loop {
                rounds.push(draft);
            }
        }
        let drafts = Arc::new(Drafts { number, first_uid, rounds, session: OnceLock::new() });
        for (arrival, round) in arrivals {
            let drafts = Arc::clone(&drafts);
            self.pending.push(Round { arrival, sequence: self.drawn, round, drafts });
            self.drawn += 1;
        }
    }
}
