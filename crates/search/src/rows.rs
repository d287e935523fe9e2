//! Trials of a sweep as rows of a table, and back.

use crate::figure;
use crate::space::{Point, Space};
use crate::sweep::{Sweep, Trial};
use blis_store::{Column, Experiment, Kind, Role, Row, Value};
use serde_json::{Value as Json, json};

/// Name of the column that says by how much the SLO is missed.
pub const SLO_EXCESS: &str = "slo_excess";
/// Name of the column that says why a trial could not be run.
pub const PROBLEM: &str = "problem";

/// What is asked, as it is kept beside the results: `base` is everything that is the same in all trials.
pub fn experiment(sweep: &Sweep, name: &str, base: &Json) -> Experiment {
    let set: Vec<Json> = sweep
        .space
        .dimensions
        .iter()
        .map(|dimension| json!({"settings": dimension.names, "values": dimension.levels}))
        .collect();
    let objectives: Vec<Json> = sweep
        .goal
        .objectives
        .iter()
        .map(|figure| json!({"figure": figure.name, "direction": figure.direction.name()}))
        .collect();
    let slo: Vec<&str> =
        sweep.goal.slo.iter().flat_map(|slo| &slo.terms).map(|term| term.text.as_str()).collect();
    let definition = json!({
        "base": base,
        "set": set,
        "objectives": objectives,
        "slo": slo,
        "method": sweep.method.name(),
        "seed": sweep.seed,
        "replications": sweep.replications,
    });
    Experiment {
        name: name.to_owned(),
        command: "sweep".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        trials: Some(sweep.trials),
        columns: columns(sweep),
        definition,
    }
}

/// A name that needs no quotes in SQL.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

fn columns(sweep: &Sweep) -> Vec<Column> {
    let kinds = setting_kinds(&sweep.space);
    let settings =
        sweep.space.names().zip(kinds).map(|(name, kind)| Column::new(plain(name), kind, Role::Setting));
    let mut columns: Vec<Column> = settings.collect();
    columns.extend(figure::all().map(|figure| Column::new(figure.name, Kind::Real, Role::Figure)));
    if let Some(slo) = &sweep.goal.slo {
        let name = |n: usize| format!("slo_{}_{}_ms", n + 1, plain(slo.terms[n].figure_name()));
        columns.extend((0..slo.terms.len()).map(|n| Column::new(name(n), Kind::Real, Role::Figure)));
        columns.push(Column::new(SLO_EXCESS, Kind::Real, Role::Figure));
    }
    columns.push(Column::new(PROBLEM, Kind::Text, Role::Note));
    columns
}

/// What the values of each setting are.
fn setting_kinds(space: &Space) -> Vec<Kind> {
    let of = |values: Vec<&String>| {
        let all = |is: fn(&str) -> bool| values.iter().all(|value| is(value));
        if all(|value| value.parse::<i64>().is_ok()) {
            Kind::Integer
        } else if all(|value| value.parse::<f64>().is_ok_and(f64::is_finite)) {
            Kind::Real
        } else if all(|value| value.parse::<bool>().is_ok()) {
            Kind::Flag
        } else {
            Kind::Text
        }
    };
    let settings =
        space.dimensions.iter().flat_map(|dimension| (0..dimension.names.len()).map(move |n| (dimension, n)));
    settings.map(|(dimension, n)| of(dimension.levels.iter().map(|level| &level[n]).collect())).collect()
}

fn value(text: &str, kind: Kind) -> Value {
    let parsed = match kind {
        Kind::Integer => text.parse().ok().map(Value::Integer),
        Kind::Real => text.parse().ok().map(Value::Real),
        Kind::Flag => text.parse().ok().map(Value::Flag),
        Kind::Text => None,
    };
    parsed.unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// The row of a trial.
pub fn row(sweep: &Sweep, trial: &Trial) -> Row {
    let real = |value: Option<f64>| value.filter(|value| value.is_finite()).map_or(Value::Empty, Value::Real);
    let kinds = setting_kinds(&sweep.space);
    let settings = sweep.space.settings(&trial.point);
    let mut values: Vec<Value> =
        settings.into_iter().zip(kinds).map(|((_, text), kind)| value(text, kind)).collect();
    values.extend(trial.figures.iter().copied().map(real));
    if sweep.goal.slo.is_some() {
        values.extend(trial.slo_ms.iter().copied().map(real));
        values.push(real(Some(trial.violation)));
    }
    values.push(trial.problem.clone().map_or(Value::Empty, Value::Text));
    Row { trial: trial.number, values }
}

/// The trial of a row; `None` when it is no row of this sweep.
pub fn trial(sweep: &Sweep, row: &Row) -> Option<Trial> {
    let mut values = row.values.iter();
    let kinds = setting_kinds(&sweep.space);
    let mut kinds = kinds.into_iter();
    let mut point = Point::new();
    for dimension in &sweep.space.dimensions {
        let kept: Vec<_> =
            dimension.names.iter().map(|_| values.next().zip(kinds.next())).collect::<Option<_>>()?;
        let is_it = |level: &&Vec<String>| {
            level.iter().zip(&kept).all(|(text, (kept, kind))| value(text, *kind) == **kept)
        };
        let level = dimension.levels.iter().position(|level| is_it(&level))?;
        point.push(level as u32);
    }
    let real = |value: &Value| match value {
        Value::Real(value) => Some(*value),
        _ => None,
    };
    let figures = figure::all().map(|_| values.next().map(real)).collect::<Option<Vec<_>>>()?;
    let problem = match row.values.last()? {
        Value::Text(problem) => Some(problem.clone()),
        _ => None,
    };
    let (slo_ms, excess) = match &sweep.goal.slo {
        None => (Vec::new(), Some(0.0)),
        Some(slo) => {
            let slo_ms = slo.terms.iter().map(|_| values.next().map(real)).collect::<Option<Vec<_>>>()?;
            (slo_ms, values.next().and_then(real))
        }
    };
    let violation = excess.filter(|_| problem.is_none()).unwrap_or(f64::INFINITY);
    Some(Trial { number: row.trial, point, figures, slo_ms, violation, problem })
}
