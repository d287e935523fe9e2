//! What the gateway knows of the instances, and how old it is.

use crate::prefix_index::PrefixIndex;
use blis_engine::Replica;
use blis_kernel::{InstanceId, Tick};

/// Figures of instances, one row each, in instance order.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) instances: Vec<InstanceId>,
    /// Requests handed over and not known to have ended; always exact.
    pub(crate) in_flight: Vec<u32>,
    pub(crate) queue_depth: Vec<u32>,
    pub(crate) batch_size: Vec<u32>,
    pub(crate) kv_utilization: Vec<f64>,
    /// By adapter: at which instances it is resident.
    pub(crate) adapters: Vec<Vec<bool>>,
}

impl Columns {
    fn push_idle(&mut self) {
        self.instances.push(InstanceId(self.instances.len() as u32));
        self.in_flight.push(0);
        self.queue_depth.push(0);
        self.batch_size.push(0);
        self.kv_utilization.push(0.0);
        self.adapters.iter_mut().for_each(|resident| resident.push(false));
    }

    /// Takes over the rows of `members`.
    fn gather(&mut self, all: &Self, members: &[u32]) {
        fn pick<T: Copy>(to: &mut Vec<T>, from: &[T], members: &[u32]) {
            to.clear();
            to.extend(members.iter().map(|&i| from[i as usize]));
        }
        pick(&mut self.instances, &all.instances, members);
        pick(&mut self.in_flight, &all.in_flight, members);
        pick(&mut self.queue_depth, &all.queue_depth, members);
        pick(&mut self.batch_size, &all.batch_size, members);
        pick(&mut self.kv_utilization, &all.kv_utilization, members);
        self.adapters.resize_with(all.adapters.len(), Vec::new);
        for (resident, all) in self.adapters.iter_mut().zip(&all.adapters) {
            pick(resident, all, members);
        }
    }
}

/// What is known of each instance.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) all: Columns,
    /// Tokens that each instance's KV cache holds, for the autoscaler.
    pub(crate) kv_capacity_tokens: Vec<u64>,
    some: Columns,
    others: Columns,
    pub(crate) cache: PrefixIndex,
    refresh_interval: Tick,
    start_at_zero: bool,
    /// When each instance's figures were last read.
    refreshed_at: Vec<Option<Tick>>,
    /// When the first of the routable instances is due again.
    due_at: Tick,
    cache_delay: Tick,
    cache_copied_at: Tick,
}

impl Signals {
    /// For `instances` idle instances. With `start_at_zero`, the figures count as read at time zero (B2).
    pub(crate) fn new(
        instances: usize,
        adapters: usize,
        refresh_interval: Tick,
        cache_delay: Tick,
        start_at_zero: bool,
    ) -> Self {
        let mut signals = Self {
            kv_capacity_tokens: Vec::new(),
            all: Columns { adapters: vec![Vec::new(); adapters], ..Columns::default() },
            some: Columns::default(),
            others: Columns::default(),
            cache: PrefixIndex::new(instances),
            refresh_interval,
            start_at_zero,
            refreshed_at: Vec::new(),
            due_at: Tick::ZERO,
            cache_delay,
            cache_copied_at: Tick::ZERO,
        };
        (0..instances).for_each(|_| signals.add_instance());
        signals
    }

    /// One more instance, behind the others.
    pub(crate) fn add_instance(&mut self) {
        self.all.push_idle();
        self.kv_capacity_tokens.push(0);
        self.refreshed_at.push(self.start_at_zero.then_some(Tick::ZERO));
        self.cache.make_room_for(self.all.instances.len());
    }

    /// The instance has lost everything; what is known of it is worth nothing.
    pub(crate) fn forget(&mut self, instance: usize) {
        self.refreshed_at[instance] = None;
        self.all.queue_depth[instance] = 0;
        self.all.batch_size[instance] = 0;
        self.all.kv_utilization[instance] = 0.0;
        self.all.adapters.iter_mut().for_each(|resident| resident[instance] = false);
    }

    /// The figures of `members`.
    #[inline]
    pub(crate) fn of(&mut self, members: &[u32]) -> (&Columns, &PrefixIndex) {
        if members.len() == self.all.instances.len() {
            return (&self.all, &self.cache);
        }
        self.some.gather(&self.all, members);
        (&self.some, &self.cache)
    }

    /// The figures of two groups at once.
    pub(crate) fn of_both(&mut self, some: &[u32], others: &[u32]) -> (&Columns, &Columns) {
        self.some.gather(&self.all, some);
        self.others.gather(&self.all, others);
        (&self.some, &self.others)
    }

    /// The set of routable instances is another one.
    pub(crate) fn members_changed(&mut self) {
        self.due_at = Tick::ZERO;
    }

    /// Whether somebody who asks now gets new queue, batch and KV figures of any routable instance.
    #[inline]
    pub(crate) fn figures_are_due(&self, now: Tick) -> bool {
        now >= self.due_at
    }

    #[inline]
    fn is_due(&self, instance: usize, now: Tick) -> bool {
        self.refreshed_at[instance].is_none_or(|at| now - at >= self.refresh_interval)
    }

    /// Whether somebody who asks now gets a new copy of the cache indexes.
    pub(crate) fn cache_is_due(&self, now: Tick) -> bool {
        now - self.cache_copied_at >= self.cache_delay
    }

    /// Reads the figures of those of the routable `members` that are due; all must be up to date.
    pub(crate) fn read_figures(&mut self, now: Tick, members: &[u32], instances: &[Replica]) {
        self.due_at = Tick::MAX;
        for i in members.iter().map(|&i| i as usize) {
            if self.is_due(i, now) {
                self.refreshed_at[i] = Some(now);
                self.all.queue_depth[i] = instances[i].queue_depth();
                self.all.batch_size[i] = instances[i].batch_size();
                self.all.kv_utilization[i] = instances[i].kv_utilization();
                self.kv_capacity_tokens[i] = instances[i].kv_tokens();
                for (adapter, resident) in self.all.adapters.iter_mut().enumerate() {
                    resident[i] = instances[i].has_adapter(adapter as u32);
                }
            }
            let read_at = self.refreshed_at[i].unwrap_or_default();
            self.due_at = self.due_at.min(read_at + self.refresh_interval);
        }
    }

    /// Copies the cache index of every instance; all must be up to date.
    pub(crate) fn copy_caches(&mut self, now: Tick, instances: &mut [Replica]) {
        self.cache_copied_at = now;
        for (i, instance) in instances.iter_mut().enumerate() {
            let cache = &mut self.cache;
            instance.drain_index_journal(|change| cache.apply(InstanceId(i as u32), change));
        }
    }
}
