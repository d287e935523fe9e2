//! How long KV takes from one instance to another.
//!
//! A transfer takes `base latency + bytes / bandwidth`. Without contention each has the bandwidth to itself. With it,
//! all transfers of the cluster share one bandwidth equally at every moment (processor sharing): what is left of each
//! is kept as bytes that a lone stream would still have to move, which shrink at the same rate for all.

use crate::plan::TransferPlan;
use blis_kernel::{Tick, TimerQueue};
use std::collections::BTreeMap;

/// Transfers under way.
#[derive(Debug)]
pub(crate) struct Link {
    plan: TransferPlan,
    rate_is_fixed: bool,
    /// Transfers whose end is known.
    ends: TimerQueue<u32>,
    /// Transfers that share the bandwidth, by what the link will have moved for each stream when they are done.
    sharing: BTreeMap<(Bytes, u64), u32>,
    /// What the link has moved for each stream that was there all the time, until `moved_at`.
    moved_bytes: f64,
    moved_at: Tick,
    sequence: u64,
    active: u32,
    pub(crate) starts: u64,
    pub(crate) depth_sum: u64,
    pub(crate) peak: u32,
}

/// A finite number of bytes that can be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bytes(f64);

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Link {
    /// With `rate_is_fixed`, a transfer keeps the share of its start (B12).
    pub(crate) fn new(plan: TransferPlan, rate_is_fixed: bool) -> Self {
        Self {
            plan,
            rate_is_fixed,
            ends: TimerQueue::default(),
            sharing: BTreeMap::new(),
            moved_bytes: 0.0,
            moved_at: Tick::ZERO,
            sequence: 0,
            active: 0,
            starts: 0,
            depth_sum: 0,
            peak: 0,
        }
    }

    /// Starts to move `blocks` for the request.
    pub(crate) fn start(&mut self, handle: u32, blocks: u64, now: Tick) {
        let bytes = blocks as f64 * self.plan.block_bytes;
        self.active += 1;
        self.starts += 1;
        self.depth_sum += u64::from(self.active);
        self.peak = self.peak.max(self.active);
        if self.plan.contention && !self.rate_is_fixed && bytes > 0.0 {
            self.settle(now);
            self.advance(now);
            self.sequence += 1;
            self.sharing.insert((Bytes(self.moved_bytes + bytes), self.sequence), handle);
            return;
        }
        let streams = if self.plan.contention { self.active } else { 1 };
        let bandwidth = self.plan.bandwidth_bytes_per_us / f64::from(streams);
        self.ends.set(now + span(self.plan.base_latency_us + bytes / bandwidth), handle);
    }

    /// When the next transfer ends.
    pub(crate) fn next_end_at(&self) -> Tick {
        self.ends.next_at().min(self.next_done_at() + self.base_latency())
    }

    /// The transfer that ends at [`Self::next_end_at`], which is `now`.
    pub(crate) fn pop(&mut self, now: Tick) -> u32 {
        self.settle(now);
        self.active -= 1;
        self.ends.pop().expect("a transfer that was seen").1
    }

    /// The requests whose KV moves, those whose end is known first.
    pub(crate) fn under_way(&self) -> Vec<u32> {
        let mut ends = self.ends.clone();
        let mut handles: Vec<_> = std::iter::from_fn(|| ends.pop()).map(|(_, handle)| handle).collect();
        handles.extend(self.sharing.values());
        handles
    }

    /// Takes the transfer of a request off the link at `now`; the others have the bandwidth to themselves.
    pub(crate) fn remove(&mut self, handle: u32, now: Tick) {
        self.settle(now);
        self.advance(now);
        self.active -= 1;
        self.sharing.retain(|_, other| *other != handle);
        let mut ends = std::mem::take(&mut self.ends);
        while let Some((at, other)) = ends.pop() {
            if other != handle {
                self.ends.set(at, other);
            }
        }
    }

    /// What comes on top of the bytes of a transfer that shares the bandwidth.
    fn base_latency(&self) -> Tick {
        Tick::trunc(self.plan.base_latency_us.ceil())
    }

    /// Takes those off the link that have moved their bytes by `now`.
    fn settle(&mut self, now: Tick) {
        while self.next_done_at() <= now {
            let at = self.next_done_at();
            self.advance(at);
            let ((done, _), handle) = self.sharing.pop_first().expect("a transfer that was seen");
            // A transfer that ends at a whole microsecond has not moved less than its bytes.
            self.moved_bytes = self.moved_bytes.max(done.0);
            self.ends.set(at + self.base_latency(), handle);
        }
    }

    /// When the first of those that share the bandwidth has moved its bytes.
    fn next_done_at(&self) -> Tick {
        let Some(((done, _), _)) = self.sharing.first_key_value() else { return Tick::MAX };
        let left = (done.0 - self.moved_bytes).max(0.0);
        let us = left * self.sharing.len() as f64 / self.plan.bandwidth_bytes_per_us;
        self.moved_at + Tick::trunc(us.ceil())
    }

    fn advance(&mut self, now: Tick) {
        if self.sharing.is_empty() {
            self.moved_bytes = 0.0;
        } else {
            let elapsed_us = (now - self.moved_at).as_us() as f64;
            self.moved_bytes += elapsed_us * self.plan.bandwidth_bytes_per_us / self.sharing.len() as f64;
        }
        self.moved_at = now;
    }
}

/// Whole microseconds, rounded up; at least one.
fn span(us: f64) -> Tick {
    Tick::trunc(us.ceil()).max(Tick::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(contention: bool, rate_is_fixed: bool) -> Link {
        let plan = TransferPlan {
            bandwidth_bytes_per_us: 10_000.0,
            base_latency_us: 0.0,
            block_bytes: 16.0 * 512.0,
            contention,
        };
        Link::new(plan, rate_is_fixed)
    }

    fn ends(link: &mut Link) -> Vec<(i64, u32)> {
        let mut ends = Vec::new();
        while link.next_end_at() < Tick::MAX {
            let at = link.next_end_at();
            ends.push((at.as_us(), link.pop(at)));
        }
        ends
    }

    #[test]
    fn a_prompt_of_1024_tokens_of_a_14b_model_takes_6761_us() {
        let plan = TransferPlan {
            bandwidth_bytes_per_us: 25_000.0,
            base_latency_us: 50.0,
            block_bytes: 16.0 * 163_840.0,
            contention: false,
        };
        let mut link = Link::new(plan, false);
        link.start(0, 64, Tick::ZERO);
        assert_eq!(link.next_end_at(), Tick::from_us(6761));
    }

    #[test]
    fn under_a_fixed_rate_the_second_of_two_has_half_and_the_first_keeps_all() {
        let mut link = link(true, true);
        link.start(0, 10, Tick::ZERO);
        link.start(1, 10, Tick::ZERO);
        assert_eq!(ends(&mut link), [(9, 0), (17, 1)]);
        assert_eq!((link.peak, link.depth_sum, link.starts), (2, 3, 2));
    }

    /// Law: the link is never idle while somebody has bytes to move, so the last of some equal transfers ends when one
    /// transfer of all their bytes would.
    #[test]
    fn shared_bandwidth_is_conserved() {
        let mut shared = link(true, false);
        for handle in 0..5 {
            shared.start(handle, 100, Tick::ZERO);
        }
        let alone = {
            let mut alone = link(true, false);
            alone.start(9, 500, Tick::ZERO);
            alone.next_end_at()
        };
        let ends = ends(&mut shared);
        assert_eq!(ends.last().unwrap().0, alone.as_us());
        assert!(
            ends.iter().all(|&(at, _)| at >= alone.as_us() - 5),
            "equal transfers end together: {ends:?}"
        );
    }

    #[test]
    fn who_comes_later_takes_half_from_then_on() {
        // 8,192 bytes per block at 10,000 bytes/us: 100 blocks alone take 82 us. After 41 us half is left, which takes
        // twice as long beside another.
        let mut link = link(true, false);
        link.start(0, 100, Tick::ZERO);
        link.start(1, 100, Tick::from_us(41));
        let ends = ends(&mut link);
        assert!((122..=124).contains(&ends[0].0) && ends[0].1 == 0, "{ends:?}");
        assert!((163..=165).contains(&ends[1].0), "{ends:?}");
    }

    #[test]
    fn without_contention_transfers_do_not_notice_each_other() {
        let mut link = link(false, false);
        link.start(0, 10, Tick::ZERO);
        link.start(1, 10, Tick::ZERO);
        assert_eq!(ends(&mut link), [(9, 0), (9, 1)]);
    }
}
