//! `--compat` reaches the step-time model and the KV capacity, not only the cluster.

use blis_config::{Resolved, RunOptions, Surroundings, resolve};
use blis_latency::{Batch, Prefill};
use std::fs;
use std::path::PathBuf;

fn resolved(compat: Option<&str>, options: &RunOptions) -> Resolved {
    let options = RunOptions { compat: compat.map(str::to_owned), ..options.clone() };
    resolve::resolve(&options, &Surroundings::default()).expect("valid options")
}

/// L1: on two GPUs the reference fills the memory of both with blocks of one GPU's size. Both know of this GPU's memory only
/// what the vendor says.
#[test]
fn the_memory_of_a_group_is_filled_by_the_rule_asked_for() {
    let options = RunOptions {
        model: Some("qwen/qwen3-14b".to_owned()),
        hardware: Some("GB200".to_owned()),
        tp: Some(2),
        ..RunOptions::default()
    };
    let blocks = |compat| resolved(compat, &options).plan.instance.kv_blocks;
    let (corrected, reference) = (blocks(None), blocks(Some("inference-sim")));
    assert_eq!(reference / 2, corrected, "twice the memory for blocks of the same size");
}

/// Where the driver's figure is known, blocks are those that the engine's trial run leaves; the reference has no such run.
#[test]
fn a_trial_run_with_more_requests_leaves_fewer_blocks() {
    let blocks = |compat, seqs| {
        let options = RunOptions {
            model: Some("qwen/qwen3-14b".to_owned()),
            hardware: Some("H100".to_owned()),
            tp: Some(1),
            max_num_seqs: Some(seqs),
            ..RunOptions::default()
        };
        resolved(compat, &options).plan.instance.kv_blocks
    };
    assert!(blocks(None, 1024) < blocks(None, 128));
    assert_eq!(blocks(Some("inference-sim"), 1024), blocks(Some("inference-sim"), 128));
}

/// L11: the reference computes eight-bit integers at the FP8 rate.
#[test]
fn eight_bit_integers_are_computed_at_the_rate_asked_for() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("int8");
    fs::create_dir_all(&folder).expect("a folder for the test");
    let config = r#"{"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "vocab_size": 32000,
        "intermediate_size": 11008, "torch_dtype": "bfloat16", "max_position_embeddings": 8192,
        "quantization_config": {"bits": 8, "quant_method": "gptq"}}"#;
    fs::write(folder.join("config.json"), config).expect("a file for the test");
    let options = RunOptions {
        model: Some("acme/int8".to_owned()),
        model_config_folder: Some(folder),
        hardware: Some("H100".to_owned()),
        latency_model: Some("roofline".to_owned()),
        tp: Some(1),
        ..RunOptions::default()
    };
    let step_us = |compat| {
        let prefills = [Prefill { prompt_tokens: 4096, progress: 0, new_tokens: 4096 }];
        let batch = Batch { prefills: &prefills, ..Batch::default() };
        resolved(compat, &options).plan.latency.step_time(&batch).as_us() as f64
    };
    let ratio = step_us(None) / step_us(Some("inference-sim"));
    assert!((1.9..2.1).contains(&ratio), "the FP8 rate is twice the FP16 rate: {ratio}");
}
