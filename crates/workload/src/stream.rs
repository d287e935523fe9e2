//! The lazy stream of a synthesised workload.
//!
//! Every client draws its requests one at a time from a stream of its own, and the clients are merged by
//! (arrival, client, sequence), which is the order that generating everything and sorting it stably would give.
//! Random streams: all prefix tokens, then one seed per sending client, come from the stream `workload-gen`;
//! the users of concurrency pools have their own (see [`Users`]).

mod rate;
mod users;

use crate::client::{Client, Traffic};
use crate::content::{Content, GroupId, Segment};
use crate::request::{Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound};
use crate::tokens;
use crate::workload::Workload;
use blis_kernel::rng::{GoRand, stream_seed};
use blis_kernel::samplers::LengthSampler;
use blis_kernel::{RequestName, Tick};
use rate::RateClients;
use users::Users;

/// What all requests of one client have in common.
#[derive(Clone, Debug)]
struct Shape {
    labels: LabelsId,
    input: LengthSampler,
    output: LengthSampler,
    prefix: Option<(GroupId, u32)>,
    timeout: Option<Tick>,
}

impl Shape {
    /// Draws one request: input length, output length, input ids, output ids.
    #[inline]
    fn draw(&self, rng: &mut GoRand) -> Draft {
        let fresh_tokens = tokens::token_count(self.input.sample(rng));
        let output_tokens = tokens::token_count(self.output.sample(rng));
        let head = tokens::draw_request(rng, fresh_tokens, output_tokens);
        Draft { fresh_tokens, output_tokens, head }
    }

    fn request(&self, draft: Draft, uid: u64, arrival: Tick, name: RequestName) -> RequestSpec {
        let Draft { fresh_tokens, output_tokens, head } = draft;
        let (prefix_tokens, content) = match self.prefix {
            None => (0, Content::Unique { uid, head }),
            Some((group, tokens)) => {
                let prompt = vec![
                    Segment::Group { group, tokens },
                    Segment::Fresh { uid, tokens: fresh_tokens, head },
                ];
                (tokens, Content::Shared { prompt, answer_uid: uid })
            }
        };
        RequestSpec {
            arrival,
            name,
            input_tokens: prefix_tokens.saturating_add(fresh_tokens),
            output_tokens,
            max_output_tokens: output_tokens,
            deadline: self.timeout.map(|timeout| arrival + timeout),
            content,
            labels: self.labels,
            session: None,
        }
    }
}

/// What the random streams decide about a request.
#[derive(Clone, Copy, Debug)]
struct Draft {
    fresh_tokens: u32,
    output_tokens: u32,
    head: [u32; crate::content::HEAD_TOKENS],
}

/// A running [`Workload`].
pub(crate) struct WorkloadStream {
    labels: Vec<Labels>,
    groups: Vec<Vec<u32>>,
    shapes: Vec<Shape>,
    rate_clients: RateClients,
    /// Requests that rate clients may still send.
    rate_left: u64,
    users: Users,
    /// Requests handed out as arrivals.
    arrived: u64,
    next_uid: u64,
}

impl WorkloadStream {
    pub(crate) fn new(workload: &Workload) -> Self {
        let mut rng = GoRand::new(stream_seed(workload.seed, "workload-gen"));
        let (prefixes, group_lengths) = tokens::number_groups(&workload.clients);
        let groups = group_lengths.iter().map(|&length| tokens::draw_group(&mut rng, length)).collect();
        let shapes: Vec<Shape> = workload
            .clients
            .iter()
            .zip(prefixes)
            .enumerate()
            .map(|(i, (client, prefix))| shape(i, client, prefix))
            .collect();
        let rate_clients = RateClients::new(&workload.clients, &mut rng, workload.horizon);
        let bound = workload.max_requests.unwrap_or(u64::MAX);
        let users = if workload.clients.iter().any(|c| matches!(c.traffic, Traffic::Concurrency { .. })) {
            // What rate clients send counts first against the bound of all requests.
            let emitted = workload.max_requests.map(|max| rate_clients.clone().count(&shapes, max));
            Users::new(workload, emitted)
        } else {
            Users::default()
        };
        Self {
            labels: workload.clients.iter().map(labels).collect(),
            groups,
            shapes,
            rate_clients,
            rate_left: bound,
            users,
            arrived: 0,
            next_uid: 0,
        }
    }

    fn next_uid(&mut self) -> u64 {
        self.next_uid += 1;
        self.next_uid
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
        prefix,
        timeout: client.timeout,
    }
}

impl RequestSource for WorkloadStream {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let rate = if self.rate_left > 0 { self.rate_clients.peek() } else { None };
        let user = self.users.peek();
        // At equal times rate clients come before users.
        let user_first = match (rate, user) {
            (None, None) => return None,
            (Some(rate), Some(user)) => user < rate,
            (rate, _) => rate.is_none(),
        };
        let uid = self.next_uid();
        let name = RequestName::Indexed(self.arrived);
        self.arrived += 1;
        if user_first {
            return Some(self.users.first_request(&self.shapes, uid, name));
        }
        self.rate_left -= 1;
        let (client, arrival, draft) = self.rate_clients.next(&self.shapes);
        Some(self.shapes[client].request(draft, uid, arrival, name))
    }

    fn is_reactive(&self) -> bool {
        !self.users.is_empty()
    }

    fn on_end(&mut self, ended: SessionRound, at: Tick, end: RequestEnd) -> Option<RequestSpec> {
        let uid = self.next_uid();
        self.users.on_end(&self.shapes, uid, ended, at, end)
    }

    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn session_name(&self, session: SessionId) -> &str {
        self.users.name(session)
    }

    fn groups(&self) -> &[Vec<u32>] {
        &self.groups
    }
}
