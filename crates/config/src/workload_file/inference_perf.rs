//! The load of a benchmark with shared prefixes: N prompts that M users each begin their questions with, in stages of
//! constant rate.

use super::reader::{At, POSITIVE, Reader, is_positive};
use super::schema::{
    Entry, File, InferencePerf, Lifecycle, Maybe, MultiTurn, Reasoning, SharedPrefix, Stage, Window,
};
use super::writer::{VERSION, arrival, dist, set, unplaced, whole};
use crate::yaml::Spanned;
use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};
use blis_workload::client::DEFAULT_SESSION_TIMEOUT;
use blis_workload::{Client, Conversation, Labels, Prefix, Traffic};
use std::sync::Arc;

const SECOND_US: i64 = 1_000_000;
const MAX_CLIENTS: i64 = 1_000_000;
/// Most requests of one client.
const MAX_REQUESTS: i64 = 10_000_000;
/// Longest part of a prompt, tokens.
const MAX_TOKENS: i64 = 100_000_000;
const SLO_CLASS: &str = "standard";

/// A checked block.
#[derive(Clone, Debug)]
pub(super) struct Benchmark {
    prompts: i64,
    users: i64,
    prefix_tokens: i64,
    question_tokens: i64,
    output_tokens: i64,
    is_chat: bool,
    stages: Vec<Load>,
}

/// A checked stage.
#[derive(Clone, Copy, Debug)]
struct Load {
    start_us: i64,
    end_us: i64,
    per_s: f64,
    requests: i64,
}

/// One user of one prompt in one stage.
#[derive(Clone, Copy, Debug)]
struct User {
    load: Load,
    /// Number of the stage, when there are several.
    stage: Option<usize>,
    prompt: i64,
    user: i64,
    /// Its part of the stage's requests.
    requests: i64,
}

impl User {
    fn id(&self) -> String {
        let stage = self.stage.map(|stage| format!("stage-{stage}-")).unwrap_or_default();
        format!("{stage}prompt-{}-user-{}", self.prompt, self.user)
    }

    fn group(&self) -> String {
        format!("prompt-{}", self.prompt)
    }
}

impl Benchmark {
    /// Requests per second over all stages.
    pub(super) fn aggregate_rate(&self) -> f64 {
        self.stages.iter().map(|stage| stage.per_s).sum()
    }

    pub(super) fn category(&self) -> &'static str {
        if self.is_chat { "reasoning" } else { "language" }
    }

    fn clients_per_stage(&self) -> i64 {
        self.prompts * self.users
    }

    /// Requests are dealt evenly; the first users get what is left over. Chatting users without any are left out.
    fn each_user(&self) -> impl Iterator<Item = User> {
        let several = self.stages.len() > 1;
        let count = self.clients_per_stage();
        let all = self.stages.iter().enumerate().flat_map(move |(stage, &load)| {
            (0..count).map(move |number| User {
                load,
                stage: several.then_some(stage),
                prompt: number / self.users,
                user: number % self.users,
                requests: load.requests / count + i64::from(number < load.requests % count),
            })
        });
        all.filter(|user| user.requests > 0 || !self.is_chat)
    }

    /// Pause of a chatting user, µs: a round per user takes as long as a request of each at the stage's rate.
    fn think_time_us(&self, user: &User) -> i64 {
        (self.clients_per_stage() as f64 / user.load.per_s * SECOND_US as f64) as i64
    }

    /// Requests per second of one user.
    fn user_rate(&self, user: &User) -> f64 {
        user.load.per_s / self.clients_per_stage() as f64
    }

    /// The clients as they run. One stage of single requests has exactly as many requests as planned.
    pub(super) fn clients(&self) -> Vec<Client> {
        let window = |user: &User| {
            let Load { start_us, end_us, .. } = user.load;
            blis_workload::Window::once(Tick::from_us(start_us), Tick::from_us(end_us))
        };
        let client = |user: User| {
            let labels = Labels {
                client: user.id(),
                tenant: user.group(),
                slo_class: SLO_CLASS.to_owned(),
                ..Labels::default()
            };
            let traffic = if user.stage.is_none() && !self.is_chat {
                let duration = Tick::from_us(user.load.end_us);
                Traffic::Counted { requests: user.requests as u64, duration }
            } else {
                let per_us = self.user_rate(&user) / SECOND_US as f64;
                match user.stage {
                    Some(_) => Traffic::Stage { per_us },
                    None => Traffic::Rate { per_us, process: ArrivalProcess::Poisson },
                }
            };
            let constant = |value| LengthSampler::Constant { value };
            let prefix = Prefix { group: user.group(), tokens: self.prefix_tokens as u32 };
            Client {
                prefix: (self.prefix_tokens > 0).then_some(prefix),
                timeout: self.is_chat.then_some(DEFAULT_SESSION_TIMEOUT),
                active: if user.stage.is_some() { Arc::new([window(&user)]) } else { Arc::default() },
                conversation: self.is_chat.then(|| Conversation {
                    max_rounds: u32::try_from(user.requests).unwrap_or(u32::MAX),
                    think_time: Tick::from_us(self.think_time_us(&user)),
                    accumulates: false,
                    single_session: true,
                    closed_loop: true,
                }),
                ..Client::new(labels, traffic, constant(self.question_tokens), constant(self.output_tokens))
            }
        };
        self.each_user().map(client).collect()
    }

    /// The same traffic without the block. Every window states its rate.
    pub(super) fn expand(&self, file: &File) -> File {
        let entry = |user: User| {
            let constant = |tokens: i64| dist("constant", &[("value", tokens as f64)]);
            let window = Window {
                start_us: whole(user.load.start_us).map(|start| start.value),
                end_us: whole(user.load.end_us).map(|end| end.value),
                trace_rate: set(self.user_rate(&user)),
                ..Window::default()
            };
            let reasoning = self.is_chat.then(|| Reasoning {
                reason_ratio_distribution: constant(0),
                multi_turn: set(MultiTurn {
                    max_rounds: whole(user.requests),
                    think_time_us: whole(self.think_time_us(&user)),
                    context_growth: None,
                    single_session: Some(true),
                }),
            });
            let has_prefix = self.prefix_tokens > 0;
            unplaced(Entry {
                id: Some(user.id()),
                tenant_id: Some(user.group()),
                slo_class: set(SLO_CLASS.to_owned()),
                rate_fraction: set(1.0),
                arrival: arrival("poisson"),
                input_distribution: constant(self.question_tokens),
                output_distribution: constant(self.output_tokens),
                prefix_group: has_prefix.then(|| user.group()),
                prefix_length: if has_prefix { whole(self.prefix_tokens) } else { None },
                lifecycle: set(Lifecycle { windows: Some(vec![unplaced(window)]) }),
                reasoning,
                ..Entry::default()
            })
        };
        let category = file.category.as_ref().map_or("", |category| category.value.as_str());
        let category = if category.is_empty() { self.category() } else { category };
        let exact = match self.stages[..] {
            [Load { requests, .. }] if !self.is_chat => whole(requests),
            _ => None,
        };
        let given = file.num_requests.clone().filter(|given| given.value.0 > 0);
        let num_requests = match (exact, given) {
            (Some(exact), Some(given)) => whole(exact.value.0.min(given.value.0)),
            (exact, given) => exact.or(given),
        };
        File {
            version: set(VERSION.to_owned()),
            category: set(category.to_owned()),
            clients: Some(self.each_user().map(entry).collect()),
            aggregate_rate: set(0.0),
            num_requests,
            inference_perf: None,
            ..file.clone()
        }
    }
}

impl Reader<'_> {
    /// Checks the block; `None` when something is wrong with it.
    pub(super) fn inference_perf(&mut self, at: &At, given: &InferencePerf) -> Option<Benchmark> {
        let before = self.problems.len();
        let missing = SharedPrefix::default();
        if given.shared_prefix.is_none() {
            self.report(&at.key::<()>("shared_prefix", None), "is missing");
        }
        let prefix_at = at.key("shared_prefix", given.shared_prefix.as_ref());
        let prefix = given.shared_prefix.as_ref().map_or(&missing, |prefix| &prefix.value);
        let mut number = |key: &str, value, least, most| {
            if given.shared_prefix.is_some() {
                self.required_whole(&prefix_at, key, value, least..=most).unwrap_or(least)
            } else {
                least
            }
        };
        let mut benchmark = Benchmark {
            prompts: number("num_unique_system_prompts", &prefix.num_unique_system_prompts, 1, MAX_CLIENTS),
            users: number("num_users_per_system_prompt", &prefix.num_users_per_system_prompt, 1, MAX_CLIENTS),
            prefix_tokens: number("system_prompt_len", &prefix.system_prompt_len, 0, MAX_TOKENS),
            question_tokens: number("question_len", &prefix.question_len, 0, MAX_TOKENS),
            output_tokens: number("output_len", &prefix.output_len, 0, MAX_TOKENS),
            is_chat: prefix.enable_multi_turn_chat.unwrap_or_default(),
            stages: Vec::new(),
        };
        let clients = benchmark.clients_per_stage();
        if clients > MAX_CLIENTS {
            let message = format_args!(
                "makes {clients} clients, num_unique_system_prompts times num_users_per_system_prompt; \
                 it must be at most {MAX_CLIENTS}"
            );
            self.report(&prefix_at, message);
        }
        let stages = given.stages.as_deref().unwrap_or_default();
        if stages.is_empty() {
            self.report(&at.key::<()>("stages", None), "is missing or empty");
        }
        let mut start_us = 0;
        for (number, stage) in stages.iter().enumerate() {
            if let Some(load) = self.stage(at, number, stage, start_us) {
                start_us = load.end_us;
                benchmark.stages.push(load);
            }
        }
        if let ([load], false) = (&benchmark.stages[..], benchmark.is_chat) {
            self.counted(&at.key("stages[0]", stages.first()), *load, clients);
        }
        (self.problems.len() == before).then_some(benchmark)
    }

    fn stage(&mut self, at: &At, number: usize, stage: &Spanned<Stage>, start_us: i64) -> Option<Load> {
        let at = at.key(&format!("stages[{number}]"), Some(stage));
        if stage.value.rate.is_none() {
            self.report(&at.key::<()>("rate", None), "is missing");
        }
        let per_s = self.real(&at, "rate", &stage.value.rate, is_positive, POSITIVE);
        let longest = (i64::MAX - start_us) / SECOND_US;
        let seconds = self.required_whole(&at, "duration", &stage.value.duration, 1..=longest)?;
        let per_s = per_s?;
        let end_us = start_us + seconds * SECOND_US;
        Some(Load { start_us, end_us, per_s, requests: (per_s * seconds as f64) as i64 })
    }

    /// One stage of single requests: everybody has some, and they fit in.
    fn counted(&mut self, at: &At, load: Load, clients: i64) {
        let most = load.requests / clients + i64::from(load.requests % clients > 0);
        let Load { requests, end_us, .. } = load;
        if requests < clients {
            let message = format!(
                "has {requests} requests, rate times duration, for {clients} clients; each needs one"
            );
            self.report(at, message);
        } else if most > MAX_REQUESTS {
            self.report(
                at,
                format_args!("has {most} requests per client; it must be at most {MAX_REQUESTS}"),
            );
        } else if most > end_us {
            self.report(
                at,
                format_args!("has {most} requests per client in {end_us} µs; there can be one per µs"),
            );
        }
    }
}

/// What the file's own keys say beside the block.
pub(super) fn warn_of_rate(reader: &mut Reader<'_>, at: &At, given: &Maybe<f64>, benchmark: &Benchmark) {
    let sum = benchmark.aggregate_rate();
    if let Some(given) = given.as_ref().filter(|given| given.value > 0.0 && given.value != sum) {
        let at = at.key("aggregate_rate", Some(given));
        reader
            .warn(&at, format_args!("{} is unused: the stages of inference_perf sum to {sum}", given.value));
    }
}
