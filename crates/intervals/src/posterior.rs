//! Coefficients drawn from what a fit left open: normal around the fitted values, with their covariance, within their bounds.

use crate::normal::quantile;
use blis_config::coefficients::CoefficientSet;
use blis_kernel::rng::GoRand;
use libm::sqrt;

/// The set with other values of what was fitted; `number` says which draw it is. A set without covariance stays as it is.
pub fn drawn(set: &CoefficientSet, seed: i64, number: u32) -> CoefficientSet {
    let factor = cholesky(&set.covariance.matrix);
    let mut rng = GoRand::new(seed.wrapping_add(i64::from(number)));
    // Strictly between 0 and 1.
    let normals: Vec<f64> =
        factor.iter().map(|_| quantile(rng.float64().clamp(1e-12, 1.0 - 1e-12))).collect();
    let values: Vec<f64> = set
        .fitted()
        .into_iter()
        .zip(&factor)
        .map(|(value, row)| value + row.iter().zip(&normals).map(|(l, z)| l * z).sum::<f64>())
        .collect();
    set.with(&values)
}

/// The lower triangle L with L·Lᵀ = the matrix. What is not positive is left at 0, so that what is known exactly stays.
fn cholesky(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = matrix.len();
    let mut lower = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let inner: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let rest = matrix[i][j] - inner;
            lower[i][j] = match i == j {
                true => sqrt(rest.max(0.0)),
                false if lower[j][j] > 0.0 => rest / lower[j][j],
                false => 0.0,
            };
        }
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::{cholesky, drawn};
    use blis_config::coefficients::{Coefficient, CoefficientSet, Covariance};

    fn set(matrix: Vec<Vec<f64>>) -> CoefficientSet {
        let coefficient = |name: &str| Coefficient {
            name: name.to_owned(),
            value: 10.0,
            lower: 0.0,
            upper: 100.0,
            sd: None,
        };
        CoefficientSet {
            coefficients: vec![coefficient("a"), coefficient("b")],
            covariance: Covariance { of: vec!["a".into(), "b".into()], matrix },
            ..CoefficientSet::default()
        }
    }

    #[test]
    fn the_factor_times_itself_is_the_matrix() {
        let lower = cholesky(&[vec![4.0, 2.0], vec![2.0, 5.0]]);
        assert_eq!(lower, [vec![2.0, 0.0], vec![1.0, 2.0]]);
    }

    #[test]
    fn without_variance_every_draw_is_the_fit() {
        let fit = set(vec![vec![0.0, 0.0], vec![0.0, 0.0]]);
        assert!((0..5).all(|number| drawn(&fit, 42, number) == fit));
    }

    #[test]
    fn draws_vary_as_the_covariance_says() {
        let fit = set(vec![vec![4.0, 2.0], vec![2.0, 5.0]]);
        let draws: Vec<Vec<f64>> = (0..4000).map(|n| drawn(&fit, 42, n).fitted()).collect();
        let moment =
            |of: &dyn Fn(&[f64]) -> f64| draws.iter().map(|d| of(d)).sum::<f64>() / draws.len() as f64;
        assert!((moment(&|d| d[0]) - 10.0).abs() < 0.15);
        assert!((moment(&|d| (d[0] - 10.0) * (d[0] - 10.0)) - 4.0).abs() < 0.4);
        assert!((moment(&|d| (d[0] - 10.0) * (d[1] - 10.0)) - 2.0).abs() < 0.4);
        assert_eq!(drawn(&fit, 42, 7), drawn(&fit, 42, 7));
    }
}
