//! What must hold whatever the tables say.

use super::tables::tests::bytes;
use super::{Composition, KernelTables, KvFormat, ModelShape, Profiled, Tuning, WeightFormat};
use crate::architecture::{Deployment, GpuSpec};
use crate::model::{Batch, LatencyModel, Prefill};
use crate::pipeline::StageShare;
use crate::problem::InvalidModel;
use std::sync::Arc;

const SIZES: [u32; 4] = [1, 64, 1024, 16_384];

/// A GPU of 1 FLOP and 1 byte per picosecond.
fn gpu() -> GpuSpec {
    GpuSpec {
        name: "toy".into(),
        fp16_tflops: 1.0,
        fp8_tflops: 2.0,
        fp8_sparse_tflops: None,
        hbm_tb_per_s: 1.0,
        mfu_prefill: 1.0,
        mfu_decode: 1.0,
        memory_gib: None,
        link_gb_per_s: None,
    }
}

/// Operators that take so much per unit of work: GEMMs 1 ns per 1000 multiplications (at least 1 µs), attention 1 ns per
/// pair of tokens and head, experts 10 ns per token, transfers 1 ns per byte.
fn tables() -> KernelTables {
    let grid = |time: &dyn Fn(f64, f64, f64) -> f64| {
        let mut values = Vec::new();
        for n in SIZES {
            for k in SIZES {
                for m in SIZES {
                    values.push(time(f64::from(n), f64::from(k), f64::from(m)));
                }
            }
        }
        values
    };
    let plane = |time: &dyn Fn(f64, f64) -> f64| {
        SIZES
            .iter()
            .flat_map(|&a| SIZES.iter().map(move |&b| (f64::from(a), f64::from(b))))
            .map(|(a, b)| time(a, b))
            .collect::<Vec<f64>>()
    };
    let line = |time: &dyn Fn(f64) -> f64| SIZES.iter().map(|&a| time(f64::from(a))).collect::<Vec<f64>>();
    let axis = || SIZES.to_vec();
    let heads = |heads: u32, time: &dyn Fn(f64) -> Vec<f64>| {
        (format!("64/bfloat16/0/{heads}/{heads}"), time(f64::from(heads)))
    };
    KernelTables::from_bytes(&bytes(&[
        ("gemm", vec![axis(); 3], vec![("bfloat16".into(), grid(&|n, k, m| (n * k * m / 1e6).max(1.0)))]),
        (
            "context_attention",
            vec![axis()],
            [4, 8].map(|count| heads(count, &|h| line(&|q| (h * q * q / 2e3).max(1.0)))).into(),
        ),
        (
            "generation_attention",
            vec![axis(); 2],
            [4, 8].map(|count| heads(count, &|h| plane(&|b, c| (h * b * c / 1e3).max(1.0)))).into(),
        ),
        ("moe", vec![axis()], vec![("bfloat16/512/128/2/8/1/1".into(), line(&|t| (t / 100.0).max(1.0)))]),
        ("communication", vec![axis()], vec![("graph/2".into(), line(&|bytes| (bytes / 1e3).max(1.0)))]),
    ]))
    .expect("sound tables")
}

fn shape() -> ModelShape {
    ModelShape {
        layers: 2,
        hidden: 512,
        vocabulary: 1000,
        heads: 8,
        kv_heads: 8,
        head_dim: 64,
        dense_intermediate: 1024,
        gated_mlp: true,
        ..ModelShape::default()
    }
}

fn compose(
    shape: &ModelShape,
    tp: u32,
    tables: &KernelTables,
    tuning: &Tuning,
) -> Result<Composition, InvalidModel> {
    let deployment = Deployment::tensor_parallel(tp);
    Profiled::compose(shape, &gpu(), &deployment, KvFormat::Bf16, tables, &[0.0; 3], tuning)
}

fn composed(shape: &ModelShape, tp: u32) -> Composition {
    compose(shape, tp, &tables(), &Tuning::default()).expect("there are operators to take or to carry")
}

fn model(shape: &ModelShape, tp: u32) -> Arc<Profiled> {
    composed(shape, tp).model
}

fn prefill(new_tokens: u64, progress: u64) -> Prefill {
    Prefill { prompt_tokens: new_tokens + progress, progress, new_tokens }
}

fn step_us(model: &Profiled, prefills: &[Prefill], decodes: u64, decode_context_tokens: u64) -> i64 {
    model.step_time(&Batch { prefills, decodes, decode_context_tokens, ..Batch::default() }).as_us()
}

#[test]
fn a_step_takes_longer_the_more_is_in_it() {
    let model = model(&shape(), 1);
    let mut last = 0;
    for decodes in [1, 8, 64, 512, 1024] {
        let us = step_us(&model, &[], decodes, decodes * 2048);
        assert!(us > last, "{decodes} decodes: {us} after {last}");
        last = us;
    }
    let chunk = |new, past| step_us(&model, &[prefill(new, past)], 0, 0);
    assert!(chunk(2048, 0) > chunk(1024, 0));
    assert!(chunk(1024, 8192) > chunk(1024, 1024) && chunk(1024, 1024) > chunk(1024, 0));
    assert!(step_us(&model, &[prefill(1024, 0)], 8, 8000) > chunk(1024, 0));
}

#[test]
fn the_chunks_of_a_prompt_see_every_pair_of_tokens_once() {
    let model = model(&shape(), 1);
    let pieces: f64 = (0..4).map(|i| model.context.at_whole(4096, i * 4096)).sum();
    let whole = model.context.at_whole(16_384, 0);
    assert!((pieces / whole - 1.0).abs() < 0.02, "{pieces} in pieces, {whole} at once");
}

#[test]
fn stages_share_the_layers_and_only_the_last_one_samples() {
    let whole = model(&shape(), 1);
    let stage = |is_last| whole.stage(StageShare { of_layers: 0.5, is_last });
    let us = |model: &Profiled| step_us(model, &[prefill(300, 0)], 20, 4000);
    let sum = us(&stage(false)) + us(&stage(true));
    assert!((us(&whole) - sum).abs() <= 2, "{} whole, {sum} in two stages", us(&whole));
    assert!(us(&stage(true)) > us(&stage(false)));
}

#[test]
fn more_gpus_are_quicker_and_pay_for_their_sums() {
    let parts = |tp| {
        let deployment = Deployment::tensor_parallel(tp);
        Profiled::parts(&shape(), &gpu(), &deployment, &tables(), 4096.0).expect("measured")
    };
    let part =
        |tp, wanted: &str| parts(tp).into_iter().find(|(name, _)| *name == wanted).map_or(0.0, |(_, us)| us);
    assert!(part(2, "dense MLP") < part(1, "dense MLP"));
    assert_eq!(part(1, "all-reduce"), 0.0);
    // Two sums per layer over 4096 tokens of 512 values of 2 bytes at 1 ns per byte.
    let sums = part(2, "all-reduce");
    assert!((sums / (4.0 * (4096.0 * 1024.0 / 1e3 + super::SKEW_US)) - 1.0).abs() < 0.01, "{sums}");
}

#[test]
fn heads_are_as_good_as_requests() {
    // Eight KV heads were measured, sixteen were not: twice the requests take their time.
    let sixteen = ModelShape { heads: 16, kv_heads: 16, ..shape() };
    let (of_16, of_8) = (composed(&sixteen, 1), composed(&shape(), 1));
    assert!(of_16.carried.is_empty() || of_16.carried.iter().all(|(what, _)| what.starts_with("context")));
    let us = |model: &Profiled, batch| model.generation.in_row(model.generation.row(batch), 1024.0);
    let (a, b) = (us(&of_16.model, 32.0), us(&of_8.model, 64.0));
    assert!((a / b - 1.0).abs() < 0.01, "{a} and {b}");
}

#[test]
fn what_was_not_measured_is_named_with_how_far_it_was_carried() {
    let quantised = ModelShape {
        attention_weights: WeightFormat::Int4,
        dense_weights: WeightFormat::Int4,
        head_dim: 128,
        ..shape()
    };
    let composed = composed(&quantised, 1);
    let names: Vec<&str> = composed.carried.iter().map(|(what, _)| what.as_str()).collect();
    assert!(names.contains(&"int4 GEMM from bf16"), "{names:?}");
    assert!(names.contains(&"generation attention of 8 query and 8 KV heads of 128"), "{names:?}");
    assert!(composed.carried.iter().all(|(_, ratio)| ratio.is_finite() && *ratio >= 1.0));
    // A quarter of the bytes: never slower than 16-bit weights.
    let (int4, bf16) = (&composed.model, model(&ModelShape { head_dim: 128, ..shape() }, 1));
    assert!(step_us(int4, &[], 4, 4000) <= step_us(&bf16, &[], 4, 4000));
}

#[test]
fn an_operator_that_no_table_has_is_an_error() {
    let nothing = KernelTables::from_bytes(&bytes(&[])).expect("sound, but empty");
    let invalid = compose(&shape(), 2, &nothing, &Tuning::default());
    let invalid = invalid.expect_err("nothing was measured").to_string();
    assert_eq!(
        invalid,
        "invalid profiled model: GEMM was not measured on toy; attention was not measured on toy; \
         communication was not measured on toy"
    );
}

#[test]
fn experts_of_another_shape_go_by_their_work() {
    let mixture = |experts, expert_intermediate| ModelShape {
        moe_layers: 2,
        experts,
        experts_per_token: 2,
        expert_intermediate,
        ..shape()
    };
    let routed = |shape: &ModelShape| {
        let deployment = Deployment::tensor_parallel(1);
        let parts = Profiled::parts(shape, &gpu(), &deployment, &tables(), 16_384.0).expect("measured");
        parts.into_iter().find(|(name, _)| *name == "experts").map_or(0.0, |(_, us)| us)
    };
    let (measured, twice) = (routed(&mixture(8, 128)), routed(&mixture(8, 256)));
    assert!((measured / (2.0 * 163.84) - 1.0).abs() < 0.01, "{measured}");
    assert!((twice / measured - 2.0).abs() < 0.2, "{twice} against {measured}");
}

#[test]
fn tuning_multiplies_what_was_measured_and_adds_to_steps() {
    let step = |tuning: Tuning| {
        let prefills = [Prefill { prompt_tokens: 512, progress: 0, new_tokens: 512 }];
        let contexts = vec![64; 8];
        let batch = Batch {
            prefills: &prefills,
            decodes: 8,
            decode_context_tokens: 8 * 64,
            decode_contexts: &contexts,
            ..Batch::default()
        };
        let composed = compose(&shape(), 2, &tables(), &tuning).expect("measured");
        composed.model.step_time(&batch).as_us()
    };
    let plain = Tuning::default();
    assert_eq!(step(Tuning { us_per_step: 25.0, ..plain }), step(plain) + 25);
    for slower in [
        Tuning { gemm: 1.5, ..plain },
        Tuning { context_attention: 1.5, ..plain },
        Tuning { generation_attention: 1.5, ..plain },
        Tuning { communication: 1.5, ..plain },
        Tuning { skew_us: 20.0, ..plain },
        Tuning { small_kernel_us: 20.0, ..plain },
    ] {
        assert!(step(slower) > step(plain), "{slower:?}");
    }
    assert_eq!(step(Tuning { experts: 1.5, ..plain }), step(plain), "there are none");
    let wrong = Tuning { gemm: -1.0, small_kernel_bandwidth: 0.0, ..plain };
    let refused = compose(&shape(), 1, &tables(), &wrong).expect_err("negative");
    assert_eq!(refused.problems.len(), 2, "{refused}");
}

#[test]
fn gpus_wait_for_each_other_longer_where_no_graph_runs() {
    let waits_us = |tp: u32, tokens: u64| {
        let step = |eager_skew_us: f64| {
            let tuning = Tuning { eager_skew_us, ..Tuning::default() };
            let composed = compose(&shape(), tp, &tables(), &tuning).expect("measured");
            step_us(&composed.model, &[prefill(tokens, 0)], 0, 0)
        };
        step(1000.0) - step(0.0)
    };
    assert_eq!(waits_us(2, 512), 0, "the largest graph");
    assert_eq!(waits_us(1, 4096), 0, "nobody to wait for");
    // Two sums in each of two layers.
    assert!((waits_us(2, 513) - 4000).abs() <= 1);
    assert!((waits_us(2, 4096) - 4000).abs() <= 1, "whatever the tokens");
}

/// A model with experts on so many ranks.
fn of_ranks(dp: u32) -> Arc<Profiled> {
    let shape =
        ModelShape { moe_layers: 2, experts: 8, experts_per_token: 2, expert_intermediate: 128, ..shape() };
    let deployment = Deployment { dp, ..Deployment::tensor_parallel(1) };
    Profiled::compose(&shape, &gpu(), &deployment, KvFormat::Bf16, &tables(), &[0.0; 3], &Tuning::default())
        .expect("every operator was measured")
        .model
}

fn decoding(decodes: u64, context: u64) -> Batch<'static> {
    Batch { decodes, decode_context_tokens: decodes * context, ..Batch::default() }
}

#[test]
fn ranks_that_are_alike_take_what_an_even_division_does() {
    let model = of_ranks(2);
    for (decodes, new_tokens) in [(8, 0), (100, 0), (700, 0), (8, 300), (100, 3000)] {
        let prefills = [prefill(new_tokens, 0); 2];
        let of = |ranks: usize| if new_tokens > 0 { &prefills[..ranks] } else { &[] };
        let rank = Batch { prefills: of(1), ..decoding(decodes, 1000) };
        let all = Batch { prefills: of(2), ..decoding(2 * decodes, 1000) };
        let (apart, together) = (model.step_time_of_ranks(&[rank, rank]), model.step_time(&all));
        let ratio = apart.as_us() as f64 / together.as_us() as f64;
        assert!(
            (ratio - 1.0).abs() < 0.02,
            "{decodes} decodes, {new_tokens} tokens: {apart:?} and {together:?}"
        );
    }
}

#[test]
fn the_slowest_rank_is_waited_for() {
    let model = of_ranks(2);
    let step = |ranks: &[Batch<'_>]| model.step_time_of_ranks(ranks).as_us();
    let (long, short) = (decoding(64, 8000), decoding(64, 1000));
    assert_eq!(step(&[long, short]), step(&[long, long]), "attention of the rank with long contexts");
    assert_eq!(step(&[long, short]), step(&[short, long]));
    assert!(step(&[long, short]) > step(&[short, short]));
    let prefills = [prefill(4096, 0)];
    let prompt = Batch { prefills: &prefills, ..Batch::default() };
    let both = [prefill(4096, 0); 2];
    let together = Batch { prefills: &both, ..Batch::default() };
    assert!(
        step(&[prompt, Batch::default()]) > model.step_time(&prompt).as_us(),
        "nobody takes a half of it"
    );
    assert!(step(&[prompt, Batch::default()]) < step(&[prompt, prompt]), "experts have fewer tokens");
    assert!(step(&[prompt, prompt]) < step(&[together, Batch::default()]));
}

#[test]
fn all_ranks_run_the_graph_of_the_one_with_most_tokens_and_nothing_larger() {
    let model = of_ranks(4);
    let step = |decodes: [u64; 4]| {
        let batch = |decodes: u64| if decodes == 0 { Batch::default() } else { decoding(decodes, 100) };
        model.step_time_of_ranks(&decodes.map(batch)).as_us()
    };
    assert_eq!(step([64, 0, 0, 0]), step([64, 64, 64, 64]));
    assert!(step([513, 0, 0, 0]) < step([513, 513, 513, 513]), "there is no graph for so many");
    assert_eq!(step([0; 4]), 1);
}
