//! What a release of the serving engine does when nobody says otherwise: limits, memory, scheduling ahead, CUDA graphs.
//!
//! The figures are those of `vllm serve` with CUDA. Between two releases that were looked at, the older one's hold.

use super::check::{Check, Source};
use crate::catalogue::Catalogue;
use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;

/// The engine that presets know.
const PREFIX: &str = "vllm-";
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

/// GPUs with at least so much memory get larger limits, GiB.
const LARGE_GIB: f64 = 70.0;
/// And with so much even larger ones.
const VERY_LARGE_GIB: f64 = 160.0;

/// A release of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Release {
    minor: u32,
}

impl Release {
    /// The latest.
    pub(super) const LATEST: Self = Self { minor: RELEASES[RELEASES.len() - 1].0 };

    /// Reads `vllm-0.15.1` or `vllm-0.15`.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.split('.');
        let (major, minor) = (parts.next()?, parts.next()?.parse().ok()?);
        let patch = parts.next().map(str::parse::<u32>);
        let is_sound = major == "0" && patch.is_none_or(|patch| patch.is_ok()) && parts.next().is_none();
        (is_sound && (RELEASES[0].0..=Self::LATEST.minor).contains(&minor)).then_some(Self { minor })
    }

    /// Whether the next batch is formed while the GPU works on the one before.
    pub(super) fn schedules_ahead(self) -> bool {
        self.minor >= 14
    }

    fn gpu_memory_utilization(self) -> f64 {
        if self.minor >= 20 { 0.92 } else { 0.9 }
    }

    fn max_num_batched_tokens(self, gpu: &Gpu) -> i64 {
        let is_large = gpu.memory_gib >= LARGE_GIB && (!gpu.is_a100 || self.minor == 8);
        match (is_large, gpu.memory_gib >= VERY_LARGE_GIB && self.minor >= 28) {
            (_, true) => 16_384,
            (true, false) => 8_192,
            (false, false) => 2_048,
        }
    }

    fn max_num_seqs(gpu: &Gpu) -> i64 {
        if gpu.memory_gib >= LARGE_GIB && !gpu.is_a100 { 1_024 } else { 256 }
    }

    /// Numbers of decoding requests for which graphs are captured, ascending.
    pub(super) fn capture_sizes(self, max_num_seqs: u32, max_num_batched_tokens: u32) -> Vec<u32> {
        let most = match self.minor {
            ..10 => 512,
            _ => max_num_seqs.saturating_mul(2).min(512),
        };
        let most = if self.minor >= 12 { most.min(max_num_batched_tokens) } else { most };
        let coarse = if self.minor >= 12 { 256 } else { u32::MAX };
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
        let allowed = format!("{PREFIX}0.{}.{} to {PREFIX}0.{}.{}", first.0, first.1, last.0, last.1);
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
    let seqs = Release::max_num_seqs(&gpu);
    let seqs = if release.minor >= 10 { seqs.min(tokens.max(1)) } else { seqs };
    lay("max-num-seqs", &mut options.max_num_seqs, seqs);
    if options.gpu_memory_utilization.is_none() {
        options.gpu_memory_utilization = Some(release.gpu_memory_utilization());
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
        for name in ["vllm", "vllm-1.0", "vllm-0.7.0", "vllm-0.34", "vllm-0.15.1.2", "vllm-0.x", "sglang-0.5"]
        {
            assert_eq!(Release::parse(name), None, "{name}");
        }
    }

    #[test]
    fn limits_follow_the_gpus_memory() {
        let gpu = |memory_gib, is_a100| Gpu { memory_gib, is_a100 };
        let limits =
            |name: &str, gpu: &Gpu| (release(name).max_num_batched_tokens(gpu), Release::max_num_seqs(gpu));
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
}
