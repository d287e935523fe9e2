//! Traffic of several kinds and any size, for measurements.

use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, GapShape, LengthSampler};
use blis_workload::client::DEFAULT_SESSION_TIMEOUT;
use blis_workload::{
    Client, Conversation, Labels, Phase, Prefix, RequestEnd, RequestSource, Traffic, Window, Workload,
};
use std::collections::VecDeque;

/// A kind of traffic.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    /// How many requests a measurement takes.
    pub(crate) requests: u64,
}

/// Every kind.
pub(crate) const KINDS: [Kind; 6] = [
    kind("plain", "one client, normal lengths of 512 and 512 tokens", 10_000_000),
    kind("short", "one client, one token in and out", 10_000_000),
    kind("prefixes", "ten clients of ten prefix groups, lognormal lengths", 10_000_000),
    kind("chats", "conversations of five rounds that wait for answers", 10_000_000),
    kind("users", "ten thousand users that wait for answers", 10_000_000),
    kind("cohort", "100,000 members with gamma gaps and a spike of their own", 1_000_000),
];

const fn kind(name: &'static str, meaning: &'static str, requests: u64) -> Kind {
    Kind { name, meaning, requests }
}

/// A workload of `requests` requests.
///
/// # Panics
/// When there is no such kind.
pub(crate) fn workload(kind: &str, requests: u64) -> Workload {
    let normal = |mean: f64| LengthSampler::Gaussian { mean, std_dev: mean / 2.0, min: 1, max: 7_000 };
    let rate = |per_s: f64| Traffic::Rate { per_us: per_s / 1e6, process: ArrivalProcess::Poisson };
    let client = |traffic| Client::new(Labels::default(), traffic, normal(512.0), normal(512.0));
    let one = LengthSampler::Constant { value: 1 };
    let clients = match kind {
        "plain" => vec![client(rate(1_000.0))],
        "short" => vec![Client { input: one.clone(), output: one, ..client(rate(1_000.0)) }],
        "prefixes" => (0..10)
            .map(|number| {
                let prefix = Some(Prefix { group: format!("group-{number}"), tokens: 256 });
                let input = LengthSampler::Lognormal { mu: 6.0, sigma: 0.7, min: 1, max: 7_000 };
                Client { prefix, input, ..client(rate(100.0)) }
            })
            .collect(),
        "chats" => {
            let conversation = Some(Conversation {
                max_rounds: 5,
                think_time: Tick::from_us(2_000_000),
                accumulates: true,
                single_session: false,
                closed_loop: true,
            });
            let timeout = Some(DEFAULT_SESSION_TIMEOUT);
            vec![Client {
                conversation,
                timeout,
                input: normal(64.0),
                output: normal(64.0),
                ..client(rate(200.0))
            }]
        }
        "users" => {
            vec![client(Traffic::Concurrency { users: 10_000, think_time: Tick::from_us(1_000_000) })]
        }
        "cohort" => cohort(100_000, requests),
        other => panic!("no kind {other}"),
    };
    Workload { seed: 42, clients, horizon: Tick::MAX, max_requests: Some(requests), bounds_follow_ups: false }
}

/// Members of one cohort that send so many requests within an hour on average.
fn cohort(members: u32, requests: u64) -> Vec<Client> {
    let hour = Tick::from_us(3_600_000_000);
    let per_us = requests as f64 / f64::from(members) / hour.as_us() as f64;
    let phase = Phase {
        window: Window::once(Tick::ZERO, hour),
        per_us,
        process: ArrivalProcess::Gamma(GapShape { cv: Some(2.0), ..GapShape::default() }),
        input: None,
        output: None,
    };
    let traffic = Traffic::Phases([phase].into());
    let lengths = |mu| LengthSampler::Lognormal { mu, sigma: 0.8, min: 1, max: 32_768 };
    let member = |number: u32| {
        let labels = Labels { client: format!("cohort-{number}"), ..Labels::default() };
        Client::new(labels, traffic.clone(), lengths(6.0), lengths(5.0))
    };
    (0..members).map(member).collect()
}

/// Counts the requests of a source whose answers come at once. Its memory is that of the source.
pub(crate) fn count(source: &mut dyn RequestSource) -> u64 {
    let mut count = 0;
    let mut open = VecDeque::new();
    let is_reactive = source.is_reactive();
    loop {
        // A follow-up first, so that few conversations are open at a time.
        let request = match open.pop_front() {
            Some((session, at, output_tokens)) => {
                match source.on_end(session, at, RequestEnd::Completed { output_tokens }) {
                    Some(request) => request,
                    None => continue,
                }
            }
            None => match source.next_arrival() {
                Some(request) => request,
                None => return count,
            },
        };
        count += 1;
        if let Some(session) = request.session.filter(|_| is_reactive) {
            open.push_back((session, request.arrival, request.output_tokens));
        }
    }
}
