//! What `blis sweep` found: a sentence, the best configurations, what could not be run; or one JSON document.

use crate::json::{self, Object};
use crate::table::{finished, new_table};
use blis_search::figure::{self, Figure};
use blis_search::sweep::{Sweep, Trial};
use std::fmt::{Result, Write};

/// Columns of characters of a table.
const WIDTH: u16 = 160;
/// Rows of a table for reading.
const ROWS: usize = 30;
/// Figures that are shown when none is looked for.
const SHOWN: [&str; 4] = ["requests_per_s", "output_tokens_per_s", "ttft_p99_ms", "itl_p99_ms"];

/// For reading, ending in a newline.
pub fn sweep_text(sweep: &Sweep, trials: &[Trial]) -> String {
    let mut out = String::new();
    write_text(&mut out, sweep, trials).expect("a string takes everything");
    out
}

fn write_text(out: &mut String, sweep: &Sweep, trials: &[Trial]) -> Result {
    let failed: Vec<&Trial> = trials.iter().filter(|trial| trial.problem.is_some()).collect();
    let slo = sweep.goal.slo.as_ref();
    let terms = slo.map(|slo| slo.terms.iter().map(|term| term.text.as_str()).collect::<Vec<_>>().join(", "));
    let met = trials.iter().filter(|trial| trial.problem.is_none() && trial.violation == 0.0).count();
    let size = sweep.space.countable(u64::MAX);
    let of = size.map_or_else(String::new, |size| format!(" of {size} configurations"));
    write!(out, "{} trials{of} ({})", trials.len(), sweep.method.name())?;
    if let Some(terms) = &terms {
        write!(out, ", {met} of them with {terms}")?;
    }
    writeln!(out, ".")?;

    let front = sweep.front(trials);
    let objectives = &sweep.goal.objectives;
    let told: Vec<_> =
        objectives.iter().map(|figure| format!("{} ({})", figure.name, figure.direction.name())).collect();
    let mut alike = 0;
    let shown: Vec<usize> = match (objectives.len(), front.is_empty()) {
        (0, _) => (0..trials.len()).filter(|&n| trials[n].problem.is_none()).collect(),
        (_, true) => {
            writeln!(
                out,
                "None of them shows {}{}.",
                told.join(" and "),
                if slo.is_some() { " within it" } else { "" }
            )?;
            Vec::new()
        }
        (1, false) => {
            let best = &trials[front[0]];
            writeln!(out, "The best {} has trial {}: {}.", told[0], best.number, settings(sweep, best))?;
            ranked(sweep, trials)
        }
        (_, false) => {
            writeln!(out, "{} of them are beaten by no other in {}:", front.len(), told.join(" and "))?;
            alike = front.len();
            let front = distinct(sweep, trials, &front);
            alike -= front.len();
            front
        }
    };
    if !shown.is_empty() {
        write_table(out, sweep, trials, &shown)?;
    }
    let unanswered = |&n: &usize| {
        let figure = figure::all().find(|figure| figure.name == "unanswered");
        figure.and_then(|figure| trials[n].figure(figure)).is_some_and(|count| count > 0.0)
    };
    let losing = shown.iter().filter(|n| unanswered(n)).count();
    if losing > 0 && slo.is_none() {
        writeln!(
            out,
            "{losing} of these left requests without an answer; their latencies are those of the others (--slo keeps them off)"
        )?;
    }
    if alike > 0 {
        writeln!(out, "and {alike} with the same figures as one of these")?;
    }
    for failed in failed.iter().take(1) {
        let problem = failed.problem.as_deref().unwrap_or_default();
        writeln!(
            out,
            "\n{} trials could not be run; trial {} ({}):",
            all_failed(trials),
            failed.number,
            settings(sweep, failed)
        )?;
        writeln!(out, "  {problem}")?;
    }
    Ok(())
}

/// The first of those with the same objectives.
fn distinct(sweep: &Sweep, trials: &[Trial], front: &[usize]) -> Vec<usize> {
    let costs = |n: usize| trials[n].score(&sweep.goal).costs;
    let mut kept: Vec<usize> = Vec::new();
    for &n in front {
        if kept.last().is_none_or(|&last| costs(last) != costs(n)) {
            kept.push(n);
        }
    }
    kept
}

fn all_failed(trials: &[Trial]) -> usize {
    trials.iter().filter(|trial| trial.problem.is_some()).count()
}

/// Trials by the one objective, those that meet the SLO first.
fn ranked(sweep: &Sweep, trials: &[Trial]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..trials.len()).filter(|&n| trials[n].problem.is_none()).collect();
    let key = |n: usize| {
        let score = trials[n].score(&sweep.goal);
        (score.violation, score.costs[0])
    };
    order.sort_by(|&a, &b| {
        let ((a_missed, a_cost), (b_missed, b_cost)) = (key(a), key(b));
        a_missed.total_cmp(&b_missed).then(a_cost.total_cmp(&b_cost)).then(a.cmp(&b))
    });
    order
}

fn write_table(out: &mut String, sweep: &Sweep, trials: &[Trial], shown: &[usize]) -> Result {
    let objectives = &sweep.goal.objectives;
    let figures: Vec<&Figure> = if objectives.is_empty() {
        figure::all().filter(|figure| SHOWN.contains(&figure.name)).collect()
    } else {
        objectives.clone()
    };
    let terms =
        sweep.goal.slo.iter().flat_map(|slo| &slo.terms).map(|term| format!("{} (ms)", term.figure_name()));
    let mut header = vec!["trial".to_owned()];
    header.extend(sweep.space.names().map(str::to_owned));
    header.extend(figures.iter().map(|figure| figure.name.to_owned()));
    header.extend(terms);
    let mut table = new_table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let dash = || "-".to_owned();
    for trial in shown.iter().take(ROWS).map(|&n| &trials[n]) {
        let mut row = vec![trial.number.to_string()];
        row.extend(sweep.space.settings(&trial.point).into_iter().map(|(_, value)| value.to_owned()));
        row.extend(figures.iter().map(|figure| trial.figure(figure).map_or_else(dash, short)));
        row.extend(trial.slo_ms.iter().map(|ms| ms.map_or_else(dash, short)));
        table.add_row(row);
    }
    // Settings and figures have long names; broken ones cannot be read.
    table.set_width(WIDTH);
    writeln!(out, "\n{}", finished(table))?;
    match shown.len().saturating_sub(ROWS) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more; --format json has them all"),
    }
}

/// A number with four significant digits, or all of them before the point.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e3 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        size if size >= 1.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

fn settings(sweep: &Sweep, trial: &Trial) -> String {
    let settings = sweep.space.settings(&trial.point);
    settings.into_iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// As one JSON document, ending in a newline: what was asked, every trial, and the numbers of those on the front.
pub fn sweep_document(sweep: &Sweep, trials: &[Trial]) -> String {
    let front: Vec<u64> = sweep.front(trials).into_iter().map(|n| trials[n].number).collect();
    let document = json::object(|o| {
        o.field("method", sweep.method.name());
        o.field("trials", trials.len() as u64);
        o.field("seed", sweep.seed);
        o.field("replications", sweep.replications);
        o.array("objectives", &sweep.goal.objectives, |o, figure| {
            o.field("figure", figure.name);
            o.field("direction", figure.direction.name());
        });
        if let Some(slo) = &sweep.goal.slo {
            o.texts("slo", &slo.terms.iter().map(|term| term.text.as_str()).collect::<Vec<_>>());
        }
        o.array("results", trials, |o, trial| write_trial(o, sweep, trial, front.contains(&trial.number)));
    });
    document + "\n"
}

fn write_trial(o: &mut Object<'_>, sweep: &Sweep, trial: &Trial, on_front: bool) {
    o.field("trial", trial.number);
    o.object("settings", |o| {
        for (name, value) in sweep.space.settings(&trial.point) {
            o.field(name, value);
        }
    });
    if let Some(problem) = &trial.problem {
        o.field("problem", problem);
        return;
    }
    if !sweep.goal.objectives.is_empty() {
        o.field("on_front", on_front);
    }
    if let Some(slo) = &sweep.goal.slo {
        o.field("meets_slo", trial.violation == 0.0);
        o.object("slo_figures_ms", |o| {
            for (term, ms) in slo.terms.iter().zip(&trial.slo_ms) {
                if let Some(ms) = ms {
                    o.field(term.figure_name(), *ms);
                }
            }
        });
    }
    o.object("figures", |o| {
        for figure in figure::all() {
            if let Some(value) = trial.figure(figure) {
                o.field(figure.name, value);
            }
        }
    });
}
