//! Replaying the sessions of a trace in a closed loop: a round is sent when the answer to the one before has come and
//! its user has paused. Rows without a session arrive at their recorded times.
//!
//! Draws: the tokens of the prefix groups and then one 63-bit number per session, in order of first appearance, come
//! from the stream of the seed itself, and so do the tokens of rows without a session, in file order, after them. The
//! number seeds the session's own stream: per round the pause (not before the first one, and only if it is drawn),
//! input ids, output ids.

use super::prompts::{Prompts, Session};
use super::{ContextGrowth, Trace, TraceRow};
use crate::client::DEFAULT_SESSION_TIMEOUT;
use crate::request::{
    DetailKinds, Details, Labels, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound,
};
use blis_kernel::rng::GoRand;
use blis_kernel::samplers::LengthSampler;
use blis_kernel::{FollowUpName, RequestName, Tick};
use std::sync::Arc;

/// How the sessions of a trace are replayed in a closed loop.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// Pauses between an answer and the next round, µs. `None`: the recorded ones, where a session has any; else the
    /// gaps between arrivals, which contain the time that the recorded server took.
    pub think_time_us: Option<LengthSampler>,
    /// No round is sent after this time.
    pub horizon: Tick,
    /// See [`blis_kernel::Semantics::replayed_rounds_are_new`].
    pub rounds_are_new: bool,
}

/// The rounds of a session are not 0, 1, 2, …
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "session `{session}`: round {expected} is expected where round_index is {found}; rounds count from 0"
)]
pub struct RoundProblem {
    /// Name of the session.
    pub session: String,
    /// The round that comes next.
    pub expected: u32,
    /// The one that is there.
    pub found: u32,
}

impl Trace {
    /// Whether any row belongs to a session.
    pub fn has_sessions(&self) -> bool {
        self.rows.iter().any(|row| row.session != super::TextId::default())
    }

    /// What keeps sessions from being replayed in a closed loop: the first wrong round of each.
    pub fn round_problems(&self) -> Vec<RoundProblem> {
        let wrong = |session: &Session| {
            let rounds = session.rounds.iter().map(|&row| self.rows[row as usize].round);
            let (expected, found) = (0..).zip(rounds).find(|(expected, found)| expected != found)?;
            Some(RoundProblem { session: self.text(session.name).to_owned(), expected, found })
        };
        self.sessions().iter().filter_map(wrong).collect()
    }

    /// Starts a replay in a closed loop.
    ///
    /// # Panics
    /// When there are [`Trace::round_problems`].
    pub fn closed_loop_stream(self: &Arc<Self>, seed: i64, settings: &ClosedLoop) -> Box<dyn RequestSource> {
        Box::new(Replay::new(self, seed, settings.clone()))
    }
}

/// Where a session stands.
struct Live {
    seed: i64,
    /// From its first round on.
    rng: Option<Box<GoRand>>,
    round: u32,
}

struct Replay {
    prompts: Prompts,
    settings: ClosedLoop,
    /// First rounds and rows without a session in order of injection; at equal times first rounds come first.
    order: Vec<u32>,
    next: usize,
    /// By session; `None` when it is over.
    live: Vec<Option<Live>>,
    followed_up: u64,
}

impl Replay {
    fn new(trace: &Arc<Trace>, seed: i64, settings: ClosedLoop) -> Self {
        assert!(trace.round_problems().is_empty(), "sessions whose rounds are not 0, 1, 2, …");
        let mut rng = GoRand::new(seed);
        let mut prompts = Prompts::new(Arc::clone(trace), &mut rng);
        if trace.header.context_growth == ContextGrowth::Accumulate || !settings.rounds_are_new {
            prompts.link_sessions();
        }
        let live = |_: &Session| Some(Live { seed: rng.int63(), rng: None, round: 0 });
        let live = prompts.sessions.iter().map(live).collect();
        let mut order: Vec<u32> = prompts.sessions.iter().map(|session| session.rounds[0]).collect();
        for row in 0..trace.rows.len() {
            if trace.rows[row].session == super::TextId::default() {
                prompts.draw(row, &mut rng);
                order.push(row as u32);
            }
        }
        order.sort_by_key(|&row| trace.injection(&trace.rows[row as usize]));
        Self { prompts, settings, order, next: 0, live, followed_up: 0 }
    }

    /// The pause before a round.
    fn think_time(&self, rows: &[u32], round: usize, rng: &mut GoRand) -> Tick {
        let row = |round: usize| -> &TraceRow { &self.prompts.trace.rows()[rows[round] as usize] };
        if let Some(sampler) = &self.settings.think_time_us {
            return Tick::from_us(sampler.sample(rng));
        }
        let us = if (1..rows.len()).any(|round| row(round).think_time_us != 0) {
            row(round).think_time_us
        } else {
            row(round).arrival_us.saturating_sub(row(round - 1).arrival_us).max(0)
        };
        Tick::from_us(us)
    }
}

impl RequestSource for Replay {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let row = *self.order.get(self.next)? as usize;
        self.next += 1;
        let recorded = &self.prompts.trace.rows()[row];
        let arrival = self.prompts.trace.injection(recorded);
        let deadline = (recorded.deadline_us > 0).then(|| Tick::from_us(recorded.deadline_us));
        if let Some(SessionId(session)) = self.prompts.session_of(row) {
            let live = self.live[session as usize].as_mut().expect("a session that has not begun");
            let seed = live.seed;
            self.prompts.draw(row, live.rng.get_or_insert_with(|| Box::new(GoRand::new(seed))));
        }
        Some(self.prompts.request(row, arrival, deadline))
    }

    fn is_reactive(&self) -> bool {
        self.prompts.sessions.iter().any(|session| session.rounds.len() > 1)
    }

    fn on_end(&mut self, ended: SessionRound, at: Tick, end: RequestEnd) -> Option<RequestSpec> {
        let place = ended.session.0 as usize;
        let Live { rng, round, .. } = self.live[place].take()?;
        assert_eq!(ended.round, round, "round that ended of {}", self.session_name(ended.session));
        let mut rng = rng.expect("a session that has begun");
        let RequestEnd::Completed { output_tokens } = end else { return None };
        let session = &self.prompts.sessions[place];
        let (before, next) = (round as usize, round as usize + 1);
        let row = *session.rounds.get(next)? as usize;
        let before = session.rounds[before] as usize;
        let arrival = at + self.think_time(&session.rounds, next, &mut rng);
        if arrival > self.settings.horizon {
            return None;
        }
        if self.prompts.trace.header.context_growth == ContextGrowth::Accumulate {
            let planned = self.prompts.trace.rows()[before].output_tokens;
            // The server never computed the state of the last token, and nobody feeds it back.
            self.prompts.answered(before, output_tokens.min(planned).saturating_sub(1), row);
        }
        self.prompts.draw(row, &mut rng);
        let recorded = &self.prompts.trace.rows()[row];
        let patience = if self.settings.rounds_are_new {
            Some(DEFAULT_SESSION_TIMEOUT)
        } else {
            let us = recorded.deadline_us.saturating_sub(recorded.arrival_us).max(0);
            (recorded.deadline_us > 0).then(|| Tick::from_us(us))
        };
        let mut request = self.prompts.request(row, arrival, patience.map(|patience| arrival + patience));
        self.followed_up += 1;
        if self.settings.rounds_are_new {
            request.name = RequestName::FollowUp(Arc::new(FollowUpName {
                session: self.session_name(ended.session).into(),
                round: round + 1,
                counter: self.followed_up,
            }));
        }
        self.live[place] = Some(Live { seed: 0, rng: Some(rng), round: round + 1 });
        Some(request)
    }

    fn labels(&self) -> &[Labels] {
        self.prompts.labels()
    }

    fn session_name(&self, session: SessionId) -> &str {
        self.prompts.session_name(session)
    }

    fn groups(&self) -> &[Vec<u32>] {
        self.prompts.groups()
    }

    fn detail_kinds(&self) -> DetailKinds {
        self.prompts.detail_kinds()
    }

    fn details(&self, request: &RequestSpec) -> Details {
        self.prompts.details(request)
    }
}
