//! The transfer station: reader and writer threads in front of each device.
//!
//! Each device has a queue of reads and one of writes. A reader serves the queue of reads first and helps with writes
//! when there are no reads; a writer the other way round. What is in service goes on until it is finished.

use super::device::{Channel, DeviceModel};
use blis_kernel::Tick;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the device.
    Read,
    /// To the device.
    Write,
}

/// One tier's device and its threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffloadTierConfig {
    /// Threads that read first.
    pub read_threads: u32,
    /// Threads that write first.
    pub write_threads: u32,
    /// What they work with.
    pub device: DeviceModel,
}

/// A transfer that waits for a thread.
#[derive(Clone, Copy, Debug)]
struct Queued {
    job: u64,
    bytes: u64,
    submitted: Tick,
    jitter: Option<f64>,
}

/// A transfer in service; the next one to finish is the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InService {
    completion: Tick,
    submitted: Tick,
    tier: usize,
    direction: Direction,
    job: u64,
    /// The kind of thread that serves it.
    thread: Direction,
}

#[derive(Debug)]
struct Lane {
    device: DeviceModel,
    /// Idle threads, by kind.
    idle: [u32; 2],
    queues: [VecDeque<Queued>; 2],
    /// Transfers in service, by direction.
    in_service: [u32; 2],
}

/// The threads and queues of all tiers, and their time.
#[derive(Debug)]
pub struct TransferStation {
    lanes: Vec<Lane>,
    in_service: BinaryHeap<Reverse<InService>>,
    now: Tick,
    last_job: u64,
    finished: Vec<u64>,
}

impl TransferStation {
    /// An idle station.
    pub fn new(tiers: &[OffloadTierConfig]) -> Self {
        let lane = |tier: &OffloadTierConfig| Lane {
            device: tier.device,
            idle: [tier.read_threads, tier.write_threads],
            queues: Default::default(),
            in_service: [0; 2],
        };
        Self {
            lanes: tiers.iter().map(lane).collect(),
            in_service: BinaryHeap::new(),
            now: Tick::ZERO,
            last_job: 0,
            finished: Vec::new(),
        }
    }

    /// Hands a transfer over at `now` and tells its number; they are numbered from 1.
    pub fn submit(
        &mut self,
        tier: usize,
        direction: Direction,
        bytes: u64,
        now: Tick,
        jitter: Option<f64>,
    ) -> u64 {
        self.advance(now);
        self.last_job += 1;
        let queued = Queued { job: self.last_job, bytes, submitted: now, jitter };
        self.lanes[tier].queues[direction as usize].push_back(queued);
        self.assign(tier, now.max(self.now));
        self.last_job
    }

    /// The transfers that finished up to `now` and were not told before, in order of completion.
    pub fn poll(&mut self, now: Tick) -> Vec<u64> {
        self.advance(now);
        std::mem::take(&mut self.finished)
    }

    /// When the next transfer finishes; [`Tick::MAX`] when none is in service.
    pub fn next_completion(&self) -> Tick {
        self.in_service.peek().map_or(Tick::MAX, |Reverse(next)| next.completion)
    }

    fn advance(&mut self, to: Tick) {
        if to <= self.now {
            return;
        }
        while let Some(&Reverse(done)) = self.in_service.peek()
            && done.completion <= to
        {
            self.in_service.pop();
            let lane = &mut self.lanes[done.tier];
            lane.idle[done.thread as usize] += 1;
            lane.in_service[done.direction as usize] -= 1;
            self.finished.push(done.job);
            self.assign(done.tier, done.completion);
        }
        self.now = to;
    }

    /// Gives idle threads of a tier the transfers that wait.
    fn assign(&mut self, tier: usize, now: Tick) {
        let lane = &mut self.lanes[tier];
        for (thread, other) in [(Direction::Read, Direction::Write), (Direction::Write, Direction::Read)] {
            while lane.idle[thread as usize] > 0 {
                let next = [thread, other]
                    .into_iter()
                    .find_map(|direction| Some((direction, lane.queues[direction as usize].pop_front()?)));
                let Some((direction, queued)) = next else { break };
                lane.idle[thread as usize] -= 1;
                lane.in_service[direction as usize] += 1;
                let channel: Channel = match direction {
                    Direction::Read => lane.device.read,
                    Direction::Write => lane.device.write,
                };
                let in_service = lane.in_service[direction as usize];
                let service = lane.device.service_time(channel, queued.bytes, in_service, queued.jitter);
                self.in_service.push(Reverse(InService {
                    completion: now + service,
                    submitted: queued.submitted,
                    tier,
                    direction,
                    job: queued.job,
                    thread,
                }));
            }
        }
    }
}
