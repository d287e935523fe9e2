//! Every kind of recording: what becomes of it, and what is said of a wrong one.

use crate::support::{data, in_order, sorted};
use blis_convert::{
    Failure, MooncakeOptions, ShareGptOptions, Summary, aiperf, azure, burstgpt, guidellm, mooncake,
    sharegpt, vllm_bench,
};
use blis_workload::Trace;
use blis_workload::trace::BlockRun;

const BLOCKS: MooncakeOptions = MooncakeOptions { block_tokens: 512 };
const CONVERSATIONS: ShareGptOptions =
    ShareGptOptions { characters_per_token: 4.0, rate_per_s: 2.0, think_time_us: 1_000_000 };

/// Arrival, prompt and answer of every row.
fn rows(trace: &Trace) -> Vec<(i64, u32, u32)> {
    trace.rows().iter().map(|row| (row.arrival_us, row.input_tokens, row.output_tokens)).collect()
}

/// First and last piece of the answer, number of pieces and status of every row.
fn answers(trace: &Trace) -> Vec<(i64, i64, u32, &str)> {
    let row = |row: &blis_workload::trace::TraceRow| {
        (row.first_chunk_us, row.last_chunk_us, row.chunks, trace.text(row.status))
    };
    trace.rows().iter().map(row).collect()
}

#[track_caller]
fn told<T: std::fmt::Debug>(result: Result<T, Failure>) -> Vec<String> {
    match result.unwrap_err() {
        Failure::Problems(problems) => problems.told.iter().map(ToString::to_string).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn azure_times_count_from_the_first() {
    let (trace, summary) = in_order(|sink| azure(data("azure.csv"), sink)).unwrap();
    assert_eq!(rows(&trace), [(0, 374, 44), (319_410, 396, 109), (4_314_579, 879, 55)]);
    let expected = Summary { requests: 3, input_tokens: 1_649, output_tokens: 208, span_us: 4_314_579 };
    assert_eq!(summary, expected);
    assert_eq!(
        told(in_order(|sink| azure(data("azure-wrong.csv"), sink))),
        [
            "line 3: column `TIMESTAMP`: `16/11/2023 18:15` is not a time such as 2023-11-16 18:15:46.6805900",
            "line 3: column `ContextTokens`: `-1` is not an integer from 0 to 4294967295",
            "line 3: column `GeneratedTokens`: `many` is not an integer from 0 to 4294967295",
            "line 4: 2 columns; expected at least 3",
            "line 5: column `TIMESTAMP`: `2023-02-30 00:00:00` is not a time such as 2023-11-16 18:15:46.6805900",
        ]
    );
}

#[test]
fn burstgpt_sessions_count_their_rounds_and_failures_are_marked() {
    let (trace, _) = in_order(|sink| burstgpt(data("burstgpt.csv"), sink)).unwrap();
    assert_eq!(rows(&trace), [(0, 472, 18), (40_500_000, 1_087, 0), (113_000_000, 517, 276)]);
    let place = |i: usize| (trace.text(trace.rows()[i].session), trace.rows()[i].round);
    assert_eq!([place(0), place(1), place(2)], [("a", 0), ("", 0), ("a", 1)]);
    assert_eq!(answers(&trace).iter().map(|a| a.3).collect::<Vec<_>>(), ["ok", "error", "ok"]);
    assert_eq!(trace.text(trace.rows()[2].client), "GPT-4");
    let problems = told(in_order(|sink| burstgpt(data("burstgpt-wrong.csv"), sink)));
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert_eq!(problems[1], "line 3: column `Timestamp`: `soon` is not a number of seconds of at least 0");
    assert_eq!(
        told(in_order(|sink| burstgpt(data("azure.csv"), sink)))[0],
        "line 1: no column `Timestamp`; the columns Timestamp, Request tokens, Response tokens are needed"
    );
}

#[test]
fn mooncake_blocks_are_kept_as_runs() {
    let (trace, _) = in_order(|sink| mooncake(data("mooncake.jsonl"), BLOCKS, sink)).unwrap();
    let arrivals = [(0, 1_200, 20), (1_000_000, 1_300, 10), (1_000_500, 1_200, 30), (8_900_000, 600, 5)];
    assert_eq!(rows(&trace), arrivals);
    let run = |first, blocks| BlockRun { first, blocks };
    let blocks: Vec<_> = trace.rows().iter().map(|row| trace.blocks(row)).collect();
    assert_eq!(blocks, [&[run(7, 3)][..], &[run(7, 2), run(10, 1)], &[run(7, 3)], &[]]);
    let problems = told(in_order(|sink| mooncake(data("mooncake-wrong.jsonl"), BLOCKS, sink)));
    assert_eq!(
        problems,
        [
            "line 2, column 39: invalid type: string \"long\", expected u32",
            "line 3, column 35: EOF while parsing a value",
            "line 4: timestamp is -1; it must be a number of ms of at least 0",
            "line 4: hash_ids has 2 blocks of 512 tokens, which do not fit into input_length, 512",
            "line 5: hash_ids has 9223372036854775808; ids must be below 9223372036854775808",
            "line 6, column 2: invalid length 0, expected an object with timestamp, input_length, output_length and hash_ids",
        ]
    );
}

#[test]
fn a_conversation_is_a_session_of_increments() {
    let (trace, _, facts) = sorted(|sink| sharegpt(data("sharegpt.json"), CONVERSATIONS, sink)).unwrap();
    // 9 + 19, 10, 4 and 41 characters, and 3 and 8, at four per token.
    assert_eq!(rows(&trace), [(0, 8, 3), (500_000, 1, 2), (1_000_000, 1, 11)]);
    let place = |i: usize| (trace.text(trace.rows()[i].session), trace.rows()[i].round);
    assert_eq!([place(0), place(1), place(2)], [("a#0", 0), ("conversation_1", 0), ("a#0", 1)]);
    assert_eq!((trace.rows()[2].think_time_us, facts.left_out), (1_000_000, 1));
    let problems = told(sorted(|sink| sharegpt(data("sharegpt-wrong.json"), CONVERSATIONS, sink)));
    assert_eq!(problems, ["line 3, column 50: invalid type: integer `5`, expected a text"]);
}

#[test]
fn vllm_bench_times_become_first_and_last_chunks() {
    let (trace, _, facts) = sorted(|sink| vllm_bench(data("vllm-bench.json"), None, None, sink)).unwrap();
    assert_eq!(rows(&trace), [(0, 200, 1), (250_000, 100, 3), (1_000_000, 300, 0)]);
    assert_eq!(answers(&trace), [(40_000, 40_000, 1, "ok"), (300_000, 330_000, 3, "ok"), (0, 0, 0, "error")]);
    assert_eq!(facts.model.as_deref(), Some("meta-llama/Llama-3.1-8B-Instruct"));
    assert_eq!(
        told(sorted(|sink| vllm_bench(data("vllm-bench-wrong.json"), None, None, sink))),
        [
            "output_lens has 1 entries, but input_lens has 2",
            "start_times has 1 entries, but input_lens has 2"
        ]
    );
    let old = &b"{\"input_lens\": [4, 5], \"output_lens\": [1, 2]}\n{\"input_lens\": []}"[..];
    assert!(told(sorted(|sink| vllm_bench(old, None, None, sink)))[0].contains("holds 2 runs"));
    assert!(told(sorted(|sink| vllm_bench(old, Some(3), None, sink)))[0].contains("--run is 3"));
    assert!(told(sorted(|sink| vllm_bench(old, Some(1), None, sink)))[0].contains("give --rate"));
    assert_eq!(
        told(sorted(|sink| vllm_bench(old, Some(2), None, sink))).len(),
        2,
        "no output_lens, no times"
    );
    let (trace, ..) = sorted(|sink| vllm_bench(old, Some(1), Some(4.0), sink)).unwrap();
    assert_eq!(rows(&trace), [(0, 4, 1), (250_000, 5, 2)]);
}

#[test]
fn guidellm_requests_of_both_layouts() {
    let (trace, _, facts) = sorted(|sink| guidellm(data("guidellm.json"), None, sink)).unwrap();
    assert_eq!(rows(&trace), [(0, 596, 4), (500_000, 120, 8), (2_000_000, 50, 0)]);
    assert_eq!(
        answers(&trace),
        [(125_000, 250_000, 4, "ok"), (750_000, 1_500_000, 8, "ok"), (0, 0, 0, "incomplete")]
    );
    assert_eq!((trace.rows()[0].image_tokens, trace.rows()[1].text_tokens), (576, 0));
    assert_eq!((trace.text(trace.rows()[0].x_request_id), facts.left_out), ("r-0", 1));
    assert!(told(sorted(|sink| guidellm(data("guidellm-0.3.json"), None, sink)))[0].contains("holds 2 runs"));
    let (trace, ..) = sorted(|sink| guidellm(data("guidellm-0.3.json"), Some(1), sink)).unwrap();
    assert_eq!((rows(&trace), answers(&trace)), (vec![(0, 7, 3)], vec![(500_000, 1_000_000, 0, "ok")]));
    let problems = told(sorted(|sink| guidellm(data("guidellm-wrong.json"), None, sink)));
    assert_eq!(problems, ["line 2, column 55: invalid type: string \"nine\", expected f64"]);
}

#[test]
fn aiperf_turns_are_rounds_and_warm_ups_are_counted() {
    let (trace, _, facts) = sorted(|sink| aiperf(data("aiperf.jsonl"), sink)).unwrap();
    assert_eq!(rows(&trace), [(0, 10, 2), (4_000_000, 300, 4), (6_000_000, 340, 0)]);
    assert_eq!(answers(&trace), [(0, 0, 0, "ok"), (4_050_500, 5_000_000, 4, "ok"), (0, 0, 0, "error")]);
    let place = |i: usize| (trace.text(trace.rows()[i].session), trace.rows()[i].round);
    assert_eq!([place(1), place(2)], [("c-1", 0), ("c-1", 1)]);
    assert_eq!(trace.text(trace.rows()[2].error_message), "overloaded");
    assert_eq!((facts.warm_up_requests, facts.left_out), (1, 1));
    let problems = told(sorted(|sink| aiperf(data("aiperf-wrong.jsonl"), sink)));
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("line 1, column ") && problems[0].contains("request_start_ns"));
}

/// Law: rows out of order are refused with their line, and sorted they are what an ordered file gives.
#[test]
fn a_recording_out_of_order_can_be_sorted() {
    let names = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
    let lines = ["2023-11-16 18:00:01,5,1\n", "2023-11-16 18:00:00,6,1\n", "2023-11-16 18:00:01,7,1\n"];
    let file = |order: [usize; 3]| format!("{names}{}", order.map(|i| lines[i]).concat());
    let shuffled = file([0, 1, 2]);
    let failure = in_order(|sink| azure(shuffled.as_bytes(), sink)).unwrap_err();
    assert!(matches!(failure, Failure::OutOfOrder { line: 3 }), "{failure}");
    let (sorted, summary, ()) = sorted(|sink| azure(shuffled.as_bytes(), sink)).unwrap();
    let (ordered, same) = in_order(|sink| azure(file([1, 0, 2]).as_bytes(), sink)).unwrap();
    assert_eq!((rows(&sorted), summary), (rows(&ordered), same));
}

/// Law: whatever is done to a file, it is converted or refused.
#[test]
fn broken_files_never_panic() {
    let files = [
        "azure.csv",
        "burstgpt.csv",
        "mooncake.jsonl",
        "sharegpt.json",
        "vllm-bench.json",
        "guidellm.json",
        "guidellm-0.3.json",
        "aiperf.jsonl",
    ];
    let mut tried = 0;
    for name in files {
        let whole = data(name).into_inner();
        for at in 0..whole.len() {
            for broken in [whole[..at].to_vec(), changed(&whole, at, b'9'), changed(&whole, at, 0xff)] {
                let bytes = broken.as_slice();
                let _ = sorted(|sink| azure(bytes, sink));
                let _ = sorted(|sink| burstgpt(bytes, sink));
                let _ = sorted(|sink| mooncake(bytes, BLOCKS, sink));
                let _ = sorted(|sink| sharegpt(bytes, CONVERSATIONS, sink));
                let _ = sorted(|sink| vllm_bench(bytes, None, Some(1.0), sink));
                let _ = sorted(|sink| guidellm(bytes, Some(1), sink));
                let _ = sorted(|sink| aiperf(bytes, sink));
                tried += 1;
            }
        }
    }
    assert!(tried > 5_000);
}

fn changed(whole: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut changed = whole.to_vec();
    changed[at] = byte;
    changed
}
