//! What must hold of fitted step times, for every model and GPU that is built in.

use blis_config::catalogue::Catalogue;
use blis_config::coefficients::CoefficientSet;
use blis_latency::physics::Physics;
use blis_latency::profiled::{KvFormat, ModelShape};
use blis_latency::{Batch, Deployment, GpuSpec, LatencyModel, Prefill, StageShare};

/// A step of `decodes` requests with `context` tokens each and of a chunk behind `past` tokens.
#[derive(Clone, Copy, Debug)]
struct Step {
    decodes: u64,
    context: u64,
    chunk: u64,
    past: u64,
}

const PLAIN: Step = Step { decodes: 32, context: 2_000, chunk: 512, past: 1_000 };

fn us(model: &Physics, step: Step) -> i64 {
    let Step { decodes, context, chunk, past } = step;
    let prefill = Prefill { prompt_tokens: past + chunk, progress: past, new_tokens: chunk };
    let prefills = if chunk > 0 { vec![prefill] } else { Vec::new() };
    let batch =
        Batch { prefills: &prefills, decodes, decode_context_tokens: decodes * context, ..Batch::default() };
    model.step_time(&batch).as_us()
}

fn built(shape: &ModelShape, gpu: &GpuSpec, tp: u32) -> Physics {
    let factors = CoefficientSet::default().factors();
    let layout = Deployment::tensor_parallel(tp);
    Physics::new(shape, gpu, &layout, KvFormat::Bf16, &factors).expect("a sound model")
}

fn on_every_gpu(law: impl Fn(&str, &ModelShape, &GpuSpec)) {
    let catalogue = Catalogue::embedded();
    for name in catalogue.architecture_names() {
        let shape = catalogue.model_config(&name).expect("a bundled model").shape;
        for gpu in catalogue.gpu_names() {
            law(&format!("{name} on {gpu}"), &shape, &catalogue.gpu(&gpu).expect("a bundled GPU"));
        }
    }
}

#[test]
fn more_work_takes_longer() {
    on_every_gpu(|which, shape, gpu| {
        for tp in [1, 2, 4] {
            let model = built(shape, gpu, tp);
            let plain = us(&model, PLAIN);
            let more = [
                Step { decodes: 64, ..PLAIN },
                Step { context: 8_000, ..PLAIN },
                Step { chunk: 1_024, ..PLAIN },
                Step { past: 20_000, ..PLAIN },
            ];
            for step in more {
                assert!(us(&model, step) > plain, "{which}, TP {tp}: {step:?}");
            }
            let prompts = |chunk| us(&model, Step { decodes: 0, chunk, past: 0, ..PLAIN });
            assert!(prompts(8_192) > prompts(2_048), "{which}, TP {tp}: long prompts");
        }
    });
}

#[test]
fn more_layers_take_longer_and_stages_of_a_pipeline_add_up() {
    on_every_gpu(|which, shape, gpu| {
        let model = built(shape, gpu, 1);
        let deeper = ModelShape { layers: shape.layers + 4, ..shape.clone() };
        assert!(us(&built(&deeper, gpu, 1), PLAIN) > us(&model, PLAIN), "{which}");
        let half = |is_last| us(&model.stage(StageShare { of_layers: 0.5, is_last }), PLAIN);
        let apart = half(false) + half(true) - us(&model, PLAIN);
        assert!(apart.abs() <= 1 + us(&model, PLAIN) / 100, "{which}: {apart}");
    });
}

#[test]
fn quicker_gpus_and_more_of_them_take_less() {
    on_every_gpu(|which, shape, gpu| {
        let plain = us(&built(shape, gpu, 1), PLAIN);
        let faster = [
            GpuSpec { hbm_tb_per_s: gpu.hbm_tb_per_s * 1.5, ..gpu.clone() },
            GpuSpec {
                fp16_tflops: gpu.fp16_tflops * 1.5,
                fp8_tflops: gpu.fp8_tflops * 1.5,
                hbm_tb_per_s: gpu.hbm_tb_per_s * 1.2,
                ..gpu.clone()
            },
        ];
        for gpu in faster {
            assert!(us(&built(shape, &gpu, 1), PLAIN) < plain, "{which}");
        }
        if gpu.link_gb_per_s.is_some_and(|link| link >= 300.0) {
            let long = Step { chunk: 4_096, ..PLAIN };
            assert!(us(&built(shape, gpu, 2), long) < us(&built(shape, gpu, 1), long), "{which}: TP");
        }
    });
}

#[test]
fn no_step_is_quicker_than_the_gpu_is_rated() {
    on_every_gpu(|which, shape, gpu| {
        let rated = Physics::new(
            shape,
            gpu,
            &Deployment::tensor_parallel(1),
            KvFormat::Bf16,
            &blis_latency::physics::Factors::default(),
        )
        .expect("a sound model");
        for step in [PLAIN, Step { chunk: 0, ..PLAIN }, Step { decodes: 0, chunk: 8_192, past: 0, ..PLAIN }] {
            assert!(us(&built(shape, gpu, 1), step) >= us(&rated, step), "{which}: {step:?}");
        }
    });
}
