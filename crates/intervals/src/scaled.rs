//! A run again, with other step times.

use blis_cluster::{InstanceKind, Plan};
use blis_latency::{LatencyModel, Scaled};
use std::sync::Arc;

/// The same run with all step times of all instances times a factor above 0; the requests are the same ones.
pub fn scaled(plan: &Plan, factor: f64) -> Plan {
    let mut plan = plan.clone();
    let scale = |latency: &mut Arc<dyn LatencyModel>| {
        *latency = Arc::new(Scaled::new(Arc::clone(latency), factor));
    };
    let of_kind = |kind: &mut InstanceKind| scale(&mut kind.latency);
    scale(&mut plan.latency);
    for model in &mut plan.further_models {
        of_kind(&mut model.kind);
    }
    if let Some(pools) = &mut plan.disaggregation {
        of_kind(&mut pools.prefill);
        of_kind(&mut pools.decode);
    }
    if let Some(elastic) = &mut plan.elastic {
        for pool in &mut elastic.node_pools {
            of_kind(&mut pool.kind);
        }
    }
    plan
}
