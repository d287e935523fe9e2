//! Bands on a page.

use crate::html::markup::Html;
use crate::html::number::{duration_ms, number, percent};
use crate::html::page::Section;
use crate::html::table::{Cell, Row, Table, table};
use crate::intervals::{LATENCIES, OTHERS, STATISTICS, levels};
use blis_intervals::{Band, Intervals};

/// A section of a page.
pub(super) fn section(intervals: &Intervals) -> Section {
    let levels = levels();
    let of_latencies = LATENCIES.iter().flat_map(|(latency, title)| {
        STATISTICS.map(|statistic| (format!("{latency}_{statistic}_ms"), format!("{title}, {statistic}")))
    });
    let others = OTHERS.map(|(name, title)| (name.to_owned(), title.to_owned()));
    let rows = of_latencies.chain(others).filter_map(|(name, title)| {
        let (_, value, Band { low, high }) = intervals.figures.iter().find(|(known, ..)| **known == name)?;
        let shown = |value: f64| match name.as_str() {
            "slo_attainment" => percent(value),
            latency if latency.ends_with("_ms") => duration_ms(value),
            _ => number(value),
        };
        let cells = [*value, *low, *high].map(|value| Cell::number(value, shown(value)));
        Some(Row::new(std::iter::once(Cell::text(title)).chain(cells).collect()))
    });
    let figures = Table {
        title: "Bands".to_owned(),
        columns: ["figure", "simulated", "5th percentile", "95th percentile"].map(str::to_owned).into(),
        rows: rows.collect(),
    };
    let rows = intervals.nearest.iter().map(|near| {
        Row::new(vec![
            Cell::text(&near.model),
            Cell::text(format!("{} {}", near.gpus, near.gpu)),
            Cell::text(&near.set),
            Cell::number(near.distance, number(near.distance)),
            Cell::number(near.step_factor, number(near.step_factor)),
        ])
    });
    let nearest = Table {
        title: "Nearest measured configurations".to_owned(),
        columns: ["model", "GPUs", "measurements", "distance", "steps, measured over simulated"]
            .map(str::to_owned)
            .into(),
        rows: rows.collect(),
    };
    let note = format!(
        "What a real server would show lies within {levels} in nine of ten cases, as far as the errors of {} further runs \
         and of measured servers tell.",
        intervals.draws
    );
    let warnings: Vec<String> = intervals.warning.iter().cloned().collect();
    let mut blocks = if warnings.is_empty() { Vec::new() } else { vec![Html::warnings(&warnings)] };
    blocks.extend([table(&figures), table(&nearest)]);
    Section::new("How sure it is", &note, blocks)
}

/// What a key figure says of its band.
pub(super) fn note(intervals: Option<&Intervals>, name: &str) -> Option<String> {
    let Band { low, high } = intervals?.band(name)?;
    let shown = if name.ends_with("_ms") { duration_ms } else { number };
    Some(format!("likely {} to {}", shown(low), shown(high)))
}
