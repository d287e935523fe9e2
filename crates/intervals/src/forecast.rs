//! What errors are to be expected: those of measured configurations, weighed by likeness.
//!
//! ```text
//! K(d)    exp(-(d / h)² / 2)
//! model   its nearest configuration counts K(d), shared among its configurations as their own K
//! mean    m = Σ w·r / (Σ w + w0)
//! spread  s² = (Σ w·(r - m)² + w0·(s0² + m²)) / (Σ w + w0)
//! ```
//!
//! r are the residuals, at most three s0 in size; s0 is what nine of ten residuals of the table stay within, over 1.645. A prior
//! with weight w0, no error on average and the spread s0, takes over where nothing is near. Every spread is then multiplied by
//! one number per quantity and serving engine: the one with which the bands hold nine of ten residuals of the engine's rows when
//! each is forecast from other models only; of all rows where the engine has few. Beyond the limit of likeness spreads grow with the distance, and with everything about a run
//! that no row has.

use crate::LEVEL;
use crate::band::Band;
use crate::configuration::Configuration;
use crate::likeness::{differences, distance, same_model};
use crate::normal::{kernel, midpoints, percentile, quantile, size_of_share};
use crate::table::{Quantity, Validated, parse};
use libm::{exp, fabs, sqrt};
use std::collections::{BTreeMap, BTreeSet};

/// h: how far likeness reaches.
const REACH: f64 = 0.6;
/// w0: how much the prior counts beside one model that is exactly alike.
const PRIOR: f64 = 0.3;
/// Distance of the nearest configuration from which on a run is far from all of them.
const FAR: f64 = 2.0;
/// What spreads are multiplied by for each thing that no row has.
const UNSEEN: f64 = 1.25;
/// What they are multiplied by where there is no row at all.
const NO_ROWS: f64 = 2.0;
/// Size of a difference that is worth a word, as a share of its scale.
const WORTH_TELLING: f64 = 0.9;
/// Largest residual that counts, in spreads of the prior.
const LARGEST: f64 = 3.0;
/// Rows, and models among them, from which on an engine has widths of its own.
const OWN_ROWS: usize = 20;
const OWN_MODELS: usize = 2;
/// Parts into which the distribution of what is left over is cut.
const PARTS: u32 = 16;

/// A measured configuration near a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// Which set of measurements it belongs to.
    pub set: String,
    /// Its model.
    pub model: String,
    /// Its GPU type.
    pub gpu: String,
    /// GPUs of an instance.
    pub gpus: u32,
    /// How unlike it is.
    pub distance: f64,
    /// The error of the step times there: measured over simulated.
    pub step_factor: f64,
}

/// A normal distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Normal {
    mean: f64,
    spread: f64,
}

/// What errors are to be expected of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    expected: [Normal; Quantity::ALL.len()],
    /// The nearest configuration of each model, the nearest first.
    pub nearest: Vec<Near>,
    /// What is unlike every measured configuration, where that is much.
    pub warning: Option<String>,
}

/// The table, ready for use.
#[derive(Clone, Debug)]
pub struct Validation {
    rows: Vec<Validated>,
    /// s0 of each quantity.
    prior: [f64; Quantity::ALL.len()],
    /// By row: the residuals less their mean, in spreads, as forecast from other models.
    scores: Vec<[Option<f64>; Quantity::ALL.len()]>,
}

impl Validation {
    /// The built-in table.
    pub fn embedded() -> Self {
        let rows = parse(include_str!("../data/validation.csv"), "validation.csv");
        Self::new(rows.unwrap_or_else(|problems| panic!("our own table: {problems:?}")))
    }

    /// A table of one's own.
    pub fn new(rows: Vec<Validated>) -> Self {
        let sizes = |quantity| {
            let residuals = rows.iter().filter_map(move |row| row.residual(quantity));
            size_of_share(residuals, LEVEL) / of_level()
        };
        let prior = Quantity::ALL.map(sizes);
        let mut table = Self { rows, prior, scores: Vec::new() };
        let scores_of = |row: &Validated| {
            let forecast = table.forecast(&row.configuration, Some(&row.configuration.model));
            Quantity::ALL.map(|quantity| {
                let Normal { mean, spread } = forecast.expected[quantity as usize];
                (spread > 0.0).then_some((row.residual(quantity)? - mean) / spread)
            })
        };
        table.scores = table.rows.iter().map(scores_of).collect();
        table
    }

    /// What spreads of runs of an engine are multiplied by.
    fn widening(&self, engine: &str, left_out: Option<&str>) -> [f64; Quantity::ALL.len()] {
        let counted = || {
            let rows = self.rows.iter().zip(&self.scores);
            rows.filter(|(row, _)| left_out.is_none_or(|model| !same_model(model, &row.configuration.model)))
        };
        let own: Vec<_> = counted().filter(|(row, _)| row.configuration.engine == engine).collect();
        let models: BTreeSet<&str> = own.iter().map(|(row, _)| row.configuration.model.as_str()).collect();
        let rows =
            if own.len() >= OWN_ROWS && models.len() >= OWN_MODELS { own } else { counted().collect() };
        Quantity::ALL.map(|quantity| {
            let scores = rows.iter().filter_map(|(_, scores)| scores[quantity as usize]);
            let needed = size_of_share(scores, LEVEL) / of_level();
            if needed > 0.0 { needed } else { 1.0 }
        })
    }

    /// The rows.
    pub fn rows(&self) -> &[Validated] {
        &self.rows
    }

    /// What is to be expected of a run. Rows of the model `left_out` do not count.
    pub fn forecast(&self, of: &Configuration, left_out: Option<&str>) -> Forecast {
        let near = self.near(of, left_out);
        let reached = |distance: f64| kernel(distance / REACH);
        // Weights of rows: of a model together as much as its nearest row.
        let mut weighed: Vec<(&Validated, f64)> = Vec::new();
        for rows in &near {
            let all: f64 = rows.iter().map(|(_, distance)| reached(*distance)).sum();
            let most = rows.first().map_or(0.0, |(_, distance)| reached(*distance));
            if all > 0.0 {
                weighed.extend(rows.iter().map(|(row, d)| (*row, most * reached(*d) / all)));
            }
        }
        let least = near.first().and_then(|rows| rows.first()).map_or(f64::INFINITY, |(_, d)| *d);
        let mut reasons = self.unseen(of, left_out);
        let unseen = reasons.iter().fold(1.0, |product, _| product * UNSEEN);
        let beyond = unseen * if least.is_finite() { (least / FAR).max(1.0) } else { NO_ROWS };
        if let Some((row, distance)) = near.first().and_then(|rows| rows.first()).filter(|_| least > FAR) {
            reasons.push(unlike(of, &row.configuration, *distance));
        }
        let warning = (!reasons.is_empty()).then(|| {
            format!(
                "the bands are guesses, far from all configurations that were measured: {}",
                reasons.join("; ")
            )
        });
        let widening = self.widening(&of.engine, left_out);
        let expected = Quantity::ALL.map(|quantity| {
            let prior = self.prior[quantity as usize];
            let most = LARGEST * prior;
            let counted = || {
                let residual = |row: &Validated| Some(row.residual(quantity)?.clamp(-most, most));
                weighed.iter().filter_map(move |(row, weight)| Some((residual(row)?, *weight)))
            };
            let all = counted().map(|(_, weight)| weight).sum::<f64>() + PRIOR;
            let mean = counted().map(|(residual, weight)| weight * residual).sum::<f64>() / all;
            let squares = counted()
                .map(|(residual, weight)| weight * (residual - mean) * (residual - mean))
                .sum::<f64>();
            let spread = sqrt((squares + PRIOR * (prior * prior + mean * mean)) / all);
            Normal { mean, spread: spread * beyond * widening[quantity as usize] }
        });
        let nearest = near.iter().filter_map(|rows| rows.first()).map(|(row, distance)| {
            let configuration = &row.configuration;
            Near {
                set: row.set.clone(),
                model: configuration.model.clone(),
                gpu: configuration.gpu.clone(),
                gpus: configuration.gpus,
                distance: *distance,
                step_factor: exp(row.residual(Quantity::Step).unwrap_or_default()),
            }
        });
        let nearest: Vec<Near> = nearest.collect();
        Forecast { expected, nearest, warning }
    }

    /// The rows of each model with their distances, the nearest first.
    fn near<'a>(&'a self, of: &Configuration, left_out: Option<&str>) -> Vec<Vec<(&'a Validated, f64)>> {
        let mut models: BTreeMap<&str, Vec<(&Validated, f64)>> = BTreeMap::new();
        for row in self.counted(left_out) {
            let distance = distance(of, &row.configuration);
            models.entry(&row.configuration.model).or_default().push((row, distance));
        }
        let mut models: Vec<_> = models.into_values().collect();
        for rows in &mut models {
            rows.sort_by(|a, b| a.1.total_cmp(&b.1));
        }
        models.sort_by(|a, b| a[0].1.total_cmp(&b[0].1));
        models
    }

    fn counted<'a, 'b>(
        &'a self,
        left_out: Option<&'b str>,
    ) -> impl Iterator<Item = &'a Validated> + use<'a, 'b> {
        self.rows
            .iter()
            .filter(move |row| left_out.is_none_or(|model| !same_model(model, &row.configuration.model)))
    }

    /// What no row has.
    fn unseen(&self, of: &Configuration, left_out: Option<&str>) -> Vec<String> {
        let is_new = |is_so: &dyn Fn(&Configuration) -> bool| {
            !self.counted(left_out).any(|row| is_so(&row.configuration))
        };
        let kind = if of.is_moe { "MoE" } else { "dense" };
        let things = [
            (is_new(&|c| c.gpu == of.gpu), format!("no run on {} was measured", of.gpu)),
            (
                is_new(&|c| c.latency_model == of.latency_model && c.has_cpu == of.has_cpu),
                format!(
                    "none was compared with --latency-model {}{}",
                    of.latency_model,
                    if of.has_cpu { "" } else { " without the CPU side (--engine)" }
                ),
            ),
            (is_new(&|c| c.engine == of.engine), format!("no run of {} was measured", of.engine)),
            (
                is_new(&|c| c.is_moe == of.is_moe && is_close(c.weight_bits, of.weight_bits)),
                format!("no {kind} model with weights of {:.0} bits was measured", of.weight_bits),
            ),
        ];
        things.into_iter().filter(|(is_new, _)| *is_new).map(|(_, what)| what).collect()
    }
}

/// In what a configuration is unlike the one that is nearest to it.
fn unlike(of: &Configuration, nearest: &Configuration, distance: f64) -> String {
    let features: Vec<&str> = differences(of, nearest)
        .into_iter()
        .filter(|difference| difference.size >= WORTH_TELLING)
        .map(|difference| difference.feature)
        .collect();
    let features = if features.is_empty() { "many things a little".to_owned() } else { features.join(", ") };
    let Configuration { model, gpu, .. } = nearest;
    format!("the nearest, {model} on {gpu}, is {distance:.1} away and differs in {features}")
}

fn is_close(a: f64, b: f64) -> bool {
    fabs(a - b) < 0.5
}

/// The 95th percentile of the standard normal distribution, up to which it lies on either side at our level.
fn of_level() -> f64 {
    quantile(f64::midpoint(1.0, LEVEL))
}

impl Forecast {
    /// The factors on step times of so many runs, ascending.
    pub fn factors(&self, count: u32) -> Vec<f64> {
        let Normal { mean, spread } = self.expected[Quantity::Step as usize];
        midpoints(count).map(|z| exp(mean + spread * z)).collect()
    }

    /// The band of a figure whose values in those runs are given; `left_over`: what they miss even when steps are right.
    /// `None` without values.
    pub fn band(&self, left_over: Option<Quantity>, values: &[f64]) -> Option<Band> {
        let Normal { mean, spread } = left_over.map(|q| self.expected[q as usize]).unwrap_or_default();
        let mut all: Vec<f64> = if left_over.is_some() {
            let factors: Vec<f64> = midpoints(PARTS).map(|z| exp(mean + spread * z)).collect();
            values.iter().flat_map(|value| factors.iter().map(move |factor| value * factor)).collect()
        } else {
            values.to_vec()
        };
        all.sort_by(f64::total_cmp);
        let below = (1.0 - LEVEL) / 2.0;
        (!all.is_empty()).then(|| Band { low: percentile(&all, below), high: percentile(&all, 1.0 - below) })
    }
}

#[cfg(test)]
mod tests {
    use super::Validation;
    use crate::{Configuration, Forecast, Quantity, Validated};

    fn configuration(model: &str, active_b: f64) -> Configuration {
        Configuration {
            model: model.to_owned(),
            weight_bits: 16.0,
            active_b,
            gpu: "H100".to_owned(),
            tp: 1,
            gpus: 1,
            latency_model: "profiled".to_owned(),
            engine: "vllm".to_owned(),
            has_cpu: true,
            requests: 20.0,
            prompt_tokens: 500.0,
            output_tokens: 250.0,
            ..Configuration::default()
        }
    }

    /// Eight models; their residuals alternate in sign and have this size.
    fn table(residual: f64) -> Validation {
        let row = |n: u32| {
            let signed = if n.is_multiple_of(2) { residual } else { -residual };
            Validated {
                set: "dev".to_owned(),
                configuration: configuration(&format!("m{n}"), 8.0 + f64::from(n)),
                residuals: [Some(signed), Some(signed), None, Some(0.0), None, None],
            }
        };
        Validation::new((0..8).map(row).collect())
    }

    fn width(forecast: &Forecast) -> f64 {
        let factors = forecast.factors(20);
        factors[19] / factors[0]
    }

    fn of(table: &Validation, configuration: &Configuration) -> Forecast {
        table.forecast(configuration, None)
    }

    #[test]
    fn larger_errors_make_wider_bands() {
        let run = configuration("new", 8.0);
        let (near, far) = (of(&table(0.05), &run), of(&table(0.1), &run));
        assert!(width(&far) > width(&near));
        let band = |forecast: &Forecast| forecast.band(Some(Quantity::TtftMean), &[100.0]).unwrap();
        assert!(band(&near).low > band(&far).low && band(&near).high < band(&far).high);
    }

    #[test]
    fn without_errors_bands_are_the_figures() {
        let forecast = of(&table(0.0), &configuration("new", 8.0));
        assert_eq!(forecast.factors(10), vec![1.0; 10]);
        let band = forecast.band(Some(Quantity::TtftMean), &[12.5; 10]).unwrap();
        assert_eq!((band.low, band.high), (12.5, 12.5));
        assert_eq!(forecast.warning, None);
    }

    #[test]
    fn an_error_that_all_neighbours_share_moves_the_band() {
        let residuals = [Some(0.2), None, None, None, None, None];
        let table = table(0.1);
        let rows = table.rows().iter().map(|row| Validated { residuals, ..row.clone() });
        let forecast = of(&Validation::new(rows.collect()), &configuration("new", 10.0));
        let middle = forecast.factors(21)[10];
        assert!((1.1..1.25).contains(&middle), "{middle}");
    }

    #[test]
    fn what_is_far_says_why_and_has_wider_bands() {
        let table = table(0.1);
        let near = of(&table, &configuration("new", 10.0));
        assert_eq!(near.warning, None);
        let run = Configuration {
            gpu: "MI300X".to_owned(),
            latency_model: "trained-physics".to_owned(),
            ..configuration("new", 10.0)
        };
        let far = of(&table, &run);
        let warning = far.warning.clone().expect("it is far");
        for part in ["MI300X", "trained-physics", "step-time model"] {
            assert!(warning.contains(part), "{warning}");
        }
        assert!(width(&far) > width(&near));
        let run = Configuration { is_moe: true, weight_bits: 4.0, ..configuration("new", 10.0) };
        assert!(of(&table, &run).warning.expect("new").contains("MoE model with weights of 4 bits"));
    }

    #[test]
    fn a_model_that_is_left_out_does_not_count() {
        let table = table(0.1);
        let run = configuration("m3", 11.0);
        let is_there = |forecast: &Forecast| forecast.nearest.iter().any(|near| near.model == "m3");
        assert!(is_there(&table.forecast(&run, None)));
        assert!(!is_there(&table.forecast(&run, Some("org/M3-FP8"))));
    }

    /// Law: nine of ten rows are within, when each is forecast from the others.
    #[test]
    fn spreads_hold_nine_of_ten_residuals() {
        let table = Validation::embedded();
        let rows = table.rows();
        let within = rows.iter().filter(|row| {
            let forecast = table.forecast(&row.configuration, Some(&row.configuration.model));
            let step = row.residual(Quantity::Step).unwrap();
            let factors: Vec<f64> = forecast.factors(1000);
            forecast.band(None, &factors).unwrap().holds(libm::exp(step))
        });
        let share = within.count() as f64 / rows.len() as f64;
        assert!((0.88..=0.92).contains(&share), "{share} of {}", rows.len());
    }

    #[test]
    fn few_models_weigh_as_much_as_many_rows_of_one() {
        let mut rows = table(0.0).rows()[..2].to_vec();
        rows[0].residuals[0] = Some(0.3);
        let alone = of(&Validation::new(rows.clone()), &configuration("new", 8.0)).factors(21)[10];
        let again = rows[0].clone();
        rows.extend(std::iter::repeat_n(again, 50));
        let many = of(&Validation::new(rows), &configuration("new", 8.0)).factors(21)[10];
        assert!((alone - many).abs() < 0.01, "{alone} and {many}");
    }
}
