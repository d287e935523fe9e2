//! How words become a command: help, suggestions, findings, exit codes.

use crate::support::{blis, blis_words, command, refused};
use std::process::Stdio;

const MODEL: &str = "run --model meta-llama/llama-3.1-8b-instruct";

#[test]
fn help_goes_to_standard_output_and_is_no_failure() {
    for words in
        ["", "-h", "--help", "help", "run -h", "run --help", "replay --help", "help run", "help replay"]
    {
        let ran = blis(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "blis {words}");
        assert!(ran.stdout.contains("Usage: blis"), "blis {words}: {}", ran.stdout);
    }
    assert!(blis("--version").stdout.starts_with("blis "));
}

#[test]
fn help_is_grouped_by_topic() {
    let headings = |words: &str| -> Vec<String> {
        let lines = blis(words).stdout;
        lines.lines().filter(|l| l.ends_with(':') && !l.starts_with(' ')).map(str::to_owned).collect()
    };
    let shared = [
        "Cluster: admission and routing:",
        "Cluster: gateway queue (flow control):",
        "Cluster: pools and autoscaler:",
        "Engine:",
        "Host:",
        "KV cache:",
        "LoRA adapters:",
        "Step times:",
        "Simulation:",
        "Decisions:",
        "Analysis:",
        "Output:",
        "Intervals:",
    ];
    let run = ["Options:", "Model and hardware:", "Workload:"];
    assert_eq!(headings("run --help"), [&run[..], &shared].concat());
    let replay = ["Options:", "Model and hardware:", "Trace:"];
    assert_eq!(headings("replay --help"), [&replay[..], &shared].concat());
}

/// The flags that help shows, in order.
fn flags_in_help(command: &str) -> Vec<String> {
    let help = blis(&format!("{command} --help")).stdout;
    help.lines()
        .filter_map(|line| line.strip_prefix("      --"))
        .map(|rest| rest.split([' ', '[']).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn help_shows_the_documented_flags_and_no_others() {
    const SHARED: &[&str] = &[
        "num-instances",
        "admission-policy",
        "admission-latency",
        "perf-db",
        "kv-cache-dtype",
        "moe-backend",
        "coefficients",
        "policy-config",
        "epp-config",
        "flow-control",
        "saturation-detector",
        "dispatch-order",
        "fairness-policy",
        "usage-limit-policy",
        "slo-targets",
        "max-gateway-queue-depth",
        "per-band-capacity",
        "request-ttl",
        "queue-shedding",
        "in-flight-eviction",
        "dispatch-tick-interval",
        "gaie-kv-threshold",
        "gaie-qd-threshold",
        "holdback-max-ceiling",
        "holdback-min-ceiling",
        "kv-cache-util-threshold",
        "max-concurrency",
        "probabilistic-kv-threshold",
        "probabilistic-power",
        "probabilistic-qd-threshold",
        "probabilistic-scale",
        "queue-depth-threshold",
        "tier-shed-min-priority",
        "tier-shed-threshold",
        "token-bucket-capacity",
        "token-bucket-refill-rate",
        "usage-limit-threshold",
        "routing-policy",
        "routing-scorers",
        "routing-latency",
        "snapshot-refresh-interval",
        "cache-signal-delay",
        "decode-hardware",
        "decode-instances",
        "decode-latency-model",
        "decode-max-model-len",
        "decode-pp",
        "decode-routing-scorers",
        "decode-tp",
        "dpp-decode-step-us",
        "dpp-eta",
        "dpp-prefill-us",
        "dpp-ttft-slo-d",
        "dpp-v",
        "edpp-alpha",
        "edpp-beta",
        "edpp-epoch-size",
        "edpp-epsilon",
        "edpp-eta",
        "edpp-itl-target",
        "edpp-ttft-slo-d",
        "edpp-v",
        "edpp-v-init",
        "edpp-v-max",
        "edpp-v-min",
        "encode-decider",
        "encode-instances",
        "pd-decider",
        "pd-direct-decode-threshold",
        "pd-kv-bytes-per-token",
        "pd-prefix-threshold",
        "pd-split-probability",
        "pd-transfer-bandwidth",
        "pd-transfer-base-latency",
        "pd-transfer-contention",
        "model-autoscaler-interval-us",
        "autoscaler",
        "hpa-scale-down-window-s",
        "hpa-scale-up-window-s",
        "hpa-target-in-flight",
        "hpa-tolerance",
        "scale-down-boundary",
        "scale-up-threshold",
        "scaling-avg-input-tokens",
        "scaling-kv-cache-threshold",
        "prefill-decode-instances",
        "prefill-hardware",
        "prefill-instances",
        "prefill-latency-model",
        "prefill-max-model-len",
        "prefill-pp",
        "prefill-routing-scorers",
        "prefill-tp",
        "active-requests-idle",
        "active-requests-max-busy",
        "cached-share-granularity",
        "load-aware-threshold",
        "prefix-affinity-capacity",
        "prefix-affinity-granularity",
        "prefix-affinity-max-blocks",
        "max-num-seqs",
        "max-num-batched-tokens",
        "long-prefill-token-threshold",
        "batch-formation",
        "max-model-len",
        "scheduler",
        "preemption-policy",
        "engine",
        "host-latency",
        "front-end-workers",
        "front-end-us",
        "front-end-us-per-token",
        "host-step-us",
        "host-step-us-per-request",
        "host-step-us-per-prefill-token",
        "host-launch-us-per-layer",
        "host-output-us-per-token",
        "stream-interval",
        "recv-interval",
        "async-scheduling",
        "cuda-graph-max",
        "total-kv-blocks",
        "block-size-in-tokens",
        "gpu-memory-utilization",
        "kv-cpu-blocks",
        "kv-offload-threshold",
        "kv-transfer-bandwidth",
        "kv-transfer-base-latency",
        "kv-offload-config",
        "lora-adapter-capacity",
        "lora-config",
        "lora-footprint-bytes-per-rank",
        "lora-load-bandwidth-bytes-us",
        "lora-load-base-latency-us",
        "lora-scorer-weight",
        "latency-model",
        "alpha-coeffs",
        "beta-coeffs",
        "seed",
        "horizon",
        "compat",
        "format",
        "quiet-instances",
        "show-config",
        "log",
        "model",
        "hardware",
        "tp",
        "pp",
        "dp",
        "enable-expert-parallel",
        "moe-comm-backend",
        "model-config-folder",
        "hardware-config",
        "defaults-filepath",
        "metrics-path",
        "trace-level",
        "counterfactual-k",
        "summarize-trace",
        "decision-trace",
        "fitness-weights",
        "trace-output",
        "slo-ttft",
        "slo-itl",
        "slo-e2e",
        "detectors",
        "saturation-config",
        "saturation-report",
        "saturation-final-window",
        "report",
        "intervals",
        "interval-draws",
        "interval-table",
    ];
    const RUN: &[&str] = &[
        "workload",
        "workload-spec",
        "rate",
        "num-requests",
        "concurrency",
        "think-time-ms",
        "prefix-tokens",
        "prompt-tokens",
        "prompt-tokens-stdev",
        "prompt-tokens-min",
        "prompt-tokens-max",
        "output-tokens",
        "output-tokens-stdev",
        "output-tokens-min",
        "output-tokens-max",
        "timeout",
    ];
    const REPLAY: &[&str] =
        &["trace-header", "trace-data", "results-path", "session-mode", "think-time-ms", "think-time-dist"];
    for (command, own) in [("run", RUN), ("replay", REPLAY)] {
        let mut expected: Vec<&str> = SHARED.iter().chain(own).copied().collect();
        let mut shown = flags_in_help(command);
        expected.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, expected, "blis {command} --help");
    }
}

#[test]
fn a_mistyped_flag_is_answered_with_the_nearest_one() {
    refused(&format!("{MODEL} --raet 5"), &["unknown flag --raet of blis run", "did you mean --rate?"]);
    refused(&format!("{MODEL} --num-replicas 3"), &["--num-replicas"]);
    refused("rum", &["unknown command \"rum\"", "did you mean \"run\"?"]);
    refused("--bogus run", &["unknown flag --bogus"]);
    refused(&format!("{MODEL} -x"), &["unknown flag -x"]);
}

#[test]
fn words_that_no_flag_takes_are_refused() {
    refused(&format!("{MODEL} extra"), &["unexpected word \"extra\""]);
    refused(
        &format!("{MODEL} --quiet-instances false"),
        &["unexpected word \"false\"", "write --quiet-instances=false"],
    );
}

#[test]
fn all_findings_come_at_once_whatever_found_them() {
    refused(
        "run --bogus 3 --rate abc --seed 5x extra --num-instances 0 --scheduler lifo \
         --priority-policy slo-based --log loud",
        &[
            "--bogus",
            "--rate is \"abc\"; it must be a number",
            "--seed is \"5x\"; it must be a whole number",
            "\"extra\"",
            "--num-instances is 0; it must be",
            "unknown scheduler \"lifo\"",
            "--priority-policy slo-based is not available yet",
            "--log \"loud\"",
            "--model",
        ],
    );
}

#[test]
fn a_missing_value_is_named() {
    refused("run --model", &["--model needs a value"]);
    refused("run --model --tp 2", &["--model needs a value"]);
    refused("run --rate --seed 5", &["the value of --rate seems to be missing"]);
}

#[test]
fn later_features_are_refused_by_name_with_one_line_each() {
    for (flag, subject) in [
        ("--saturation-peak-ratio 3", "saturation detectors"),
        ("--priority-policy slo-based", "per-step priority"),
        ("--workload traces", "not available yet"),
    ] {
        let name = flag.split(' ').next().unwrap_or_default();
        let words = format!("{MODEL} {flag}");
        refused(&words, &[name, subject, "not available yet"]);
        assert_eq!(blis(&words).stderr.lines().count(), 1, "{words}");
    }
}

#[test]
fn what_no_feature_is_asked_for_is_no_reason_to_refuse() {
    let plain = blis(MODEL);
    let with_off_values = blis(&format!(
        "{MODEL} --trace-level none --counterfactual-k 0 --flow-control=false --pd-decider never \
         --prefill-instances 0 --saturation-detector never --lazy-generation --usage-limit-threshold 1.0"
    ));
    assert_eq!(with_off_values, plain);
}

#[test]
fn completion_scripts_exist_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let ran = blis(&format!("completion {shell}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.contains("num-instances"), "{shell}");
    }
    refused("completion", &["SHELL"]);
    refused("completion tcsh", &["tcsh", "bash"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = command()
        .args(["run", "--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn no_word_makes_the_program_panic() {
    for word in
        ["", "--", "-", "=", "--=", "--rate=", "--rate==", "---", "--\u{e9}", "\u{1f600}", "-9", "--0x"]
    {
        let ran = blis_words(&["run", word]);
        assert!(
            ran.code == 1 && ran.stdout.is_empty() && !ran.stderr.contains("panicked"),
            "{word:?}: {ran:?}"
        );
    }
}
