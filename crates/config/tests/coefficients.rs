//! Sets of coefficients in runs.

use blis_config::coefficients::{Coefficient, CoefficientSet, HOST};
use blis_config::{RunOptions, Source, Surroundings, edit, resolve};
use blis_latency::profiled::Tuning;
use blis_latency::{Backend, Batch};
use std::sync::Arc;

fn options() -> RunOptions {
    RunOptions {
        model: Some("meta-llama/llama-3.1-8b-instruct".to_owned()),
        hardware: Some("H100".to_owned()),
        tp: Some(1),
        ..RunOptions::default()
    }
}

fn set(backend: Option<Backend>, values: &[(&str, f64)]) -> CoefficientSet {
    let own = |(name, value): &(&str, f64)| Coefficient {
        name: (*name).to_owned(),
        value: *value,
        lower: 0.0,
        upper: 1e6,
        sd: None,
    };
    CoefficientSet {
        latency_model: backend,
        coefficients: values.iter().map(own).collect(),
        ..CoefficientSet::default()
    }
}

fn with(set: CoefficientSet, options: RunOptions) -> RunOptions {
    RunOptions { coefficient_set: Some(Arc::new(set)), ..options }
}

fn step_us(options: &RunOptions) -> i64 {
    let plan = resolve(options, &Surroundings::default()).expect("sound options").plan;
    let contexts = vec![500; 64];
    let batch =
        Batch { decodes: 64, decode_context_tokens: 32_000, decode_contexts: &contexts, ..Batch::default() };
    plan.latency.step_time(&batch).as_us()
}

fn told(options: &RunOptions) -> String {
    let problems = resolve(options, &Surroundings::default()).expect_err("wrong options");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_step_time_model_takes_its_coefficients_and_the_built_in_ones_change_nothing() {
    for (backend, name) in [
        (Backend::Profiled, "step_us"),
        (Backend::TrainedPhysics, "step_us"),
        (Backend::TrainedRoofline, "beta6"),
        (Backend::CrossModel, "beta0"),
        (Backend::Blackbox, "beta0"),
        (Backend::Roofline, "memory_bandwidth"),
    ] {
        let built_in = CoefficientSet::built_in(Some(backend));
        let own = built_in.get(name).expect("a coefficient of the model");
        let changed = built_in.with_values(&[name], &[own * 0.5 + 50.0]);
        let before = step_us(&with(built_in, options()));
        if backend != Backend::Blackbox {
            let plain = RunOptions { latency_model: Some(backend.name().to_owned()), ..options() };
            assert_eq!(before, step_us(&plain), "{backend}");
        }
        assert_ne!(before, step_us(&with(changed, options())), "{backend}");
    }
}

#[test]
fn a_set_chooses_the_step_time_model_and_its_host_counts_where_no_flag_does() {
    let set = set(Some(Backend::Profiled), &[("front_end_us", 777.0), ("host_step_us", 5.0), ("gemm", 1.0)]);
    let mut options = with(set, options());
    options.host.us_per_step = Some(9.0);
    let resolved = resolve(&options, &Surroundings::default()).expect("sound options");
    let host = resolved.plan.instance.host.expect("a host");
    assert!((host.front_end_us - 777.0).abs() < f64::EPSILON);
    let shown = |name: &str| {
        let setting = resolved.settings.iter().find(|setting| setting.name == name).expect(name);
        (setting.value.as_str(), setting.source)
    };
    assert_eq!(shown("latency-model"), ("profiled", Source::Coefficients));
    assert_eq!(shown("front-end-us"), ("777", Source::Coefficients));
    assert_eq!(shown("host-step-us"), ("9", Source::Given));
    assert_eq!(shown("front-end-us-per-token").1, Source::Default);
}

#[test]
fn a_set_of_the_host_leaves_the_step_time_model_alone() {
    let plain = step_us(&options());
    assert_eq!(step_us(&with(set(None, &[("front_end_us", 777.0)]), options())), plain);
}

#[test]
fn what_does_not_go_with_a_set_is_said() {
    let physics = || with(set(Some(Backend::TrainedPhysics), &[("step_us", 100.0)]), options());
    let told = |change: &dyn Fn(&mut RunOptions)| {
        let mut options = physics();
        change(&mut options);
        told(&options)
    };
    let model =
        |name: &'static str| move |options: &mut RunOptions| options.latency_model = Some(name.to_owned());
    assert_eq!(
        told(&model("roofline")),
        "--coefficients has those of trained-physics, but --latency-model is roofline"
    );
    assert_eq!(
        told(&model("auto")),
        "--coefficients has those of trained-physics, but --latency-model auto takes profiled for \
         meta-llama/llama-3.1-8b-instruct"
    );
    assert!(told(&|options| options.compat = Some("inference-sim".to_owned())).contains("--compat"));
    assert!(
        told(&|options| {
            options.alpha_coeffs = Some(vec![0.0; 3]);
            options.beta_coeffs = Some(vec![1.0; 7]);
        })
        .contains("--coefficients and --alpha-coeffs with --beta-coeffs both")
    );
    assert!(resolve(&physics(), &Surroundings::default()).is_ok());
}

#[test]
fn a_file_of_coefficients_is_read_and_its_values_can_be_changed() {
    let mut options = options();
    let text = set(Some(Backend::Profiled), &[("step_us", 0.0)]).to_json();
    edit::give_text(&mut options, "coefficients", "c.json".into(), text);
    let before = step_us(&options);
    edit::set_in_file(&mut options, "coefficients.coefficients[0].value", "40").expect("a place");
    assert_eq!(step_us(&options), before + 40);
    edit::set_in_file(&mut options, "coefficients.coefficients[0].name", "magic").expect("a place");
    assert!(told(&options).contains("unknown coefficient \"magic\""));
}

#[test]
fn built_in_sets_have_the_host_that_runs_have_without_them() {
    for backend in [Backend::Profiled, Backend::TrainedPhysics] {
        let built_in = CoefficientSet::built_in(Some(backend));
        for parameter in HOST {
            assert_eq!(
                built_in.get(parameter.name),
                Some(parameter.default),
                "{backend:?}: {}",
                parameter.name
            );
        }
    }
}

#[test]
fn the_built_in_set_of_profiled_has_the_constants_of_the_code() {
    let built_in = CoefficientSet::built_in(Some(Backend::Profiled));
    assert_eq!(built_in.tuning(), Tuning::default());
}
