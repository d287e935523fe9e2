//! What a split request's parts say of the whole.

use super::Split;
use blis_engine::Ended;
use blis_kernel::{Semantics, Tick};
use blis_metrics::SplitRecord;

/// Latencies of a request whose decode part has left at `now`.
///
/// The decode instance counts from the client's arrival and has the first token, so its figures are the request's; only
/// the wait was the prompt's. Under B7 it has no first token of its own: its first interval stands for it, and its
/// latency counts from its admission.
pub(crate) fn projected(
    split: &Split,
    part: &Ended,
    arrival: Tick,
    now: Tick,
    semantics: Semantics,
) -> SplitRecord {
    let prefill = split.prefill.as_ref();
    let scheduling_delay = prefill.and_then(|prefill| prefill.scheduling_delay);
    let keeps = part.ending.is_completed() || semantics.failed_splits_have_latencies;
    if !keeps {
        return SplitRecord { ttft: None, e2e: None, scheduling_delay };
    }
    if !semantics.decode_part_saves_a_step {
        let e2e = part.e2e.unwrap_or(now - arrival);
        return SplitRecord { ttft: part.ttft, e2e: Some(e2e), scheduling_delay };
    }
    let prefill_ttft = prefill.and_then(|prefill| prefill.ttft);
    let delay = part.scheduling_delay;
    let ttft = match (prefill_ttft, delay, part.first_interval) {
        (Some(_), Some(delay), Some(first)) => Some(delay + first),
        _ => prefill_ttft,
    };
    let e2e = match (part.e2e, delay, part.ttft) {
        (Some(e2e), Some(delay), None) => e2e + delay,
        (Some(e2e), Some(_), Some(_)) => e2e,
        _ => now - arrival,
    };
    SplitRecord { ttft, e2e: Some(e2e), scheduling_delay }
}
