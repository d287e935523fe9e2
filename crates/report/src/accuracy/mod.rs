//! How far simulated runs are from measured ones: for people, for programs, and as a page with plots.

mod page;
mod plot;

pub use page::{Page, accuracy_page};

use crate::json;
use blis_accuracy::{
    ALL, Assessed, Coverage, Dimension, ErrorRow, Errors, Metric, Sample, coverage_rows, error_rows,
};
use blis_intervals::Band;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A figure of a point: single steps are put together.
struct Figure<'a> {
    part: &'a str,
    metric: Metric,
    count: usize,
    /// Mean, where there are several.
    measured: f64,
    /// Mean, where there are several.
    predicted: f64,
    /// Of that, as a share.
    error: f64,
    /// Median size of the errors.
    median_error: f64,
    /// Where it is to be expected, of a single figure.
    band: Option<Band>,
}

fn figures(samples: &[Sample]) -> Vec<Figure<'_>> {
    let mut groups: BTreeMap<(&str, Metric), Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        groups.entry((&sample.part, sample.metric)).or_default().push(sample);
    }
    let figure = |((part, metric), samples): ((_, _), Vec<&Sample>)| {
        let errors = Errors::of(samples.iter().copied())?;
        let mean = |of: fn(&Sample) -> f64| samples.iter().map(|s| of(s)).sum::<f64>() / samples.len() as f64;
        let (measured, predicted) = (mean(|s| s.measured), mean(|s| s.predicted));
        let error = predicted / measured - 1.0;
        Some(Figure {
            part,
            metric,
            count: samples.len(),
            measured,
            predicted,
            error,
            median_error: errors.median,
            band: samples.first().filter(|_| samples.len() == 1).and_then(|sample| sample.band),
        })
    };
    groups.into_iter().filter_map(figure).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

fn cells(row: &ErrorRow) -> [String; 6] {
    let Errors { count, median, mean, p90, bias } = row.errors;
    [
        row.metric.title().to_owned(),
        count.to_string(),
        percent(median),
        percent(mean),
        percent(p90),
        format!("{:+.1}", bias * 100.0),
    ]
}

/// What the tables of coverage have in a row.
const COVERAGE: [&str; 6] = ["set", "figure", "n", "within", "within %", "median ± %"];

fn coverage_cells(row: &Coverage) -> [String; 6] {
    let Coverage { set, metric, count, within, half_width } = row;
    [
        if set.is_empty() { "all".to_owned() } else { set.clone() },
        metric.map_or("all", Metric::title).to_owned(),
        count.to_string(),
        within.to_string(),
        percent(*within as f64 / (*count).max(1) as f64),
        percent(*half_width),
    ]
}

/// Points without figures, by set and reason.
fn not_simulated(assessed: &[Assessed]) -> BTreeMap<(&str, &str), Vec<&str>> {
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for point in assessed {
        if let Err(reason) = &point.result {
            reasons.entry((&point.set, reason)).or_default().push(&point.id);
        }
    }
    reasons
}

/// Columns, two blanks apart: so many of them flushed left, the others right.
fn columns(rows: &[Vec<String>], texts: usize) -> String {
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(n, (cell, &width))| {
            if n < texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
            .expect("a string takes everything");
    }
    out
}

/// Tables of errors, and what could not be simulated. `left_out`: files that were not read, with the reason.
pub fn accuracy_text(assessed: &[Assessed], left_out: &[(String, String)]) -> String {
    const NUMBERS: [&str; 6] = ["figure", "n", "median %", "mean %", "p90 %", "bias %"];
    let rows = error_rows(assessed);
    let mut out = String::from("Errors of simulated runs, as shares of what was measured\n");
    for by in Dimension::ALL {
        let of = |row: &&ErrorRow| row.by == by;
        if !rows.iter().any(|row| of(&row)) {
            continue;
        }
        let mut head = vec!["set"];
        if by != Dimension::Overall {
            head.push(by.name());
        }
        head.extend(NUMBERS);
        let mut table = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for row in rows.iter().filter(of) {
            let mut line = vec![row.set.clone()];
            if by != Dimension::Overall {
                line.push(row.key.clone());
            }
            line.extend(cells(row));
            table.push(line);
        }
        let title = if by == Dimension::Overall { "Overall".to_owned() } else { format!("By {}", by.name()) };
        let texts = if by == Dimension::Overall { 2 } else { 3 };
        write!(out, "\n{title}\n{}", columns(&table, texts)).expect("a string takes everything");
    }
    let coverage = coverage_rows(assessed);
    if !coverage.is_empty() {
        let head = [COVERAGE.map(str::to_owned).to_vec()].into_iter();
        let table: Vec<_> = head.chain(coverage.iter().map(|row| coverage_cells(row).to_vec())).collect();
        write!(out, "\nMeasured figures within their 5–95 % bands\n{}", columns(&table, 2))
            .expect("a string takes everything");
    }
    let missing = not_simulated(assessed);
    if !missing.is_empty() || !left_out.is_empty() {
        out += "\nNot simulated\n";
    }
    for ((set, reason), ids) in missing {
        writeln!(out, "  {set}: {} ({reason})", ids.join(", ")).expect("a string takes everything");
    }
    for (file, reason) in left_out {
        writeln!(out, "  {file} ({reason})").expect("a string takes everything");
    }
    out
}

/// One document with every point and all errors.
pub fn accuracy_document(assessed: &[Assessed], left_out: &[(String, String)]) -> String {
    let mut text = json::object(|o| {
        o.array("points", assessed, |o, point| {
            o.field("set", &point.set);
            o.field("id", &point.id);
            o.field("model", &point.model);
            o.field("gpu", &point.gpu);
            o.field("workload", &point.workload);
            o.text_unless_empty("provenance", &point.provenance);
            match &point.result {
                Err(reason) => o.field("not_simulated", reason),
                Ok(samples) => o.array("figures", figures(samples), |o, figure| {
                    o.field("part", figure.part);
                    o.field("metric", figure.metric.name());
                    o.field("count", figure.count as u64);
                    o.field("measured", figure.measured);
                    o.field("predicted", figure.predicted);
                    o.field("error", figure.error);
                    o.field("median_absolute_error", figure.median_error);
                    if let Some(Band { low, high }) = figure.band {
                        o.field("low", low);
                        o.field("high", high);
                    }
                }),
            }
        });
        o.array("errors", error_rows(assessed), |o, row| {
            o.field("set", &row.set);
            o.field("by", row.by.name());
            o.text_unless_empty("key", &row.key);
            o.field("metric", row.metric.name());
            o.field("count", row.errors.count as u64);
            o.field("median_absolute_error", row.errors.median);
            o.field("mean_absolute_error", row.errors.mean);
            o.field("p90_absolute_error", row.errors.p90);
            o.field("bias", row.errors.bias);
        });
        let coverage = coverage_rows(assessed);
        if !coverage.is_empty() {
            o.array("coverage", coverage, |o, row| {
                o.text_unless_empty("set", &row.set);
                o.text_unless_empty("metric", row.metric.map_or("", Metric::name));
                o.field("count", row.count as u64);
                o.field("within", row.within as u64);
                o.field("median_half_width", row.half_width);
            });
        }
        o.array("files_left_out", left_out, |o, (file, reason)| {
            o.field("file", file);
            o.field("reason", reason);
        });
    });
    text.push('\n');
    text
}

/// A text as a cell of a table of comma-separated values.
fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// One row per figure of each point, and one per point that could not be simulated.
pub fn accuracy_csv(assessed: &[Assessed]) -> String {
    let mut out = String::from(
        "set,id,model,gpu,workload,part,metric,count,measured,predicted,error,median_absolute_error,low,high,not_simulated\n",
    );
    for point in assessed {
        let who = [&point.set, &point.id, &point.model, &point.gpu, &point.workload].map(|text| cell(text));
        let who = who.join(",");
        let mut line = |rest: String| writeln!(out, "{who},{rest}").expect("a string takes everything");
        match &point.result {
            Err(reason) => line(format!("{ALL},,0,,,,,,,{}", cell(reason))),
            Ok(samples) => figures(samples).iter().for_each(|figure| {
                let Figure { part, metric, count, measured, predicted, error, median_error, band } = figure;
                let band = band.map_or(",".to_owned(), |Band { low, high }| format!("{low},{high}"));
                line(format!(
                    "{part},{},{count},{measured},{predicted},{error},{median_error},{band},",
                    metric.name()
                ));
            }),
        }
    }
    out
}
