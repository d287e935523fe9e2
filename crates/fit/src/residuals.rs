//! Measured points against simulations, as residuals.
//!
//! A residual is ln(simulated / measured) of the mean TTFT, ITL or E2E of a run (or a stage of it), or of a step's time. The
//! residuals of a point weigh together 1/√n, where n are the points of its model: neither do the many rows of a log of
//! steps outweigh runs, nor many runs of one model the others.

use crate::minimise::{Kind, Residuals};
use blis_accuracy::{Assessed, Extras, Metric, Point, Sample, assess};
use blis_config::RunOptions;
use blis_config::coefficients::CoefficientSet;
use blis_policy::Registry;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a figure counts as that could not be simulated: off by a factor of ten.
const UNKNOWN: f64 = 10.0;

/// The figures that are fitted.
const FITTED: [Metric; 4] = [Metric::TtftMean, Metric::ItlMean, Metric::E2eMean, Metric::Step];

/// Points with the figures that a simulation gives of them.
pub(crate) struct Measured<'a> {
    pub(crate) points: Vec<Point>,
    /// Points that cannot be simulated, with the reason.
    pub(crate) left_out: Vec<(String, String)>,
    /// Of each residual: the place of its point.
    pub(crate) of_point: Vec<usize>,
    pub(crate) kinds: Vec<Kind>,
    base: &'a RunOptions,
    policies: &'a Registry,
}

impl<'a> Measured<'a> {
    /// Simulates all points with a set, and keeps those for which there are figures.
    pub(crate) fn new(
        points: &[Point],
        base: &'a RunOptions,
        set: &CoefficientSet,
        policies: &'a Registry,
    ) -> (Self, Vec<Assessed>) {
        let all = assess(points, &with_set(base, set), policies, Extras::default());
        let (mut kept, mut assessed, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (point, result) in points.iter().zip(all) {
            match &result.result {
                Ok(samples) if samples.iter().any(is_fitted) => {
                    kept.push(point.clone());
                    assessed.push(result);
                }
                Ok(_) => left_out.push((named(point), "it has no figure that can be fitted".to_owned())),
                Err(reason) => left_out.push((named(point), reason.clone())),
            }
        }
        let mut of_model: BTreeMap<&str, f64> = BTreeMap::new();
        for point in &assessed {
            *of_model.entry(&point.model).or_default() += 1.0;
        }
        let (mut of_point, mut kinds) = (Vec::new(), Vec::new());
        for (place, point) in assessed.iter().enumerate() {
            let samples: Vec<&Sample> = point.result.iter().flatten().filter(|s| is_fitted(s)).collect();
            let weight = 1.0 / of_model[point.model.as_str()].sqrt() / samples.len() as f64;
            for sample in samples {
                of_point.push(place);
                kinds.push(Kind { weight, scale_of: scale_of(sample.metric) });
            }
        }
        (Self { points: kept, left_out, of_point, kinds, base, policies }, assessed)
    }

    /// Simulates the points with a set.
    pub(crate) fn simulated(&self, set: &CoefficientSet) -> Vec<Assessed> {
        assess(&self.points, &with_set(self.base, set), self.policies, Extras::default())
    }

    /// Simulates one of the points with a set.
    pub(crate) fn one(&self, place: usize, set: &CoefficientSet) -> Option<Assessed> {
        assess(&self.points[place..=place], &with_set(self.base, set), self.policies, Extras::default()).pop()
    }

    /// The residuals of simulated points, as many as there were at first.
    pub(crate) fn residuals(&self, assessed: &[Assessed]) -> Vec<f64> {
        let mut residuals = Vec::with_capacity(self.kinds.len());
        for (place, point) in assessed.iter().enumerate() {
            let wanted = self.of_point.iter().filter(|of| **of == place).count();
            let samples = point.result.iter().flatten().filter(|sample| is_fitted(sample));
            let found = samples
                .map(|sample| libm::log(sample.predicted / sample.measured))
                .map(|residual| if residual.is_finite() { residual } else { libm::log(UNKNOWN) });
            residuals.extend(found.chain(std::iter::repeat(libm::log(UNKNOWN))).take(wanted));
        }
        residuals
    }
}

/// The points as a function of some coefficients.
pub(crate) struct Simulations<'a> {
    pub(crate) measured: &'a Measured<'a>,
    pub(crate) set: &'a CoefficientSet,
    pub(crate) names: Vec<&'a str>,
}

impl Residuals for Simulations<'_> {
    fn at(&self, parameters: &[f64]) -> Vec<f64> {
        let set = self.set.with_values(&self.names, parameters);
        self.measured.residuals(&self.measured.simulated(&set))
    }
}

fn with_set(base: &RunOptions, set: &CoefficientSet) -> RunOptions {
    RunOptions { coefficient_set: Some(Arc::new(set.clone())), coefficients: None, ..base.clone() }
}

fn is_fitted(sample: &Sample) -> bool {
    FITTED.contains(&sample.metric) && sample.measured > 0.0
}

fn scale_of(metric: Metric) -> usize {
    FITTED.iter().position(|fitted| *fitted == metric).unwrap_or_default()
}

fn named(point: &Point) -> String {
    format!("{}/{}", point.set, point.id)
}
