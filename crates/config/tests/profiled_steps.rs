//! The profiled step times against recorded forward passes of a vLLM server, where the recordings lie beside the checkout.
//!
//! Nothing of the model is fitted to these recordings.

use blis_config::catalogue::Catalogue;
use blis_config::model_config::from_json;
use blis_latency::profiled::{KvFormat, Profiled, Tuning};
use blis_latency::{Batch, Deployment, LatencyModel, Prefill};
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

#[derive(Deserialize)]
struct Pass {
    run: String,
    phase: String,
    workload_segment: String,
    sum_prefill_tokens: u64,
    num_prefill_requests: u64,
    sum_prefill_kv_tokens: u64,
    num_decode_requests: u64,
    sum_decode_kv_tokens: u64,
    latency_ms: f64,
}

const QWEN3_32B: &str = r#"{"model_type": "qwen3", "num_hidden_layers": 64, "hidden_size": 5120,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 25600,
    "vocab_size": 151936, "torch_dtype": "bfloat16", "hidden_act": "silu"}"#;
const QWEN3_6_35B: &str = r#"{"model_type": "qwen3_5_moe_text", "num_hidden_layers": 40, "hidden_size": 2048,
    "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "attn_output_gate": true,
    "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "num_experts": 256, "num_experts_per_tok": 8,
    "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "vocab_size": 248320,
    "torch_dtype": "bfloat16", "hidden_act": "silu"}"#;

/// Runs of the recording with model, TP, DP and whether experts are spread.
const RUNS: [(&str, &str, u32, u32, bool); 16] = [
    ("r04", QWEN3_6_35B, 1, 2, true),
    ("r05", QWEN3_6_35B, 1, 4, true),
    ("r06", QWEN3_6_35B, 1, 8, true),
    ("r07", QWEN3_6_35B, 2, 2, true),
    ("r08", QWEN3_6_35B, 2, 4, true),
    ("r09", QWEN3_6_35B, 4, 2, true),
    ("r10", QWEN3_32B, 1, 1, false),
    ("r11", QWEN3_32B, 2, 1, false),
    ("r12", QWEN3_32B, 4, 1, false),
    ("r13", QWEN3_32B, 8, 1, false),
    ("r14", QWEN3_6_35B, 1, 1, false),
    ("r15", QWEN3_6_35B, 2, 1, false),
    ("r16", QWEN3_6_35B, 2, 1, true),
    ("r17", QWEN3_6_35B, 4, 1, false),
    ("r18", QWEN3_6_35B, 4, 1, true),
    ("r19", QWEN3_6_35B, 8, 1, true),
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are what this is for")]
fn recorded_forward_passes_are_met() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/steps/fpm-forward-passes.csv.gz");
    let Ok(file) = File::open(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let catalogue = Catalogue::embedded();
    let gpu = catalogue.gpu("B300").expect("it is built in");
    let tables = catalogue.kernel_tables("B300").expect("it was measured");
    let mut models = BTreeMap::new();
    for (run, config, tp, dp, expert_parallel) in RUNS {
        let shape = from_json(config, "config.json", "").expect("a sound configuration").shape;
        let deployment = Deployment { dp, expert_parallel, ..Deployment::tensor_parallel(tp) };
        match Profiled::compose(
            &shape,
            &gpu,
            &deployment,
            KvFormat::Bf16,
            &tables,
            &[0.0; 3],
            &Tuning::default(),
        ) {
            Ok(composed) => {
                eprintln!("{run}: carried {:?}", composed.carried);
                models.insert(run, (composed.model, dp));
            }
            Err(invalid) => eprintln!("{run}: {invalid}"),
        }
    }
    let mut errors: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for pass in csv::Reader::from_reader(GzDecoder::new(file)).into_deserialize::<Pass>() {
        let pass = pass.expect("the recording is sound");
        let Some((model, dp)) = models.get(pass.run.as_str()) else { continue };
        // A recording is of one rank; the others are taken to be alike.
        let ranks = u64::from(*dp);
        let chunks = pass.num_prefill_requests * ranks;
        let chunk = |tokens: u64| tokens.checked_div(pass.num_prefill_requests).unwrap_or(0);
        let (new_tokens, progress) = (chunk(pass.sum_prefill_tokens), chunk(pass.sum_prefill_kv_tokens));
        let prefills =
            vec![Prefill { prompt_tokens: new_tokens + progress, progress, new_tokens }; chunks as usize];
        let batch = Batch {
            prefills: &prefills,
            decodes: pass.num_decode_requests * ranks,
            decode_context_tokens: pass.sum_decode_kv_tokens * ranks,
            ..Batch::default()
        };
        let error = model.step_time(&batch).as_us() as f64 / (pass.latency_ms * 1e3) - 1.0;
        let kinds = [pass.workload_segment.clone(), format!("{} {}", pass.workload_segment, pass.phase)];
        for kind in kinds {
            errors.entry((pass.run.clone(), kind)).or_default().push(error);
        }
    }
    let mut medians = BTreeMap::new();
    for ((run, kind), errors) in errors {
        let size = median(errors.iter().map(|error| error.abs()).collect());
        eprintln!(
            "{run} {kind}: {} passes, median error {:.1} %, bias {:+.1} %",
            errors.len(),
            size * 100.0,
            median(errors) * 100.0
        );
        medians.insert((run, kind), size);
    }
    let sweep = |run: &str| medians[&(run.to_owned(), "sweep".to_owned())];
    for run in ["r10", "r11", "r12", "r13"] {
        assert!(sweep(run) < 0.12, "{run}: {}", sweep(run));
    }
}
