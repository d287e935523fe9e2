//! What the gateway knows of the instances, and how old it is.

use crate::prefix_index::PrefixIndex;
use blis_engine::Instance;
use blis_kernel::{InstanceId, Tick};

/// Columns over the instances, in their order.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) instances: Vec<InstanceId>,
    /// Requests handed over and not known to have ended; always exact.
    pub(crate) in_flight: Vec<u32>,
    pub(crate) queue_depth: Vec<u32>,
    pub(crate) batch_size: Vec<u32>,
    pub(crate) kv_utilization: Vec<f64>,
    pub(crate) cache: PrefixIndex,
    refresh_interval: Tick,
    refreshed_at: Option<Tick>,
    cache_delay: Tick,
    cache_copied_at: Tick,
}

impl Signals {
    /// For idle instances. With `start_at_zero`, the figures count as read at time zero (B2).
    pub(crate) fn new(
        instances: usize,
        refresh_interval: Tick,
        cache_delay: Tick,
        start_at_zero: bool,
    ) -> Self {
        Self {
            instances: (0..instances as u32).map(InstanceId).collect(),
            in_flight: vec![0; instances],
            queue_depth: vec![0; instances],
            batch_size: vec![0; instances],
            kv_utilization: vec![0.0; instances],
            cache: PrefixIndex::new(instances),
            refresh_interval,
            refreshed_at: start_at_zero.then_some(Tick::ZERO),
            cache_delay,
            cache_copied_at: Tick::ZERO,
        }
    }

    /// Whether somebody who asks now gets new queue, batch and KV figures.
    pub(crate) fn figures_are_due(&self, now: Tick) -> bool {
        self.refreshed_at.is_none_or(|at| now - at >= self.refresh_interval)
    }

    /// Whether somebody who asks now gets a new copy of the cache indexes.
    pub(crate) fn cache_is_due(&self, now: Tick) -> bool {
        now - self.cache_copied_at >= self.cache_delay
    }

    /// Reads the figures of every instance; all must be up to date.
    pub(crate) fn read_figures(&mut self, now: Tick, instances: &[Instance]) {
        self.refreshed_at = Some(now);
        for (i, instance) in instances.iter().enumerate() {
            self.queue_depth[i] = instance.queue_depth();
            self.batch_size[i] = instance.batch_size();
            self.kv_utilization[i] = instance.kv_utilization();
        }
    }

    /// Copies the cache index of every instance; all must be up to date.
    pub(crate) fn copy_caches(&mut self, now: Tick, instances: &mut [Instance]) {
        self.cache_copied_at = now;
        for (i, instance) in instances.iter_mut().enumerate() {
            for change in instance.drain_index_journal() {
                self.cache.apply(InstanceId(i as u32), change);
            }
        }
    }
}
