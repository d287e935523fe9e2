//! Laws of synthesised workloads.

use blis_kernel::rng::{GoRand, stream_seed};
use blis_kernel::samplers::{ArrivalProcess, GapShape, LengthSampler};
use blis_kernel::{RequestName, Tick};
use blis_workload::{
    Client, Content, Labels, Prefix, RequestEnd, RequestSource, RequestSpec, Segment, SessionRound, Traffic,
    VOCABULARY, Workload,
};
use proptest::prelude::*;

fn lengths() -> impl Strategy<Value = LengthSampler> {
    prop_oneof![
        (0i64..9).prop_map(|value| LengthSampler::Constant { value }),
        (1.0..90.0).prop_map(|mean| LengthSampler::Exponential { mean, min: 0, max: 500 }),
        (1.0..90.0).prop_map(|mean| LengthSampler::Gaussian { mean, std_dev: 20.0, min: 0, max: 200 }),
    ]
}

fn process() -> impl Strategy<Value = ArrivalProcess> {
    prop_oneof![
        Just(ArrivalProcess::Constant),
        Just(ArrivalProcess::Poisson),
        (0.2..4.0).prop_map(|cv| ArrivalProcess::Gamma(GapShape { cv: Some(cv), ..GapShape::default() })),
    ]
}

fn rate() -> impl Strategy<Value = Traffic> {
    // Equal rates are common, so that clients with constant gaps send at the same time.
    (prop_oneof![Just(1e-3), Just(0.0), 1e-4..1e-2], process())
        .prop_map(|(per_us, process)| Traffic::Rate { per_us, process })
}

fn pool() -> impl Strategy<Value = Traffic> {
    (0u32..6, 0i64..5_000)
        .prop_map(|(users, us)| Traffic::Concurrency { users, think_time: Tick::from_us(us) })
}

fn client(traffic: impl Strategy<Value = Traffic>) -> impl Strategy<Value = Client> {
    (traffic, lengths(), lengths(), prop::option::of((0u8..3, 0u32..70)), prop::option::of(1i64..9_999))
        .prop_map(|(traffic, input, output, prefix, timeout)| Client {
            prefix: prefix.map(|(group, tokens)| Prefix { group: group.to_string(), tokens }),
            timeout: timeout.map(Tick::from_us),
            ..Client::new(Labels::default(), traffic, input, output)
        })
}

fn workload(clients: impl Strategy<Value = Vec<Client>>) -> impl Strategy<Value = Workload> {
    let horizon = prop_oneof![Just(i64::MAX), Just(0), 1i64..60_000];
    (any::<i64>(), clients, horizon, prop::option::of(0u64..80)).prop_map(
        |(seed, clients, horizon, max_requests)| {
            let horizon = Tick::from_us(horizon);
            // Something has to bound it.
            let max_requests = if horizon == Tick::MAX { max_requests.or(Some(60)) } else { max_requests };
            Workload { seed, clients, horizon, max_requests, bounds_follow_ups: false }
        },
    )
}

/// A request in a form that can be compared.
fn view(request: &RequestSpec) -> String {
    format!("{request:?}")
}

/// Streams everything, answering each request of a session `service` later, in order of time.
fn run(source: &mut dyn RequestSource, service: Tick, end: RequestEnd) -> Vec<RequestSpec> {
    let mut requests = Vec::new();
    let mut running: Vec<(Tick, SessionRound)> = Vec::new();
    let mut arrival = source.next_arrival();
    loop {
        let first_end = (0..running.len()).min_by_key(|&i| running[i].0);
        match (&arrival, first_end) {
            (Some(request), end) if end.is_none_or(|i| request.arrival <= running[i].0) => {
                let request = arrival.take().unwrap();
                running.extend(request.session.map(|session| (request.arrival + service, session)));
                requests.push(request);
                arrival = source.next_arrival();
            }
            (_, Some(i)) => {
                let (at, session) = running.swap_remove(i);
                if let Some(request) = source.on_end(session, at, end) {
                    assert!(request.arrival >= at);
                    running.push((request.arrival + service, request.session.unwrap()));
                    requests.push(request);
                }
                if requests.len() > 5_000 {
                    return requests;
                }
            }
            (_, None) => return requests,
        }
    }
}

/// Everything at once, as one would write it down first: all requests of each client, concatenated, sorted.
/// Gives (client, arrival, prompt, answer, first prompt tokens).
fn eager(workload: &Workload) -> Vec<(usize, i64, u32, u32, [u32; 4])> {
    let mut rng = GoRand::new(stream_seed(workload.seed, "workload-gen"));
    let mut groups: Vec<(&str, u32)> = Vec::new();
    for prefix in workload.clients.iter().filter_map(|client| client.prefix.as_ref()) {
        if groups.iter().all(|(name, _)| *name != prefix.group) {
            let tokens = if prefix.tokens == 0 { 50 } else { prefix.tokens };
            (0..tokens).for_each(|_| _ = rng.intn(VOCABULARY));
            groups.push((&prefix.group, tokens));
        }
    }
    let max = workload.max_requests.map_or(usize::MAX, |max| max as usize);
    let mut all = Vec::new();
    for (index, client) in workload.clients.iter().enumerate() {
        let Traffic::Rate { per_us, process } = client.traffic else { continue };
        if per_us <= 0.0 {
            continue;
        }
        let mut own = GoRand::new(rng.int63());
        let gaps = process.sampler(per_us);
        let prefix = client.prefix.as_ref().map_or(0, |p| groups.iter().find(|g| g.0 == p.group).unwrap().1);
        let mut at = 0;
        for _ in 0..max.saturating_mul(2) {
            at += gaps.sample_us(&mut own);
            if at >= workload.horizon.as_us() {
                break;
            }
            let (input, output) = (client.input.sample(&mut own), client.output.sample(&mut own));
            let mut head = [0; 4];
            let ids: Vec<u32> = (0..input).map(|_| own.intn(VOCABULARY) as u32).collect();
            let kept = ids.len().min(4);
            head[..kept].copy_from_slice(&ids[..kept]);
            (0..output).for_each(|_| _ = own.intn(VOCABULARY));
            all.push((index, at, prefix + input as u32, output as u32, head));
        }
    }
    all.sort_by_key(|request| request.1);
    all.truncate(max);
    all
}

fn head(content: &Content) -> [u32; 4] {
    match content {
        Content::Unique { head, .. } => *head,
        Content::Shared { prompt, .. } => match prompt[..] {
            [Segment::Group { .. }, Segment::Fresh { head, .. }] => head,
            _ => panic!("a group and fresh tokens, not {prompt:?}"),
        },
        Content::Known { .. } => panic!("drawn tokens are not known"),
    }
}

proptest! {
    /// Law: the same description gives the same stream, also on the second time.
    #[test]
    fn a_description_can_be_streamed_again(
        workload in workload(prop::collection::vec(client(prop_oneof![rate(), pool()]), 0..5)),
    ) {
        let service = Tick::from_us(700);
        let all = |w: &Workload| {
            let requests = run(&mut *w.stream(), service, RequestEnd::Completed { output_tokens: 1 });
            requests.iter().map(view).collect::<Vec<_>>()
        };
        prop_assert_eq!(all(&workload), all(&workload.clone()));
    }

    /// Law: merging lazily gives what generating everything and sorting gives.
    #[test]
    fn lazy_merge_equals_eager_sort(workload in workload(prop::collection::vec(client(rate()), 0..5))) {
        let mut source = workload.stream();
        prop_assert!(!source.is_reactive());
        let mut uids = std::collections::BTreeSet::new();
        for (number, (client, arrival, input, output, first)) in eager(&workload).into_iter().enumerate() {
            let got = source.next_arrival().expect("as many as eagerly");
            prop_assert_eq!(got.name, RequestName::Indexed(number as u64));
            prop_assert_eq!(got.labels.0 as usize, client);
            prop_assert_eq!(got.arrival.as_us(), arrival);
            prop_assert_eq!((got.input_tokens, got.output_tokens, got.max_output_tokens), (input, output, output));
            prop_assert_eq!(head(&got.content), first);
            let timeout = workload.clients[client].timeout;
            prop_assert_eq!(got.deadline, timeout.map(|timeout| got.arrival + timeout));
            let uid = got.content.uid();
            prop_assert!(uids.insert(uid), "a uid names one request");
            let group = workload.clients[client].prefix.as_ref().map_or("", |prefix| &prefix.group);
            prop_assert_eq!(&source.labels()[client].prefix_group, group);
        }
        prop_assert!(source.next_arrival().is_none());
    }

    /// Law: with pools the bound holds for all requests together, and it is reached unless the horizon intervenes.
    #[test]
    fn a_bound_limits_arrivals_and_follow_ups_together(
        workload in workload(prop::collection::vec(client(prop_oneof![rate(), pool()]), 1..5)),
        timed_out: bool,
    ) {
        let end = if timed_out { RequestEnd::TimedOut } else { RequestEnd::Completed { output_tokens: 1 } };
        let mut source = workload.stream();
        let requests = run(&mut *source, Tick::from_us(500), end);
        let sends = |client: &Client| match client.traffic {
            Traffic::Rate { per_us, .. } => per_us > 0.0 && workload.horizon > Tick::ZERO,
            Traffic::Phases(_) | Traffic::Counted { .. } | Traffic::Stage { .. } => unreachable!("the strategy makes none"),
            Traffic::Concurrency { users, .. } => users > 0,
        };
        if let Some(max) = workload.max_requests {
            prop_assert!(requests.len() as u64 <= max);
            if workload.horizon == Tick::MAX && workload.clients.iter().any(sends) {
                prop_assert_eq!(requests.len() as u64, max);
            }
        }
        for request in &requests {
            prop_assert!(request.arrival <= workload.horizon || request.session.is_some_and(|s| s.round == 0));
        }
        let mut in_order: Vec<Tick> = Vec::new();
        in_order.extend(requests.iter().filter(|r| matches!(r.name, RequestName::Indexed(_))).map(|r| r.arrival));
        prop_assert!(in_order.is_sorted());
    }
}

fn two_users(max_requests: Option<u64>, horizon: Tick) -> Workload {
    let labels = Labels { client: "chat".into(), ..Labels::default() };
    let traffic = Traffic::Concurrency { users: 2, think_time: Tick::from_us(1_000) };
    let (input, output) = (LengthSampler::Constant { value: 3 }, LengthSampler::Constant { value: 5 });
    let client = Client { timeout: Some(Tick::from_us(90)), ..Client::new(labels, traffic, input, output) };
    Workload { seed: 1, clients: vec![client], horizon, max_requests, bounds_follow_ups: false }
}

#[test]
fn a_user_goes_on_after_a_timeout_and_stops_when_refused() {
    let mut source = two_users(None, Tick::MAX).stream();
    assert!(source.is_reactive());
    let first = source.next_arrival().unwrap();
    let second = source.next_arrival().unwrap();
    assert_eq!((first.arrival, second.arrival), (Tick::ZERO, Tick::from_us(500)));
    assert!(source.next_arrival().is_none());
    let at = Tick::from_us(2_000);
    let next = source.on_end(first.session.unwrap(), at, RequestEnd::TimedOut).expect("the user goes on");
    assert_eq!(next.name.to_string(), "session_concurrency_chat_user_0_round_1_1");
    assert_eq!((next.arrival, next.deadline), (Tick::from_us(3_000), Some(Tick::from_us(3_090))));
    assert!(source.on_end(second.session.unwrap(), at, RequestEnd::Dropped).is_none());
}

#[test]
fn a_follow_up_at_the_horizon_is_sent_and_behind_it_is_not() {
    let horizon = Tick::from_us(2_000);
    let answer = RequestEnd::Completed { output_tokens: 5 };
    let mut source = two_users(None, horizon).stream();
    let (first, second) = (source.next_arrival().unwrap(), source.next_arrival().unwrap());
    assert!(source.on_end(first.session.unwrap(), Tick::from_us(1_000), answer).is_some());
    assert!(source.on_end(second.session.unwrap(), Tick::from_us(1_001), answer).is_none());
}
