//! Which GPUs a run has.

use super::model::Served;
use super::pools::Pools;
use std::collections::BTreeMap;

/// GPUs of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// The type, where it is known.
    pub gpu: Option<String>,
    /// How many.
    pub count: u32,
}

/// The GPUs of all instances that there are at first, by type.
pub(super) fn at_first(
    instances: u32,
    served: &Served,
    pools: Option<&Pools>,
    further_models: &[(u32, Served)],
) -> Vec<Gpus> {
    let mut groups: Vec<(u32, &Served)> =
        further_models.iter().map(|(count, served)| (*count, served)).collect();
    let in_pools = pools.map(Pools::groups).into_iter().flatten();
    let mut others = instances;
    for (count, served) in in_pools {
        others = others.saturating_sub(count);
        groups.push((count, served));
    }
    groups.push((others, served));
    let mut by_type = BTreeMap::new();
    for (count, served) in groups {
        *by_type.entry(served.gpu.clone()).or_insert(0_u32) += count.saturating_mul(served.gpus);
    }
    let gpus = by_type.into_iter().map(|(gpu, count)| Gpus { gpu, count });
    gpus.filter(|gpus| gpus.count > 0).collect()
}
