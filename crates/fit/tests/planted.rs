//! Measurements made up by the simulator itself with known coefficients.

use blis_accuracy::{Extras, Load, Measurement, Metric, Point, Server, Stage, Stages, TimedStep, assess};
use blis_config::RunOptions;
use blis_config::coefficients::CoefficientSet;
use blis_fit::{Fitted, Settings, fit};
use blis_latency::Backend;
use blis_policy::Registry;
use std::collections::BTreeMap;
use std::sync::Arc;

const MODELS: [&str; 3] = ["meta-llama/llama-3.1-8b-instruct", "qwen/qwen3-14b", "qwen/qwen2.5-7b-instruct"];
const PLANTED: [(&str, f64); 3] =
    [("weights", 1.4), ("front_end_us", 7_000.0), ("front_end_us_per_token", 9.0)];

fn start() -> CoefficientSet {
    CoefficientSet::built_in(Some(Backend::TrainedPhysics))
}

fn with(values: &[(&str, f64)]) -> CoefficientSet {
    let (names, values): (Vec<&str>, Vec<f64>) = values.iter().copied().unzip();
    start().with_values(&names, &values)
}

/// A run of two stages for each model and prompt length, with nothing measured.
fn runs() -> Vec<Point> {
    let run = |model: &str, prompt_tokens: u32| Point {
        set: "made-up".to_owned(),
        id: format!("{model} {prompt_tokens}"),
        workload: String::new(),
        provenance: String::new(),
        server: Server { model: model.to_owned(), gpu: "H100".to_owned(), tp: Some(1), ..Server::default() },
        load: Load::Stages(Stages {
            stages: [4.0, 2.0].map(|duration_s| Stage { requests: 20, duration_s }).to_vec(),
            prompts: 50,
            prompt_tokens,
            output_tokens: 12,
        }),
        measured: Vec::new(),
    };
    MODELS.iter().flat_map(|model| [200, 1_000, 3_000].map(|tokens| run(model, tokens))).collect()
}

/// The points measured with a set, each figure off by up to `noise` as a fixed pattern has it.
fn measured(points: &[Point], set_of: &dyn Fn(&Point) -> CoefficientSet, noise: f64) -> Vec<Point> {
    let mut state = 12_345_u64;
    let mut off = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1.0 + noise * ((state >> 33) as f64 / f64::from(1 << 30) - 1.0)
    };
    let figures = |point: &Point| {
        let metrics = [Metric::TtftMean, Metric::ItlMean, Metric::E2eMean];
        let asked = ["all", "0", "1"].iter().flat_map(|part| {
            metrics.map(|metric| Measurement { part: (*part).to_owned(), metric, value: 1.0 })
        });
        Point { measured: asked.collect(), ..point.clone() }
    };
    points
        .iter()
        .map(|point| {
            let mut point = figures(point);
            let base =
                RunOptions { coefficient_set: Some(Arc::new(set_of(&point))), ..RunOptions::default() };
            let assessed =
                assess(std::slice::from_ref(&point), &base, &Registry::built_in(), Extras::default());
            let samples = assessed[0].result.clone().expect("it can be simulated");
            point.measured = samples
                .into_iter()
                .map(|sample| Measurement {
                    part: sample.part,
                    metric: sample.metric,
                    value: sample.predicted * off(),
                })
                .collect();
            point
        })
        .collect()
}

fn settings() -> Settings {
    let parameters = PLANTED.iter().map(|(name, _)| (*name).to_owned()).collect();
    Settings { parameters, ..Settings::default() }
}

fn fitted(points: &[Point], settings: &Settings) -> Fitted {
    fit(points, &RunOptions::default(), &start(), settings, &Registry::built_in()).expect("it can be fitted")
}

#[test]
fn planted_coefficients_are_found_within_their_own_deviations_with_any_number_of_threads() {
    let points = measured(&runs(), &|_| with(&PLANTED), 0.03);
    let found = fitted(&points, &settings());
    for (name, planted) in PLANTED {
        let own = found.parameters.iter().find(|own| own.name == name).expect("fitted");
        assert!((own.after - planted).abs() < 3.0 * own.sd, "{name}: {own:?}");
        assert!(own.sd < 0.25 * planted, "{name} is known: {own:?}");
    }
    let all = found.set.errors.iter().find(|row| row.model == "all").expect("errors");
    assert!(all.in_sample < all.before, "{all:?}");
    assert_eq!(found.set.covariance.of, ["weights", "front_end_us", "front_end_us_per_token"]);
    assert_eq!(CoefficientSet::read(&found.set.to_json(), "c.json").as_ref(), Ok(&found.set));

    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let alone = pool.install(|| fitted(&points, &settings()));
    assert_eq!(alone.set.to_json(), found.set.to_json());
}

#[test]
fn bounds_hold_and_fixed_coefficients_stay() {
    let points = measured(&runs(), &|_| with(&PLANTED), 0.0);
    let bounds = BTreeMap::from([("front_end_us".to_owned(), (0.0, 5_000.0))]);
    let fixed = BTreeMap::from([("step_us".to_owned(), 200.0)]);
    let found = fitted(&points, &Settings { bounds, fixed, ..settings() });
    let own = found.parameters.iter().find(|own| own.name == "front_end_us").expect("fitted");
    assert!(own.is_at_bound && (own.after - 5_000.0).abs() < 1e-9, "{own:?}");
    assert_eq!(found.set.get("step_us"), Some(200.0));
}

#[test]
fn one_wrong_run_hardly_moves_the_others() {
    let sound = measured(&runs(), &|_| with(&PLANTED), 0.02);
    let mut wrong = sound.clone();
    wrong[4].measured.iter_mut().for_each(|figure| figure.value *= 6.0);
    let (plain, moved) = (fitted(&sound, &settings()), fitted(&wrong, &settings()));
    for (a, b) in plain.parameters.iter().zip(&moved.parameters) {
        assert!((a.after / b.after - 1.0).abs() < 0.1, "{a:?} {b:?}");
    }
}

#[test]
fn what_was_not_seen_is_met_less_well() {
    // Each model has a rate of its own, so that no one coefficient fits all.
    let rate = |point: &Point| {
        let place = MODELS.iter().position(|model| *model == point.server.model).unwrap_or_default();
        with(&[("weights", [0.6, 1.2, 2.4][place])])
    };
    let points = measured(&runs(), &rate, 0.0);
    let found = fitted(&points, &Settings { parameters: vec!["weights".to_owned()], ..Settings::default() });
    let itl = found.set.errors.iter().find(|row| row.model == "all" && row.figure == "itl_mean_ms");
    let itl = itl.expect("errors");
    let mean = |of: &dyn Fn(&blis_fit::HeldOut) -> f64| {
        let rows: Vec<f64> =
            found.held_out.iter().filter(|row| row.figure == "itl_mean_ms").map(of).collect();
        assert_eq!(rows.len(), MODELS.len());
        rows.iter().sum::<f64>() / rows.len() as f64
    };
    assert!(mean(&|row| row.cross_validated) > mean(&|row| row.in_sample) + 0.02, "{:#?}", found.held_out);
    assert!(itl.cross_validated.is_some_and(|error| error >= itl.in_sample), "{itl:?}");
}

#[test]
fn no_step_tells_how_sure_the_start_is_and_idle_coefficients_are_named() {
    let points = measured(&runs(), &|_| start(), 0.02);
    let parameters = ["weights", "communication", "front_end_us"].map(str::to_owned).to_vec();
    let found = fitted(&points, &Settings { parameters, most_steps: 0, ..Settings::default() });
    assert_eq!(found.without_influence, ["communication"], "there is one GPU");
    assert!(found.parameters.iter().all(|own| own.before.to_bits() == own.after.to_bits() && own.sd > 0.0));
    assert_eq!(found.steps, 0);
}

#[test]
fn logs_of_steps_are_fitted_too() {
    let set = with(&[("weights", 1.2), ("request_us", 9.0)]);
    let steps: Vec<TimedStep> = (0..60)
        .map(|n| TimedStep {
            decodes: 1 + n % 30,
            decode_context_tokens: u64::from(1 + n % 30) * 400,
            measured_ms: 1.0,
            ..TimedStep::default()
        })
        .collect();
    let log = |model: &str, steps: Vec<TimedStep>| Point {
        load: Load::Steps(steps),
        ..runs().into_iter().find(|point| point.server.model == model).expect("a run")
    };
    let timed = |model: &str| {
        let base = RunOptions { coefficient_set: Some(Arc::new(set.clone())), ..RunOptions::default() };
        let assessed = assess(&[log(model, steps.clone())], &base, &Registry::built_in(), Extras::default());
        let samples = assessed[0].result.clone().expect("steps");
        let with_time = |(step, sample): (&TimedStep, &blis_accuracy::Sample)| TimedStep {
            measured_ms: sample.predicted,
            ..*step
        };
        log(model, steps.iter().zip(&samples).map(with_time).collect())
    };
    let points: Vec<Point> = MODELS.iter().map(|model| timed(model)).collect();
    let parameters = vec!["weights".to_owned(), "request_us".to_owned()];
    let found = fitted(&points, &Settings { parameters, ..Settings::default() });
    let value = |name: &str| found.set.get(name).expect("fitted");
    assert!(
        (value("weights") - 1.2).abs() < 0.01 && (value("request_us") - 9.0).abs() < 0.5,
        "{:?}",
        found.parameters
    );
}

#[test]
fn everything_that_is_wrong_with_settings_is_told() {
    let settings = Settings {
        parameters: vec!["weights".to_owned(), "betta".to_owned()],
        fixed: BTreeMap::from([("weights".to_owned(), 1.0), ("step_us".to_owned(), -1.0)]),
        bounds: BTreeMap::from([("request_us".to_owned(), (3.0, 2.0))]),
        ..Settings::default()
    };
    let problems = fit(&runs(), &RunOptions::default(), &start(), &settings, &Registry::built_in())
        .expect_err("wrong settings");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for words in [
        "unknown coefficient of --parameters \"betta\"",
        "--fix and --parameters both name weights",
        "--fix of step_us is -1; it must be from 0",
        "--bounds of request_us are 3..2",
    ] {
        assert!(told.iter().any(|line| line.contains(words)), "{words}: {told:#?}");
    }
    let nothing = fit(&runs(), &RunOptions::default(), &start(), &Settings::default(), &Registry::built_in());
    assert!(
        nothing
            .expect_err("nothing is measured")
            .last()
            .is_some_and(|problem| { problem.to_string().contains("no measured figure") })
    );
}
