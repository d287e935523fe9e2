//! Sessions of a trace in a closed loop.

use blis_kernel::Tick;
use blis_kernel::samplers::LengthSampler;
use blis_workload::trace::{ClosedLoop, ContextGrowth, RoundProblem, TraceMode};
use blis_workload::{Content, RequestEnd, RequestSource, RequestSpec, Segment, Trace, TraceHeader};
use std::sync::Arc;

const NAMES: &str = "request_id,session_id,round_index,input_tokens,output_tokens,arrival_time_us,deadline_us,think_time_us\n";
const COMPLETED: RequestEnd = RequestEnd::Completed { output_tokens: 20 };

fn us(us: i64) -> Tick {
    Tick::from_us(us)
}

fn trace(context_growth: ContextGrowth, rows: &str) -> Arc<Trace> {
    let header = TraceHeader {
        trace_version: 3,
        mode: TraceMode::Generated,
        context_growth,
        ..TraceHeader::default()
    };
    Arc::new(Trace::read(header, format!("{NAMES}{rows}").as_bytes()).unwrap())
}

fn settings() -> ClosedLoop {
    ClosedLoop { think_time_us: None, horizon: Tick::MAX, rounds_are_new: false }
}

fn start(rows: &str, settings: &ClosedLoop) -> Box<dyn RequestSource> {
    trace(ContextGrowth::None, rows).closed_loop_stream(7, settings)
}

fn end(
    source: &mut dyn RequestSource,
    request: &RequestSpec,
    at: i64,
    end: RequestEnd,
) -> Option<RequestSpec> {
    source.on_end(request.session.unwrap(), us(at), end)
}

fn prompt(request: &RequestSpec) -> Vec<u32> {
    match &request.content {
        Content::Shared { prompt, .. } => prompt.iter().map(Segment::tokens).collect(),
        Content::Unique { .. } | Content::Known { .. } => vec![],
    }
}

const TWO_SESSIONS: &str = "\
5,a,0,100,20,10,0,0
6,,0,9,1,20,0,0
7,b,0,50,5,20,0,0
8,a,1,130,20,1010,2010,0
9,a,2,8,20,510,0,0
";

/// Law: only first rounds and rows without a session come by themselves; each later round follows the answer before it.
#[test]
fn a_round_waits_for_the_answer_before_it() {
    let mut source = start(TWO_SESSIONS, &settings());
    assert!(source.is_reactive());
    let first = source.next_arrival().unwrap();
    let names: Vec<_> = std::iter::from_fn(|| source.next_arrival())
        .map(|r| (r.name.to_string(), r.arrival.as_us()))
        .collect();
    // At one time sessions begin before anything else arrives.
    assert_eq!(names, [("request_7".to_owned(), 20), ("request_6".to_owned(), 20)]);
    assert_eq!((first.name.to_string().as_str(), first.arrival), ("request_5", us(10)));

    let second = end(&mut *source, &first, 5_000, COMPLETED).unwrap();
    assert_eq!((second.name.to_string().as_str(), second.arrival), ("request_8", us(6_000)), "a gap of 1000");
    assert_eq!(second.deadline, Some(us(7_000)), "as long after its arrival as recorded");
    let third = end(&mut *source, &second, 6_500, COMPLETED).unwrap();
    assert_eq!((third.arrival, third.deadline), (us(6_500), None), "a negative gap is none");
    assert!(end(&mut *source, &third, 9_000, COMPLETED).is_none());
}

/// Law: a round as long as the conversation before it repeats it; a shorter one shares nothing.
#[test]
fn prompts_repeat_what_their_lengths_have_room_for() {
    let mut source = start(TWO_SESSIONS, &settings());
    let first = source.next_arrival().unwrap();
    let second = end(&mut *source, &first, 100, COMPLETED).unwrap();
    assert_eq!((second.input_tokens, prompt(&second)), (130, vec![100, 20, 10]));
    let third = end(&mut *source, &second, 200, COMPLETED).unwrap();
    assert_eq!((third.input_tokens, prompt(&third)), (8, vec![]));
    assert!(matches!(third.content, Content::Unique { .. }));
}

/// Law: where rows count increments, a prompt holds the answers as they were.
#[test]
fn increments_follow_the_answers_that_came() {
    let rows = "0,s,0,100,20,0,0,0\n1,s,1,30,20,10,0,0\n2,s,2,1,5,20,0,0\n";
    let mut source = trace(ContextGrowth::Accumulate, rows).closed_loop_stream(7, &settings());
    let first = source.next_arrival().unwrap();
    let second = end(&mut *source, &first, 100, COMPLETED).unwrap();
    assert_eq!(prompt(&second), [100, 19, 30]);
    let third = end(&mut *source, &second, 200, RequestEnd::Completed { output_tokens: 4 }).unwrap();
    assert_eq!((third.input_tokens, prompt(&third)), (153, vec![100, 19, 30, 3, 1]));
}

#[test]
fn the_pause_is_given_or_recorded_or_the_gap_between_arrivals() {
    let pause = |rows: &str, think_time_us: Option<LengthSampler>| {
        let mut source = start(rows, &ClosedLoop { think_time_us, ..settings() });
        let first = source.next_arrival().unwrap();
        end(&mut *source, &first, 1_000_000, COMPLETED).unwrap().arrival.as_us() - 1_000_000
    };
    let gaps = "0,s,0,9,2,0,0,0\n1,s,1,9,2,300,0,0\n";
    let recorded = "0,s,0,9,2,0,0,0\n1,s,1,9,2,300,0,70\n";
    assert_eq!((pause(gaps, None), pause(recorded, None)), (300, 70));
    assert_eq!(pause(recorded, Some(LengthSampler::Constant { value: 5 })), 5);
}

#[test]
fn a_session_ends_when_an_answer_fails_or_the_time_is_up() {
    for failure in [RequestEnd::TimedOut, RequestEnd::Dropped] {
        let mut source = start(TWO_SESSIONS, &settings());
        let first = source.next_arrival().unwrap();
        assert!(end(&mut *source, &first, 100, failure).is_none());
    }
    let mut source = start(TWO_SESSIONS, &ClosedLoop { horizon: us(1_099), ..settings() });
    let first = source.next_arrival().unwrap();
    assert!(end(&mut *source, &first, 100, COMPLETED).is_none());
}

/// Law: in the reference's reading later rounds are requests of their own.
#[test]
fn rounds_that_are_new_have_their_own_names_and_the_usual_patience() {
    let mut source = start(TWO_SESSIONS, &ClosedLoop { rounds_are_new: true, ..settings() });
    let first = source.next_arrival().unwrap();
    let second = end(&mut *source, &first, 0, COMPLETED).unwrap();
    assert_eq!(second.name.to_string(), "session_a_round_1_1");
    assert_eq!(second.deadline, Some(second.arrival + us(300_000_000)));
    assert_eq!(prompt(&second), [0; 0], "independent");
}

#[test]
fn rounds_are_counted_from_zero_without_gaps() {
    let rows = "0,a,1,9,2,0,0,0\n1,b,0,9,2,0,0,0\n2,b,0,9,2,0,0,0\n3,c,0,9,2,0,0,0\n4,c,2,9,2,0,0,0\n5,d,0,9,2,0,0,0\n";
    let trace = trace(ContextGrowth::None, rows);
    let problem =
        |session: &str, expected, found| RoundProblem { session: session.to_owned(), expected, found };
    assert_eq!(trace.round_problems(), [problem("a", 0, 1), problem("b", 1, 0), problem("c", 1, 2)]);
    assert!(trace.has_sessions());
}
