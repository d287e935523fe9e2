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
//! one number per quantity: the one with which the bands hold nine of ten residuals of the table when each is forecast
//! from other models only. Beyond the limit of likeness spreads grow with the distance.

use crate::LEVEL;
use crate::band::Band;
use crate::configuration::Configuration;
use crate::likeness::{differences, distance, same_model};
use crate::normal::{kernel, midpoints, percentile, quantile, size_of_share};
use crate::table::{Quantity, Validated, parse};
use libm::{exp, fabs, sqrt};
use std::collections::BTreeMap;

/// h: how far likeness reaches.
const REACH: f64 = 0.6;
/// w0: how much the prior counts beside one model that is exactly alike.
const PRIOR: f64 = 0.3;
/// Distance of the nearest configuration from which on a run is far from all of them.
const FAR: f64 = 2.0;
/// Size of a difference that is worth a word, as a share of its scale.
const WORTH_TELLING: f64 = 0.9;
/// Largest residual that counts, in spreads of the prior.
const LARGEST: f64 = 3.0;
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
    /// What spreads are multiplied by.
    widening: [f64; Quantity::ALL.len()],
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
        let mut table = Self { rows, prior, widening: [1.0; Quantity::ALL.len()] };
        let forecasts: Vec<_> = table
            .rows
            .iter()
            .map(|row| table.forecast(&row.configuration, Some(&row.configuration.model)))
            .collect();
        table.widening = Quantity::ALL.map(|quantity| {
            let scores = table.rows.iter().zip(&forecasts).filter_map(|(row, forecast)| {
                let Normal { mean, spread } = forecast.expected[quantity as usize];
                (spread > 0.0).then_some((row.residual(quantity)? - mean) / spread)
            });
            let needed = size_of_share(scores, LEVEL) / of_level();
            if needed > 0.0 { needed } else { 1.0 }
        });
        table
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
        let beyond = if least.is_finite() { (least / FAR).max(1.0) } else { 2.0 };
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
            Normal { mean, spread: spread * beyond * self.widening[quantity as usize] }
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
        Forecast { expected, nearest, warning: self.warning(of, left_out, least) }
    }

    /// The rows of each model with their distances, the nearest first.
    fn near<'a>(&'a self, of: &Configuration, left_out: Option<&str>) -> Vec<Vec<(&'a Validated, f64)>> {
        let mut models: BTreeMap<&str, Vec<(&Validated, f64)>> = BTreeMap::new();
        for row in self.counted(left_out) {
            let distance = distance(of, &row.configuration);
            models.entry(&row.configuration.model).or_default().push((row, distance));
        }
        let mut models: Vec<_> = models.into_values().collect();
        models.iter_mut().for_each(|rows| rows.sort_by(|a, b| a.1.total_cmp(&b.1)));
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

    /// What is unlike every row, if the nearest is far or something was never measured.
    fn warning(&self, of: &Configuration, left_out: Option<&str>, least: f64) -> Option<String> {
        let never = |is_so: &dyn Fn(&Configuration) -> bool| {
            !self.counted(left_out).any(|row| is_so(&row.configuration))
        };
        let mut reasons = Vec::new();
        let mut add = |is_new: bool, what: String| {
            if is_new {
                reasons.push(what);
            }
        };
        add(never(&|c| c.gpu == of.gpu), format!("no run on {} was measured", of.gpu));
        add(
            never(&|c| c.latency_model == of.latency_model),
            format!("none was compared with --latency-model {}", of.latency_model),
        );
        add(never(&|c| c.engine == of.engine), format!("no run of {} was measured", of.engine));
        add(
            never(&|c| c.is_moe == of.is_moe && is_close(c.weight_bits, of.weight_bits)),
            format!(
                "no {} model with weights of {} bits was measured",
                if of.is_moe { "MoE" } else { "dense" },
                of.weight_bits
            ),
        );
        if least > FAR
            && let Some(nearest) = self.nearest(of, left_out)
        {
            let unlike: Vec<&str> = differences(of, &nearest.configuration)
                .into_iter()
                .filter(|difference| difference.size >= WORTH_TELLING)
                .map(|difference| difference.feature)
                .collect();
            let Configuration { model, gpu, .. } = &nearest.configuration;
            let unlike = if unlike.is_empty() { "many things".to_owned() } else { unlike.join(", ") };
            add(true, format!("the nearest one, {model} on {gpu}, differs in {unlike}"));
        }
        (!reasons.is_empty()).then(|| {
            format!(
                "the bands are guesses, far from every configuration that was measured: {}",
                reasons.join("; ")
            )
        })
    }

    fn nearest(&self, of: &Configuration, left_out: Option<&str>) -> Option<&Validated> {
        self.counted(left_out)
            .min_by(|a, b| distance(of, &a.configuration).total_cmp(&distance(of, &b.configuration)))
    }
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
