//! Which measured request belongs to which simulated one.

use crate::SimResult;
use crate::statistics::Figure;
use blis_kernel::Network;
use blis_workload::Trace;
use blis_workload::trace::TraceRow;
use std::collections::BTreeMap;
use thiserror::Error;

/// How many rows of the trace went where. Every row is in exactly one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// Compared.
    pub matched: u64,
    /// Left out: they warmed the server up.
    pub warm_up: u64,
    /// Left out: they did not get their answer.
    pub failed: u64,
    /// Left out: their times make no sense, such as a first token before the request.
    pub unusable: u64,
    /// Left out: no result has their number.
    pub unmatched: u64,
    /// Of the matched ones: the lengths differ.
    pub token_mismatches: u64,
    /// Results that no row has the number of.
    pub unmatched_sim: u64,
}

impl Buckets {
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.matched + self.warm_up + self.failed + self.unusable + self.unmatched
    }
}

/// Why there is nothing to compare.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NothingToCompare {
    /// There are no results.
    #[error("the results hold no request")]
    NoResults,
    /// No row and result have the same number.
    #[error("no request of the trace matches one of the results: they have no request_id in common")]
    NoCommonId,
    /// Those that do cannot be compared.
    #[error(
        "no pair of matching requests can be used: {} warm-up, {} failed, {} without sensible times", .0.warm_up, .0.failed, .0.unusable
    )]
    NoUsablePair(Buckets),
}

/// A row and its result.
pub(crate) struct Pair<'a> {
    pub(crate) row: &'a TraceRow,
    pub(crate) result: &'a SimResult,
    pub(crate) ttft_us: Figure,
    pub(crate) e2e_us: Figure,
}

/// All pairs.
pub(crate) struct Pairs<'a> {
    pub(crate) buckets: Buckets,
    /// Those that can be compared, in file order.
    pub(crate) matched: Vec<Pair<'a>>,
    /// Rows that did not get their answer, with what the simulator says.
    pub(crate) failed: Vec<(&'a TraceRow, &'a SimResult)>,
}

/// Whether a request got its answer. Old traces do not say.
pub(crate) fn is_ok(trace: &Trace, row: &TraceRow) -> bool {
    matches!(trace.text(row.status), "ok" | "")
}

/// Pairs by number; requests below `warm_up` are left out. `network` is what lies between client and server.
pub(crate) fn pair<'a>(
    trace: &'a Trace,
    results: &'a [SimResult],
    warm_up: u64,
    network: Network,
) -> Result<Pairs<'a>, NothingToCompare> {
    if results.is_empty() {
        return Err(NothingToCompare::NoResults);
    }
    let by_id: BTreeMap<i64, &SimResult> = results.iter().map(|result| (result.request_id, result)).collect();
    let mut buckets = Buckets::default();
    let (mut matched, mut failed) = (Vec::new(), Vec::new());
    let mut common = 0;
    for row in trace.rows() {
        let result = by_id.get(&row.request_id).copied();
        common += u64::from(result.is_some());
        if u64::try_from(row.request_id).is_ok_and(|id| id < warm_up) {
            buckets.warm_up += 1;
            continue;
        }
        let Some(result) = result else {
            buckets.unmatched += 1;
            continue;
        };
        if !is_ok(trace, row) {
            buckets.failed += 1;
            failed.push((row, result));
            continue;
        }
        let (ttft, e2e) = (row.first_chunk_us - row.send_us, row.last_chunk_us - row.send_us);
        if ttft < 0 || e2e < 0 {
            buckets.unusable += 1;
            continue;
        }
        buckets.matched += 1;
        buckets.token_mismatches += u64::from(!has_same_lengths(row, result));
        let (input, output) = (result.input_tokens, result.output_tokens);
        let figure = |real: i64, sim: f64| Figure { real: real as f64, sim };
        matched.push(Pair {
            row,
            result,
            ttft_us: figure(ttft, network.client_ttft_us(result.ttft_us, input)),
            e2e_us: figure(e2e, network.client_e2e_us(result.e2e_us, input, output)),
        });
    }
    buckets.unmatched_sim = by_id.len() as u64 - common.min(by_id.len() as u64);
    if common == 0 {
        return Err(NothingToCompare::NoCommonId);
    }
    if matched.is_empty() {
        return Err(NothingToCompare::NoUsablePair(buckets));
    }
    Ok(Pairs { buckets, matched, failed })
}

/// The server counts the prefix, rows have it apart.
fn has_same_lengths(row: &TraceRow, result: &SimResult) -> bool {
    let input = match row.server_input_tokens {
        0 => row.input_tokens.saturating_add(row.prefix_tokens),
        counted => counted,
    };
    input == result.input_tokens && row.output_tokens == result.output_tokens
}
