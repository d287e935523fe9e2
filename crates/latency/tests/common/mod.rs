//! Models and GPUs of the catalogue, and recorded figures to hold the formulas against.

// Each test program uses its own part of this.
#![allow(dead_code)]

use blis_latency::context_length::{PositionEmbedding, RopeScaling};
use blis_latency::{Batch, GpuSpec, LatencyModel, ModelArchitecture, Prefill};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;

pub(crate) fn text(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn csv_rows<T: DeserializeOwned>(path: &str) -> Vec<T> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(text(path).as_bytes())
        .into_deserialize()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[derive(Deserialize)]
struct ModelRow {
    name: String,
    layers: u32,
    hidden: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    intermediate: u32,
    vocabulary: u32,
    bytes_per_param: f64,
    weight_bytes_per_param: f64,
    fp8_weights: bool,
    experts: u32,
    experts_per_token: u32,
    expert_intermediate: u32,
    shared_experts: u32,
    shared_expert_intermediate: u32,
    moe_interleave_step: u32,
    dense_intermediate: u32,
    kv_lora_rank: u32,
    qk_rope_head_dim: u32,
    dense_prefix_layers: u32,
    activation: String,
    tied_embeddings: bool,
    max_positions: u64,
    model_type: String,
    rope_kind: String,
    rope_factor: Option<f64>,
    rope_original_max_positions: Option<u64>,
}

fn model_row(name: &str) -> ModelRow {
    csv_rows::<ModelRow>("crates/config/data/architectures.csv")
        .into_iter()
        .find(|row| row.name == name)
        .unwrap_or_else(|| panic!("no model {name}"))
}

pub(crate) fn model(name: &str) -> ModelArchitecture {
    let row = model_row(name);
    ModelArchitecture {
        layers: row.layers,
        hidden: row.hidden,
        vocabulary: row.vocabulary,
        heads: row.heads,
        kv_heads: row.kv_heads,
        head_dim: row.head_dim,
        intermediate: row.intermediate,
        experts: row.experts,
        experts_per_token: row.experts_per_token,
        expert_intermediate: row.expert_intermediate,
        shared_experts: row.shared_experts,
        shared_expert_intermediate: row.shared_expert_intermediate,
        moe_interleave_step: row.moe_interleave_step,
        dense_intermediate: row.dense_intermediate,
        dense_prefix_layers: row.dense_prefix_layers,
        kv_lora_rank: row.kv_lora_rank,
        qk_rope_head_dim: row.qk_rope_head_dim,
        activation: row.activation,
        tied_embeddings: row.tied_embeddings,
        bytes_per_param: row.bytes_per_param,
        kv_bytes_per_element: 0.0,
        weight_bytes_per_param: row.weight_bytes_per_param,
        fp8_weights: row.fp8_weights,
    }
}

pub(crate) fn position_embedding(name: &str) -> PositionEmbedding {
    let row = model_row(name);
    PositionEmbedding {
        max_positions: row.max_positions,
        model_type: row.model_type,
        rope_scaling: row.rope_factor.map(|factor| RopeScaling {
            kind: row.rope_kind,
            factor,
            original_max_positions: row.rope_original_max_positions.unwrap_or(0),
        }),
    }
}

#[derive(Deserialize)]
struct GpuRow {
    name: String,
    fp16_tflops: f64,
    fp8_tflops: f64,
    fp8_sparse_tflops: Option<f64>,
    hbm_tb_per_s: f64,
    mfu_prefill: f64,
    mfu_decode: f64,
    memory_gib: f64,
    link_gb_per_s: f64,
}

pub(crate) fn gpu(name: &str) -> GpuSpec {
    let row = csv_rows::<GpuRow>("crates/config/data/gpus.csv")
        .into_iter()
        .find(|row| row.name == name)
        .unwrap_or_else(|| panic!("no GPU {name}"));
    GpuSpec {
        name: row.name,
        fp16_tflops: row.fp16_tflops,
        fp8_tflops: row.fp8_tflops,
        fp8_sparse_tflops: row.fp8_sparse_tflops,
        hbm_tb_per_s: row.hbm_tb_per_s,
        mfu_prefill: row.mfu_prefill,
        mfu_decode: row.mfu_decode,
        memory_gib: Some(row.memory_gib),
        link_gb_per_s: Some(row.link_gb_per_s),
    }
}

/// A scheduled request as the recorded figures state it: prompt, output, progress, new tokens.
pub(crate) type Scheduled = (u64, u64, u64, u64);

/// Step time of a list of scheduled requests, µs.
pub(crate) fn step_us(model: &dyn LatencyModel, requests: &[Scheduled]) -> i64 {
    let mut prefills = Vec::new();
    let mut contexts = Vec::new();
    let mut others = 0;
    for &(prompt_tokens, output_tokens, progress, new_tokens) in requests {
        if progress < prompt_tokens {
            prefills.push(Prefill { prompt_tokens, progress, new_tokens });
        } else if output_tokens > 0 {
            contexts.push(progress);
        } else {
            others += 1;
        }
    }
    let batch = Batch {
        prefills: &prefills,
        decodes: contexts.len() as u64,
        decode_context_tokens: contexts.iter().sum(),
        longest_decode_context: contexts.iter().copied().max().unwrap_or(0),
        decode_contexts: if model.wants_decode_contexts() { &contexts } else { &[] },
        others,
    };
    model.step_time(&batch).as_us()
}
