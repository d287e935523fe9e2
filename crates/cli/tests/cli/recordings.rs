//! Recordings become traces, and traces keep what recordings say.

use super::support::{Ran, command, directory, refused};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const LLAMA: &str = "--model meta-llama/llama-3.1-8b-instruct";

fn blis(folder: &Path, words: &str) -> Ran {
    command().args(words.split(' ')).current_dir(folder).output().unwrap().into()
}

#[track_caller]
fn done(folder: &Path, words: &str) -> Ran {
    let ran = blis(folder, words);
    assert_eq!(ran.code, 0, "blis {words}: {}", ran.stderr);
    ran
}

#[test]
fn a_recording_becomes_a_trace_that_can_be_replayed() {
    let folder = directory("convert-azure");
    let rows = "2023-11-16 18:00:00,500,20\n2023-11-16 18:00:02.5,300,10\n";
    fs::write(folder.join("a.csv"), format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}")).unwrap();
    let ran = done(&folder, "convert azure a.csv --trace-output t");
    assert_eq!(
        ran.stdout,
        "t.yaml and t.csv: 2 requests within 2.500 s, 800 prompt tokens, 30 answer tokens\n"
    );
    let header = fs::read_to_string(folder.join("t.yaml")).unwrap();
    assert!(
        header.ends_with("mode: generated\nwarm_up_requests: 0\nworkload_spec: \"azure:a.csv\"\n"),
        "{header}"
    );
    let names: BTreeSet<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let ran = done(&folder, &format!("replay {LLAMA} --trace-header t.yaml --trace-data t.csv"));
    assert!(ran.stdout.contains("\"total_input_tokens\": 800"), "{}", ran.stdout);
}

#[test]
fn a_recording_out_of_order_is_sorted_and_said_to_be() {
    let folder = directory("convert-unordered");
    let rows = "9,m,5,1\n7,m,6,1\n8,m,7,1\n";
    fs::write(folder.join("b.csv"), format!("Timestamp,Model,Request tokens,Response tokens\n{rows}"))
        .unwrap();
    let ran = done(&folder, "convert burstgpt b.csv --trace-output t");
    assert!(ran.stderr.contains("b.csv:3: earlier than the line before"), "{}", ran.stderr);
    let rows = fs::read_to_string(folder.join("t.csv")).unwrap();
    let tokens: Vec<_> = rows.lines().skip(1).map(|row| row.split(',').nth(9).unwrap()).collect();
    assert_eq!(tokens, ["6", "7", "5"]);
}

/// Law: a conversion that fails leaves an earlier trace of that name as it was.
#[test]
fn a_wrong_recording_leaves_nothing_behind() {
    let folder = directory("convert-wrong");
    fs::write(folder.join("m.jsonl"), "{\"timestamp\": 0, \"input_length\": 5}\n{\n").unwrap();
    fs::write(folder.join("t.csv"), "before").unwrap();
    let ran = blis(&folder, "convert mooncake m.jsonl --trace-output t");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    for mention in ["m.jsonl:1:35: missing field `output_length`", "m.jsonl:2:1: EOF"] {
        assert!(ran.stderr.contains(mention), "{}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(folder.join("t.csv")).unwrap(), "before");
    assert!(!folder.join("t.yaml").exists() && !folder.join("t.csv.part").exists());
    let path = folder.join("m.jsonl");
    let path = path.display();
    refused(&format!("convert mooncake {path}"), &["--trace-output is missing"]);
    refused(
        &format!("convert mooncake none.jsonl --trace-output {0}/t --block-tokens 0", folder.display()),
        &["--block-tokens is 0", "cannot read none.jsonl"],
    );
    refused(
        &format!(
            "convert sharegpt {path} --trace-output {0}/t --rate 0 --think-time-ms -1",
            folder.display()
        ),
        &["--rate is 0", "--think-time-ms is -1"],
    );
    fs::rename(folder.join("m.jsonl"), folder.join("w.csv")).unwrap();
    refused(
        &format!("convert azure {0}/w.csv --trace-output {0}/w", folder.display()),
        &["which this run reads"],
    );
}

/// Converts a Mooncake recording and replays its first `most` requests one after the other on an instance that forgets
/// nothing. Returns the reported hit rate and the one that the recording's ids give: of the blocks that a request
/// occupies in the end, those that hold nothing but tokens of leading recorded blocks that were seen before. Of a
/// prompt that is known to its end the last token is computed again.
fn hit_rates(folder: &Path, recording: &Path, most: usize) -> (f64, f64) {
    const KV_BLOCK: u64 = 16;
    done(folder, &format!("convert mooncake {} --trace-output all", recording.display()));
    let text = fs::read_to_string(folder.join("all.csv")).unwrap();
    let (names, rows) = text.split_once('\n').unwrap();
    let place = |name: &str| names.split(',').position(|column| column == name).unwrap();
    let columns = ["input_tokens", "output_tokens", "prefix_blocks"].map(place);
    let times = ["arrival_time_us", "send_time_us"].map(place);
    let (mut seen, mut hits, mut blocks) = (BTreeSet::new(), 0, 0);
    let mut spaced = format!("{names}\n");
    for (i, row) in rows.lines().take(most).enumerate() {
        let mut cells: Vec<String> = row.split(',').map(str::to_owned).collect();
        for column in times {
            cells[column] = (i as u64 * 200_000_000).to_string();
        }
        spaced += &cells.join(",");
        spaced.push('\n');
        let [prompt, answer] = [0, 1].map(|i| cells[columns[i]].parse::<u64>().unwrap());
        let ids: Vec<u64> = cells[columns[2]]
            .split_whitespace()
            .flat_map(|run| {
                let (first, last) = run.split_once('-').unwrap_or((run, run));
                first.parse::<u64>().unwrap()..=last.parse::<u64>().unwrap()
            })
            .collect();
        let known = ids.iter().take_while(|&id| seen.contains(id)).count() as u64 * 512;
        hits += known.min(prompt - 1) / KV_BLOCK;
        blocks += (prompt + answer).div_ceil(KV_BLOCK);
        seen.extend(ids);
    }
    fs::write(folder.join("spaced.csv"), spaced).unwrap();
    done(
        folder,
        &format!(
            "replay {LLAMA} --max-model-len 131072 --total-kv-blocks 4000000 --trace-header all.yaml \
             --trace-data spaced.csv --metrics-path m.json"
        ),
    );
    let metrics: Value = serde_json::from_str(&fs::read_to_string(folder.join("m.json")).unwrap()).unwrap();
    (metrics["cache_hit_rate"].as_f64().unwrap(), hits as f64 / blocks as f64)
}

/// Law: an instance that forgets nothing has the hit rate of the recording.
#[test]
fn a_replay_has_the_hit_rate_of_the_recording() {
    let folder = directory("convert-hits");
    let recording = "\
        {\"timestamp\": 0, \"input_length\": 1500, \"output_length\": 30, \"hash_ids\": [0, 1, 2]}\n\
        {\"timestamp\": 0, \"input_length\": 1500, \"output_length\": 10, \"hash_ids\": [0, 1, 2]}\n\
        {\"timestamp\": 9, \"input_length\": 1537, \"output_length\": 5, \"hash_ids\": [0, 1, 3, 4]}\n\
        {\"timestamp\": 9, \"input_length\": 1600, \"output_length\": 5, \"hash_ids\": [5, 1, 2, 6]}\n\
        {\"timestamp\": 9, \"input_length\": 700, \"output_length\": 5}\n";
    fs::write(folder.join("m.jsonl"), recording).unwrap();
    let (got, expected) = hit_rates(&folder, Path::new("m.jsonl"), 10);
    assert!(expected > 0.2);
    assert_eq!(got, expected);
}

/// The same for a published recording, when it lies beside the checkout.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_replay_of_mooncake_has_its_hit_rate() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/traces/mooncake-conversation.jsonl.gz");
    if !recording.exists() {
        eprintln!("skipped: {} does not exist", recording.display());
        return;
    }
    let (got, expected) = hit_rates(&directory("convert-mooncake"), &recording, 1_500);
    assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
    assert!((expected - 0.2632).abs() < 1e-4, "{expected}");
}

#[test]
fn a_workload_becomes_a_trace_without_a_run() {
    let folder = directory("generate");
    let workload = "\
version: \"2\"
seed: 5
aggregate_rate: 4
num_requests: 12
clients:
  - id: chat
    rate_fraction: 1
    arrival: {process: poisson}
    input_distribution: {type: constant, params: {value: 100}}
    output_distribution: {type: constant, params: {value: 20}}
    reasoning:
      multi_turn: {max_rounds: 3, think_time_us: 300000, context_growth: accumulate}
";
    fs::write(folder.join("w.yaml"), workload).unwrap();
    let ran = done(&folder, "workload generate w.yaml --trace-output t");
    assert_eq!(ran.stdout, "t.yaml and t.csv: 12 requests\n");
    let text = fs::read_to_string(folder.join("t.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let first = rows[0][4];
    let session: Vec<_> =
        rows.iter().filter(|row| row[4] == first).map(|row| (row[5], row[9], row[19])).collect();
    let start: i64 = session[0].2.parse().unwrap();
    // A pause and a microsecond per token of the answer lie between the rounds.
    let at = |round: i64| (start + round * 300_020).to_string();
    assert_eq!(session, [("0", "100", &*at(0)), ("1", "220", &*at(1)), ("2", "340", &*at(2))]);
    refused(&format!("workload generate {}/w.yaml", folder.display()), &["--trace-output is missing"]);
    fs::write(folder.join("e.yaml"), workload.replace("num_requests: 12", "horizon: 0")).unwrap();
    let ran = blis(&folder, "workload generate e.yaml --trace-output e");
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    done(&folder, "workload generate w.yaml --trace-output r --num-requests 4 --seed 6");
}
