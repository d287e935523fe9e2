//! LoRA adapters as lists: who is resident, who holds them, what is being loaded.

use blis_engine::{AdapterConfig, AdapterFigures};
use std::collections::BTreeSet;

pub struct Adapters {
    config: AdapterConfig,
    /// Least recently used first, each with the requests that hold it.
    pub resident: Vec<(u32, BTreeSet<usize>)>,
    pub loading: Option<u32>,
    /// Requests for which an adapter was loaded and which were not admitted since.
    asked: BTreeSet<usize>,
    pub figures: Vec<AdapterFigures>,
}

impl Adapters {
    pub fn new(config: AdapterConfig) -> Self {
        Self {
            figures: vec![AdapterFigures::default(); config.adapters.len()],
            config,
            resident: Vec::new(),
            loading: None,
            asked: BTreeSet::new(),
        }
    }

    pub fn is_resident(&self, adapter: u32) -> bool {
        self.resident.iter().any(|(resident, _)| *resident == adapter)
    }

    /// 14.2: the head of the queue is `request`; `running` is the batch. When a load begins, how long it takes.
    pub fn gate(&mut self, request: usize, adapter: u32, running: &[usize]) -> Option<i64> {
        if self.loading.is_some() || self.is_resident(adapter) {
            return None;
        }
        if self.resident.len() as u32 >= self.config.capacity {
            let free = self.resident.iter().position(|(_, holders)| holders.is_empty());
            let victim = match free {
                Some(victim) => victim,
                // Those who hold the others wait as well, and nobody runs who could let one go.
                None if running.is_empty() => 0,
                None => return None,
            };
            let (evicted, _) = self.resident.remove(victim);
            self.figures[evicted as usize].evictions += 1;
        }
        self.loading = Some(adapter);
        self.asked.insert(request);
        Some(self.config.adapters[adapter as usize].load_time.as_us())
    }

    pub fn loaded(&mut self) {
        let adapter = self.loading.take().expect("a load");
        self.figures[adapter as usize].loads += 1;
        self.resident.push((adapter, BTreeSet::new()));
        assert!(self.resident.len() as u32 <= self.config.capacity);
    }

    /// 14.3.
    pub fn admit(&mut self, request: usize, adapter: u32) {
        let place =
            self.resident.iter().position(|(resident, _)| *resident == adapter).expect("a resident adapter");
        let (_, mut holders) = self.resident.remove(place);
        if holders.insert(request) && !self.asked.remove(&request) {
            self.figures[adapter as usize].hits += 1;
        }
        self.resident.push((adapter, holders));
    }

    pub fn release(&mut self, request: usize) {
        self.asked.remove(&request);
        for (_, holders) in &mut self.resident {
            holders.remove(&request);
        }
    }

    pub fn step_factor(&self, scheduled: &BTreeSet<u32>) -> f64 {
        let Some(rank) = scheduled.iter().map(|&adapter| self.config.adapters[adapter as usize].rank).max()
        else {
            return 1.0;
        };
        let mut nearest: Option<(u32, f64)> = None;
        for tier in &self.config.overhead {
            let is_nearer = nearest.is_none_or(|(near, _)| tier.rank.abs_diff(rank) < near.abs_diff(rank));
            if is_nearer {
                nearest = Some((tier.rank, tier.per_adapter));
            }
        }
        nearest.map_or(1.0, |(_, per_adapter)| 1.0 + per_adapter * scheduled.len() as f64)
    }
}
