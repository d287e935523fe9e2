//! Who was served how well: classes with and without targets, models, tenants, sessions; who was not served; what came
//! and went.

use crate::html::bars::{BarRow, Bars, bars};
use crate::html::markup::{Html, grid};
use crate::html::number::{count, counted, duration_ms, number, percent};
use crate::html::page::Section;
use crate::html::table::{Cell, Row, Table, table};
use blis_metrics::{ClassFigures, ClassGoodput, Goodput, Latency, ModelFigures, Outcome};

/// The parts of a page that there is something to tell in.
pub(super) fn sections(outcome: &Outcome, unanswered: &[(u64, &'static str)]) -> Vec<Section> {
    let mut service = Vec::new();
    if let Some(goodput) = &outcome.goodput {
        service.push(grid(&[attainment(goodput), single_targets(goodput)]));
        service.push(goodput_table(goodput));
    }
    if outcome.classes.len() > 1 {
        service.push(classes(outcome));
    }
    service.push(models(outcome));
    service.push(tenants(outcome));
    let note = "A request is good when its answer met every target of its SLO class. Whatever was not answered is not good.";
    let note = if outcome.goodput.is_some() { note } else { "" };
    vec![
        Section::new("Service levels", note, service),
        Section::new("Requests that were not answered", "", vec![losses(outcome, unanswered)]),
        Section::new("What came and went", "", vec![facts(outcome)]),
    ]
}

fn attainment(goodput: &Goodput) -> Html {
    let row = |(name, class): (&String, &ClassGoodput)| {
        let shown = format!("{} · {} requests/s", percent(class.attainment), number(class.good_per_s));
        BarRow::new(name, class.attainment * 100.0, shown)
    };
    bars(&Bars {
        title: "Goodput by class".to_owned(),
        note: "Share of the requests that arrived which met all targets, and how many did so per second."
            .to_owned(),
        rows: goodput.classes.iter().map(row).collect(),
        most: Some(100.0),
        ..Bars::default()
    })
}

fn single_targets(goodput: &Goodput) -> Html {
    let rows = goodput.classes.iter().flat_map(|(name, class)| {
        class.met.iter().map(move |(latency, met)| {
            let target = class.targets.get(latency).copied().unwrap_or_default();
            let name = format!("{name}: {} ≤ {}", short(*latency), duration_ms(target));
            BarRow::new(&name, met * 100.0, percent(*met))
        })
    });
    bars(&Bars {
        title: "Each target alone".to_owned(),
        note: "Share of the answered requests that met it.".to_owned(),
        rows: rows.collect(),
        most: Some(100.0),
        ..Bars::default()
    })
}

fn short(latency: Latency) -> &'static str {
    match latency {
        Latency::Ttft => "TTFT",
        Latency::Itl => "ITL",
        Latency::E2e => "E2E",
    }
}

fn goodput_table(goodput: &Goodput) -> Html {
    let row = |(name, class): (&String, &ClassGoodput)| {
        let counts = [class.injected, class.completed, class.good].map(|n| Cell::number(n as f64, count(n)));
        let latencies = [class.ttft_p99_ms, class.itl_mean_ms, class.e2e_p99_ms];
        let latencies = latencies.map(|ms| Cell::number(ms, duration_ms(ms)));
        let share = Cell::number(class.attainment, percent(class.attainment));
        Row::new([vec![Cell::text(name.clone())], counts.into(), vec![share], latencies.into()].concat())
    };
    let columns =
        ["SLO class", "arrived", "answered", "good", "attainment", "TTFT p99", "ITL mean", "E2E p99"];
    table(&Table {
        title: "Classes with targets".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: goodput.classes.iter().map(row).collect(),
    })
}

fn us(us: f64) -> Cell {
    Cell::number(us, duration_ms(us / 1e3))
}

fn classes(outcome: &Outcome) -> Html {
    let row = |(name, class): (&String, &ClassFigures)| {
        Row::new(vec![
            Cell::text(name.clone()),
            Cell::number(class.e2e_us.count as f64, count(class.e2e_us.count)),
            us(class.ttft_us.p50),
            us(class.ttft_us.p99),
            us(class.itl_mean_us.mean),
            us(class.e2e_us.p50),
            us(class.e2e_us.p99),
        ])
    };
    let columns = ["SLO class", "answered", "TTFT p50", "TTFT p99", "ITL mean", "E2E p50", "E2E p99"];
    table(&Table {
        title: "Latency by class".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: outcome.classes.iter().map(row).collect(),
    })
}

fn models(outcome: &Outcome) -> Html {
    let row = |(name, model): (&String, &ModelFigures)| {
        Row::new(vec![
            Cell::text(name.clone()),
            Cell::number(model.e2e_us.count as f64, count(model.e2e_us.count)),
            Cell::number(model.responses_per_s, number(model.responses_per_s)),
            us(model.ttft_us.p50),
            us(model.ttft_us.p99),
            us(model.e2e_us.p50),
            us(model.e2e_us.p99),
        ])
    };
    let columns = ["model", "answered", "requests/s", "TTFT p50", "TTFT p99", "E2E p50", "E2E p99"];
    table(&Table {
        title: "Models".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: outcome.models.iter().map(row).collect(),
    })
}

fn tenants(outcome: &Outcome) -> Html {
    let Some(tenants) = &outcome.tenants else { return Html::default() };
    let tokens = tenants.by_name.values().map(|tenant| tenant.output_tokens).sum::<u64>().max(1) as f64;
    let rows = tenants.by_name.iter().map(|(name, tenant)| {
        let shown = format!("{} requests, {} tokens", count(tenant.completed), count(tenant.output_tokens));
        BarRow::new(name, tenant.output_tokens as f64 / tokens * 100.0, shown)
    });
    bars(&Bars {
        title: "Tenants".to_owned(),
        note: format!(
            "Share of the output tokens. Jain's fairness index is {}: 1 when all got the same.",
            number(tenants.jain_index)
        ),
        rows: rows.collect(),
        ..Bars::default()
    })
}

fn losses(outcome: &Outcome, unanswered: &[(u64, &'static str)]) -> Html {
    let lost: Vec<_> = unanswered.iter().filter(|(n, _)| *n > 0).copied().collect();
    if lost.is_empty() {
        return Html::default();
    }
    let injected = outcome.conservation.injected.max(1) as f64;
    let rows = lost.into_iter().map(|(n, what)| {
        let share = n as f64 / injected;
        BarRow {
            is_bad: true,
            ..BarRow::new(what, share * 100.0, format!("{} · {}", count(n), percent(share)))
        }
    });
    bars(&Bars {
        title: "What became of them".to_owned(),
        note: "Share of the requests that arrived.".to_owned(),
        rows: rows.collect(),
        ..Bars::default()
    })
}

/// What there is only in some runs.
fn facts(outcome: &Outcome) -> Html {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(sessions) = &outcome.sessions {
        facts.push(("Sessions", count(sessions.sessions)));
        facts.push(("TTFT of first rounds, p99", duration_ms(sessions.ttft_cold_ms.p99)));
        facts.push(("TTFT of later rounds, p99", duration_ms(sessions.ttft_warm_ms.p99)));
        facts.push(("Whole sessions, p50", duration_ms(sessions.duration_ms.p50)));
    }
    if let Some(fleet) = &outcome.fleet {
        facts.push(("Instances at first", fleet.started.to_string()));
        facts.push(("Most instances at once", fleet.peak_replicas.to_string()));
        facts.push(("Instances added", count(fleet.scale_ups)));
        facts.push(("Instances taken away", count(fleet.scale_downs)));
        facts.push(("Instance hours", number(fleet.instance_hours)));
        facts.push(("GPU hours", number(fleet.gpu_hours)));
        if fleet.cost > 0.0 {
            facts.push(("Cost of the instances", number(fleet.cost)));
        }
        if let Some(nodes) = &fleet.nodes {
            facts.push(("Nodes added and given back", format!("{}, {}", nodes.provisioned, nodes.released)));
            facts.push(("Cost of the nodes", number(nodes.node_cost)));
        }
    }
    if let Some(faults) = &outcome.faults {
        facts.push(("Crashes", count(faults.crashes)));
        facts.push(("Slowdowns", count(faults.slowdowns)));
        facts.push(("Transfers lost", count(faults.lost_transfers)));
        facts.push(("Time that instances were down, summed", duration_ms(faults.downtime_s * 1e3)));
        facts.push(("Requests tried again", counted(faults.retries, "time")));
    }
    if let Some(offload) = &outcome.offload {
        facts.push(("KV blocks stored below the GPU", count(offload.stored_blocks)));
        facts.push(("KV blocks brought back", count(offload.reloaded_blocks)));
    }
    if let Some(saturation) = &outcome.saturation {
        let labels =
            saturation.labels.iter().map(|(kind, level)| format!("{} {}", kind.name(), level.name()));
        facts.push(("Saturation", labels.collect::<Vec<_>>().join(", ")));
    }
    let rows = facts.into_iter().map(|(name, value)| Row::new(vec![Cell::text(name), Cell::text(value)]));
    table(&Table {
        title: String::new(),
        columns: ["what", "value"].map(str::to_owned).into(),
        rows: rows.collect(),
    })
}
