//! LoRA adapters on one instance: which are loaded, which may go, and what they cost a step.
//!
//! A set of slots holds the adapters that are resident. When the request at the head of the wait queue needs another one,
//! the least recently used adapter that nobody runs with gives way, and the load takes its time; one load at a time. Until
//! it is done nobody behind that request is admitted.

use blis_kernel::Tick;

/// An adapter that requests may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterModel {
    /// Its name.
    pub name: String,
    /// Its rank; at least 1.
    pub rank: u32,
    /// From the decision to load it until requests may run with it; at least one microsecond.
    pub load_time: Tick,
}

/// What adapters of a rank cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverheadTier {
    /// The rank.
    pub rank: u32,
    /// By which share of its time each distinct adapter of a batch lengthens a step; at least 0.
    pub per_adapter: f64,
}

/// The adapters of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// Adapters that are resident at once; at least 1.
    pub capacity: u32,
    /// All adapters; requests name them by their place here.
    pub adapters: Vec<AdapterModel>,
    /// Step overhead by rank, ranks ascending; empty = none.
    pub overhead: Vec<OverheadTier>,
}

/// What happened to one adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdapterFigures {
    /// Times it was loaded.
    pub loads: u64,
    /// Times it gave way to another.
    pub evictions: u64,
    /// Admissions of requests that found it resident without having to ask for it.
    pub hits: u64,
}

/// No adapter.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Resident {
    adapter: u32,
    pins: u32,
}

/// The adapters of an instance and their state.
#[derive(Debug)]
pub(crate) struct Adapters {
    config: std::sync::Arc<AdapterConfig>,
    /// Least recently used first.
    resident: Vec<Resident>,
    loading: Option<u32>,
    figures: Vec<AdapterFigures>,
    /// Adapters that were resident when the instance failed.
    lost: u64,
    /// By adapter: whether it was seen in the batch being looked at.
    seen: Vec<bool>,
}

/// What the gate found for the request at the head of the wait queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing to do, or nothing that can be done.
    Open,
    /// Its adapter will be there at this time. `lapsed`: the adapter that gave way although requests that wait hold it.
    Loading { until: Tick, lapsed: Option<u32> },
}

impl Adapters {
    pub(crate) fn new(config: std::sync::Arc<AdapterConfig>) -> Self {
        let count = config.adapters.len();
        Self {
            resident: Vec::new(),
            loading: None,
            figures: vec![AdapterFigures::default(); count],
            lost: 0,
            seen: vec![false; count],
            config,
        }
    }

    pub(crate) fn is_resident(&self, adapter: u32) -> bool {
        self.resident.iter().any(|resident| resident.adapter == adapter)
    }

    pub(crate) fn figures(&self) -> &[AdapterFigures] {
        &self.figures
    }

    /// Before a step, with the adapter that the head of the wait queue needs. `nobody_runs`: pins are those of
    /// preempted requests that wait themselves, perhaps for this very load, and need not be respected.
    pub(crate) fn gate(&mut self, now: Tick, adapter: u32, nobody_runs: bool) -> Gate {
        if self.loading.is_some() || self.is_resident(adapter) {
            return Gate::Open;
        }
        let mut lapsed = None;
        if self.resident.len() == self.config.capacity as usize {
            let unpinned = self.resident.iter().position(|resident| resident.pins == 0);
            let Some(victim) = unpinned.or(nobody_runs.then_some(0)) else { return Gate::Open };
            let victim = self.resident.remove(victim);
            self.figures[victim.adapter as usize].evictions += 1;
            lapsed = (victim.pins > 0).then_some(victim.adapter);
        }
        self.loading = Some(adapter);
        Gate::Loading { until: now + self.config.adapters[adapter as usize].load_time, lapsed }
    }

    /// The load is done.
    pub(crate) fn loaded(&mut self) {
        let adapter = self.loading.take().expect("a load that was begun");
        self.figures[adapter as usize].loads += 1;
        self.resident.push(Resident { adapter, pins: 0 });
        assert!(self.resident.len() <= self.config.capacity as usize, "more adapters are resident than fit");
    }

    /// None is resident any more, and none is being loaded.
    pub(crate) fn clear(&mut self) {
        self.lost += self.resident.len() as u64;
        self.resident.clear();
        self.loading = None;
    }

    /// A request that was admitted uses its adapter, which is resident.
    pub(crate) fn touch(&mut self, adapter: u32) {
        let at = self.place(adapter);
        let resident = self.resident.remove(at);
        self.resident.push(resident);
    }

    /// The same request keeps it; `asked`: it was the one for which it was loaded.
    pub(crate) fn pin(&mut self, adapter: u32, asked: bool) {
        let at = self.place(adapter);
        self.resident[at].pins += 1;
        self.figures[adapter as usize].hits += u64::from(!asked);
    }

    pub(crate) fn unpin(&mut self, adapter: u32) {
        let at = self.place(adapter);
        self.resident[at].pins -= 1;
    }

    fn place(&self, adapter: u32) -> usize {
        self.resident.iter().position(|resident| resident.adapter == adapter).expect("a resident adapter")
    }

    /// By how much a step takes longer that works for requests with these adapters (some of them [`NONE`]).
    pub(crate) fn step_factor(&mut self, adapters: impl Iterator<Item = u32>) -> f64 {
        let (mut distinct, mut largest_rank) = (0u32, 0);
        self.seen.fill(false);
        for adapter in adapters.filter(|&adapter| adapter != NONE) {
            if !std::mem::replace(&mut self.seen[adapter as usize], true) {
                distinct += 1;
                largest_rank = largest_rank.max(self.config.adapters[adapter as usize].rank);
            }
        }
        // The first of equally near ranks is the lower one.
        let tier = self.config.overhead.iter().min_by_key(|tier| tier.rank.abs_diff(largest_rank));
        match tier {
            Some(tier) if distinct > 0 => 1.0 + tier.per_adapter * f64::from(distinct),
            _ => 1.0,
        }
    }

    /// Checks that loads, evictions and failures account for what is resident, and that so many requests hold adapters.
    ///
    /// # Panics
    /// When not.
    pub(crate) fn audit(&self, holders: u64) {
        let (loads, evictions) =
            self.figures.iter().fold((0, 0), |(l, e), figures| (l + figures.loads, e + figures.evictions));
        let there = self.resident.len() as u64;
        assert_eq!(loads - evictions - self.lost, there, "an adapter is lost or resident twice");
        let pins: u64 = self.resident.iter().map(|resident| u64::from(resident.pins)).sum();
        assert_eq!(pins, holders, "pins and the requests that hold adapters differ");
    }
}
