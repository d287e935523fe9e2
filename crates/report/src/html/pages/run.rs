//! The page of one run: simulated, replayed or measured.

use super::origin::Origin;
use super::{intervals, service, timeline};
use crate::html::distribution::{Histogram, Percentiles, histogram, percentile_chart};
use crate::html::markup::{Html, grid};
use crate::html::number::{count, duration_ms, number, percent};
use crate::html::page::{KeyFigure, Page, Section, page};
use crate::html::table::{Cell, Row, Table, table};
use crate::table::not_completed;
use blis_intervals::Intervals;
use blis_kernel::InstanceId;
use blis_metrics::{Aggregate, Curve, Distribution, Fitness, Latency, Outcome, RunEnding, Timeline};

/// What a run gave, and how it came about.
#[derive(Clone, Copy, Debug)]
pub struct RunReport<'a> {
    /// The command, such as `run`.
    pub command: &'a str,
    /// What happened.
    pub kind: Kind,
    /// What it gave.
    pub outcome: &'a Outcome,
    /// How it went, if somebody looked.
    pub timeline: Option<&'a Timeline>,
    /// How it is rated, if it is.
    pub fitness: Option<&'a Fitness>,
    /// How sure that is, if that is known.
    pub intervals: Option<&'a Intervals>,
    /// Further key figures.
    pub more: &'a [KeyFigure],
    /// Why requests were not answered, with their numbers, where the outcome does not know.
    pub failures: &'a [(&'static str, u64)],
    /// How it came about.
    pub origin: &'a Origin,
}

/// Whether it happened in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It did not.
    Simulated,
    /// At a real server, of which only the clients' side is known.
    Measured,
}

/// The page of a run.
pub fn run_page(report: &RunReport<'_>) -> String {
    let RunReport { command, kind, outcome, origin, .. } = *report;
    let title = match kind {
        Kind::Simulated => origin.subject(),
        Kind::Measured => format!("{}, measured", origin.setting("model").unwrap_or("A server")),
    };
    let mut sections = Vec::new();
    if !origin.warnings.is_empty() {
        sections.push(Section::new("Warnings", "", vec![Html::warnings(&origin.warnings)]));
    }
    sections.push(latency_section(outcome));
    sections.extend(report.intervals.map(intervals::section));
    sections.extend(report.timeline.map(|timeline| timeline::section(timeline, outcome, kind)));
    sections.extend(service::sections(outcome, &unanswered(report)));
    sections.push(Section::new("Instances", "", vec![instances(outcome, kind)]));
    sections.extend(origin.sections());
    page(&Page {
        command: format!("blis {command}"),
        title,
        answer: answer(outcome, kind),
        key_figures: figures(report),
        sections,
    })
}

/// What was found, in a few sentences.
fn answer(outcome: &Outcome, kind: Kind) -> String {
    let (cluster, requests) = (&outcome.cluster, &outcome.conservation);
    let (completed, injected) = (requests.completed, requests.injected);
    let span = duration_ms(cluster.duration_s * 1e3);
    let time = if kind == Kind::Simulated { " of simulated time" } else { "" };
    let per_s = number(cluster.responses_per_s);
    let mut told = vec![if injected == 0 {
        "No request arrived.".to_owned()
    } else if completed < injected {
        let (done, all) = (count(completed), count(injected));
        format!("{done} of {all} requests were answered within {span}{time}, {per_s} a second.")
    } else if injected == 1 {
        format!("The one request was answered within {span}{time}.")
    } else {
        format!("All {} requests were answered within {span}{time}, {per_s} a second.", count(injected))
    }];
    if completed > 0 {
        let (ttft, e2e) = (duration_ms(cluster.ttft_ms.p99), duration_ms(cluster.e2e_ms.p99));
        told.push(format!("99 % had their first token within {ttft} and all of their answer within {e2e}."));
    }
    if let Some(goodput) = &outcome.goodput {
        let (share, per_s) = (percent(goodput.attainment), number(goodput.good_per_s));
        told.push(format!("{share} met the targets of their SLO class, {per_s} a second."));
    }
    match &outcome.ending {
        RunEnding::Completed => {}
        RunEnding::HorizonReached => told.push("The horizon ended the run before all was done.".to_owned()),
        RunEnding::Deadlock(why) => told.push(format!("The run is stuck: {why}.")),
    }
    told.join(" ")
}

fn figures(report: &RunReport<'_>) -> Vec<KeyFigure> {
    let outcome = report.outcome;
    let (cluster, requests) = (&outcome.cluster, &outcome.conservation);
    let band = |name: &str| intervals::note(report.intervals, name);
    let latency = |name: &str, figure: &str, of: Distribution| {
        if of.count == 0 {
            return KeyFigure::new(name, "–".to_owned(), String::new());
        }
        let note = band(figure).unwrap_or_else(|| format!("half within {}", duration_ms(of.p50)));
        KeyFigure::new(name, duration_ms(of.p99), note)
    };
    let answered = requests.completed as f64 / requests.injected.max(1) as f64;
    let mut figures = vec![
        KeyFigure {
            name: "Answered".to_owned(),
            value: percent(answered),
            note: format!("{} of {}", count(requests.completed), count(requests.injected)),
            verdict: (requests.injected > 0).then_some(requests.completed == requests.injected),
        },
        KeyFigure::new(
            "Requests per second",
            number(cluster.responses_per_s),
            band("requests_per_s").unwrap_or_default(),
        ),
        KeyFigure::new(
            "Output tokens per second",
            number(cluster.tokens_per_s),
            band("output_tokens_per_s").unwrap_or_default(),
        ),
        latency("TTFT p99", "ttft_p99_ms", cluster.ttft_ms),
        latency("ITL p99", "itl_p99_ms", cluster.itl_ms),
        latency("E2E p99", "e2e_p99_ms", cluster.e2e_ms),
    ];
    if let Some(goodput) = &outcome.goodput {
        let note = format!("goodput {} requests/s", number(goodput.good_per_s));
        figures.push(KeyFigure::new("Within their targets", percent(goodput.attainment), note));
    }
    if report.kind == Kind::Simulated {
        let note = format!("{} preemptions", count(cluster.preemptions));
        figures.push(KeyFigure::new("KV cache at most", percent(cluster.peak_kv_utilization), note));
        let hits = percent(outcome.kv.cache_hit_rate);
        figures.push(KeyFigure::new("KV blocks found", hits, "in the prefix cache".to_owned()));
    }
    if let Some(fleet) = outcome.fleet.filter(|fleet| fleet.gpu_hours > 0.0) {
        let note = if fleet.cost > 0.0 { format!("cost {}", number(fleet.cost)) } else { String::new() };
        figures.push(KeyFigure::new("GPU hours", number(fleet.gpu_hours), note));
    }
    if let Some(fitness) = report.fitness {
        figures.push(KeyFigure::new("Fitness", number(fitness.score), String::new()));
    }
    figures.extend(report.more.iter().cloned());
    figures
}

fn latency_section(outcome: &Outcome) -> Section {
    let (curves, cluster) = (&outcome.curves, &outcome.cluster);
    let all: [(&str, &str, &Curve, Distribution, Option<Latency>); 4] = [
        ("Time to first token", "TTFT", &curves.ttft, cluster.ttft_ms, Some(Latency::Ttft)),
        ("Time between tokens", "ITL", &curves.itl, cluster.itl_ms, None),
        ("End-to-end latency", "E2E", &curves.e2e, cluster.e2e_ms, Some(Latency::E2e)),
        ("Scheduling delay", "delay", &curves.scheduling_delay, cluster.scheduling_delay_ms, None),
    ];
    let known = || all.iter().filter(|(_, _, curve, ..)| curve.max_ms > 0.0);
    let percentiles = known().map(|&(title, short, curve, _, target)| {
        percentile_chart(&Percentiles {
            title: title.to_owned(),
            note: note(title).to_owned(),
            series: vec![(short.to_owned(), curve.percentiles.clone())],
            limits: target.map(|latency| limits(outcome, latency)).unwrap_or_default(),
        })
    });
    let shapes = known().map(|&(title, short, curve, ..)| {
        histogram(&Histogram {
            title: format!("{title}, how often"),
            note: String::new(),
            what: if short == "ITL" { "tokens" } else { "requests" }.to_owned(),
            bins: curve.bins.clone(),
        })
    });
    let rows = known().map(|&(title, _, curve, d, _)| latency_row(title, d, curve.max_ms)).collect();
    let columns = ["latency", "mean", "p50", "p90", "p95", "p99", "largest"].map(str::to_owned).into();
    let figures = Table { title: "In figures".to_owned(), columns, rows };
    let note = "Each curve says which share of the requests was served within how long. The axis spreads the slow ones out.";
    let blocks =
        vec![grid(&percentiles.collect::<Vec<_>>()), table(&figures), grid(&shapes.collect::<Vec<_>>())];
    Section::new("Latency", note, if known().next().is_some() { blocks } else { Vec::new() })
}

fn note(title: &str) -> &'static str {
    match title {
        "Time to first token" => "From a request's arrival to its first token.",
        "Time between tokens" => "Between two tokens of an answer, over all tokens.",
        "End-to-end latency" => "From a request's arrival to its last token.",
        _ => "From a request's arrival to its last admission into a batch.",
    }
}

fn latency_row(title: &str, of: Distribution, max_ms: f64) -> Row {
    let figures = [of.mean, of.p50, of.p90, of.p95, of.p99, max_ms];
    let cells = figures.map(|ms| Cell::number(ms, duration_ms(ms)));
    Row::new(std::iter::once(Cell::text(title)).chain(cells).collect())
}

/// The targets of a latency by class.
fn limits(outcome: &Outcome, latency: Latency) -> Vec<(String, f64)> {
    let classes = outcome.goodput.iter().flat_map(|goodput| &goodput.classes);
    classes
        .filter_map(|(name, class)| Some((format!("target of {name}"), *class.targets.get(&latency)?)))
        .collect()
}

fn instances(outcome: &Outcome, kind: Kind) -> Html {
    if outcome.instances.len() < 2 || kind == Kind::Measured {
        return Html::default();
    }
    let row = |(index, of): (usize, &Aggregate)| {
        Row::new(vec![
            Cell::text(outcome.instance_name(InstanceId(index as u32))),
            Cell::number(of.completed as f64, count(of.completed)),
            Cell::number(of.responses_per_s, number(of.responses_per_s)),
            Cell::number(of.tokens_per_s, number(of.tokens_per_s)),
            Cell::number(of.ttft_ms.p99, duration_ms(of.ttft_ms.p99)),
            Cell::number(of.e2e_ms.p99, duration_ms(of.e2e_ms.p99)),
            Cell::number(of.cache_hit_rate, percent(of.cache_hit_rate)),
            Cell::number(of.peak_kv_utilization, percent(of.peak_kv_utilization)),
            Cell::number(of.preemptions as f64, count(of.preemptions)),
        ])
    };
    let columns = [
        "instance",
        "answered",
        "requests/s",
        "tokens/s",
        "TTFT p99",
        "E2E p99",
        "KV blocks found",
        "KV at most",
        "preemptions",
    ];
    table(&Table {
        title: "Each instance".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: outcome.instances.iter().enumerate().map(row).collect(),
    })
}

/// What became of requests that were not answered, with their numbers.
fn unanswered(report: &RunReport<'_>) -> Vec<(u64, &'static str)> {
    match report.kind {
        Kind::Simulated => not_completed(&report.outcome.conservation).into(),
        Kind::Measured => report.failures.iter().map(|&(what, count)| (count, what)).collect(),
    }
}
