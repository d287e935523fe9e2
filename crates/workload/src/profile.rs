//! What a stream of requests looks like: how many and how fast, how long, what they share, who sends them.

mod rate;
mod tally;

pub use rate::RateCurve;
pub use tally::Tally;

use crate::content::{Content, Segment};
use crate::request::{Labels, RequestEnd, RequestSource, RequestSpec, SessionRound};
use blis_kernel::Tick;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// How a stream is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Requests to look at; the rest is left out.
    pub max_requests: u64,
    /// What one token of an answer takes, for requests that wait for the answer to another one.
    pub token_time: Tick,
}

/// The figures of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Requests looked at.
    pub requests: u64,
    /// Whether there were more.
    pub is_cut: bool,
    /// Whether some requests wait for answers, so that times and rates depend on the server.
    pub is_reactive: bool,
    /// When the first request arrives.
    pub first: Tick,
    /// When the last request arrives.
    pub last: Tick,
    /// Requests over time.
    pub rate: RateCurve,
    /// Standard deviation of the gaps between arrivals, divided by their mean: 0 regular, 1 like a Poisson process,
    /// more in bursts.
    pub gap_cv: f64,
    /// Prompt lengths, tokens.
    pub prompt: Tally,
    /// Answer lengths, tokens.
    pub output: Tally,
    /// Where the tokens of prompts come from.
    pub sharing: Sharing,
    /// Requests per session; empty without sessions.
    pub rounds: Tally,
    /// By SLO class; the empty name stands for requests without one.
    pub classes: BTreeMap<String, ClassProfile>,
    /// How many different names of each kind there are.
    pub names: Names,
}

/// Tokens of all prompts by where they come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sharing {
    /// Of prefix groups, and of recorded blocks that an earlier prompt has too.
    pub prefix_tokens: u64,
    /// Repeated from earlier rounds of a session.
    pub history_tokens: u64,
    /// New.
    pub fresh_tokens: u64,
    /// By the name of the group.
    pub groups: BTreeMap<String, GroupProfile>,
}

/// The use of one prefix group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupProfile {
    /// Length of the prefix, tokens.
    pub tokens: u32,
    /// Requests that begin with it.
    pub requests: u64,
}

/// The requests of one SLO class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassProfile {
    /// Prompt lengths, tokens.
    pub prompt: Tally,
    /// Answer lengths, tokens.
    pub output: Tally,
}

/// How many different names requests carry; requests without a name do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Clients, also unnamed ones.
    pub clients: usize,
    /// Tenants.
    pub tenants: usize,
    /// Models.
    pub models: usize,
    /// LoRA adapters.
    pub adapters: usize,
}

impl Profile {
    /// Plays a stream against a server that answers every request at the pace of `options`, whatever the load.
    pub fn of(source: &mut dyn RequestSource, options: ProfileOptions) -> Self {
        let mut seen = Seen::default();
        let mut arrivals = Arrivals::new(source, options.token_time);
        let mut is_cut = false;
        while let Some(request) = arrivals.next() {
            if seen.requests == options.max_requests {
                is_cut = true;
                break;
            }
            seen.add(&request, arrivals.source.labels());
        }
        seen.into_profile(arrivals.source, is_cut)
    }
}

/// The requests of a source in order of arrival, with those that follow answers.
struct Arrivals<'a> {
    source: &'a mut dyn RequestSource,
    token_time: Tick,
    upcoming: Option<RequestSpec>,
    /// Follow-ups that have not arrived; the number keeps requests of one time in order.
    followers: BTreeMap<(Tick, u64), RequestSpec>,
    followed: u64,
    ends: BinaryHeap<Reverse<(Tick, u64)>>,
    ending: FxHashMap<u64, (SessionRound, u32)>,
    sent: u64,
    is_reactive: bool,
}

impl<'a> Arrivals<'a> {
    fn new(source: &'a mut dyn RequestSource, token_time: Tick) -> Self {
        let upcoming = source.next_arrival();
        let is_reactive = source.is_reactive();
        Self {
            source,
            token_time,
            upcoming,
            followers: BTreeMap::new(),
            followed: 0,
            ends: BinaryHeap::new(),
            ending: FxHashMap::default(),
            sent: 0,
            is_reactive,
        }
    }

    fn next(&mut self) -> Option<RequestSpec> {
        loop {
            let fresh = self.upcoming.as_ref().map(|request| request.arrival);
            let follower = self.followers.first_key_value().map(|((arrival, _), _)| *arrival);
            let arrival = fresh.into_iter().chain(follower).min();
            // What ends at a time can bring a request at that time.
            if let Some(&Reverse((end, number))) = self.ends.peek()
                && arrival.is_none_or(|arrival| end <= arrival)
            {
                self.ends.pop();
                self.end(number, end);
                continue;
            }
            let request = if fresh == arrival {
                let request = self.upcoming.take()?;
                self.upcoming = self.source.next_arrival();
                request
            } else {
                self.followers.pop_first()?.1
            };
            if let Some(session) = request.session.filter(|_| self.is_reactive) {
                let service_us = self.token_time.as_us().saturating_mul(i64::from(request.output_tokens));
                self.sent += 1;
                self.ends.push(Reverse((request.arrival + Tick::from_us(service_us), self.sent)));
                self.ending.insert(self.sent, (session, request.output_tokens));
            }
            return Some(request);
        }
    }

    fn end(&mut self, number: u64, at: Tick) {
        let Some((session, output_tokens)) = self.ending.remove(&number) else { return };
        if let Some(next) = self.source.on_end(session, at, RequestEnd::Completed { output_tokens }) {
            self.followed += 1;
            self.followers.insert((next.arrival, self.followed), next);
        }
    }
}

/// Sums over the requests so far.
#[derive(Default)]
struct Seen {
    requests: u64,
    first: Tick,
    last: Tick,
    rate: RateCurve,
    gap_sum: f64,
    gap_squares: f64,
    prompt: Tally,
    output: Tally,
    sharing: Sharing,
    rounds: Vec<u32>,
    /// Of every number of labels that occurred, its place in `classes`.
    class_of: BTreeMap<u32, usize>,
    classes: Vec<(String, ClassProfile)>,
    /// By number of labels.
    groups: BTreeMap<u32, GroupProfile>,
    /// Recorded blocks that some prompt had.
    blocks: FxHashSet<u64>,
}

impl Seen {
    fn add(&mut self, request: &RequestSpec, labels: &[Labels]) {
        let RequestSpec { arrival, input_tokens, output_tokens, .. } = *request;
        if self.requests == 0 {
            self.first = arrival;
        } else {
            let gap_us = (arrival - self.last).as_us() as f64;
            self.gap_sum += gap_us;
            self.gap_squares += gap_us * gap_us;
        }
        self.requests += 1;
        self.last = arrival;
        self.rate.add(arrival);
        self.prompt.add(input_tokens);
        self.output.add(output_tokens);
        let class = *self.class_of.entry(request.labels.0).or_insert_with(|| {
            let name = &labels[request.labels.0 as usize].slo_class;
            self.classes.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                self.classes.push((name.clone(), ClassProfile::default()));
                self.classes.len() - 1
            })
        });
        let class = &mut self.classes[class].1;
        class.prompt.add(input_tokens);
        class.output.add(output_tokens);
        if let Some(SessionRound { session, .. }) = request.session {
            let number = session.0 as usize;
            if self.rounds.len() <= number {
                self.rounds.resize(number + 1, 0);
            }
            self.rounds[number] += 1;
        }
        self.share(request);
    }

    fn share(&mut self, request: &RequestSpec) {
        let Content::Shared { prompt, .. } = &request.content else {
            self.sharing.fresh_tokens += u64::from(request.input_tokens);
            return;
        };
        // Only the last run of a prompt is new in it.
        for (number, segment) in prompt.iter().enumerate() {
            let tokens = u64::from(segment.tokens());
            match segment {
                Segment::Group { tokens: length, .. } => {
                    self.sharing.prefix_tokens += tokens;
                    let group = self.groups.entry(request.labels.0).or_default();
                    group.tokens = group.tokens.max(*length);
                    group.requests += 1;
                }
                &Segment::Blocks { first, tokens, block_tokens } => {
                    for (block, at) in (first..).zip((0..tokens).step_by(block_tokens as usize)) {
                        let tokens = u64::from(block_tokens.min(tokens - at));
                        if self.blocks.insert(block) {
                            self.sharing.fresh_tokens += tokens;
                        } else {
                            self.sharing.prefix_tokens += tokens;
                        }
                    }
                }
                Segment::Fresh { .. } if number + 1 == prompt.len() => self.sharing.fresh_tokens += tokens,
                Segment::Fresh { .. } | Segment::Answer { .. } => self.sharing.history_tokens += tokens,
            }
        }
    }

    fn into_profile(self, source: &dyn RequestSource, is_cut: bool) -> Profile {
        let labels = source.labels();
        let mut sharing = self.sharing;
        for (number, group) in self.groups {
            let name = labels[number as usize].prefix_group.clone();
            let all = sharing.groups.entry(name).or_default();
            all.tokens = all.tokens.max(group.tokens);
            all.requests += group.requests;
        }
        let clients: Vec<&Labels> = self.class_of.keys().map(|&number| &labels[number as usize]).collect();
        let different = |name: fn(&Labels) -> &str| {
            clients
                .iter()
                .map(|labels| name(labels))
                .filter(|name| !name.is_empty())
                .collect::<BTreeSet<_>>()
                .len()
        };
        let names = Names {
            clients: clients.iter().map(|labels| &labels.client).collect::<BTreeSet<_>>().len(),
            tenants: different(|labels| &labels.tenant),
            models: different(|labels| &labels.model),
            adapters: different(|labels| &labels.adapter),
        };
        let mut rounds = Tally::default();
        self.rounds.iter().filter(|&&count| count > 0).for_each(|&count| rounds.add(count));
        let gaps = self.requests.saturating_sub(1) as f64;
        let mean = self.gap_sum / gaps;
        let variance = (self.gap_squares / gaps - mean * mean).max(0.0);
        Profile {
            requests: self.requests,
            is_cut,
            is_reactive: source.is_reactive(),
            first: self.first,
            last: self.last,
            rate: self.rate,
            gap_cv: if mean > 0.0 { variance.sqrt() / mean } else { 0.0 },
            prompt: self.prompt,
            output: self.output,
            sharing,
            rounds,
            classes: self.classes.into_iter().collect(),
            names,
        }
    }
}
