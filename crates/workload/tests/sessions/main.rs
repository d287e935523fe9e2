//! Law: closed-loop sessions equal their eager description.
//!
//! The description (`eager.rs`) is written from the rules alone: it draws every token of every conversation at once,
//! sorts, cuts, and then writes down each session round by round. The stream draws one request at a time.

mod eager;

use blis_kernel::rng::fnv1a_64;
use blis_kernel::samplers::{ArrivalProcess, GapShape, LengthSampler};
use blis_kernel::{RequestName, Tick};
use blis_workload::{
    Client, Content, Conversation, Labels, Prefix, RequestEnd, RequestSource, RequestSpec, Segment, Traffic,
    Window, Workload,
};
use eager::{Piece, Round};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

fn us(us: i64) -> Tick {
    Tick::from_us(us)
}

fn lengths() -> impl Strategy<Value = LengthSampler> {
    prop_oneof![
        (0i64..9).prop_map(|value| LengthSampler::Constant { value }),
        (1.0..60.0).prop_map(|mean| LengthSampler::Exponential { mean, min: 0, max: 500 }),
        (1.0..60.0).prop_map(|mean| LengthSampler::Gaussian { mean, std_dev: 20.0, min: 0, max: 200 }),
    ]
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let gamma = |cv| ArrivalProcess::Gamma(GapShape { cv: Some(cv), ..GapShape::default() });
    let process = prop_oneof![
        Just(ArrivalProcess::Constant),
        Just(ArrivalProcess::Poisson),
        (0.2..4.0).prop_map(gamma)
    ];
    // Equal rates are common, so that rounds of several clients arrive at the same time.
    (prop_oneof![Just(1e-3), Just(0.0), 1e-4..1e-2], process)
        .prop_map(|(per_us, process)| Traffic::Rate { per_us, process })
}

fn conversation() -> impl Strategy<Value = Conversation> {
    (1u32..6, 0i64..5_000, any::<bool>(), any::<bool>()).prop_map(
        |(max_rounds, think_us, accumulates, single_session)| Conversation {
            max_rounds,
            think_time: us(think_us),
            accumulates,
            single_session,
            closed_loop: true,
        },
    )
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let window =
        (0i64..9_000, 1i64..20_000).prop_map(|(start, length)| Window::once(us(start), us(start + length)));
    prop_oneof![Just(Vec::new()), prop::collection::vec(window, 1..3)]
}

fn client() -> impl Strategy<Value = Client> {
    let prefix = prop::option::of((0u8..3, 0u32..70));
    let ratio = prop::option::of(lengths());
    (
        traffic(),
        lengths(),
        lengths(),
        prefix,
        prop::option::of(1i64..99_999),
        prop::option::weighted(0.8, conversation()),
        windows(),
        ratio,
    )
        .prop_map(|(traffic, input, output, prefix, timeout, conversation, active, reason_ratio)| {
            Client {
                prefix: prefix.map(|(group, tokens)| Prefix { group: group.to_string(), tokens }),
                timeout: timeout.map(us),
                conversation,
                active: active.into(),
                reason_ratio,
                ..Client::new(Labels::default(), traffic, input, output)
            }
        })
}

fn workload() -> impl Strategy<Value = Workload> {
    let horizon = prop_oneof![Just(i64::MAX), 1i64..90_000];
    (any::<i64>(), prop::collection::vec(client(), 1..4), horizon, prop::option::of(0u64..90)).prop_map(
        |(seed, clients, horizon, max_requests)| {
            // Something has to bound it.
            let max_requests = if horizon == i64::MAX { max_requests.or(Some(70)) } else { max_requests };
            Workload { seed, clients, horizon: us(horizon), max_requests, bounds_follow_ups: false }
        },
    )
}

/// A server that treats a round the same whenever it comes: mostly with its whole answer, sometimes with a part of it
/// or none, after a time of its own.
fn serve(session: &str, round: u32, planned: u32) -> (Tick, RequestEnd) {
    let hash = fnv1a_64(&format!("{session} {round}"));
    let end = match hash % 16 {
        0 => RequestEnd::TimedOut,
        1 => RequestEnd::Dropped,
        2..6 => RequestEnd::Completed { output_tokens: planned / 2 },
        _ => RequestEnd::Completed { output_tokens: planned },
    };
    (us((hash >> 32) as i64 % 40_000 + 1), end)
}

/// Streams everything against that server, in order of time; gives the requests of each session.
fn lazy(source: &mut dyn RequestSource) -> BTreeMap<String, Vec<RequestSpec>> {
    let mut sessions = BTreeMap::<String, Vec<RequestSpec>>::new();
    let mut running = BinaryHeap::<Reverse<(Tick, String, usize)>>::new();
    let mut next = source.next_arrival();
    loop {
        let end = running.peek().map(|Reverse((at, ..))| *at);
        let request = match (&next, end) {
            (Some(request), end) if end.is_none_or(|end| request.arrival <= end) => {
                let request = next.take();
                next = source.next_arrival();
                request
            }
            (_, Some(_)) => {
                let Reverse((at, session, round)) = running.pop().unwrap();
                let ended: &RequestSpec = &sessions[&session][round];
                let (_, end) = serve(&session, round as u32, ended.output_tokens);
                source.on_end(ended.session.unwrap(), at, end)
            }
            (_, None) => return sessions,
        };
        let Some(request) = request else { continue };
        let Some(place) = request.session else { continue };
        let name = source.session_name(place.session).to_owned();
        let (service, _) = serve(&name, place.round, request.output_tokens);
        let rounds = sessions.entry(name.clone()).or_default();
        assert_eq!(place.round as usize, rounds.len(), "{name}");
        running.push(Reverse((request.arrival + service, name, rounds.len())));
        rounds.push(request);
    }
}

/// A streamed session in the terms of the description: runs of tokens are named by the round they come from.
fn described(rounds: &[RequestSpec]) -> Vec<Round> {
    let uids: Vec<u64> = rounds.iter().map(|request| request.content.uid()).collect();
    let round_of =
        |uid: u64| uids.iter().position(|&known| known == uid).expect("tokens of the same session");
    let piece = |segment: &Segment| match *segment {
        Segment::Group { group, tokens } => Piece::Prefix { group: group.0, tokens },
        Segment::Fresh { uid, tokens, head } => Piece::Asked { round: round_of(uid), tokens, head },
        Segment::Answer { uid, tokens } => Piece::Answered { round: round_of(uid), tokens },
        Segment::Blocks { .. } => panic!("nothing was recorded"),
    };
    let of = |request: &RequestSpec| Round {
        arrival: request.arrival,
        deadline: request.deadline,
        input_tokens: request.input_tokens,
        output_tokens: request.output_tokens,
        prompt: match &request.content {
            Content::Unique { uid, head } => {
                vec![Piece::Asked { round: round_of(*uid), tokens: request.input_tokens, head: *head }]
            }
            Content::Shared { prompt, .. } => prompt.iter().map(piece).collect(),
            Content::Known { .. } => unreachable!("drawn tokens are not known"),
        },
    };
    rounds.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Law: session by session and round by round, arrivals (and with them think times), lengths, what prompts repeat
    /// and deadlines are those of the description.
    #[test]
    fn closed_loop_sessions_equal_their_eager_description(workload in workload()) {
        let streamed = lazy(&mut *workload.stream());
        let written = eager::sessions(&workload, serve);
        prop_assert_eq!(streamed.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
        for (session, rounds) in &streamed {
            prop_assert_eq!(described(rounds), &written[session][..], "{}", session);
        }
    }

    /// Law: the same holds for the users of a pool, who converse without end.
    #[test]
    fn users_equal_their_eager_description(
        seed in any::<i64>(),
        pools in prop::collection::vec((client(), 0u32..6, 0i64..5_000), 1..3),
        horizon in 1i64..200_000,
    ) {
        let pool = |(number, (client, users, think_us)): (usize, (Client, u32, i64))| Client {
            labels: Labels { client: format!("pool {number}"), ..Labels::default() },
            traffic: Traffic::Concurrency { users, think_time: us(think_us) },
            conversation: None,
            active: [].into(),
            reason_ratio: None,
            ..client
        };
        let clients = pools.into_iter().enumerate().map(pool).collect();
        let workload = Workload { seed, clients, horizon: us(horizon), max_requests: None, bounds_follow_ups: false };
        let streamed = lazy(&mut *workload.stream());
        let written = eager::users(&workload, serve);
        prop_assert_eq!(streamed.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
        for (user, rounds) in &streamed {
            prop_assert_eq!(described(rounds), &written[user][..], "{}", user);
        }
    }
}

/// Law: later rounds are named after their session and round.
#[test]
fn names_tell_session_and_round() {
    let lengths = LengthSampler::Constant { value: 7 };
    let traffic = Traffic::Rate { per_us: 1e-3, process: ArrivalProcess::Constant };
    let kind = Conversation {
        max_rounds: 3,
        think_time: us(5),
        accumulates: true,
        single_session: true,
        closed_loop: true,
    };
    let client = Client {
        conversation: Some(kind),
        ..Client::new(Labels::default(), traffic, lengths.clone(), lengths)
    };
    let workload = Workload {
        seed: 3,
        clients: vec![client],
        horizon: Tick::MAX,
        max_requests: Some(3),
        bounds_follow_ups: false,
    };
    let mut source = workload.stream();
    let first = source.next_arrival().unwrap();
    let end = RequestEnd::Completed { output_tokens: 7 };
    let second = source.on_end(first.session.unwrap(), us(9_000), end).unwrap();
    assert_eq!(first.name, RequestName::Indexed(0));
    let session = source.session_name(first.session.unwrap().session);
    assert_eq!(second.name.to_string(), format!("session_{session}_round_1_1"));
}
