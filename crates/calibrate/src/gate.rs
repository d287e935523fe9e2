//! Errors that fail a pipeline.

use crate::Metric;
use crate::comparison::Calibration;
use std::fmt;

/// Errors that are still fine, fractions. What is absent is not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gate {
    /// For the MAPE of every metric that was compared.
    pub max_mape: Option<f64>,
    /// Whether the tolerances of the report fail too: that of the time to first token, and that of the hit rate.
    pub tolerances: bool,
}

/// A figure that is not fine.
#[derive(Clone, Debug, PartialEq)]
pub struct Excess {
    /// Which.
    pub figure: String,
    /// Its value.
    pub value: f64,
    /// What would have been fine.
    pub most: f64,
    /// Whether the two are percentage points instead of fractions.
    pub in_points: bool,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scale, unit) = if self.in_points { (1.0, "percentage points") } else { (100.0, "%") };
        let [value, most, over] = [self.value, self.most, self.value - self.most].map(|x| x * scale);
        write!(f, "{} is {value:.2} {unit}, {over:.2} more than the {most:.2} {unit} allowed", self.figure)
    }
}

impl Gate {
    /// Everything that is not fine.
    pub fn judge(&self, calibration: &Calibration) -> Vec<Excess> {
        let mut excesses = Vec::new();
        let mut judge = |figure: String, value: f64, most: f64, in_points: bool| {
            // Whatever cannot be compared is not fine either.
            if value.is_nan() || value > most + 1e-9 {
                excesses.push(Excess { figure, value, most, in_points });
            }
        };
        let name = |metric: Metric| format!("{} MAPE", metric.name().to_uppercase());
        for (&metric, errors) in &calibration.metrics {
            let tolerated =
                (self.tolerances && metric == Metric::Ttft).then_some(calibration.ttft_mape_threshold);
            // The stricter of the two.
            let most = [self.max_mape, tolerated].into_iter().flatten().reduce(f64::min);
            if let Some(most) = most {
                judge(name(metric), errors.mape, most, false);
            }
        }
        if let Some(hit_rate) = calibration.hit_rate.as_ref().filter(|_| self.tolerances) {
            judge(
                "the difference of the hit rates".to_owned(),
                hit_rate.error_pp(),
                hit_rate.tolerance_pp,
                true,
            );
        }
        excesses
    }
}
