//! The page of a sweep: its front, how each setting acts, and every trial.

use super::origin::Origin;
use crate::html::axis::Scale;
use crate::html::markup::{Html, grid};
use crate::html::number::{count, counted, number};
use crate::html::page::{KeyFigure, Page, Section, page};
use crate::html::scatter::{Point, Scatter, scatter};
use crate::html::table::{Cell, Look, Row, Table, table};
use blis_search::figure::{self, Figure};
use blis_search::sweep::{Sweep, Trial};

/// Trials that the page lists; a browser is no place for more.
const ROWS: usize = 1_000;
/// Figures that are looked at when none is looked for.
const SHOWN: [&str; 2] = ["ttft_p99_ms", "output_tokens_per_s"];

/// The page of a sweep.
pub fn sweep_page(sweep: &Sweep, trials: &[Trial], origin: &Origin) -> String {
    let front = sweep.front(trials);
    let figures = figures(sweep);
    let failed: Vec<&Trial> = trials.iter().filter(|trial| trial.problem.is_some()).collect();
    let mut sections = Vec::new();
    if !origin.warnings.is_empty() {
        sections.push(Section::new("Warnings", "", vec![Html::warnings(&origin.warnings)]));
    }
    if let [x, y, ..] = figures[..] {
        let note = match sweep.goal.objectives.len() {
            0 | 1 => String::new(),
            _ => format!("Those on the line are beaten by no other: {}.", directions(sweep)),
        };
        let charts: Vec<Html> = figures[1..].iter().map(|y| chart(sweep, trials, &front, x, y)).collect();
        let title = format!("{} and {}", x.name, y.name);
        sections.push(Section::new(
            if front.len() > 1 { "Front" } else { &title },
            &note,
            vec![grid(&charts)],
        ));
    }
    let charts = settings_charts(sweep, trials, &front, figures[0]);
    if !charts.is_empty() {
        let note = format!("Every trial by one of its settings; {} up.", figures[0].name);
        sections.push(Section::new("What each setting does", &note, vec![grid(&charts)]));
    }
    sections.push(Section::new("Trials", "", vec![trial_table(sweep, trials, &front, &figures)]));
    if !failed.is_empty() {
        sections.push(Section::new("What could not be run", "", vec![failures(sweep, &failed)]));
    }
    sections.extend(origin.sections());
    page(&Page {
        command: "blis sweep".to_owned(),
        title: origin.setting("model").unwrap_or("Many configurations").to_owned(),
        answer: answer(sweep, trials, &front),
        key_figures: key_figures(sweep, trials, &front, failed.len()),
        sections,
    })
}

/// The figures that the page is about.
fn figures(sweep: &Sweep) -> Vec<&'static Figure> {
    let mut figures = sweep.goal.objectives.clone();
    let others = figure::all().filter(|figure| SHOWN.contains(&figure.name));
    let others: Vec<_> =
        others.filter(|other| figures.iter().all(|figure| figure.name != other.name)).collect();
    figures.extend(others.into_iter().take(2_usize.saturating_sub(figures.len())));
    figures
}

fn directions(sweep: &Sweep) -> String {
    let told =
        sweep.goal.objectives.iter().map(|figure| format!("{} {}", figure.direction.name(), figure.name));
    told.collect::<Vec<_>>().join(", ")
}

fn answer(sweep: &Sweep, trials: &[Trial], front: &[usize]) -> String {
    let tried = counted(trials.len() as u64, "configuration");
    let slo = sweep.goal.slo.as_ref().map(|slo| {
        let terms: Vec<_> = slo.terms.iter().map(|term| term.text.as_str()).collect();
        let met = trials.iter().filter(|trial| trial.problem.is_none() && trial.violation == 0.0).count();
        format!(" {} of them meet {}.", count(met as u64), terms.join(", "))
    });
    let best = match (sweep.goal.objectives.first(), front) {
        (None, _) => String::new(),
        (Some(_), []) => " None of them shows what is looked for.".to_owned(),
        (Some(figure), [best, ..]) if sweep.goal.objectives.len() == 1 => {
            let best = &trials[*best];
            let value = best.figure(figure).map(number).unwrap_or_default();
            format!(" The best {} is {value}, with {}.", figure.name, settings(sweep, best))
        }
        (Some(_), front) => format!(" {} of them are beaten by no other.", count(front.len() as u64)),
    };
    format!(
        "{tried} {} tried.{}{best}",
        if trials.len() == 1 { "was" } else { "were" },
        slo.unwrap_or_default()
    )
}

fn key_figures(sweep: &Sweep, trials: &[Trial], front: &[usize], failed: usize) -> Vec<KeyFigure> {
    let size = sweep.space.countable(u64::MAX);
    let of = size.map(|size| format!("of {}", count(size))).unwrap_or_default();
    let mut figures = vec![
        KeyFigure::new("Trials", count(trials.len() as u64), of),
        KeyFigure::new(
            "Method",
            sweep.method.name().to_owned(),
            counted(sweep.replications.into(), "run") + " each",
        ),
    ];
    for figure in &sweep.goal.objectives {
        let values = front.iter().filter_map(|&n| trials[n].figure(figure));
        let best =
            values.map(|value| (figure.direction.cost(value), value)).min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, best)) = best {
            figures.push(KeyFigure::new(
                &format!("Best {}", figure.name),
                number(best),
                figure.meaning.to_owned(),
            ));
        }
    }
    if failed > 0 {
        let name = "Could not be run".to_owned();
        figures.push(KeyFigure {
            name,
            value: count(failed as u64),
            note: String::new(),
            verdict: Some(false),
        });
    }
    figures
}

fn scale(trials: &[Trial], figure: &Figure) -> Scale {
    spread(trials.iter().filter_map(|trial| trial.figure(figure)))
}

/// Values of which some are many times others are spread by factors.
fn spread(values: impl Iterator<Item = f64>) -> Scale {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(&least), Some(&middle), Some(&most))
            if least > 0.0
                && (most > 20.0 * middle || (most > 8.0 * least && middle * middle < most * least * 4.0)) =>
        {
            Scale::Log
        }
        _ => Scale::Linear,
    }
}

fn chart(sweep: &Sweep, trials: &[Trial], front: &[usize], x: &Figure, y: &Figure) -> Html {
    let point = |(n, trial): (usize, &Trial)| {
        Some(Point {
            x: trial.figure(x)?,
            y: trial.figure(y)?,
            name: format!("Trial {}", trial.number),
            details: details(sweep, trial),
            on_front: front.contains(&n),
        })
    };
    scatter(&Scatter {
        title: format!("{} by {}", y.name, x.name),
        note: String::new(),
        axes: (axis(x), axis(y)),
        scales: (scale(trials, x), scale(trials, y)),
        points: trials.iter().enumerate().filter_map(point).collect(),
        is_joined: sweep.goal.objectives.len() == 2,
    })
}

fn axis(figure: &Figure) -> String {
    format!("{} ({} is better)", figure.name, if figure.direction.name() == "max" { "more" } else { "less" })
}

fn details(sweep: &Sweep, trial: &Trial) -> Vec<(String, String)> {
    let settings = sweep.space.settings(&trial.point);
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The figure by each setting that is a number.
fn settings_charts(sweep: &Sweep, trials: &[Trial], front: &[usize], figure: &Figure) -> Vec<Html> {
    let dimensions = sweep.space.dimensions.iter().enumerate();
    let ordered = dimensions.filter(|(_, dimension)| dimension.is_ordered && dimension.levels.len() > 1);
    let drawn = ordered.map(|(place, dimension)| {
        let value =
            |trial: &Trial| dimension.levels[trial.point[place] as usize][0].parse().unwrap_or(f64::NAN);
        let points = trials.iter().enumerate().filter_map(|(n, trial)| {
            Some(Point {
                x: value(trial),
                y: trial.figure(figure)?,
                name: format!("Trial {}", trial.number),
                details: details(sweep, trial),
                on_front: front.contains(&n),
            })
        });
        scatter(&Scatter {
            title: dimension.names.join(" + "),
            note: String::new(),
            axes: (dimension.names[0].clone(), axis(figure)),
            scales: (
                spread(dimension.levels.iter().filter_map(|level| level[0].parse().ok())),
                scale(trials, figure),
            ),
            points: points.collect(),
            is_joined: false,
        })
    });
    drawn.collect()
}

fn settings(sweep: &Sweep, trial: &Trial) -> String {
    let told = sweep.space.settings(&trial.point).into_iter().map(|(name, value)| format!("{name} {value}"));
    told.collect::<Vec<_>>().join(", ")
}

/// Those on the front first.
fn trial_table(sweep: &Sweep, trials: &[Trial], front: &[usize], figures: &[&Figure]) -> Html {
    let terms =
        sweep.goal.slo.iter().flat_map(|slo| &slo.terms).map(|term| format!("{}, ms", term.figure_name()));
    let mut columns = vec!["trial".to_owned()];
    columns.extend(sweep.space.names().map(str::to_owned));
    columns.extend(figures.iter().map(|figure| figure.name.to_owned()));
    columns.extend(terms);
    let others = (0..trials.len()).filter(|n| !front.contains(n) && trials[*n].problem.is_none());
    let order: Vec<usize> = front.iter().copied().chain(others).collect();
    let real = |value: Option<f64>| {
        value.map_or_else(|| Cell::text("–"), |value| Cell::number(value, number(value)))
    };
    let row = |&n: &usize| {
        let trial = &trials[n];
        let mut cells = vec![Cell::number(trial.number as f64, trial.number.to_string())];
        cells.extend(sweep.space.settings(&trial.point).into_iter().map(|(_, value)| {
            match value.parse::<f64>() {
                Ok(number) => Cell::number(number, value),
                Err(_) => Cell::text(value),
            }
        }));
        cells.extend(figures.iter().map(|figure| real(trial.figure(figure))));
        cells.extend(trial.slo_ms.iter().map(|ms| real(*ms)));
        let look = match (front.contains(&n), trial.violation == 0.0) {
            (true, _) => Look::Strong,
            (false, true) => Look::Plain,
            (false, false) => Look::Dim,
        };
        Row { cells, look }
    };
    let title = match order.len().saturating_sub(ROWS) {
        0 => "Those on the front come first".to_owned(),
        more => format!("Those on the front come first; {} more are not listed", count(more as u64)),
    };
    table(&Table { title, columns, rows: order.iter().take(ROWS).map(row).collect() })
}

fn failures(sweep: &Sweep, failed: &[&Trial]) -> Html {
    const SHOWN: usize = 50;
    let row = |trial: &&Trial| {
        let problem = trial.problem.clone().unwrap_or_default();
        let number = Cell::number(trial.number as f64, trial.number.to_string());
        Row::new(vec![number, Cell::text(settings(sweep, trial)), Cell::text(problem)])
    };
    table(&Table {
        title: counted(failed.len() as u64, "trial"),
        columns: ["trial", "settings", "why"].map(str::to_owned).into(),
        rows: failed.iter().take(SHOWN).map(row).collect(),
    })
}
