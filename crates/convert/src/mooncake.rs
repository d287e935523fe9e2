//! Mooncake: one JSON object per line, `{"timestamp": ms, "input_length", "output_length", "hash_ids": [...]}`.
//!
//! A hash id names a block of the prompt together with all before it; two prompts share the blocks whose ids agree.

use crate::json;
use crate::lines::Lines;
use crate::problem::{Failure, Problem, Problems};
use crate::sink::Sink;
use blis_workload::content::BLOCK_LIMIT;
use blis_workload::trace::{OwnRow, push_block};
use serde::Deserialize;
use std::io::BufRead;

/// What a Mooncake recording does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MooncakeOptions {
    /// Tokens of a block, at least 1; 512 in the published recordings.
    pub block_tokens: u32,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with timestamp, input_length, output_length and hash_ids")]
struct Line {
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// Hands on the rows.
///
/// # Errors
/// Everything that is wrong with the recording, or what `sink` says.
pub fn mooncake(input: impl BufRead, options: MooncakeOptions, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut lines = Lines::new(input);
    let mut problems = Problems::default();
    let (mut requests, mut runs) = (false, Vec::new());
    while let Some((number, text)) = lines.next()? {
        requests = true;
        let line: Line = match serde_json::from_slice(text) {
            Ok(line) => line,
            Err(error) => {
                problems.push(json::problem(&error, Some(number)));
                continue;
            }
        };
        let arrival_us = json::scaled_us(line.timestamp, 1e3).filter(|&at| at >= 0);
        let told = problems.told.len() + problems.more;
        if arrival_us.is_none() {
            let message = format!("timestamp is {}; it must be a number of ms of at least 0", line.timestamp);
            problems.push(Problem::at(number, message));
        }
        if let Some(id) = line.hash_ids.iter().find(|&&id| id >= BLOCK_LIMIT) {
            problems.push(Problem::at(number, format!("hash_ids has {id}; ids must be below {BLOCK_LIMIT}")));
        }
        let (blocks, block_tokens) = (line.hash_ids.len() as u64, u64::from(options.block_tokens));
        if blocks > u64::from(line.input_length).div_ceil(block_tokens) {
            let message = format!(
                "hash_ids has {blocks} blocks of {block_tokens} tokens, which do not fit into input_length, {}",
                line.input_length
            );
            problems.push(Problem::at(number, message));
        }
        let Some(arrival_us) = arrival_us.filter(|_| problems.told.len() + problems.more == told) else {
            continue;
        };
        runs.clear();
        line.hash_ids.iter().for_each(|&id| push_block(&mut runs, 0, id));
        let own = OwnRow {
            client: "mooncake",
            status: "ok",
            arrival_us,
            input_tokens: line.input_length,
            output_tokens: line.output_length,
            blocks: &runs,
            ..OwnRow::default()
        };
        sink.row(own, number)?;
    }
    if !requests {
        return Err(Problem::of_file("the file is empty; expected one JSON object per line").into());
    }
    problems.check()
}
