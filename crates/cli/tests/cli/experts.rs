//! `--moe-backend`: which kernels run the experts.

use crate::support::{directory, refused, succeeded};
use serde_json::Value;
use std::fs;

/// A model of gpt-oss's shape, with a few layers.
fn mxfp4(folder: &str) -> String {
    let folder = directory(folder);
    let config = r#"{
        "model_type": "gpt_oss", "num_hidden_layers": 4, "hidden_size": 2880, "intermediate_size": 2880,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088,
        "num_local_experts": 128, "num_experts_per_tok": 4, "max_position_embeddings": 131072,
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
    }"#;
    fs::write(folder.join("config.json"), config).expect("a folder to write to");
    format!("run --model my/experts --tp 2 --model-config-folder {}", folder.display())
}

fn figure(words: &str, name: &str) -> f64 {
    let words = format!("{words} --rate 4 --num-requests 40 --seed 7 --format json");
    let shown: Value = serde_json::from_str(&succeeded(&words).stdout).expect("JSON");
    shown["cluster"][name]["mean"].as_f64().unwrap_or_else(|| panic!("mean {name} of {words}"))
}

#[test]
fn marlin_decodes_quicker_than_triton_on_hopper_and_reads_long_prompts_more_slowly() {
    let model = mxfp4("moe_backend_speed");
    let load = "--hardware H100 --prompt-tokens 8000 --prompt-tokens-stdev 0 --prompt-tokens-min 8000 \
                --prompt-tokens-max 8000";
    let of = |backend: &str, name: &str| figure(&format!("{model} {load} {backend}"), name);
    let (marlin, triton) = ("--moe-backend marlin", "--moe-backend triton");
    assert!(of(marlin, "itl_ms") < of(triton, "itl_ms"));
    assert!(of(marlin, "ttft_ms") > of(triton, "ttft_ms"));
}

#[test]
fn servers_of_vllm_run_marlin_and_those_of_sglang_triton_unless_told_otherwise() {
    let model = mxfp4("moe_backend_auto");
    let itl = |words: &str| figure(&format!("{model} --hardware H200 {words}"), "itl_ms");
    for vllm in ["", "--engine vllm-0.18.0"] {
        assert_eq!(itl(vllm), itl(&format!("{vllm} --moe-backend marlin")), "{vllm}");
        assert_eq!(itl(vllm), itl(&format!("{vllm} --moe-backend auto")), "{vllm}");
        assert!(itl(vllm) < itl(&format!("{vllm} --moe-backend triton")), "{vllm}");
    }
    assert_eq!(itl("--engine sglang"), itl("--engine sglang --moe-backend triton"));
    // On Blackwell both take what was measured there.
    let blackwell = format!("{model} --hardware B200");
    let sglang = format!("{blackwell} --engine sglang");
    let ratio = figure(&blackwell, "itl_ms") / figure(&sglang, "itl_ms");
    assert!((ratio - 1.0).abs() < 0.02, "{ratio}: only the batches differ");
}

#[test]
fn a_choice_without_such_kernels_is_refused() {
    let model = mxfp4("moe_backend_refused");
    let mixtral = "run --model mistralai/mixtral-8x7b-v0.1 --hardware H100 --tp 2 --moe-backend marlin";
    refused(
        mixtral,
        &["--moe-backend marlin: it chooses between kernels for experts of MXFP4", "are in bf16"],
    );
    refused(
        "run --model qwen/qwen3-14b --hardware H100 --tp 1 --moe-backend marlin",
        &["--moe-backend marlin", "qwen/qwen3-14b is dense"],
    );
    refused(
        &format!("{model} --hardware B200 --moe-backend triton"),
        &["--moe-backend triton: such kernels were not measured on B200", "leave it out"],
    );
    refused(
        &format!("{model} --hardware H100 --latency-model trained-physics --moe-backend triton"),
        &["--moe-backend triton needs --latency-model profiled"],
    );
    refused(
        &format!("{model} --hardware H100 --moe-backend cutlass"),
        &["--moe-backend is \"cutlass\", must be auto, marlin, triton"],
    );
}
