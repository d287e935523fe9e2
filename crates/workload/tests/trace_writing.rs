//! Traces are written as they are read.

use blis_kernel::Tick;
use blis_workload::trace::{
    BlockRun, ContextGrowth, OptionalColumns, OwnRow, RowNumbers, RowStatus, Served, TraceExport, TraceMode,
    TraceProblem, TraceWriter,
};
use blis_workload::{Content, RequestSpec, Segment, Trace, TraceHeader};
use std::sync::Arc;

fn header() -> TraceHeader {
    TraceHeader {
        trace_version: 3,
        mode: TraceMode::Generated,
        prefix_block_tokens: Some(512),
        ..TraceHeader::default()
    }
}

fn row<'a>() -> OwnRow<'a> {
    OwnRow {
        request_id: 12,
        client: "a \"quoted\", name",
        tenant: "t",
        slo_class: "batch",
        vllm_priority: 5,
        session: "s",
        round: 3,
        streaming: true,
        input_tokens: 1_100,
        output_tokens: 7,
        text_tokens: 1,
        image_tokens: 2,
        audio_tokens: 3,
        video_tokens: 4,
        reason_ratio: 0.25,
        model: "m",
        deadline_us: 900,
        slo_target_us: 800,
        server_input_tokens: 0,
        arrival_us: 100,
        send_us: 101,
        first_chunk_us: 200,
        last_chunk_us: 300,
        chunks: 7,
        status: "ok",
        finish_reason: "length",
        x_request_id: "x-1",
        adapter: "lora",
        think_time_us: 50,
        blocks: &[BlockRun { first: 4, blocks: 1 }, BlockRun { first: 9, blocks: 2 }],
        ..OwnRow::default()
    }
}

fn written(optional: OptionalColumns, rows: &[OwnRow<'_>]) -> String {
    let mut writer = TraceWriter::new(Vec::new(), optional).unwrap();
    for row in rows {
        writer.write(row.clone()).unwrap();
    }
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

const ALL: OptionalColumns = OptionalColumns {
    vllm_priority: true,
    slo_target: true,
    x_request_id: true,
    adapter: true,
    think_time: true,
    blocks: true,
};

#[test]
fn columns_stand_in_the_order_of_the_format() {
    let core = "request_id,client_id,tenant_id,slo_class,session_id,round_index,prefix_group,prefix_length,streaming,\
                input_tokens,output_tokens,text_tokens,image_tokens,audio_tokens,video_tokens,reason_ratio,model,\
                deadline_us,server_input_tokens,arrival_time_us,send_time_us,first_chunk_time_us,last_chunk_time_us,\
                num_chunks,status,error_message,finish_reason\n";
    assert_eq!(written(OptionalColumns::default(), &[]), core);
    let all = core
        .replace("slo_class,", "slo_class,vllm_priority,")
        .replace("deadline_us,", "deadline_us,slo_target_us,")
        .replace("finish_reason", "finish_reason,x_request_id,adapter,think_time_us,prefix_blocks");
    assert_eq!(written(ALL, &[]), all);
}

/// Law: reading gives back what was written.
#[test]
fn what_is_written_is_read() {
    let text = written(ALL, &[row()]);
    let line = "12,\"a \"\"quoted\"\", name\",t,batch,5,s,3,,0,true,1100,7,1,2,3,4,0.25,m,900,800,0,100,101,200,300,7,ok,,\
                length,x-1,lora,50,4 9-10\n";
    assert_eq!(text.split_once('\n').unwrap().1, line);
    let trace = Trace::read(header(), text.as_bytes()).unwrap();
    let back = &trace.rows()[0];
    let texts = [back.client, back.session, back.adapter, back.status, back.x_request_id];
    assert_eq!(texts.map(|id| trace.text(id)), ["a \"quoted\", name", "s", "lora", "ok", "x-1"]);
    assert_eq!(trace.blocks(back), row().blocks);
    assert_eq!((back.round, back.vllm_priority, back.slo_target_us, back.think_time_us), (3, 5, 800, 50));
    assert_eq!((back.reason_ratio, back.video_tokens, back.streaming), (0.25, 4, true));
}

/// Law: prompts that name the same blocks begin with the same tokens; what lies behind the blocks is their own.
#[test]
fn recorded_blocks_are_shared_and_the_rest_is_not() {
    let rows = [OwnRow { request_id: 0, ..row() }, OwnRow { request_id: 1, input_tokens: 2_000, ..row() }];
    let trace = Arc::new(Trace::read(header(), written(ALL, &rows).as_bytes()).unwrap());
    let mut source = trace.stream(42);
    let requests: Vec<RequestSpec> = std::iter::from_fn(|| source.next_arrival()).collect();
    let blocks = |tokens: u32| Segment::Blocks { first: 9, tokens, block_tokens: 512 };
    let Content::Shared { prompt, .. } = &requests[0].content else { panic!("{:?}", requests[0]) };
    assert_eq!(prompt[1..], [blocks(1_100 - 512)]);
    let Content::Shared { prompt, .. } = &requests[1].content else { panic!("{:?}", requests[1]) };
    assert_eq!(prompt[1], blocks(1_024));
    assert!(matches!(prompt[2], Segment::Fresh { tokens: 464, uid: 1, .. }), "{prompt:?}");
}

#[test]
fn blocks_without_a_size_or_beyond_the_prompt_are_refused() {
    let problems = |header: TraceHeader, row: OwnRow<'_>| {
        Trace::read(header, written(ALL, &[row]).as_bytes()).unwrap_err().problems
    };
    assert_eq!(
        problems(TraceHeader { prefix_block_tokens: None, ..header() }, row()),
        [TraceProblem::BlocksOfUnknownSize { line: 2 }]
    );
    assert_eq!(
        problems(header(), OwnRow { input_tokens: 1_024, prefix_group: "g", prefix_tokens: 3, ..row() }),
        [
            TraceProblem::BlocksBehindPrefix { line: 2, prefix_tokens: 3 },
            TraceProblem::TooManyBlocks { line: 2, blocks: 3, block_tokens: 512, input_tokens: 1_024 }
        ]
    );
}

/// Law: rows come in order of arrival, whatever the order of the ends, and their times count from the arrival.
#[test]
fn a_run_is_written_in_order_of_arrival() {
    let data = "request_id,session_id,round_index,input_tokens,output_tokens,arrival_time_us,think_time_us\n\
                4,s,0,100,20,10,0\n3,s,1,130,20,30,9\n9,,0,5,1,20,0\n";
    let trace = Arc::new(Trace::read(header(), data.as_bytes()).unwrap());
    let mut source = trace.stream(42);
    let numbers = RowNumbers::Recorded { first_new: 10 };
    let mut export = TraceExport::new(Vec::new(), &*source, numbers, ContextGrowth::None).unwrap();
    let requests: Vec<RequestSpec> = std::iter::from_fn(|| source.next_arrival()).collect();
    let served = Served {
        first_token: Some(Tick::from_us(5)),
        last_token: Some(Tick::from_us(50)),
        status: RowStatus::Ok,
    };
    let ends = [(2, served), (0, served), (1, Served::default())];
    for (number, served) in ends {
        export.ended(number, requests[number as usize].clone(), served, &*source).unwrap();
    }
    let text = String::from_utf8(export.finish().unwrap()).unwrap();
    let written = Trace::read(header(), text.as_bytes()).unwrap();
    let rows = written.rows();
    assert_eq!(rows.iter().map(|row| row.request_id).collect::<Vec<_>>(), [4, 9, 3]);
    assert_eq!((rows[0].first_chunk_us, rows[0].last_chunk_us, rows[1].first_chunk_us), (15, 60, 0));
    assert_eq!((written.text(rows[0].status), written.text(rows[1].status)), ("ok", "incomplete"));
    assert_eq!((rows[2].input_tokens, rows[2].think_time_us, written.text(rows[2].session)), (130, 9, "s"));

    // The same as increments.
    let mut export = TraceExport::new(Vec::new(), &*source, numbers, ContextGrowth::Accumulate).unwrap();
    for (number, request) in requests.into_iter().enumerate() {
        export.ended(number as u64, request, served, &*source).unwrap();
    }
    let text = String::from_utf8(export.finish().unwrap()).unwrap();
    assert_eq!(Trace::read(header(), text.as_bytes()).unwrap().rows()[2].input_tokens, 10);
}
