//! The chain of tiers below the GPU: from a file, or from the header of the trace that is replayed.

use super::check::{Check, Source};
use crate::catalogue::Catalogue;
use crate::diagnostic::Diagnostic;
use crate::offload_file;
use crate::options::{RunOptions, Traffic};
use blis_engine::{Channel, DeviceModel, OffloadConfig, OffloadTierConfig};
use blis_kernel::Tick;
use blis_workload::TraceHeader;
use blis_workload::trace::{RecordedKvOffload, TraceMode};
use std::sync::Arc;

/// What the flag's file says, if it is given and right.
pub(super) fn from_file(
    check: &mut Check,
    options: &RunOptions,
    catalogue: &Catalogue,
    block_tokens: u32,
) -> Option<RecordedKvOffload> {
    let path = options.kv_offload_config.as_deref()?;
    check.note("kv-offload-config", path.display(), Source::Given);
    let text = super::read(check, "--kv-offload-config", path, true)?;
    match offload_file::read(&text, &path.display().to_string(), catalogue, Some(block_tokens)) {
        Ok((offload, warnings)) => {
            check.warnings.extend(warnings);
            Some(offload)
        }
        Err(problems) => {
            check.problems.extend(problems);
            None
        }
    }
}

/// Counters of an observed server that include tiers below the GPU.
const TIERED: &str = "tiered";

/// Which chain a run has: on replay that of the recorded run, which a file may repeat.
pub(super) fn chosen(
    check: &mut Check,
    options: &RunOptions,
    file: Option<RecordedKvOffload>,
    header: &TraceHeader,
    block_tokens: u32,
) -> Option<RecordedKvOffload> {
    let is_given = options.kv_offload_config.is_some();
    let is_replay = matches!(options.traffic, Traffic::Trace(_));
    let chosen = match &header.kv_offload {
        Some(recorded) if is_replay => {
            let per_block_bytes = recorded.per_block_bytes;
            if file.is_some_and(|file| RecordedKvOffload { per_block_bytes, ..file } != *recorded) {
                check.problem(
                    Diagnostic::new("--kv-offload-config differs from the kv_offload of the trace's header")
                        .with_help("leave it out: a replay has the chain of the recorded run"),
                );
            }
            if recorded.block_size != i64::from(block_tokens) {
                check.problem(Diagnostic::new(format!(
                    "kv_offload.block_size of the trace's header is {}; --block-size-in-tokens is {block_tokens}",
                    recorded.block_size
                )));
            }
            Some(recorded.clone())
        }
        None if is_replay && is_given && header.mode != TraceMode::Real => {
            check.problem(
                Diagnostic::new("--kv-offload-config does not fit the trace: the recorded run had no chain")
                    .with_help("only the trace of a real server (mode: real) takes one"),
            );
            None
        }
        _ => file,
    };
    let is_tiered = header.observed_kv_metrics.as_ref().is_some_and(|observed| observed.source == TIERED);
    if is_replay && is_tiered && chosen.is_none() && check.problems.is_empty() {
        check.problem(
            Diagnostic::new(
                "observed_kv_metrics.source of the trace's header is tiered, but no tiers are simulated",
            )
            .with_help("say with --kv-offload-config which there were"),
        );
    }
    if (chosen.is_some() || is_given) && options.kv_cpu_blocks.is_some_and(|blocks| blocks > 0) {
        let what = if is_given { "--kv-offload-config" } else { "the kv_offload of the trace's header" };
        check.problem(
            Diagnostic::new(format!("--kv-cpu-blocks and {what} exclude each other"))
                .with_help("the chain has a tier in CPU memory: see its cpu_bytes_to_use"),
        );
    }
    chosen
}

/// The chain of an instance, once the model is known; completes what a trace of the run will say.
pub(super) fn config(
    check: &mut Check,
    recorded: &mut RecordedKvOffload,
    kv_bytes_per_token: Option<f64>,
    seed: i64,
) -> Option<Arc<OffloadConfig>> {
    if recorded.per_block_bytes == 0 {
        let Some(per_token) = kv_bytes_per_token else {
            check.problem(
                Diagnostic::new(
                    "--kv-offload-config needs the size of a KV block, which follows from the model",
                )
                .with_help("give --model-config-folder"),
            );
            return None;
        };
        recorded.per_block_bytes = (per_token * recorded.block_size as f64) as i64;
    }
    let (bytes, per_block) = (recorded.cpu_bytes_to_use, recorded.per_block_bytes);
    if per_block < 1 || bytes < per_block {
        check.problem(Diagnostic::new(format!(
            "kv_offload.cpu_bytes_to_use is {bytes}; a block of the model takes {per_block} bytes, so it must be at \
             least that"
        )));
        return None;
    }
    let cpu_blocks = (bytes / per_block) as u64;
    check.note("kv-offload-cpu-blocks", cpu_blocks, Source::Computed);
    let tiers = recorded.secondary_tiers.iter().map(|tier| {
        let base_latency = Tick::trunc(tier.base_latency.round());
        OffloadTierConfig {
            read_threads: tier.n_read_threads as u32,
            write_threads: tier.n_write_threads as u32,
            device: DeviceModel {
                read: Channel { bytes_per_us: tier.read_bandwidth, base_latency },
                write: Channel { bytes_per_us: tier.write_bandwidth, base_latency },
                saturation_depth: tier.saturation_queue_depth as u32,
                single_transfer_fraction: tier.single_transfer_fraction,
                jitter_stddev: tier.latency_jitter_stddev,
            },
        }
    });
    Some(Arc::new(OffloadConfig {
        cpu_blocks,
        block_bytes: per_block as u64,
        prompt_only: recorded.offload_prompt_only,
        seed,
        tiers: tiers.collect(),
    }))
}
