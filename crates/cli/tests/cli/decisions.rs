//! What is told about decisions.

use crate::support::{Ran, blis, command, directory, refused};
use std::fs;
use std::path::Path;

const RUN: &str = "run --model qwen/qwen3-14b --num-instances 4 --rate 40 --num-requests 400 --prefix-tokens 256 \
                   --quiet-instances";
const TRACED: &str = "--trace-level decisions --summarize-trace";

#[track_caller]
fn succeeded(words: &str) -> Ran {
    let ran = blis(words);
    assert_eq!(ran.code, 0, "blis {words}: {}", ran.stderr);
    ran
}

fn in_folder(folder: &Path, words: &str) -> Ran {
    command().args(words.split_whitespace()).current_dir(folder).output().unwrap().into()
}

/// Routing policy, requests per instance, mean and largest regret, as inference-sim has them.
#[test]
fn summaries_are_those_of_the_reference() {
    for (flags, targets, regret) in [
        ("", [100, 100, 100, 100], ["4.015000", "20.000000"]),
        ("--routing-policy always-busiest", [400, 0, 0, 0], ["376.307500", "723.000000"]),
        (
            "--routing-policy weighted --routing-scorers prefix-affinity:3,queue-depth:2,kv-utilization:2",
            [39, 142, 146, 73],
            ["0.000000", "0.000000"],
        ),
    ] {
        let words = format!("{RUN} {TRACED} --counterfactual-k 2 --compat inference-sim {flags}");
        let text = succeeded(&words).stdout;
        let summary = text.split("=== Trace Summary ===\n").nth(1).unwrap_or_default();
        assert!(summary.starts_with("Total Decisions: 400\n  Admitted: 400\n  Rejected: 0\n"), "{text}");
        for (instance, count) in targets.iter().enumerate().filter(|(_, count)| **count > 0) {
            assert!(summary.contains(&format!("  instance_{instance}: {count}\n")), "{flags}: {summary}");
        }
        let [mean, max] = regret;
        assert!(
            summary.ends_with(&format!("Mean Regret: {mean}\nMax Regret: {max}\n")),
            "{flags}: {summary}"
        );
    }
}

#[test]
fn tracing_changes_nothing_else() {
    let words = format!("{RUN} --routing-policy weighted");
    let plain = succeeded(&words).stdout;
    assert_eq!(succeeded(&format!("{words} --trace-level decisions --counterfactual-k 3")).stdout, plain);
    let summarized = succeeded(&format!("{words} {TRACED}")).stdout;
    assert!(summarized.starts_with(&plain) && summarized.contains("Mean Regret: 0.000000"));
    let json = succeeded(&format!("{words} --trace-level decisions --format json")).stdout;
    assert!(json.contains("\"admitted\": 400,"), "{json}");
    assert!(succeeded(&format!("{words} {TRACED} --format table")).stdout.contains("Unique Targets: "));
}

#[test]
fn what_has_no_effect_or_contradicts_is_named() {
    let ran = succeeded(&format!("{RUN} --counterfactual-k 3 --summarize-trace"));
    for flag in ["--counterfactual-k", "--summarize-trace"] {
        assert!(ran.stderr.contains(&format!("{flag} is unused without --trace-level")), "{}", ran.stderr);
    }
    refused(
        &format!("{RUN} --trace-level all --counterfactual-k -1"),
        &["unknown value of --trace-level \"all\"", "decisions", "--counterfactual-k is -1"],
    );
    refused(
        &format!("{RUN} --trace-level none --decision-trace d.jsonl"),
        &["--decision-trace is given with --trace-level none"],
    );
}

#[test]
fn a_decision_is_written_and_explained() {
    let folder = directory("explain");
    let words = format!("{RUN} --routing-policy weighted --num-requests 30 --decision-trace d.jsonl");
    let ran = in_folder(&folder, &words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let file = fs::read_to_string(folder.join("d.jsonl")).unwrap();
    assert_eq!(file.lines().count(), 60, "an admission and a routing for each request");
    for line in file.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("a JSON object on each line");
    }
    let routing = file.lines().nth(1).unwrap();
    assert_eq!(routing.matches("\"instance\": ").count(), 4, "all candidates: {routing}");
    let by_number = in_folder(&folder, "explain 7 --decision-trace d.jsonl");
    assert_eq!((by_number.code, by_number.stderr.as_str()), (0, ""));
    let text = &by_number.stdout;
    assert!(text.starts_with("request_7 at 0."), "{text}");
    for words in ["s: admitted\n", "s: routed to instance_", "> instance_", "without the scorer queue-depth"]
    {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert_eq!(in_folder(&folder, "explain request_7 --decision-trace d.jsonl").stdout, *text);
}

/// A request that admission let in and the gateway queue refused has both decisions in its trace.
#[test]
fn a_refusal_of_the_gateway_queue_is_a_decision_of_its_own() {
    let folder = directory("explain-queue");
    let words = format!(
        "{RUN} --flow-control --saturation-detector concurrency --max-concurrency 2 \
         --max-gateway-queue-depth 5 --request-ttl 1s --decision-trace d.jsonl --format json"
    );
    let ran = in_folder(&folder, &words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let file = fs::read_to_string(folder.join("d.jsonl")).unwrap();
    let full: Vec<_> = file.lines().filter(|line| line.contains("\"reason\": \"it is full\"")).collect();
    let count = file.lines().filter(|line| line.contains("\"decision\": \"queue\"")).count();
    let routed = file.lines().filter(|line| line.contains("\"decision\": \"routing\"")).count();
    assert_eq!((count + routed, full.is_empty()), (400, false), "routed or given up");
    let request = full[0].split("\"request\": \"").nth(1).unwrap().split('"').next().unwrap();
    let explained = in_folder(&folder, &format!("explain {request} --decision-trace d.jsonl")).stdout;
    assert!(explained.contains("s: admitted\n"), "{explained}");
    assert!(explained.ends_with("s: given up by the gateway queue, it is full\n"), "{explained}");
}

#[test]
fn what_cannot_be_explained_is_refused() {
    refused("explain 7", &["--decision-trace is missing"]);
    refused("explain 7 --decision-trace none.jsonl", &["--decision-trace: cannot read none.jsonl"]);
    let folder = directory("explain_bad");
    let file = folder.join("d.jsonl");
    let words = format!("explain 7 --decision-trace {}", file.display());
    fs::write(&file, "{\"decision\": \"admission\", \"request\": \"request_70\"}\n").unwrap();
    refused(&words, &["d.jsonl has no decision about \"request_7\""]);
    fs::write(&file, "{\"decision\": \"admission\", \"request\": \"request_7\", \"at\": 5}\n").unwrap();
    refused(&words, &["d.jsonl:1:", "is no decision", "`at`"]);
}
