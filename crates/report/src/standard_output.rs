//! The blocks on standard output, in their fixed order. A block without anything to say is left out.

use crate::intervals;
use crate::json;
use crate::judgement::write_judgement;
use crate::metrics_file::{CLUSTER, write_aggregate};
use crate::offload;
use blis_intervals::Intervals;
use blis_kernel::InstanceId;
use blis_metrics::{
    Aggregate, Anomalies, ClassFigures, Distribution, FaultFigures, Fitness, FleetFigures, KvFigures,
    ModelFigures, Outcome, SessionFigures, SplitFigures, Tenants, TraceSummary,
};
use std::collections::BTreeMap;
use std::fmt::{Result, Write};

/// Said once at the top of the blocks whose latencies carry no unit.
const UNIT_LINE: &str = "latencies in us";

/// Everything that a run prints, ending in a newline.
pub fn standard_output(
    outcome: &Outcome,
    fitness: Option<&Fitness>,
    intervals: Option<&Intervals>,
) -> String {
    let mut out = String::new();
    write_all(&mut out, outcome, fitness, intervals).expect("a string takes everything");
    out
}

fn write_all(
    out: &mut String,
    outcome: &Outcome,
    fitness: Option<&Fitness>,
    intervals: Option<&Intervals>,
) -> Result {
    // Where instances come and go, the number at first says whether each is told of.
    if outcome.fleet.map_or(outcome.instances.len(), |fleet| fleet.started as usize) > 1 {
        for (index, instance) in outcome.instances.iter().enumerate() {
            write_metrics(out, &outcome.instance_name(InstanceId(index as u32)), instance, None)?;
        }
    }
    write_metrics(out, CLUSTER, &outcome.cluster, Some(outcome))?;
    if let Some(intervals) = intervals {
        writeln!(out, "=== Intervals ===")?;
        intervals::write_block(out, intervals)?;
    }
    if let Some(fitness) = fitness {
        write_fitness(out, fitness)?;
    }
    if outcome.anomalies.any() {
        write_anomalies(out, &outcome.anomalies)?;
    }
    if outcome.kv != KvFigures::default() {
        write_kv(out, outcome.kv)?;
    }
    if let Some(figures) = &outcome.offload {
        offload::write_block(out, figures)?;
    }
    if outcome.classes.len() > 1 || (outcome.goodput.is_some() && !outcome.classes.is_empty()) {
        write_classes(out, &outcome.classes)?;
    }
    if !outcome.models.is_empty() {
        write_models(out, &outcome.models)?;
    }
    if let Some(tenants) = &outcome.tenants {
        write_tenants(out, tenants)?;
    }
    if let Some(sessions) = &outcome.sessions {
        write_sessions(out, sessions)?;
    }
    if let Some(fleet) = &outcome.fleet {
        write_fleet(out, fleet)?;
    }
    if let Some(faults) = &outcome.faults {
        write_faults(out, faults, outcome.conservation.failed)?;
    }
    if let Some(splits) = &outcome.splits {
        write_splits(out, splits)?;
    }
    if let Some(trace) = &outcome.trace {
        write_trace(out, trace)?;
    }
    Ok(())
}

/// The figures of an instance or of the cluster; `whole` adds what only the whole run has.
fn write_metrics(
    out: &mut String,
    instance_id: &str,
    aggregate: &Aggregate,
    whole: Option<&Outcome>,
) -> Result {
    let body = json::object(|o| {
        write_aggregate(o, instance_id, aggregate, false);
        if let Some(outcome) = whole {
            write_judgement(o, outcome);
            o.text_unless_empty("latency_model", outcome.latency_model.unwrap_or_default());
        }
    });
    writeln!(out, "=== Simulation Metrics ===\n{body}")
}

fn write_fitness(out: &mut String, fitness: &Fitness) -> Result {
    writeln!(out, "=== Fitness Evaluation ===\nScore: {:.6}", fitness.score)?;
    fitness.components.iter().try_for_each(|(key, component)| writeln!(out, "  {key}: {component:.6}"))
}

fn write_anomalies(out: &mut String, anomalies: &Anomalies) -> Result {
    writeln!(out, "=== Anomaly Counters ===")?;
    writeln!(out, "Priority Inversions: {}", anomalies.priority_inversions)?;
    writeln!(out, "HOL Blocking Events: {}", anomalies.head_of_line_blocking)?;
    writeln!(out, "Rejected Requests (Admission): {}", anomalies.rejected_by_admission)?;
    for (class, shed) in &anomalies.shed {
        writeln!(out, "  Shed ({class}): {shed}")?;
    }
    writeln!(out, "Rejected Requests (Routing): {}", anomalies.rejected_by_routing)?;
    writeln!(out, "Dropped Unservable: {}", anomalies.dropped_unservable)?;
    writeln!(out, "Timed Out Requests: {}", anomalies.timed_out)?;
    writeln!(out, "Length-Capped Requests: {}", anomalies.length_capped)?;
    let gateway = [
        ("Gateway Queue Depth (horizon)", anomalies.gateway_depth),
        ("Gateway Queue Shed", anomalies.gateway_shed),
        ("Gateway Queue Rejected", anomalies.gateway_rejected),
        ("Gateway Evicted (in-flight)", anomalies.gateway_evicted),
        ("Gateway Expired (TTL)", anomalies.gateway_expired),
        ("Encode Routing Rejections", anomalies.rejected_by_encode),
    ];
    gateway.iter().filter(|(_, n)| *n > 0).try_for_each(|(name, n)| writeln!(out, "{name}: {n}"))
}

fn write_kv(out: &mut String, kv: KvFigures) -> Result {
    writeln!(out, "=== KV Cache Metrics ===")?;
    writeln!(out, "Preemption Rate: {:.4}", kv.preemption_rate)?;
    writeln!(out, "Cache Hit Rate: {:.4}", kv.cache_hit_rate)?;
    writeln!(out, "KV Thrashing Rate: {:.4}", kv.thrashing_rate)
}

fn write_classes(out: &mut String, classes: &BTreeMap<String, ClassFigures>) -> Result {
    writeln!(out, "=== Per-SLO Metrics ===\n{UNIT_LINE}")?;
    for (class, figures) in classes {
        writeln!(out, "  {class}:")?;
        let rows = [("TTFT:", figures.ttft_us), ("ITL: ", figures.itl_mean_us), ("E2E: ", figures.e2e_us)];
        for (name, Distribution { mean, p99, count, .. }) in rows {
            writeln!(out, "    {name} mean={mean:.2} p99={p99:.2} (n={count})")?;
        }
    }
    Ok(())
}

fn write_models(out: &mut String, models: &BTreeMap<String, ModelFigures>) -> Result {
    writeln!(out, "=== Per-Model Metrics ===\n{UNIT_LINE}")?;
    for (model, figures) in models {
        writeln!(out, "  {model}:")?;
        for (name, Distribution { p50, p99, count, .. }) in
            [("TTFT:", figures.ttft_us), ("E2E: ", figures.e2e_us)]
        {
            writeln!(out, "    {name} p50={p50:.2} p99={p99:.2} (n={count})")?;
        }
        let (responses, tokens) = (figures.responses_per_s, figures.tokens_per_s);
        writeln!(out, "    Throughput: {responses:.2} req/s, {tokens:.2} tok/s")?;
    }
    Ok(())
}

fn write_tenants(out: &mut String, tenants: &Tenants) -> Result {
    writeln!(out, "=== Per-Tenant Metrics ===")?;
    for (tenant, figures) in &tenants.by_name {
        writeln!(out, "  {tenant}: requests={}, tokens={}", figures.completed, figures.output_tokens)?;
    }
    writeln!(out, "  Jain Fairness Index: {:.4}", tenants.jain_index)
}

fn write_sessions(out: &mut String, sessions: &SessionFigures) -> Result {
    writeln!(out, "=== Session Metrics ===\n  Sessions: {}", sessions.sessions)?;
    let rows = [
        ("TTFT cold (round 0):", sessions.ttft_cold_ms),
        ("TTFT warm (round≥1):", sessions.ttft_warm_ms),
        ("Session duration:   ", sessions.duration_ms),
    ];
    for (name, d) in rows.iter().filter(|(_, d)| d.count > 0) {
        let Distribution { mean, p50, p95, p99, count, .. } = d;
        writeln!(out, "  {name} mean={mean:.2} p50={p50:.2} p95={p95:.2} p99={p99:.2} ms (n={count})")?;
    }
    Ok(())
}

fn write_fleet(out: &mut String, fleet: &FleetFigures) -> Result {
    writeln!(out, "=== Fleet ===\nPeak Replicas: {}", fleet.peak_replicas)?;
    writeln!(out, "Scale-Ups: {}\nScale-Downs: {}", fleet.scale_ups, fleet.scale_downs)?;
    writeln!(out, "Instance Hours: {:.4}\nGPU Hours: {:.4}", fleet.instance_hours, fleet.gpu_hours)?;
    writeln!(out, "Cost: {:.4}", fleet.cost)?;
    let Some(nodes) = &fleet.nodes else { return Ok(()) };
    writeln!(out, "Nodes Provisioned: {}\nNodes Released: {}", nodes.provisioned, nodes.released)?;
    writeln!(out, "Node Hours: {:.4}\nNode Cost: {:.4}", nodes.node_hours, nodes.node_cost)
}

fn write_faults(out: &mut String, faults: &FaultFigures, failed: u64) -> Result {
    writeln!(out, "=== Faults ===\nCrashes: {}\nSlowdowns: {}", faults.crashes, faults.slowdowns)?;
    writeln!(out, "Lost Transfers: {}\nDowntime: {:.3} s", faults.lost_transfers, faults.downtime_s)?;
    writeln!(out, "Lost Requests: {}\nRetries: {}", faults.lost_requests, faults.retries)?;
    writeln!(out, "Failed Requests: {failed}\nRedirected Requests: {}", faults.redirected)
}

fn write_splits(out: &mut String, splits: &SplitFigures) -> Result {
    writeln!(out, "=== PD Metrics ===\nDisaggregated Requests: {}", splits.transferred)?;
    writeln!(out, "Dropped at Decode KV: {}", splits.dropped_at_decode)?;
    writeln!(out, "Prefill Throughput: {:.4} sub-req/s", splits.prefill_per_s)?;
    writeln!(out, "Decode Throughput: {:.4} sub-req/s", splits.decode_per_s)?;
    match splits.imbalance {
        f64::INFINITY => writeln!(out, "Load Imbalance Ratio: inf (one pool idle)")?,
        ratio => writeln!(out, "Load Imbalance Ratio: {ratio:.4}")?,
    }
    let rows = [("Parent TTFT (us)", splits.ttft_us), ("KV Transfer Duration (us)", splits.transfer_us)];
    for (name, Distribution { mean, p50, p95, p99, .. }) in rows.iter().filter(|(_, d)| d.count > 0) {
        writeln!(out, "{name}: mean={mean:.1} p50={p50:.1} p95={p95:.1} p99={p99:.1}")?;
    }
    if let Some((peak, depth)) = splits.contention {
        writeln!(out, "Peak Concurrent Transfers: {peak}\nMean Transfer Queue Depth: {depth:.4}")?;
    }
    Ok(())
}

pub(crate) fn write_trace(out: &mut String, trace: &TraceSummary) -> Result {
    writeln!(out, "=== Trace Summary ===")?;
    writeln!(out, "Total Decisions: {}", trace.admitted + trace.rejected)?;
    writeln!(out, "  Admitted: {}", trace.admitted)?;
    writeln!(out, "  Rejected: {}", trace.rejected)?;
    writeln!(out, "Unique Targets: {}", trace.targets.len())?;
    if !trace.targets.is_empty() {
        writeln!(out, "Target Distribution:")?;
        let mut targets: Vec<_> = trace.targets.iter().map(|(id, n)| (id.to_string(), n)).collect();
        targets.sort();
        targets.iter().try_for_each(|(id, n)| writeln!(out, "  {id}: {n}"))?;
    }
    writeln!(out, "Mean Regret: {:.6}", trace.regret_mean())?;
    writeln!(out, "Max Regret: {:.6}", trace.regret_max)
}
