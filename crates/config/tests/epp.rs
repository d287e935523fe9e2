//! Endpoint Picker configurations: what they set, and what is said about the rest.

use blis_config::epp::{Mapped, lay_under};
use blis_config::options::RunOptions;
use blis_policy::Registry;
use std::fs;
use std::path::Path;

const HEAD: &str = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";

fn laid_under(mut options: RunOptions, text: &str) -> Result<(RunOptions, Mapped), Vec<String>> {
    match lay_under(&mut options, text, "e.yaml", &Registry::built_in()) {
        Ok(mapped) => Ok((options, mapped)),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn read(body: &str) -> RunOptions {
    laid_under(RunOptions::default(), &format!("{HEAD}{body}")).expect("a file that is modelled").0
}

fn problems(body: &str) -> Vec<String> {
    laid_under(RunOptions::default(), &format!("{HEAD}{body}")).expect_err("something that is not modelled")
}

fn param(options: &RunOptions, name: &str) -> Option<f64> {
    options.policy_file_params.get(name).copied()
}

#[test]
fn a_profile_is_weighted_routing_with_its_scorers_in_order() {
    let options = read(
        "plugins:
- {name: load, type: queue-scorer}
- {type: load-aware-scorer, parameters: {THRESHOLD: 64}}
- {type: active-request-scorer, parameters: {idleThreshold: 2, maxBusyScore: 0.9}}
- {type: prefix-cache-scorer}
- {type: metrics-data-source, parameters: {interval: 200ms}}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: load, weight: 2}
  - {pluginRef: load-aware-scorer}
  - {pluginRef: active-request-scorer, weight: 0.5}
  - {pluginRef: prefix-cache-scorer, weight: 3}
",
    );
    assert_eq!(options.routing_policy.as_deref(), Some("weighted"));
    let scorers = "queue-depth:2,load-aware:1,active-requests:0.5,prefix-affinity:3";
    assert_eq!(options.routing_scorers.as_deref(), Some(scorers));
    assert_eq!(param(&options, "load-aware-threshold"), Some(64.0));
    assert_eq!(param(&options, "active-requests-idle"), Some(2.0));
    assert_eq!(param(&options, "active-requests-max-busy"), Some(0.9));
    // Blocks of at least 64 tokens are four of ours.
    assert_eq!(param(&options, "prefix-affinity-granularity"), Some(4.0));
    assert_eq!(param(&options, "prefix-affinity-capacity"), Some(4.0 * 31_250.0));
    assert_eq!(param(&options, "prefix-affinity-max-blocks"), Some(4.0 * 2_048.0));
    assert_eq!(options.snapshot_refresh_interval_us, Some(200_000));
    // Without flow control sheddable requests are refused by saturated instances.
    assert_eq!(options.admission_policy.as_deref(), Some("gaie-legacy"));
    assert_eq!(param(&options, "gaie-kv-threshold"), Some(0.8));
}

#[test]
fn without_profiles_every_scorer_counts_once() {
    let options =
        read("plugins: [{type: kv-cache-utilization-scorer}, {type: running-requests-size-scorer}]\n");
    assert_eq!(options.routing_scorers.as_deref(), Some("kv-utilization:1,running-requests:1"));
}

#[test]
fn a_precise_producer_gives_the_cached_share_and_older_files_the_range() {
    let options = read(
        "plugins:
- {name: events, type: precise-prefix-cache-producer, parameters: {tokenProcessorConfig: {blockSizeTokens: 32}}}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: events}}
- {type: no-hit-lru-scorer}
",
    );
    assert_eq!(options.routing_scorers.as_deref(), Some("cached-share:1,no-hit-lru:1"));
    assert_eq!(param(&options, "cached-share-granularity"), Some(2.0));
    let older = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n\
                 plugins: [{type: precise-prefix-cache-scorer}]\n";
    let (options, _) = laid_under(RunOptions::default(), older).expect("a file that is modelled");
    assert_eq!(options.routing_scorers.as_deref(), Some("precise-prefix-cache:1"));
}

#[test]
fn the_gate_opens_the_gateway_queue() {
    let options = read(
        "featureGates: [flowControl]
plugins:
- {type: queue-scorer}
- {name: busy, type: concurrency-detector, parameters: {maxConcurrency: 128}}
- {type: round-robin-fairness-policy}
- {name: back, type: priority-holdback-policy, parameters: {minCeiling: 0.7}}
flowControl:
  maxRequests: 1k
  defaultRequestTTL: 30s
  saturationDetector: {pluginRef: busy}
  usageLimitPolicyPluginRef: back
  enableEviction: true
  defaultPriorityBand: {maxRequests: \"300\", fairnessPolicyRef: round-robin-fairness-policy}
",
    );
    let gateway = &options.gateway;
    assert_eq!((gateway.enabled, gateway.in_flight_eviction), (Some(true), Some(true)));
    assert_eq!((gateway.max_queue_depth, gateway.band_capacity), (Some(1_000), Some(300)));
    assert_eq!(gateway.request_ttl_us, Some(30_000_000));
    let chosen = [&gateway.saturation_detector, &gateway.fairness_policy, &gateway.dispatch_order];
    assert_eq!(chosen.map(|name| name.as_deref().unwrap()), ["concurrency", "round-robin", "priority"]);
    assert_eq!(gateway.usage_limit_policy.as_deref(), Some("priority-holdback"));
    assert_eq!(param(&options, "max-concurrency"), Some(128.0));
    assert_eq!(param(&options, "holdback-min-ceiling"), Some(0.7));
    assert_eq!(options.admission_policy, None);
}

#[test]
fn what_is_given_otherwise_goes_before_the_file() {
    let given = RunOptions { routing_policy: Some("least-loaded".into()), ..RunOptions::default() };
    let (options, mapped) = laid_under(given, &format!("{HEAD}plugins: [{{type: queue-scorer}}]\n")).unwrap();
    assert_eq!(options.routing_policy.as_deref(), Some("least-loaded"));
    let notices: Vec<_> = mapped.notices.iter().map(ToString::to_string).collect();
    assert_eq!(notices, ["e.yaml:3:18: queue-scorer: scorer queue-depth, weight 1"]);
}

#[test]
fn all_problems_are_named_with_their_places() {
    let found = problems(
        "plugins:
- {type: queue-scoerr}
- {type: kv-cache-utilization-scorer}
- {type: kv-cache-utilization-scorer}
- {type: weighted-random-picker}
- {type: single-profile-handler}
- {type: disagg-profile-handler, parameters: {profiles: {decode: dec}, deciders: {prefill: cold}}}
- {type: burst-prefix-cache-producer}
- {name: full, type: utilization-detector, parameters: {kvCacheUtilThreshold: 80, queueDepth: 5}}
featureGates: [flowControll]
saturationDetector: {pluginRef: full}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: kv-cache-utilization-scorer, weight: -1}
  - {pluginRef: nothing}
  - {pluginRef: full}
  - {pluginRef: weighted-random-picker}
",
    );
    let expected = [
        "e.yaml:4:10: unknown plugin type \"queue-scoerr\"",
        "e.yaml:6:10: plugins[2].type is \"kv-cache-utilization-scorer\", as an earlier plugin is called",
        "e.yaml:7:10: weighted-random-picker (weighted-random-picker) is not modelled",
        "e.yaml:9:10: disagg-profile-handler is a second profile handler",
        "e.yaml:10:10: burst-prefix-cache-producer (burst-prefix-cache-producer) is not modelled",
        "e.yaml:11:22: full (utilization-detector) is not modelled: candidates are not filtered",
        "e.yaml:11:79: plugins[7].parameters.kvCacheUtilThreshold is 80; it must be above 0 and at most 1",
        "e.yaml:11:95: unknown key of plugins[7].parameters \"queueDepth\"",
        "e.yaml:12:16: unknown feature gate \"flowControll\"",
        "e.yaml:17:54: weight of scorer \"kv-utilization\" is \"-1\"",
        "e.yaml:18:17: unknown plugin \"nothing\"",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} / {expected}");
    }
}

#[test]
fn what_would_change_a_run_is_never_left_out_in_silence() {
    for (body, mention) in [
        ("plugins: [{type: random-picker}]\n", "random-picker"),
        ("plugins: [{type: max-score-picker}]\n", "no scorer"),
        ("plugins: [{type: session-affinity-scorer}]\n", "no such scorer"),
        ("plugins: [{type: queue-scorer}, {type: latency-slo-admitter}]\n", "no such admission policy"),
        (
            "plugins: [{type: queue-scorer}]\nfeatureGates: [flowControl]\nflowControl: {maxBytes: 1Gi}\n",
            "maxBytes",
        ),
        (
            "plugins: [{type: queue-scorer}]\nfeatureGates: [flowControl]\nflowControl: {priorityBands: [{maxRequests: 9}]}\n",
            "a band of its own kind",
        ),
        (
            "plugins: [{type: queue-scorer}, {type: disagg-profile-handler, parameters: {deciders: {prefill: cold}}}]\n",
            "unknown plugin \"cold\"",
        ),
    ] {
        let found = problems(body);
        assert!(found.iter().any(|problem| problem.contains(mention)), "{body}: {found:?}");
    }
}

#[test]
fn other_files_are_told_apart() {
    for (text, mention) in [
        ("kind: EndpointPickerConfig\nplugins: []\n", "apiVersion is missing"),
        ("apiVersion: v9\nkind: EndpointPickerConfig\n", "unknown apiVersion \"v9\""),
        ("apiVersion: llm-d.ai/v1alpha1\nkind: Pod\n", "kind is \"Pod\""),
        (
            "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: \"${T}\"}]\n",
            "e.yaml:3:19: a placeholder",
        ),
    ] {
        let found = laid_under(RunOptions::default(), text).expect_err(text);
        assert!(found.iter().any(|problem| problem.contains(mention)), "{text}: {found:?}");
    }
}

/// Published configurations, where they lie beside the checkout: each is mapped, or refused for the right reasons.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn published_configurations_are_mapped_or_refused_for_the_right_reasons() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/epp-configs");
    if !folder.is_dir() {
        eprintln!("skipped: no configurations beside the checkout");
        return;
    }
    let expected: [(&str, &[&str]); 9] = [
        ("01-default", &[]),
        ("02-prefix-aware-weighted", &["16:24: ", "27:9: not-full", "36:9: spread"]),
        ("03-precise-prefix-cache", &["34:26: "]),
        ("04-pd-disaggregation", &["20:9: disagg-profile-handler"]),
        ("05-flow-control-bands", &["33:13: ", "44:5: ", "46:5: ", "50:5: ", "52:15: ", "55:5: "]),
        ("invalid-1-unknown-field", &["unknown key \"schedulingProfile\""]),
        ("invalid-2-undefined-reference", &["11:16: unknown plugin \"queue-scorer\""]),
        ("invalid-3-parameter-out-of-range", &["11:27: "]),
        ("invalid-4-two-profile-handlers", &["9:9: ", "18:24: "]),
    ];
    for (name, reasons) in expected {
        let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("a configuration");
        let found = laid_under(RunOptions::default(), &text).err().unwrap_or_default();
        assert_eq!(found.len(), reasons.len(), "{name}: {found:#?}");
        for (found, reason) in found.iter().zip(reasons) {
            assert!(found.contains(reason), "{name}: {found} / {reason}");
        }
    }
}
