//! Saturation: how full the instances are, in one number. At 1 they are as full as they should get.

use crate::Reads;

pub mod batch_relative_min;
pub mod concurrency;
pub mod never;
pub mod utilization;

pub use batch_relative_min::BatchRelativeMin;
pub use concurrency::Concurrency;
pub use never::Never;
pub use utilization::Utilization;

/// What a detector sees: columns over the instances, which may be none.
#[derive(Clone, Copy, Debug)]
pub struct FleetView<'a> {
    /// Requests waiting.
    pub queue_depth: &'a [u32],
    /// Share of the KV blocks in use, 0 to 1.
    pub kv_utilization: &'a [f64],
    /// Requests handed over and not finished yet.
    pub in_flight: &'a [u32],
    /// Most requests in a batch, the same for every instance.
    pub max_num_seqs: u32,
}

/// Measures saturation.
pub trait SaturationDetector: Send {
    /// A finite number of at least 0.
    fn saturation(&mut self, fleet: &FleetView<'_>) -> f64;

    /// What it looks at.
    fn reads(&self) -> Reads;
}

/// What one instance counts: the larger of its queue against `queue_depth_threshold` and its KV use against
/// `kv_threshold`.
#[inline]
pub(crate) fn roofline(
    queue_depth: u32,
    kv_utilization: f64,
    queue_depth_threshold: f64,
    kv_threshold: f64,
) -> f64 {
    let queue = f64::from(queue_depth) / queue_depth_threshold;
    let kv = kv_utilization / kv_threshold;
    if kv > queue { kv } else { queue }
}

/// Mean over the instances of [`roofline`]; 1 without instances.
pub(crate) fn mean_roofline(
    queue_depth: &[u32],
    kv_utilization: &[f64],
    queue_depth_threshold: f64,
    kv_threshold: f64,
) -> f64 {
    if queue_depth.is_empty() {
        return 1.0;
    }
    let sum = queue_depth
        .iter()
        .zip(kv_utilization)
        .fold(0.0, |sum, (&queue, &kv)| sum + roofline(queue, kv, queue_depth_threshold, kv_threshold));
    sum / queue_depth.len() as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Params;
    use crate::registry::{Entry, MakeDetector, Setup};

    pub(crate) fn made(entry: Entry<MakeDetector>, values: &[(&str, f64)]) -> Box<dyn SaturationDetector> {
        let configured = entry.with(values).unwrap();
        (entry.make)(&Setup::of(&configured.params))
    }

    /// Instances as (queue depth, KV use, in flight), with batches of at most 100.
    pub(crate) fn saturation(detector: &mut dyn SaturationDetector, fleet: &[(u32, f64, u32)]) -> f64 {
        let queue_depth: Vec<_> = fleet.iter().map(|i| i.0).collect();
        let kv_utilization: Vec<_> = fleet.iter().map(|i| i.1).collect();
        let in_flight: Vec<_> = fleet.iter().map(|i| i.2).collect();
        detector.saturation(&FleetView {
            queue_depth: &queue_depth,
            kv_utilization: &kv_utilization,
            in_flight: &in_flight,
            max_num_seqs: 100,
        })
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        assert!(utilization::ENTRY.with(&[("queue-depth-threshold", 0.0)]).is_err());
        assert!(concurrency::ENTRY.with(&[("max-concurrency", 1.5)]).is_err());
        assert_eq!(Params::default(), never::ENTRY.with_defaults().params);
    }
}
