//! The lazy stream of a synthesised workload.
//!
//! Every client draws its requests one at a time from a stream of its own, and the clients are merged by
//! (arrival, client, sequence), which is the order that generating everything and sorting it stably would give.
//! Random streams: all prefix tokens, then one seed per sending client, come from the stream `workload-gen`;
//! the users of concurrency pools have their own (see [`Users`]), and so have
//! conversations from their second round on (see [`Sessions`]).

mod conversation;
mod rate;
mod sessions;
mod users;

use crate::client::{Client, Conversation, Modalities, Traffic};
use crate::content::{Content, GroupId, HEAD_TOKENS, Segment};
use crate::request::{
    Composition, DetailKinds, Details, Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, SessionId,
    SessionRound,
};
use crate::tokens;
use crate::workload::Workload;
use blis_kernel::rng::{GoRand, Stream, stream_seed};
use blis_kernel::samplers::LengthSampler;
use blis_kernel::{FollowUpName, RequestName, Tick};
use conversation::Conversations;
use rate::{Item, RateClients, Sent};
use sessions::Sessions;
use std::sync::Arc;
use users::Users;

/// Up to so many clients, users or conversations (10 MB) keep their generators.
const KEEP_OPEN: usize = 2_048;
/// A stream of more draws than this keeps its generator, because computing it again would take too long (3 µs) …
const KEEP_BEYOND: u64 = 8_192;
/// … as long as no more than so many (40 MB) are kept;
const KEEP_AT_MOST: usize = 8_192;
/// then it has to be more draws than this (12 µs).
const KEEP_ALWAYS_BEYOND: u64 = 32_768;

/// Decides which generators stay open between their draws.
#[derive(Clone, Debug, Default)]
struct Generators {
    open: usize,
}

impl Generators {
    /// After a draw: lets go of the memory of a generator that is cheap to compute again, if there are many.
    /// `was_open` is whether it was open, and counted, before the draw.
    fn settle(&mut self, stream: &mut Stream, was_open: bool, is_crowded: bool) {
        self.forget(was_open);
        let keep_beyond = if self.open < KEEP_AT_MOST { KEEP_BEYOND } else { KEEP_ALWAYS_BEYOND };
        if is_crowded && stream.draws() <= keep_beyond {
            stream.put_aside();
        }
        self.open += usize::from(stream.is_open());
    }

    /// A generator that was open, and counted, is no more.
    fn forget(&mut self, was_open: bool) {
        self.open -= usize::from(was_open);
    }
}

/// The requests of sessions that follow an answer.
#[derive(Default)]
struct FollowUps {
    sent: u64,
    generators: Generators,
}

impl FollowUps {
    /// Draws the request of a round from the session's stream; returns it with its name.
    fn draw(
        &mut self,
        shape: &Shape,
        stream: &mut Stream,
        is_crowded: bool,
        (session, round): (&Arc<str>, u32),
    ) -> (Draft, RequestName) {
        let was_open = stream.is_open();
        let draft = shape.draw_follow_up(stream.open());
        self.generators.settle(stream, was_open, is_crowded);
        self.sent += 1;
        let name = FollowUpName { session: Arc::clone(session), round, counter: self.sent };
        (draft, RequestName::FollowUp(Arc::new(name)))
    }

    /// A session sends nothing more.
    fn close(&mut self, stream: &mut Stream) {
        self.generators.forget(stream.is_open());
        stream.put_aside();
    }
}

/// What all requests of one client have in common.
#[derive(Clone, Debug)]
struct Shape {
    labels: LabelsId,
    input: LengthSampler,
    output: LengthSampler,
    modalities: Option<Box<Modalities>>,
    reason_ratio: Option<LengthSampler>,
    prefix: Option<(GroupId, u32)>,
    timeout: Option<Tick>,
    conversation: Option<Conversation>,
}

impl Shape {
    /// Draws one request: input length, output length, input ids, output ids, share of reasoning. Of several
    /// modalities: input lengths, input ids, output length, output ids.
    #[inline]
    fn draw(&self, rng: &mut GoRand) -> Draft {
        let mut draft = match &self.modalities {
            None => self.draw_follow_up(rng),
            Some(modalities) => {
                let (fresh_tokens, composition) = modalities.draw(rng);
                let head = tokens::draw_request(rng, fresh_tokens, 0);
                let output_tokens = tokens::token_count(self.output.sample(rng));
                tokens::draw_request(rng, 0, output_tokens);
                Draft { fresh_tokens, output_tokens, head, composition: Some(Box::new(composition)) }
            }
        };
        if let Some(ratio) = &self.reason_ratio {
            let percent = ratio.sample_count(rng).min(100);
            draft.composition.get_or_insert_default().reason_ratio = percent as f64 / 100.0;
        }
        draft
    }

    /// Draws one request that follows an answer: input length, output length, input ids, output ids.
    #[inline]
    fn draw_follow_up(&self, rng: &mut GoRand) -> Draft {
        let fresh_tokens = tokens::token_count(self.input.sample(rng));
        let output_tokens = tokens::token_count(self.output.sample(rng));
        let head = tokens::draw_request(rng, fresh_tokens, output_tokens);
        Draft { fresh_tokens, output_tokens, head, composition: None }
    }

    fn is_closed_loop(&self) -> bool {
        self.conversation.is_some_and(|conversation| conversation.closed_loop)
    }

    fn conversations(&self, max_requests: Option<u64>) -> Option<Box<Conversations>> {
        self.conversation.map(|kind| Box::new(Conversations::new(kind, max_requests)))
    }

    fn with_lengths(&self, input: Option<&LengthSampler>, output: Option<&LengthSampler>) -> Self {
        Self {
            input: input.unwrap_or(&self.input).clone(),
            output: output.unwrap_or(&self.output).clone(),
            ..self.clone()
        }
    }

    fn prefix_segment(&self) -> Option<Segment> {
        self.prefix.map(|(group, tokens)| Segment::Group { group, tokens })
    }

    fn request(&self, draft: Draft, uid: u64, arrival: Tick, name: RequestName) -> RequestSpec {
        match self.prefix_segment() {
            None => {
                let content = Content::Unique { uid, head: draft.head };
                self.with_content(content, draft.fresh_tokens, draft, arrival, name)
            }
            Some(prefix) => {
                let prompt = vec![prefix, draft.segment(uid)];
                self.prompt(prompt, draft, uid, arrival, name)
            }
        }
    }

    /// A request with this prompt.
    fn prompt(
        &self,
        prompt: Vec<Segment>,
        draft: Draft,
        uid: u64,
        arrival: Tick,
        name: RequestName,
    ) -> RequestSpec {
        let input_tokens = prompt.iter().fold(0, |sum: u32, segment| sum.saturating_add(segment.tokens()));
        self.with_content(Content::Shared { prompt, answer_uid: uid }, input_tokens, draft, arrival, name)
    }

    #[inline]
    fn with_content(
        &self,
        content: Content,
        input_tokens: u32,
        draft: Draft,
        arrival: Tick,
        name: RequestName,
    ) -> RequestSpec {
        RequestSpec {
            arrival,
            name,
            input_tokens,
            output_tokens: draft.output_tokens,
            max_output_tokens: draft.output_tokens,
            deadline: self.timeout.map(|timeout| arrival + timeout),
            content,
            labels: self.labels,
            session: None,
            composition: draft.composition,
        }
    }
}

/// What the random streams decide about a request.
#[derive(Clone, Debug)]
struct Draft {
    fresh_tokens: u32,
    output_tokens: u32,
    head: [u32; HEAD_TOKENS],
    composition: Option<Box<Composition>>,
}

impl Draft {
    fn segment(&self, uid: u64) -> Segment {
        Segment::Fresh { uid, tokens: self.fresh_tokens, head: self.head }
    }
}

/// A running [`Workload`].
pub(crate) struct WorkloadStream {
    labels: Vec<Labels>,
    groups: Vec<Vec<u32>>,
    /// Pauses within the sessions of each client.
    think_times: Vec<Tick>,
    shapes: Vec<Shape>,
    rate_clients: RateClients,
    /// Requests that rate clients may still send.
    rate_left: u64,
    users: Users,
    sessions: Sessions,
    /// Requests handed out as arrivals.
    arrived: u64,
}

impl WorkloadStream {
    pub(crate) fn new(workload: &Workload) -> Self {
        let Workload { seed, ref clients, horizon, max_requests, .. } = *workload;
        assert!(
            max_requests.is_some()
                || horizon < Tick::MAX
                || clients.iter().all(|c| c.is_bounded() || !c.conversation.is_some_and(|c| c.closed_loop)),
            "conversations that wait for answers begin forever"
        );
        let mut rng = GoRand::new(stream_seed(seed, "workload-gen"));
        let (prefixes, group_lengths) = tokens::number_groups(clients);
        let groups = group_lengths.iter().map(|&length| tokens::draw_group(&mut rng, length)).collect();
        let mut shapes: Vec<Shape> = clients
            .iter()
            .zip(prefixes)
            .enumerate()
            .map(|(i, (client, prefix))| shape(i, client, prefix))
            .collect();
        let rate_clients = RateClients::new(clients, &mut shapes, &mut rng, horizon, max_requests);
        let bound = max_requests.unwrap_or(u64::MAX);
        let users = if clients.iter().any(|c| matches!(c.traffic, Traffic::Concurrency { .. })) {
            // What rate clients send counts first against the bound of all requests.
            let emitted = max_requests.map(|max| {
                let endless =
                    |c: &Client| !matches!(c.traffic, Traffic::Concurrency { .. }) && !c.is_bounded();
                if horizon == Tick::MAX && clients.iter().any(endless) {
                    max
                } else {
                    rate_clients.clone().count(&shapes, max)
                }
            });
            Users::new(workload, emitted)
        } else {
            Users::default()
        };
        let sessions = Sessions::new(users.len(), workload, &shapes, &rate_clients);
        Self {
            labels: clients.iter().map(labels).collect(),
            think_times: clients.iter().map(Client::think_time).collect(),
            groups,
            shapes,
            rate_clients,
            rate_left: bound,
            users,
            sessions,
            arrived: 0,
        }
    }
}

impl WorkloadStream {
    /// Conversations in a closed loop that have not begun but will.
    pub(crate) fn closed_loop_conversations(&self) -> u64 {
        self.sessions.to_come()
    }
}

fn labels(client: &Client) -> Labels {
    let prefix_group = client.prefix.as_ref().map(|prefix| prefix.group.clone()).unwrap_or_default();
    Labels { prefix_group, ..client.labels.clone() }
}

fn shape(index: usize, client: &Client, prefix: Option<(GroupId, u32)>) -> Shape {
    Shape {
        labels: LabelsId(index as u32),
        input: client.input.clone(),
        output: client.output.clone(),
        modalities: client.modalities.clone().filter(|_| client.conversation.is_none()),
        reason_ratio: client.reason_ratio.clone(),
        prefix,
        timeout: client.timeout,
        conversation: client.conversation,
    }
}

impl RequestSource for WorkloadStream {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        loop {
            let rate = if self.rate_left > 0 { self.rate_clients.peek() } else { None };
            let user = self.users.peek();
            // At equal times rate clients come before users.
            let user_first = match (rate, user) {
                (None, None) => return None,
                (Some(rate), Some(user)) => user < rate,
                (rate, _) => rate.is_none(),
            };
            let name = RequestName::Indexed(self.arrived);
            if user_first {
                self.arrived += 1;
                let uid = self.rate_clients.next_uid();
                return Some(self.users.first_request(&self.shapes, uid, name));
            }
            self.rate_left -= 1;
            let Sent { shape, arrival, item } = self.rate_clients.next(&self.shapes);
            let request = match item {
                Item::Single(draft) => {
                    let uid = self.rate_clients.next_uid();
                    Some(self.shapes[shape].request(draft, uid, arrival, name))
                }
                Item::Round(round) => self.sessions.request(&self.shapes, shape, arrival, &round, name),
            };
            if request.is_some() {
                self.arrived += 1;
                return request;
            }
        }
    }

    fn is_reactive(&self) -> bool {
        !self.users.is_empty() || self.sessions.is_closed_loop()
    }

    fn on_end(&mut self, ended: SessionRound, at: Tick, end: RequestEnd) -> Option<RequestSpec> {
        let uid = self.rate_clients.next_uid();
        if ended.session.0 < self.users.len() {
            self.users.on_end(&self.shapes, uid, ended, at, end)
        } else {
            self.sessions.on_end(&self.shapes, uid, ended, at, end)
        }
    }

    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn session_name(&self, session: SessionId) -> &str {
        if session.0 < self.users.len() { self.users.name(session) } else { self.sessions.name(session) }
    }

    fn groups(&self) -> &[Vec<u32>] {
        &self.groups
    }

    fn detail_kinds(&self) -> DetailKinds {
        let think_time = self.think_times.iter().any(|&think_time| think_time > Tick::ZERO);
        DetailKinds { think_time, ..DetailKinds::default() }
    }

    fn details(&self, request: &RequestSpec) -> Details {
        let follows = request.session.is_some_and(|place| place.round > 0);
        let think_time = if follows { self.think_times[request.labels.0 as usize] } else { Tick::ZERO };
        Details { think_time, ..Details::default() }
    }
}
