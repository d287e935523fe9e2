//! Step times composed from measured operators.
//!
//! ```text
//! step = layers(T) + head(n) + generation(decodes, mean context) + longest + context(chunks)
//! context = c(1) + Σ (c(new tokens, cached tokens) − c(1))
//! ```
//!
//! with T tokens and n requests in the step. `layers` holds everything of the layers but attention: projections, feed-forward
//! networks, experts, norms, sums over the tensor-parallel group; `head` the logits and sampling. Every operator's time is
//! measured on the GPU, interpolated, or carried from the nearest measured one (`operators.rs`). Operators run one after the
//! other. T up to 512 is padded to the sizes for which vLLM captures CUDA graphs. A chunk behind cached tokens takes what
//! a prompt with as many scores takes, and at least a read of the cache; several chunks share one launch.
//!
//! `longest` is of Blackwell: kernels there cut all contexts of a batch into as many parts each, and those with the parts of the
//! longest context go on while the others have nothing left to do. Data-parallel ranks run the graph of the rank with most tokens; what
//! their steps take where their batches differ is in `ranks.rs`. Where
//! experts are spread over several tensor-parallel groups, each GPU takes its share of its group's tokens through router and
//! shared experts, and the group gathers them again.
//!
//! All of it is worked out once, into grids (`knots.rs`) that a step reads. Times are those of kernels by themselves; four constants
//! hold for all GPUs and models, for kernels too small to be in the tables ([`SMALL_KERNEL_US`],
//! [`SMALL_KERNEL_BANDWIDTH`]) and for GPUs that wait for each other ([`SKEW_US`], [`EAGER_SKEW_US`]), and two for launching layers with
//! linear attention ([`LINEAR_PIECE_US`]) come from recorded steps. [`Tuning`] changes them.

mod compose;
mod experts;
mod knots;
mod operators;
mod ranks;
mod shape;
mod step;
mod tables;
#[cfg(test)]
mod tests;
mod tuning;

pub use operators::{EAGER_SKEW_US, SKEW_US, SMALL_KERNEL_BANDWIDTH, SMALL_KERNEL_US};
pub use shape::{KvFormat, LatentAttention, LinearAttention, ModelShape, QkNorm, WeightFormat};
pub use tables::{BadTables, KernelTables};
pub use tuning::Tuning;

use crate::architecture::{Deployment, GpuSpec};
use crate::overheads::Overheads;
use crate::pipeline::StageShare;
use crate::problem::{Checks, CoefficientList, InvalidModel, Problem};
use compose::Pass;
use knots::{Line, Plane};
use operators::Operators;
use ranks::RankParts;
use std::sync::Arc;
use step::{Decodes, graph_size};

/// Most tokens of a step that runs as a CUDA graph (vLLM's default).
const LARGEST_GRAPH: usize = 512;
/// What a server takes to launch a layer with linear attention, many small kernels from Python, µs: in a step that is cut into
/// CUDA graphs between such layers, and in one without graphs. From recorded steps of the one model of this kind for
/// which there are any (Qwen3.6-35B-A3B, vLLM 0.20.1).
pub const LINEAR_PIECE_US: f64 = 480.0;
/// See [`LINEAR_PIECE_US`].
pub const LINEAR_EAGER_US: f64 = 1250.0;
/// What a multiprocessor of a Blackwell GPU reads of the cache while others have nothing left to do, bytes per µs. From recorded
/// steps of Qwen3-32B on B300.
pub const SPLIT_BYTES_PER_US: f64 = 150e3;
/// Most tokens of a step, requests and tokens of a request up to which knots are laid; beyond, times go on in
/// proportion.
const MAX_STEP_TOKENS: u64 = 16_384;
const MAX_REQUESTS: u64 = 1024;
const MAX_CONTEXT: u64 = 131_072;

/// The model, with everything worked out that no batch changes.
#[derive(Clone, Debug)]
pub struct Profiled {
    overheads: Overheads,
    /// By tokens of the step, as CUDA graphs.
    graphs: Vec<f64>,
    layers: Line,
    head: Line,
    /// Steps without prompts by their requests, up to [`MAX_REQUESTS`].
    decodes: Vec<Decodes>,
    /// Less that of one token.
    context: Plane,
    /// Context attention over one token.
    context_base: f64,
    generation: Plane,
    /// What each token by which the longest context is above the mean adds, by requests of a rank; empty where kernels
    /// share out such contexts.
    longest: Vec<f64>,
    /// One over the data-parallel ranks.
    share_of_rank: f64,
    /// Of several ranks whose batches are known one by one; none of a stage.
    ranks: Option<RankParts>,
    /// What a step with prompts takes at least, up to [`LARGEST_GRAPH`] tokens and above.
    launch: [f64; 2],
    /// Added to every step.
    us_per_step: f64,
}

/// A model with what is to be said about it.
#[derive(Clone, Debug)]
pub struct Composition {
    /// The model.
    pub model: Arc<Profiled>,
    /// Operators that were carried from others, the farthest first: what, and the ratio of roofline times.
    pub carried: Vec<(String, f64)>,
}

impl Profiled {
    /// Name of the model on the command line.
    pub const NAME: &'static str = "profiled";

    /// Composes the model of one instance. `alpha` are overheads outside of steps, as of [`crate::Roofline`].
    /// `tuning` is `Default` for kernels as they were measured.
    ///
    /// # Errors
    /// Everything that is wrong with the inputs, and operators that were not measured on this GPU.
    pub fn compose(
        shape: &ModelShape,
        gpu: &GpuSpec,
        deployment: &Deployment,
        kv: KvFormat,
        tables: &KernelTables,
        alpha: &[f64],
        tuning: &Tuning,
    ) -> Result<Composition, InvalidModel> {
        check(shape, gpu, deployment, alpha, tuning)?;
        let mut pass = Pass::new(shape, deployment, kv, Operators::new(tables, gpu, tuning));
        let missing = pass.missing();
        if !missing.is_empty() {
            let mut checks = Checks::new();
            for operator in missing {
                checks.require(false, Problem::NotMeasured { operator, gpu: gpu.name.clone() });
            }
            checks.finish(Self::NAME)?;
        }
        let total = |parts: Vec<compose::Part>| parts.into_iter().map(|(_, us)| us).sum::<f64>();
        let ranks = deployment.dp as usize;
        let mut graphs: Vec<f64> = Vec::with_capacity(LARGEST_GRAPH * ranks + 1);
        let mut captured = (0, 0.0);
        for tokens in 0..=LARGEST_GRAPH * ranks {
            // Every rank runs the graph of the one with most tokens.
            let size = graph_size(tokens.div_ceil(ranks)) * ranks;
            if size != captured.0 {
                captured = (size, total(pass.per_token(size as f64)));
            }
            graphs.push(captured.1);
        }
        let layers = pass.eager(|pass| Line::new(MAX_STEP_TOKENS, |tokens| total(pass.per_token(tokens))));
        let context_base = pass.context(1.0, 0.0);
        let context = Plane::new(MAX_STEP_TOKENS, MAX_CONTEXT, |new, past| {
            pass.context(new.max(1.0), past) - context_base
        });
        let mut model = Self {
            overheads: Overheads::with_end(alpha),
            graphs,
            layers,
            head: Line::new(MAX_REQUESTS, |requests| pass.per_request(requests)),
            decodes: Vec::new(),
            context_base,
            context,
            generation: Plane::new(MAX_REQUESTS, MAX_CONTEXT, |batch, context| {
                pass.generation(batch.max(1.0), context.max(1.0))
            }),
            longest: pass.longest(MAX_REQUESTS),
            share_of_rank: 1.0 / f64::from(deployment.dp),
            ranks: (ranks > 1).then(|| RankParts::new(&mut pass)),
            launch: [pass.launch(true), pass.launch(false)],
            us_per_step: tuning.us_per_step,
        };
        model.decodes = model.steps_without_prompts();
        let mut carried: Vec<(String, f64)> = pass.operators.carried.into_iter().collect();
        carried.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(Composition { model: Arc::new(model), carried })
    }

    /// The parts of a step without attention, by name, µs: of `tokens` tokens in all layers.
    ///
    /// # Errors
    /// As of [`Self::compose`].
    pub fn parts(
        shape: &ModelShape,
        gpu: &GpuSpec,
        deployment: &Deployment,
        tables: &KernelTables,
        tokens: f64,
    ) -> Result<Vec<(&'static str, f64)>, InvalidModel> {
        let tuning = Tuning::default();
        check(shape, gpu, deployment, &[0.0; 3], &tuning)?;
        let mut pass = Pass::new(shape, deployment, KvFormat::Bf16, Operators::new(tables, gpu, &tuning));
        Ok(pass.per_token(tokens))
    }

    /// The model of one stage of a pipeline: its share of the layers, on the last stage also logits and sampling.
    #[must_use]
    pub fn stage(&self, share: StageShare) -> Self {
        let (of_layers, beside) = (share.of_layers, f64::from(u8::from(share.is_last)));
        let scaled = |values: &[f64]| values.iter().map(|us| us * of_layers).collect();
        let mut stage = Self {
            graphs: scaled(&self.graphs),
            layers: self.layers.scaled(of_layers),
            head: self.head.scaled(beside),
            context: self.context.scaled(of_layers),
            context_base: self.context_base * of_layers,
            generation: self.generation.scaled(of_layers),
            longest: scaled(&self.longest),
            launch: self.launch.map(|us| us * of_layers),
            us_per_step: self.us_per_step * beside,
            ranks: None,
            ..self.clone()
        };
        stage.decodes = stage.steps_without_prompts();
        stage
    }
}

fn check(
    shape: &ModelShape,
    gpu: &GpuSpec,
    deployment: &Deployment,
    alpha: &[f64],
    tuning: &Tuning,
) -> Result<(), InvalidModel> {
    let mut checks = Checks::new();
    tuning.check(&mut checks);
    checks.coefficients(CoefficientList::Alpha, alpha, crate::Coefficients::ALPHAS);
    shape.check(deployment, &mut checks);
    checks.positive("vocabulary size", shape.vocabulary.into());
    checks.positive("FP16 rate (TFLOP/s)", gpu.fp16_tflops);
    checks.positive("memory bandwidth (TB/s)", gpu.hbm_tb_per_s);
    checks.finish(Profiled::NAME)
}
