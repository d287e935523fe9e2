//! Small symmetric systems of equations.

/// A square matrix, row by row.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// The lower triangle L with L·Lᵀ = the matrix; `None` when it is not positive definite.
fn cholesky(matrix: &Matrix) -> Option<Matrix> {
    let n = matrix.len();
    let mut lower = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let rest: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let value = matrix[i][j] - rest;
            if i == j {
                if value <= 0.0 || !value.is_finite() {
                    return None;
                }
                lower[i][i] = value.sqrt();
            } else {
                lower[i][j] = value / lower[j][j];
            }
        }
    }
    Some(lower)
}

/// The x of matrix·x = `right`; `None` when the matrix is not positive definite.
pub(crate) fn solve(matrix: &Matrix, right: &[f64]) -> Option<Vec<f64>> {
    let lower = cholesky(matrix)?;
    let n = right.len();
    let mut y = vec![0.0; n];
    for i in 0..n {
        let rest: f64 = (0..i).map(|k| lower[i][k] * y[k]).sum();
        y[i] = (right[i] - rest) / lower[i][i];
    }
    let mut x = vec![0.0; n];
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|k| lower[k][i] * x[k]).sum();
        x[i] = (y[i] - rest) / lower[i][i];
    }
    Some(x)
}

/// The inverse, exactly symmetric; `None` when the matrix is not positive definite.
pub(crate) fn inverse(matrix: &Matrix) -> Option<Matrix> {
    let n = matrix.len();
    let unit = |j: usize| -> Vec<f64> { (0..n).map(|i| f64::from(u8::from(i == j))).collect() };
    let columns = (0..n).map(|j| solve(matrix, &unit(j))).collect::<Option<Matrix>>()?;
    let entry = |i: usize, j: usize| f64::midpoint(columns[i][j], columns[j][i]);
    Some((0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::{inverse, solve};

    #[test]
    fn a_system_times_its_solution_is_its_right_side() {
        let matrix = vec![vec![4.0, 2.0, 0.5], vec![2.0, 3.0, 1.0], vec![0.5, 1.0, 2.0]];
        let x = solve(&matrix, &[1.0, 2.0, 3.0]).expect("positive definite");
        for (row, right) in matrix.iter().zip([1.0, 2.0, 3.0]) {
            let sum: f64 = row.iter().zip(&x).map(|(a, b)| a * b).sum();
            assert!((sum - right).abs() < 1e-12);
        }
        let inverse = inverse(&matrix).expect("positive definite");
        let unit: f64 = (0..3).map(|k| matrix[1][k] * inverse[k][1]).sum();
        assert!((unit - 1.0).abs() < 1e-12);
        assert_eq!(solve(&vec![vec![1.0, 2.0], vec![2.0, 1.0]], &[1.0, 1.0]), None);
    }
}
