//! What becomes of requests step by step, for somebody who serves them while they run.
//!
//! A simulation that is only asked for its outcome needs none of it: without a journal nothing is stored per token.

use crate::instance::Instance;
use crate::request::Pace;
use blis_kernel::Tick;

/// Something that happened to a request on its way through an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It was admitted into the batch.
    Scheduled {
        /// What the caller knows it by.
        handle: u32,
        /// Leading tokens of its prompt that were in the cache.
        cached_tokens: u32,
        /// When.
        at: Tick,
    },
    /// It got a token.
    Token {
        /// What the caller knows it by.
        handle: u32,
        /// When the step ended.
        at: Tick,
    },
}

impl Instance {
    /// From now on remember what happens to requests. Not under a reading where effects show at a step's start.
    ///
    /// # Panics
    /// Under such a reading.
    pub fn keep_journal(&mut self) {
        assert!(!self.semantics.step_effects_at_start, "tokens of a step that goes on cannot be served");
        self.journal.get_or_insert_default();
        self.has_extras = true;
    }

    /// What happened since the last call, oldest first.
    pub fn take_journal(&mut self) -> Vec<Happening> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A request is in the batch from now on.
    #[cold]
    pub(crate) fn note_scheduled(&mut self, slot: u32, cached_tokens: u64, at: Tick) {
        let handle = self.requests[slot as usize].handle;
        if let Some(journal) = &mut self.journal {
            journal.push(Happening::Scheduled { handle, cached_tokens: cached_tokens as u32, at });
        }
    }

    /// Everybody who decoded in the step that ended at `at` got a token.
    #[cold]
    pub(crate) fn note_decoded(&mut self, at: Tick) {
        let Some(journal) = &mut self.journal else { return };
        for &slot in &self.batch {
            let request = &self.requests[slot as usize];
            let decoded = match request.pace {
                Pace::Lockstep { .. } => !self.lockstep.is_paused,
                Pace::Alone => request.scheduled > 0,
                Pace::Prefill => false,
            };
            if decoded {
                journal.push(Happening::Token { handle: request.handle, at });
            }
        }
    }
}
