//! What must hold for any batch.

mod common;

use blis_latency::{
    Batch, Coefficients, Deployment, Fp8Rule, GpuSpec, LatencyModel, ModelArchitecture, Pipeline, Prefill,
    TrainedPhysics,
};
use common::{gpu, model};
use proptest::prelude::*;
use std::sync::Arc;

/// The formula of trained-physics, letter by letter and with nothing worked out beforehand.
fn as_written(
    m: &ModelArchitecture,
    gpu: &GpuSpec,
    layout: &Deployment,
    beta: &[f64],
    prefills: &[Prefill],
    contexts: &[u64],
) -> i64 {
    let real = f64::from;
    let (moe, dense) = m.layer_split();
    let (moe, dense) = (real(moe), real(dense));
    let (lay, d, tp, dp) = (real(m.layers), real(m.hidden), real(layout.tp), real(layout.dp));
    let dh = real(m.hidden / m.heads);
    let dkv = real(m.effective_kv_heads()) * dh;
    let kk = real(m.experts_per_token.max(1));
    let (fe, fs) = (real(m.effective_expert_intermediate()), real(m.shared_expert_intermediate));
    let fd = real(m.effective_dense_intermediate());
    let (b, w) = (m.bytes_per_param, m.effective_weight_bytes());
    let rate = gpu.peak_tflops(m, Fp8Rule::AnyOneByteWeight) * 1e6;
    let bw = gpu.hbm_tb_per_s * 1e6;
    let td = tp * dp;
    let g = if m.is_moe() { tp * dp } else { tp };
    let h = real(m.heads) / tp;

    let ffn = |t: f64| {
        let mut sum = 0.0;
        if moe > 0.0 {
            sum += moe * (t * kk / g) * 6.0 * d * fe;
        }
        if moe > 0.0 && fs > 0.0 {
            sum += moe * t * 6.0 * d * fs / td;
        }
        if dense > 0.0 {
            sum += dense * t * 1.0 * 6.0 * d * fd / td;
        }
        sum
    };
    let tokens: u64 = prefills.iter().map(|p| p.new_tokens).sum();
    let t_prefill = tokens as f64;
    let mut a = 0.0;
    for p in prefills {
        let q = p.new_tokens as f64;
        a += 4.0 * h * q * (p.prompt_tokens as f64 + q / 2.0) * dh;
    }
    let t_decode = contexts.len() as f64;
    let x = contexts.iter().sum::<u64>() as f64;

    let (mut pc, mut pk, mut dc, mut dk) = (0.0, 0.0, 0.0, 0.0);
    if tokens > 0 {
        pc = (lay * 2.0 * t_prefill * d * (2.0 * d + 2.0 * dkv) / td + lay * a / dp + ffn(t_prefill)) / rate;
        pk = lay * 2.0 * (dkv / td) * t_prefill * 2.0 / bw;
    }
    if !contexts.is_empty() {
        dc = (lay * 2.0 * t_decode * d * (2.0 * d + 2.0 * dkv) / td
            + lay * 4.0 * h * x * dh / dp
            + ffn(t_decode))
            / rate;
        dk = lay * 2.0 * (dkv / td) * 2.0 * (x + t_decode) / bw;
    }
    let wa = lay * d * (2.0 * d + 2.0 * dkv) * w / tp;
    let mut wf = 0.0;
    if moe > 0.0 {
        wf += moe * (real(m.experts) / g) * 3.0 * d * fe * w;
        if fs > 0.0 {
            wf += moe * 3.0 * d * fs * w / tp;
        }
    }
    if dense > 0.0 {
        wf += dense * 1.0 * 3.0 * d * fd * w / tp;
    }
    let tw = (wa + wf) / bw;
    let tt = t_prefill + t_decode;
    let v = |u: f64| if layout.tp > 1 { u * tt * d * b * 2.0 * ((tp - 1.0) / tp) / bw } else { 0.0 };
    let (ca, cf) = (v(lay) / dp, v(dense) / dp);
    let cr = if m.is_moe() && layout.dp == 1 { v(moe) } else { 0.0 };
    let cd = if m.is_moe() && layout.dp > 1 {
        let basis = if layout.moe_comm.is_all_to_all() {
            (tt / dp) * kk * (g - 1.0) / g * 2.0 * d * b / bw
        } else {
            (tt / dp) * (g - 1.0) / g * 2.0 * d * b / bw
        };
        basis * moe
    } else {
        0.0
    };
    let at = |i: usize| beta.get(i).copied().unwrap_or(0.0);
    let pre = if beta.len() >= 9 { at(0) * pc + at(8) * pk } else { at(0) * pc.max(pk) };
    let dec = if beta.len() >= 10 { at(1) * dc + at(9) * dk } else { at(1) * dc.max(dk) };
    let dispatch = beta.get(10).copied().unwrap_or(at(3));
    let interleaved = if m.is_moe() && m.moe_interleave_step > 0 { 1.0 } else { 0.0 };
    let n = (prefills.len() + contexts.len()) as f64;
    let step = pre
        + dec
        + at(2) * tw
        + at(3) * (ca + cf + cr)
        + dispatch * cd
        + at(4) * lay
        + at(5) * n
        + at(6)
        + at(7) * interleaved * moe;
    (step.trunc() as i64).max(1)
}

fn layouts() -> impl Strategy<Value = (&'static str, Deployment)> {
    let comm = prop::sample::select(blis_latency::MoeComm::ALL.to_vec());
    let dense =
        prop::sample::select(vec!["llama-3.1-8b-instruct", "llama-3.1-70b-instruct", "qwen3-14b", "yi-34b"]);
    let moe = prop::sample::select(vec![
        "mixtral-8x7b-v0.1",
        "deepseek-v2-lite",
        "glm-5.2-fp8",
        "llama-4-scout-17b-16e-instruct-fp8-dynamic",
    ]);
    let tp = prop::sample::select(vec![1_u32, 2, 4]);
    prop_oneof![
        (dense, tp.clone()).prop_map(|(name, tp)| (name, Deployment::tensor_parallel(tp))),
        (moe, tp, 1_u32..5, comm).prop_map(|(name, tp, dp, moe_comm)| {
            (name, Deployment { dp, moe_comm, ..Deployment::tensor_parallel(tp) })
        }),
    ]
}

/// Weights so large that a whole number of microseconds shows nearly every bit, and a good share of exact zeros.
fn betas() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![1 => Just(0.0), 3 => 0.0..1e10_f64, 1 => 0.0..2.0_f64], 7..13)
}

fn prefills() -> impl Strategy<Value = Vec<Prefill>> {
    let prefill = (1_u64..200_000, 0.0..1.0_f64, 0.0..1.0_f64).prop_map(|(prompt_tokens, done, part)| {
        let progress = (prompt_tokens as f64 * done) as u64;
        let new_tokens = 1 + ((prompt_tokens - progress) as f64 * part) as u64;
        Prefill { prompt_tokens, progress, new_tokens }
    });
    prop::collection::vec(prefill, 0..4)
}

fn time(model: &dyn LatencyModel, prefills: &[Prefill], contexts: &[u64]) -> i64 {
    let batch = Batch {
        prefills,
        decodes: contexts.len() as u64,
        decode_context_tokens: contexts.iter().sum(),
        ..Batch::default()
    };
    model.step_time(&batch).as_us()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn what_is_worked_out_beforehand_changes_no_bit_of_trained_physics(
        (name, layout) in layouts(),
        beta in betas(),
        prefills in prefills(),
        contexts in prop::collection::vec(1_u64..200_000, 0..300),
    ) {
        prop_assume!(!prefills.is_empty() || !contexts.is_empty());
        let (model, gpu) = (model(name), gpu("H100"));
        let coefficients = Coefficients { alpha: vec![0.0; 3], beta };
        let rule = Fp8Rule::AnyOneByteWeight;
        let built = TrainedPhysics::new(&model, &gpu, &layout, &coefficients, rule).expect("a sound model");
        prop_assert_eq!(
            time(&built, &prefills, &contexts),
            as_written(&model, &gpu, &layout, &coefficients.beta, &prefills, &contexts)
        );
    }

    #[test]
    fn a_longer_context_or_one_more_decode_never_shortens_a_step(
        (name, layout) in layouts(),
        beta in betas(),
        mut contexts in prop::collection::vec(1_u64..200_000, 1..100),
        more in 1_u64..10_000,
    ) {
        let coefficients = Coefficients { alpha: vec![0.0; 3], beta };
        let rule = Fp8Rule::Fp8WeightsOnly;
        let built = TrainedPhysics::new(&model(name), &gpu("H200"), &layout, &coefficients, rule)
            .expect("a sound model");
        let before = time(&built, &[], &contexts);
        contexts[0] += more;
        let longer = time(&built, &[], &contexts);
        prop_assert!(longer >= before);
        contexts.push(more);
        prop_assert!(time(&built, &[], &contexts) >= longer);
    }
}

proptest! {
    #[test]
    fn stages_together_take_what_the_whole_takes_and_the_hops(
        name in proptest::sample::select(vec!["llama-3.1-8b-instruct", "mixtral-8x7b-v0.1", "qwen3-14b"]),
        stages in 2_u32..9,
        prompts in proptest::collection::vec((1_u64..4000, 0_u64..4000), 0..4),
        contexts in proptest::collection::vec(1_u64..4000, 0..40),
    ) {
        let (architecture, h100) = (model(name), gpu("H100"));
        let coefficients = Coefficients {
            alpha: vec![0.0; 3],
            beta: vec![0.15, 0.0, 1.36, 0.75, 32.1, 4.42, 126.0, 481.9, 0.0, 1.95, 0.75],
        };
        let rule = Fp8Rule::Fp8WeightsOnly;
        let whole = TrainedPhysics::new(&architecture, &h100, &Deployment::tensor_parallel(2), &coefficients, rule)
            .expect("valid");
        let parts = Pipeline::new(&architecture, &h100, 2, stages, |share| Arc::new(whole.stage(share)));
        let prefills: Vec<_> = prompts
            .iter()
            .map(|&(new_tokens, progress)| Prefill { prompt_tokens: progress + new_tokens, progress, new_tokens })
            .collect();
        let batch = Batch {
            prefills: &prefills,
            decodes: contexts.len() as u64,
            decode_context_tokens: contexts.iter().sum(),
            ..Batch::default()
        };
        prop_assume!(!batch.is_empty());
        let hops = parts.hop_time(&batch).as_us() * i64::from(stages - 1);
        let together = parts.step_time(&batch).as_us() - hops;
        // Each stage's time loses less than a microsecond.
        let difference = whole.step_time(&batch).as_us() - together;
        prop_assert!((-1..i64::from(stages)).contains(&difference), "{difference}");
    }
}
