//! The time of a step, read from what was composed.

use super::knots::{Row, real};
use super::{LARGEST_GRAPH, MAX_REQUESTS, Profiled};
use crate::model::{Batch, LatencyModel, Prefill, with_all_as_one};
use crate::overheads::Overheads;
use blis_kernel::Tick;

/// A number of decoding requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decodes {
    /// One over it.
    share: f64,
    /// Where it lies in the plane of generation attention.
    row: Row,
    /// Everything of a step without prompts but generation attention.
    others_us: f64,
    /// Logits and sampling.
    head_us: f64,
    /// See [`Profiled::longest`].
    us_per_token_of_longest: f64,
}

/// The tokens to which vLLM pads a step that it replays as a CUDA graph: 1, 2, 4, then steps of 8 up to 256, of 16 up to 512.
pub(super) fn graph_size(tokens: usize) -> usize {
    match tokens {
        0..=2 => tokens.max(1),
        3..=4 => 4,
        5..=256 => tokens.next_multiple_of(8),
        _ => tokens.next_multiple_of(16),
    }
}

impl Profiled {
    /// Works out [`Self::decodes`] from everything else.
    pub(super) fn steps_without_prompts(&self) -> Vec<Decodes> {
        (0..=MAX_REQUESTS)
            .map(|requests| {
                let decodes = requests.max(1) as f64;
                let of_rank = (decodes * self.share_of_rank).max(1.0);
                let head_us = self.head.at(requests as f64) + self.us_per_step;
                Decodes {
                    share: 1.0 / decodes,
                    row: self.generation.row(of_rank),
                    others_us: self.layers_us(requests) + head_us,
                    head_us,
                    us_per_token_of_longest: self.longest.get(of_rank as usize).copied().unwrap_or(0.0),
                }
            })
            .collect()
    }

    /// Everything in the layers but attention.
    #[inline]
    fn layers_us(&self, tokens: u64) -> f64 {
        match self.graphs.get(tokens as usize) {
            Some(us) => *us,
            None => self.layers.at_whole(tokens),
        }
    }

    #[inline]
    fn generation_us(&self, batch: &Batch<'_>, decodes: &Decodes) -> f64 {
        let mean = real(batch.decode_context_tokens) * decodes.share;
        let more = (real(batch.longest_decode_context) - mean).max(0.0);
        self.generation.in_row(decodes.row, mean + 1.0) + decodes.us_per_token_of_longest * more
    }

    /// Chunks of prompts, and the tokens in them.
    #[inline]
    fn context_us(&self, chunks: &[Prefill]) -> (f64, u64) {
        let (mut sum, mut tokens) = (0.0, 0);
        for chunk in chunks {
            tokens += chunk.new_tokens;
            sum += self.chunk_us(chunk);
        }
        if self.share_of_rank < 1.0 {
            // Ranks have their own requests: the one with the longest chunk is waited for.
            let each = chunks.iter().map(|chunk| self.chunk_us(chunk));
            sum = each.fold(sum * self.share_of_rank, f64::max);
        }
        (self.context_base + sum, tokens)
    }

    /// A chunk less the launch that all chunks share.
    #[inline]
    pub(super) fn chunk_us(&self, chunk: &Prefill) -> f64 {
        match chunk.progress {
            0 => self.context.at_left(chunk.new_tokens),
            cached => self.context.at_whole(chunk.new_tokens, cached),
        }
    }

    /// A number of requests for which there is no row.
    #[cold]
    fn of_many(&self, requests: u64) -> Decodes {
        let decodes = requests as f64;
        let head_us = self.head.at(decodes) + self.us_per_step;
        Decodes {
            share: 1.0 / decodes,
            row: self.generation.row((decodes * self.share_of_rank).max(1.0)),
            others_us: self.layers_us(requests) + head_us,
            head_us,
            us_per_token_of_longest: self.longest.last().copied().unwrap_or(0.0),
        }
    }

    #[inline]
    fn without_prompts(&self, batch: &Batch<'_>, decodes: &Decodes) -> f64 {
        self.generation_us(batch, decodes) + decodes.others_us
    }

    /// A batch with prompts, or with requests that do nothing.
    #[inline]
    fn mixed(&self, batch: &Batch<'_>, head_us: f64) -> f64 {
        let generation_us = match self.decodes.get(batch.decodes as usize) {
            _ if batch.decodes == 0 => 0.0,
            Some(decodes) => self.generation_us(batch, decodes),
            None => self.generation_us(batch, &self.of_many(batch.decodes)),
        };
        if batch.prefills.is_empty() {
            return generation_us + self.layers_us(batch.decodes) + head_us;
        }
        let (context_us, prompt_tokens) = self.context_us(batch.prefills);
        let tokens = batch.decodes + prompt_tokens;
        let step = context_us + generation_us + self.layers_us(tokens) + head_us;
        let least = self.launch[usize::from(tokens > LARGEST_GRAPH as u64)] + self.us_per_step;
        step.max(least)
    }

    #[cold]
    fn step_of_many(&self, batch: &Batch<'_>) -> f64 {
        let all = self.of_many(batch.len());
        if batch.len() == batch.decodes {
            self.without_prompts(batch, &all)
        } else {
            self.mixed(batch, all.head_us)
        }
    }
}

impl LatencyModel for Profiled {
    fn overheads(&self) -> Overheads {
        self.overheads
    }

    fn covers_host(&self) -> bool {
        false
    }

    fn pads_to_graphs(&self) -> bool {
        true
    }

    fn wants_longest_decode_context(&self) -> bool {
        !self.longest.is_empty()
    }

    fn step_time_of_ranks(&self, ranks: &[Batch<'_>]) -> Tick {
        match (&self.ranks, ranks) {
            (Some(parts), [_, _, ..]) if ranks.iter().any(|batch| !batch.is_empty()) => {
                Tick::trunc(self.wave_us(parts, ranks)).max(Tick::ONE)
            }
            (_, [batch]) => self.step_time(batch),
            _ => with_all_as_one(ranks, |batch| self.step_time(batch)),
        }
    }

    #[inline]
    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let requests = batch.len();
        if requests == 0 {
            return Tick::ONE;
        }
        let step = match self.decodes.get(requests as usize) {
            Some(decodes) if requests == batch.decodes => self.without_prompts(batch, decodes),
            Some(all) => self.mixed(batch, all.head_us),
            None => self.step_of_many(batch),
        };
        Tick::trunc(step).max(Tick::ONE)
    }
}
