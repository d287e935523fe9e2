//! What must hold of experts that were not measured, and how well it does for some that were.
#![allow(clippy::print_stdout, reason = "the figures of docs/latency.md")]

use super::{Experts, TABLE, shape_of};
use crate::architecture::{GpuSpec, MoeBackend};
use crate::profiled::operators::Operators;
use crate::profiled::tables::KernelTables;
use crate::profiled::tables::tests::bytes;
use crate::profiled::{Tuning, WeightFormat};
use std::collections::BTreeSet;
use std::io::Read;

const TOKENS: [u32; 8] = [1, 4, 16, 64, 256, 1024, 4096, 8192];

fn gpu(fp16_tflops: f64, hbm_tb_per_s: f64) -> GpuSpec {
    GpuSpec {
        name: "toy".into(),
        fp16_tflops,
        fp8_tflops: 2.0 * fp16_tflops,
        fp8_sparse_tflops: None,
        hbm_tb_per_s,
        mfu_prefill: 1.0,
        mfu_decode: 1.0,
        memory_gib: None,
        link_gb_per_s: None,
    }
}

/// Experts of 4096 x 1024, of which each token visits two of eight.
fn mxfp4() -> Experts {
    Experts {
        format: WeightFormat::Mxfp4,
        backend: MoeBackend::Auto,
        hidden: 4096,
        intermediate: 1024,
        per_token: 2,
        count: 8,
        tp: 1,
        ep: 1,
    }
}

/// Kernels that take so much at least, and so much for every 1,024 tokens.
fn tables(curves: &[(&str, f64, f64)], elsewhere: &[(&str, f64)]) -> KernelTables {
    let line = |least: f64, more: f64| TOKENS.map(|tokens| least + more * f64::from(tokens) / 1024.0).into();
    let curves = curves.iter().map(|&(key, least, more)| (key.to_owned(), line(least, more))).collect();
    let elsewhere = elsewhere.iter().map(|&(key, us)| (key.to_owned(), vec![us])).collect();
    KernelTables::from_bytes(&bytes(&[
        (TABLE, vec![TOKENS.to_vec()], curves),
        (super::LEAST_ELSEWHERE, vec![vec![1]], elsewhere),
    ]))
    .expect("sound tables")
}

fn us(tables: &KernelTables, experts: Experts, tokens: f64) -> f64 {
    Operators::new(tables, &gpu(1.0, 1000.0), &Tuning::default()).experts(experts, tokens)
}

fn assert_near(us: f64, wanted: f64) {
    assert!((us / wanted - 1.0).abs() < 0.02, "{us} µs, not {wanted}");
}

#[test]
fn twice_the_experts_with_as_many_tokens_each_take_twice_the_work_and_one_launch() {
    let tables = tables(&[("w4a16_mxfp4/4096/1024/2/8/1/1", 20.0, 100.0)], &[]);
    let twice = Experts { count: 16, ..mxfp4() };
    for tokens in [1024.0, 4096.0] {
        let work = 100.0 * tokens / 1024.0;
        assert_near(us(&tables, mxfp4(), tokens), 20.0 + work);
        assert_near(us(&tables, twice, 2.0 * tokens), 20.0 + 2.0 * work);
    }
}

#[test]
fn a_division_that_was_not_measured_takes_its_share_of_the_work_and_the_launch_of_the_others() {
    let tables = tables(
        &[("w4a16_mxfp4/4096/1024/2/8/1/1", 30.0, 100.0), ("w4a16_mxfp4/4096/1024/2/8/2/1", 20.0, 50.0)],
        &[],
    );
    assert_near(us(&tables, Experts { tp: 4, ..mxfp4() }, 4096.0), 20.0 + 100.0);
}

#[test]
fn marlin_runs_mxfp4_unless_triton_is_named_or_other_kernels_are_at_hand() {
    let (marlin, triton, other) = (
        ("marlin_mxfp4/4096/2048/2/8/1/1", 10.0, 400.0),
        ("triton_mxfp4/4096/1024/2/8/1/1", 10.0, 100.0),
        ("w4a16_mxfp4/4096/1024/2/8/1/1", 10.0, 50.0),
    );
    let named = |backend| Experts { backend, ..mxfp4() };
    let hopper = tables(&[marlin, triton], &[]);
    assert_near(us(&hopper, mxfp4(), 4096.0), 10.0 + 800.0);
    assert_near(us(&hopper, named(MoeBackend::Marlin), 4096.0), 10.0 + 800.0);
    assert_near(us(&hopper, named(MoeBackend::Triton), 4096.0), 10.0 + 400.0);
    let integers = ("int4_wo/4096/1024/2/8/1/1", 10.0, 300.0);
    let without_marlin = tables(&[triton, integers], &[]);
    assert_near(us(&without_marlin, mxfp4(), 4096.0), 10.0 + 400.0);
    let blackwell = tables(&[marlin, other], &[]);
    assert_near(us(&blackwell, mxfp4(), 4096.0), 10.0 + 200.0);
    assert_near(us(&blackwell, named(MoeBackend::Marlin), 4096.0), 10.0 + 800.0);
    assert!(hopper.has_experts_of(MoeBackend::Triton) && !blackwell.has_experts_of(MoeBackend::Triton));
    assert!(blackwell.has_experts_of(MoeBackend::Marlin) && blackwell.has_experts_of(MoeBackend::Auto));
}

#[test]
fn a_launch_is_what_the_same_experts_take_on_another_gpu_where_it_was_not_measured_here() {
    let here = [("marlin_mxfp4/4096/2048/2/8/1/1", 60.0, 400.0)];
    assert_near(us(&tables(&here, &[]), mxfp4(), 4.0), 60.0 + 200.0 * 4.0 / 1024.0);
    let elsewhere = [("marlin_mxfp4/4096/1024/2/8/any", 25.0)];
    assert_near(us(&tables(&here, &elsewhere), mxfp4(), 4.0), 25.0 + 200.0 * 4.0 / 1024.0);
}

/// Each shape of experts that was measured is taken out of the tables and carried from the others.
#[test]
fn shapes_that_were_measured_are_carried_from_the_others_within_a_sixth() {
    let gpus: [(&str, GpuSpec, &[u8]); 3] = [
        ("h100", gpu(989.0, 3.35), include_bytes!("../../../../config/data/kernels/h100.kern")),
        ("h200", gpu(989.0, 4.8), include_bytes!("../../../../config/data/kernels/h200.kern")),
        ("b200", gpu(2250.0, 8.0), include_bytes!("../../../../config/data/kernels/b200.kern")),
    ];
    let formats = [
        ("bfloat16", WeightFormat::Bf16),
        ("fp8_block", WeightFormat::Fp8Block),
        ("nvfp4", WeightFormat::Nvfp4),
    ];
    for (name, gpu, packed) in gpus {
        let mut unpacked = Vec::new();
        flate2::read::ZlibDecoder::new(packed).read_to_end(&mut unpacked).expect("a zlib stream");
        let tables = KernelTables::from_bytes(&unpacked).expect("sound tables");
        let measured = tables.table(TABLE).expect("experts");
        for (kind, format) in formats {
            let keys: Vec<&str> =
                measured.keys().filter(|key| key.starts_with(&format!("{kind}/"))).collect();
            let shapes: BTreeSet<String> = keys.iter().map(|key| shape_of(key)).collect();
            let mut errors = Vec::new();
            for shape in &shapes {
                let others = tables.without(TABLE, |key| shape_of(key) == *shape);
                let mut operators = Operators::new(&others, &gpu, &Tuning::default());
                for key in keys.iter().filter(|key| shape_of(key) == *shape) {
                    let numbers: Vec<u32> =
                        key.split('/').skip(1).map(|number| number.parse().expect("a number")).collect();
                    let [hidden, intermediate, per_token, count, tp, ep] = numbers[..] else {
                        panic!("{key}")
                    };
                    let backend = MoeBackend::Auto;
                    let experts = Experts { format, backend, hidden, intermediate, per_token, count, tp, ep };
                    for tokens in TOKENS.map(f64::from) {
                        let Some(us) = measured.at(key, &[tokens]).filter(|found| found.at[0] == tokens)
                        else {
                            continue;
                        };
                        errors.push((operators.experts(experts, tokens) / us.us - 1.0).abs());
                    }
                }
            }
            if errors.is_empty() {
                continue;
            }
            errors.sort_by(f64::total_cmp);
            let median = errors[errors.len() / 2];
            println!(
                "{name}, {kind}: {} shapes, {} times, {:.1} %",
                shapes.len(),
                errors.len(),
                100.0 * median
            );
            assert!(median < 1.0 / 6.0, "{name}, {kind}: {median}");
        }
    }
}
