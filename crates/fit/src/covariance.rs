//! How sure fitted coefficients are.
//!
//! ```text
//! covariance = σ²·d·(JᵀVJ + diag(12/(upper − lower)²))⁻¹
//! σ² = Σ v·r² / (n − p)                                 the spread of residuals, with n the points' weight in all
//! d  = max(1, Σ gᵀ(JᵀVJ)⁻¹g · G/(G − 1) / (σ²·p))       g = Jᵀ V r of one model's points, G models
//! ```
//!
//! d is by how much the residuals of a model hang together: with few models they say less than their number promises. The
//! bounds count like an even prior, so that nothing is less sure than they are.

use crate::matrix::{Matrix, inverse};
use crate::minimise::{Free, Minimum, curvature, normal};
use crate::residuals::Measured;
use std::collections::BTreeMap;

/// Correlations beyond this are told.
const HIGH: f64 = 0.95;

/// The covariance at a minimum. `models`: of each residual.
pub(crate) fn covariance(
    measured: &Measured<'_>,
    minimum: &Minimum,
    free: &[Free],
    models: &[&str],
) -> Matrix {
    let Minimum { residuals, jacobian, scales, .. } = minimum;
    let kinds = &measured.kinds;
    let count = free.len();
    let (mut matrix, _) = normal(kinds, scales, residuals, jacobian, count);
    let weight: f64 = kinds.iter().map(|kind| kind.weight).sum();
    let weighted: f64 = kinds
        .iter()
        .zip(residuals)
        .map(|(kind, residual)| curvature(kind, scales, *residual) * residual * residual)
        .sum();
    // Scales are medians: with no more weight than parameters the spread is taken as they have it.
    let spread = weighted / (weight - count as f64).max(weight / 10.0);
    let mut of_model: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (((kind, residual), row), model) in kinds.iter().zip(residuals).zip(jacobian).zip(models) {
        let pull = curvature(kind, scales, *residual) * residual;
        let sums = of_model.entry(model).or_insert_with(|| vec![0.0; count]);
        for (sum, slope) in sums.iter_mut().zip(row) {
            *sum += slope * pull;
        }
    }
    for (index, one) in free.iter().enumerate() {
        let range = one.upper - one.lower;
        matrix[index][index] += 12.0 / (range * range).max(f64::MIN_POSITIVE);
    }
    let mut covariance = inverse(&matrix).unwrap_or_else(|| {
        // So nearly the same effects that rounding decides: each by itself.
        let alone = |i: usize, j: usize| if i == j { 1.0 / matrix[i][i] } else { 0.0 };
        (0..count).map(|i| (0..count).map(|j| alone(i, j)).collect()).collect()
    });
    let models = of_model.len() as f64;
    let together: f64 = of_model
        .values()
        .map(|pull| {
            let along = |(i, a): (usize, &f64)| {
                a * pull.iter().zip(&covariance[i]).map(|(b, entry)| b * entry).sum::<f64>()
            };
            pull.iter().enumerate().map(along).sum::<f64>()
        })
        .sum();
    let few = if models > 1.0 { models / (models - 1.0) } else { 1.0 };
    let design = if spread > 0.0 { (together * few / (spread * count as f64)).max(1.0) } else { 1.0 };
    for entry in covariance.iter_mut().flatten() {
        *entry *= spread * design;
    }
    capped(&mut covariance, free);
    covariance
}

/// Scales rows and columns down so that no standard deviation exceeds that of an even spread between the bounds.
fn capped(covariance: &mut Matrix, free: &[Free]) {
    let shrink: Vec<f64> = free
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let most = (one.upper - one.lower) / 12.0_f64.sqrt();
            let sd = covariance[index][index].sqrt();
            if sd > most { most / sd } else { 1.0 }
        })
        .collect();
    for (i, row) in covariance.iter_mut().enumerate() {
        for (j, entry) in row.iter_mut().enumerate() {
            *entry *= shrink[i] * shrink[j];
        }
    }
}

/// Pairs that are hard to tell apart.
pub(crate) fn correlated(names: &[&str], covariance: &Matrix) -> Vec<(String, String, f64)> {
    let mut pairs = Vec::new();
    for i in 0..names.len() {
        for j in 0..i {
            let correlation = covariance[i][j] / (covariance[i][i] * covariance[j][j]).sqrt();
            if correlation.abs() > HIGH {
                pairs.push((names[j].to_owned(), names[i].to_owned(), correlation));
            }
        }
    }
    pairs
}
