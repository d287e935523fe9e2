//! Requests whose prompt and answer were processed by different instances.

use crate::aggregate::Aggregate;
use crate::column::DurationColumn;
use crate::distribution::Distribution;
use blis_kernel::Tick;

/// Latencies of a split request as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitRecord {
    /// Time to its first token.
    pub ttft: Option<Tick>,
    /// From arrival to its last token.
    pub e2e: Option<Tick>,
    /// From arrival to the last admission of its prompt into a batch.
    pub scheduling_delay: Option<Tick>,
}

/// Collects the splits of a run.
#[derive(Clone, Debug, Default)]
pub struct SplitTally {
    /// Requests that were split.
    pub splits: u64,
    /// Those whose KV reached its decode instance.
    pub transferred: u64,
    /// Those that their decode instance had no room for.
    pub dropped_at_decode: u64,
    ttft: DurationColumn,
    transfer: DurationColumn,
    /// Whether transfers shared a bandwidth.
    pub contention: bool,
    /// Most transfers at once.
    pub peak_transfers: u32,
    /// Transfers that were started.
    pub transfer_starts: u64,
    /// Sum over them of how many moved then, each included.
    pub transfer_depth_sum: u64,
}

impl SplitTally {
    /// A split request got its first token.
    pub fn first_token(&mut self, ttft: Tick) {
        if ttft > Tick::ZERO {
            self.ttft.push(ttft);
        }
    }

    /// The KV of a split request took so long.
    pub fn transferred(&mut self, duration: Tick) {
        self.transferred += 1;
        self.transfer.push(duration);
    }
}

/// What the splits of a run add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SplitFigures {
    /// Requests whose KV was moved.
    pub transferred: u64,
    /// Requests that were dropped because their decode instance had no room.
    pub dropped_at_decode: u64,
    /// Requests and parts of requests that the instances with prefill duty completed, per second.
    pub prefill_per_s: f64,
    /// The same of the instances with decode duty.
    pub decode_per_s: f64,
    /// The higher of the two over the lower: 1 when balanced, infinite when one pool is idle.
    pub imbalance: f64,
    /// Time to first token of split requests, microseconds.
    pub ttft_us: Distribution,
    /// How long KV took, microseconds.
    pub transfer_us: Distribution,
    /// Most transfers at once and their mean number at the start of one, when they shared a bandwidth.
    pub contention: Option<(u32, f64)>,
}

impl SplitFigures {
    /// Sums up a run; nothing when no request was split.
    pub(crate) fn of(
        mut tally: SplitTally,
        instances: &[Aggregate],
        prefill: &[bool],
        decode: &[bool],
        duration_s: f64,
    ) -> Option<Self> {
        if tally.splits == 0 {
            return None;
        }
        let per_s = |flags: &[bool]| {
            let duty = instances.iter().zip(flags).filter(|&(_, &duty)| duty);
            let completed: u64 = duty.map(|(instance, _)| instance.completed).sum();
            if duration_s > 0.0 { completed as f64 / duration_s } else { 0.0 }
        };
        let (prefill_per_s, decode_per_s) = (per_s(prefill), per_s(decode));
        let (low, high) = (prefill_per_s.min(decode_per_s), prefill_per_s.max(decode_per_s));
        tally.ttft.sort();
        tally.transfer.sort();
        let starts = tally.transfer_starts.max(1) as f64;
        Some(Self {
            transferred: tally.transferred,
            dropped_at_decode: tally.dropped_at_decode,
            prefill_per_s,
            decode_per_s,
            imbalance: if high == 0.0 { 1.0 } else { high / low },
            ttft_us: Distribution::of(&tally.ttft),
            transfer_us: Distribution::of(&tally.transfer),
            contention: tally
                .contention
                .then(|| (tally.peak_transfers, tally.transfer_depth_sum as f64 / starts)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(completed: &[u64]) -> Vec<Aggregate> {
        completed.iter().map(|&completed| Aggregate { completed, ..Aggregate::default() }).collect()
    }

    #[test]
    fn pools_are_compared_by_what_they_complete() {
        let tally = || SplitTally { splits: 1, ..SplitTally::default() };
        let figures = |completed: &[u64]| {
            let flags = [[true, false, true], [false, true, true]];
            SplitFigures::of(tally(), &instances(completed), &flags[0], &flags[1], 10.0).unwrap()
        };
        let shared = figures(&[10, 20, 30]);
        assert_eq!((shared.prefill_per_s, shared.decode_per_s, shared.imbalance), (4.0, 5.0, 1.25));
        assert_eq!(figures(&[0, 0, 0]).imbalance, 1.0);
        assert_eq!(figures(&[5, 0, 0]).imbalance, f64::INFINITY);
        assert_eq!(SplitFigures::of(SplitTally::default(), &[], &[], &[], 1.0), None);
    }
}
