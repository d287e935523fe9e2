//! Traces are read by name, and replayed as they were recorded.

use blis_kernel::Tick;
use blis_workload::content::block_keys;
use blis_workload::trace::{ContextGrowth, TraceError, TraceMode, TraceProblem};
use blis_workload::{Content, RequestSource, RequestSpec, Segment, Trace, TraceHeader};
use std::collections::BTreeMap;
use std::sync::Arc;

const SEED: i64 = 42;

fn testdata(file: &str) -> String {
    let path = format!("{}/../../testdata/replay/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn header(trace_version: u32, mode: TraceMode) -> TraceHeader {
    TraceHeader { trace_version, mode, ..TraceHeader::default() }
}

fn read(header: TraceHeader, data: &str) -> Arc<Trace> {
    Arc::new(Trace::read(header, data.as_bytes()).unwrap())
}

fn problems(data: &str) -> TraceError {
    Trace::read(header(3, TraceMode::Generated), data.as_bytes()).unwrap_err()
}

fn all(source: &mut dyn RequestSource) -> Vec<RequestSpec> {
    std::iter::from_fn(|| source.next_arrival()).collect()
}

/// What was recorded of a replay: arrival and lengths by request id.
fn recorded(file: &str) -> BTreeMap<String, (i64, u32, u32)> {
    let text = testdata(file);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            let number = |i: usize| record[i].parse::<i64>().unwrap();
            (format!("request_{}", &record[0]), (number(1), number(2) as u32, number(3) as u32))
        })
        .collect()
}

fn summary(requests: &[RequestSpec]) -> BTreeMap<String, (i64, u32, u32)> {
    let row = |r: &RequestSpec| (r.name.to_string(), (r.arrival.as_us(), r.input_tokens, r.output_tokens));
    requests.iter().map(row).collect()
}

#[test]
fn a_generated_trace_replays_with_its_prefixes() {
    let trace = read(header(3, TraceMode::Generated), &testdata("prefixes.csv"));
    let mut source = trace.stream(SEED);
    let requests = all(&mut *source);
    assert_eq!(summary(&requests), recorded("prefixes-requests.csv"));
    assert!(!source.is_reactive());
    for request in &requests {
        let labels = &source.labels()[request.labels.0 as usize];
        assert_eq!(request.content.prefix_tokens() > 0, !labels.prefix_group.is_empty());
        assert_eq!(request.max_output_tokens, request.output_tokens);
        let Content::Shared { prompt, .. } = &request.content else { continue };
        assert_eq!(prompt.iter().map(Segment::tokens).sum::<u32>(), request.input_tokens);
    }
}

/// Law: the clock of a real trace starts with its arrivals, whatever the wall clock said; lengths are the server's.
#[test]
fn a_real_trace_replays_on_the_arrival_clock() {
    let data = testdata("real.csv");
    let trace = read(header(2, TraceMode::Real), &data);
    let requests = all(&mut *trace.stream(SEED));
    // The recorded replay did not take the lag off.
    let lag = trace.rows().iter().map(|row| row.send_us - row.arrival_us).min().unwrap();
    assert!(lag > 0);
    let mut expected = recorded("real-requests.csv");
    for request in expected.values_mut() {
        request.0 -= lag;
    }
    assert_eq!(summary(&requests), expected);
    let row = &trace.rows()[0];
    assert_eq!((row.first_chunk_us, row.last_chunk_us, row.chunks), (77_706, 569_004, 53));
    assert_eq!((trace.text(row.status), trace.text(row.finish_reason)), ("ok", "length"));
    assert_eq!(trace.text(row.x_request_id), "aeff0f0d-f4a1");

    // The same trace with wall-clock send times.
    let epoch_us = 1_600_000_000_000_000;
    let mut lines = data.lines();
    let mut shifted = lines.next().unwrap().to_owned();
    for line in lines {
        let mut fields: Vec<String> = line.split(',').map(str::to_owned).collect();
        fields[20] = (fields[20].parse::<i64>().unwrap() + epoch_us).to_string();
        shifted.push('\n');
        shifted.push_str(&fields.join(","));
    }
    assert_eq!(summary(&all(&mut *read(header(2, TraceMode::Real), &shifted).stream(SEED))), expected);
}

/// Law: with an SLO target column every text still stands in its own column.
#[test]
fn an_slo_target_column_shifts_nothing() {
    let trace = read(header(3, TraceMode::Generated), &testdata("sessions.csv"));
    let mut source = trace.stream(SEED);
    for (request, row) in all(&mut *source).iter().zip(trace.rows()) {
        let labels = &source.labels()[request.labels.0 as usize];
        assert_eq!(
            (labels.client.as_str(), labels.tenant.as_str(), labels.model.as_str()),
            ("chat", "desk", "")
        );
        assert_eq!(labels.slo_class, "standard");
        assert_eq!(labels.slo_target, Some(Tick::from_us(150_000)));
        assert_eq!(request.deadline, Some(request.arrival + Tick::from_us(300_000_000)));
        let session = request.session.expect("every row belongs to a session");
        assert!(source.session_name(session.session).starts_with("sess_"));
        assert_eq!(session.round, row.round);
    }
}

/// Law: a later round of a recorded conversation repeats all blocks of the round before and of its answer.
#[test]
fn rounds_of_a_conversation_share_their_history() {
    const BLOCK: u32 = 16;
    let trace = read(header(3, TraceMode::Generated), &testdata("sessions.csv"));
    let requests = all(&mut *trace.stream(SEED));
    let keys = |request: &RequestSpec| {
        let blocks = (request.input_tokens + request.output_tokens) / BLOCK;
        let mut out = Vec::new();
        block_keys(&request.content, &[], request.input_tokens, BLOCK, blocks as usize, &mut out);
        out
    };
    let mut last = BTreeMap::new();
    let mut continued = 0;
    for request in &requests {
        let session = request.session.unwrap();
        let own = keys(request);
        if let Some(before) = last.insert(session.session, own.clone()) {
            let shared = own.iter().zip(&before).take_while(|(a, b)| a == b).count();
            assert_eq!(shared, before.len(), "round {} of {:?}", session.round, session.session);
            continued += 1;
        } else {
            assert_eq!(session.round, 0);
        }
    }
    assert!(continued > 40, "{continued} rounds continue another");
}

const NAMES: &str = "request_id,session_id,round_index,input_tokens,output_tokens,arrival_time_us\n";

#[test]
fn a_round_that_is_too_short_to_repeat_its_history_is_independent() {
    let rows = "0,s,0,100,20,0\n1,s,1,119,20,10\n2,s,2,139,20,20\n";
    let trace = read(header(3, TraceMode::Generated), &format!("{NAMES}{rows}"));
    let requests = all(&mut *trace.stream(SEED));
    assert!(matches!(requests[0].content, Content::Unique { .. }));
    let prompt = |i: usize| match &requests[i].content {
        Content::Shared { prompt, .. } => prompt.iter().map(Segment::tokens).collect(),
        Content::Unique { .. } | Content::Known { .. } => vec![],
    };
    assert_eq!(prompt(1), [119]);
    assert_eq!(prompt(2), [119, 20, 0]);
}

#[test]
fn increments_add_up_when_the_header_says_so() {
    let rows = "7,s,0,100,20,0\n8,s,1,30,5,10\n9,s,2,1,5,20\n";
    let growing =
        TraceHeader { context_growth: ContextGrowth::Accumulate, ..header(3, TraceMode::Generated) };
    let requests = all(&mut *read(growing, &format!("{NAMES}{rows}")).stream(SEED));
    assert_eq!(requests.iter().map(|r| r.input_tokens).collect::<Vec<_>>(), [100, 150, 156]);
    let Content::Shared { prompt, .. } = &requests[2].content else { panic!("{:?}", requests[2].content) };
    assert_eq!(prompt.iter().map(Segment::tokens).collect::<Vec<_>>(), [100, 20, 30, 5, 1]);
}

/// Law: rows arrive in order of time, at equal times in file order; the same seed gives the same replay.
#[test]
fn rows_are_injected_in_order_of_time() {
    let rows = "0,,0,5,1,30\n1,,0,6,1,10\n2,,0,7,1,30\n3,,0,8,1,-4\n";
    let trace = read(header(3, TraceMode::Generated), &format!("{NAMES}{rows}"));
    let requests = all(&mut *trace.stream(SEED));
    let names: Vec<String> = requests.iter().map(|r| r.name.to_string()).collect();
    assert_eq!(names, ["request_3", "request_1", "request_0", "request_2"]);
    assert_eq!(requests[0].arrival, Tick::ZERO);
    let view = |requests: &[RequestSpec]| format!("{requests:?}");
    assert_eq!(view(&requests), view(&all(&mut *trace.stream(SEED))));
    assert_ne!(view(&requests), view(&all(&mut *trace.stream(SEED + 1))));
}

/// Law: tokens are drawn in file order, so that the order of arrival does not change them.
#[test]
fn tokens_belong_to_rows() {
    let head = |rows: &str, name: &str| {
        let trace = read(header(3, TraceMode::Generated), &format!("{NAMES}{rows}"));
        let request = all(&mut *trace.stream(SEED)).into_iter().find(|r| r.name.to_string() == name).unwrap();
        match request.content {
            Content::Unique { head, .. } => head,
            Content::Shared { .. } | Content::Known { .. } => panic!("nothing is shared"),
        }
    };
    let swapped = head("0,,0,5,1,30\n1,,0,3,1,10\n", "request_1");
    assert_eq!(head("0,,0,5,1,0\n1,,0,3,1,10\n", "request_1"), swapped);
    assert_eq!(swapped[3], 0, "three tokens");
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    let data = "\u{feff}new_column, output_tokens ,arrival_time_us,request_id,input_tokens,adapter,think_time_us\r\n\
                x,3,50,12,9, lora-a ,\r\n";
    let trace = read(header(3, TraceMode::Generated), data);
    let row = &trace.rows()[0];
    assert_eq!((row.request_id, row.input_tokens, row.output_tokens, row.arrival_us), (12, 9, 3, 50));
    assert_eq!((trace.text(row.adapter), row.think_time_us), ("lora-a", 0));
}

#[test]
fn without_names_the_core_columns_are_read_by_position() {
    let data = testdata("prefixes.csv");
    let nameless = data.split_once('\n').unwrap().1;
    assert_eq!(read(header(3, TraceMode::Generated), nameless), read(header(3, TraceMode::Generated), &data));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let names = "request_id,client_id,round_index,streaming,input_tokens,output_tokens,reason_ratio,deadline_us,arrival_time_us";
    let error = problems(&format!(
        "{names}\nx,c,0,true,1,1,0.5,0,0\n1,c,-1,yes,1,,NaN,-1,0\n2,c\n3,\"two\nlines\",0,T,1,1,0,90,100\n"
    ));
    let value = |line, column, value: &str, allowed| TraceProblem::Value {
        line,
        column,
        value: value.to_owned(),
        allowed,
    };
    assert_eq!(
        error.problems,
        [
            value(2, "request_id", "x", "an integer"),
            value(3, "round_index", "-1", "an integer from 0 to 4294967295"),
            value(3, "streaming", "yes", "true or false"),
            value(3, "output_tokens", "", "an integer from 0 to 4294967295"),
            value(3, "reason_ratio", "NaN", "a number from 0 to 1"),
            value(3, "deadline_us", "-1", "an integer of at least 0"),
            TraceProblem::ShortRow { line: 4, columns: 2, needed: 9 },
            TraceProblem::DeadlineBeforeArrival { line: 5, deadline_us: 90, arrival_us: 100 },
        ]
    );
    let text = error.to_string();
    assert!(text.starts_with("line 2: column `request_id`: `x` is not an integer\n"), "{text}");
}

#[test]
fn after_twenty_problems_the_rest_is_counted() {
    let rows = "1,,0,many,1,0\n".repeat(30);
    let error = problems(&format!("{NAMES}{rows}"));
    assert_eq!((error.problems.len(), error.more), (20, 10));
    assert!(error.to_string().ends_with("and 10 more"));
}

#[test]
fn a_file_that_is_no_trace_is_refused() {
    assert_eq!(problems("").problems, [TraceProblem::Empty]);
    let error =
        problems("arrival_time,request_id,model,prefill_tokens,decode_tokens\n0.1,0,m,\"[1]\",\"[2]\"\n");
    assert_eq!(
        error.problems,
        ["input_tokens", "output_tokens", "arrival_time_us"]
            .map(|column| TraceProblem::MissingColumn { column })
    );
    let error = problems("request_id,request_id,input_tokens,output_tokens,arrival_time_us\n");
    assert_eq!(error.problems, [TraceProblem::RepeatedColumn { column: "request_id" }]);
    let bytes = [NAMES.as_bytes(), b"0,\xff,0,1,1,0\n1,,0,x,1,0\n"].concat();
    let error = Trace::read(header(3, TraceMode::Generated), &bytes[..]).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
    assert!(matches!(error.problems[0], TraceProblem::Unreadable { line: 2, .. }), "{error}");
}

#[test]
fn the_automatic_horizon_is_twice_the_latest_injection() {
    let horizon =
        |at: i64| read(header(3, TraceMode::Generated), &format!("{NAMES}0,,0,1,1,{at}\n")).auto_horizon();
    assert_eq!(horizon(700), Tick::from_us(1_400));
    assert_eq!(horizon(0), Tick::from_us(600_000_000));
    assert_eq!(horizon(i64::MAX - 1), Tick::MAX);
}
