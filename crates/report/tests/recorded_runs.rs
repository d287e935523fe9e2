//! Reports of recorded runs, byte for byte.
//!
//! `testdata/recorded/*` holds standard output and metrics files that the Go reference (inference-sim, commit f90a1e3a)
//! wrote. The per-request figures in them go through the recorder, and what is reported must be the same text. Only
//! figures that no per-request record carries (inter-token latencies, token totals, cache hits, durations) are taken
//! over from the recording.

use blis_kernel::{InstanceId, RequestName, Tick};
use blis_metrics::{
    Aggregate, FitnessWeights, InstanceFigures, Labels, Options, Outcome, Recorder, RequestEnding,
    RequestRecord, RunEnding, RunFigures, SessionPlace, SloTargets, TraceSummary,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of files that one run wrote.
struct Recording {
    folder: PathBuf,
    output: String,
    metrics: Value,
}

fn recordings() -> Vec<Recording> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/recorded");
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let read = |folder: PathBuf| Recording {
        output: fs::read_to_string(folder.join("stdout.txt")).unwrap(),
        metrics: serde_json::from_str(&fs::read_to_string(folder.join("metrics.json")).unwrap()).unwrap(),
        folder,
    };
    folders.into_iter().map(read).collect()
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

fn count(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_default()
}

fn real(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_default()
}

/// A figure in units of `unit_us`, when there is one.
fn duration(row: &Value, key: &str, unit_us: f64) -> Option<Tick> {
    Some(Tick::from_us((real(row, key) * unit_us).round() as i64)).filter(|&d| d > Tick::ZERO)
}

fn name(text: &str) -> RequestName {
    match text.strip_prefix("request_").and_then(|n| n.parse().ok()) {
        Some(n) => RequestName::Indexed(n),
        None => RequestName::text(text),
    }
}

impl Recording {
    /// The number at the end of the line that begins with `label`.
    fn printed(&self, label: &str) -> Option<f64> {
        let line = self.output.lines().find(|line| line.starts_with(label))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn blocks(&self) -> Vec<Value> {
        let bodies = self.output.split("=== Simulation Metrics ===\n").skip(1);
        bodies
            .map(|body| serde_json::Deserializer::from_str(body).into_iter().next().unwrap().unwrap())
            .collect()
    }

    /// The recording as the simulator would have recorded it.
    fn outcome(&self) -> Outcome {
        let blocks = self.blocks();
        let instances = if blocks.len() > 1 { &blocks[..blocks.len() - 1] } else { &blocks[..] };
        let by_priority = self.printed("Priority Inversions").is_some_and(|n| n > 0.0);
        let options = Options {
            splits: false,
            keep_records: true,
            count_inversions: by_priority,
            slo_targets: SloTargets::new(),
            saturation: None,
        };
        let mut recorder = Recorder::new(instances.len(), options);
        let mut session_names: Vec<String> = Vec::new();
        let mut injected = 0;
        let mut add = |labels: Labels, request: RequestRecord| {
            recorder.add_labels(labels);
            let request = RequestRecord { labels: injected as u32, ..request };
            if request.instance.is_some() {
                recorder.record_at_instance(&request);
            }
            recorder.record(request);
            injected += 1;
        };
        for row in self.metrics["requests"].as_array().unwrap() {
            let labels = Labels {
                slo_class: text(row, "slo_class"),
                tenant: text(row, "tenant_id"),
                model: text(row, "model"),
                adapter: text(row, "adapter"),
                network: None,
            };
            add(labels, record(row, &mut session_names));
        }
        let nobody = record(&Value::Null, &mut session_names);
        for line in self.output.lines().filter_map(|line| line.strip_prefix("  Shed (")) {
            let (class, n) = line.split_once("): ").unwrap();
            for _ in 0..n.parse().unwrap() {
                let labels = Labels { slo_class: class.into(), ..Labels::default() };
                let ending = RequestEnding::RejectedByAdmission;
                add(labels, RequestRecord { ending, instance: None, ..nobody.clone() });
            }
        }
        for _ in 0..self.printed("Rejected Requests (Routing)").unwrap_or_default() as u64 {
            let ending = RequestEnding::RejectedByRouting;
            add(Labels::default(), RequestRecord { ending, instance: None, ..nobody.clone() });
        }
        let trace = self.printed("  Admitted:").map(|admitted| self.trace(admitted as u64));
        let mut outcome = recorder.finish(RunFigures {
            splits: None,
            fleet: None,
            faults: None,
            instance_names: Vec::new(),
            prefill_instances: Vec::new(),
            decode_instances: Vec::new(),
            ending: RunEnding::Completed,
            injected,
            instances: instances.iter().map(figures).collect(),
            session_names,
            trace,
            decisions: None,
        });
        for (aggregate, block) in outcome.instances.iter_mut().zip(instances) {
            take_over_itl(aggregate, block);
        }
        take_over_itl(&mut outcome.cluster, &self.metrics);
        outcome.cluster.cache_hit_rate = real(&self.metrics, "cache_hit_rate");
        outcome.kv.cache_hit_rate = outcome.cluster.cache_hit_rate;
        outcome
    }

    fn trace(&self, admitted: u64) -> TraceSummary {
        let rejected = self.printed("  Rejected:").unwrap() as u64;
        let mut trace = TraceSummary { admitted, rejected, ..TraceSummary::default() };
        for line in self.output.lines().filter_map(|line| line.strip_prefix("  instance_")) {
            let (instance, routed) = line.split_once(": ").unwrap();
            trace.targets.insert(InstanceId(instance.parse().unwrap()), routed.parse().unwrap());
        }
        trace
    }
}

fn record(row: &Value, session_names: &mut Vec<String>) -> RequestRecord {
    let session = row["session_id"].as_str().map(|id| {
        let known = session_names.iter().position(|known| known == id);
        let session = known.unwrap_or_else(|| {
            session_names.push(id.to_owned());
            session_names.len() - 1
        });
        SessionPlace { session: session as u32, round: count(row, "round_index") as u32 }
    });
    let e2e = duration(row, "e2e_ms", 1e3);
    let gaps = count(row, "num_decode_tokens").saturating_sub(1).max(1) as f64;
    let instance = row["handled_by"].as_str().and_then(|id| id.strip_prefix("instance_")?.parse().ok());
    RequestRecord {
        name: name(row["requestID"].as_str().unwrap_or_default()),
        arrival: duration(row, "arrived_at", 1e6).unwrap_or_default(),
        input_tokens: count(row, "num_prefill_tokens") as u32,
        output_tokens: count(row, "num_decode_tokens") as u32,
        produced_tokens: 0,
        ttft: duration(row, "ttft_ms", 1e3),
        e2e,
        itl_mean_us: (real(row, "itl_ms") * 1e3 * gaps).round() / gaps,
        scheduling_delay: duration(row, "scheduling_delay_ms", 1e3),
        gateway_queue_delay: None,
        labels: 0,
        instance: instance.map(InstanceId),
        left_at: None,
        length_capped: false,
        session,
        ending: if e2e.is_some() { RequestEnding::Completed } else { RequestEnding::TimedOut },
    }
}

fn figures(block: &Value) -> InstanceFigures {
    InstanceFigures {
        ended_at: duration(block, "vllm_estimated_duration_s", 1e6).unwrap_or_default(),
        input_tokens: count(block, "total_input_tokens"),
        output_tokens: count(block, "total_output_tokens"),
        preemptions: count(block, "preemption_count"),
        ..InstanceFigures::default()
    }
}

fn take_over_itl(aggregate: &mut Aggregate, block: &Value) {
    aggregate.itl_ms.mean = real(block, "itl_mean_ms");
    aggregate.itl_ms.p90 = real(block, "itl_p90_ms");
    aggregate.itl_ms.p95 = real(block, "itl_p95_ms");
    aggregate.itl_ms.p99 = real(block, "itl_p99_ms");
}

/// Compares line by line, for a message that points at the place.
fn same_text(what: &str, folder: &Path, expected: &str, got: &str) {
    for (number, (e, g)) in expected.lines().zip(got.lines()).enumerate() {
        assert_eq!(g, e, "{what} of {}, line {}", folder.display(), number + 1);
    }
    assert_eq!(got.len(), expected.len(), "{what} of {}: length", folder.display());
}

#[test]
fn standard_output_is_reproduced() {
    for recording in recordings() {
        let got = blis_report::standard_output(&recording.outcome(), None, None);
        // Ours says the unit of two blocks, which the recording leaves to the reader.
        let got = got.replace("latencies in us\n", "");
        same_text("standard output", &recording.folder, &recording.output, &got);
    }
}

#[test]
fn metrics_files_are_reproduced() {
    for recording in recordings() {
        let expected = fs::read_to_string(recording.folder.join("metrics.json")).unwrap();
        same_text(
            "metrics file",
            &recording.folder,
            &expected,
            &blis_report::metrics_file(&recording.outcome()),
        );
    }
}

#[test]
fn results_files_are_reproduced() {
    let mut compared = 0;
    for recording in recordings() {
        if let Ok(expected) = fs::read_to_string(recording.folder.join("results.json")) {
            same_text(
                "results",
                &recording.folder,
                &expected,
                &blis_report::results_file(&recording.outcome()),
            );
            compared += 1;
        }
    }
    assert!(compared > 0, "no recording has a results file");
}

#[test]
fn json_documents_are_json_and_tables_fit_80_columns() {
    let weights = FitnessWeights::parse("throughput:1,p50_ttft:1").unwrap();
    for recording in recordings() {
        let outcome = recording.outcome();
        let fitness = weights.rate(&outcome.cluster);
        let document: Value =
            serde_json::from_str(&blis_report::document(&outcome, Some(&fitness), None)).unwrap();
        assert_eq!(document["cluster"]["ttft_ms"]["p99"], recording.metrics["ttft_p99_ms"]);
        assert_eq!(document["instances"].as_array().unwrap().len(), outcome.instances.len());
        let table = blis_report::table(&outcome, Some(&fitness), None);
        for line in table.lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", recording.folder.display());
        }
    }
}
