//! Requests that wait outside the batch until their blocks have come from a device.

use blis_kernel::Tick;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// How long a request waits for its blocks before it goes on without them.
const PATIENCE: Tick = Tick::from_us(1_000_000_000);

/// How far the fetch of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The device is asked whether it has the blocks.
    Asking {
        /// The device.
        tier: usize,
    },
    /// A transfer brings them.
    Promoting,
}

/// A fetch that is not decided.
#[derive(Clone, Debug)]
pub(super) struct Deferral {
    pub(super) slot: u32,
    pub(super) keys: Vec<u64>,
    pub(super) phase: Phase,
    pub(super) since: Tick,
}

impl Deferral {
    /// When it gives up.
    pub(super) fn gives_up_at(&self) -> Tick {
        self.since + PATIENCE + Tick::ONE
    }
}

/// Whether a request still waits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It does; under this name its fetch is kept.
    Waits(String),
    /// It has what it can get and may be admitted.
    Decided,
}

/// Every request that was deferred and neither admitted since nor gone.
#[derive(Debug, Default)]
pub(super) struct Deferrals {
    /// Those that wait, by name: their order decides who gets room first.
    waiting: BTreeMap<String, Deferral>,
    verdicts: FxHashMap<u32, Verdict>,
}

impl Deferrals {
    /// A request begins to wait, or with `None` is decided at once.
    pub(super) fn add(&mut self, slot: u32, name: String, deferral: Option<Deferral>) {
        let verdict = match deferral {
            Some(deferral) => {
                self.waiting.insert(name.clone(), deferral);
                Verdict::Waits(name)
            }
            None => Verdict::Decided,
        };
        self.verdicts.insert(slot, verdict);
    }

    pub(super) fn waits(&self, slot: u32) -> bool {
        matches!(self.verdicts.get(&slot), Some(Verdict::Waits(_)))
    }

    pub(super) fn is_decided(&self, slot: u32) -> bool {
        matches!(self.verdicts.get(&slot), Some(Verdict::Decided))
    }

    /// The request was admitted or is gone.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(Verdict::Waits(name)) = self.verdicts.remove(&slot) {
            self.waiting.remove(&name);
        }
    }

    /// Asks about every request that waits, in order of their names; those for which the answer is true wait no
    /// longer.
    pub(super) fn decide(&mut self, mut is_decided: impl FnMut(&mut Deferral) -> bool) {
        let verdicts = &mut self.verdicts;
        self.waiting.retain(|_, deferral| {
            let decided = is_decided(deferral);
            if decided {
                verdicts.insert(deferral.slot, Verdict::Decided);
            }
            !decided
        });
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Deferral> {
        self.waiting.values()
    }

    /// Whether nobody is recorded.
    pub(super) fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }
}
