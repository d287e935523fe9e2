//! The sessions of a workload written down all at once.

use blis_kernel::Tick;
use blis_kernel::rng::{GoRand, stream_seed};
use blis_kernel::samplers::LengthSampler;
use blis_workload::{Client, RequestEnd, Traffic, VOCABULARY, Workload};
use std::collections::BTreeMap;

/// One request of a session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    pub(crate) arrival: Tick,
    pub(crate) deadline: Option<Tick>,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) prompt: Vec<Piece>,
}

/// A run of tokens of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Prefix {
        group: u32,
        tokens: u32,
    },
    /// New tokens of a round, with the first four of them.
    Asked {
        round: usize,
        tokens: u32,
        head: [u32; 4],
    },
    /// The answer to a round, as far as it was fed back.
    Answered {
        round: usize,
        tokens: u32,
    },
}

impl Piece {
    fn tokens(&self) -> u32 {
        match *self {
            Self::Prefix { tokens, .. } | Self::Asked { tokens, .. } | Self::Answered { tokens, .. } => {
                tokens
            }
        }
    }
}

/// When the answer to a round of a session is there, counted from its arrival, and what became of it.
pub(crate) type Server = fn(&str, u32, u32) -> (Tick, RequestEnd);

/// What was drawn about one request: its new tokens and the length of its answer.
struct Drawn {
    ids: Vec<u32>,
    output: u32,
}

fn draw(client: &Client, rng: &mut GoRand) -> Drawn {
    let (input, output) = (client.input.sample(rng), client.output.sample(rng));
    let ids = (0..input).map(|_| rng.intn(VOCABULARY) as u32).collect();
    (0..output).for_each(|_| _ = rng.intn(VOCABULARY));
    Drawn { ids, output: output as u32 }
}

fn draw_ratio(ratio: Option<&LengthSampler>, rng: &mut GoRand) {
    if let Some(ratio) = ratio {
        ratio.sample_count(rng);
    }
}

/// Number and length of each client's prefix; draws the tokens of all groups.
fn prefixes(clients: &[Client], rng: &mut GoRand) -> Vec<Option<Piece>> {
    let mut groups: Vec<(&str, u32)> = Vec::new();
    let numbered = clients.iter().map(|client| {
        let prefix = client.prefix.as_ref()?;
        let known = groups.iter().position(|(name, _)| *name == prefix.group);
        let group = known.unwrap_or_else(|| {
            let tokens = if prefix.tokens == 0 { 50 } else { prefix.tokens };
            (0..tokens).for_each(|_| _ = rng.intn(VOCABULARY));
            groups.push((&prefix.group, tokens));
            groups.len() - 1
        });
        Some(Piece::Prefix { group: group as u32, tokens: groups[group].1 })
    });
    numbered.collect()
}

/// An arrival of an open loop, before everything is sorted and cut: single requests, and every round of a conversation
/// at the time that stands in for its true one.
struct Stamp {
    at: Tick,
    /// Client, number in the session's name and what round 0 asks, if this is a round 0.
    begins: Option<(usize, i64, Drawn)>,
}

fn stamps(index: usize, client: &Client, seed: i64, end: Tick, max: usize) -> Vec<Stamp> {
    let Traffic::Rate { per_us, process } = client.traffic else { panic!("clients with a rate only") };
    let gaps = process.sampler(per_us);
    let mut rng = GoRand::new(seed);
    let is_active =
        |at: Tick| client.active.is_empty() || client.active.iter().any(|w| w.start <= at && at < w.end);
    let last = client.active.iter().map(|window| window.end).max().unwrap_or(Tick::MAX);
    let single = client.conversation.is_some_and(|kind| kind.single_session);
    let mut all = Vec::new();
    let mut at =
        if single { client.active.first().map_or(Tick::ZERO, |window| window.start) } else { Tick::ZERO };
    while all.len() < max.saturating_mul(2) {
        at += Tick::from_us(gaps.sample_us(&mut rng));
        if at >= end || at >= last {
            break;
        }
        if is_active(at) {
            match client.conversation {
                None => {
                    draw(client, &mut rng);
                    draw_ratio(client.reason_ratio.as_ref(), &mut rng);
                    all.push(Stamp { at, begins: None });
                }
                Some(kind) => {
                    let number = rng.int63();
                    let mut stamp = at;
                    for round in 0..kind.max_rounds {
                        let drawn = draw(client, &mut rng);
                        draw_ratio(client.reason_ratio.as_ref(), &mut rng);
                        let pause = kind.think_time + Tick::from_us(i64::from(drawn.output));
                        if stamp < end && is_active(stamp) {
                            let begins = (round == 0).then_some((index, number, drawn));
                            all.push(Stamp { at: stamp, begins });
                        }
                        stamp += pause;
                    }
                }
            }
        }
        if single {
            break;
        }
    }
    all
}

/// One session from its first request to its last.
struct Session<'a> {
    client: &'a Client,
    prefix: Option<&'a Piece>,
    name: &'a str,
    max_rounds: u32,
    think_time: Tick,
    accumulates: bool,
    /// Whether somebody who got no answer in time goes on.
    is_patient: bool,
}

impl Session<'_> {
    fn rounds(&self, start: Tick, first: Drawn, seed: i64, horizon: Tick, server: Server) -> Vec<Round> {
        let mut rng = GoRand::new(seed);
        let mut rounds = Vec::new();
        let mut said: Vec<Piece> = self.prefix.cloned().into_iter().collect();
        let (mut at, mut drawn) = (start, first);
        for round in 0.. {
            let mut head = [0; 4];
            head.iter_mut().zip(&drawn.ids).for_each(|(kept, &id)| *kept = id);
            let mut prompt = said.clone();
            prompt.push(Piece::Asked { round, tokens: drawn.ids.len() as u32, head });
            rounds.push(Round {
                arrival: at,
                deadline: self.client.timeout.map(|timeout| at + timeout),
                input_tokens: prompt.iter().map(Piece::tokens).sum(),
                output_tokens: drawn.output,
                prompt: prompt.clone(),
            });
            let (service, end) = server(self.name, round as u32, drawn.output);
            let next = at + service + self.think_time;
            let answered = match end {
                RequestEnd::Completed { output_tokens } => output_tokens,
                RequestEnd::TimedOut if self.is_patient => 0,
                RequestEnd::TimedOut | RequestEnd::Dropped => break,
            };
            if round + 1 == self.max_rounds as usize || next > horizon {
                break;
            }
            if self.accumulates {
                // The last token of an answer is never fed back.
                prompt.push(Piece::Answered { round, tokens: answered.min(drawn.output).saturating_sub(1) });
                said = prompt;
            }
            drawn = draw(self.client, &mut rng);
            at = next;
        }
        rounds
    }
}

/// The rounds of every conversation by its name.
pub(crate) fn sessions(workload: &Workload, server: Server) -> BTreeMap<String, Vec<Round>> {
    let mut rng = GoRand::new(stream_seed(workload.seed, "workload-gen"));
    let prefixes = prefixes(&workload.clients, &mut rng);
    let max = workload.max_requests.map_or(usize::MAX, |max| max as usize);
    let mut all = Vec::new();
    for (index, client) in workload.clients.iter().enumerate() {
        if matches!(client.traffic, Traffic::Rate { per_us, .. } if per_us > 0.0) {
            all.extend(stamps(index, client, rng.int63(), workload.horizon, max));
        }
    }
    all.sort_by_key(|stamp| stamp.at);
    all.truncate(max);
    let begun = all.into_iter().filter_map(|Stamp { at, begins }| Some((at, begins?)));
    let mut begun: Vec<_> =
        begun.map(|(at, (index, number, drawn))| (index, format!("sess_{number}"), at, drawn)).collect();
    begun.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut plans = GoRand::new(workload.seed.wrapping_add(7919));
    let written = begun.into_iter().map(|(index, name, at, drawn)| {
        let client = &workload.clients[index];
        let kind = client.conversation.expect("it converses");
        let session = Session {
            client,
            prefix: prefixes[index].as_ref(),
            name: &name,
            max_rounds: kind.max_rounds,
            think_time: kind.think_time,
            accumulates: kind.accumulates,
            is_patient: false,
        };
        let rounds = session.rounds(at, drawn, plans.int63(), workload.horizon, server);
        (name, rounds)
    });
    written.collect()
}

/// The requests of every user of a pool by its name.
pub(crate) fn users(workload: &Workload, server: Server) -> BTreeMap<String, Vec<Round>> {
    let mut rng = GoRand::new(stream_seed(workload.seed, "workload-gen"));
    let prefixes = prefixes(&workload.clients, &mut rng);
    let mut seeds = GoRand::new(workload.seed.wrapping_add(10_007));
    let mut written = BTreeMap::new();
    for (client, prefix) in workload.clients.iter().zip(&prefixes) {
        let Traffic::Concurrency { users, think_time } = client.traffic else { panic!("pools only") };
        for number in 0..users {
            let first = draw(client, &mut GoRand::new(seeds.int63()));
            let plan = seeds.int63();
            let start = Tick::from_us(i64::from(number) * think_time.as_us() / i64::from(users));
            let name = format!("concurrency_{}_user_{number}", client.labels.client);
            let session = Session {
                client,
                prefix: prefix.as_ref(),
                name: &name,
                max_rounds: u32::MAX,
                think_time,
                accumulates: false,
                is_patient: true,
            };
            let rounds = session.rounds(start, first, plan, workload.horizon, server);
            written.insert(name, rounds);
        }
    }
    written
}
