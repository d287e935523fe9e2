//! The offload chain: tiers for KV blocks below the GPU.
//!
//! Full blocks of running requests are copied to a tier in CPU memory, and from there to devices, on which nothing is
//! ever evicted. A prompt whose blocks are in CPU memory gets them back when it is admitted. One whose blocks are on a
//! device is put off: a transfer brings them to CPU memory while others go ahead. Copies between GPU and CPU take no
//! time; transfers take the time of their device and its threads.
//!
//! This part knows keys and times; `kv/lower.rs` connects it with the GPU's blocks.

mod deferral;
mod device;
mod figures;
mod staging;
mod station;

use blis_kernel::Tick;
use deferral::{Deferral, Deferrals, Phase};
use device::Jitter;
pub use device::{Channel, DeviceModel};
pub use figures::OffloadFigures;
use rustc_hash::FxHashSet;
use staging::{Lookup, Staging};
pub use station::{Direction, OffloadTierConfig, TransferStation};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tiers of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct OffloadConfig {
    /// Blocks that the CPU tier holds; at least 1.
    pub cpu_blocks: u64,
    /// Size of a block, bytes; at least 1.
    pub block_bytes: u64,
    /// Whether only blocks of prompts are copied down.
    pub prompt_only: bool,
    /// Seed of the run, from which the jitter of the devices is drawn.
    pub seed: i64,
    /// The devices, from the nearest to the farthest; there may be none.
    pub tiers: Vec<OffloadTierConfig>,
}

/// What a transfer is for.
#[derive(Clone, Debug)]
enum Transfer {
    /// These blocks come to CPU memory.
    Promotion(Vec<u64>),
    /// This block goes from CPU memory to a device.
    Copy { tier: usize, key: u64 },
}

/// What must happen before a prompt is sized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// A block is on its way already.
    Arriving(u64),
    /// These blocks are on a device.
    FromDevice { tier: usize, keys: Vec<u64> },
}

/// Where the next block of a prompt is, if not on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// In CPU memory.
    Cpu,
    /// On its way there.
    Arriving,
    /// On this device, the nearest that has it.
    Device(usize),
    /// Nowhere.
    Nowhere,
}

/// The tiers below the GPU and what moves between them.
#[derive(Debug)]
pub(super) struct OffloadChain {
    config: Arc<OffloadConfig>,
    now: Tick,
    staging: Staging,
    /// Keys on each device.
    devices: Vec<FxHashSet<u64>>,
    station: TransferStation,
    transfers: BTreeMap<u64, Transfer>,
    jitter: Jitter,
    /// Keys that a device was asked about.
    known: FxHashSet<u64>,
    deferrals: Deferrals,
    figures: OffloadFigures,
}

impl OffloadChain {
    pub(super) fn new(config: Arc<OffloadConfig>) -> Self {
        Self {
            now: Tick::ZERO,
            staging: Staging::new(config.cpu_blocks as usize),
            devices: vec![FxHashSet::default(); config.tiers.len()],
            station: TransferStation::new(&config.tiers),
            transfers: BTreeMap::new(),
            jitter: Jitter::new(config.seed),
            known: FxHashSet::default(),
            deferrals: Deferrals::default(),
            figures: OffloadFigures::new(config.tiers.len()),
            config,
        }
    }

    /// What the tiers hold and what moves between them is lost; the counters stay.
    pub(super) fn clear(&mut self) {
        self.figures.cpu_evictions += self.staging.evicted();
        self.staging = Staging::new(self.config.cpu_blocks as usize);
        self.devices.iter_mut().for_each(FxHashSet::clear);
        self.station = TransferStation::new(&self.config.tiers);
        self.transfers.clear();
        self.known.clear();
    }

    pub(super) fn prompt_only(&self) -> bool {
        self.config.prompt_only
    }

    pub(super) fn has_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    /// It is `now`; transfers that have finished since the last call have their effect.
    pub(super) fn begin_step(&mut self, now: Tick) {
        self.now = now;
        for job in self.station.poll(now) {
            match self.transfers.remove(&job).expect("a transfer that was submitted") {
                Transfer::Promotion(keys) => {
                    for key in keys {
                        self.staging.complete(key);
                    }
                }
                Transfer::Copy { tier, key } => {
                    self.devices[tier].insert(key);
                    self.staging.unpin(key);
                }
            }
        }
    }

    /// It is `now`, but no time to look at transfers.
    pub(super) fn set_time(&mut self, now: Tick) {
        self.now = now;
    }

    pub(super) fn whereabouts(&self, key: u64) -> Whereabouts {
        match self.staging.lookup(key) {
            Lookup::Hit => Whereabouts::Cpu,
            Lookup::Arriving => Whereabouts::Arriving,
            Lookup::Miss => self
                .devices
                .iter()
                .position(|device| device.contains(&key))
                .map_or(Whereabouts::Nowhere, Whereabouts::Device),
        }
    }

    /// The GPU takes a copy of a block in CPU memory.
    pub(super) fn reload(&mut self, key: u64) {
        self.staging.touch(key);
        self.figures.reloaded_blocks += 1;
    }

    /// An allocation found nothing below the GPU and too little on it.
    pub(super) fn miss(&mut self) {
        self.figures.misses += 1;
    }

    /// Brings blocks of a device to CPU memory; false when there is no room for them.
    pub(super) fn promote(&mut self, tier: usize, keys: Vec<u64>) -> bool {
        let Some(fresh) = self.staging.prepare(&keys) else {
            self.figures.refused_promotions += 1;
            return false;
        };
        self.figures.promotions += 1;
        self.figures.devices[tier].blocks_read += fresh;
        let job = self.submit(tier, Direction::Read, fresh * self.config.block_bytes);
        self.transfers.insert(job, Transfer::Promotion(keys));
        true
    }

    /// Copies a block of the GPU down, unless it is there.
    pub(super) fn store(&mut self, key: u64) {
        if self.staging.lookup(key) != Lookup::Miss {
            self.staging.touch(key);
            return;
        }
        if !self.staging.store(key) {
            self.figures.skipped_blocks += 1;
            return;
        }
        self.figures.stored_blocks += 1;
        for tier in 0..self.devices.len() {
            self.staging.pin(key);
            self.figures.devices[tier].blocks_written += 1;
            let job = self.submit(tier, Direction::Write, self.config.block_bytes);
            self.transfers.insert(job, Transfer::Copy { tier, key });
        }
    }

    fn submit(&mut self, tier: usize, direction: Direction, bytes: u64) -> u64 {
        let jitter = self.jitter.draw(self.config.tiers[tier].device.jitter_stddev);
        self.station.submit(tier, direction, bytes, self.now, jitter)
    }

    /// A request of this name needs `fetch` first; it waits, or goes on without when there is no room for its blocks.
    pub(super) fn defer(&mut self, slot: u32, name: String, fetch: Fetch) {
        self.figures.deferrals += 1;
        let (keys, phase) = match fetch {
            Fetch::Arriving(key) => (vec![key], Phase::Promoting),
            Fetch::FromDevice { tier, keys } => {
                if !keys.iter().all(|key| self.known.contains(key)) {
                    (keys, Phase::Asking { tier })
                } else if self.promote(tier, keys.clone()) {
                    (keys, Phase::Promoting)
                } else {
                    self.figures.given_up += 1;
                    self.deferrals.add(slot, name, None);
                    return;
                }
            }
        };
        let deferral = Deferral { slot, keys, phase, since: self.now };
        self.deferrals.add(slot, name, Some(deferral));
    }

    /// Looks how far the fetches are.
    pub(super) fn poll_deferrals(&mut self) {
        let mut deferrals = std::mem::take(&mut self.deferrals);
        deferrals.decide(|deferral| {
            let decided = self.look_at(deferral);
            if decided {
                self.figures.waited += self.now - deferral.since;
            }
            decided
        });
        self.deferrals = deferrals;
    }

    /// Whether the request need not wait any longer.
    fn look_at(&mut self, deferral: &mut Deferral) -> bool {
        let (mut missing, mut arriving) = (false, false);
        for &key in &deferral.keys {
            match self.staging.lookup(key) {
                Lookup::Miss => missing = true,
                Lookup::Arriving => arriving = true,
                Lookup::Hit => {}
            }
        }
        let is_here = !missing && !arriving;
        let gives_up = match deferral.phase {
            Phase::Asking { tier } => {
                self.known.extend(&deferral.keys);
                deferral.phase = Phase::Promoting;
                missing && !self.promote(tier, deferral.keys.clone())
            }
            Phase::Promoting => missing,
        };
        let gives_up = gives_up || (!is_here && self.now >= deferral.gives_up_at());
        self.figures.given_up += u64::from(gives_up);
        is_here || gives_up
    }

    pub(super) fn waits(&self, slot: u32) -> bool {
        self.deferrals.waits(slot)
    }

    pub(super) fn is_decided(&self, slot: u32) -> bool {
        self.deferrals.is_decided(slot)
    }

    pub(super) fn forget(&mut self, slot: u32) {
        self.deferrals.forget(slot);
    }

    /// When a look at the fetches can find something new, if the one before was now and a look takes `look`.
    pub(super) fn next_news(&self, look: Tick) -> Tick {
        let asks = self.deferrals.waiting().any(|deferral| matches!(deferral.phase, Phase::Asking { .. }));
        if asks {
            return self.now + look;
        }
        let gives_up = self.deferrals.waiting().map(Deferral::gives_up_at).min().unwrap_or(Tick::MAX);
        self.station.next_completion().min(gives_up)
    }

    pub(super) fn misses(&self) -> u64 {
        self.figures.misses
    }

    /// Promotions refused, and promotions wanted.
    pub(super) fn thrashing(&self) -> (u64, u64) {
        let refused = self.figures.refused_promotions;
        (refused, self.figures.promotions + refused)
    }

    pub(super) fn figures(&self) -> OffloadFigures {
        OffloadFigures {
            cpu_evictions: self.figures.cpu_evictions + self.staging.evicted(),
            cpu_blocks: self.staging.len() as u64,
            ..self.figures.clone()
        }
    }

    /// Checks that no block is lost between the tiers.
    ///
    /// # Panics
    /// When one is.
    pub(super) fn audit(&self, is_over: bool) {
        let mut arriving = Vec::new();
        let mut copies = 0;
        for transfer in self.transfers.values() {
            match transfer {
                Transfer::Promotion(keys) => arriving.extend(keys),
                Transfer::Copy { .. } => copies += 1,
            }
        }
        arriving.sort_unstable();
        arriving.dedup();
        self.staging.audit(copies, &arriving);
        let written: u64 = self.figures.devices.iter().map(|device| device.blocks_written).sum();
        let there: u64 = self.devices.iter().map(|device| device.len() as u64).sum();
        assert!(there + copies <= written, "a device has blocks that nobody wrote");
        assert!(!is_over || self.deferrals.is_empty(), "a request that is gone still waits for blocks");
    }
}
