use super::{CoefficientSet, Covariance, embedded};
use blis_latency::{Backend, Coefficients};

fn set() -> CoefficientSet {
    let mut set = CoefficientSet::built_in(Some(Backend::Profiled));
    set.covariance = Covariance {
        of: vec!["gemm".to_owned(), "front_end_us".to_owned()],
        matrix: vec![vec![1e-4, 0.25], vec![0.25, 62_500.0]],
    };
    set
}

#[test]
fn a_set_that_is_written_is_read_again() {
    let text = set().to_json();
    assert_eq!(CoefficientSet::read(&text, "c.json"), Ok(set()));
    assert_eq!(CoefficientSet::read(&text, "c.json").unwrap().to_json(), text);
}

#[test]
fn the_built_in_sets_say_every_coefficient() {
    assert_eq!(set().tuning(), CoefficientSet::default().tuning());
    for backend in Backend::ALL {
        let set = CoefficientSet::built_in(Some(backend));
        let none = Coefficients::default();
        let names: Vec<&str> = set.coefficients.iter().map(|own| own.name.as_str()).collect();
        assert!(set.has_host() && names.len() > 6, "{backend}: {names:?}");
        let all_set = set.lists(&none);
        let given = Coefficients { alpha: vec![9.0; 3], beta: vec![9.0; all_set.beta.len()] };
        assert_eq!(set.lists(&given).beta, all_set.beta, "{backend}");
    }
}

#[test]
fn a_draw_changes_fitted_coefficients_within_their_bounds() {
    let drawn = set().with(&[1.25, 1e9]);
    assert_eq!((drawn.get("gemm"), drawn.get("front_end_us")), (Some(1.25), Some(200_000.0)));
    assert_eq!(drawn.fitted(), [1.25, 200_000.0]);
    assert!((drawn.tuning().gemm - 1.25).abs() < f64::EPSILON);
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_with_its_place() {
    let text = r#"{
  "version": 2,
  "latency_model": "profiled",
  "coefficients": [
    {"name": "gem", "value": 1, "lower": 0, "upper": 2},
    {"name": "skew_us", "value": 7, "lower": 0, "upper": 2},
    {"name": "experts", "value": 1, "lower": 3, "upper": 2, "sd": -1},
    {"name": "experts", "value": 1, "lower": 0, "upper": 2}
  ],
  "covariance": {"of": ["gemm"], "matrix": [[1, 2]]}
}"#;
    let told: Vec<String> =
        CoefficientSet::read(text, "c.json").unwrap_err().iter().map(ToString::to_string).collect();
    for words in [
        "c.json:2:14: version is 2; it must be 1",
        "c.json:5:5: unknown coefficient \"gem\"",
        "did you mean \"gemm\"?",
        "c.json:6:5: skew_us is 7; it must be within its bounds, 0 and 2",
        "experts has bounds 3 and 2",
        "sd of experts is -1",
        "c.json:8:5: coefficient experts is given twice",
        "covariance.of names gemm, which is not among the coefficients",
        "covariance.matrix must have 1 rows of 1 numbers",
    ] {
        assert!(told.iter().any(|line| line.contains(words)), "{words}: {told:#?}");
    }
    let wrong = CoefficientSet::read("{\"version\": 1, \"coefficients\": [], \"beta\": 3}", "c.json");
    assert!(wrong.unwrap_err()[0].to_string().contains("beta"));
}

#[test]
fn what_is_embedded_was_fitted_and_has_a_covariance_to_draw_from() {
    for (backend, fitted) in [(Backend::Profiled, "front_end_us"), (Backend::TrainedPhysics, "weights")] {
        let set = embedded(backend).expect("there is one");
        assert_eq!(set.latency_model, Some(backend));
        assert!(set.covariance.of.iter().any(|name| name == fitted), "{:?}", set.covariance.of);
        assert!(set.covariance.matrix.iter().enumerate().all(|(i, row)| row[i] > 0.0));
        let is_scored = set.errors.iter().all(|row| row.cross_validated.is_some());
        assert!(is_scored && !set.provenance.points.is_empty());
        let text = set.to_json();
        assert!(!text.contains("/work") && !text.contains("/tmp"), "no paths of a machine");
    }
}
