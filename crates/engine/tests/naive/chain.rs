//! The offload chain with every key in plain lists: a CPU tier with states, devices that keep everything, and a station
//! whose transfers are searched from the start.

use super::cache::Key;
use blis_engine::{OffloadConfig, OffloadFigures};
use blis_kernel::Tick;
use blis_kernel::rng::{GoRand, stream_seed};
use std::collections::{BTreeMap, BTreeSet};

const ARRIVING: i64 = -1;
const IDLE: i64 = 0;

#[derive(Clone, Debug)]
enum Purpose {
    Promotion(Vec<Key>),
    Copy(Key),
}

#[derive(Clone, Debug)]
struct Job {
    id: u64,
    tier: usize,
    is_write: bool,
    bytes: f64,
    submitted: i64,
    jitter: f64,
    purpose: Purpose,
    /// When it is finished, and whether a writer serves it.
    service: Option<(i64, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Retry(usize),
    Promoting,
    Decided,
}

#[derive(Clone, Debug)]
struct Record {
    request: usize,
    keys: Vec<Key>,
    phase: Phase,
    start: i64,
}

/// Where a key that the GPU lacks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Cpu,
    Arriving,
    Device(usize),
    Nowhere,
}

pub struct Chain {
    config: OffloadConfig,
    pub now: i64,
    states: BTreeMap<Key, i64>,
    /// Idle keys, oldest first.
    idle: Vec<Key>,
    devices: Vec<BTreeSet<Key>>,
    jobs: Vec<Job>,
    finished: Vec<Job>,
    station_now: i64,
    last_id: u64,
    rng: GoRand,
    known: BTreeSet<Key>,
    records: BTreeMap<String, Record>,
    pub figures: OffloadFigures,
}

impl Chain {
    pub fn new(config: OffloadConfig) -> Self {
        Self {
            now: 0,
            states: BTreeMap::new(),
            idle: Vec::new(),
            devices: vec![BTreeSet::new(); config.tiers.len()],
            jobs: Vec::new(),
            finished: Vec::new(),
            station_now: 0,
            last_id: 0,
            rng: GoRand::new(stream_seed(config.seed, "kv-offload")),
            known: BTreeSet::new(),
            records: BTreeMap::new(),
            figures: OffloadFigures::new(config.tiers.len()),
            config,
        }
    }

    pub fn has_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Blocks in CPU memory.
    pub fn held(&self) -> usize {
        self.states.len()
    }

    pub fn prompt_only(&self) -> bool {
        self.config.prompt_only
    }

    pub fn place(&self, key: Key) -> Place {
        match self.states.get(&key) {
            Some(&ARRIVING) => Place::Arriving,
            Some(_) => Place::Cpu,
            None => (0..self.devices.len())
                .find(|&tier| self.devices[tier].contains(&key))
                .map_or(Place::Nowhere, Place::Device),
        }
    }

    pub fn touch(&mut self, key: Key) {
        if self.states.get(&key) == Some(&IDLE) {
            self.idle.retain(|&k| k != key);
            self.idle.push(key);
        }
    }

    fn evict_one(&mut self) {
        let oldest = self.idle.remove(0);
        self.states.remove(&oldest);
        self.figures.cpu_evictions += 1;
    }

    pub fn store(&mut self, key: Key) {
        if self.states.contains_key(&key) {
            self.touch(key);
            return;
        }
        if self.states.len() as u64 >= self.config.cpu_blocks {
            if self.idle.is_empty() {
                self.figures.skipped_blocks += 1;
                return;
            }
            self.evict_one();
        }
        self.states.insert(key, IDLE);
        self.idle.push(key);
        self.figures.stored_blocks += 1;
        for tier in 0..self.devices.len() {
            self.idle.retain(|&k| k != key);
            *self.states.get_mut(&key).expect("a key just stored") += 1;
            self.figures.devices[tier].blocks_written += 1;
            self.submit(tier, true, self.config.block_bytes, Purpose::Copy(key));
        }
    }

    pub fn promote(&mut self, tier: usize, keys: &[Key]) -> bool {
        let fresh: Vec<Key> = keys.iter().copied().filter(|key| !self.states.contains_key(key)).collect();
        let room = self.config.cpu_blocks as usize - self.states.len();
        if fresh.is_empty() || fresh.len() > room + self.idle.len() {
            self.figures.refused_promotions += 1;
            return false;
        }
        for _ in room..fresh.len() {
            self.evict_one();
        }
        for &key in &fresh {
            self.states.insert(key, ARRIVING);
        }
        self.figures.promotions += 1;
        self.figures.devices[tier].blocks_read += fresh.len() as u64;
        let bytes = fresh.len() as u64 * self.config.block_bytes;
        self.submit(tier, false, bytes, Purpose::Promotion(keys.to_vec()));
        true
    }

    fn submit(&mut self, tier: usize, is_write: bool, bytes: u64, purpose: Purpose) {
        let stddev = self.config.tiers[tier].device.jitter_stddev;
        let jitter = if stddev > 0.0 { (1.0 + stddev * self.rng.norm_float64()).max(0.05) } else { 0.0 };
        self.advance(self.now);
        self.last_id += 1;
        self.jobs.push(Job {
            id: self.last_id,
            tier,
            is_write,
            bytes: bytes as f64,
            submitted: self.now,
            jitter,
            purpose,
            service: None,
        });
        self.assign(tier, self.now.max(self.station_now));
    }

    /// Brings the station to a time.
    fn advance(&mut self, to: i64) {
        if to <= self.station_now {
            return;
        }
        loop {
            let next = (0..self.jobs.len())
                .filter_map(|i| {
                    let job = &self.jobs[i];
                    let (completion, _) = job.service?;
                    Some(((completion, job.submitted, job.tier, job.is_write, job.id), i))
                })
                .min();
            match next {
                Some(((completion, ..), i)) if completion <= to => {
                    let job = self.jobs.remove(i);
                    let tier = job.tier;
                    self.finished.push(job);
                    self.assign(tier, completion);
                }
                _ => break,
            }
        }
        self.station_now = to;
    }

    fn assign(&mut self, tier: usize, at: i64) {
        let config = self.config.tiers[tier];
        for (by_writer, threads) in [(false, config.read_threads), (true, config.write_threads)] {
            loop {
                let busy = self
                    .jobs
                    .iter()
                    .filter(|job| {
                        job.tier == tier && job.service.is_some_and(|(_, writer)| writer == by_writer)
                    })
                    .count();
                if busy as u32 >= threads {
                    break;
                }
                let waits = |wanted: bool| {
                    self.jobs
                        .iter()
                        .position(|job| job.tier == tier && job.is_write == wanted && job.service.is_none())
                };
                let Some(next) = waits(by_writer).or_else(|| waits(!by_writer)) else { break };
                let is_write = self.jobs[next].is_write;
                let in_service = 1 + self
                    .jobs
                    .iter()
                    .filter(|job| job.tier == tier && job.is_write == is_write && job.service.is_some())
                    .count() as u32;
                let device = config.device;
                let channel = if is_write { device.write } else { device.read };
                let (depth, f) = (device.saturation_depth, device.single_transfer_fraction);
                let mut bandwidth = channel.bytes_per_us;
                if depth >= 2 && 0.0 < f && f < 1.0 && in_service < depth {
                    bandwidth *= f + (1.0 - f) * f64::from(in_service - 1) / f64::from(depth - 1);
                }
                let job = &mut self.jobs[next];
                let mut service = channel.base_latency.as_us() + (job.bytes / bandwidth) as i64;
                if job.jitter > 0.0 {
                    service = (service as f64 * job.jitter).round() as i64;
                }
                job.service = Some((at + service, by_writer));
            }
        }
    }

    /// A step starts.
    pub fn begin_step(&mut self, now: i64) {
        self.now = now;
        self.advance(now);
        for job in std::mem::take(&mut self.finished) {
            match job.purpose {
                Purpose::Promotion(keys) => {
                    for key in keys {
                        if self.states.get(&key) == Some(&ARRIVING) {
                            self.states.insert(key, IDLE);
                            self.idle.push(key);
                        }
                    }
                }
                Purpose::Copy(key) => {
                    self.devices[job.tier].insert(key);
                    let pins = self.states.get_mut(&key).expect("a pinned key");
                    *pins -= 1;
                    if *pins == IDLE {
                        self.idle.push(key);
                    }
                }
            }
        }
    }

    /// Registers a fetch; true when the request waits.
    pub fn defer(&mut self, request: usize, name: &str, tier: Option<usize>, keys: Vec<Key>) -> bool {
        self.figures.deferrals += 1;
        let phase = match tier {
            None => Phase::Promoting,
            Some(tier) if keys.iter().any(|key| !self.known.contains(key)) => Phase::Retry(tier),
            Some(tier) if self.promote(tier, &keys) => Phase::Promoting,
            Some(_) => {
                self.figures.given_up += 1;
                Phase::Decided
            }
        };
        self.records.insert(name.to_owned(), Record { request, keys, phase, start: self.now });
        phase != Phase::Decided
    }

    pub fn poll(&mut self) {
        let names: Vec<String> = self.records.keys().cloned().collect();
        for name in names {
            let record = self.records[&name].clone();
            if record.phase == Phase::Decided {
                continue;
            }
            let places: Vec<Place> = record
                .keys
                .iter()
                .map(|&key| match self.states.get(&key) {
                    None => Place::Nowhere,
                    Some(&ARRIVING) => Place::Arriving,
                    Some(_) => Place::Cpu,
                })
                .collect();
            let all_here = places.iter().all(|&place| place == Place::Cpu);
            let any_missing = places.contains(&Place::Nowhere);
            let mut gives_up = false;
            let mut phase = Phase::Promoting;
            if let Phase::Retry(tier) = record.phase {
                self.known.extend(&record.keys);
                if any_missing {
                    gives_up = !self.promote(tier, &record.keys);
                }
            } else {
                gives_up = any_missing;
            }
            if !all_here && self.now - record.start > 1_000_000_000 {
                gives_up = true;
            }
            if all_here || gives_up {
                phase = Phase::Decided;
                self.figures.waited += Tick::from_us(self.now - record.start);
                self.figures.given_up += u64::from(gives_up);
            }
            self.records.get_mut(&name).expect("a record").phase = phase;
        }
    }

    /// Whether the request is recorded, and if so, whether it waits.
    pub fn record(&self, request: usize) -> Option<bool> {
        let record = self.records.values().find(|record| record.request == request)?;
        Some(record.phase != Phase::Decided)
    }

    pub fn forget(&mut self, request: usize) {
        self.records.retain(|_, record| record.request != request);
    }

    /// When a look can find something new.
    pub fn next_news(&self, look_us: i64) -> Option<i64> {
        if self.records.values().any(|record| matches!(record.phase, Phase::Retry(_))) {
            return Some(self.now + look_us);
        }
        let jobs = self.jobs.iter().filter_map(|job| Some(job.service?.0));
        let waits = self.records.values().filter(|record| record.phase == Phase::Promoting);
        jobs.chain(waits.map(|record| record.start + 1_000_000_001)).min()
    }

    pub fn check(&self) {
        assert!(self.states.len() as u64 <= self.config.cpu_blocks, "the CPU tier holds too much");
        for (key, &state) in &self.states {
            let listed = self.idle.iter().filter(|&idle| idle == key).count();
            assert_eq!(listed, usize::from(state == IDLE), "key {key} is listed wrong");
        }
    }
}
