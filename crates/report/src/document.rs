//! `--format json`: one document with every section. Units are part of the keys.

use crate::adapters;
use crate::intervals;
use crate::json::{self, Object};
use crate::judgement::write_labels;
use crate::offload;
use blis_intervals::Intervals;
use blis_kernel::InstanceId;
use blis_metrics::{
    Aggregate, Anomalies, ClassFigures, Conservation, Distribution, FaultFigures, Fitness, FleetFigures,
    Goodput, Latency, ModelFigures, Outcome, RunEnding, SessionFigures, SplitFigures, Tenants, TraceSummary,
};
use std::collections::BTreeMap;

/// Everything that a run found, as JSON ending in a newline.
pub fn document(outcome: &Outcome, fitness: Option<&Fitness>, intervals: Option<&Intervals>) -> String {
    let mut text = json::object(|o| {
        write_ending(o, &outcome.ending);
        o.text_unless_empty("latency_model", outcome.latency_model.unwrap_or_default());
        o.object("requests", |o| {
            write_conservation(o, &outcome.conservation);
            if outcome.faults.is_some() {
                o.field("failed", outcome.conservation.failed);
            }
        });
        o.object("cluster", |o| write_aggregate(o, &outcome.cluster));
        if let Some(intervals) = intervals {
            o.object("intervals", |o| intervals::write_members(o, intervals));
        }
        o.array("instances", outcome.instances.iter().enumerate(), |o, (index, instance)| {
            o.field("instance", outcome.instance_name(InstanceId(index as u32)));
            write_aggregate(o, instance);
        });
        o.object("anomalies", |o| write_anomalies(o, &outcome.anomalies));
        o.object("kv_cache", |o| {
            o.field("preemptions_per_completed_request", outcome.kv.preemption_rate);
            o.field("cache_hit_rate", outcome.kv.cache_hit_rate);
            o.field("thrashing_rate", outcome.kv.thrashing_rate);
        });
        if let Some(offload) = &outcome.offload {
            o.object("kv_offload", |o| offload::write_members(o, offload));
        }
        o.object("slo_classes", |o| {
            outcome.classes.iter().for_each(|(name, class)| o.object(name, |o| write_class(o, class)));
        });
        o.object("models", |o| {
            outcome.models.iter().for_each(|(name, model)| o.object(name, |o| write_model(o, model)));
        });
        if let Some(tenants) = &outcome.tenants {
            o.object("tenants", |o| write_tenants(o, tenants));
        }
        if let Some(client_side) = &outcome.client_side {
            o.object("client_side", |o| {
                write_distribution(o, "ttft_ms", client_side.ttft_ms, 1.0);
                write_distribution(o, "e2e_ms", client_side.e2e_ms, 1.0);
            });
        }
        if let Some(goodput) = &outcome.goodput {
            o.object("goodput", |o| write_goodput(o, goodput));
        }
        if let Some(saturation) = &outcome.saturation {
            o.object("saturation", |o| write_labels(o, saturation));
        }
        if let Some(fleet) = &outcome.fleet {
            o.object("fleet", |o| write_fleet(o, fleet));
        }
        if let Some(faults) = &outcome.faults {
            o.object("faults", |o| write_faults(o, faults));
        }
        if let Some(splits) = &outcome.splits {
            o.object("disaggregation", |o| write_splits(o, splits));
        }
        if let Some(sessions) = &outcome.sessions {
            o.object("sessions", |o| write_sessions(o, sessions));
        }
        if let Some(trace) = &outcome.trace {
            o.object("decisions", |o| write_trace(o, trace));
        }
        if let Some(fitness) = fitness {
            o.object("fitness", |o| {
                o.field("score", fitness.score);
                o.object("components", |o| {
                    fitness.components.iter().for_each(|(key, value)| o.field(key, *value));
                });
            });
        }
    });
    text.push('\n');
    text
}

fn write_ending(o: &mut Object<'_>, ending: &RunEnding) {
    match ending {
        RunEnding::Completed => o.field("ending", "completed"),
        RunEnding::HorizonReached => o.field("ending", "horizon_reached"),
        RunEnding::Deadlock(why) => {
            o.field("ending", "deadlock");
            o.field("deadlock", why);
        }
    }
}

fn write_conservation(o: &mut Object<'_>, requests: &Conservation) {
    o.field("injected", requests.injected);
    o.field("completed", requests.completed);
    o.field("timed_out", requests.timed_out);
    o.field("dropped_unservable", requests.dropped_unservable);
    o.field("rejected_by_admission", requests.rejected_by_admission);
    o.field("rejected_by_gateway", requests.rejected_by_gateway);
    o.field("shed_from_gateway", requests.shed_from_gateway);
    o.field("expired_at_gateway", requests.expired_at_gateway);
    o.field("rejected_by_routing", requests.rejected_by_routing);
    o.field("rejected_by_encode", requests.rejected_by_encode);
    o.field("dropped_at_decode", requests.dropped_at_decode);
    o.field("evicted", requests.evicted);
    o.field("still_at_gateway", requests.still_at_gateway);
    o.field("still_queued", requests.still_queued);
    o.field("still_running", requests.still_running);
    o.field("in_pipeline", requests.in_pipeline);
}

fn write_aggregate(o: &mut Object<'_>, a: &Aggregate) {
    o.field("completed_requests", a.completed);
    o.field("still_queued", a.still_queued);
    o.field("still_running", a.still_running);
    o.field("dropped_unservable", a.dropped_unservable);
    o.field("timed_out", a.timed_out);
    o.field("length_capped", a.length_capped);
    o.field("input_tokens", a.input_tokens);
    o.field("output_tokens", a.output_tokens);
    o.field("duration_s", a.duration_s);
    o.field("requests_per_s", a.responses_per_s);
    o.field("output_tokens_per_s", a.tokens_per_s);
    write_distribution(o, "ttft_ms", a.ttft_ms, 1.0);
    write_distribution(o, "itl_ms", a.itl_ms, 1.0);
    write_distribution(o, "e2e_ms", a.e2e_ms, 1.0);
    write_distribution(o, "scheduling_delay_ms", a.scheduling_delay_ms, 1.0);
    o.field("preemptions", a.preemptions);
    o.field("kv_allocation_failures", a.kv_allocation_failures);
    o.field("cache_hit_rate", a.cache_hit_rate);
    o.field("peak_kv_utilization", a.peak_kv_utilization);
    adapters::write_members(o, &a.adapters);
}

/// Writes a distribution, each figure divided by `divisor`.
fn write_distribution(o: &mut Object<'_>, key: &str, d: Distribution, divisor: f64) {
    o.object(key, |o| {
        o.field("count", d.count);
        for (name, value) in
            [("mean", d.mean), ("p50", d.p50), ("p90", d.p90), ("p95", d.p95), ("p99", d.p99)]
        {
            o.field(name, value / divisor);
        }
    });
}

fn write_anomalies(o: &mut Object<'_>, anomalies: &Anomalies) {
    o.field("priority_inversions", anomalies.priority_inversions);
    o.field("head_of_line_blocking_instances", anomalies.head_of_line_blocking);
    o.object("shed_by_class", |o| anomalies.shed.iter().for_each(|(class, shed)| o.field(class, *shed)));
}

const US_PER_MS: f64 = 1e3;

fn write_class(o: &mut Object<'_>, class: &ClassFigures) {
    write_distribution(o, "ttft_ms", class.ttft_us, US_PER_MS);
    write_distribution(o, "mean_itl_ms", class.itl_mean_us, US_PER_MS);
    write_distribution(o, "e2e_ms", class.e2e_us, US_PER_MS);
}

fn write_model(o: &mut Object<'_>, model: &ModelFigures) {
    write_distribution(o, "ttft_ms", model.ttft_us, US_PER_MS);
    write_distribution(o, "e2e_ms", model.e2e_us, US_PER_MS);
    o.field("requests_per_s", model.responses_per_s);
    o.field("output_tokens_per_s", model.tokens_per_s);
}

fn write_fleet(o: &mut Object<'_>, fleet: &FleetFigures) {
    o.field("started", fleet.started);
    o.field("peak_replicas", fleet.peak_replicas);
    o.field("scale_ups", fleet.scale_ups);
    o.field("scale_downs", fleet.scale_downs);
    o.field("instance_hours", fleet.instance_hours);
    o.field("gpu_hours", fleet.gpu_hours);
    o.field("cost", fleet.cost);
    if let Some(nodes) = &fleet.nodes {
        o.field("nodes_provisioned", nodes.provisioned);
        o.field("nodes_released", nodes.released);
        o.field("node_hours", nodes.node_hours);
        o.field("node_cost", nodes.node_cost);
    }
}

fn write_faults(o: &mut Object<'_>, faults: &FaultFigures) {
    o.field("crashes", faults.crashes);
    o.field("slowdowns", faults.slowdowns);
    o.field("lost_transfers", faults.lost_transfers);
    o.field("downtime_s", faults.downtime_s);
    o.field("lost_requests", faults.lost_requests);
    o.field("retries", faults.retries);
    o.field("redirected", faults.redirected);
}

fn write_splits(o: &mut Object<'_>, splits: &SplitFigures) {
    o.field("transferred_requests", splits.transferred);
    o.field("dropped_at_decode", splits.dropped_at_decode);
    o.field("prefill_completions_per_s", splits.prefill_per_s);
    o.field("decode_completions_per_s", splits.decode_per_s);
    if splits.imbalance.is_finite() {
        o.field("imbalance", splits.imbalance);
    }
    write_distribution(o, "ttft_ms", splits.ttft_us, US_PER_MS);
    write_distribution(o, "transfer_ms", splits.transfer_us, US_PER_MS);
    if let Some((peak, depth)) = splits.contention {
        o.field("peak_transfers", peak);
        o.field("mean_transfers_at_start", depth);
    }
}

fn write_tenants(o: &mut Object<'_>, tenants: &Tenants) {
    o.field("jain_index", tenants.jain_index);
    o.object("by_name", |o| {
        for (name, figures) in &tenants.by_name {
            o.object(name, |o| {
                o.field("completed_requests", figures.completed);
                o.field("output_tokens", figures.output_tokens);
            });
        }
    });
}

fn write_goodput(o: &mut Object<'_>, goodput: &Goodput) {
    let by_latency = |o: &mut Object<'_>, values: &BTreeMap<Latency, f64>| {
        for (latency, value) in values {
            o.field(latency.name(), *value);
        }
    };
    o.field("attainment", goodput.attainment);
    o.field("good_requests_per_s", goodput.good_per_s);
    o.object("slo_classes", |o| {
        for (name, class) in &goodput.classes {
            o.object(name, |o| {
                o.object("targets_ms", |o| by_latency(o, &class.targets));
                o.field("injected", class.injected);
                o.field("completed", class.completed);
                o.field("good", class.good);
                o.field("attainment", class.attainment);
                o.field("good_requests_per_s", class.good_per_s);
                o.object("completed_within_target", |o| by_latency(o, &class.met));
                o.field("ttft_p99_ms", class.ttft_p99_ms);
                o.field("mean_itl_ms", class.itl_mean_ms);
                o.field("e2e_p99_ms", class.e2e_p99_ms);
            });
        }
    });
}

fn write_sessions(o: &mut Object<'_>, sessions: &SessionFigures) {
    o.field("count", sessions.sessions);
    write_distribution(o, "ttft_cold_ms", sessions.ttft_cold_ms, 1.0);
    write_distribution(o, "ttft_warm_ms", sessions.ttft_warm_ms, 1.0);
    write_distribution(o, "duration_ms", sessions.duration_ms, 1.0);
}

fn write_trace(o: &mut Object<'_>, trace: &TraceSummary) {
    o.field("admitted", trace.admitted);
    o.field("rejected", trace.rejected);
    o.object("routed", |o| trace.targets.iter().for_each(|(id, n)| o.field(&id.to_string(), *n)));
    o.field("regret_mean", trace.regret_mean());
    o.field("regret_max", trace.regret_max);
}
