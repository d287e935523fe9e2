//! Data-parallel ranks whose batches are known one by one.
//!
//! ```text
//! wave = max over ranks (attention + own(tokens) + head(requests)) + shared(tokens of all ranks)
//! ```
//!
//! `shared` holds the routed experts, which work on everybody's tokens, and the sums that bring these together; `own` the other parts of
//! the layers, and tokens that a rank sends to experts by itself. In every layer all ranks wait for the slowest. Where the
//! rank with most tokens runs a CUDA graph, all run the same one; a rank without requests takes part with a token.

use super::compose::Pass;
use super::knots::{Line, real};
use super::step::graph_size;
use super::{LARGEST_GRAPH, MAX_STEP_TOKENS, Profiled};
use crate::model::Batch;

/// What a step takes in the layers, without attention, where ranks differ.
#[derive(Clone, Debug)]
pub(super) struct RankParts {
    count: f64,
    /// By tokens of the rank with most, as CUDA graphs: of each rank and of all of them.
    graphs: Vec<(f64, f64)>,
    own: Line,
    shared: Line,
}

impl RankParts {
    pub(super) fn new(pass: &mut Pass<'_>) -> Self {
        let count = f64::from(pass.dp);
        let mut graphs: Vec<(f64, f64)> = Vec::with_capacity(LARGEST_GRAPH + 1);
        let mut captured = (0, (0.0, 0.0));
        for tokens in 0..=LARGEST_GRAPH {
            let size = graph_size(tokens);
            if size != captured.0 {
                let padded = size as f64;
                captured = (size, (pass.of_a_rank(padded), pass.of_all_ranks(padded * count)));
            }
            graphs.push(captured.1);
        }
        let own = pass.eager(|pass| Line::new(MAX_STEP_TOKENS, |tokens| pass.of_a_rank(tokens)));
        let all_tokens = MAX_STEP_TOKENS * u64::from(pass.dp);
        let shared = pass.eager(|pass| Line::new(all_tokens, |tokens| pass.of_all_ranks(tokens)));
        Self { count, graphs, own, shared }
    }
}

/// Tokens that a rank takes part with.
fn tokens(batch: &Batch<'_>) -> u64 {
    let prompts: u64 = batch.prefills.iter().map(|prefill| prefill.new_tokens).sum();
    (batch.decodes + prompts).max(1)
}

impl Profiled {
    /// A step of ranks, of which at least one has work, µs.
    pub(super) fn wave_us(&self, parts: &RankParts, ranks: &[Batch<'_>]) -> f64 {
        let most = ranks.iter().map(tokens).max().unwrap_or(1);
        let graph = parts.graphs.get(most as usize);
        let own = |batch: &Batch<'_>| {
            let layers = graph.map_or_else(|| parts.own.at_whole(tokens(batch)), |&(own, _)| own);
            self.attention_us(batch) + layers + self.head.at(real(batch.len()) * parts.count)
        };
        let slowest = ranks.iter().map(own).fold(0.0, f64::max);
        let all = || parts.shared.at_whole(ranks.iter().map(tokens).sum());
        let step = slowest + graph.map_or_else(all, |&(_, shared)| shared);
        let has_prompts = ranks.iter().any(|batch| !batch.prefills.is_empty());
        let least = if has_prompts { self.launch[usize::from(graph.is_none())] } else { 0.0 };
        step.max(least) + self.us_per_step
    }

    /// Attention of a rank's own requests.
    fn attention_us(&self, batch: &Batch<'_>) -> f64 {
        let mut sum = 0.0;
        if !batch.prefills.is_empty() {
            let chunks = batch.prefills.iter().map(|chunk| self.chunk_us(chunk));
            sum += self.context_base + chunks.sum::<f64>();
        }
        if batch.decodes > 0 {
            let decodes = real(batch.decodes);
            let mean = real(batch.decode_context_tokens) / decodes;
            let more = (real(batch.longest_decode_context) - mean).max(0.0);
            let per_token = self.longest.get(batch.decodes as usize).or(self.longest.last()).copied();
            sum += self.generation.in_row(self.generation.row(decodes), mean + 1.0);
            sum += per_token.unwrap_or(0.0) * more;
        }
        sum
    }
}
