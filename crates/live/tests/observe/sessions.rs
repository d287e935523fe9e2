//! Requests that follow answers.

use crate::scripted::{Server, stream};
use blis_kernel::Tick;
use blis_live::observe::{Api, Settings, observe, outcome};
use blis_metrics::SloTargets;
use blis_workload::{NormalLengths, SyntheticLoad, SyntheticParams};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn lengths(tokens: i64) -> NormalLengths {
    NormalLengths { mean: tokens, std_dev: 0, min: 1, max: 100 }
}

fn users(users: u32, requests: u64) -> SyntheticParams {
    SyntheticParams {
        client: "pool".into(),
        load: SyntheticLoad::Concurrency { users, think_time: Tick::from_us(5_000) },
        prompt_tokens: lengths(20),
        output_tokens: lengths(4),
        prefix_tokens: 10,
        timeout: Some(Tick::from_us(20_000_000)),
        horizon: Tick::MAX,
        max_requests: Some(requests),
        seed: 7,
    }
}

/// Law: a user has one request in flight, waits for its answer, thinks, and only then sends the next one.
#[test]
fn users_wait_for_their_answers() {
    let server = Server::start(|_| stream(4, Duration::from_millis(3)));
    let mut source = users(3, 15).workload().stream();
    let settings = Settings { piece_times: true, ..server.settings() };
    let observation = observe(&mut *source, &settings, &mut |_| ()).unwrap();
    let failures: Vec<_> = observation.requests.iter().filter_map(|r| r.exchange.failure.clone()).collect();
    assert_eq!((observation.requests.len(), failures), (15, vec![]));
    assert!(server.seen.most_at_once.load(Ordering::SeqCst) <= 3);
    for user in 0..3 {
        let of_user: Vec<_> = observation
            .requests
            .iter()
            .filter(|request| request.planned.session.is_some_and(|place| place.session.0 == user))
            .collect();
        assert!(of_user.len() > 1);
        for pair in of_user.windows(2) {
            let pause = pair[1].exchange.sent_at - pair[0].exchange.ended_at;
            assert!(pause >= Duration::from_micros(4_900), "{pause:?}");
        }
    }
    // All prompts begin with the words of their shared prefix.
    let bodies = server.seen.bodies.lock().unwrap();
    let prefix = |prompt: &str| prompt.split(' ').take(10).map(str::to_owned).collect::<Vec<_>>();
    let first = prefix(bodies[0]["prompt"].as_str().unwrap());
    assert!(bodies.iter().all(|body| prefix(body["prompt"].as_str().unwrap()) == first));
    assert!(bodies.iter().any(|body| body["prompt"] != bodies[0]["prompt"]));
    let sums = outcome::outcome(&observation, &*source, SloTargets::new(), None);
    assert_eq!((sums.conservation.completed, sums.cluster.output_tokens), (15, 60));
    assert!(sums.cluster.ttft_ms.mean > 0.0 && sums.cluster.e2e_ms.mean > 9.0);
    assert_eq!(sums.sessions.unwrap().sessions, 3);
}

/// Law: what the model said is sent back to it as what it said.
#[test]
fn conversations_repeat_the_answers() {
    let server = Server::start(|_| stream(3, Duration::ZERO));
    let text = "version: \"2\"\nseed: 1\naggregate_rate: 50\nnum_requests: 1\nclients:\n  - id: chat\n    rate_fraction: 1\n    \
                arrival: {process: constant}\n    input_distribution: {type: constant, params: {value: 6}}\n    \
                output_distribution: {type: constant, params: {value: 3}}\n    streaming: true\n    reasoning:\n      \
                reason_ratio_distribution: {type: constant, params: {value: 0}}\n      multi_turn: {max_rounds: 3, \
                think_time_us: 1000, context_growth: accumulate}\n";
    let file = blis_config::traffic_file::read((text.as_bytes(), "w.yaml"), None, None);
    let mut source = file.unwrap_or_else(|problems| panic!("{problems:?}")).source;
    let settings = Settings { api: Api::Chat, ..server.settings() };
    let observation = observe(&mut *source, &settings, &mut |_| ()).unwrap();
    assert_eq!(observation.failures(), []);
    let bodies = server.seen.bodies.lock().unwrap();
    let last = bodies.last().unwrap()["messages"].as_array().unwrap();
    let roles: Vec<_> = last.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(last[1]["content"], "tok tok tok ");
    let first = &bodies[0]["messages"];
    assert_eq!(last[0], first[0], "the first round is repeated word by word");
}
