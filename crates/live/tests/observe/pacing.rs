//! When requests are sent.

use crate::scripted::{Planned, Server, stream};
use blis_live::observe::{Settings, observe, trace};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Law: no request is sent before its time, late ones are known by how much, and the order of arrivals is kept.
#[test]
fn nothing_is_sent_early() {
    let server = Server::start(|_| stream(2, Duration::from_millis(1)));
    let plan: Vec<_> = (0..300).map(|i| (i * 2_000, 2)).collect();
    let mut source = Planned::new(plan);
    let observation = observe(&mut source, &server.settings(), &mut |_| ()).unwrap();
    assert_eq!(observation.failures(), []);
    assert_eq!(observation.lateness.len(), 300);
    for (number, request) in (0..).zip(&observation.requests) {
        assert_eq!(request.number, number);
        assert!(request.exchange.sent_at >= observation.clock.at(request.planned.arrival));
    }
    assert!(observation.lateness_at(100.0) >= observation.lateness_at(99.0));
}

/// Law: waiting connections are used again, so that a slow trickle of requests needs few.
#[test]
fn connections_are_used_again() {
    let server = Server::start(|_| stream(2, Duration::ZERO));
    let mut source = Planned::new((0..100).map(|i| (i * 10_000, 2)).collect());
    let observation = observe(&mut source, &server.settings(), &mut |_| ()).unwrap();
    assert_eq!(observation.failures(), []);
    let connections = server.seen.connections.load(Ordering::SeqCst);
    assert!(connections < 60, "{connections} connections for 100 requests");
}

/// Law: no more requests are in flight than allowed; those that wait for it are late, and it is said.
#[test]
fn a_limit_makes_requests_late() {
    let server = Server::start(|_| stream(2, Duration::from_millis(30)));
    let settings = Settings { max_concurrency: 2, ..server.settings() };
    let mut source = Planned::new(vec![(0, 2); 8]);
    let observation = observe(&mut source, &settings, &mut |_| ()).unwrap();
    assert_eq!(server.seen.most_at_once.load(Ordering::SeqCst), 2);
    let held: Vec<bool> = observation.requests.iter().map(|request| request.was_held).collect();
    assert_eq!(held, [false, false, true, true, true, true, true, true]);
    assert!(observation.lateness_at(100.0) > Duration::from_millis(80), "{:?}", observation.lateness);
    assert!(observation.warnings.iter().any(|warning| warning.starts_with("6 requests were late")));
}

/// Law: requests for warm-up are sent and not recorded; the numbers of the others go on behind theirs.
#[test]
fn warm_up_requests_leave_no_row() {
    let server = Server::start(|_| stream(2, Duration::ZERO));
    let settings = Settings { warm_up_requests: 3, ..server.settings() };
    let mut source = Planned::new((0..5).map(|i| (i * 3_000, 2)).collect());
    let observation = observe(&mut source, &settings, &mut |_| ()).unwrap();
    let numbers: Vec<u64> = observation.requests.iter().map(|request| request.number).collect();
    assert_eq!(numbers, [3, 4]);
    assert_eq!(server.seen.bodies.lock().unwrap().len(), 5);
}

/// Law: with times of pieces, every answer is streamed and each piece has its time.
#[test]
fn each_piece_has_its_time() {
    let server = Server::start(|_| stream(5, Duration::from_millis(4)));
    let settings = Settings { piece_times: true, ..server.settings() };
    let mut source = Planned::new(vec![(0, 5), (1_000, 5)]).not_streamed();
    let observation = observe(&mut source, &settings, &mut |_| ()).unwrap();
    let times: Vec<_> = trace::piece_times(&observation).collect();
    let places: Vec<_> = times.iter().map(|&(request, place, _)| (request, place)).collect();
    assert_eq!(
        places,
        [0, 1]
            .map(|request| (0..5).map(move |place| (request, place)))
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    );
    assert!(times.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].2));
    for request in &observation.requests {
        // Four pauses of the server lie before the last piece.
        let last = *request.exchange.piece_times.last().unwrap();
        assert!(last - request.exchange.sent_at >= Duration::from_millis(16));
    }
}
