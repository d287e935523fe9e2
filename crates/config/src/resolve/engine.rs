//! What a serving engine does when nobody says otherwise: limits, memory, formation of batches, scheduling ahead, CUDA graphs.
//!
//! The figures of vLLM are those of `vllm serve` with CUDA. Between two releases that were looked at, the older one's hold.
//! Those of SGLang are of its releases 0.5: chunks of prompts by GPU memory, pages of one token, overlapped scheduling. Before
//! 0.5.10 steps with prompts take what the CPU takes to launch their kernels at least: 3 ms a layer, by the times to the first
//! token of 30 closed-loop points of DeepSeek-R1, GLM-5 and Qwen3.5 (each of the three left out: 3.5, 4 and 2.5 ms). Those of
//! Qwen3.5 under 0.5.10 show none of that; DeepSeek-R1 under 0.5.10 still waits longer for its first token than is simulated.

use super::check::{Check, Source};
use crate::catalogue::Catalogue;
use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;
use blis_engine::{BatchFormation, RankBalancing};
use blis_kernel::Semantics;
use blis_latency::MoeBackend;

/// The engine of which presets know releases.
const PREFIX: &str = "vllm-";
/// The other one, by itself and before the patch of a release.
const SGLANG: &str = "sglang";
const SGLANG_PREFIX: &str = "sglang-0.5.";
/// The latest patch of it that presets know.
const SGLANG_LATEST: u32 = 23;
/// The first that has graphs for prompts.
const SGLANG_PROMPT_GRAPHS: u32 = 10;
/// What launching the kernels of a layer takes before that, µs.
const SGLANG_LAUNCH_US: f64 = 3_000.0;
/// What prompts and decoding requests have of a step, by name.
const FORMATIONS: [(&str, BatchFormation); 2] =
    [("mixed", BatchFormation::Mixed), ("prefill-first", BatchFormation::PrefillFirst)];
/// Releases of it that were looked at, as (minor, patch) of version 0.
const RELEASES: [(u32, u32); 14] = [
    (8, 5),
    (9, 2),
    (10, 2),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 1),
    (15, 1),
    (19, 1),
    (20, 2),
    (22, 1),
    (25, 1),
    (28, 0),
    (33, 0),
];

const LATEST_MINOR: u32 = RELEASES[RELEASES.len() - 1].0;

/// GPUs with at least so much memory get larger limits, GiB.
const LARGE_GIB: f64 = 70.0;
/// And with so much even larger ones.
const VERY_LARGE_GIB: f64 = 160.0;
/// GPUs with at least so much memory get chunks of prompts of a medium size in SGLang.
const MEDIUM_GIB: f64 = 35.0;
/// And with so much large ones.
const SGLANG_LARGE_GIB: f64 = 60.0;
/// Most requests that SGLang runs at once where the KV cache holds them.
const SGLANG_MAX_SEQS: i64 = 2_048;

/// A release of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// vLLM 0.minor.
    Vllm {
        /// The release.
        minor: u32,
    },
    /// SGLang 0.5.patch.
    Sglang {
        /// The release.
        patch: u32,
    },
}

impl Release {
    /// The latest.
    pub(super) const LATEST: Self = Self::Vllm { minor: LATEST_MINOR };

    /// Reads `vllm-0.15.1`, `vllm-0.15`, `sglang` or `sglang-0.5.10.post1`.
    fn parse(name: &str) -> Option<Self> {
        if name == SGLANG {
            return Some(Self::Sglang { patch: SGLANG_LATEST });
        }
        if let Some(release) = name.strip_prefix(SGLANG_PREFIX) {
            let (patch, post) = release.split_once(".post").unwrap_or((release, "0"));
            let patch = patch.parse().ok().filter(|patch| *patch <= SGLANG_LATEST)?;
            return post.parse::<u32>().is_ok().then_some(Self::Sglang { patch });
        }
        let mut parts = name.strip_prefix(PREFIX)?.split('.');
        let (major, minor) = (parts.next()?, parts.next()?.parse().ok()?);
        let patch = parts.next().map(str::parse::<u32>);
        let is_sound = major == "0" && patch.is_none_or(|patch| patch.is_ok()) && parts.next().is_none();
        (is_sound && (RELEASES[0].0..=LATEST_MINOR).contains(&minor)).then_some(Self::Vllm { minor })
    }

    /// Whether the next batch is formed while the GPU works on the one before.
    pub(super) fn schedules_ahead(self) -> bool {
        match self {
            Self::Vllm { minor } => minor >= 14,
            Self::Sglang { .. } => true,
        }
    }

    /// What launching the kernels of a layer takes in steps with prompts, µs, where they have no graphs.
    pub(super) fn launch_us_per_layer(self) -> f64 {
        match self {
            Self::Sglang { patch: ..SGLANG_PROMPT_GRAPHS } => SGLANG_LAUNCH_US,
            Self::Sglang { .. } | Self::Vllm { .. } => 0.0,
        }
    }

    /// Which kernels run experts where a GPU has several for their format.
    pub(super) fn moe_backend(self) -> MoeBackend {
        match self {
            Self::Vllm { .. } => MoeBackend::Auto,
            Self::Sglang { .. } => MoeBackend::Triton,
        }
    }

    /// Which data-parallel rank gets a request.
    pub(super) fn balancing(self) -> RankBalancing {
        match self {
            Self::Vllm { .. } => RankBalancing::LeastLoaded,
            Self::Sglang { .. } => RankBalancing::RoundRobin,
        }
    }

    fn batch_formation(self) -> &'static str {
        match self {
            Self::Vllm { .. } => "mixed",
            Self::Sglang { .. } => "prefill-first",
        }
    }

    fn block_tokens(self) -> Option<i64> {
        matches!(self, Self::Sglang { .. }).then_some(1)
    }

    fn gpu_memory_utilization(self) -> Option<f64> {
        match self {
            Self::Vllm { minor: 20.. } => Some(0.92),
            Self::Vllm { .. } => Some(0.9),
            // It sets aside what graphs and chunks take, by a rule of its own.
            Self::Sglang { .. } => None,
        }
    }

    fn max_num_batched_tokens(self, gpu: &Gpu) -> i64 {
        let minor = match self {
            Self::Vllm { minor } => minor,
            Self::Sglang { .. } => {
                return match gpu.memory_gib {
                    gib if gib >= VERY_LARGE_GIB => 16_384,
                    gib if gib >= SGLANG_LARGE_GIB => 8_192,
                    gib if gib >= MEDIUM_GIB => 4_096,
                    _ => 2_048,
                };
            }
        };
        let is_large = gpu.memory_gib >= LARGE_GIB && (!gpu.is_a100 || minor == 8);
        match (is_large, gpu.memory_gib >= VERY_LARGE_GIB && minor >= 28) {
            (_, true) => 16_384,
            (true, false) => 8_192,
            (false, false) => 2_048,
        }
    }

    /// Given the tokens of a step.
    fn max_num_seqs(self, gpu: &Gpu, tokens: i64) -> i64 {
        let seqs = if gpu.memory_gib >= LARGE_GIB && !gpu.is_a100 { 1_024 } else { 256 };
        match self {
            Self::Vllm { minor: 10.. } => seqs.min(tokens.max(1)),
            Self::Vllm { .. } => seqs,
            Self::Sglang { .. } => SGLANG_MAX_SEQS,
        }
    }

    /// Numbers of decoding requests for which graphs are captured, ascending.
    pub(super) fn capture_sizes(self, max_num_seqs: u32, max_num_batched_tokens: u32) -> Vec<u32> {
        let Self::Vllm { minor } = self else { return sglang_capture_sizes(max_num_seqs) };
        let most = match minor {
            ..10 => 512,
            _ => max_num_seqs.saturating_mul(2).min(512),
        };
        let most = if minor >= 12 { most.min(max_num_batched_tokens) } else { most };
        let coarse = if minor >= 12 { 256 } else { u32::MAX };
        let mut sizes = vec![1, 2, 4];
        let mut next = 8;
        while next <= most {
            sizes.push(next);
            next += if next < coarse { 8 } else { 16 };
        }
        sizes.retain(|size| *size <= most.max(1));
        sizes
    }
}

/// SGLang's: up to 512, and no more than may run.
fn sglang_capture_sizes(max_num_seqs: u32) -> Vec<u32> {
    let fine = (16..=256).step_by(8);
    let coarse = (272..=512).step_by(16);
    [1, 2, 4, 8, 12].into_iter().chain(fine).chain(coarse).filter(|size| *size <= max_num_seqs).collect()
}

/// What prompts and decoding requests have of a step.
pub(super) fn batch_formation(
    check: &mut Check,
    options: &RunOptions,
    semantics: Semantics,
) -> BatchFormation {
    let given = options.batch_formation.as_deref().filter(|name| !name.is_empty());
    let Some(name) = given else { return BatchFormation::default() };
    let Some(&(_, formation)) = FORMATIONS.iter().find(|(known, _)| *known == name) else {
        let known = FORMATIONS.map(|(known, _)| known).join(", ");
        check.problem(Diagnostic::new(format!("--batch-formation is \"{name}\"; it must be one of {known}")));
        return BatchFormation::default();
    };
    let mut refuse = |reason: &str| {
        check.problem(Diagnostic::new(format!("--batch-formation {name} does not go with {reason}")));
    };
    if formation != BatchFormation::Mixed && semantics == Semantics::REFERENCE {
        refuse("--compat inference-sim, which forms batches in one way");
    } else if formation == BatchFormation::PrefillFirst && options.pp.is_some_and(|pp| pp > 1) {
        refuse("--pp, whose stages always have mixed batches");
    }
    check.note("batch-formation", name, Source::Given);
    formation
}

struct Gpu {
    memory_gib: f64,
    is_a100: bool,
}

/// The release that is asked for, and its defaults under the options that are not given. Its settings are noted as such
/// with [`note`] once they are.
pub(super) fn lay_under(
    check: &mut Check,
    options: &mut RunOptions,
    catalogue: &Catalogue,
) -> Option<(Release, Vec<&'static str>)> {
    let name = options.engine.as_deref().filter(|name| !name.is_empty())?;
    let Some(release) = Release::parse(name) else {
        let (first, last) = (RELEASES[0], RELEASES[RELEASES.len() - 1]);
        let allowed = format!(
            "{PREFIX}0.{}.{} to {PREFIX}0.{}.{}, {SGLANG}, {SGLANG_PREFIX}0 to {SGLANG_PREFIX}{SGLANG_LATEST}",
            first.0, first.1, last.0, last.1
        );
        check.problem(
            Diagnostic::new(format!("--engine is \"{name}\"; it must be one of {allowed}"))
                .with_help(format!("such as {PREFIX}0.15.1; for other engines give the limits themselves")),
        );
        return None;
    };
    check.note("engine", name, Source::Given);
    let model = options.model.as_deref().unwrap_or_default().trim().to_lowercase();
    let named = || catalogue.model_entry(&model).and_then(|entry| entry.gpu);
    let gpu_name = options.hardware.clone().or_else(named).unwrap_or_default();
    let gpu = Gpu {
        memory_gib: catalogue.gpu(&gpu_name).ok().and_then(|gpu| gpu.memory_gib).unwrap_or(0.0),
        is_a100: gpu_name.to_uppercase().starts_with("A100"),
    };
    let mut laid = Vec::new();
    let mut lay = |name, place: &mut Option<i64>, value: i64| {
        if place.is_none() {
            *place = Some(value);
            laid.push(name);
        }
    };
    lay("max-num-batched-tokens", &mut options.max_num_batched_tokens, release.max_num_batched_tokens(&gpu));
    let tokens = options.max_num_batched_tokens.unwrap_or(i64::MAX);
    lay("max-num-seqs", &mut options.max_num_seqs, release.max_num_seqs(&gpu, tokens));
    if let Some(block_tokens) = release.block_tokens() {
        lay("block-size-in-tokens", &mut options.block_size_in_tokens, block_tokens);
    }
    if options.batch_formation.as_deref().is_none_or(str::is_empty) {
        options.batch_formation = Some(release.batch_formation().to_owned());
        laid.push("batch-formation");
    }
    if options.gpu_memory_utilization.is_none()
        && let Some(share) = release.gpu_memory_utilization()
    {
        options.gpu_memory_utilization = Some(share);
        laid.push("gpu-memory-utilization");
    }
    Some((release, laid))
}

/// Says of settings that they are the engine's.
pub(super) fn note(check: &mut Check, laid: &[&str]) {
    for name in laid {
        if let Some(setting) = check.settings.get_mut(*name) {
            setting.source = Source::Engine;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gpu, Release};

    fn release(name: &str) -> Release {
        Release::parse(name).expect("a known release")
    }

    #[test]
    fn a_release_is_named_with_or_without_its_patch() {
        assert_eq!(release("vllm-0.15.1"), release("vllm-0.15"));
        for name in [
            "vllm",
            "vllm-1.0",
            "vllm-0.7.0",
            "vllm-0.34",
            "vllm-0.15.1.2",
            "vllm-0.x",
            "sglang-0.4.9",
            "sglang-0.5.x",
        ] {
            assert_eq!(Release::parse(name), None, "{name}");
        }
    }

    #[test]
    fn limits_follow_the_gpus_memory() {
        let gpu = |memory_gib, is_a100| Gpu { memory_gib, is_a100 };
        let limits = |name: &str, gpu: &Gpu| {
            (release(name).max_num_batched_tokens(gpu), release(name).max_num_seqs(gpu, 8_192))
        };
        assert_eq!(limits("vllm-0.15.1", &gpu(80.0, false)), (8_192, 1_024));
        assert_eq!(limits("vllm-0.15.1", &gpu(80.0, true)), (2_048, 256));
        assert_eq!(limits("vllm-0.8.5", &gpu(80.0, true)), (8_192, 256));
        assert_eq!(limits("vllm-0.25.1", &gpu(180.0, false)), (8_192, 1_024));
        assert_eq!(limits("vllm-0.28.0", &gpu(180.0, false)), (16_384, 1_024));
        assert_eq!(limits("vllm-0.33.0", &gpu(48.0, false)), (2_048, 256));
    }

    #[test]
    fn graphs_get_coarser_with_their_size_since_0_12() {
        let sizes = release("vllm-0.15.1").capture_sizes(1_024, 8_192);
        assert_eq!(sizes[..6], [1, 2, 4, 8, 16, 24]);
        assert!(
            sizes.contains(&248) && sizes.contains(&256) && sizes.contains(&272) && !sizes.contains(&264)
        );
        assert_eq!(sizes.last(), Some(&512));
        assert_eq!(release("vllm-0.15.1").capture_sizes(16, 8_192).last(), Some(&32));
        assert_eq!(release("vllm-0.8.5").capture_sizes(16, 8_192).last(), Some(&512));
        assert!(release("vllm-0.11.0").capture_sizes(1_024, 8_192).contains(&264));
    }

    #[test]
    fn batches_are_formed_ahead_since_0_14() {
        assert!(!release("vllm-0.13.0").schedules_ahead() && release("vllm-0.14.1").schedules_ahead());
    }

    #[test]
    fn sglang_processes_prompts_first_in_chunks_that_follow_the_gpus_memory() {
        let sglang = release("sglang");
        let chunk = |memory_gib| sglang.max_num_batched_tokens(&Gpu { memory_gib, is_a100: false });
        assert_eq!([24.0, 48.0, 80.0, 141.0, 180.0].map(chunk), [2_048, 4_096, 8_192, 8_192, 16_384]);
        assert_eq!((sglang.batch_formation(), sglang.block_tokens()), ("prefill-first", Some(1)));
        assert_eq!(sglang.capture_sizes(20, 8_192), [1, 2, 4, 8, 12, 16]);
        assert!(sglang.schedules_ahead());
    }

    #[test]
    fn sglang_launches_the_kernels_of_prompts_one_by_one_before_it_has_graphs_for_them() {
        let launch = |name: &str| release(name).launch_us_per_layer();
        assert_eq!(["sglang-0.5.5.post3", "sglang-0.5.9"].map(launch), [3_000.0; 2]);
        assert_eq!(["sglang-0.5.10.post1", "sglang", "vllm-0.8.5"].map(launch), [0.0; 3]);
    }
}
