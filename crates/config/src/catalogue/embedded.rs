//! The tables inside the program. Nothing is parsed before it is asked for.

use super::{BlackboxRow, LegacyDeployment, ModelEntry, OffloadDevice, Preset};
use crate::catalogue::LoraDefaults;
use crate::model_config::ModelConfig;
use crate::model_shape;
use blis_latency::context_length::{PositionEmbedding, RopeScaling};
use blis_latency::{Coefficients, GpuSpec, ModelArchitecture};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

const ARCHITECTURES: &str = include_str!("../../data/architectures.csv");
const BLACKBOX: &str = include_str!("../../data/blackbox.csv");
const BLACKBOX_OLDER: &str = include_str!("../../data/blackbox-older.csv");
const COEFFICIENTS: &str = include_str!("../../data/coefficients.json");
const GPUS: &str = include_str!("../../data/gpus.csv");
const MODELS: &str = include_str!("../../data/models.csv");
const PRESETS: &str = include_str!("../../data/presets.csv");

/// The rows of a table, in its order. The tables are our own, so a bad row is a bug.
fn rows<T: DeserializeOwned>(table: &'static str) -> impl Iterator<Item = T> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(table.as_bytes())
        .into_deserialize()
        .map(|row| row.unwrap_or_else(|error| panic!("embedded table: {error}")))
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
    usable_gib: Option<f64>,
    link_gb_per_s: f64,
}

/// What the driver reports of a GPU's memory, GiB, where that is known.
pub(super) fn usable_gib(name: &str) -> Option<f64> {
    rows(GPUS).find(|row: &GpuRow| row.name == name)?.usable_gib
}

pub(super) fn gpus() -> impl Iterator<Item = GpuSpec> {
    rows(GPUS).map(|row: GpuRow| GpuSpec {
        name: row.name,
        fp16_tflops: row.fp16_tflops,
        fp8_tflops: row.fp8_tflops,
        fp8_sparse_tflops: row.fp8_sparse_tflops,
        hbm_tb_per_s: row.hbm_tb_per_s,
        mfu_prefill: row.mfu_prefill,
        mfu_decode: row.mfu_decode,
        memory_gib: Some(row.memory_gib),
        link_gb_per_s: Some(row.link_gb_per_s),
    })
}

#[derive(Deserialize)]
struct ModelRow {
    model: String,
    hub_repository: Option<String>,
    gpu: String,
    tp: u32,
    legacy_gpu: String,
    legacy_tp: u32,
    legacy_server_version: String,
}

/// Entries by model name, in the table's order.
pub(super) fn models() -> impl Iterator<Item = (String, ModelEntry)> {
    rows(MODELS).map(|row: ModelRow| {
        let legacy = LegacyDeployment {
            gpu: row.legacy_gpu,
            tp: row.legacy_tp,
            server_version: row.legacy_server_version,
        };
        let entry = ModelEntry {
            hub_repository: row.hub_repository,
            gpu: Some(row.gpu),
            tp: Some(row.tp),
            legacy: Some(legacy),
        };
        (row.model, entry)
    })
}

#[derive(Deserialize)]
struct ArchitectureRow {
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

/// Configurations by the last part of the model name, in the table's order.
pub(super) fn model_configs() -> impl Iterator<Item = (String, ModelConfig)> {
    rows(ARCHITECTURES).map(|row: ArchitectureRow| {
        let architecture = ModelArchitecture {
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
        };
        let rope_scaling = row.rope_factor.map(|factor| RopeScaling {
            kind: row.rope_kind,
            factor,
            original_max_positions: row.rope_original_max_positions.unwrap_or(0),
        });
        let positions =
            PositionEmbedding { max_positions: row.max_positions, model_type: row.model_type, rope_scaling };
        let shape = model_shape::of_architecture(&architecture, &positions.model_type);
        (row.name, ModelConfig { architecture, shape, positions, has_sparse_attention: false })
    })
}

#[derive(Deserialize)]
struct PresetRow {
    preset: String,
    prefix_tokens: u64,
    prompt_tokens: u64,
    prompt_tokens_stdev: u64,
    prompt_tokens_min: u64,
    prompt_tokens_max: u64,
    output_tokens: u64,
    output_tokens_stdev: u64,
    output_tokens_min: u64,
    output_tokens_max: u64,
}

pub(super) fn presets() -> impl Iterator<Item = (String, Preset)> {
    rows(PRESETS).map(|row: PresetRow| {
        let preset = Preset {
            prefix_tokens: row.prefix_tokens,
            prompt_tokens: row.prompt_tokens,
            prompt_tokens_stdev: row.prompt_tokens_stdev,
            prompt_tokens_min: row.prompt_tokens_min,
            prompt_tokens_max: row.prompt_tokens_max,
            output_tokens: row.output_tokens,
            output_tokens_stdev: row.output_tokens_stdev,
            output_tokens_min: row.output_tokens_min,
            output_tokens_max: row.output_tokens_max,
        };
        (row.preset, preset)
    })
}

#[derive(Deserialize)]
struct BlackboxCsvRow {
    model: String,
    gpu: String,
    tp: u32,
    server_version: String,
    alpha0: f64,
    alpha1: f64,
    alpha2: f64,
    beta0: f64,
    beta1: f64,
    beta2: f64,
    total_kv_blocks: u64,
}

/// Current rows, then those of earlier releases, newest first.
pub(super) fn blackbox() -> impl Iterator<Item = BlackboxRow> {
    rows(BLACKBOX).chain(rows(BLACKBOX_OLDER)).map(|row: BlackboxCsvRow| BlackboxRow {
        model: row.model,
        gpu: row.gpu,
        tp: row.tp,
        server_version: row.server_version,
        coefficients: Coefficients {
            alpha: vec![row.alpha0, row.alpha1, row.alpha2],
            beta: vec![row.beta0, row.beta1, row.beta2],
        },
        total_kv_blocks: Some(row.total_kv_blocks),
    })
}

/// Figures that belong to no model.
#[derive(Deserialize)]
pub(super) struct Global {
    pub(super) trained_physics: Lists,
    pub(super) crossmodel: Lists,
    pub(super) trained_roofline: Lists,
    pub(super) lora: LoraDefaults,
    pub(super) kv_offload_devices: BTreeMap<String, OffloadDevice>,
}

/// Coefficients as the file holds them.
#[derive(Deserialize)]
pub(super) struct Lists {
    alpha: Vec<f64>,
    beta: Vec<f64>,
}

impl From<Lists> for Coefficients {
    fn from(lists: Lists) -> Self {
        Self { alpha: lists.alpha, beta: lists.beta }
    }
}

pub(super) fn global() -> Global {
    serde_json::from_str(COEFFICIENTS).unwrap_or_else(|error| panic!("embedded coefficients: {error}"))
}
