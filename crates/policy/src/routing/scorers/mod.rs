//! The criteria that the weighted router can combine, one file each.
//!
//! n candidates; "min-max" is (x - min) / (max - min), "inverted" is (max - x) / (max - min).

pub mod active_requests;
mod block_lru;
pub mod cached_share;
pub mod kv_utilization;
pub mod load_aware;
pub mod load_balance;
pub mod lora_affinity;
pub mod no_hit_lru;
pub mod precise_prefix_cache;
pub mod prefix_affinity;
pub mod queue_depth;
pub mod running_requests;
pub mod vllm_dp;

pub use active_requests::ActiveRequests;
pub use cached_share::CachedShare;
pub use kv_utilization::KvUtilization;
pub use load_aware::LoadAware;
pub use load_balance::LoadBalance;
pub use lora_affinity::LoraAffinity;
pub use no_hit_lru::NoHitLru;
pub use precise_prefix_cache::PrecisePrefixCache;
pub use prefix_affinity::PrefixAffinity;
pub use queue_depth::QueueDepth;
pub use running_requests::RunningRequests;
pub use vllm_dp::VllmDp;

/// Smallest and largest value of a column that is not empty.
fn range(column: &[u32]) -> (u32, u32) {
    column.iter().fold((u32::MAX, 0), |(min, max), &x| (min.min(x), max.max(x)))
}

/// (max - x) / (max - min) for each value; 1 for all when all are equal.
fn inverted(column: &[u32], out: &mut [f64]) {
    let (min, max) = range(column);
    if min == max {
        out.fill(1.0);
        return;
    }
    let span = f64::from(max - min);
    for (score, &x) in out.iter_mut().zip(column) {
        *score = f64::from(max - x) / span;
    }
}
