//! The recorded figures of the reference, every one of them.

mod common;

use blis_latency::kv_capacity::{
    KvCapacityError, KvCapacityInputs, TensorParallelMemory, kv_blocks, kv_bytes_per_token,
};
use blis_latency::{
    Blackbox, CoefficientList, Coefficients, CrossModel, Deployment, Fp8Rule, InvalidModel, LatencyModel,
    Problem, Roofline, TrainedPhysics, TrainedRoofline,
};
use common::{Scheduled, csv_rows, gpu, model, position_embedding, step_us, text};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Recorded {
    backend: String,
    model_config: String,
    gpu: String,
    tp: u32,
    dp: u32,
    expert_parallel: bool,
    moe_comm: String,
    alpha: Vec<f64>,
    beta: Vec<f64>,
    steps: Option<Vec<Step>>,
    queueing_us: Option<BTreeMap<u64, i64>>,
    output_token_us: Option<i64>,
    post_decode_us: Option<i64>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    requests: Vec<Scheduled>,
    us: i64,
}

impl Recorded {
    fn build(&self) -> Result<Box<dyn LatencyModel>, InvalidModel> {
        let model = model(&self.model_config);
        let coefficients = Coefficients { alpha: self.alpha.clone(), beta: self.beta.clone() };
        let deployment = Deployment {
            dp: self.dp,
            expert_parallel: self.expert_parallel,
            moe_comm: self.moe_comm.parse().expect("checked by the caller"),
            ..Deployment::tensor_parallel(self.tp)
        };
        let gpu = gpu(&self.gpu);
        let rule = Fp8Rule::AnyOneByteWeight;
        Ok(match self.backend.as_str() {
            "trained-physics" => {
                Box::new(TrainedPhysics::new(&model, &gpu, &deployment, &coefficients, rule)?)
            }
            "roofline" => Box::new(Roofline::new(&model, &gpu, self.tp, &self.alpha, rule)?),
            "blackbox" => Box::new(Blackbox::new(&coefficients)?),
            "cross-model" => Box::new(CrossModel::new(&model, self.tp, &coefficients)?),
            "trained-roofline" => Box::new(TrainedRoofline::new(&model, &gpu, self.tp, &coefficients)?),
            other => panic!("no backend {other}"),
        })
    }
}

/// Whether a problem is of the recorded kind.
fn is_kind(problem: &Problem, kind: &str) -> bool {
    match problem {
        Problem::NotDivisible { quantity: "attention heads", .. } => kind == "heads_not_divisible_by_tp",
        Problem::NotPositive { quantity: "TP", .. } => kind == "tp_not_positive",
        Problem::TooFewCoefficients { list: CoefficientList::Alpha, .. } => kind == "too_few_alpha",
        Problem::TooFewCoefficients { list: CoefficientList::Beta, .. } => kind == "too_few_beta",
        Problem::Coefficient { value, .. } if *value < 0.0 => kind == "negative_coefficient",
        _ => false,
    }
}

fn recorded() -> Vec<Recorded> {
    text("testdata/latency/latency-vectors.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a recorded case"))
        .collect()
}

#[test]
fn every_recorded_time_is_met_to_the_microsecond() {
    let mut steps_checked = 0;
    for (number, case) in recorded().iter().enumerate() {
        let Some(steps) = &case.steps else { continue };
        let place = format!("case {number}: {} {} TP {}", case.backend, case.model_config, case.tp);
        let latency = case.build().unwrap_or_else(|error| panic!("{place}: {error}"));
        for step in steps {
            assert_eq!(step_us(&*latency, &step.requests), step.us, "{place}: {:?}", step.requests);
            steps_checked += 1;
        }
        for (&prompt_tokens, &us) in case.queueing_us.as_ref().expect("recorded with the steps") {
            assert_eq!(
                latency.overheads().queueing_time(prompt_tokens).as_us(),
                us,
                "{place}: {prompt_tokens} tokens"
            );
        }
        assert_eq!(Some(latency.overheads().output_token.as_us()), case.output_token_us, "{place}");
        assert_eq!(Some(latency.overheads().post_decode.as_us()), case.post_decode_us, "{place}");
    }
    assert_eq!(steps_checked, 540);
}

#[test]
fn every_recorded_refusal_is_one_of_the_reported_problems() {
    let mut refusals_checked = 0;
    for (number, case) in recorded().iter().enumerate() {
        let Some(kind) = &case.error else { continue };
        match kind.as_str() {
            // Refused before there is a model: by the name's own type and by the catalogue, which by now has that GPU.
            "unknown_moe_comm_backend" => {
                assert!(case.moe_comm.parse::<blis_latency::MoeComm>().is_err());
            }
            "unknown_gpu" => {}
            _ => {
                let error = case.build().expect_err("a refusal");
                assert!(
                    error.problems.iter().any(|problem| is_kind(problem, kind)),
                    "case {number}: {error}"
                );
            }
        }
        refusals_checked += 1;
    }
    assert_eq!(refusals_checked, 13);
}

#[derive(Deserialize)]
struct RecordedCapacity {
    model_config: String,
    gpu: String,
    tp: u32,
    dp: u32,
    block_size: u32,
    gpu_memory_utilization: f64,
    adapter_reserved_bytes: i64,
    kv_bytes_per_token_per_gpu: f64,
    total_kv_blocks: Option<u64>,
    error: String,
    min_gpus: Option<u64>,
}

#[test]
fn every_recorded_kv_capacity_is_met_to_the_block() {
    let rows: Vec<RecordedCapacity> = csv_rows("testdata/latency/kv-capacity-vectors.csv");
    assert_eq!(rows.len(), 200);
    for row in rows {
        let place = format!("{} on {} x {}", row.model_config, row.tp, row.gpu);
        let model = model(&row.model_config);
        assert_eq!(kv_bytes_per_token(&model, row.tp), Ok(row.kv_bytes_per_token_per_gpu), "{place}");
        let inputs = KvCapacityInputs {
            gpu_memory_gib: gpu(&row.gpu).memory_gib.expect("a known GPU"),
            tp: row.tp,
            pp: 1,
            dp: row.dp,
            block_tokens: row.block_size,
            gpu_memory_utilization: row.gpu_memory_utilization,
            adapter_reserved_bytes: row.adapter_reserved_bytes,
        };
        match (row.error.as_str(), kv_blocks(&model, &inputs, TensorParallelMemory::WholeGroup)) {
            ("", Ok(capacity)) => assert_eq!(Some(capacity.blocks), row.total_kv_blocks, "{place}"),
            ("insufficient_memory", Err(KvCapacityError::InsufficientMemory { min_gpus, .. })) => {
                assert_eq!(Some(min_gpus), row.min_gpus, "{place}");
            }
            (recorded, got) => panic!("{place}: recorded \"{recorded}\", got {got:?}"),
        }
    }
}

#[derive(Deserialize)]
struct RecordedLength {
    name: String,
    max_model_len: u64,
}

#[test]
fn every_bundled_model_gets_its_recorded_length() {
    for row in csv_rows::<RecordedLength>("testdata/latency/max-model-len.csv") {
        assert_eq!(position_embedding(&row.name).max_model_len(), row.max_model_len, "{}", row.name);
    }
}
