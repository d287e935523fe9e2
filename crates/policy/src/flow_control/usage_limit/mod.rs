//! Usage limits: up to which saturation each band is served.

pub mod priority_holdback;
pub mod soft_reflective_ceiling;
pub mod static_usage_limit;

pub use priority_holdback::PriorityHoldback;
pub use soft_reflective_ceiling::SoftReflectiveCeiling;
pub use static_usage_limit::StaticUsageLimit;

/// Sets the ceilings. A band is served while the saturation is below its ceiling; the first closed band closes those
/// behind it.
pub trait UsageLimit: Send {
    /// Writes one ceiling per band to `out`, which is as long as `bands`, for this attempt to dispatch. `bands` are
    /// sorted, the most important first, and at least one.
    fn ceilings(&mut self, saturation: f64, bands: &[i32], out: &mut [f64]);
}

/// The ceiling of band number `index` of `bands` on a straight line from `high` to `low`; `high` for a lone band.
fn on_a_line(high: f64, low: f64, index: usize, bands: usize) -> f64 {
    if bands == 1 {
        return high;
    }
    high - index as f64 * (high - low) / (bands - 1) as f64
}

#[cfg(test)]
pub(crate) fn ceilings(limit: &mut dyn UsageLimit, saturation: f64, bands: &[i32]) -> Vec<f64> {
    let mut out = vec![f64::NAN; bands.len()];
    limit.ceilings(saturation, bands, &mut out);
    out
}
