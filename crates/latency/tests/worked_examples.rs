//! The documented examples, and the two corrections, on the batches that the documentation uses.

mod common;

use blis_latency::kv_capacity::{
    KvCapacity, KvCapacityError, KvCapacityInputs, TensorParallelMemory, kv_blocks,
};
use blis_latency::{
    Blackbox, Coefficients, Deployment, Fp8Rule, GpuSpec, LatencyModel, ModelArchitecture, MoeComm, Roofline,
    TrainedPhysics,
};
use common::{Scheduled, gpu, model, step_us};

const PROMPT_OF_512: [Scheduled; 1] = [(512, 128, 0, 512)];
const DECODE_AT_600: [Scheduled; 1] = [(512, 128, 600, 1)];

/// A chunk of 1500 tokens of a long prompt beside twenty decodes.
fn mixed() -> Vec<Scheduled> {
    let decodes = (0..20).map(|i| (256, 300, 256 + 11 * i, 1));
    std::iter::once((3000, 10, 500, 1500)).chain(decodes).collect()
}

fn default_coefficients() -> Coefficients {
    Coefficients {
        alpha: vec![15563.199579, 777.3455, 45.907545],
        beta: vec![
            0.152128,
            0.0,
            1.36252915,
            0.752037,
            32.09546717,
            4.41684444,
            126.024825,
            481.8613888,
            0.0,
            1.94710771,
            0.752037,
        ],
    }
}

fn trained_physics(name: &str, deployment: &Deployment) -> TrainedPhysics {
    let rule = Fp8Rule::AnyOneByteWeight;
    TrainedPhysics::new(&model(name), &gpu("H100"), deployment, &default_coefficients(), rule)
        .expect("a sound model")
}

fn roofline_on(gpu: &GpuSpec, model: &ModelArchitecture, tp: u32, rule: Fp8Rule) -> Roofline {
    Roofline::new(model, gpu, tp, &[0.0; 3], rule).expect("a sound model")
}

#[test]
fn trained_physics_examples() {
    let tp = Deployment::tensor_parallel;
    let llama = trained_physics("llama-3.1-8b-instruct", &tp(1));
    assert_eq!(step_us(&llama, &PROMPT_OF_512), 7965);
    assert_eq!(step_us(&llama, &DECODE_AT_600), 6880);
    assert_eq!(step_us(&trained_physics("llama-3.1-8b-instruct", &tp(2)), &mixed()), 6375);
    let two_ranks = Deployment { dp: 2, moe_comm: MoeComm::Pplx, ..tp(2) };
    assert_eq!(step_us(&trained_physics("mixtral-8x7b-v0.1", &two_ranks), &mixed()), 12847);
    assert_eq!(step_us(&trained_physics("mixtral-8x7b-v0.1", &tp(2)), &PROMPT_OF_512), 21114);
    let scout = trained_physics("llama-4-scout-17b-16e-instruct-fp8-dynamic", &tp(2));
    assert_eq!(step_us(&scout, &PROMPT_OF_512), 25507);
}

#[test]
fn expert_parallelism_does_not_change_step_times() {
    let ranks = Deployment { dp: 4, ..Deployment::tensor_parallel(2) };
    let spread = Deployment { expert_parallel: true, ..ranks };
    let steps =
        [ranks, spread].map(|layout| step_us(&trained_physics("mixtral-8x7b-v0.1", &layout), &mixed()));
    assert_eq!(steps[0], steps[1]);
}

#[test]
fn roofline_examples() {
    let rule = Fp8Rule::AnyOneByteWeight;
    let llama = roofline_on(&gpu("H100"), &model("llama-3.1-8b-instruct"), 1, rule);
    assert_eq!(step_us(&llama, &PROMPT_OF_512), 11884);
    assert_eq!(step_us(&llama, &DECODE_AT_600), 3068);
    let mixtral = roofline_on(&gpu("H100"), &model("mixtral-8x7b-v0.1"), 2, rule);
    assert_eq!(step_us(&mixtral, &DECODE_AT_600), 2656);
}

#[test]
fn blackbox_example() {
    let coefficients = Coefficients {
        alpha: vec![10326.268121600151, 0.0, 0.0],
        beta: vec![6472.007648778123, 19.79721387814611, 304.4021040302657],
    };
    let llama = Blackbox::new(&coefficients).expect("sound coefficients");
    assert_eq!(step_us(&llama, &PROMPT_OF_512), 16608);
    assert_eq!(llama.overheads().queueing_time(512).as_us(), 10326);
}

#[test]
fn fp8_weights_only_rule_slows_the_l40s_to_its_dense_rate_and_integers_to_fp16() {
    let scout = model("llama-4-scout-17b-16e-instruct-fp8-dynamic");
    let int8 = ModelArchitecture { fp8_weights: false, ..scout.clone() };
    let prefill_us = |model: &ModelArchitecture, rule| {
        step_us(&roofline_on(&gpu("L40S"), model, 4, rule), &[(4096, 64, 0, 4096)]) as f64
    };
    let reference = prefill_us(&scout, Fp8Rule::AnyOneByteWeight);
    assert!((prefill_us(&scout, Fp8Rule::Fp8WeightsOnly) / reference - 1466.0 / 733.0).abs() < 1e-4);
    assert!((prefill_us(&int8, Fp8Rule::Fp8WeightsOnly) / reference - 1466.0 / 362.05).abs() < 1e-4);
    assert_eq!(prefill_us(&int8, Fp8Rule::AnyOneByteWeight), reference);
}

#[test]
fn problems_are_reported_together_with_list_index_and_value() {
    let coefficients =
        Coefficients { alpha: vec![1.0, f64::NAN], beta: vec![0.0, 0.0, 0.0, -2.0, f64::INFINITY] };
    let layout = Deployment { dp: 2, ..Deployment::tensor_parallel(5) };
    let rule = Fp8Rule::Fp8WeightsOnly;
    let model = model("llama-3.1-8b-instruct");
    let error = TrainedPhysics::new(&model, &gpu("H100"), &layout, &coefficients, rule).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid trained-physics model: alpha has 2 coefficients, needs at least 3; \
         alpha[1] is NaN, must be finite and non-negative; \
         beta has 5 coefficients, needs at least 7; \
         beta[3] is -2, must be finite and non-negative; \
         beta[4] is Inf, must be finite and non-negative; \
         attention heads is 32, must be divisible by TP 5; \
         KV heads is 8, must be divisible by TP 5; \
         DP is 2, must be 1 for a dense model (add instances instead)"
    );
    let nothing = ModelArchitecture::default();
    let error = Roofline::new(&nothing, &gpu("H100"), 0, &[0.0; 3], rule).unwrap_err();
    assert_eq!(error.problems.len(), 5, "{error}");
}

fn on_h100s(tp: u32) -> KvCapacityInputs {
    KvCapacityInputs {
        gpu_memory_gib: 80.0,
        tp,
        pp: 1,
        dp: 1,
        block_tokens: 16,
        gpu_memory_utilization: 0.9,
        adapter_reserved_bytes: 0,
    }
}

fn blocks(name: &str, tp: u32, rule: TensorParallelMemory) -> KvCapacity {
    kv_blocks(&model(name), &on_h100s(tp), rule).expect("a model that fits")
}

#[test]
fn kv_capacity_examples() {
    let llama = blocks("llama-3.1-8b-instruct", 1, TensorParallelMemory::WholeGroup);
    assert_eq!((llama.blocks, llama.block_bytes), (26312, 2_097_152));
    assert!((llama.memory.weights_gib - 14.957).abs() < 1e-3, "{llama:?}");
    assert!((llama.memory.overhead_gib() - 20.607).abs() < 1e-3, "{llama:?}");
    assert_eq!(llama.memory.available_gib, 72.0);
    assert_eq!(blocks("llama-3.1-8b-instruct", 2, TensorParallelMemory::WholeGroup).blocks, 125_278);
    assert_eq!(blocks("deepseek-v2-lite", 1, TensorParallelMemory::WholeGroup).blocks, 74312);
}

#[test]
fn blocks_per_gpu_come_within_four_percent_of_what_servers_report() {
    for (name, tp, measured) in [
        ("mistral-nemo-instruct-2407", 2, 48_009.0),
        ("yi-34b", 2, 20_793.0),
        ("llama-3.1-70b-instruct", 4, 30_251.0),
    ] {
        let ours = blocks(name, tp, TensorParallelMemory::PerGpu).blocks as f64;
        assert!((ours / measured - 1.0).abs() < 0.04, "{name}: {ours} against {measured}");
    }
    let rules = [TensorParallelMemory::PerGpu, TensorParallelMemory::WholeGroup];
    let [per_gpu, group] = rules.map(|rule| blocks("qwen3-14b", 1, rule));
    assert_eq!(per_gpu, group, "one GPU is its own group");
}

#[test]
fn the_fullest_stage_says_how_many_blocks_there_are() {
    let llama = model("llama-3.1-8b-instruct");
    let of = |pp| {
        let inputs = KvCapacityInputs { pp, ..on_h100s(1) };
        kv_blocks(&llama, &inputs, TensorParallelMemory::PerGpu).expect("a model that fits")
    };
    let whole = of(1);
    let two = of(2);
    // 32 layers: 16 on each of two stages, beside an embedding here and an output layer there; the last stage has the
    // final norm besides, 4096 weights. A layer: 4096·(4096 + 2·1024) + 4096² + 2·4096 + 3·4096·14336 weights.
    assert_eq!(two.block_bytes * 2, whole.block_bytes);
    let weights =
        16_u64 * (4096 * (4096 + 2048) + 4096 * 4096 + 8192 + 3 * 4096 * 14336) + 128_256 * 4096 + 4096;
    let bytes = 80.0 * 0.9 * GIB - weights as f64 * 2.0 - (5.5 + 0.6) * GIB;
    assert_eq!(two.blocks, (bytes / two.block_bytes as f64) as u64);
    // Of 33 layers the first of two stages has one more, and its layers fill it.
    let longer = ModelArchitecture { layers: 33, ..llama.clone() };
    let inputs = KvCapacityInputs { pp: 2, ..on_h100s(1) };
    let uneven = kv_blocks(&longer, &inputs, TensorParallelMemory::PerGpu).expect("a model that fits");
    assert_eq!(uneven.block_bytes, whole.block_bytes * 17 / 32);
    // A tied embedding lies on the first stage and, once more, on the last.
    let tied = ModelArchitecture { tied_embeddings: true, ..llama };
    assert_eq!(kv_blocks(&tied, &inputs, TensorParallelMemory::PerGpu).map(|own| own.blocks), Ok(two.blocks));
    let refusal =
        kv_blocks(&tied, &KvCapacityInputs { pp: 33, ..inputs }, TensorParallelMemory::PerGpu).unwrap_err();
    assert_eq!(refusal.to_string(), "PP is 33, must be at most the number of layers");
}

const GIB: f64 = (1_u64 << 30) as f64;

#[test]
fn a_refusal_says_where_the_memory_went() {
    let refuse = |model: &ModelArchitecture, inputs: &KvCapacityInputs| {
        kv_blocks(model, inputs, TensorParallelMemory::PerGpu).unwrap_err()
    };
    let large = model("llama-3.1-70b-instruct");
    assert_eq!(
        refuse(&large, &on_h100s(1)).to_string(),
        "no memory is left for the KV cache: 72.00 GiB are available, weights take 131.42 GiB, activations 5.50 GiB, \
         runtime 0.15 GiB, adapters 0.00 GiB; at least 2 GPUs are needed"
    );
    let tiny = KvCapacityInputs { gpu_memory_gib: 0.5, ..on_h100s(2) };
    assert!(matches!(refuse(&large, &tiny), KvCapacityError::GpuTooSmall { .. }));
    let over = KvCapacityInputs { gpu_memory_utilization: 1.5, ..on_h100s(1) };
    assert_eq!(
        refuse(&large, &over).to_string(),
        "GPU memory utilization is 1.5, must be above 0 and at most 1"
    );
    let ungated = ModelArchitecture { activation: "relu".into(), ..large.clone() };
    assert!(matches!(refuse(&ungated, &on_h100s(4)), KvCapacityError::Activation { .. }));
    let uncounted = ModelArchitecture { experts_per_token: 2, ..large.clone() };
    assert_eq!(refuse(&uncounted, &on_h100s(4)), KvCapacityError::ExpertCountUnknown);
    let u = u32::MAX;
    let absurd = ModelArchitecture { layers: u, experts: u, experts_per_token: 1, intermediate: u, ..large };
    assert_eq!(refuse(&absurd, &on_h100s(4)), KvCapacityError::TooLarge);
}
