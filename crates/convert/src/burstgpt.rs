//! BurstGPT: `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, and `Session ID` in later releases.
//! Times are seconds. A response of no tokens is a request that failed.

use crate::json::seconds_us;
use crate::problem::Failure;
use crate::sink::Sink;
use crate::table;
use blis_workload::trace::OwnRow;
use rustc_hash::FxHashMap;
use std::io::Read;

const COLUMNS: [&str; 6] =
    ["Timestamp", "Request tokens", "Response tokens", "Model", "Log Type", "Session ID"];
const NEEDED: usize = 3;

/// Hands on the rows. The model becomes the client and the kind of log the tenant: the models that were asked are not
/// those that are simulated.
///
/// # Errors
/// Everything that is wrong with the recording, or what `sink` says.
pub fn burstgpt(input: impl Read, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut rounds: FxHashMap<String, u32> = FxHashMap::default();
    table::read(input, &COLUMNS, NEEDED, |row| {
        let seconds = |text: &str| text.parse().ok().filter(|&at: &f64| at >= 0.0).and_then(seconds_us);
        let arrival_us = row.value(0, seconds, "a number of seconds of at least 0");
        let (input_tokens, output_tokens) = (row.tokens(1), row.tokens(2));
        let (Some(arrival_us), Some(input_tokens), Some(output_tokens)) =
            (arrival_us, input_tokens, output_tokens)
        else {
            return Ok(());
        };
        let session = row.text(5);
        let round = match rounds.get_mut(session) {
            _ if session.is_empty() => 0,
            Some(round) => {
                *round += 1;
                *round
            }
            None => {
                rounds.insert(session.to_owned(), 0);
                0
            }
        };
        let own = OwnRow {
            client: row.text(3),
            tenant: row.text(4),
            session,
            round,
            status: if output_tokens == 0 { "error" } else { "ok" },
            arrival_us,
            input_tokens,
            output_tokens,
            ..OwnRow::default()
        };
        sink.row(own, row.line)
    })
}
