//! Routed experts: measured, or carried from measured ones of another shape.
//!
//! An expert's time goes by the tokens that visit it. Experts that were not measured take, where as many tokens visit each
//! of the nearest measured ones, those ones' time at the ratio of the two roofline times, but for what their kernels take
//! whatever the work: the least that was measured of the same experts in any division. `docs/latency.md` says how well
//! that does for shapes that were measured.

use super::operators::{Operators, is_apart};
use super::shape::WeightFormat;
use super::tables::{Measured, Table};
use crate::architecture::MoeBackend;

/// The table of measured experts.
const TABLE: &str = "moe";
/// The table of what experts take at least that were measured on other GPUs only.
const LEAST_ELSEWHERE: &str = "moe_least";

/// A GPU's part of a layer of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Experts {
    pub(super) format: WeightFormat,
    /// Kernels to take where several were measured.
    pub(super) backend: MoeBackend,
    pub(super) hidden: u32,
    pub(super) intermediate: u32,
    pub(super) per_token: u32,
    pub(super) count: u32,
    /// GPUs that share each expert.
    pub(super) tp: u32,
    /// Groups of GPUs that have experts of their own.
    pub(super) ep: u32,
}

impl Experts {
    /// Share of all tokens that visit an expert.
    fn visit_share(self) -> f64 {
        f64::from(self.per_token) / f64::from(self.count)
    }

    /// Weights of an expert's GPU, in numbers.
    fn weights_of_one(self) -> f64 {
        3.0 * f64::from(self.hidden) * f64::from(self.intermediate) / f64::from(self.tp)
    }

    /// Bytes that an expert's GPU holds of it.
    fn bytes_of_one(self) -> f64 {
        self.weights_of_one() * self.format.bytes()
    }

    fn describe(self, held: &str) -> String {
        let Self { hidden, intermediate, per_token, count, tp, ep, .. } = self;
        let (count, width) = (count / ep.max(1), intermediate / tp.max(1));
        format!("{per_token} of {count} experts of {hidden} x {width} in {held}")
    }
}

/// Measured experts that answer for those asked for.
#[derive(Clone, Debug)]
pub(super) struct NearestExperts {
    key: String,
    found: Experts,
    /// How they hold their weights, for people; where vLLM has several kernels for that, the kernel.
    held: &'static str,
    /// What kernels take whatever the work, of the experts asked for and of those found, µs; none where they are the same.
    least_us: Option<[f64; 2]>,
}

impl Operators<'_> {
    /// Routed experts with `tokens` tokens from all GPUs that share them.
    pub(super) fn experts(&mut self, experts: Experts, tokens: f64) -> f64 {
        let Some(table) = self.table(TABLE) else { return 0.0 };
        let known = self.nearest_experts.iter().position(|(asked, _)| *asked == experts);
        let index = known.unwrap_or_else(|| {
            let nearest = nearest_experts(table, self.table(LEAST_ELSEWHERE), experts);
            if let Some(NearestExperts { found, least_us: Some(_), held, .. }) = &nearest {
                let what =
                    format!("{}, from {}", experts.describe(experts.format.name()), found.describe(held));
                self.note(what, experts.bytes_of_one() / found.bytes_of_one());
            }
            self.nearest_experts.push((experts, nearest));
            self.nearest_experts.len() - 1
        });
        let Some(NearestExperts { key, found, least_us, .. }) = &self.nearest_experts[index].1 else {
            return 0.0;
        };
        // As many tokens for each of the experts found.
        let there = tokens * experts.visit_share() / found.visit_share();
        let Some(Measured { us, at: [at, ..] }) = table.at(key, &[there]) else { return 0.0 };
        let us = match least_us {
            None if !is_apart(tokens, at) => us,
            None => us * self.experts_roofline(experts, tokens) / self.experts_roofline(*found, at),
            Some([least, of_found]) => {
                let ratio = self.experts_roofline(experts, tokens) / self.experts_roofline(*found, at);
                least + (us - of_found).max(0.0) * ratio
            }
        };
        us * self.tuning.experts
    }

    fn experts_roofline(&self, experts: Experts, tokens: f64) -> f64 {
        let (count, ep) = (f64::from(experts.count), f64::from(experts.ep));
        let visited = 1.0 - libm::pow(1.0 - experts.visit_share(), tokens);
        let weights = experts.weights_of_one();
        let visits = tokens * f64::from(experts.per_token) / ep;
        let bytes = (count / ep) * visited * weights * experts.format.bytes()
            + 4.0 * tokens * f64::from(experts.hidden);
        self.roofline(2.0 * visits * weights, self.tflops(experts.format), bytes)
    }
}

/// A kernel of the tables that may answer for a format.
#[derive(Clone, Copy)]
struct Kernel {
    name: &'static str,
    format: WeightFormat,
    /// Whether it is taken only where the others were not measured in any shape.
    is_last: bool,
}

/// Kernels that may answer for a format of experts, the likest first. Where 4-bit weights have 8-bit activations on
/// Blackwell, that is what servers use.
fn stand_ins(format: WeightFormat, backend: MoeBackend) -> Vec<Kernel> {
    use WeightFormat::{Bf16, Fp8, Fp8Block, Int4, Int8, Mxfp4, Nvfp4};
    let names: &[(&str, WeightFormat)] = match format {
        Bf16 | Int8 => &[("bfloat16", Bf16)],
        Fp8 => &[("fp8", Fp8), ("fp8_block", Fp8Block), ("bfloat16", Bf16)],
        Fp8Block => &[("fp8_block", Fp8Block), ("fp8", Fp8), ("bfloat16", Bf16)],
        Nvfp4 => &[("nvfp4", Nvfp4), ("int4_wo", Int4), ("bfloat16", Bf16)],
        Mxfp4 => &[
            ("w4a8_mxfp4_mxfp8", Mxfp4),
            ("w4a16_mxfp4", Mxfp4),
            (MoeBackend::MARLIN_MXFP4, Mxfp4),
            (MoeBackend::TRITON_MXFP4, Mxfp4),
            ("nvfp4", Nvfp4),
            ("int4_wo", Int4),
            ("bfloat16", Bf16),
        ],
        Int4 => &[("int4_wo", Int4), ("bfloat16", Bf16)],
    };
    let is_last = |name: &str, of: WeightFormat| {
        format == Mxfp4
            && match backend.mxfp4_kernel() {
                Some(wanted) => name != wanted,
                None => name == MoeBackend::TRITON_MXFP4 || of != Mxfp4,
            }
    };
    names.iter().map(|&(name, of)| Kernel { name, format: of, is_last: is_last(name, of) }).collect()
}

/// How far a GPU's experts are from measured ones; 0 = the same.
fn distance(a: Experts, b: Experts) -> f64 {
    let parts = |e: Experts| {
        [e.hidden, e.intermediate, e.per_token, e.count, e.tp, e.ep]
            .map(|part| libm::log(f64::from(part.max(1))))
    };
    parts(a).into_iter().zip(parts(b)).map(|(a, b)| libm::fabs(a - b)).sum()
}

/// The experts that were measured and are nearest: the same ones in the likest format, else the likest format, then the
/// likest shape.
fn nearest_experts(table: &Table, elsewhere: Option<&Table>, experts: Experts) -> Option<NearestExperts> {
    let kernels = stand_ins(experts.format, experts.backend);
    let mut best: Option<([f64; 4], &str, Kernel, Experts)> = None;
    for key in table.keys() {
        let mut parts = key.split('/');
        let kind = parts.next().unwrap_or_default();
        let Some(rank) = kernels.iter().position(|kernel| kernel.name == kind) else { continue };
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok()).unwrap_or(1);
        let kernel = kernels[rank];
        let found = Experts {
            format: kernel.format,
            backend: experts.backend,
            hidden: number(),
            intermediate: number(),
            per_token: number(),
            count: number(),
            tp: number(),
            ep: number(),
        };
        let apart = distance(experts, found);
        let is_other = apart > 0.0 || found.format != experts.format;
        let order = [f64::from(u8::from(kernel.is_last)), f64::from(u8::from(is_other)), rank as f64, apart];
        if best.as_ref().is_none_or(|(nearest, ..)| order < *nearest) {
            best = Some((order, key, kernel, found));
        }
    }
    let ([_, is_other, ..], key, kernel, found) = best?;
    let least_us = (is_other > 0.0).then(|| {
        let of_found = least_of(table, &shape_of(key)).unwrap_or(0.0);
        let Experts { hidden, intermediate, per_token, count, .. } = experts;
        let asked = format!("{}/{hidden}/{intermediate}/{per_token}/{count}", kernel.name);
        let of_asked = least_of(table, &asked).or_else(|| least_of(elsewhere?, &asked));
        [of_asked.unwrap_or(of_found), of_found]
    });
    let held = match kernel.name {
        MoeBackend::MARLIN_MXFP4 | MoeBackend::TRITON_MXFP4 => kernel.name,
        _ => kernel.format.name(),
    };
    Some(NearestExperts { key: key.to_owned(), found, held, least_us })
}

/// Kernel and experts of a key, without how they are divided.
fn shape_of(key: &str) -> String {
    key.split('/').take(5).collect::<Vec<_>>().join("/")
}

/// The least that was measured of experts, in any division.
fn least_of(table: &Table, shape: &str) -> Option<f64> {
    table
        .keys()
        .filter(|key| key.strip_prefix(shape).is_some_and(|division| division.starts_with('/')))
        .filter_map(|key| table.at(key, &[1.0]))
        .map(|measured| measured.us)
        .min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests;
