//! Everything that can go wrong has a name of its own, and none of it stops the others.

use crate::scripted::{
    END, Planned, STREAM, Server, Step, chunk, json_answer, refusal, settings, stream, token, usage_and_done,
};
use blis_live::observe::exchange::FailureKind::{self, *};
use blis_live::observe::{Observation, Settings, observe, trace};
use blis_workload::trace::TraceMode;
use blis_workload::{Trace, TraceHeader};
use std::time::Duration;

fn send(parts: &[&str]) -> Vec<Step> {
    vec![Step::Send(parts.concat())]
}

const SECONDS: Duration = Duration::from_secs(30);

/// What a server does to a request, and what the client makes of it.
fn cases() -> Vec<(Vec<Step>, Option<FailureKind>)> {
    let begun = || send(&[STREAM, &token("a")]);
    let then = |mut steps: Vec<Step>, step: Step| {
        steps.push(step);
        steps
    };
    let long = format!("data: {{\"choices\":[{{\"text\":\"{}\"}}]}}\n\n", "x".repeat(300_000));
    vec![
        (stream(3, Duration::from_millis(2)), None),
        (then(vec![], Step::Reset), Some(ClosedBeforeHead)),
        (then(vec![], Step::Close), Some(ClosedBeforeHead)),
        (
            then(begun(), Step::Pause(Duration::from_millis(50))).into_iter().chain([Step::Reset]).collect(),
            Some(Reset),
        ),
        (then(begun(), Step::Close), Some(Truncated)),
        (then(send(&[STREAM, "40\r\ndata: {\"cho"]), Step::Close), Some(Truncated)),
        (then(send(&[STREAM, "zz\r\nwhat"]), Step::Close), Some(Truncated)),
        (
            send(&[&refusal(
                "429 Too Many Requests",
                "{\"error\":\"overloaded\",\"error_type\":\"overloaded\"}",
            )]),
            Some(TooManyRequests),
        ),
        (send(&[&refusal("500 Internal Server Error", "dead")]), Some(ServerError)),
        (send(&[&refusal("503 Service Unavailable", "")]), Some(ServerError)),
        (send(&[&refusal("404 Not Found", "{\"error\":{\"message\":\"no model\"}}")]), Some(ClientError)),
        (
            send(&["HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n"]),
            Some(OtherStatus),
        ),
        (vec![Step::Pause(SECONDS)], Some(SlowHead)),
        (then(begun(), Step::Pause(SECONDS)), Some(SlowBody)),
        (
            send(&[STREAM, &token("a"), &chunk("data: {\"choices\": oops\n\n"), &usage_and_done(1)]),
            Some(MalformedEvent),
        ),
        (
            send(&[
                STREAM,
                &token("a"),
                &chunk("data: {\"error\":{\"message\":\"out of memory\"}}\n\n"),
                &chunk("data: [DONE]\n\n"),
                END,
            ]),
            Some(ErrorEvent),
        ),
        (send(&[STREAM, &token("a"), END]), Some(NoDone)),
        (then(send(&["SSH-2.0-OpenSSH_9.6\r\n\r\n"]), Step::Close), Some(NotHttp)),
        (send(&[STREAM, &chunk(&long), &usage_and_done(1)]), None),
        // No blank behind the colon, CRLF, comments, and a role that carries nothing.
        (
            send(&[
                STREAM,
                &chunk(": keep-alive\r\n\r\n"),
                &chunk("data:{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n"),
                &chunk("data:{\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\r\n\r\n"),
                &usage_and_done(1),
            ]),
            None,
        ),
    ]
}

fn measure(source: &mut Planned, settings: &Settings) -> Observation {
    observe(source, settings, &mut |_| ()).unwrap()
}

/// Law: each failure is recorded as what it is, and every other request gets its answer.
#[test]
fn every_failure_has_its_own_name_and_stops_nobody() {
    let server = Server::start(|body| {
        // The length that is asked for says which case it is.
        let case = body["max_tokens"].as_u64().unwrap() as usize - 10;
        cases().into_iter().nth(case).map_or_else(|| stream(2, Duration::ZERO), |(steps, _)| steps)
    });
    let cases = cases();
    // Two rounds, with an ordinary request behind each case.
    let mut plan = Vec::new();
    for round in 0..2 {
        for case in 0..cases.len() as u32 {
            let at = i64::from(round * 500_000 + case * 15_000);
            plan.push((at, 10 + case));
            plan.push((at + 5_000, 10 + cases.len() as u32));
        }
    }
    let settings = Settings { timeout: Duration::from_secs(3), ..server.settings() };
    let mut source = Planned::new(plan.clone());
    let observation = measure(&mut source, &settings);
    assert_eq!(observation.requests.len(), plan.len());
    for request in &observation.requests {
        let case = request.planned.output_tokens as usize - 10;
        let expected = cases.get(case).and_then(|(_, kind)| *kind);
        let failure = request.exchange.failure.as_ref();
        assert_eq!(failure.map(|failure| failure.kind), expected, "case {case}: {failure:?}");
        if expected.is_none() {
            assert!(
                request.exchange.first_at <= request.exchange.last_at && request.exchange.first_at.is_some()
            );
            assert!(request.exchange.usage.is_some());
        }
        if matches!(expected, Some(Reset | SlowBody | MalformedEvent | ErrorEvent | NoDone)) {
            assert!(request.exchange.first_at.is_some(), "case {case}: what came before counts");
        }
    }
    let long = &observation.requests.iter().find(|r| r.planned.output_tokens == 28).unwrap().exchange;
    assert_eq!((long.pieces, long.events), (1, 3));
    let role = &observation.requests.iter().find(|r| r.planned.output_tokens == 29).unwrap().exchange;
    assert_eq!((role.pieces, role.events), (1, 4));

    // The trace says the same, and is one that can be read.
    let csv = trace::write(&observation, &source, Vec::new()).unwrap();
    let header = TraceHeader { trace_version: 3, mode: TraceMode::Real, ..TraceHeader::default() };
    let read = Trace::read(header, &csv[..]).unwrap();
    assert_eq!(read.rows().len(), plan.len());
    for (row, request) in read.rows().iter().zip(&observation.requests) {
        assert_eq!(row.request_id, request.number as i64);
        let (status, message) = (read.text(row.status), read.text(row.error_message));
        match &request.exchange.failure {
            None => assert_eq!((status, message), ("ok", "")),
            Some(failure) => {
                let expected = if failure.kind.is_timeout() { "timeout" } else { "error" };
                assert_eq!(status, expected);
                assert!(message.starts_with(failure.kind.name()), "{message}");
            }
        }
        assert!(row.send_us > 1_600_000_000_000_000);
        // One clock: what is sent on time is injected at its arrival, but for the lag of the first.
        let lag = read.injection(row).as_us() - row.arrival_us;
        assert!((0..500_000).contains(&lag), "{lag}");
    }
    let kinds = observation.failures();
    assert_eq!(kinds.iter().map(|(_, count)| count).sum::<u64>(), 34);
    assert!(kinds.contains(&("truncated-answer", 6)) && kinds.contains(&("server-error", 4)), "{kinds:?}");
}

#[test]
fn a_port_where_nobody_listens_refuses_every_request() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut source = Planned::new(vec![(0, 5), (10_000, 5), (20_000, 5)]);
    let observation = measure(&mut source, &settings(address));
    assert_eq!(observation.failures(), [("connection-refused", 3)]);
    assert!(observation.warnings[0].starts_with("a word counts as one token"), "{:?}", observation.warnings);
    for request in &observation.requests {
        assert!(request.exchange.first_at.is_none());
    }
}

#[test]
fn a_name_that_nobody_has_is_unreachable() {
    let server = blis_live::observe::server_url::ServerUrl::parse("http://no-such-host.invalid:1").unwrap();
    let settings =
        Settings { server, timeout: Duration::from_secs(5), ..settings(([127, 0, 0, 1], 1).into()) };
    let observation = measure(&mut Planned::new(vec![(0, 5)]), &settings);
    let kind = observation.failures()[0].0;
    assert!(["unreachable", "timeout-connecting"].contains(&kind), "{kind}");
}

#[test]
fn answers_that_are_not_streamed_are_read_whole() {
    let server = Server::start(|body| match body["max_tokens"].as_u64() {
        Some(7) => vec![Step::Send(json_answer("[not an answer"))],
        _ => vec![
            Step::Pause(Duration::from_millis(20)),
            Step::Send(json_answer(
                r#"{"choices":[{"text":"whole","finish_reason":"length"}],"usage":{"prompt_tokens":9,"completion_tokens":6}}"#,
            )),
        ],
    });
    let mut source = Planned::new(vec![(0, 6), (5_000, 7)]).not_streamed();
    let observation = measure(&mut source, &server.settings());
    let [good, bad] = &observation.requests[..] else { panic!("two requests") };
    assert!(!good.streamed && good.exchange.failure.is_none());
    assert_eq!((good.exchange.events, good.exchange.output_tokens()), (1, 6));
    assert!(good.exchange.first_at.unwrap() - good.exchange.sent_at >= Duration::from_millis(20));
    assert_eq!(bad.exchange.failure.as_ref().unwrap().kind, MalformedBody);
}
