//! A forward pass as a list of operators.

use super::experts::Experts;
use super::operators::{Heads, Operators};
use super::shape::{KvFormat, ModelShape, QkNorm};
use crate::architecture::{Deployment, MoeBackend, MoeComm};

/// Bytes of an activation.
const ACTIVATION: f64 = 2.0;
/// Bytes of a logit, which is sampled from in 32 bits.
const LOGIT: f64 = 4.0;

/// Parts of a step that go by the tokens of all data-parallel ranks.
const OF_ALL_RANKS: [&str; 2] = ["experts", "exchange between experts"];

/// Multiprocessors of the Blackwell GPUs that were measured.
const MULTIPROCESSORS: u64 = 148;

/// One part of a forward pass: its name and what it takes, µs, in all layers.
pub(super) type Part = (&'static str, f64);

/// What is composed.
pub(super) struct Pass<'a> {
    pub(super) shape: &'a ModelShape,
    pub(super) tp: u32,
    /// Ranks whose requests are apart, but whose experts are shared.
    pub(super) dp: u32,
    pub(super) expert_parallel: bool,
    pub(super) moe_comm: MoeComm,
    moe_backend: MoeBackend,
    pub(super) kv: KvFormat,
    pub(super) operators: Operators<'a>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        shape: &'a ModelShape,
        deployment: &Deployment,
        kv: KvFormat,
        operators: Operators<'a>,
    ) -> Self {
        let Deployment { tp, dp, expert_parallel, moe_comm, moe_backend } = *deployment;
        Self { shape, tp, dp, expert_parallel, moe_comm, moe_backend, kv, operators }
    }

    fn query_heads(&self) -> u32 {
        self.shape.heads.div_ceil(self.tp)
    }

    /// Fewer KV heads than GPUs are repeated.
    fn kv_heads(&self) -> u32 {
        self.shape.kv_heads.div_ceil(self.tp)
    }

    fn attention_layers(&self) -> f64 {
        f64::from(self.shape.layers - self.shape.linear_attention.map_or(0, |linear| linear.layers))
    }

    /// What `work` gives in steps without CUDA graphs.
    pub(super) fn eager<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.operators.is_eager = true;
        let done = work(self);
        self.operators.is_eager = false;
        done
    }

    /// The parts of [`Self::per_token`] that go by the tokens of a rank, for so many.
    pub(super) fn of_a_rank(&mut self, tokens: f64) -> f64 {
        let parts = self.per_token(tokens * f64::from(self.dp)).into_iter();
        parts.filter(|(name, _)| !OF_ALL_RANKS.contains(name)).map(|(_, us)| us).sum()
    }

    /// Those that go by the tokens of all ranks, for so many.
    pub(super) fn of_all_ranks(&mut self, all_tokens: f64) -> f64 {
        let parts = self.per_token(all_tokens).into_iter();
        parts.filter(|(name, _)| OF_ALL_RANKS.contains(name)).map(|(_, us)| us).sum()
    }

    /// What goes by the number of tokens in the step, on all ranks together: everything in the layers but attention itself.
    pub(super) fn per_token(&mut self, all_tokens: f64) -> Vec<Part> {
        let tokens = (all_tokens / f64::from(self.dp)).max(1.0);
        let shape = self.shape;
        let layers = f64::from(shape.layers);
        let hidden = f64::from(shape.hidden);
        let moe_layers = f64::from(shape.moe_layers);
        let mut parts = match shape.latent_attention {
            Some(_) => self.latent_projections(tokens),
            None => self.projections(tokens),
        };
        parts.extend(self.linear_attention_projections(tokens));
        // Both norms of a layer read the branch and the residual and write both.
        let norm = self.operators.small(4.0 * tokens * hidden * ACTIVATION);
        parts.push(("norms", 2.0 * layers * norm));
        let reduce = self.operators.all_reduce(self.tp, tokens * hidden * ACTIVATION);
        let reduces = if self.dp > 1 { 2.0 * layers - moe_layers } else { 2.0 * layers };
        parts.push(("all-reduce", reduces * reduce));
        if shape.moe_layers < shape.layers {
            let dense = self.mlp(tokens, f64::from(shape.dense_intermediate) / f64::from(self.tp));
            parts.push(("dense MLP", (layers - moe_layers) * dense));
        }
        if shape.moe_layers > 0 {
            parts.extend(self.mixture(tokens, all_tokens));
        }
        parts
    }

    fn projections(&mut self, tokens: f64) -> Vec<Part> {
        let shape = self.shape;
        let layers = self.attention_layers();
        let (hidden, dim) = (f64::from(shape.hidden), f64::from(shape.head_dim));
        let (query, kv) = (f64::from(self.query_heads()), f64::from(self.kv_heads()));
        let ops = &mut self.operators;
        let gate = if shape.gated_attention { query } else { 0.0 };
        let qkv = ops.linear(shape.attention_weights, tokens, (query + gate + 2.0 * kv) * dim, hidden);
        let out = ops.linear(shape.attention_weights, tokens, hidden, query * dim);
        let turned = ops.small(2.0 * tokens * (query + 2.0 * kv) * dim * ACTIVATION);
        let written = ops.small(4.0 * tokens * kv * dim * ACTIVATION);
        let gated =
            if shape.gated_attention { ops.small(3.0 * tokens * query * dim * ACTIVATION) } else { 0.0 };
        let normalised = match shape.qk_norm {
            QkNorm::None => 0.0,
            QkNorm::PerHead => turned,
            // The sums of squares, the normalisation, and the sum over the GPUs between them.
            QkNorm::AcrossHeads => 2.0 * turned + ops.all_reduce(self.tp, 2.0 * tokens * LOGIT),
        };
        vec![
            ("attention projections", layers * (qkv + out)),
            ("rotary embedding and cache writes", layers * (turned + written + normalised + gated)),
        ]
    }

    fn latent_projections(&mut self, tokens: f64) -> Vec<Part> {
        let shape = self.shape;
        let Some(latent) = shape.latent_attention else { return Vec::new() };
        let layers = self.attention_layers();
        let hidden = f64::from(shape.hidden);
        let heads = f64::from(self.query_heads());
        let (rank, nope) = (f64::from(latent.q_rank), f64::from(latent.nope_dim));
        let (kv_rank, rope) = (f64::from(latent.kv_rank), f64::from(latent.rope_dim));
        let weights = shape.attention_weights;
        let ops = &mut self.operators;
        let into = if latent.q_rank > 0 {
            ops.linear(weights, tokens, rank + kv_rank + rope, hidden)
                + ops.linear(weights, tokens, heads * (nope + rope), rank)
        } else {
            ops.linear(weights, tokens, heads * (nope + rope) + kv_rank + rope, hidden)
        };
        let out = ops.linear(weights, tokens, hidden, heads * f64::from(latent.value_dim));
        let turned = ops.small(2.0 * tokens * (heads * (nope + rope) + kv_rank) * ACTIVATION);
        let written = ops.small(2.0 * tokens * (kv_rank + rope) * ACTIVATION);
        vec![
            ("attention projections", layers * (into + out)),
            ("rotary embedding and cache writes", layers * (2.0 * turned + written)),
        ]
    }

    fn linear_attention_projections(&mut self, tokens: f64) -> Option<Part> {
        let shape = self.shape;
        let linear = shape.linear_attention?;
        let hidden = f64::from(shape.hidden);
        let part = |heads: u32, dim: u32| f64::from(heads.div_ceil(self.tp)) * f64::from(dim);
        let keys = part(linear.key_heads, linear.key_dim);
        let values = part(linear.value_heads, linear.value_dim);
        let gates = 2.0 * part(linear.value_heads, 1);
        let weights = shape.attention_weights;
        let ops = &mut self.operators;
        let into = ops.linear(weights, tokens, 2.0 * keys + 2.0 * values, hidden)
            + ops.linear(weights, tokens, gates, hidden);
        let out = ops.linear(weights, tokens, hidden, values);
        // Between the products: the parts are pulled apart, gates worked out, the result normalised and gated.
        let beside = 3.0 * ops.small(2.0 * tokens * (2.0 * keys + 2.0 * values) * ACTIVATION)
            + ops.small(3.0 * tokens * values * ACTIVATION);
        Some(("linear attention projections", f64::from(linear.layers) * (into + out + beside)))
    }

    /// A feed-forward network of so many columns on this GPU.
    fn mlp(&mut self, tokens: f64, width: f64) -> f64 {
        let shape = self.shape;
        if width <= 0.0 {
            return 0.0;
        }
        let hidden = f64::from(shape.hidden);
        let halves = if shape.gated_mlp { 2.0 } else { 1.0 };
        let ops = &mut self.operators;
        ops.linear(shape.dense_weights, tokens, halves * width, hidden)
            + ops.small((halves + 1.0) * tokens * width * ACTIVATION)
            + ops.linear(shape.dense_weights, tokens, hidden, width)
    }

    /// Whether every GPU of a tensor-parallel group takes its share of the tokens through router and shared experts, as
    /// vLLM does where experts are spread over several such groups.
    fn shares_tokens(&self) -> bool {
        self.dp > 1 && self.tp > 1 && self.expert_parallel
    }

    fn mixture(&mut self, tokens: f64, all_tokens: f64) -> Vec<Part> {
        let shape = self.shape;
        let tp = f64::from(self.tp);
        let shares_tokens = self.shares_tokens();
        let group_tokens = tokens;
        let tokens = if shares_tokens { (tokens / tp).max(1.0) } else { tokens };
        let layers = f64::from(shape.moe_layers);
        let hidden = f64::from(shape.hidden);
        let gpus = self.tp * self.dp;
        let experts = Experts {
            format: shape.expert_weights,
            backend: self.moe_backend,
            hidden: shape.hidden,
            intermediate: shape.expert_intermediate,
            per_token: shape.experts_per_token,
            count: shape.experts,
            tp: if self.expert_parallel { 1 } else { gpus },
            ep: if self.expert_parallel { gpus } else { 1 },
        };
        let ops = &mut self.operators;
        let scores = tokens * f64::from(shape.experts) * LOGIT;
        let router = ops.matmul(super::WeightFormat::Bf16, tokens, f64::from(shape.experts), hidden)
            + ops.small(2.0 * scores);
        let routed = ops.experts(experts, all_tokens);
        let (mut exchanged, mut sent) = (0.0, 0.0);
        if self.dp > 1 {
            if self.moe_comm.is_all_to_all() {
                let visits = group_tokens * f64::from(shape.experts_per_token);
                sent = 2.0 * ops.met("alltoall", gpus, visits * hidden * ACTIVATION);
            } else {
                let bytes = all_tokens * hidden * ACTIVATION;
                exchanged = ops.met("all_gather", gpus, bytes) + ops.met("reduce_scatter", gpus, bytes);
            }
            if shares_tokens {
                sent += ops.met("all_gather", self.tp, group_tokens * hidden * ACTIVATION);
            }
        }
        let width = f64::from(shape.shared_intermediate) / if shares_tokens { 1.0 } else { tp };
        let mut shared = self.mlp(tokens, width);
        if shape.shared_intermediate > 0 {
            // Weighted, then added to what the routed experts give.
            shared += 2.0 * self.operators.small(3.0 * tokens * hidden * ACTIVATION);
        }
        vec![
            ("router", layers * router),
            ("experts", layers * routed),
            ("exchange between experts", layers * exchanged),
            ("exchange of a rank's own tokens", layers * sent),
            ("shared experts", layers * shared),
        ]
    }

    /// What goes by the number of requests: logits and sampling.
    pub(super) fn per_request(&mut self, all_requests: f64) -> f64 {
        let requests = (all_requests / f64::from(self.dp)).max(1.0);
        let vocabulary = f64::from(self.shape.vocabulary);
        let tp = self.tp;
        let ops = &mut self.operators;
        let format = super::WeightFormat::Bf16;
        let logits = ops.matmul(format, requests, vocabulary / f64::from(tp), f64::from(self.shape.hidden));
        let gathered = if tp > 1 {
            ops.transfer("all_gather", tp, requests * vocabulary * ACTIVATION).unwrap_or(0.0)
        } else {
            0.0
        };
        logits + gathered + 2.0 * ops.small(2.0 * requests * vocabulary * LOGIT)
    }

    /// Attention over `new` tokens of one request behind `past` cached ones, in all layers.
    pub(super) fn context(&mut self, new: f64, past: f64) -> f64 {
        let (shape, kv) = (self.shape, self.kv);
        let mut sum = 0.0;
        if let Some(latent) = shape.latent_attention {
            // Keys and values of all heads are unfolded, also those of the cached tokens.
            let heads = self.query_heads();
            let unfolded = f64::from(heads) * f64::from(latent.nope_dim + latent.value_dim);
            let rank = f64::from(latent.kv_rank);
            let attention = self.operators.latent_context(heads, kv, new, past);
            let unfolding = self.operators.matmul(shape.attention_weights, new + past, unfolded, rank);
            sum += self.attention_layers() * (attention + unfolding);
        } else {
            for (layers, heads) in self.kinds_of_layers() {
                sum += layers * self.operators.context_attention(heads, kv, new, past);
            }
        }
        sum + self.linear_attention("context", new)
    }

    /// Attention over one new token of each of `batch` requests with so many tokens, in all layers.
    pub(super) fn generation(&mut self, batch: f64, context: f64) -> f64 {
        let kv = self.kv;
        let mut sum = 0.0;
        if self.shape.latent_attention.is_some() {
            let heads = self.query_heads();
            let attention = self.operators.latent_generation(heads, kv, batch, context);
            sum += self.attention_layers() * (attention + self.operators.latent_folding(heads, batch));
        } else {
            for (layers, heads) in self.kinds_of_layers() {
                sum += layers * self.operators.generation_attention(heads, kv, batch, context);
            }
        }
        sum + self.linear_attention("generation", batch)
    }

    /// What each token by which the longest context of a batch is above the mean adds, in all layers, by requests up to
    /// `most`; empty where kernels share out long contexts.
    ///
    /// The kernels of Blackwell cut every context into as many parts as give all multiprocessors work if contexts are
    /// alike; those that have the longest one's parts go on alone.
    pub(super) fn longest(&self, most: u64) -> Vec<f64> {
        if !self.operators.has_equal_splits() || self.shape.latent_attention.is_some() {
            return Vec::new();
        }
        let heads = u64::from(self.kv_heads());
        let bytes = 2.0 * f64::from(self.shape.head_dim) * self.kv.bytes();
        let us = f64::from(self.shape.full_attention_layers()) * bytes / super::SPLIT_BYTES_PER_US;
        (0..=most).map(|requests| us / (MULTIPROCESSORS / (requests.max(1) * heads)).max(1) as f64).collect()
    }

    fn linear_attention(&mut self, phase: &str, count: f64) -> f64 {
        let Some(linear) = self.shape.linear_attention else { return 0.0 };
        let heads = self.linear_heads(linear);
        f64::from(linear.layers) * self.operators.linear_attention(phase, heads, count).unwrap_or(0.0)
    }

    fn linear_heads(&self, linear: super::LinearAttention) -> [u32; 4] {
        let part = |heads: u32| heads.div_ceil(self.tp);
        [part(linear.key_heads), part(linear.value_heads), linear.key_dim, linear.value_dim]
    }

    /// What it takes at least to launch a step with prompts, which is no CUDA graph: in pieces between attention layers
    /// where it is small enough for captured ones, else kernel by kernel.
    pub(super) fn launch(&self, in_pieces: bool) -> f64 {
        let Some(linear) = self.shape.linear_attention else { return 0.0 };
        let tuning = &self.operators.tuning;
        let us = if in_pieces { tuning.linear_piece_us } else { tuning.linear_eager_us };
        f64::from(linear.layers) * us
    }

    /// Layers whose attention has heads, with a GPU's part of them.
    fn kinds_of_layers(&self) -> impl Iterator<Item = (f64, Heads)> + use<> {
        let shape = self.shape;
        let heads = Heads { query: self.query_heads(), kv: self.kv_heads(), dim: shape.head_dim, window: 0 };
        let kinds = [
            (shape.full_attention_layers(), heads),
            (shape.windowed_layers, Heads { window: shape.window, ..heads }),
        ];
        kinds.into_iter().filter(|(layers, _)| *layers > 0).map(|(layers, heads)| (f64::from(layers), heads))
    }

    /// Operators of the model that the tables of this GPU do not have at all.
    pub(super) fn missing(&mut self) -> Vec<&'static str> {
        let tables = self.operators.tables;
        let shape = self.shape;
        let linear = shape.linear_attention.map(|linear| self.linear_heads(linear));
        let gpus = self.tp * self.dp;
        let has = |name: &str| tables.table(name).is_some();
        let has_bf16 = tables.table("gemm").is_some_and(|table| table.has("bfloat16"));
        let has_heads = has("context_attention") && has("generation_attention");
        let has_latent = has("context_mla") && has("generation_mla") && has("mla_bmm");
        let has_linear = linear.is_none_or(|heads| {
            ["context", "generation"]
                .into_iter()
                .all(|phase| self.operators.linear_attention(phase, heads, 1.0).is_some())
        });
        [
            ("GEMM", has_bf16),
            ("attention", shape.latent_attention.is_some() || has_heads),
            ("latent attention", shape.latent_attention.is_none() || has_latent),
            ("linear attention of these heads", has_linear),
            ("experts", shape.moe_layers == 0 || has("moe")),
            ("communication", gpus < 2 || has("communication")),
        ]
        .into_iter()
        .filter_map(|(name, has)| (!has).then_some(name))
        .collect()
    }
}
