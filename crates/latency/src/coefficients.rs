//! The numbers that tie a step-time model to measurements.

use crate::problem::{Checks, CoefficientList};

/// Fitted coefficients of a step-time model; each model says what they mean in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coefficients {
    /// Overheads outside the step, µs; at least three.
    pub alpha: Vec<f64>,
    /// Terms of the step time.
    pub beta: Vec<f64>,
}

impl Coefficients {
    /// Number of alphas that every model needs.
    pub const ALPHAS: usize = 3;

    pub(crate) fn check(&self, betas: usize, checks: &mut Checks) {
        checks.coefficients(CoefficientList::Alpha, &self.alpha, Self::ALPHAS);
        checks.coefficients(CoefficientList::Beta, &self.beta, betas);
    }

    /// The betas, cut or filled with zeros to `N`.
    pub(crate) fn betas<const N: usize>(&self) -> [f64; N] {
        std::array::from_fn(|i| self.beta.get(i).copied().unwrap_or(0.0))
    }
}
