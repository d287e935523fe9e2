//! A file of decisions, one JSON object per line, as `--decision-trace` writes it.

use crate::diagnostic::Diagnostic;
use blis_kernel::{InstanceId, RequestName, Tick};
use blis_metrics::decisions::{Candidate, Decided, Decision, Decisions};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::BufRead;

#[derive(Deserialize)]
#[serde(tag = "decision", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Admission {
        request: String,
        at_us: i64,
        admitted: bool,
        #[serde(default)]
        reason: String,
    },
    Queue {
        request: String,
        at_us: i64,
        reason: String,
    },
    Routing {
        request: String,
        at_us: i64,
        chosen: String,
        reason: String,
        regret: f64,
        scorers: Vec<Scorer>,
        candidates: Vec<Row>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scorer {
    name: String,
    weight: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    instance: String,
    score: f64,
    by_scorer: BTreeMap<String, f64>,
    queue_depth: u32,
    batch_size: u32,
    in_flight: u32,
    kv_utilization: f64,
    free_kv_blocks: u32,
}

/// The decisions about one request. Lines about others are passed over unread.
///
/// # Errors
/// The file cannot be read, or a line about the request is not as it should be.
pub fn read(file: impl BufRead, file_name: &str, request: &str) -> Result<Decisions, Vec<Diagnostic>> {
    let quoted = format!("\"{request}\"");
    let (mut decisions, mut problems) = (Decisions::default(), Vec::new());
    for (number, line) in (1..).zip(file.lines()) {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                problems.push(Diagnostic::new(format!("cannot be read: {error}")).in_file(file_name));
                break;
            }
        };
        if !line.contains(&quoted) {
            continue;
        }
        match parse(&line, &mut decisions.scorers) {
            Ok(decision) if decision.request.to_string() == request => decisions.list.push(decision),
            Ok(_) => {}
            Err((column, message)) => {
                let problem = Diagnostic::new(format!("is no decision: {message}")).in_file(file_name);
                problems.push(problem.at(number, column));
            }
        }
    }
    if problems.is_empty() { Ok(decisions) } else { Err(problems) }
}

/// One line; or the column of the problem and what it is.
fn parse(line: &str, all_scorers: &mut Vec<(String, f64)>) -> Result<Decision, (u32, String)> {
    let line: Line = serde_json::from_str(line).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        (error.column() as u32, message)
    })?;
    let decision = |request: &str, at_us, decided| Decision {
        request: RequestName::text(request),
        at: Tick::from_us(at_us),
        decided,
    };
    match line {
        Line::Admission { request, at_us, admitted, reason } => {
            Ok(decision(&request, at_us, Decided::Admission { admitted, reason }))
        }
        Line::Queue { request, at_us, reason } => Ok(decision(&request, at_us, Decided::Queue { reason })),
        Line::Routing { request, at_us, chosen, reason, regret, scorers, candidates } => {
            *all_scorers = scorers.into_iter().map(|scorer| (scorer.name, scorer.weight)).collect();
            let candidate = |row: &Row| {
                Ok(Candidate {
                    instance: instance(&row.instance)?,
                    score: row.score,
                    by_scorer: all_scorers
                        .iter()
                        .map(|(name, _)| row.by_scorer.get(name).copied().unwrap_or_default())
                        .collect(),
                    queue_depth: row.queue_depth,
                    batch_size: row.batch_size,
                    in_flight: row.in_flight,
                    kv_utilization: row.kv_utilization,
                    free_kv_blocks: row.free_kv_blocks,
                })
            };
            let candidates = candidates.iter().map(candidate).collect::<Result<_, (u32, String)>>()?;
            let chosen = instance(&chosen)?;
            Ok(decision(&request, at_us, Decided::Routing { chosen, reason, regret, candidates }))
        }
    }
}

fn instance(name: &str) -> Result<InstanceId, (u32, String)> {
    let number = name.strip_prefix("instance_").and_then(|number| number.parse().ok());
    number.map(InstanceId).ok_or_else(|| (1, format!("instance \"{name}\" is not instance_ and a number")))
}
