//! Results of GuideLLM, `benchmarks.json`: of 0.8 with `info.timings`, and of 0.3 with the times beside the lengths.

use crate::json;
use crate::problem::Failure;
use crate::sink::{Facts, Sink};
use crate::vllm_bench::choose;
use blis_workload::trace::OwnRow;
use serde::Deserialize;
use std::io::Read;

#[derive(Deserialize)]
struct Report {
    benchmarks: Vec<Benchmark>,
}

#[derive(Deserialize)]
struct Benchmark {
    requests: Requests,
}

#[derive(Deserialize)]
struct Requests {
    #[serde(default)]
    successful: Vec<Request>,
    #[serde(default)]
    incomplete: Vec<Request>,
    #[serde(default)]
    errored: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    request_id: Option<String>,
    info: Option<Info>,
    input_metrics: Option<Usage>,
    output_metrics: Option<Usage>,
    // 0.3
    start_time: Option<f64>,
    first_token_time: Option<f64>,
    last_token_time: Option<f64>,
    prompt_tokens: Option<f64>,
    output_tokens: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    error: Option<String>,
    timings: Timings,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Timings {
    request_start: Option<f64>,
    first_token_iteration: Option<f64>,
    last_token_iteration: Option<f64>,
    token_iterations: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    text_tokens: Option<f64>,
    image_tokens: Option<f64>,
    audio_tokens: Option<f64>,
    video_tokens: Option<f64>,
}

impl Usage {
    /// Tokens of text, images, audio and video; `None` when nothing was counted.
    fn parts(&self) -> Option<[u32; 4]> {
        let parts = [self.text_tokens, self.image_tokens, self.audio_tokens, self.video_tokens];
        let count = |part: Option<f64>| part.and_then(json::tokens).unwrap_or(0);
        parts.iter().any(Option::is_some).then(|| parts.map(count))
    }
}

fn sum(parts: [u32; 4]) -> u32 {
    parts.iter().fold(0, |sum: u32, &part| sum.saturating_add(part))
}

/// Hands on the requests of one benchmark; `benchmark` says which, from 1, when the file holds several.
///
/// # Errors
/// What is wrong with the file or the choice, or what `sink` says.
pub fn guidellm(input: impl Read, benchmark: Option<u64>, sink: &mut dyn Sink) -> Result<Facts, Failure> {
    let report: Report = serde_json::from_reader(input).map_err(|error| json::failure(error, None))?;
    let Requests { successful, incomplete, errored } = choose(report.benchmarks, benchmark, "run")?.requests;
    let mut left_out = 0;
    for (status, requests) in [("ok", successful), ("incomplete", incomplete), ("error", errored)] {
        for request in &requests {
            match row(request, status) {
                Some(row) => sink.row(row, 0)?,
                None => left_out += 1,
            }
        }
    }
    Ok(Facts { left_out, ..Facts::default() })
}

/// `None` when it was never sent or its prompt was not counted.
fn row<'a>(request: &'a Request, status: &'a str) -> Option<OwnRow<'a>> {
    let timings = request.info.as_ref().map(|info| &info.timings);
    let time = |new: fn(&Timings) -> Option<f64>, old: Option<f64>| {
        timings.and_then(new).or(old).and_then(json::seconds_us)
    };
    let arrival_us = time(|timings| timings.request_start, request.start_time)?;
    let parts = request.input_metrics.as_ref().and_then(Usage::parts);
    let input_tokens = parts.map(sum).or_else(|| request.prompt_tokens.and_then(json::tokens))?;
    let output = request.output_metrics.as_ref().and_then(Usage::parts).map(sum);
    let output_tokens = output.or_else(|| request.output_tokens.and_then(json::tokens)).unwrap_or(0);
    // Prompts of text alone say nothing of modalities.
    let [text_tokens, image_tokens, audio_tokens, video_tokens] =
        parts.filter(|parts| parts[1..] != [0; 3]).unwrap_or_default();
    Some(OwnRow {
        client: "guidellm",
        streaming: true,
        input_tokens,
        output_tokens,
        text_tokens,
        image_tokens,
        audio_tokens,
        video_tokens,
        arrival_us,
        first_chunk_us: time(|timings| timings.first_token_iteration, request.first_token_time).unwrap_or(0),
        last_chunk_us: time(|timings| timings.last_token_iteration, request.last_token_time).unwrap_or(0),
        chunks: timings.and_then(|timings| timings.token_iterations).and_then(json::tokens).unwrap_or(0),
        status,
        error_message: request.info.as_ref().and_then(|info| info.error.as_deref()).unwrap_or_default(),
        x_request_id: request.request_id.as_deref().unwrap_or_default(),
        ..OwnRow::default()
    })
}
