//! The page of a comparison of simulated with measured requests.

use super::origin::Origin;
use crate::calibration_table::{all_advice, label, left_out, no_advice, signed};
use crate::html::bars::{BarRow, Bars, bars};
use crate::html::markup::{Html, grid};
use crate::html::number::{count, duration_ms, number, percent};
use crate::html::page::{KeyFigure, Page, Section, page};
use crate::html::table::{Cell, Row, Table, table};
use blis_calibrate::{
    AdapterComparison, Calibration, Cause, Errors, Figure, GoodputComparison, GroupErrors, Metric,
};
use std::collections::BTreeMap;

/// Milliseconds per microsecond.
const MS_PER_US: f64 = 1e-3;

/// The page of a calibration. `command` is what made it, such as `loop`.
pub fn calibration_page(command: &str, calibration: &Calibration, origin: &Origin) -> String {
    page(&Page {
        command: format!("blis {command}"),
        title: match origin.setting("model") {
            Some(model) => format!("{model}: simulated against measured"),
            None => "Simulated against measured".to_owned(),
        },
        answer: answer(calibration),
        key_figures: key_figures(calibration),
        sections: calibration_sections(calibration, origin),
    })
}

fn calibration_sections(calibration: &Calibration, origin: &Origin) -> Vec<Section> {
    let mut sections = Vec::new();
    if !origin.warnings.is_empty() {
        sections.push(Section::new("Warnings", "", vec![Html::warnings(&origin.warnings)]));
    }
    let by_metric: Vec<_> = metrics(calibration).map(|(metric, errors)| sides(metric, errors)).collect();
    let note = "MAPE is the mean over the requests of how far simulated and measured lie apart, as a share of the measured value.";
    sections.push(Section::new("Errors", note, vec![grid(&by_metric), errors_table(calibration)]));
    let note = "Simulated less measured, per request. The largest part comes first: that is what to change.";
    sections.push(Section::new("Where the error comes from", note, vec![causes(calibration)]));
    let groups = vec![
        groups("SLO class", &calibration.by_slo_class),
        groups("model", &calibration.by_model),
        calibration.goodput.as_ref().map(goodput).unwrap_or_default(),
    ];
    sections.push(Section::new("Who is simulated how well", "", groups));
    sections.push(Section::new("What was compared", "", vec![compared(calibration)]));
    sections.extend(origin.sections());
    sections
}

/// In the order of a request's life.
fn metrics(calibration: &Calibration) -> impl Iterator<Item = (Metric, &Errors)> {
    calibration.metrics.iter().rev().map(|(&metric, errors)| (metric, errors))
}

fn answer(calibration: &Calibration) -> String {
    let errors: Vec<_> = metrics(calibration)
        .map(|(metric, errors)| {
            format!("{} is off by {} ({})", label(metric), percent(errors.mape), errors.quality.name())
        })
        .collect();
    let (matched, rows) = (count(calibration.buckets.matched), count(calibration.buckets.rows()));
    let advice = if let Some((share_us, text)) = all_advice(calibration).first() {
        format!("What to change first, {} per request: {text}.", signed_ms(*share_us))
    } else {
        let text = no_advice();
        format!("{}{}.", text[..1].to_uppercase(), &text[1..])
    };
    format!("{matched} of {rows} requests were compared: {}. {advice}", errors.join(", "))
}

fn signed_ms(us: f64) -> String {
    let sign = if us > 0.0 { "+" } else { "−" };
    format!("{sign}{}", duration_ms(us.abs() * MS_PER_US))
}

fn key_figures(calibration: &Calibration) -> Vec<KeyFigure> {
    let mut figures: Vec<_> = metrics(calibration)
        .map(|(metric, errors)| {
            let is_judged = metric == Metric::Ttft;
            let allowed = format!("{} allowed", percent(calibration.ttft_mape_threshold));
            let bias = errors
                .bias
                .map_or(String::new(), |bias| format!("{}, r = {:.3}", bias.name(), errors.pearson_r));
            KeyFigure {
                name: format!("{} error (MAPE)", label(metric)),
                value: percent(errors.mape),
                note: if is_judged { format!("{allowed}; {bias}") } else { bias },
                verdict: is_judged.then_some(errors.mape <= calibration.ttft_mape_threshold),
            }
        })
        .collect();
    if let Some(hits) = &calibration.hit_rate {
        figures.push(KeyFigure {
            name: "Prefix-cache hits".to_owned(),
            value: format!("{:.1} points off", hits.error_pp()),
            note: format!(
                "{} instead of {}, {} points allowed",
                percent(hits.rate.sim),
                percent(hits.rate.real),
                hits.tolerance_pp
            ),
            verdict: Some(hits.is_within()),
        });
    }
    let note = format!("of {}", count(calibration.buckets.rows()));
    figures.push(KeyFigure::new("Requests compared", count(calibration.buckets.matched), note));
    figures
}

/// Both sides of a metric, figure by figure.
fn sides(metric: Metric, errors: &Errors) -> Html {
    let figures = [
        ("mean", errors.mean),
        ("p50", errors.p50),
        ("p90", errors.p90),
        ("p95", errors.p95),
        ("p99", errors.p99),
    ];
    let row = |(name, figure): (&str, Figure)| {
        let values = [figure.real, figure.sim].map(|us| (us, duration_ms(us * MS_PER_US)));
        BarRow { name: name.to_owned(), values: values.into(), is_bad: false }
    };
    bars(&Bars {
        title: label(metric).to_owned(),
        note: format!("MAPE {} over {} requests", percent(errors.mape), count(errors.count)),
        legend: ["measured", "simulated"].map(str::to_owned).into(),
        rows: figures.map(row).into(),
        ..Bars::default()
    })
}

fn errors_table(calibration: &Calibration) -> Html {
    let row = |(metric, errors): (Metric, &Errors)| {
        let figure = |figure: Figure| Cell::number(figure.error(), signed(figure));
        Row::new(vec![
            Cell::text(label(metric)),
            figure(errors.mean),
            figure(errors.p50),
            figure(errors.p90),
            figure(errors.p95),
            figure(errors.p99),
            Cell::number(errors.mape, percent(errors.mape)),
            Cell::number(errors.pearson_r, format!("{:.3}", errors.pearson_r)),
            Cell::text(errors.quality.name()),
        ])
    };
    let columns = ["latency", "mean", "p50", "p90", "p95", "p99", "MAPE", "r", "verdict"];
    table(&Table {
        title: "Simulated less measured, as a share of the measured value".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: metrics(calibration).map(row).collect(),
    })
}

fn causes(calibration: &Calibration) -> Html {
    let breakdown = &calibration.breakdown;
    let rows = breakdown.ranked().map(|(cause, us)| {
        let name = match cause {
            Cause::Overhead => "overhead of each request",
            Cause::Prefill => "prefill",
            Cause::Decode => "decode",
            Cause::Waiting => "waiting",
        };
        BarRow::new(name, us.abs(), signed_ms(us))
    });
    let drawn = bars(&Bars {
        title: "Parts of the error".to_owned(),
        note: format!(
            "Of the mean end-to-end latency: measured {}, simulated {}.",
            duration_ms(breakdown.e2e_us.real * MS_PER_US),
            duration_ms(breakdown.e2e_us.sim * MS_PER_US)
        ),
        rows: rows.into(),
        ..Bars::default()
    });
    let advice = all_advice(calibration)
        .into_iter()
        .map(|(us, text)| Row::new(vec![Cell::number(us, signed_ms(us)), Cell::text(text)]));
    let advice = table(&Table {
        title: "What to change first".to_owned(),
        columns: ["per request", "what it points to"].map(str::to_owned).into(),
        rows: advice.collect(),
    });
    grid(&[drawn, advice])
}

fn groups(kind: &str, groups: &BTreeMap<String, GroupErrors>) -> Html {
    let row = |(name, group): (&String, &GroupErrors)| {
        let mape = |metric| {
            let known = group.mape.get(&metric);
            known.map_or_else(|| Cell::text("–"), |mape| Cell::number(*mape, percent(*mape)))
        };
        let head = [Cell::text(name.clone()), Cell::number(group.count as f64, count(group.count))];
        Row::new(head.into_iter().chain([Metric::Ttft, Metric::Itl, Metric::E2e].map(mape)).collect())
    };
    table(&Table {
        title: format!("MAPE by {kind}"),
        columns: [kind, "requests", "TTFT", "ITL", "E2E"].map(str::to_owned).into(),
        rows: groups.iter().map(row).collect(),
    })
}

fn goodput(comparison: &GoodputComparison) -> Html {
    let rows = comparison.classes.iter().map(|(name, class)| {
        let values = [&class.real, &class.sim].map(|side| {
            (side.attainment * 100.0, format!("{} · {}/s", percent(side.attainment), number(side.good_per_s)))
        });
        BarRow { name: name.clone(), values: values.into(), is_bad: false }
    });
    let skipped = "Requests without measured times between tokens count as not good.";
    bars(&Bars {
        title: "Goodput".to_owned(),
        note: if comparison.skipped_itl { skipped } else { "Share of the requests within all targets." }
            .to_owned(),
        legend: ["measured", "simulated"].map(str::to_owned).into(),
        rows: rows.collect(),
        most: Some(100.0),
        ..Bars::default()
    })
}

fn compared(calibration: &Calibration) -> Html {
    let buckets = &calibration.buckets;
    let all = [(buckets.matched, "compared")].into_iter().chain(left_out(buckets));
    let rows = all
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| Row::new(vec![Cell::text(what), Cell::number(n as f64, count(n))]));
    table(&Table {
        title: String::new(),
        columns: ["requests", "number"].map(str::to_owned).into(),
        rows: rows.collect(),
    })
}

/// The page of a comparison with another model of LoRA serving.
pub fn adapter_comparison_page(comparison: &AdapterComparison, origin: &Origin) -> String {
    let verdict = if comparison.is_within() { "within" } else { "beyond" };
    let allowed = percent(comparison.mape_threshold);
    let errors = comparison.metrics.iter().map(|metric| BarRow {
        is_bad: !metric.is_within,
        ..BarRow::new(metric.name, metric.mape * 100.0, percent(metric.mape))
    });
    let row = |metric: &blis_calibrate::adapters::AdapterMetric| {
        Row::new(vec![
            Cell::text(metric.name),
            Cell::number(metric.reference, number(metric.reference)),
            Cell::number(metric.sim, number(metric.sim)),
            Cell::number(metric.mape, percent(metric.mape)),
            metric.ratio_mape.map_or_else(|| Cell::text("–"), |mape| Cell::number(mape, percent(mape))),
        ])
    };
    let columns = ["figure", "reference", "ours", "error", "error of the ratio"];
    let figures = Table {
        title: "Figures".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: comparison.metrics.iter().map(row).collect(),
    };
    let drawn = Bars {
        title: "Errors".to_owned(),
        note: "As a share of the reference.".to_owned(),
        rows: errors.collect(),
        mark: Some((comparison.mape_threshold * 100.0, "allowed".to_owned())),
        ..Bars::default()
    };
    let mut sections = vec![Section::new("Errors", "", vec![bars(&drawn), table(&figures)])];
    sections.extend(origin.sections());
    page(&Page {
        command: "blis calibrate".to_owned(),
        title: format!("{}: LoRA serving against another model", comparison.model),
        answer: format!("The figures are {verdict} the {allowed} allowed."),
        key_figures: Vec::new(),
        sections,
    })
}
