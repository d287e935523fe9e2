//! Spans of time in which clients are active.

use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};

/// A half-open span of time, possibly repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First tick.
    pub start: Tick,
    /// First tick behind it; after `start`.
    pub end: Tick,
    /// From one occurrence to the next, not shorter than the window; `None` = it occurs once.
    pub every: Option<Tick>,
}

impl Window {
    /// A window that occurs once.
    pub fn once(start: Tick, end: Tick) -> Self {
        Self { start, end, every: None }
    }

    /// Whether it holds this time.
    pub fn contains(&self, at: Tick) -> bool {
        let behind = at - self.start;
        match self.every {
            _ if behind < Tick::ZERO => false,
            Some(every) => behind.as_us() % every.as_us() < (self.end - self.start).as_us(),
            None => at < self.end,
        }
    }

    /// When it begins next after `at`, a time that it does not hold; `None` when it is over.
    pub(crate) fn next_start(&self, at: Tick) -> Option<Tick> {
        if at < self.start {
            return Some(self.start);
        }
        let every = self.every?.as_us();
        let occurrence = (at - self.start).as_us() / every + 1;
        Some(self.start + Tick::from_us(occurrence.saturating_mul(every)))
    }

    /// Whether it is over at some time.
    pub fn is_bounded(&self) -> bool {
        self.every.is_none() && self.end < Tick::MAX
    }

    /// The n-th occurrence, counted from zero.
    pub(crate) fn occurrence(&self, n: u64) -> (Tick, Tick) {
        let shift =
            self.every.map_or(0, |every| every.as_us().saturating_mul(i64::try_from(n).unwrap_or(i64::MAX)));
        (self.start + Tick::from_us(shift), self.end + Tick::from_us(shift))
    }

    /// Whether it has a tick in common with `other` when only the first occurrences, and later ones that begin before
    /// `horizon`, count. Two windows that repeat do so in the same rhythm and lie within
    /// its first period.
    pub fn overlaps(&self, other: &Self, horizon: Tick) -> bool {
        let meet = |a: (Tick, Tick), b: (Tick, Tick)| a.0 < b.1 && b.0 < a.1;
        match (self.every, other.every) {
            (Some(every), None) => {
                let (start, end) = (other.start, other.end);
                // The first occurrence that ends behind the other's start.
                let n = ((start - self.end).as_us().div_euclid(every.as_us()) + 1).max(0) as u64;
                let candidate = self.occurrence(n);
                meet(candidate, (start, end)) && (n == 0 || candidate.0 < horizon)
            }
            (None, Some(_)) => other.overlaps(self, horizon),
            _ => meet((self.start, self.end), (other.start, other.end)),
        }
    }
}

/// A window with a process of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// When.
    pub window: Window,
    /// Requests per microsecond; nothing is sent unless it is positive.
    pub per_us: f64,
    /// How the gaps vary.
    pub process: ArrivalProcess,
    /// New prompt tokens per request, if different from the client's.
    pub input: Option<LengthSampler>,
    /// Tokens generated per request, if different from the client's.
    pub output: Option<LengthSampler>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64, every: Option<i64>) -> Window {
        Window { start: Tick::from_us(start), end: Tick::from_us(end), every: every.map(Tick::from_us) }
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let once = window(5, 8, None);
        assert_eq!(
            [4, 5, 7, 8, 15].map(|t| once.contains(Tick::from_us(t))),
            [false, true, true, false, false]
        );
        let daily = window(5, 8, Some(10));
        assert_eq!(
            [4, 5, 8, 15, 17, 18].map(|t| daily.contains(Tick::from_us(t))),
            [false, true, false, true, true, false]
        );
    }

    /// Law: the next start is the first tick behind that the window holds.
    #[test]
    fn the_next_start_is_the_first_tick_inside() {
        for every in [None, Some(10)] {
            let window = window(5, 8, every);
            for at in (0..40).filter(|&at| !window.contains(Tick::from_us(at))) {
                let expected = (at..60).map(Tick::from_us).find(|&tick| window.contains(tick));
                assert_eq!(window.next_start(Tick::from_us(at)), expected, "{window:?} {at}");
            }
        }
    }

    /// Law: two windows overlap exactly when some tick lies in both.
    #[test]
    fn overlap_means_a_common_tick() {
        let horizon = Tick::from_us(100);
        for (s, e, every) in [(5, 8, None), (5, 8, Some(10)), (0, 10, Some(10)), (9, 10, Some(10))] {
            let a = window(s, e, every);
            for start in 0..40 {
                for end in start + 1..44 {
                    let b = window(start, end, None);
                    let common =
                        (0..100).any(|t| a.contains(Tick::from_us(t)) && b.contains(Tick::from_us(t)));
                    assert_eq!(a.overlaps(&b, horizon), common, "{a:?} {b:?}");
                    assert_eq!(b.overlaps(&a, horizon), common, "{b:?} {a:?}");
                }
            }
        }
        let late = window(25, 28, None);
        assert!(
            !window(5, 8, Some(10)).overlaps(&late, Tick::from_us(20)),
            "the third occurrence is cut off"
        );
    }
}
