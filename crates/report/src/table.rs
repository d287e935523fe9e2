//! `--format table`: the same figures for people, in at most 80 columns.

use crate::intervals;
use crate::standard_output::write_trace;
use blis_intervals::Intervals;
use blis_kernel::InstanceId;
use blis_metrics::{Conservation, Distribution, Fitness, Goodput, Latency, Outcome, RunEnding};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use std::fmt::{Result, Write};

const WIDTH: u16 = 80;

/// What a run found, for reading, ending in a newline.
pub fn table(outcome: &Outcome, fitness: Option<&Fitness>, intervals: Option<&Intervals>) -> String {
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
    write_head(out, outcome)?;
    writeln!(out, "\n{}", latencies(outcome))?;
    if let Some(intervals) = intervals {
        writeln!(out)?;
        intervals::write_block(out, intervals)?;
        writeln!(out)?;
    }
    write_kv(out, outcome)?;
    if outcome.instances.len() > 1 {
        writeln!(out, "\n{}", instances(outcome))?;
    }
    if outcome.classes.len() > 1 {
        writeln!(out, "\n{}", classes(outcome))?;
    }
    if let Some(goodput) = &outcome.goodput {
        write_goodput(out, goodput)?;
    }
    if !outcome.models.is_empty() {
        writeln!(out, "\n{}", models(outcome))?;
    }
    if let Some(tenants) = &outcome.tenants {
        let mut table = new_table(&["tenant", "requests", "output tokens"]);
        for (name, t) in &tenants.by_name {
            table.add_row([name.clone(), t.completed.to_string(), t.output_tokens.to_string()]);
        }
        writeln!(out, "\n{}", finished(table))?;
        writeln!(out, "Jain fairness index of the output tokens: {:.4}", tenants.jain_index)?;
    }
    if let Some(s) = &outcome.sessions {
        let mut table = latency_table(&format!("{} sessions (ms)", s.sessions));
        add_latency(&mut table, "TTFT, first round", s.ttft_cold_ms);
        add_latency(&mut table, "TTFT, later rounds", s.ttft_warm_ms);
        add_latency(&mut table, "whole session", s.duration_ms);
        writeln!(out, "\n{}", finished(table))?;
    }
    if let Some(trace) = &outcome.trace {
        writeln!(out)?;
        write_trace(out, trace)?;
    }
    if let Some(saturation) = &outcome.saturation {
        let labels: Vec<_> = saturation
            .labels
            .iter()
            .map(|(kind, level)| format!("{} {}", kind.name(), level.name()))
            .collect();
        writeln!(out, "\nsaturation: {}", labels.join(", "))?;
    }
    if let Some(fitness) = fitness {
        writeln!(out, "\nfitness {:.6}", fitness.score)?;
    }
    Ok(())
}

fn write_head(out: &mut String, outcome: &Outcome) -> Result {
    let (requests, cluster) = (&outcome.conservation, &outcome.cluster);
    let (completed, injected, seconds) = (requests.completed, requests.injected, cluster.duration_s);
    writeln!(out, "{completed} of {injected} requests completed in {seconds:.3} simulated seconds")?;
    match &outcome.ending {
        RunEnding::Completed => {}
        RunEnding::HorizonReached => writeln!(out, "the horizon ended the run")?,
        RunEnding::Deadlock(why) => writeln!(out, "DEADLOCK: {why}")?,
    }
    for (count, what) in not_completed(requests) {
        if count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    if cluster.length_capped > 0 {
        writeln!(out, "{} cut short by the longest model length", cluster.length_capped)?;
    }
    let (responses, tokens) = (cluster.responses_per_s, cluster.tokens_per_s);
    writeln!(out, "{responses:.2} requests/s, {tokens:.1} output tokens/s")?;
    outcome.latency_model.map_or(Ok(()), |name| writeln!(out, "step times: {name}"))
}

pub(crate) fn not_completed(requests: &Conservation) -> [(u64, &'static str); 13] {
    [
        (requests.timed_out, "timed out"),
        (requests.dropped_unservable, "dropped: longer than an instance can serve"),
        (requests.rejected_by_admission, "rejected at admission"),
        (requests.rejected_by_gateway, "rejected: the gateway queue was full"),
        (requests.shed_from_gateway, "shed from the gateway queue"),
        (requests.expired_at_gateway, "expired in the gateway queue"),
        (requests.rejected_by_routing, "rejected: no instance for them"),
        (requests.evicted, "evicted from their instances"),
        (requests.failed, "lost in faults"),
        (requests.still_at_gateway, "still in the gateway queue"),
        (requests.still_queued, "still queued"),
        (requests.still_running, "still running"),
        (requests.in_pipeline, "still on their way to a queue"),
    ]
}

fn latencies(outcome: &Outcome) -> String {
    let cluster = &outcome.cluster;
    let mut table = latency_table("latency (ms)");
    add_latency(&mut table, "time to first token", cluster.ttft_ms);
    add_latency(&mut table, "inter-token latency", cluster.itl_ms);
    add_latency(&mut table, "end to end", cluster.e2e_ms);
    add_latency(&mut table, "scheduling delay", cluster.scheduling_delay_ms);
    finished(table)
}

fn write_kv(out: &mut String, outcome: &Outcome) -> Result {
    let (hits, peak) = (outcome.kv.cache_hit_rate * 100.0, outcome.cluster.peak_kv_utilization * 100.0);
    let preemptions = outcome.cluster.preemptions;
    writeln!(
        out,
        "KV cache: {hits:.1} % of blocks found, {peak:.1} % in use at most, {preemptions} preemptions"
    )
}

fn instances(outcome: &Outcome) -> String {
    let mut table =
        new_table(&["instance", "done", "req/s", "tok/s", "TTFT p99 ms", "E2E p99 ms", "KV hits"]);
    for (index, instance) in outcome.instances.iter().enumerate() {
        table.add_row([
            outcome.instance_name(InstanceId(index as u32)),
            instance.completed.to_string(),
            format!("{:.2}", instance.responses_per_s),
            format!("{:.0}", instance.tokens_per_s),
            format!("{:.2}", instance.ttft_ms.p99),
            format!("{:.2}", instance.e2e_ms.p99),
            format!("{:.1} %", instance.cache_hit_rate * 100.0),
        ]);
    }
    finished(table)
}

fn classes(outcome: &Outcome) -> String {
    let mut table =
        new_table(&["SLO class (ms)", "done", "TTFT mean", "TTFT p99", "ITL mean", "E2E mean", "E2E p99"]);
    for (name, class) in &outcome.classes {
        table.add_row([
            name.clone(),
            class.e2e_us.count.to_string(),
            us_as_ms(class.ttft_us.mean),
            us_as_ms(class.ttft_us.p99),
            us_as_ms(class.itl_mean_us.mean),
            us_as_ms(class.e2e_us.mean),
            us_as_ms(class.e2e_us.p99),
        ]);
    }
    finished(table)
}

fn write_goodput(out: &mut String, goodput: &Goodput) -> Result {
    let mut table = new_table(&["SLO targets (ms)", "good", "TTFT", "ITL", "E2E"]);
    for (name, class) in &goodput.classes {
        let met = |latency| match (class.targets.get(&latency), class.met.get(&latency)) {
            (Some(target), Some(met)) => format!("{:.1} % ≤ {target}", met * 100.0),
            _ => String::new(),
        };
        let good = format!("{} of {}", class.good, class.injected);
        table.add_row([name.clone(), good].into_iter().chain(Latency::ALL.map(met)));
    }
    writeln!(out, "\n{}", finished(table))?;
    let (percent, per_s) = (goodput.attainment * 100.0, goodput.good_per_s);
    writeln!(out, "goodput {per_s:.2} requests/s, {percent:.1} % of the requests with targets")
}

fn models(outcome: &Outcome) -> String {
    let mut table = new_table(&["model (ms)", "done", "req/s", "TTFT p50", "TTFT p99", "E2E p50", "E2E p99"]);
    for (name, model) in &outcome.models {
        table.add_row([
            name.clone(),
            model.e2e_us.count.to_string(),
            format!("{:.2}", model.responses_per_s),
            us_as_ms(model.ttft_us.p50),
            us_as_ms(model.ttft_us.p99),
            us_as_ms(model.e2e_us.p50),
            us_as_ms(model.e2e_us.p99),
        ]);
    }
    finished(table)
}

fn us_as_ms(us: f64) -> String {
    format!("{:.2}", us / 1e3)
}

fn latency_table(title: &str) -> Table {
    new_table(&[title, "mean", "p50", "p90", "p95", "p99"])
}

fn add_latency(table: &mut Table, name: &str, d: Distribution) {
    let figures = [d.mean, d.p50, d.p90, d.p95, d.p99].map(|ms| format!("{ms:.2}"));
    table.add_row(std::iter::once(name.to_owned()).chain(figures));
}

pub(crate) fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(header.iter().copied());
    table
}

/// Figures to the right, and no blanks at the ends of lines.
pub(crate) fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}
