//! Points played again with other step times: for bands, and for the table from which bands come.

use crate::assess::{Again, Sample};
use crate::point::{ALL, Metric};
use blis_intervals::{Configuration, Quantity, Validated, Validation, scaled};
use libm::{exp, fabs, log};
use rayon::prelude::*;

/// Sets of servers whose settings are not known: they say little about the simulator.
const UNKNOWN_SETTINGS: &str = "-lab";
/// How often step times are corrected until the inter-token latency is right.
const CORRECTIONS: usize = 7;
/// Error of the inter-token latency that is right enough.
const RIGHT: f64 = 0.002;
/// Step times are corrected by this factor at most, and by its inverse at least.
const LARGEST_CORRECTION: f64 = 8.0;

impl Again<'_> {
    fn with_factor(&self, factor: f64) -> Option<Vec<Sample>> {
        self.samples(&blis_cluster::run(&scaled(self.plan, factor))).ok()
    }

    /// Puts bands on the samples; measurements of the same model do not count.
    pub(crate) fn with_bands(
        &self,
        samples: &mut [Sample],
        configuration: &Configuration,
        table: &Validation,
        draws: u32,
    ) {
        let forecast = table.forecast(configuration, Some(&configuration.model));
        let runs: Vec<_> =
            forecast.factors(draws).into_par_iter().filter_map(|factor| self.with_factor(factor)).collect();
        for sample in samples {
            let values: Vec<f64> = runs
                .iter()
                .filter_map(|run| run.iter().find(|s| s.part == sample.part && s.metric == sample.metric))
                .map(|found| found.predicted)
                .collect();
            sample.band = forecast.band(Quantity::of_figure(sample.metric.name()), &values);
        }
    }

    /// The row of a table for bands; `None` where the inter-token latency was not measured or the settings are not known.
    pub(crate) fn validated(&self, samples: &[Sample], configuration: Configuration) -> Option<Validated> {
        if self.point.set.ends_with(UNKNOWN_SETTINGS) {
            return None;
        }
        let left_over = |samples: &[Sample], metric| {
            let found = samples.iter().find(|sample| sample.part == ALL && sample.metric == metric)?;
            (found.predicted > 0.0).then(|| log(found.measured / found.predicted))
        };
        let mut best = left_over(samples, Metric::ItlMean)?;
        let (mut step, mut found) = (0.0, samples.to_vec());
        let most = log(LARGEST_CORRECTION);
        let mut next: f64 = best;
        for _ in 0..CORRECTIONS {
            if fabs(best) < RIGHT {
                break;
            }
            next = next.clamp(-most, most);
            let corrected = self.with_factor(exp(next))?;
            let left = left_over(&corrected, Metric::ItlMean)?;
            if fabs(left) < fabs(best) {
                (step, best, found) = (next, left, corrected);
                next = step + best;
            } else {
                // What queues amplify overshoots.
                next = f64::midpoint(step, next);
            }
        }
        let metric = |metric| left_over(&found, metric);
        let residuals = [
            Some(step),
            metric(Metric::TtftMean),
            metric(Metric::TtftP99),
            metric(Metric::ItlMean),
            metric(Metric::E2eMean),
            metric(Metric::E2eP99),
        ];
        Some(Validated { set: self.point.set.clone(), configuration, residuals })
    }
}
