//! Results of AIPerf, `profile_export.jsonl`: one JSON object per request, in the order in which they ended.

use crate::json::{self, NumberOrElse, SumOf};
use crate::lines::Lines;
use crate::problem::{Failure, Problem, Problems};
use crate::sink::{Facts, Sink};
use blis_workload::trace::OwnRow;
use serde::Deserialize;
use serde_json::Value;
use std::io::BufRead;

#[derive(Deserialize)]
struct Record {
    metadata: Metadata,
    #[serde(default)]
    metrics: Metrics,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Metadata {
    request_start_ns: i64,
    #[serde(default)]
    turn_index: u32,
    x_request_id: Option<String>,
    x_correlation_id: Option<String>,
    benchmark_phase: Option<String>,
    #[serde(default)]
    was_cancelled: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics {
    input_sequence_length: Option<Metric<NumberOrElse>>,
    usage_prompt_tokens: Option<Metric<NumberOrElse>>,
    output_sequence_length: Option<Metric<NumberOrElse>>,
    usage_completion_tokens: Option<Metric<NumberOrElse>>,
    time_to_first_token: Option<Metric<NumberOrElse>>,
    request_latency: Option<Metric<NumberOrElse>>,
    inter_chunk_latency: Option<Metric<SumOf>>,
}

#[derive(Deserialize)]
struct Metric<T> {
    value: T,
    unit: Option<String>,
}

impl Metric<NumberOrElse> {
    fn tokens(&self) -> Option<u32> {
        self.value.number().and_then(json::tokens)
    }

    /// A duration, µs; without a unit it counts milliseconds.
    fn span_us(&self) -> Option<i64> {
        let us = match self.unit.as_deref() {
            Some("ns") => 1e-3,
            Some("us") => 1.0,
            Some("s" | "sec") => 1e6,
            Some("ms") | None => 1e3,
            Some(_) => return None,
        };
        json::scaled_us(self.value.number()?, us).filter(|&span| span >= 0)
    }
}

impl Record {
    fn input_tokens(&self) -> Option<u32> {
        let Metrics { input_sequence_length, usage_prompt_tokens, .. } = &self.metrics;
        [input_sequence_length, usage_prompt_tokens].into_iter().flatten().find_map(Metric::tokens)
    }

    fn output_tokens(&self) -> u32 {
        let Metrics { output_sequence_length, usage_completion_tokens, .. } = &self.metrics;
        let counts = [output_sequence_length, usage_completion_tokens];
        counts.into_iter().flatten().find_map(Metric::tokens).unwrap_or(0)
    }

    fn arrival_us(&self) -> i64 {
        self.metadata.request_start_ns.div_euclid(1000)
    }

    fn is_warm_up(&self) -> bool {
        self.metadata.benchmark_phase.as_deref() == Some("warmup")
    }
}

/// Hands on the requests. Turns of a conversation become rounds of a session.
///
/// # Errors
/// Everything that is wrong with the file, or what `sink` says.
pub fn aiperf(input: impl BufRead, sink: &mut dyn Sink) -> Result<Facts, Failure> {
    let mut lines = Lines::new(input);
    let (mut records, mut problems, mut left_out) = (Vec::new(), Problems::default(), 0);
    while let Some((number, text)) = lines.next()? {
        match serde_json::from_slice::<Record>(text) {
            Ok(record) => match record.input_tokens() {
                Some(input_tokens) => records.push((record, input_tokens, number)),
                None => left_out += 1,
            },
            Err(error) => problems.push(json::problem(&error, Some(number))),
        }
    }
    if records.is_empty() && problems.is_empty() {
        let message = "no request; expected one JSON object per line, as in profile_export.jsonl";
        problems.push(Problem::of_file(message));
    }
    problems.check()?;
    let converses = records.iter().any(|(record, ..)| record.metadata.turn_index > 0);
    let measured = records.iter().filter(|(record, ..)| !record.is_warm_up());
    let measured_from = measured.map(|(record, ..)| record.arrival_us()).min().unwrap_or(i64::MAX);
    let warms_up = |record: &Record| record.is_warm_up() && record.arrival_us() < measured_from;
    let warm_up_requests = records.iter().filter(|(record, ..)| warms_up(record)).count() as u64;
    for (record, input_tokens, line) in &records {
        let Record { metadata, metrics, error } = record;
        let arrival_us = record.arrival_us();
        let message = error.as_ref().filter(|error| !error.is_null()).map(|error| {
            let message = error.get("message").and_then(Value::as_str).or(error.as_str());
            message.map_or_else(|| error.to_string(), str::to_owned)
        });
        let status = match &message {
            None if !metadata.was_cancelled => "ok",
            _ => "error",
        };
        let after = |span: &Option<Metric<NumberOrElse>>| {
            span.as_ref().and_then(Metric::span_us).map_or(0, |span| arrival_us.saturating_add(span))
        };
        let first_chunk_us = after(&metrics.time_to_first_token);
        let gaps = metrics.inter_chunk_latency.as_ref().map_or(0, |gaps| gaps.value.count);
        sink.row(
            OwnRow {
                client: "aiperf",
                session: metadata.x_correlation_id.as_deref().filter(|_| converses).unwrap_or_default(),
                round: if converses { metadata.turn_index } else { 0 },
                streaming: first_chunk_us > 0,
                input_tokens: *input_tokens,
                output_tokens: record.output_tokens(),
                arrival_us,
                first_chunk_us,
                last_chunk_us: after(&metrics.request_latency),
                chunks: if first_chunk_us > 0 { gaps.saturating_add(1) } else { 0 },
                status,
                error_message: message.as_deref().unwrap_or_default(),
                x_request_id: metadata.x_request_id.as_deref().unwrap_or_default(),
                ..OwnRow::default()
            },
            *line,
        )?;
    }
    Ok(Facts { warm_up_requests, left_out, ..Facts::default() })
}
