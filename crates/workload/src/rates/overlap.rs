//! Finds who is active at some time without asking everybody.

use super::Share;
use crate::window::Window;
use blis_kernel::Tick;

/// The windows of all shares, as a tree over their starts.
pub(super) struct Overlaps {
    shares: usize,
    /// Those that any window may meet: they are always active, or again and again.
    often: Vec<u32>,
    /// Windows that occur once: start, end, share; in order of their starts.
    once: Vec<(Tick, Tick, u32)>,
    /// The latest end below each node; node n has the children 2n and 2n + 1, and the windows are the last level.
    latest_end: Vec<Tick>,
}

impl Overlaps {
    pub(super) fn new(shares: &[Share]) -> Self {
        let (mut often, mut once) = (Vec::new(), Vec::new());
        for (number, share) in (0..).zip(shares) {
            if share.windows.is_empty() || share.windows.iter().any(|(window, _)| window.every.is_some()) {
                often.push(number);
            } else {
                once.extend(share.windows.iter().map(|(window, _)| (window.start, window.end, number)));
            }
        }
        once.sort_unstable();
        let leaves = once.len().next_power_of_two();
        let mut latest_end = vec![Tick::from_us(i64::MIN); 2 * leaves];
        for (place, &(_, end, _)) in once.iter().enumerate() {
            latest_end[leaves + place] = end;
        }
        for node in (1..leaves).rev() {
            latest_end[node] = latest_end[2 * node].max(latest_end[2 * node + 1]);
        }
        Self { shares: shares.len(), often, once, latest_end }
    }

    /// All shares that may be active in one of these windows, in their order.
    pub(super) fn candidates<'a>(&self, windows: impl Iterator<Item = &'a Window>) -> Vec<u32> {
        let mut found = self.often.clone();
        for window in windows {
            if window.every.is_some() {
                return (0..self.shares as u32).collect();
            }
            self.collect(1, window, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The windows below a node that overlap this one.
    fn collect(&self, node: usize, window: &Window, found: &mut Vec<u32>) {
        if self.latest_end[node] <= window.start {
            return;
        }
        let leaves = self.latest_end.len() / 2;
        let levels_below = leaves.ilog2() - node.ilog2();
        let first = (node << levels_below) - leaves;
        match self.once.get(first) {
            Some(&(start, _, share)) if start < window.end => {
                if node >= leaves {
                    found.push(share);
                } else {
                    self.collect(2 * node, window, found);
                    self.collect(2 * node + 1, window, found);
                }
            }
            _ => {}
        }
    }
}
