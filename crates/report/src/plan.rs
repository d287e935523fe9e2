//! The answer of `blis plan`: a sentence, a table of the choices, what was tried; or one JSON document.

use crate::json::{self, Object};
use crate::table::{finished, new_table};
use blis_search::{Answer, Probe, Replications, Slo};
use std::fmt::{Result, Write};

/// A configuration and what was found for it.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What it is called, such as `H100, TP 1`.
    pub name: String,
    /// GPUs of the answer.
    pub gpus: Option<u32>,
    /// What they cost per hour, if that is known.
    pub cost_per_hour: Option<f64>,
    /// How its instances are split, such as `3 prefill, 9 decode`; empty when they are not.
    pub split: String,
    /// What was found.
    pub answer: Answer,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Question {
    /// How many instances serve so many requests per second.
    Instances {
        /// Requests per second.
        rate: f64,
    },
    /// How many requests per second so many instances serve.
    Rate {
        /// Instances.
        instances: u32,
    },
}

impl Choice {
    pub(crate) fn instances(&self) -> Option<u32> {
        self.answer.best.as_ref().map(|best| best.trial.instances)
    }
}

/// The choices from the best to the worst: by cost where all have a price, else by GPUs, or by rate; those without an
/// answer come last.
pub fn ranked(mut choices: Vec<Choice>, question: Question) -> Vec<Choice> {
    let answered = || choices.iter().filter(|choice| choice.answer.best.is_some());
    let all_priced = answered().all(|choice| choice.cost_per_hour.is_some());
    let key = |choice: &Choice| match (&choice.answer.best, question) {
        (None, _) => f64::INFINITY,
        (Some(best), Question::Rate { .. }) => -best.trial.rate,
        (Some(_), Question::Instances { .. }) if all_priced => choice.cost_per_hour.unwrap_or(f64::INFINITY),
        (Some(_), Question::Instances { .. }) => f64::from(choice.gpus.unwrap_or(u32::MAX)),
    };
    choices.sort_by(|a, b| key(a).total_cmp(&key(b)).then_with(|| a.name.cmp(&b.name)));
    choices
}

/// For reading, ending in a newline. `choices` are [`ranked`].
pub fn plan_text(choices: &[Choice], slo: &Slo, question: Question) -> String {
    let mut out = String::new();
    write_text(&mut out, choices, slo, question).expect("a string takes everything");
    out
}

/// The answer in sentences, one per line.
pub(crate) fn write_sentences(out: &mut String, choices: &[Choice], slo: &Slo, question: Question) -> Result {
    let terms: Vec<_> = slo.terms.iter().map(|term| term.text.as_str()).collect();
    let terms = terms.join(", ");
    match choices.first().and_then(|choice| Some((choice, choice.answer.best.as_ref()?))) {
        Some((choice, best)) => write_answer(out, choice, best, slo, &terms)?,
        None => match question {
            Question::Instances { rate } => {
                writeln!(out, "Nothing that was tried serves {rate} requests/s with {terms}.")?;
            }
            Question::Rate { instances } => {
                writeln!(out, "{instances} instances meet {terms} at no rate that was tried.")?;
            }
        },
    }
    Ok(())
}

fn write_text(out: &mut String, choices: &[Choice], slo: &Slo, question: Question) -> Result {
    write_sentences(out, choices, slo, question)?;
    let mut header = vec!["choice", "instances", "GPUs", "requests/s"];
    let priced = choices.iter().any(|choice| choice.cost_per_hour.is_some());
    if priced {
        header.push("cost/h");
    }
    header.extend(["worst figures", "one step less misses"]);
    let mut table = new_table(&header);
    for choice in choices {
        table.add_row(row(choice, slo, priced));
    }
    writeln!(out, "\n{}", finished(table))?;
    let runs: usize = choices.iter().map(|choice| choice.answer.runs).sum();
    writeln!(out, "{runs} runs")
}

fn write_answer(out: &mut String, choice: &Choice, best: &Replications, slo: &Slo, terms: &str) -> Result {
    let (instances, rate) = (best.trial.instances, best.trial.rate);
    let gpus = choice.gpus.unwrap_or_default();
    let plural =
        |count: u32, word: &str| if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") };
    writeln!(
        out,
        "{} of {} ({}{}) serve {rate} requests/s with {terms}.",
        plural(instances, "instance"),
        choice.name,
        plural(gpus, "GPU"),
        if choice.split.is_empty() { String::new() } else { format!("; {}", choice.split) }
    )?;
    writeln!(
        out,
        "All of {} runs with fresh seeds met it, at worst with {}; with 95 % confidence at least {:.0} % of runs do.",
        best.runs.len(),
        figures(slo, &best.worst_ms()),
        best.least_share() * 100.0
    )?;
    let Some(below) = &choice.answer.below else { return Ok(()) };
    let what = if below.trial.instances < instances {
        plural(below.trial.instances, "instance")
    } else {
        format!("{} requests/s", below.trial.rate)
    };
    writeln!(out, "{what} would not do: {}.", missed(below, slo))
}

fn row(choice: &Choice, slo: &Slo, priced: bool) -> Vec<String> {
    let dash = || "-".to_owned();
    let best = choice.answer.best.as_ref();
    let mut row = vec![
        choice.name.clone(),
        choice.instances().map_or_else(dash, |instances| instances.to_string()),
        choice.gpus.map_or_else(dash, |gpus| gpus.to_string()),
        best.map_or_else(dash, |best| best.trial.rate.to_string()),
    ];
    if priced {
        row.push(choice.cost_per_hour.map_or_else(dash, |cost| format!("{cost:.2}")));
    }
    row.push(best.map_or_else(dash, |best| figures(slo, &best.worst_ms())));
    row.push(choice.answer.below.as_ref().map_or_else(dash, |below| missed(below, slo)));
    row
}

pub(crate) fn figures(slo: &Slo, values_ms: &[f64]) -> String {
    let told =
        slo.terms.iter().zip(values_ms).map(|(term, ms)| format!("{} {}", term.figure_name(), duration(*ms)));
    told.collect::<Vec<_>>().join(", ")
}

pub(crate) fn duration(ms: f64) -> String {
    match ms {
        ms if ms.is_infinite() => "nothing to measure".to_owned(),
        ms if ms < 1e3 => format!("{ms:.1} ms"),
        ms => format!("{:.2} s", ms / 1e3),
    }
}

/// What is missed, and how often.
pub(crate) fn missed(tried: &Replications, slo: &Slo) -> String {
    let worst = tried.worst_ms();
    let what = match tried.missed_first(slo).flatten() {
        Some(term) => format!("{} {}", slo.terms[term].figure_name(), duration(worst[term])),
        None => "requests without an answer".to_owned(),
    };
    match tried.missed {
        0 => format!("{what}, too near to the limit"),
        missed => format!("{what}, {missed} of {} runs", tried.runs.len()),
    }
}

/// As one JSON document, ending in a newline. Times are milliseconds.
pub fn plan_document(choices: &[Choice], slo: &Slo, question: Question) -> String {
    let document = json::object(|o| {
        let terms: Vec<_> = slo.terms.iter().map(|term| term.text.as_str()).collect();
        o.texts("slo", &terms);
        match question {
            Question::Instances { rate } => o.field("requests_per_s", rate),
            Question::Rate { instances } => o.field("instances", instances),
        }
        o.array("choices", choices, |o, choice| write_choice(o, choice, slo));
    });
    document + "\n"
}

fn write_choice(o: &mut Object<'_>, choice: &Choice, slo: &Slo) {
    o.field("name", &choice.name);
    o.text_unless_empty("split", &choice.split);
    if let Some(gpus) = choice.gpus {
        o.field("gpus", gpus);
    }
    if let Some(cost) = choice.cost_per_hour {
        o.field("cost_per_hour", cost);
    }
    for (key, tried) in [("best", &choice.answer.best), ("one_step_less", &choice.answer.below)] {
        if let Some(tried) = tried {
            o.object(key, |o| write_replications(o, tried, slo));
        }
    }
    o.array("probes", &choice.answer.probes, |o, probe| write_probe(o, probe, slo));
    o.field("runs", choice.answer.runs as u64);
}

fn write_replications(o: &mut Object<'_>, tried: &Replications, slo: &Slo) {
    o.field("instances", tried.trial.instances);
    o.field("requests_per_s", tried.trial.rate);
    o.field("requests", tried.trial.requests);
    o.field("first_seed", tried.trial.seed);
    o.field("runs", tried.runs.len() as u64);
    o.field("missed", tried.missed as u64);
    if tried.bound.is_finite() {
        o.field("bound", tried.bound);
    }
    o.object("worst_ms", |o| write_figures(o, slo, &tried.worst_ms()));
}

fn write_probe(o: &mut Object<'_>, probe: &Probe, slo: &Slo) {
    o.field("instances", probe.trial.instances);
    o.field("requests_per_s", probe.trial.rate);
    o.field("requests", probe.trial.requests);
    o.field("seed", probe.trial.seed);
    o.field("meets", probe.meets);
    o.field("unanswered", probe.measured.unanswered);
    o.object("figures_ms", |o| write_figures(o, slo, &probe.measured.figures_ms));
}

fn write_figures(o: &mut Object<'_>, slo: &Slo, values_ms: &[f64]) {
    for (term, ms) in slo.terms.iter().zip(values_ms).filter(|(_, ms)| ms.is_finite()) {
        o.field(term.figure_name(), *ms);
    }
}
