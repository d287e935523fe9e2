use super::{AdapterReference, Overrides, WorkloadFile, read};
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};
use blis_kernel::{Network, Tick};
use blis_workload::Traffic;

/// One client between `before` and `after`, which add keys to the file and to the client.
fn file(before: &str, after: &str) -> String {
    format!(
        "{before}\nclients:\n  - id: a\n    rate_fraction: 1\n    arrival: {{process: poisson}}\n    \
         input_distribution: {{type: constant, params: {{value: 9}}}}\n    \
         output_distribution: {{type: constant, params: {{value: 5}}}}\n{after}"
    )
}

const BOUNDED: &str = "version: 2\naggregate_rate: 4\nnum_requests: 1e1";

fn good(text: &str) -> WorkloadFile {
    read(text, "w.yaml", Overrides::default()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn problems(text: &str) -> Vec<String> {
    let problems = read(text, "w.yaml", Overrides::default()).expect_err("something is wrong");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn numbers_are_taken_as_they_are_meant() {
    let workload = good(&file(BOUNDED, "    tenant_id: 7\n    slo_class: ~\n    timeout: 0\n")).workload;
    assert_eq!((workload.seed, workload.max_requests, workload.horizon), (0, Some(10), Tick::MAX));
    let client = &workload.clients[0];
    assert_eq!((client.labels.tenant.as_str(), client.labels.slo_class.as_str()), ("7", ""));
    assert_eq!(client.timeout, None);
    assert_eq!(client.traffic, Traffic::Rate { per_us: 4.0 / 1e6, process: ArrivalProcess::Poisson });
    let found = problems(&file("seed: 10.5\naggregate_rate: 4", "    timeout: [1]\n    streaming: 3\n"));
    let expected =
        "w.yaml:1:7: seed: invalid value: floating point `10.5`, expected a whole number of at most 63 bits";
    assert_eq!(found[0], expected);
    assert!(found[1].starts_with("w.yaml:9:14: timeout: "), "{found:?}");
    assert!(found[2].starts_with("w.yaml:10:16: streaming: ") && found.len() == 3, "{found:?}");
}

#[test]
fn flags_replace_what_the_file_says() {
    let overrides = Overrides {
        seed: Some(3),
        horizon: Some(Tick::from_us(9)),
        max_requests: Some(None),
        timeout: Some(Some(Tick::from_us(8))),
    };
    let workload = read(&file(BOUNDED, ""), "w.yaml", overrides).unwrap().workload;
    assert_eq!((workload.seed, workload.max_requests, workload.horizon), (3, None, Tick::from_us(9)));
    assert_eq!(workload.clients[0].timeout, Some(Tick::from_us(8)));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let text = "category: poetry
aggregate_rate: 4
num_requests: 5
clients:
  - id: a
    slo_class: gold
    rate_fraction: -1
    arrival: {process: poison}
    input_distribution:
      type: bimodal
    output_distribution:
      type: gaussian
      params: {mean: 3, std_dev: 1, min: 9, max: 4, skew: 2}
    population: 3
  - id: b
    concurrency: 2
    rate_fraction: 0.5
    input_distribution: {type: exponential}
    output_distribution: {type: empirical, params: {12abc: 1}}
    reasoning: {multi_turn: {context_growth: shrink}}
";
    let found = problems(text);
    let expected = [
        "w.yaml:1:11: unknown category \"poetry\"",
        "w.yaml:14:17: unknown key \"population\": only cohorts have it",
        "w.yaml:7:20: clients[0].rate_fraction is -1; it must be a finite number above 0",
        "w.yaml:8:24: unknown clients[0].arrival.process \"poison\"",
        "w.yaml:10:13: unknown clients[0].input_distribution.type \"bimodal\"",
        "w.yaml:13:59: unknown parameter of gaussian \"skew\"",
        "w.yaml:6:16: unknown clients[0].slo_class \"gold\"",
        "w.yaml:17:20: clients[1].rate_fraction and concurrency are both given",
        "w.yaml:18:25: clients[1].input_distribution.params.mean is missing; exponential needs it",
        "w.yaml:19:60: clients[1].output_distribution.params.12abc is not a number of tokens",
        "w.yaml:15:5: slo_class is given by 1 (clients[0]) and missing from 1 (clients[1])",
    ];
    for wanted in expected {
        assert!(found.iter().any(|problem| problem.starts_with(wanted)), "{wanted}\n{found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn keys_that_nobody_knows_and_empty_files_are_refused() {
    let found = problems(&file("agregate_rate: 4", ""));
    assert!(found[0].starts_with("w.yaml:1:1: unknown key \"agregate_rate\""), "{found:?}");
    assert!(problems("")[0].contains("the file is empty"));
    assert!(problems("version: 3\nnum_requests: 4")[0].contains("version is \"3\"; it must be 1 or 2"));
}

#[test]
fn version_1_is_brought_to_version_2() {
    let text = file("aggregate_rate: 4\nnum_requests: 5", "    slo_class: realtime\n");
    let read = good(&text);
    assert_eq!(read.workload.clients[0].labels.slo_class, "critical");
    assert_eq!(
        read.warnings[0].to_string(),
        "w.yaml:9:16: clients[0].slo_class realtime is called critical since version 2"
    );
    assert!(
        problems(&file(BOUNDED, "    slo_class: realtime\n"))[0].contains("unknown clients[0].slo_class")
    );
}

#[test]
fn a_workload_has_to_end() {
    let endless = problems(&file("aggregate_rate: 4", ""));
    assert!(endless[0].contains("neither num_requests nor horizon"), "{endless:?}");
    good(&file("aggregate_rate: 4\nhorizon: 1000", ""));
    let windows = "    lifecycle: {windows: [{start_us: 0, end_us: 50}]}\n";
    good(&file("aggregate_rate: 4", windows));
    good(&file("aggregate_rate: 4", "    reasoning: {multi_turn: {max_rounds: 3, single_session: true}}\n"));
    assert!(
        problems(&file("aggregate_rate: 0\nnum_requests: 3", windows))[0].contains("trace_rate is missing")
    );
}

#[test]
fn a_cohort_is_as_many_clients() {
    let cohort = "aggregate_rate: 0
cohorts:
  - id: c
    population: 4
    rate_fraction: 1
    arrival: {process: gamma, shape: 0.5, scale: 10}
    input_distribution: {type: constant, params: {value: 9}}
    output_distribution: {type: constant, params: {value: 5}}
    prefix_group: g
    prefix_sharing: per_member
    spike: {start_time_us: 5, duration_us: 10, trace_rate: 8}
";
    let workload = good(cohort).workload;
    let names: Vec<_> = workload.clients.iter().map(|client| client.labels.client.as_str()).collect();
    assert_eq!(names, ["c-0", "c-1", "c-2", "c-3"]);
    assert_eq!(workload.clients[3].prefix.as_ref().unwrap().group, "g-3");
    let Traffic::Phases(phases) = &workload.clients[0].traffic else {
        panic!("a spike with a rate is a phase")
    };
    assert_eq!((phases[0].window.start, phases[0].window.end), (Tick::from_us(5), Tick::from_us(15)));
    assert_eq!(phases[0].per_us, 2.0 / 1e6);
    // The mean is that of the rate: shape × scale = 500,000 µs.
    let ArrivalProcess::Gamma(gap) = phases[0].process else { panic!("the process stays") };
    assert_eq!((gap.shape, gap.scale_us), (Some(0.5), Some(1e6)));
}

#[test]
fn windows_of_a_day_come_back_and_a_drain_fades() {
    let cohort = |key: &str| {
        let text = file("aggregate_rate: 4\nhorizon: 1e13", &format!("    population: 1\n    {key}\n"));
        good(&text.replace("clients:", "cohorts:")).workload.clients.remove(0)
    };
    let day = cohort("diurnal: {peak_hour: 3, peak_to_trough_ratio: 4}");
    let lengths: Vec<_> = day.active.iter().map(|w| (w.end - w.start).as_us()).collect();
    assert_eq!((lengths.len(), lengths[3], lengths[15]), (24, 3_600_000_000, 900_000_000));
    assert!(day.active.iter().all(|window| window.every == Some(Tick::from_us(86_400_000_000))));
    let drain = cohort("drain: {start_time_us: 100, ramp_duration_us: 1000}");
    let ends: Vec<_> = drain.active.iter().map(|w| (w.start.as_us(), w.end.as_us())).collect();
    assert_eq!((ends.len(), ends[0], ends[1], ends[10]), (11, (0, 100), (100, 200), (1000, 1010)));
}

#[test]
fn a_table_takes_whole_numbers_of_tokens() {
    let table = "    slo_target_us: 5\n".to_owned();
    let text = file(BOUNDED, &table)
        .replace("{type: constant, params: {value: 9}}", "{type: empirical, params: {20: 1, 30.0: 3}}");
    assert!(matches!(good(&text).workload.clients[0].input, LengthSampler::Empirical(_)));
}

/// Law: an adapter is carried with the requests, and told with its place to whoever knows which adapters there are.
#[test]
fn adapters_are_references() {
    let read = good(&file(BOUNDED, "    model: Llama\n    adapter: legal\n"));
    assert_eq!(read.workload.clients[0].labels.adapter, "legal");
    let [AdapterReference { adapter, model, place }] = &read.adapters[..] else {
        panic!("{:?}", read.adapters)
    };
    assert_eq!((adapter.as_str(), model.as_str()), ("legal", "llama"));
    assert_eq!(place.to_string(), "w.yaml:11:14: clients[0].adapter");
    assert_eq!(good(&file(BOUNDED, "    adapter: ''\n")).adapters, []);
}

#[test]
fn a_link_is_carried_with_the_requests() {
    let read = good(&file(BOUNDED, "    network: {rtt_ms: 5}\n"));
    let network = Some(Network { rtt_ms: 5.0, bandwidth_mbps: 0.0 });
    assert_eq!((read.workload.clients[0].labels.network, read.warnings), (network, vec![]));
    let found = problems(&file(BOUNDED, "    network: {rtt_ms: 5, bandwidth_mbps: -1}\n"));
    assert_eq!(
        found,
        ["w.yaml:10:42: clients[0].network.bandwidth_mbps is -1; it must be a finite number, 0 or more"]
    );
}

/// Law: it is told what a bound of conversations comes to, and a strict bound needs no telling.
#[test]
fn a_bound_of_conversations_is_told_in_requests() {
    let chat = "    reasoning: {multi_turn: {max_rounds: 3}}\n    closed_loop: true\n";
    let chatting = |before: &str| good(&file(before, chat));
    let read = chatting("version: 2\naggregate_rate: 4\nnum_requests: 30");
    assert!(read.warnings[0].message.contains("is after up to 3 requests"), "{:?}", read.warnings);
    let begun = read.workload.closed_loop_conversations();
    assert!((10..=30).contains(&begun), "{begun}");
    let strict = chatting("version: 2\naggregate_rate: 4\nnum_requests: 30\nstrict_num_requests: true");
    assert!(strict.workload.bounds_follow_ups && strict.warnings.is_empty(), "{:?}", strict.warnings);
    let unbounded = chatting("version: 2\naggregate_rate: 4\nhorizon: 1e6\nstrict_num_requests: true");
    assert!(unbounded.warnings[0].to_string().contains("w.yaml:4:22: strict_num_requests is unused"));
}
