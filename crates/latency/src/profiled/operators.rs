//! The time of one operator: measured, or carried from the nearest measured one.
//!
//! Within the measured range the tables answer. Outside it the nearest measured operator counts, at the efficiency that it
//! had: its time times the ratio of the two roofline times, where a roofline time is the longer of
//! FLOPs/peak and bytes/bandwidth. How far an operator's shape was carried is noted once. Experts are in `experts.rs`.

use super::experts::{Experts, NearestExperts};
use super::shape::{KvFormat, WeightFormat};
use super::tables::{KernelTables, Measured, Table};
use super::tuning::Tuning;
use crate::architecture::GpuSpec;
use std::collections::BTreeMap;

/// The shortest time of a small kernel between two large ones in a CUDA graph, µs. One value for all GPUs and models.
pub const SMALL_KERNEL_US: f64 = 3.0;
/// Share of the memory bandwidth that small kernels reach.
pub const SMALL_KERNEL_BANDWIDTH: f64 = 0.8;
/// What a sum over GPUs waits until the last of them is there, µs: measured by themselves they start together, in a model they
/// do not. One value for all GPUs and models.
pub const SKEW_US: f64 = 2.0;
/// What it waits beside that in a step without CUDA graphs, µs. From recorded steps of Qwen3-32B on two to eight B300, whose sums
/// are 45 to 69 µs longer than their kernels there, while steps on one GPU are not longer than theirs (`docs/latency.md`).
pub const EAGER_SKEW_US: f64 = 50.0;
/// Shapes that differ by less than this are as measured.
const SAME: f64 = 1.02;

/// What was taken from afar: operator and shape, and the ratio between the roofline times of shape and measurement.
pub(super) type Carried = BTreeMap<String, f64>;

pub(super) struct Operators<'a> {
    pub(super) tables: &'a KernelTables,
    pub(super) gpu: &'a GpuSpec,
    pub(super) tuning: Tuning,
    pub(super) carried: Carried,
    /// Whether the step runs without CUDA graphs.
    pub(super) is_eager: bool,
    /// What was found before: for the context or not, and whether the cache is FP8.
    nearest_heads: BTreeMap<(bool, Heads, bool), Option<(String, Heads)>>,
    pub(super) nearest_experts: Vec<(Experts, Option<NearestExperts>)>,
}

/// A GPU's part of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Heads {
    pub(super) query: u32,
    pub(super) kv: u32,
    pub(super) dim: u32,
    /// 0 = all tokens before.
    pub(super) window: u32,
}

impl<'a> Operators<'a> {
    pub(super) fn new(tables: &'a KernelTables, gpu: &'a GpuSpec, tuning: &Tuning) -> Self {
        Self {
            tables,
            gpu,
            tuning: *tuning,
            carried: Carried::new(),
            is_eager: false,
            nearest_heads: BTreeMap::new(),
            nearest_experts: Vec::new(),
        }
    }

    pub(super) fn table(&self, name: &str) -> Option<&'a Table> {
        self.tables.table(name)
    }

    pub(super) fn note(&mut self, what: String, ratio: f64) {
        let ratio = if ratio < 1.0 { 1.0 / ratio } else { ratio };
        let noted = self.carried.entry(what).or_insert(ratio);
        *noted = noted.max(ratio);
    }

    fn bytes_per_us(&self) -> f64 {
        self.gpu.hbm_tb_per_s * 1e6
    }

    pub(super) fn roofline(&self, flops: f64, tflops: f64, bytes: f64) -> f64 {
        (flops / (tflops * 1e6)).max(bytes / self.bytes_per_us())
    }

    /// A kernel that only moves so many bytes.
    pub(super) fn small(&self, bytes: f64) -> f64 {
        let Tuning { small_kernel_us, small_kernel_bandwidth, .. } = self.tuning;
        let moving = bytes / (self.bytes_per_us() * small_kernel_bandwidth);
        small_kernel_us.max(small_kernel_us / 2.0 + moving)
    }

    /// Rate of a format's products; weights that are unpacked first are multiplied in 16 bits.
    pub(super) fn tflops(&self, format: WeightFormat) -> f64 {
        let rate = match format {
            WeightFormat::Bf16 | WeightFormat::Int8 | WeightFormat::Int4 => self.gpu.fp16_tflops,
            WeightFormat::Mxfp4 | WeightFormat::Fp8 | WeightFormat::Fp8Block => self.gpu.fp8_tflops,
            WeightFormat::Nvfp4 => 2.0 * self.gpu.fp8_tflops,
        };
        if rate > 0.0 { rate } else { self.gpu.fp16_tflops }
    }

    /// `rows` x `k` times `k` x `n`, without the quantisation of activations.
    pub(super) fn matmul(&mut self, format: WeightFormat, rows: f64, n: f64, k: f64) -> f64 {
        let Some(table) = self.table("gemm") else { return 0.0 };
        let kind = |format| match format {
            WeightFormat::Bf16 => "bfloat16",
            WeightFormat::Fp8 => "fp8",
            WeightFormat::Fp8Block => "fp8_block",
            WeightFormat::Nvfp4 => "nvfp4",
            WeightFormat::Mxfp4 | WeightFormat::Int8 | WeightFormat::Int4 => "",
        };
        let measured_as = [format, WeightFormat::Fp8, WeightFormat::Bf16]
            .into_iter()
            .find(|&other| {
                table.has(kind(other)) && (other == format || other == WeightFormat::Bf16 || is_fp8(format))
            })
            .unwrap_or(WeightFormat::Bf16);
        let Some(Measured { us, at: [at_n, at_k, at_rows] }) = table.at(kind(measured_as), &[n, k, rows])
        else {
            return 0.0;
        };
        let roofline = |as_format: WeightFormat, rows: f64, n: f64, k: f64| {
            // The FP8 weights of a GPU without FP8 products are unpacked like integers.
            let bytes = n * k * as_format.bytes() + 2.0 * rows * (n + k);
            self.roofline(2.0 * rows * n * k, self.tflops(as_format), bytes)
        };
        let ratio = roofline(format, rows, n, k) / roofline(measured_as, at_rows, at_n, at_k);
        if measured_as != format {
            self.note(format!("{} GEMM from {}", format.name(), measured_as.name()), ratio);
        } else if is_apart(n, at_n) || is_apart(k, at_k) {
            self.note(format!("GEMM of {n:.0} columns and depth {k:.0}"), ratio);
        }
        us * ratio * self.tuning.gemm
    }

    /// A linear layer: the product, and where activations are quantised, a kernel that does it.
    pub(super) fn linear(&mut self, format: WeightFormat, rows: f64, n: f64, k: f64) -> f64 {
        let quantise = match format {
            WeightFormat::Fp8 | WeightFormat::Fp8Block | WeightFormat::Nvfp4 => self.small(3.0 * rows * k),
            _ => 0.0,
        };
        self.matmul(format, rows, n, k) + quantise
    }

    /// The curve of a table that is nearest to these heads, of `d/type/window/query heads/KV heads`: first the type,
    /// then the width, then queries per KV head, then KV heads.
    fn attention_key(&mut self, is_context: bool, heads: Heads, kv: KvFormat) -> Option<(String, Heads)> {
        let asked = (is_context, heads, kv == KvFormat::Fp8);
        if let Some(found) = self.nearest_heads.get(&asked) {
            return found.clone();
        }
        let table = self.table(if is_context { "context_attention" } else { "generation_attention" })?;
        let found = nearest_heads(table, heads, kv);
        self.nearest_heads.insert(asked, found.clone());
        found
    }

    /// One request of `new` tokens behind `past` cached ones.
    pub(super) fn context_attention(&mut self, heads: Heads, kv: KvFormat, new: f64, past: f64) -> f64 {
        let Some(table) = self.table("context_attention") else { return 0.0 };
        let Some((key, found)) = self.attention_key(true, heads, kv) else { return 0.0 };
        // A pass without cached tokens that has as many scores.
        let length = length_of(visible(new, past, heads.window), found.window);
        let Some(Measured { us, at: [at, ..] }) = table.at(&key, &[length]) else { return 0.0 };
        self.note_heads("context", heads, found, kv, &key);
        let work = |heads: Heads, length: f64| {
            let flops = 4.0 * f64::from(heads.query * heads.dim) * visible(length, 0.0, heads.window);
            let elements = 2.0 * length * f64::from(heads.query + heads.kv);
            self.roofline(flops, self.gpu.fp16_tflops, elements * f64::from(heads.dim) * 2.0)
        };
        let wanted = Heads { window: found.window, ..heads };
        let ratio = if wanted == found && !is_apart(length, at) {
            1.0
        } else {
            work(wanted, length) / work(found, at)
        };
        // However little is new: the cached tokens are read once.
        let least = if past > 0.0 { self.generation_attention(heads, kv, 1.0, new + past) } else { 0.0 };
        (us * ratio * self.tuning.context_attention).max(least)
    }

    /// `batch` requests with one new token each and `context` tokens, the new one included.
    pub(super) fn generation_attention(
        &mut self,
        heads: Heads,
        kv: KvFormat,
        batch: f64,
        context: f64,
    ) -> f64 {
        let Some(table) = self.table("generation_attention") else { return 0.0 };
        let Some((key, found)) = self.attention_key(false, heads, kv) else { return 0.0 };
        let window = f64::from(heads.window);
        let context = if heads.window > 0 && found.window == 0 { context.min(window) } else { context };
        // KV heads are independent of each other, like requests.
        let wanted = batch * f64::from(heads.kv) / f64::from(found.kv);
        let Some(Measured { us, at: [at_batch, at_context, _] }) = table.at(&key, &[wanted, context]) else {
            return 0.0;
        };
        let is_same = found.query * heads.kv == heads.query * found.kv && found.dim == heads.dim;
        let is_inside = !is_apart(wanted, at_batch) && !is_apart(context, at_context);
        self.note_heads("generation", heads, found, kv, &key);
        let us = us * self.tuning.generation_attention;
        if is_same && is_inside {
            return us;
        }
        let work = |heads: Heads, batch: f64, context: f64| {
            let seen = if heads.window > 0 { context.min(f64::from(heads.window)) } else { context };
            let flops = 4.0 * batch * f64::from(heads.query * heads.dim) * seen;
            let bytes = 2.0 * batch * f64::from(heads.kv * heads.dim) * seen * kv.bytes();
            self.roofline(flops, self.gpu.fp16_tflops, bytes)
        };
        // Below the measured range a kernel does not get quicker.
        let ratio = work(heads, batch, context) / work(found, at_batch, at_context);
        if is_same { us * ratio.max(1.0) } else { us * ratio }
    }

    fn note_heads(&mut self, phase: &str, heads: Heads, found: Heads, kv: KvFormat, key: &str) {
        let is_type = key.contains(match kv {
            KvFormat::Bf16 => "/bfloat16/",
            KvFormat::Fp8 => "/fp8/",
        });
        let is_group = found.query * heads.kv == heads.query * found.kv;
        if is_type && is_group && found.dim == heads.dim && found.window == heads.window {
            return;
        }
        let window = if heads.window > 0 { format!(", window {}", heads.window) } else { String::new() };
        let what = format!(
            "{phase} attention of {} query and {} KV heads of {}{window}",
            heads.query, heads.kv, heads.dim
        );
        let ratio = f64::from(heads.dim) / f64::from(found.dim) * f64::from(heads.query * found.kv)
            / f64::from(found.query * heads.kv);
        self.note(what, ratio);
    }

    /// Latent attention of so many heads: `new` tokens of one request behind `past`.
    pub(super) fn latent_context(&mut self, heads: u32, kv: KvFormat, new: f64, past: f64) -> f64 {
        let length = new + past;
        let Some((us, [at, ..])) = self.latent("context_mla", heads, kv, &[length]) else { return 0.0 };
        let least = if past > 0.0 { self.latent_generation(heads, kv, 1.0, length) } else { 0.0 };
        let us = us * self.tuning.context_attention;
        (us * visible(new, past, 0) / visible(at, 0.0, 0)).max(least)
    }

    /// Latent attention of so many heads: one new token of each of `batch` requests.
    pub(super) fn latent_generation(&mut self, heads: u32, kv: KvFormat, batch: f64, context: f64) -> f64 {
        let found = self.latent("generation_mla", heads, kv, &[batch, context]);
        let Some((us, [at_batch, at_context, _])) = found else { return 0.0 };
        us * self.tuning.generation_attention * (batch * context / (at_batch * at_context)).max(1.0)
    }

    fn latent(&mut self, table: &str, heads: u32, kv: KvFormat, point: &[f64]) -> Option<(f64, [f64; 3])> {
        let types = match kv {
            KvFormat::Bf16 => ["bfloat16", "fp8"],
            KvFormat::Fp8 => ["fp8", "bfloat16"],
        };
        let measured = self.table(table)?;
        let near = [heads, heads.next_power_of_two()];
        let keys = types.iter().flat_map(|kind| near.map(|heads| (kind, heads)));
        let (key, found) = keys
            .map(|(kind, heads)| (format!("{kind}/{heads}"), heads))
            .find(|(key, _)| measured.has(key))?;
        let Measured { us, at } = measured.at(&key, point)?;
        let ratio = f64::from(heads) / f64::from(found);
        if is_apart(ratio, 1.0) {
            self.note(format!("latent attention of {heads} heads"), ratio);
        }
        Some((us * ratio, at))
    }

    /// The two products that take queries into and results out of the latent space, for `tokens` tokens.
    pub(super) fn latent_folding(&mut self, heads: u32, tokens: f64) -> f64 {
        let Some(table) = self.table("mla_bmm") else { return 0.0 };
        ["mla_gen_pre", "mla_gen_post"]
            .into_iter()
            .filter_map(|name| table.at(&format!("{name}/{heads}"), &[tokens]))
            .map(|measured| measured.us * self.tuning.gemm * (tokens / measured.at[0]).max(1.0))
            .sum()
    }

    /// The kernels of linear attention: `phase` is `context` (so many tokens of one request) or `generation` (so many
    /// requests).
    pub(super) fn linear_attention(&mut self, phase: &str, heads: [u32; 4], count: f64) -> Option<f64> {
        let table = self.table("linear_attention")?;
        let [keys, values, key_dim, value_dim] = heads;
        let factor = match phase {
            "context" => self.tuning.context_attention,
            _ => self.tuning.generation_attention,
        };
        let mut sum = 0.0;
        for kind in ["conv", "rule"] {
            let key = format!("{phase}/{kind}/{keys}/{values}/{key_dim}/{value_dim}");
            let measured = table.at(&key, &[count])?;
            sum += measured.us * factor * (count / measured.at[0]).max(1.0);
        }
        Some(sum)
    }

    /// Sums `bytes` over the GPUs of a group: vLLM's own kernel, the one that it has for Blackwell, or NCCL, whichever is
    /// quickest.
    pub(super) fn all_reduce(&mut self, gpus: u32, bytes: f64) -> f64 {
        if gpus < 2 {
            return 0.0;
        }
        let kernels = ["graph", "fused", "all_reduce"];
        let quickest = kernels
            .into_iter()
            .filter_map(|kernel| self.transfer(kernel, gpus, bytes))
            .min_by(f64::total_cmp);
        quickest.map_or(0.0, |us| us + self.skew_us())
    }

    /// Whether attention of single tokens is FlashInfer's for Blackwell, as where its sums over GPUs were measured.
    pub(super) fn has_equal_splits(&self) -> bool {
        let table = self.table("communication");
        table.is_some_and(|table| table.keys().any(|key| key.starts_with("fused/")))
    }

    /// [`Self::transfer`] that starts when the last of the GPUs is there; 0 where it was not measured.
    pub(super) fn met(&mut self, operation: &str, gpus: u32, bytes: f64) -> f64 {
        self.transfer(operation, gpus, bytes).map_or(0.0, |us| us + self.skew_us())
    }

    /// What the GPUs of a group wait for the last of them.
    fn skew_us(&self) -> f64 {
        self.tuning.skew_us + if self.is_eager { self.tuning.eager_skew_us } else { 0.0 }
    }

    /// An operation among the GPUs of a group by its name in the tables; none where it was not measured.
    pub(super) fn transfer(&mut self, operation: &str, gpus: u32, bytes: f64) -> Option<f64> {
        let table = self.table("communication")?;
        let measured_gpus = table
            .keys()
            .filter_map(|key| key.split_once('/'))
            .filter(|(name, _)| *name == operation)
            .filter_map(|(_, count)| count.parse::<u32>().ok())
            .min_by_key(|count| count.abs_diff(gpus))?;
        let Measured { us, at: [at, ..] } = table.at(&format!("{operation}/{measured_gpus}"), &[bytes])?;
        // What a ring sends per GPU.
        let share = |gpus: u32| f64::from(gpus - 1) / f64::from(gpus);
        let mut ratio = (bytes / at).max(1.0);
        if measured_gpus != gpus {
            ratio *= share(gpus) / share(measured_gpus) * f64::from(gpus) / f64::from(measured_gpus);
            self.note(format!("transfers among {gpus} GPUs, from {measured_gpus}"), ratio);
        }
        Some(us * ratio * self.tuning.communication)
    }
}

/// See [`Operators::attention_key`].
fn nearest_heads(table: &Table, heads: Heads, kv: KvFormat) -> Option<(String, Heads)> {
    let wanted_type = match kv {
        KvFormat::Bf16 => "bfloat16",
        KvFormat::Fp8 => "fp8",
    };
    let exact = format!("{}/{wanted_type}/{}/{}/{}", heads.dim, heads.window, heads.query, heads.kv);
    if table.has(&exact) {
        return Some((exact, heads));
    }
    let group = f64::from(heads.query) / f64::from(heads.kv);
    let far = |a: f64, b: f64| libm::fabs(libm::log(a / b));
    let mut best: Option<([f64; 6], String, Heads)> = None;
    for key in table.keys() {
        let mut parts = key.split('/');
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        let Some(dim) = number() else { continue };
        let is_type = parts.next() == Some(wanted_type);
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        let (Some(window), Some(query), Some(kv)) = (number(), number(), number()) else { continue };
        if window != heads.window && window != 0 {
            continue;
        }
        let other_group = f64::from(query) / f64::from(kv);
        let distance = [
            f64::from(u8::from(!is_type)),
            far(f64::from(dim), f64::from(heads.dim)),
            f64::from(u8::from(window != heads.window)),
            far(other_group, group),
            // More KV heads than wanted would waste; as many small batches are the same work.
            f64::from(u8::from(kv > heads.kv)),
            far(f64::from(kv), f64::from(heads.kv)),
        ];
        if best.as_ref().is_none_or(|(nearest, ..)| distance < *nearest) {
            best = Some((distance, key.to_owned(), Heads { query, kv, dim, window }));
        }
    }
    let (_, key, found) = best?;
    Some((key, found))
}

fn is_fp8(format: WeightFormat) -> bool {
    matches!(format, WeightFormat::Fp8 | WeightFormat::Fp8Block)
}

pub(super) fn is_apart(a: f64, b: f64) -> bool {
    a > b * SAME || b > a * SAME
}

/// Pairs of a new token and one that it sees: itself, the new ones before it and the cached ones, within the window.
fn visible(new: f64, past: f64, window: u32) -> f64 {
    let all = new * past + new * (new + 1.0) / 2.0;
    if window == 0 {
        return all;
    }
    let window = f64::from(window);
    // The first tokens see what there is, the others a full window.
    let growing = (window - past).clamp(0.0, new);
    growing * past + growing * (growing + 1.0) / 2.0 + (new - growing) * window
}

/// Tokens of a pass without cached ones that has so many pairs.
fn length_of(pairs: f64, window: u32) -> f64 {
    let window = f64::from(window);
    let growing = window * (window + 1.0) / 2.0;
    if window > 0.0 && pairs > growing {
        return window + (pairs - growing) / window;
    }
    (libm::sqrt(1.0 + 8.0 * pairs) - 1.0) / 2.0
}
