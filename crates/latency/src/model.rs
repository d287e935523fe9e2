//! What the engine asks of a step-time model.

use crate::overheads::Overheads;
use crate::pipeline::Pipeline;
use blis_kernel::Tick;
use std::fmt::Debug;

/// One request of a batch that is still in prefill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefill {
    /// Tokens of the whole prompt.
    pub prompt_tokens: u64,
    /// Tokens already in the KV cache before this step.
    pub progress: u64,
    /// Tokens that this step adds.
    pub new_tokens: u64,
}

/// What one forward pass works on. All figures are from before the step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// Requests in prefill, in batch order.
    pub prefills: &'a [Prefill],
    /// Number of requests that decode one token each.
    pub decodes: u64,
    /// Sum over the decoding requests of the tokens in their KV caches.
    pub decode_context_tokens: u64,
    /// The largest term of that sum; 0 unless [`LatencyModel::wants_longest_decode_context`].
    pub longest_decode_context: u64,
    /// The terms of that sum in batch order; empty unless [`LatencyModel::wants_decode_contexts`].
    pub decode_contexts: &'a [u64],
    /// Scheduled requests that are neither in prefill nor produce output; they only count in the batch size.
    pub others: u64,
}

impl Batch<'_> {
    /// Number of scheduled requests.
    #[inline]
    pub fn len(&self) -> u64 {
        self.prefills.len() as u64 + self.decodes + self.others
    }

    /// Whether nothing is scheduled.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What `answer` says of the batches of all ranks together.
pub(crate) fn with_all_as_one<T>(ranks: &[Batch<'_>], answer: impl FnOnce(&Batch<'_>) -> T) -> T {
    let prefills: Vec<Prefill> = ranks.iter().flat_map(|batch| batch.prefills).copied().collect();
    let contexts: Vec<u64> = ranks.iter().flat_map(|batch| batch.decode_contexts).copied().collect();
    answer(&Batch {
        prefills: &prefills,
        decodes: ranks.iter().map(|batch| batch.decodes).sum(),
        decode_context_tokens: ranks.iter().map(|batch| batch.decode_context_tokens).sum(),
        longest_decode_context: ranks.iter().map(|batch| batch.longest_decode_context).max().unwrap_or(0),
        decode_contexts: &contexts,
        others: ranks.iter().map(|batch| batch.others).sum(),
    })
}

/// A step-time model. All answers are whole microseconds.
pub trait LatencyModel: Debug + Send + Sync {
    /// What a request costs outside of steps.
    fn overheads(&self) -> Overheads;

    /// Duration of one forward pass; at least one microsecond.
    fn step_time(&self, batch: &Batch<'_>) -> Tick;

    /// Duration of one forward pass of data-parallel ranks that step together, each on the batch of its own scheduler; empty
    /// where a rank has no work. Models that do not tell ranks apart take all batches as one.
    fn step_time_of_ranks(&self, ranks: &[Batch<'_>]) -> Tick {
        match ranks {
            [batch] => self.step_time(batch),
            _ => with_all_as_one(ranks, |batch| self.step_time(batch)),
        }
    }

    /// Whether [`Self::step_time`] reads [`Batch::decode_contexts`]. Models whose decode term is linear in the
    /// number of decodes and the sum of their contexts need not, and their steps cost O(1).
    fn wants_decode_contexts(&self) -> bool {
        false
    }

    /// Whether [`Self::step_time`] reads [`Batch::longest_decode_context`].
    fn wants_longest_decode_context(&self) -> bool {
        false
    }

    /// Whether its step times were fitted on whole steps, so that they hold what the CPU adds to the GPU's work.
    fn covers_host(&self) -> bool {
        true
    }

    /// Whether it pads batches to the sizes of CUDA graphs itself.
    fn pads_to_graphs(&self) -> bool {
        false
    }

    /// The stages, where a batch passes several.
    fn pipeline(&self) -> Option<&Pipeline> {
        None
    }
}
