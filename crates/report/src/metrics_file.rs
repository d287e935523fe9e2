//! `--metrics-path`, and the block of JSON that it shares with standard output.

use crate::adapters;
use crate::json::{self, Object};
use crate::judgement::write_judgement;
use crate::offload;
use blis_kernel::Tick;
use blis_metrics::{Aggregate, Distribution, Outcome, PerRequest, RequestRecord};

/// What the aggregate over all instances is called.
pub(crate) const CLUSTER: &str = "cluster";

/// The cluster's figures and every request that an instance took in, as JSON without a final newline.
pub fn metrics_file(outcome: &Outcome) -> String {
    json::object(|o| {
        write_aggregate(o, CLUSTER, &outcome.cluster, true);
        o.text_unless_empty("latency_model", outcome.latency_model.unwrap_or_default());
        if let Some(requests) = &outcome.requests {
            let mut registered = requests.records.iter().filter(|r| r.is_registered()).peekable();
            if registered.peek().is_some() {
                o.array("requests", registered, |row, record| {
                    write_request(row, outcome, requests, record);
                });
            }
        }
        write_judgement(o, outcome);
        if let Some(offload) = &outcome.offload {
            o.object("kv_offload", |o| offload::write_members(o, offload));
        }
    })
}

/// The members of an aggregate. The hit rate is only `in_file`, where it has always been.
pub(crate) fn write_aggregate(o: &mut Object<'_>, instance_id: &str, a: &Aggregate, in_file: bool) {
    o.field("instance_id", instance_id);
    o.field("completed_requests", a.completed);
    o.field("still_queued", a.still_queued);
    o.field("still_running", a.still_running);
    o.field("injected_requests", a.injected());
    o.field("total_input_tokens", a.input_tokens);
    o.field("total_output_tokens", a.output_tokens);
    o.field("vllm_estimated_duration_s", a.duration_s);
    o.field("responses_per_sec", a.responses_per_s);
    o.field("tokens_per_sec", a.tokens_per_s);
    for (name, latency) in [("e2e", &a.e2e_ms), ("ttft", &a.ttft_ms), ("itl", &a.itl_ms)] {
        let Distribution { mean, p90, p95, p99, .. } = *latency;
        for (figure, value) in [("mean", mean), ("p90", p90), ("p95", p95), ("p99", p99)] {
            o.field(&format!("{name}_{figure}_ms"), value);
        }
    }
    o.field("scheduling_delay_p99_ms", a.scheduling_delay_ms.p99);
    if a.kv_allocation_failures > 0 {
        o.field("kv_allocation_failures", a.kv_allocation_failures);
    }
    o.field("preemption_count", a.preemptions);
    if in_file {
        o.field("cache_hit_rate", a.cache_hit_rate);
    }
    o.field("dropped_unservable", a.dropped_unservable);
    o.field("length_capped_requests", a.length_capped);
    o.field("timed_out_requests", a.timed_out);
    adapters::write_members(o, &a.adapters);
}

fn write_request(o: &mut Object<'_>, outcome: &Outcome, all: &PerRequest, request: &RequestRecord) {
    let labels = &all.labels[request.labels as usize];
    let ms_or_zero = |duration: Option<Tick>| duration.map_or(0.0, Tick::as_ms);
    o.field("arrived_at", request.arrival.as_seconds());
    o.field("requestID", request.name.to_string());
    o.field("num_prefill_tokens", request.input_tokens);
    o.field("num_decode_tokens", request.output_tokens);
    o.field("ttft_ms", ms_or_zero(request.ttft));
    o.field("itl_ms", request.itl_mean_us / 1e3);
    o.field("e2e_ms", ms_or_zero(request.e2e));
    o.field("scheduling_delay_ms", ms_or_zero(request.scheduling_delay));
    if let Some(network) = labels.network {
        o.field("client_ttft_ms", request.client_ttft_ms(network).unwrap_or_default());
        o.field("client_e2e_ms", request.client_e2e_ms(network).unwrap_or_default());
    }
    o.text_unless_empty("slo_class", &labels.slo_class);
    o.text_unless_empty("tenant_id", &labels.tenant);
    if let Some(instance) = request.instance {
        o.field("handled_by", outcome.instance_name(instance));
    }
    if let Some(delay) = request.gateway_queue_delay.filter(|&delay| delay > Tick::ZERO) {
        o.field("gateway_queue_delay_ms", delay.as_ms());
    }
    o.text_unless_empty("model", &labels.model);
    o.text_unless_empty("adapter", &labels.adapter);
    if request.length_capped {
        o.field("length_capped", true);
        o.field("produced_tokens", request.produced_tokens);
    }
    if let Some(place) = request.session {
        o.text_unless_empty("session_id", &all.session_names[place.session as usize]);
    }
    o.field("round_index", request.session.map_or(0, |place| place.round));
}
