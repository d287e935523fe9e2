//! `blis convert sharegpt`.

use super::recording::{Kind, RecordingFlags, convert};
use crate::Exit;
use crate::flags::{Findings, Typed};
use blis::Diagnostic;
use blis_convert::{ShareGptOptions, sharegpt};
use blis_workload::trace::ContextGrowth;
use clap::Args;

/// Of English texts.
const DEFAULT_CHARACTERS_PER_TOKEN: f64 = 4.0;
/// Longest pause, ms: a century.
const MAX_THINK_TIME_MS: i64 = 100 * 365 * 86_400_000;

#[derive(Args, Debug)]
pub(crate) struct ShareGptArgs {
    #[command(flatten)]
    files: RecordingFlags,
    /// Characters per token: the file has texts, and tokens are estimated [default: 4]
    #[arg(long, value_name = "NUM")]
    characters_per_token: Option<Typed<f64>>,
    /// Conversations that begin per second, equally spaced [default: 1]
    #[arg(long, value_name = "NUM")]
    rate: Option<Typed<f64>>,
    /// Pause of a user between an answer and the next question, ms [default: 0]
    #[arg(long, value_name = "INT")]
    think_time_ms: Option<Typed<i64>>,
}

/// # Errors
/// Whatever is wrong with the flags or the files.
pub(super) fn run(args: ShareGptArgs, mut findings: Findings) -> Result<(), Exit> {
    let characters_per_token = positive(&mut findings, "--characters-per-token", args.characters_per_token)
        .unwrap_or(DEFAULT_CHARACTERS_PER_TOKEN);
    let rate_per_s = positive(&mut findings, "--rate", args.rate).unwrap_or(1.0);
    let think_time_ms = findings.value("--think-time-ms", args.think_time_ms).unwrap_or_default();
    if !(0..=MAX_THINK_TIME_MS).contains(&think_time_ms) {
        let message = format!("--think-time-ms is {think_time_ms}; it must be from 0 to {MAX_THINK_TIME_MS}");
        findings.add(Diagnostic::new(message));
    }
    let mut kind = Kind::traffic("sharegpt");
    kind.header.context_growth = ContextGrowth::Accumulate;
    kind.columns.think_time = think_time_ms > 0;
    // Conversation by conversation is not in order of time.
    kind.in_order = false;
    let options = ShareGptOptions {
        characters_per_token,
        rate_per_s,
        think_time_us: think_time_ms.saturating_mul(1000),
    };
    convert(args.files, findings, kind, |input, sink| sharegpt(input, options, sink))
}

/// A finite number above 0.
pub(super) fn positive(findings: &mut Findings, flag: &str, given: Option<Typed<f64>>) -> Option<f64> {
    let value = findings.value(flag, given)?;
    if value > 0.0 && value.is_finite() {
        return Some(value);
    }
    findings.add(Diagnostic::new(format!("{flag} is {value}; it must be finite and above 0")));
    None
}
