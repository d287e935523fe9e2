//! The page of `blis plan`: the answer, how near to the limits it is, and what was tried.

use super::origin::Origin;
use crate::html::bars::{BarRow, Bars, bars};
use crate::html::markup::{Html, grid};
use crate::html::number::{count, duration_ms, number, percent};
use crate::html::page::{KeyFigure, Page, Section, page};
use crate::html::table::{Cell, Look, Row, Table, table};
use crate::plan::{Choice, Question, figures, missed, write_sentences};
use blis_search::{Measured, Probe, Replications, Slo};

/// What was found, and how it came about.
#[derive(Clone, Copy, Debug)]
pub struct PlanReport<'a> {
    /// The choices, [ranked](crate::ranked).
    pub choices: &'a [Choice],
    /// What had to be met.
    pub slo: &'a Slo,
    /// What was asked.
    pub question: Question,
    /// How it came about, with the settings of the first choice.
    pub origin: &'a Origin,
}

/// Choices that are drawn.
const DRAWN: usize = 24;

/// The page of a plan.
pub fn plan_page(report: &PlanReport<'_>) -> String {
    let PlanReport { choices, slo, question, origin } = *report;
    let terms: Vec<_> = slo.terms.iter().map(|term| term.text.as_str()).collect();
    let terms = terms.join(", ");
    let model = origin.setting("model").unwrap_or("the model");
    let title = match question {
        Question::Instances { rate } => {
            format!("How many instances of {model} serve {} requests/s with {terms}?", count(rate as u64))
        }
        Question::Rate { instances } => {
            format!("What rate do {instances} instances of {model} bear with {terms}?")
        }
    };
    let mut answer = String::new();
    write_sentences(&mut answer, choices, slo, question).expect("a string takes everything");
    let best = choices.first().and_then(|choice| Some((choice, choice.answer.best.as_ref()?)));
    let mut sections = Vec::new();
    if !origin.warnings.is_empty() {
        sections.push(Section::new("Warnings", "", vec![Html::warnings(&origin.warnings)]));
    }
    if let Some((choice, best)) = best {
        let note = "One figure per objective, the worst of all runs, as a share of its limit.";
        let margins = margins(slo, best, choice.answer.below.as_ref());
        sections.push(Section::new("How near to the limits", note, vec![grid(&[margins, seeds(slo, best)])]));
    }
    sections.push(Section::new(
        "The choices",
        "The best comes first.",
        vec![drawn(choices, question), listed(choices, slo)],
    ));
    let note = "Runs of the search, before the answer was put to the test with fresh seeds.";
    sections.push(Section::new("What was tried", note, vec![tried(choices, slo)]));
    sections.extend(origin.sections());
    page(&Page {
        command: "blis plan".to_owned(),
        title,
        answer: answer.trim_end().replace('\n', " "),
        key_figures: best.map(|(choice, best)| key_figures(choice, best, slo)).unwrap_or_default(),
        sections,
    })
}

fn key_figures(choice: &Choice, best: &Replications, slo: &Slo) -> Vec<KeyFigure> {
    let instances = u64::from(best.trial.instances);
    let gpus = u64::from(choice.gpus.unwrap_or_default());
    let parts = [choice.name.as_str(), choice.split.as_str()];
    let kind = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let mut figures = vec![
        KeyFigure::new("Instances", count(instances), kind),
        KeyFigure::new("GPUs", count(gpus), String::new()),
        KeyFigure::new("Requests per second", number(best.trial.rate), String::new()),
    ];
    if let Some(cost) = choice.cost_per_hour {
        figures.push(KeyFigure::new("Cost per hour", number(cost), String::new()));
    }
    for (term, worst) in slo.terms.iter().zip(best.worst_ms()) {
        let share = worst / term.limit_ms;
        let note = format!("{} of {}", percent(share), duration_ms(term.limit_ms));
        let name = format!("{} at worst", term.figure_name());
        figures.push(KeyFigure { name, value: duration_ms(worst), note, verdict: Some(share <= 1.0) });
    }
    let runs = format!("{} runs met it, 95 % confidence", best.runs.len());
    figures.push(KeyFigure::new("Seeds that meet it", format!("≥ {}", percent(best.least_share())), runs));
    figures
}

/// What the limit is called beside bars that are shares of it.
fn limit() -> (f64, String) {
    (100.0, "the limit".to_owned())
}

fn margins(slo: &Slo, best: &Replications, below: Option<&Replications>) -> Html {
    let sides: Vec<_> = std::iter::once(best).chain(below).map(Replications::worst_ms).collect();
    let rows = slo.terms.iter().enumerate().map(|(index, term)| {
        let values = sides.iter().map(|worst| {
            let ms = worst.get(index).copied().unwrap_or(f64::INFINITY);
            let shown = if ms.is_finite() { duration_ms(ms) } else { "not answered".to_owned() };
            (ms / term.limit_ms * 100.0, shown)
        });
        BarRow { name: term.text.replace('<', " < "), values: values.collect(), is_bad: false }
    });
    let legend = ["the answer", "one step less"].into_iter().take(sides.len());
    let rows: Vec<_> = rows.collect();
    let seen = rows.iter().flat_map(|row| &row.values).map(|(value, _)| *value).filter(|v| v.is_finite());
    let most = seen.fold(115.0, f64::max).min(300.0);
    bars(&Bars {
        title: "Margins".to_owned(),
        note: "Bars that reach three times the limit are cut off there.".to_owned(),
        legend: legend.map(str::to_owned).collect(),
        rows,
        mark: Some(limit()),
        most: Some(most),
    })
}

fn seeds(slo: &Slo, best: &Replications) -> Html {
    let row = |(seed, run): (i64, &Measured)| {
        let (share, term) = run.worst(slo);
        let shown = match term {
            Some(term) => duration_ms(run.figures_ms[term]),
            None => "not answered".to_owned(),
        };
        BarRow { is_bad: share > 1.0, ..BarRow::new(&format!("seed {seed}"), share * 100.0, shown) }
    };
    bars(&Bars {
        title: "Each run with a fresh seed".to_owned(),
        note: format!(
            "The objective that is nearest to its limit. About one run in a hundred exceeds {} of the limit.",
            percent(best.bound)
        ),
        rows: (best.trial.seed..).zip(&best.runs).map(row).collect(),
        mark: Some(limit()),
        ..Bars::default()
    })
}

fn drawn(choices: &[Choice], question: Question) -> Html {
    if choices.len() < 2 {
        return Html::default();
    }
    let mut answered = choices.iter().filter(|choice| choice.answer.best.is_some());
    let priced = answered.all(|choice| choice.cost_per_hour.is_some());
    let (title, value): (&str, fn(&Choice) -> Option<f64>) = match question {
        Question::Rate { .. } => {
            ("Requests per second", |choice| Some(choice.answer.best.as_ref()?.trial.rate))
        }
        Question::Instances { .. } if priced => ("Cost per hour", |choice| choice.cost_per_hour),
        Question::Instances { .. } => ("GPUs", |choice| choice.gpus.map(f64::from)),
    };
    let row = |choice: &Choice| match value(choice) {
        Some(value) => BarRow::new(&choice.name, value, number(value)),
        None => BarRow { is_bad: true, ..BarRow::new(&choice.name, f64::NAN, "does not meet it".to_owned()) },
    };
    let note = if choices.len() > DRAWN {
        format!("The first {DRAWN} of {}.", choices.len())
    } else {
        String::new()
    };
    bars(&Bars {
        title: title.to_owned(),
        note,
        rows: choices.iter().take(DRAWN).map(row).collect(),
        ..Bars::default()
    })
}

fn listed(choices: &[Choice], slo: &Slo) -> Html {
    let priced = choices.iter().any(|choice| choice.cost_per_hour.is_some());
    let optional = |value: Option<f64>| value.map_or_else(|| Cell::text("–"), |v| Cell::number(v, number(v)));
    let whole = |value: Option<u32>| {
        value.map_or_else(|| Cell::text("–"), |v| Cell::number(f64::from(v), count(u64::from(v))))
    };
    let row = |(place, choice): (usize, &Choice)| {
        let best = choice.answer.best.as_ref();
        let mut cells = vec![
            Cell::text(choice.name.clone()),
            whole(choice.instances()),
            whole(choice.gpus),
            optional(best.map(|best| best.trial.rate)),
        ];
        if priced {
            cells.push(optional(choice.cost_per_hour));
        }
        cells.push(Cell::text(best.map_or("–".to_owned(), |best| figures(slo, &best.worst_ms()))));
        cells.push(Cell::text(
            choice.answer.below.as_ref().map_or("–".to_owned(), |below| missed(below, slo)),
        ));
        let look = match best {
            None => Look::Dim,
            Some(_) if place == 0 => Look::Strong,
            Some(_) => Look::Plain,
        };
        Row { cells, look }
    };
    let mut columns = vec!["choice", "instances", "GPUs", "requests/s"];
    if priced {
        columns.push("cost/h");
    }
    columns.extend(["worst figures", "one step less misses"]);
    table(&Table {
        title: "Each choice".to_owned(),
        columns: columns.into_iter().map(str::to_owned).collect(),
        rows: choices.iter().enumerate().map(row).collect(),
    })
}

fn tried(choices: &[Choice], slo: &Slo) -> Html {
    let row = |choice: &Choice, probe: &Probe| {
        let trial = &probe.trial;
        let mut cells = vec![
            Cell::text(choice.name.clone()),
            Cell::number(f64::from(trial.instances), count(u64::from(trial.instances))),
            Cell::number(trial.rate, number(trial.rate)),
            Cell::number(trial.requests as f64, count(trial.requests)),
            Cell::number(trial.seed as f64, trial.seed.to_string()),
        ];
        cells.extend(probe.measured.figures_ms.iter().map(|&ms| Cell::number(ms, duration_ms(ms))));
        cells.push(Cell::number(probe.measured.unanswered as f64, count(probe.measured.unanswered)));
        cells.push(Cell::text(if probe.meets { "meets it" } else { "misses it" }));
        Row { cells, look: if probe.meets { Look::Plain } else { Look::Dim } }
    };
    let rows = choices.iter().flat_map(|choice| choice.answer.probes.iter().map(|probe| row(choice, probe)));
    let head = ["choice", "instances", "requests/s", "requests", "seed"].map(str::to_owned);
    let terms = slo.terms.iter().map(|term| term.figure_name().to_owned());
    let runs: usize = choices.iter().map(|choice| choice.answer.runs).sum();
    table(&Table {
        title: format!("Each step, of {} runs in all", count(runs as u64)),
        columns: head
            .into_iter()
            .chain(terms)
            .chain(["not answered", "verdict"].map(str::to_owned))
            .collect(),
        rows: rows.collect(),
    })
}
