//! Events ordered by time, then by the order in which they were set.

use crate::Tick;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

#[derive(Clone, Debug)]
struct Timer<T> {
    at: Tick,
    sequence: u64,
    what: T,
}

impl<T> Timer<T> {
    fn key(&self) -> (Tick, u64) {
        (self.at, self.sequence)
    }
}

impl<T> PartialEq for Timer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Timer<T> {}

impl<T> Ord for Timer<T> {
    /// Reversed, because `BinaryHeap` keeps its largest element on top.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<T> PartialOrd for Timer<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A queue of timers; equal times come out in the order of setting.
///
/// Most simulation timers are set in order of time (a constant delay after events that are in order). Those lie in a
/// plain queue, where setting and taking cost O(1); only the others go through a heap.
#[derive(Clone, Debug)]
pub struct TimerQueue<T> {
    ordered: VecDeque<Timer<T>>,
    unordered: BinaryHeap<Timer<T>>,
    next_sequence: u64,
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self { ordered: VecDeque::new(), unordered: BinaryHeap::new(), next_sequence: 0 }
    }
}

impl<T> TimerQueue<T> {
    /// Sets a timer.
    pub fn set(&mut self, at: Tick, what: T) {
        let timer = Timer { at, sequence: self.next_sequence, what };
        self.next_sequence += 1;
        match self.ordered.back() {
            Some(last) if last.at > at => self.unordered.push(timer),
            _ => self.ordered.push_back(timer),
        }
    }

    /// Whether the next timer lies in the heap.
    #[inline]
    fn heap_is_next(&self) -> bool {
        match (self.ordered.front(), self.unordered.peek()) {
            (Some(a), Some(b)) => b.key() < a.key(),
            (a, _) => a.is_none(),
        }
    }

    /// The next timer; [`Tick::MAX`] with nothing set is `None`.
    #[inline]
    pub fn peek(&self) -> Option<(Tick, &T)> {
        if self.unordered.is_empty() || !self.heap_is_next() {
            self.ordered.front().map(|t| (t.at, &t.what))
        } else {
            self.unordered.peek().map(|t| (t.at, &t.what))
        }
    }

    /// When the next timer is due; [`Tick::MAX`] when none is set.
    #[inline]
    pub fn next_at(&self) -> Tick {
        self.peek().map_or(Tick::MAX, |(at, _)| at)
    }

    /// Takes the next timer.
    #[inline]
    pub fn pop(&mut self) -> Option<(Tick, T)> {
        let timer = if self.heap_is_next() { self.unordered.pop() } else { self.ordered.pop_front() };
        timer.map(|t| (t.at, t.what))
    }

    /// Number of timers set.
    pub fn len(&self) -> usize {
        self.ordered.len() + self.unordered.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty() && self.unordered.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Timers come out sorted by time, and in the order of setting within one time.
        #[test]
        fn timers_come_out_in_order(times in prop::collection::vec(0i64..20, 0..60)) {
            let mut queue = TimerQueue::default();
            for (i, &t) in times.iter().enumerate() {
                queue.set(Tick::from_us(t), i);
            }
            let mut expected: Vec<_> = times.iter().copied().enumerate().map(|(i, t)| (t, i)).collect();
            expected.sort_unstable();
            let got: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(t, i)| (t.as_us(), i)).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
