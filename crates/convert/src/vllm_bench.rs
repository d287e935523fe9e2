//! Results of `vllm bench serve --save-result --save-detailed`: lists with one entry per request, in order of sending.

use crate::json::{self, SumOf};
use crate::problem::{Failure, Problem, Problems};
use crate::sink::{Facts, Sink};
use blis_workload::trace::OwnRow;
use serde::Deserialize;
use serde_json::Deserializer;
use std::io::Read;

#[derive(Deserialize)]
struct Run {
    model_id: Option<String>,
    input_lens: Option<Vec<u32>>,
    output_lens: Option<Vec<u32>>,
    ttfts: Option<Vec<f64>>,
    itls: Option<Vec<SumOf>>,
    start_times: Option<Vec<f64>>,
    #[serde(default)]
    errors: Vec<String>,
}

/// Hands on the requests of one run; a file to which results were appended holds several, and `run` says which, from 1.
/// Releases before 0.15.1 did not save when requests were sent: `rate_per_s` spaces them evenly then.
///
/// # Errors
/// What is wrong with the file or the choice, or what `sink` says.
pub fn vllm_bench(
    input: impl Read,
    run: Option<u64>,
    rate_per_s: Option<f64>,
    sink: &mut dyn Sink,
) -> Result<Facts, Failure> {
    let mut runs = Vec::new();
    for document in Deserializer::from_reader(input).into_iter::<Run>() {
        runs.push(document.map_err(|error| json::failure(error, None))?);
    }
    let run = choose(runs, run, "run")?;
    let mut problems = Problems::default();
    let mut missing = |name: &str, help: &str| {
        problems.push(Problem::of_file(format!("no {name}; {help}")));
    };
    const DETAILED: &str = "save the results with --save-detailed";
    if run.input_lens.is_none() {
        missing("input_lens", DETAILED);
    }
    if run.output_lens.is_none() {
        missing("output_lens", DETAILED);
    }
    let (inputs, outputs) = (run.input_lens.unwrap_or_default(), run.output_lens.unwrap_or_default());
    let is_spaced = run.start_times.is_none();
    let starts = run.start_times.or_else(|| {
        let gap_s = 1.0 / rate_per_s?;
        Some((0..inputs.len()).map(|i| i as f64 * gap_s).collect())
    });
    if starts.is_none() {
        missing("start_times", "this release did not save when requests were sent; give --rate");
    }
    let starts = starts.unwrap_or_default();
    problems.check()?;
    let mut problems = Problems::default();
    let n = inputs.len();
    let lengths = [
        ("output_lens", outputs.len()),
        ("start_times", starts.len()),
        ("ttfts", run.ttfts.as_ref().map_or(n, Vec::len)),
        ("itls", run.itls.as_ref().map_or(n, Vec::len)),
        ("errors", if run.errors.is_empty() { n } else { run.errors.len() }),
    ];
    for (name, found) in lengths.into_iter().filter(|&(_, found)| found != n) {
        let message = format!("{name} has {found} entries, but input_lens has {n}");
        problems.push(Problem::of_file(message));
    }
    problems.check()?;
    let mut left_out = 0;
    for i in 0..n {
        let error = run.errors.get(i).map_or("", String::as_str);
        // Requests that failed before they were sent have no time.
        let start_us = json::seconds_us(starts[i]).filter(|&at| at > 0 || error.is_empty() || is_spaced);
        let Some(start_us) = start_us else {
            left_out += 1;
            continue;
        };
        let after = |seconds: f64| json::seconds_us(starts[i] + seconds).unwrap_or(0);
        let ttft = run.ttfts.as_ref().map(|ttfts| ttfts[i]).filter(|&ttft| ttft > 0.0);
        let itls = run.itls.as_ref().map(|itls| itls[i]).unwrap_or_default();
        sink.row(
            OwnRow {
                client: "vllm-bench",
                streaming: true,
                input_tokens: inputs[i],
                output_tokens: outputs[i],
                arrival_us: start_us,
                first_chunk_us: ttft.map_or(0, after),
                last_chunk_us: ttft.map_or(0, |ttft| after(ttft + itls.sum)),
                chunks: ttft.map_or(0, |_| itls.count.saturating_add(1)),
                status: if error.is_empty() { "ok" } else { "error" },
                error_message: error,
                ..OwnRow::default()
            },
            0,
        )?;
    }
    Ok(Facts { model: run.model_id, left_out, ..Facts::default() })
}

/// The one that is meant, from 1; without a choice there must be only one.
pub(crate) fn choose<T>(mut all: Vec<T>, choice: Option<u64>, what: &str) -> Result<T, Failure> {
    let place = match (choice, all.len()) {
        (_, 0) => return Err(Problem::of_file(format!("the file holds no {what}")).into()),
        (None, 1) => 0,
        (None, n) => {
            let message = format!("the file holds {n} {what}s; choose one with --{what}, from 1 to {n}");
            return Err(Problem::of_file(message).into());
        }
        (Some(choice), n) if choice < 1 || choice > n as u64 => {
            let message = format!("--{what} is {choice}, but the file holds {n}; it must be from 1 to {n}");
            return Err(Problem::of_file(message).into());
        }
        (Some(choice), _) => choice as usize - 1,
    };
    Ok(all.swap_remove(place))
}
