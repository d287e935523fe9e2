//! The reference's figures for 241 scenarios of one instance.

mod common;
mod naive;

use blis_engine::{
    AdapterConfig, AdapterFigures, AdapterModel, BatchFormation, Channel, CpuTierConfig, DeviceModel, Ending,
    OffloadConfig, OffloadTierConfig, OverheadTier,
};
use blis_kernel::{Semantics, Tick};
use blis_policy::preemption::PreemptionKind;
use blis_policy::priority::SloTable;
use blis_policy::scheduling::SchedulerKind;
use common::{Linear, Run, Scenario, ScenarioRequest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/../../testdata/engine/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines().map(|line| serde_json::from_str(line).expect("a vector")).collect()
}

fn tokens(runs: &Value) -> Vec<u32> {
    let mut out = Vec::new();
    for run in runs.as_array().expect("runs") {
        let (first, count) = (run[0].as_u64().unwrap() as u32, run[1].as_u64().unwrap() as u32);
        out.extend(first..first + count);
    }
    out
}

fn triple(v: &Value) -> [f64; 3] {
    [0, 1, 2].map(|i| v[i].as_f64().expect("a coefficient"))
}

fn adapters(value: &Value) -> AdapterConfig {
    let real = |key: &str| value[key].as_f64().unwrap();
    let adapter = |adapter: &Value| {
        let rank = adapter["rank"].as_u64().unwrap() as u32;
        let transfer = (real("footprint_bytes_per_rank") * f64::from(rank) / real("load_bw_bytes_us")).ceil();
        AdapterModel {
            name: adapter["id"].as_str().unwrap().to_owned(),
            rank,
            load_time: Tick::trunc((real("load_base_us") + transfer).ceil()).max(Tick::ONE),
        }
    };
    let tier = |(rank, costs): (&String, &Value)| OverheadTier {
        rank: rank.parse().unwrap(),
        per_adapter: costs[0].as_f64().unwrap() / costs[1].as_f64().unwrap(),
    };
    let mut overhead: Vec<_> = value["tiers"].as_object().unwrap().iter().map(tier).collect();
    overhead.sort_by_key(|tier| tier.rank);
    AdapterConfig {
        capacity: value["capacity"].as_u64().unwrap() as u32,
        adapters: value["adapters"].as_array().unwrap().iter().map(adapter).collect(),
        overhead,
    }
}

fn offload(value: &Value) -> OffloadConfig {
    let tier = |tier: &Value| {
        let base_latency = Tick::from_us(tier["base_us"].as_f64().unwrap().round() as i64);
        let channel = |key: &str| Channel { bytes_per_us: tier[key].as_f64().unwrap(), base_latency };
        OffloadTierConfig {
            read_threads: tier["n_read"].as_u64().unwrap() as u32,
            write_threads: tier["n_write"].as_u64().unwrap() as u32,
            device: DeviceModel {
                read: channel("read_bytes_per_us"),
                write: channel("write_bytes_per_us"),
                saturation_depth: tier["saturation_queue_depth"].as_u64().unwrap() as u32,
                single_transfer_fraction: tier["single_transfer_fraction"].as_f64().unwrap(),
                jitter_stddev: tier["jitter_stddev"].as_f64().unwrap(),
            },
        }
    };
    let block_bytes = value["per_block_bytes"].as_u64().unwrap();
    OffloadConfig {
        cpu_blocks: value["cpu_bytes"].as_u64().unwrap() / block_bytes,
        block_bytes,
        prompt_only: value["prompt_only"].as_bool().unwrap(),
        seed: 42,
        tiers: value["tiers"].as_array().unwrap().iter().map(tier).collect(),
    }
}

fn scenario(vector: &Value) -> Scenario {
    let config = &vector["config"];
    let int = |key: &str| config[key].as_i64().unwrap_or(0);
    let overrides: BTreeMap<String, i32> = config
        .get("slo_priority_overrides")
        .and_then(Value::as_object)
        .map(|map| map.iter().map(|(k, v)| (k.clone(), v.as_i64().unwrap() as i32)).collect())
        .unwrap_or_default();
    let adapters = config.get("lora").map(adapters);
    let number_of = |name: &str| {
        adapters.as_ref()?.adapters.iter().position(|adapter| adapter.name == name).map(|n| n as u32)
    };
    Scenario {
        name: vector["name"].as_str().unwrap().to_owned(),
        kv_blocks: int("total_kv_blocks") as u32,
        block_tokens: int("block_size") as u32,
        max_num_seqs: int("max_num_seqs") as u32,
        max_num_batched_tokens: int("max_num_batched_tokens") as u32,
        long_prefill_token_threshold: int("long_prefill_token_threshold") as u32,
        max_model_len: int("max_model_len") as u64,
        batch_formation: BatchFormation::Mixed,
        scheduler: match config["scheduler"].as_str().unwrap() {
            "" | "fcfs" => SchedulerKind::Fcfs,
            "priority-fcfs" => SchedulerKind::PriorityFcfs,
            "sjf" => SchedulerKind::Sjf,
            "reverse-priority" => SchedulerKind::ReversePriority,
            other => panic!("scheduler {other}"),
        },
        preemption: match config["preemption_policy"].as_str().unwrap() {
            "" | "fcfs" => PreemptionKind::Fcfs,
            "priority" => PreemptionKind::Priority,
            other => panic!("preemption policy {other}"),
        },
        cpu_tier: (int("kv_cpu_blocks") > 0).then(|| CpuTierConfig {
            blocks: int("kv_cpu_blocks") as u32,
            bandwidth_tokens_per_us: config["kv_transfer_bandwidth"].as_f64().unwrap(),
            base_latency: Tick::from_us(int("kv_transfer_base_latency")),
        }),
        offload: config.get("offload").map(offload),
        adapters: adapters.clone(),
        host: None,
        horizon: config.get("horizon_us").map_or(Tick::MAX, |h| Tick::from_us(h.as_i64().unwrap())),
        latency: Arc::new(Linear {
            alpha: triple(&vector["latency"]["alpha"]),
            beta: triple(&vector["latency"]["beta"]),
            post_decode_us: vector["latency"]["post_decode_us"].as_i64().unwrap(),
        }),
        priorities: SloTable::with_overrides(overrides.iter().map(|(class, &rank)| (class.as_str(), rank)))
            .expect("overrides"),
        requests: vector["requests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| ScenarioRequest {
                id: r["id"].as_str().unwrap().to_owned(),
                arrival_us: r["arrival_us"].as_i64().unwrap(),
                input: tokens(&r["input"]),
                output: tokens(&r["output"]),
                max_output: r["max_output_len"].as_i64().unwrap(),
                slo_class: r.get("slo_class").and_then(Value::as_str).unwrap_or("").to_owned(),
                deadline_us: r.get("deadline_us").and_then(Value::as_i64).unwrap_or(0),
                adapter: r.get("adapter").and_then(Value::as_str).and_then(number_of),
            })
            .collect(),
    }
}

/// Every difference between the recorded figures and those of `run`, one line each.
fn differences(vector: &Value, run: Run) -> Vec<String> {
    let scenario = scenario(vector);
    let result = run(&scenario, Semantics::REFERENCE);
    let mut found = Vec::new();
    let mut differ = |what: String, expected: String, got: String| {
        if expected != got {
            found.push(format!("{}: {what}: expected {expected}, got {got}", scenario.name));
        }
    };
    let mut itl: BTreeMap<i64, u64> = BTreeMap::new();
    for (i, (request, expected)) in
        scenario.requests.iter().zip(vector["expect"]["requests"].as_array().unwrap()).enumerate()
    {
        assert_eq!(request.id, expected["id"].as_str().unwrap());
        let got = result.ended[i];
        let state = match got.map(|g| g.ending) {
            Some(Ending::Completed | Ending::LengthCapped) => "completed",
            Some(Ending::Evicted | Ending::Lost | Ending::Redirected) => {
                unreachable!("nobody takes any away")
            }
            Some(Ending::TimedOut) => "timed_out",
            Some(Ending::StillRunning) => "running",
            Some(
                Ending::Unservable | Ending::StillQueued | Ending::StillEntering | Ending::StillReserved,
            )
            | None => "queued",
        };
        differ(format!("{} state", request.id), expected["state"].as_str().unwrap().into(), state.into());
        let us = |t: Option<Tick>| t.map(|t| t.as_us().to_string()).unwrap_or_default();
        let text = |key: &str| expected.get(key).map(Value::to_string).unwrap_or_default();
        differ(format!("{} ttft", request.id), text("ttft_us"), us(got.and_then(|g| g.ttft)));
        differ(format!("{} e2e", request.id), text("e2e_us"), us(got.and_then(|g| g.e2e)));
        differ(
            format!("{} scheduling delay", request.id),
            text("sched_delay_us"),
            us(got.and_then(|g| g.scheduling_delay)),
        );
        differ(
            format!("{} dropped", request.id),
            expected.get("dropped").is_some_and(|d| d == true).to_string(),
            got.is_some_and(|g| g.ending == Ending::Unservable).to_string(),
        );
        if let Some(g) = got
            && g.ending == Ending::Completed
        {
            let mean = |us: f64| format!("{us:.9}"); // recorded with 16 digits
            let recorded = expected["mean_itl_us"].as_f64().map(mean).unwrap_or_default();
            differ(format!("{} mean itl", request.id), recorded, mean(g.itl_mean_us));
            let completion = expected["completion_us"].to_string();
            differ(
                format!("{} completion", request.id),
                completion,
                us(g.e2e.map(|e| e + Tick::from_us(request.arrival_us))),
            );
        }
        if state == "completed" {
            for entry in expected.get("itl_us").and_then(Value::as_array).into_iter().flatten() {
                *itl.entry(entry.as_i64().unwrap()).or_default() += 1;
            }
        }
    }
    let itl: Vec<_> = itl.into_iter().collect();
    differ("inter-token latencies".into(), format!("{itl:?}"), format!("{:?}", result.itl));
    for (key, figure) in [
        ("adapter_loads", (|figures| figures.loads) as fn(&AdapterFigures) -> u64),
        ("adapter_evictions", |figures| figures.evictions),
    ] {
        let names = scenario.adapters.iter().flat_map(|adapters| &adapters.adapters);
        for (adapter, figures) in names.zip(&result.adapters) {
            let expected = vector["expect"][key][&adapter.name].as_u64().unwrap_or(0);
            differ(format!("{key} of {}", adapter.name), expected.to_string(), figure(figures).to_string());
        }
    }
    let totals = &vector["expect"]["totals"];
    let c = &result.counters;
    let (hits, misses) = result.hits_and_misses;
    let rate = if hits + misses == 0 { 0.0 } else { hits as f64 / (hits + misses) as f64 };
    for (key, got) in [
        ("completed", c.completed),
        ("dropped_unservable", c.dropped_unservable),
        ("kv_allocation_failures", c.kv_allocation_failures),
        ("length_capped", c.length_capped),
        ("peak_kv_blocks", u64::from(c.peak_kv_blocks)),
        ("preemptions", c.preemptions),
        ("sim_ended_us", result.sim_ended.as_us() as u64),
        ("steps", c.steps),
        ("timed_out", c.timed_out),
        ("total_input_tokens", c.input_tokens),
        ("total_output_tokens", c.output_tokens),
    ] {
        differ(key.into(), totals[key].to_string(), got.to_string());
    }
    // These two were recorded with 16 digits.
    for (key, got) in [("cache_hit_rate", rate), ("kv_thrashing_rate", result.thrashing_rate)] {
        let digits = |x: f64| format!("{x:.15}");
        differ(key.into(), digits(totals[key].as_f64().unwrap()), digits(got));
    }
    found
}

fn check(file: &str, run: Run) {
    let mut found = Vec::new();
    let mut checked = 0;
    for vector in &vectors(file) {
        found.extend(differences(vector, run));
        checked += 1;
    }
    assert!(checked > 30, "only {checked} scenarios were checked");
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn named_scenarios_give_the_references_figures() {
    check("named.jsonl", Scenario::run_listed);
}

#[test]
fn random_scenarios_give_the_references_figures() {
    check("random.jsonl", Scenario::run_listed);
}

/// Counting the blocks of prompts that nobody shares gives the same as naming them.
#[test]
fn private_prompts_give_the_references_figures() {
    check("named.jsonl", Scenario::run_private);
    check("random.jsonl", Scenario::run_private);
}

/// The plain implementation that the fast one is compared with is held to the same figures.
#[test]
fn the_naive_instance_gives_the_references_figures() {
    let run: Run = |scenario, semantics| naive::run(scenario, semantics).expect("an end").0;
    check("named.jsonl", run);
    check("random.jsonl", run);
}
