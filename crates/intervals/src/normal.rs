//! The normal distribution, and points that stand for equally probable parts of it.

use libm::{exp, fabs, log, sqrt};

/// The value of a standard normal variable below which it lies with probability `p` in (0, 1).
///
/// Acklam's rational approximation, with a relative error below 1.2e-9.
pub(crate) fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    /// Below this share the tail's approximation holds.
    const TAIL: f64 = 0.024_25;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = sqrt(-2.0 * log(p));
        polynomial(&C, q) / polynomial(&D, q)
    };
    if p < TAIL {
        return tail(p);
    }
    if p > 1.0 - TAIL {
        return -tail(1.0 - p);
    }
    let q = p - 0.5;
    polynomial(&A, q * q) * q / polynomial(&B, q * q)
}

/// The middle of each of `count` equally probable parts of a standard normal distribution, ascending.
pub(crate) fn midpoints(count: u32) -> impl Iterator<Item = f64> {
    (0..count).map(move |n| quantile((f64::from(n) + 0.5) / f64::from(count)))
}

/// How much a neighbour at this distance counts: exp(-d² / 2).
pub(crate) fn kernel(distance: f64) -> f64 {
    exp(-distance * distance / 2.0)
}

/// The value below which a share of the values lies, each of them the middle of an equal part; between two middles in a
/// straight line. `values` are ascending and there are some.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let last = values.len() - 1;
    let rank = (share * values.len() as f64 - 0.5).clamp(0.0, last as f64);
    let below = rank as usize;
    let above = (below + 1).min(last);
    values[below] + (values[above] - values[below]) * (rank - below as f64)
}

/// The largest size that a share of the residuals has at most; 0 without any.
pub(crate) fn size_of_share(residuals: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut sizes: Vec<f64> = residuals.map(fabs).collect();
    sizes.sort_by(f64::total_cmp);
    if sizes.is_empty() { 0.0 } else { percentile(&sizes, share) }
}

#[cfg(test)]
mod tests {
    use super::{midpoints, percentile, quantile};

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.95, 1.644_853_627), (0.975, 1.959_963_985), (0.001, -3.090_232_306)] {
            assert!((quantile(p) - z).abs() < 1e-6, "{p}: {}", quantile(p));
            assert!((quantile(1.0 - p) + z).abs() < 1e-6, "{p}");
        }
    }

    #[test]
    fn midpoints_give_the_percentiles_of_what_they_stand_for() {
        let points: Vec<f64> = midpoints(20).collect();
        assert!((percentile(&points, 0.95) - 1.70).abs() < 0.01, "{}", percentile(&points, 0.95));
        let points: Vec<f64> = midpoints(2000).collect();
        assert!((percentile(&points, 0.95) - 1.645).abs() < 1e-3);
    }
}
