//! Columns of a fleet for laws and benches.

#![allow(dead_code, missing_docs, unreachable_pub)]

use blis_kernel::{InstanceId, Tick};
use blis_policy::admission::AdmissionView;
use blis_policy::disaggregation::{DeciderView, PoolView};
use blis_policy::routing::{LoadRule, PrefixCache, PromptKeys, RequestView, RouterView};
use blis_policy::saturation::FleetView;

/// Columns over instances, which are also the cache that is asked.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub instances: Vec<InstanceId>,
    pub queue_depth: Vec<u32>,
    pub batch_size: Vec<u32>,
    pub kv_utilization: Vec<f64>,
    pub in_flight: Vec<u32>,
    pub adapter_resident: Vec<bool>,
    pub cached: Vec<u32>,
}

impl PrefixCache for Fleet {
    fn cached_blocks(&self, _: &RequestView<'_>, _: &[InstanceId], out: &mut Vec<u32>) {
        out.clear();
        out.extend_from_slice(&self.cached);
    }
}

impl Fleet {
    /// A request with this prompt before the fleet, at time zero.
    pub fn view<'a>(&'a self, input_tokens: u32, keys: &'a [u64], load: LoadRule) -> RouterView<'a> {
        RouterView {
            now: Tick::ZERO,
            request: RequestView { input_tokens, keys: PromptKeys::all_shared(keys), slo_rank: 3 },
            instances: &self.instances,
            queue_depth: &self.queue_depth,
            batch_size: &self.batch_size,
            kv_utilization: &self.kv_utilization,
            in_flight: &self.in_flight,
            adapter_resident: &self.adapter_resident,
            load,
            cache: self,
        }
    }

    pub fn pool(&self) -> PoolView<'_> {
        PoolView {
            queue_depth: &self.queue_depth,
            batch_size: &self.batch_size,
            kv_utilization: &self.kv_utilization,
            in_flight: &self.in_flight,
        }
    }

    /// The same fleet, the instance at `at` fuller by `more` requests of each kind and a tenth of its KV cache.
    pub fn with_more_at(&self, at: usize, more: u32) -> Self {
        let mut fuller = self.clone();
        fuller.queue_depth[at] += more;
        fuller.batch_size[at] += more;
        fuller.in_flight[at] += more;
        fuller.kv_utilization[at] = (fuller.kv_utilization[at] + 0.1).min(1.0);
        fuller
    }

    /// A request at the gate at time zero.
    pub fn at_the_gate(&self, input_tokens: u32, slo_rank: i32) -> AdmissionView<'_> {
        AdmissionView {
            now: Tick::ZERO,
            input_tokens,
            slo_class: "",
            slo_rank,
            tenant: "",
            tenant_in_flight: 0,
            queue_depth: &self.queue_depth,
            batch_size: &self.batch_size,
            kv_utilization: &self.kv_utilization,
            in_flight: &self.in_flight,
            load: LoadRule::InFlight,
        }
    }

    /// A prompt that is about to be split or not, while this fleet decodes and `prefill` prefills.
    pub fn prompt<'a>(&'a self, prefill: &'a Self, input_tokens: u32) -> DeciderView<'a> {
        DeciderView {
            now: Tick::ZERO,
            input_tokens,
            cached_tokens: 0,
            transfer_time: Tick::from_us(5_000),
            prefill: prefill.pool(),
            decode: self.pool(),
            chosen: 0,
        }
    }

    pub fn as_seen_by_detectors(&self) -> FleetView<'_> {
        FleetView {
            queue_depth: &self.queue_depth,
            kv_utilization: &self.kv_utilization,
            in_flight: &self.in_flight,
            max_num_seqs: 100,
        }
    }
}
