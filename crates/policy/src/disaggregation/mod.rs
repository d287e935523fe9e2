//! Disaggregation: whether a request's prompt goes to a prefill instance first, or whole to the decode instance.

use crate::Reads;
use blis_kernel::Tick;

pub mod always;
pub mod bernoulli;
pub mod direct_to_decode;
pub mod dpp;
pub mod edpp_v1;
pub mod edpp_v2;
pub mod never;
pub mod prefix_threshold;
mod virtual_queue;

pub use always::Always;
pub use bernoulli::Bernoulli;
pub use direct_to_decode::DirectToDecode;
pub use dpp::Dpp;
pub use edpp_v1::EdppV1;
pub use edpp_v2::EdppV2;
pub use never::Never;
pub use prefix_threshold::PrefixThreshold;

/// What is known of the instances of one pool: columns, as fresh as the host's settings make them.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolView<'a> {
    /// Requests waiting.
    pub queue_depth: &'a [u32],
    /// Requests running.
    pub batch_size: &'a [u32],
    /// Share of the KV blocks in use, 0 to 1.
    pub kv_utilization: &'a [f64],
    /// Requests handed over and not finished yet; always exact.
    pub in_flight: &'a [u32],
}

impl PoolView<'_> {
    /// Requests that wait anywhere in the pool.
    pub fn waiting(&self) -> u64 {
        self.queue_depth.iter().map(|&depth| u64::from(depth)).sum()
    }
}

/// What a decider sees. The decode instance has been chosen.
#[derive(Clone, Copy, Debug)]
pub struct DeciderView<'a> {
    /// The current time.
    pub now: Tick,
    /// Length of the prompt, tokens.
    pub input_tokens: u32,
    /// How many of them the chosen decode instance has in its prefix cache.
    pub cached_tokens: u32,
    /// How long the KV of the whole prompt would take to the decode instance if nothing else moved.
    pub transfer_time: Tick,
    /// The prefill instances.
    pub prefill: PoolView<'a>,
    /// The decode instances.
    pub decode: PoolView<'a>,
    /// The chosen one's place among them.
    pub chosen: usize,
}

impl DeciderView<'_> {
    /// Prompt tokens that the chosen decode instance would have to compute.
    #[inline]
    pub fn uncached_tokens(&self) -> u32 {
        self.input_tokens.saturating_sub(self.cached_tokens)
    }
}

/// How it went with a request that a decider was asked about, once it has completed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    /// Length of its prompt, tokens.
    pub input_tokens: u32,
    /// Prompt tokens that the decode instance did not have when it was decided.
    pub uncached_tokens: u32,
    /// Length of its answer, tokens.
    pub output_tokens: u32,
    /// When it arrived.
    pub arrival: Tick,
    /// From its arrival to its first token.
    pub ttft: Tick,
    /// Mean time between its tokens, microseconds; 0 with a single one.
    pub itl_mean_us: f64,
    /// What happened before the answer, if it was split.
    pub split: Option<SplitTimes>,
}

/// When a request that was split passed from one instance to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitTimes {
    /// It was handed to the prefill instance.
    pub prefill_from: Tick,
    /// Its prompt was processed.
    pub prefill_until: Tick,
    /// Its KV began to move.
    pub transfer_from: Tick,
    /// Its KV was at the decode instance.
    pub transfer_until: Tick,
}

/// Decides for each request.
pub trait Decider: Send {
    /// Whether the prompt goes to a prefill instance first.
    fn splits(&mut self, view: &DeciderView<'_>) -> bool;

    /// What it looks at.
    fn reads(&self) -> Reads;

    /// Learns how it went with a request that it was asked about.
    fn observe(&mut self, served: &Served) {
        let _ = served;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A prompt of which the decode instance has a part, in an idle cluster.
    pub(crate) fn prompt(input_tokens: u32, cached_tokens: u32) -> DeciderView<'static> {
        DeciderView {
            now: Tick::ZERO,
            input_tokens,
            cached_tokens,
            transfer_time: Tick::from_us(5000),
            prefill: PoolView::default(),
            decode: PoolView::default(),
            chosen: 0,
        }
    }

    /// The same prompt while requests wait at prefill and at decode instances.
    pub(crate) fn while_waiting<'a>(
        prompt: DeciderView<'a>,
        prefill: &'a [u32],
        decode: &'a [u32],
    ) -> DeciderView<'a> {
        let pool = |queue_depth| PoolView { queue_depth, ..PoolView::default() };
        DeciderView { prefill: pool(prefill), decode: pool(decode), ..prompt }
    }

    /// A request that arrived at 0, got its first token after `ttft_us` and moved its KV from `moved.0` to `moved.1`.
    pub(crate) fn served(ttft_us: i64, moved: Option<(i64, i64)>) -> Served {
        Served {
            input_tokens: 100,
            uncached_tokens: 100,
            output_tokens: 10,
            arrival: Tick::ZERO,
            ttft: Tick::from_us(ttft_us),
            itl_mean_us: 30_000.0,
            split: moved.map(|(from, until)| SplitTimes {
                prefill_from: Tick::ZERO,
                prefill_until: Tick::from_us(from),
                transfer_from: Tick::from_us(from),
                transfer_until: Tick::from_us(until),
            }),
        }
    }

    pub(crate) fn made(
        entry: crate::registry::Entry<crate::registry::MakeDecider>,
        values: &[(&str, f64)],
    ) -> Box<dyn Decider> {
        let configured = entry.with(values).unwrap();
        (entry.make)(&crate::registry::Setup::of(&configured.params))
    }
}
