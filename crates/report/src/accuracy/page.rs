//! A page of documentation with the errors, and its plots.

use super::plot::{Dot, scatter};
use super::{COVERAGE, cells, coverage_cells, not_simulated, percent};
use blis_accuracy::{ALL, Assessed, Dimension, ErrorRow, Metric, coverage_rows, error_rows};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Result, Write};

/// A page and the files that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Markdown.
    pub text: String,
    /// Names, which the text has with `folder` before them, and contents.
    pub plots: Vec<(String, String)>,
}

/// The page. `settings`: what the runs were made with, one line each; `folder`: where the plots will lie, as the page sees it.
pub fn accuracy_page(
    assessed: &[Assessed],
    left_out: &[(String, String)],
    settings: &[String],
    folder: &str,
) -> Page {
    let plots: Vec<(String, String)> =
        Metric::ALL.into_iter().filter_map(|metric| plot_of(metric, assessed)).collect();
    let mut text = String::new();
    write_page(&mut text, assessed, left_out, settings, folder, &plots).expect("a string takes everything");
    Page { text, plots }
}

/// Most dots of a plot.
const MOST_DOTS: usize = 500;

fn plot_of(metric: Metric, assessed: &[Assessed]) -> Option<(String, String)> {
    let mut dots = Vec::new();
    for point in assessed {
        let samples = point.result.iter().flatten();
        dots.extend(samples.filter(|s| s.metric == metric && s.part == ALL).map(|sample| Dot {
            group: &point.set,
            measured: sample.measured,
            predicted: sample.predicted,
        }));
    }
    // Single steps are many: one in so many is enough to see.
    let every = dots.len().div_ceil(MOST_DOTS).max(1);
    let dots: Vec<_> = dots.into_iter().step_by(every).collect();
    let unit = if metric == Metric::KvBlocks { "blocks" } else { "ms" };
    let name = format!("{}.svg", metric.name().trim_end_matches("_ms").replace('_', "-"));
    Some((name, scatter(metric.title(), unit, &dots)?))
}

fn write_page(
    out: &mut String,
    assessed: &[Assessed],
    left_out: &[(String, String)],
    settings: &[String],
    folder: &str,
    plots: &[(String, String)],
) -> Result {
    writeln!(out, "# Accuracy\n")?;
    writeln!(
        out,
        "Simulated runs against measured ones, by `blis accuracy`. Errors are shares of what was measured, in percent: the\n\
         median, mean and 90th percentile of their sizes, and their mean with sign (bias).\n"
    )?;
    for line in settings {
        writeln!(out, "- {line}")?;
    }
    let rows = error_rows(assessed);
    writeln!(out, "\n## Sets\n\n| set | runs | simulated | servers |\n|---|---|---|---|")?;
    let mut sets: BTreeMap<&str, Vec<&Assessed>> = BTreeMap::new();
    for point in assessed {
        sets.entry(&point.set).or_default().push(point);
    }
    for (set, points) in sets {
        let simulated = points.iter().filter(|point| point.result.is_ok()).count();
        // A server and its version; the day is left to the data.
        let server = |point: &&Assessed| point.provenance.split(',').next().unwrap_or_default().to_owned();
        let servers: BTreeSet<String> = points.iter().map(server).collect();
        let servers = servers.into_iter().collect::<Vec<_>>().join(", ");
        writeln!(out, "| {set} | {} | {simulated} | {servers} |", points.len())?;
    }
    for by in Dimension::ALL {
        let of_dimension: Vec<&ErrorRow> = rows.iter().filter(|row| row.by == by).collect();
        if of_dimension.is_empty() {
            continue;
        }
        let (title, key, line) = match by {
            Dimension::Overall => ("All".to_owned(), "", "|---|"),
            _ => (format!("By {}", by.name()), by.name(), "|---|---|"),
        };
        let key = if key.is_empty() { String::new() } else { format!(" {key} |") };
        writeln!(out, "\n## {title}\n\n| set |{key} figure | n | median % | mean % | p90 % | bias % |")?;
        writeln!(out, "{line}---|--:|--:|--:|--:|--:|")?;
        for row in of_dimension {
            let key = if by == Dimension::Overall { String::new() } else { format!(" {} |", row.key) };
            writeln!(out, "| {} |{key} {} |", row.set, cells(row).join(" | "))?;
        }
    }
    let coverage = coverage_rows(assessed);
    if !coverage.is_empty() {
        writeln!(
            out,
            "\n## Within their bands\n\nMeasured figures within their 5–95 % bands, which know no measurement of the same \
             model; 90 % should be.\n\n| {} |\n|---|---|--:|--:|--:|--:|",
            COVERAGE.join(" | ")
        )?;
    }
    for row in &coverage {
        writeln!(out, "| {} |", coverage_cells(row).join(" | "))?;
    }
    if !plots.is_empty() {
        writeln!(out, "\n## Plots\n\nDashed: a fifth more, a fifth less.\n")?;
    }
    for (name, _) in plots {
        writeln!(out, "![{}]({folder}/{name})", name.trim_end_matches(".svg"))?;
    }
    let missing = not_simulated(assessed);
    if !missing.is_empty() || !left_out.is_empty() {
        let all = assessed.len().max(1) as f64;
        let count = missing.values().map(Vec::len).sum::<usize>();
        writeln!(out, "\n## Not simulated\n\n{count} runs, {} % of all.\n", percent(count as f64 / all))?;
    }
    for ((set, reason), ids) in missing {
        writeln!(out, "- {set}: {} runs ({reason})", ids.len())?;
    }
    for (file, reason) in left_out {
        writeln!(out, "- {file} ({reason})")?;
    }
    Ok(())
}
