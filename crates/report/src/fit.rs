//! What a fit found: for people and for programs.

use blis_fit::{Achieved, Fitted, HeldOut};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Rows of cells, two blanks apart; the first column flushed left.
fn table(rows: &[Vec<String>]) -> String {
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(n, (cell, &width))| {
            if n == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
            .expect("a string takes everything");
    }
    out
}

fn head(titles: &[&str]) -> Vec<String> {
    titles.iter().map(|title| (*title).to_owned()).collect()
}

/// Four digits that matter.
fn number(value: f64) -> String {
    if value == 0.0 || value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

fn errors(title: &str, rows: &[&Achieved]) -> String {
    let mut cells = vec![head(&[title, "figure", "n", "before %", "after %", "cross-validated %"])];
    for row in rows {
        cells.push(vec![
            row.model.clone(),
            row.figure.clone(),
            row.count.to_string(),
            percent(row.before),
            percent(row.in_sample),
            row.cross_validated.map_or_else(|| "-".to_owned(), percent),
        ]);
    }
    table(&cells)
}

/// The coefficients before and after, the errors, and what is to be known about both.
pub fn fit_text(fitted: &Fitted) -> String {
    let mut out = String::new();
    let mut say = |text: &str| out.push_str(text);
    let model = fitted.set.latency_model.map_or("the host alone", |model| model.name());
    say(&format!("Coefficients of {model}, {} steps\n\n", fitted.steps));
    let mut rows = vec![head(&["coefficient", "before", "after", "sd", ""])];
    for own in &fitted.parameters {
        let bound = if own.is_at_bound { "at its bound" } else { "" };
        rows.push(vec![
            own.name.clone(),
            number(own.before),
            number(own.after),
            number(own.sd),
            bound.to_owned(),
        ]);
    }
    say(&table(&rows));
    if !fitted.without_influence.is_empty() {
        say(&format!(
            "\nWithout influence on any figure, left alone: {}\n",
            fitted.without_influence.join(", ")
        ));
    }
    for (a, b, correlation) in &fitted.correlated {
        say(&format!("\nHard to tell apart: {a} and {b} (correlation {correlation:.2})\n"));
    }
    say("\nMedian errors, as shares of what was measured\n");
    let all: Vec<&Achieved> = fitted.set.errors.iter().filter(|row| row.model == "all").collect();
    let others: Vec<&Achieved> = fitted.set.errors.iter().filter(|row| row.model != "all").collect();
    if !all.is_empty() {
        say(&errors("model", &[all, others].concat()));
    }
    let groups: BTreeSet<&str> = fitted.held_out.iter().map(|row| row.group.as_str()).collect();
    let are_models = groups.iter().all(|group| fitted.set.errors.iter().any(|row| row.model == *group));
    if !are_models {
        say("\nBy what was left out\n");
        let mut rows = vec![head(&["group", "figure", "n", "fitted with it %", "without it %"])];
        for HeldOut { group, figure, count, in_sample, cross_validated } in &fitted.held_out {
            rows.push(vec![
                group.clone(),
                (*figure).to_owned(),
                count.to_string(),
                percent(*in_sample),
                percent(*cross_validated),
            ]);
        }
        say(&table(&rows));
    }
    if !fitted.left_out.is_empty() {
        say(&format!("\nNot used ({})\n", fitted.left_out.len()));
        for (name, reason) in &fitted.left_out {
            say(&format!("  {name}: {reason}\n"));
        }
    }
    out
}

/// The same as one document, with the file of coefficients in it.
pub fn fit_document(fitted: &Fitted) -> String {
    let set: Value = serde_json::from_str(&fitted.set.to_json()).expect("our own document");
    let parameters: Vec<Value> = fitted
        .parameters
        .iter()
        .map(|own| {
            json!({
                "name": own.name, "before": own.before, "after": own.after, "sd": own.sd, "at_bound": own.is_at_bound,
            })
        })
        .collect();
    let correlated: Vec<Value> = fitted
        .correlated
        .iter()
        .map(|(a, b, correlation)| json!({"a": a, "b": b, "correlation": correlation}))
        .collect();
    let held_out: Vec<Value> = fitted
        .held_out
        .iter()
        .map(|row| {
            json!({
                "group": row.group, "figure": row.figure, "count": row.count, "in_sample": row.in_sample,
                "cross_validated": row.cross_validated,
            })
        })
        .collect();
    let left_out: Vec<Value> =
        fitted.left_out.iter().map(|(name, reason)| json!({"point": name, "reason": reason})).collect();
    let document = json!({
        "steps": fitted.steps,
        "parameters": parameters,
        "without_influence": fitted.without_influence,
        "correlated": correlated,
        "held_out": held_out,
        "not_used": left_out,
        "coefficients": set,
    });
    let mut text = serde_json::to_string_pretty(&document).expect("names and numbers");
    text.push('\n');
    text
}
