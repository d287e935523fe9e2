//! The CPU tier of the chain: where blocks stand on their way between the GPU and the devices.

use crate::kv::recency::Recency;
use rustc_hash::FxHashMap;

/// What a key of the tier may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A transfer writes it: neither readable nor evictable.
    Arriving,
    /// Readable and evictable; its place in the order of use.
    Idle(u32),
    /// Readable, and read by so many transfers: not evictable.
    Pinned(u32),
}

/// What a look at a key finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Not there.
    Miss,
    /// There, but not readable yet.
    Arriving,
    /// Readable.
    Hit,
}

/// The keys held, with their states.
#[derive(Debug)]
pub(super) struct Staging {
    capacity: usize,
    states: FxHashMap<u64, State>,
    idle: Recency,
    arriving: usize,
    pinned: usize,
    /// Sum of the pins.
    pins: u64,
    evicted: u64,
}

impl Staging {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            states: FxHashMap::default(),
            idle: Recency::default(),
            arriving: 0,
            pinned: 0,
            pins: 0,
            evicted: 0,
        }
    }

    pub(super) fn lookup(&self, key: u64) -> Lookup {
        match self.states.get(&key) {
            None => Lookup::Miss,
            Some(State::Arriving) => Lookup::Arriving,
            Some(State::Idle(_) | State::Pinned(_)) => Lookup::Hit,
        }
    }

    /// Makes an evictable key the most recent.
    pub(super) fn touch(&mut self, key: u64) {
        if let Some(&State::Idle(at)) = self.states.get(&key) {
            self.idle.touch(at);
        }
    }

    /// Stores a key that is not there as the most recent; false when the tier is full of keys that must stay.
    pub(super) fn store(&mut self, key: u64) -> bool {
        if self.states.len() >= self.capacity && !self.evict_oldest() {
            return false;
        }
        let at = self.idle.push(key);
        self.states.insert(key, State::Idle(at));
        true
    }

    /// Makes room for those of `keys` that are not there and marks them as arriving. Tells how many they are; `None`,
    /// with nothing changed, when there are none or the tier has no room for them.
    pub(super) fn prepare(&mut self, keys: &[u64]) -> Option<u64> {
        let fresh = keys.iter().filter(|key| !self.states.contains_key(key)).count();
        let room = self.capacity.saturating_sub(self.states.len());
        if fresh == 0 || fresh > room + self.idle.len() {
            return None;
        }
        // Which of the keys are fresh is settled before others make room for them.
        let fresh_keys: Vec<u64> =
            keys.iter().copied().filter(|key| !self.states.contains_key(key)).collect();
        for _ in room..fresh {
            self.evict_oldest();
        }
        for key in fresh_keys {
            self.states.insert(key, State::Arriving);
            self.arriving += 1;
        }
        Some(fresh as u64)
    }

    /// An arriving key is readable from now on.
    pub(super) fn complete(&mut self, key: u64) {
        if let Some(state @ State::Arriving) = self.states.get_mut(&key) {
            *state = State::Idle(self.idle.push(key));
            self.arriving -= 1;
        }
    }

    /// A transfer reads a readable key.
    pub(super) fn pin(&mut self, key: u64) {
        let state = self.states.get_mut(&key).expect("a key that was stored");
        *state = match *state {
            State::Idle(at) => {
                self.idle.remove(at);
                self.pinned += 1;
                State::Pinned(1)
            }
            State::Pinned(count) => State::Pinned(count + 1),
            State::Arriving => unreachable!("an arriving key is read"),
        };
        self.pins += 1;
    }

    /// A transfer has read a key.
    pub(super) fn unpin(&mut self, key: u64) {
        let state = self.states.get_mut(&key).expect("a key that was pinned");
        let State::Pinned(count) = *state else { unreachable!("a key that is not pinned was read") };
        *state = if count > 1 {
            State::Pinned(count - 1)
        } else {
            self.pinned -= 1;
            State::Idle(self.idle.push(key))
        };
        self.pins -= 1;
    }

    fn evict_oldest(&mut self) -> bool {
        let Some(key) = self.idle.pop_oldest() else { return false };
        self.states.remove(&key);
        self.evicted += 1;
        true
    }

    /// Keys held.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Keys evicted so far.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Checks that the tier holds no more than it may, that every key is in exactly one state, and that as many are
    /// pinned and arriving as transfers say.
    ///
    /// # Panics
    /// When not.
    pub(super) fn audit(&self, pins: u64, arriving: &[u64]) {
        assert!(self.states.len() <= self.capacity, "the CPU tier holds more than it may");
        let counted = self.idle.len() + self.arriving + self.pinned;
        assert_eq!(counted, self.states.len(), "a key of the CPU tier is lost or counted twice");
        assert_eq!(self.pins, pins, "pins and writes in flight differ");
        let expected = arriving.iter().filter(|key| self.lookup(**key) == Lookup::Arriving).count();
        assert_eq!(self.arriving, expected, "a key arrives though no transfer brings it");
    }
}
