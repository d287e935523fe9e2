//! Laws of conversations, windows and phases.

use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, GapShape, LengthSampler};
use blis_workload::content::block_keys;
use blis_workload::{
    Client, Composition, Conversation, Labels, Modalities, Modality, ModalityItems, Phase, Prefix,
    RequestEnd, RequestSource, RequestSpec, Traffic, Window, Workload,
};
use std::collections::{BTreeMap, VecDeque};

fn us(us: i64) -> Tick {
    Tick::from_us(us)
}

fn client(traffic: Traffic) -> Client {
    let lengths = |mean| LengthSampler::Gaussian { mean, std_dev: 20.0, min: 1, max: 200 };
    Client::new(Labels::default(), traffic, lengths(90.0), lengths(40.0))
}

fn poisson(per_us: f64) -> Traffic {
    Traffic::Rate { per_us, process: ArrivalProcess::Poisson }
}

fn chat(closed_loop: bool) -> Client {
    let conversation = Conversation {
        max_rounds: 4,
        think_time: us(5_000),
        accumulates: true,
        single_session: false,
        closed_loop,
    };
    let prefix = Some(Prefix { group: "system".into(), tokens: 50 });
    Client { conversation: Some(conversation), prefix, ..client(poisson(1e-4)) }
}

fn workload(clients: Vec<Client>, max_requests: Option<u64>) -> Workload {
    Workload { seed: 77, clients, horizon: Tick::MAX, max_requests, bounds_follow_ups: false }
}

fn arrivals(workload: &Workload) -> Vec<RequestSpec> {
    let mut source = workload.stream();
    std::iter::from_fn(|| source.next_arrival()).collect()
}

/// Runs a source against a server that answers everything after `service`.
fn serve(source: &mut dyn RequestSource, service: Tick) -> Vec<RequestSpec> {
    let mut all: Vec<RequestSpec> = std::iter::from_fn(|| source.next_arrival()).collect();
    let mut open: VecDeque<RequestSpec> = all.clone().into();
    while let Some(request) = open.pop_front() {
        let answer = RequestEnd::Completed { output_tokens: request.output_tokens };
        if let Some(next) = source.on_end(request.session.unwrap(), request.arrival + service, answer) {
            all.push(next.clone());
            open.push_back(next);
        }
    }
    all
}

fn by_session(requests: Vec<RequestSpec>) -> BTreeMap<u32, Vec<RequestSpec>> {
    let mut sessions = BTreeMap::<u32, Vec<RequestSpec>>::new();
    for request in requests {
        sessions.entry(request.session.unwrap().session.0).or_default().push(request);
    }
    sessions
}

fn keys(source: &dyn RequestSource, request: &RequestSpec, tokens: u32) -> Vec<u64> {
    const BLOCK: u32 = 16;
    let mut keys = Vec::new();
    let blocks = (tokens / BLOCK) as usize;
    block_keys(&request.content, source.groups(), request.input_tokens, BLOCK, blocks, &mut keys);
    keys
}

/// Law: each prompt of a conversation begins with the prompt and the answer before it, block by block.
#[test]
fn a_round_repeats_all_that_was_said_before() {
    for closed_loop in [true, false] {
        let workload = workload(vec![chat(closed_loop)], Some(60));
        let mut source = workload.stream();
        assert_eq!(source.is_reactive(), closed_loop);
        let requests = if closed_loop {
            serve(&mut *source, us(70_000))
        } else {
            std::iter::from_fn(|| source.next_arrival()).collect()
        };
        let mut repeated = 0;
        for rounds in by_session(requests).values() {
            for pair in rounds.windows(2) {
                // An answer's last token is not fed back; what an open loop sends does not know of that.
                let said = pair[0].input_tokens + pair[0].output_tokens - u32::from(closed_loop);
                assert!(pair[1].input_tokens > said);
                let before = keys(&*source, &pair[0], said);
                assert!(keys(&*source, &pair[1], pair[1].input_tokens).starts_with(&before));
                repeated += before.len();
            }
        }
        assert!(repeated > 100, "{repeated}");
    }
}

/// Law: the bound counts every round at the time that stands in for its true one, and a conversation that begins goes
/// on to its end.
#[test]
fn the_bound_decides_which_conversations_begin() {
    let open = arrivals(&workload(vec![chat(false)], Some(60)));
    assert_eq!(open.len(), 60);
    let first: Vec<_> = open.iter().filter(|r| r.session.unwrap().round == 0).map(|r| r.arrival).collect();
    let bounded = workload(vec![chat(true)], Some(60));
    let closed: Vec<_> = arrivals(&bounded).iter().map(|r| r.arrival).collect();
    assert_eq!(closed, first);
    let all = serve(&mut *bounded.stream(), us(9));
    assert_eq!(all.len(), first.len() * 4);
}

/// Law: a bound of follow-ups is met exactly: what is left of it beside the conversations that begin is their budget.
#[test]
fn a_strict_bound_bounds_all_requests() {
    let loose = workload(vec![chat(true), client(poisson(1e-5))], Some(60));
    let strict = Workload { bounds_follow_ups: true, ..loose.clone() };
    assert_eq!(format!("{:?}", arrivals(&strict)), format!("{:?}", arrivals(&loose)));
    let count = |workload: &Workload| {
        let mut source = workload.stream();
        let first: Vec<_> = std::iter::from_fn(|| source.next_arrival()).collect();
        let mut count = first.len();
        let mut open: VecDeque<_> = first.into_iter().filter(|request| request.session.is_some()).collect();
        while let Some(request) = open.pop_front() {
            let answer = RequestEnd::Completed { output_tokens: request.output_tokens };
            let next = source.on_end(request.session.unwrap(), request.arrival + us(9), answer);
            count += usize::from(next.is_some());
            open.extend(next);
        }
        count
    };
    assert_eq!(count(&strict), 60);
    assert!(count(&loose) > 60);
}

/// Law: an answer that was cut short is repeated as far as it went, and a round that was given up is the last.
#[test]
fn follow_ups_depend_on_how_the_round_before_ended() {
    let workload = workload(vec![chat(true)], Some(8));
    let mut source = workload.stream();
    let first = source.next_arrival().unwrap();
    let cut = RequestEnd::Completed { output_tokens: 3 };
    let next = source.on_end(first.session.unwrap(), us(900_000), cut).unwrap();
    assert_eq!(next.arrival, us(905_000));
    let mut twin = workload.stream();
    let whole = RequestEnd::Completed { output_tokens: first.output_tokens };
    twin.next_arrival();
    let uncut = twin.on_end(first.session.unwrap(), us(900_000), whole).unwrap();
    assert_eq!(uncut.input_tokens - next.input_tokens, first.output_tokens - 3);
    assert!(source.on_end(next.session.unwrap(), us(950_000), RequestEnd::TimedOut).is_none());
}

/// Law: what is sent is what the process without windows sends inside of them.
#[test]
fn windows_cut_pieces_out_of_one_process() {
    let windows = [Window::once(us(200_000), us(300_000)), Window::once(us(700_000), us(900_000))];
    let constant = Traffic::Rate { per_us: 1e-4, process: ArrivalProcess::Constant };
    let cut = Client { active: windows.into(), ..client(constant.clone()) };
    let got: Vec<_> = arrivals(&workload(vec![cut], None)).iter().map(|r| r.arrival).collect();
    let whole = Workload { horizon: us(2_000_000), ..workload(vec![client(constant)], None) };
    let all = arrivals(&whole);
    let expected: Vec<_> =
        all.iter().map(|r| r.arrival).filter(|&at| windows.iter().any(|w| w.contains(at))).collect();
    assert_eq!(got, expected);
    assert_eq!(got.len(), 30);
}

/// Law: a client whose first window lies billions of gaps ahead sends in it what its rate says, at once.
#[test]
fn a_long_silence_is_not_drawn_gap_by_gap() {
    let gamma = GapShape { cv: Some(3.0), ..GapShape::default() };
    let processes = [
        ArrivalProcess::Poisson,
        ArrivalProcess::Gamma(gamma),
        ArrivalProcess::Weibull(gamma),
        ArrivalProcess::Constant,
    ];
    for process in processes {
        let first = Window::once(us(4_000_000_000_000_000_003), us(4_000_000_000_010_000_000));
        let later = Window::once(us(8_000_000_000_000_000_000), us(8_000_000_000_010_000_000));
        let traffic = Traffic::Rate { per_us: 1.0 / 700.0, process };
        let active = [later, first].into();
        let constant = LengthSampler::Constant { value: 1 };
        let client = Client { active, input: constant.clone(), output: constant, ..client(traffic) };
        let got: Vec<_> = arrivals(&workload(vec![client], None)).iter().map(|r| r.arrival).collect();
        let expected = 2.0 * 1e7 / 700.0;
        assert!((got.len() as f64 / expected - 1.0).abs() < 0.15, "{process:?}: {}", got.len());
        if process == ArrivalProcess::Constant {
            assert!(got.iter().all(|at| at.as_us() % 700 == 0), "as if every gap had been added");
        }
    }
}

/// Law: a phase sends rate × duration requests on average, also where that is less than one.
#[test]
fn phases_keep_their_rates() {
    let phase = |start, end, per_us| Phase {
        window: Window::once(us(start), us(end)),
        per_us,
        process: ArrivalProcess::Poisson,
        input: None,
        output: Some(LengthSampler::Constant { value: 7 }),
    };
    // Written out of order, and merged in time.
    let phases = [phase(1_000_000, 2_000_000, 2e-6), phase(0, 1_000_000, 5e-7)];
    let clients = (0..4000).map(|_| client(Traffic::Phases(phases.clone().into()))).collect();
    let requests = arrivals(&workload(clients, None));
    assert!(requests.is_sorted_by_key(|r| r.arrival));
    let early = requests.iter().filter(|r| r.arrival < us(1_000_000)).count() as f64;
    let late = requests.len() as f64 - early;
    assert!((early / 2000.0 - 1.0).abs() < 0.1, "{early}");
    assert!((late / 8000.0 - 1.0).abs() < 0.05, "{late}");
    assert!(requests.iter().all(|r| r.output_tokens == 7 && r.arrival < us(2_000_000)));
}

#[test]
fn a_phase_comes_back_until_the_horizon() {
    let window = Window { every: Some(us(1_000)), ..Window::once(us(0), us(100)) };
    let process = ArrivalProcess::Constant;
    let phase = Phase { window, per_us: 0.02, process, input: None, output: None };
    let endless = client(Traffic::Phases([phase].into()));
    assert!(!endless.is_bounded());
    let workload = Workload { horizon: us(2_060), ..workload(vec![endless], None) };
    let got: Vec<_> = arrivals(&workload).iter().map(|r| r.arrival.as_us()).collect();
    assert_eq!(got, [50, 1_050, 2_050]);
}

#[test]
fn a_prompt_of_several_modalities_is_as_long_as_its_parts() {
    let constant = |value| LengthSampler::Constant { value };
    let items = vec![
        ModalityItems { modality: Modality::Image, count: constant(2), tokens: constant(576) },
        ModalityItems { modality: Modality::Video, count: constant(0), tokens: constant(9_999) },
    ];
    let modalities = Some(Box::new(Modalities { text: Some(constant(30)), items }));
    let requests = arrivals(&workload(vec![Client { modalities, ..client(poisson(1e-4)) }], Some(5)));
    assert!(requests.iter().all(|r| r.input_tokens == 30 + 2 * 576));
    let parts = Composition { text_tokens: 30, image_tokens: 2 * 576, ..Composition::default() };
    assert!(requests.iter().all(|r| r.composition.as_deref() == Some(&parts)));
}

#[test]
fn a_request_tells_which_share_of_its_answer_is_reasoning() {
    for (percent, share) in [(0, 0.0), (55, 0.55), (250, 1.0)] {
        let reason_ratio = Some(LengthSampler::Constant { value: percent });
        let requests = arrivals(&workload(vec![Client { reason_ratio, ..client(poisson(1e-4)) }], Some(3)));
        assert!(requests.iter().all(|r| r.composition.as_ref().unwrap().reason_ratio == share));
    }
}

#[test]
fn a_client_with_one_conversation_has_one() {
    let mut talker = chat(false);
    talker.conversation.as_mut().unwrap().single_session = true;
    assert!(talker.is_bounded());
    assert_eq!(arrivals(&workload(vec![talker], None)).len(), 4);
}
