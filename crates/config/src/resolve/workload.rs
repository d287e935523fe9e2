//! Synthesised traffic: the ranges of its figures and which of them are used.

use super::check::{Check, POSITIVE, Source, is_positive};
use crate::diagnostic::Diagnostic;
use crate::options::{LengthOptions, WorkloadOptions};
use crate::workload_file::{self, Overrides, WorkloadFile};
use blis_kernel::Tick;
use blis_workload::{NormalLengths, SyntheticLoad, SyntheticParams, Workload};
use std::path::Path;

/// The workload that takes its lengths from flags.
const DISTRIBUTION: &str = "distribution";
/// Lengths when nothing else is said.
const DEFAULT_LENGTHS: NormalLengths = NormalLengths { mean: 512, std_dev: 256, min: 2, max: 7000 };
const DEFAULT_REQUESTS: i64 = 100;
const DEFAULT_TIMEOUT_S: i64 = 300;
/// Most tokens of a prompt, of an answer and of a shared prefix: far beyond any model, far from any overflow.
const MAX_TOKENS: i64 = 100_000_000;
/// Most closed-loop users: each has a random stream of its own.
const MAX_USERS: i64 = 10_000_000;

/// Lengths that a preset brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) prefix_tokens: i64,
    pub(crate) prompt: NormalLengths,
    pub(crate) output: NormalLengths,
}

/// Reads the workload file that the options name. Flags that count beside it replace what it says.
pub(super) fn from_file(
    check: &mut Check,
    options: &WorkloadOptions,
    path: &Path,
    seed: Option<i64>,
    horizon: Option<Tick>,
) -> Option<WorkloadFile> {
    check.note("workload-spec", path.display(), Source::Given);
    if let Some(users) = options.concurrency.filter(|&users| users != 0) {
        check.problem(
            Diagnostic::new(format!("--concurrency {users} and --workload-spec are both given"))
                .with_help("a client of the file may have a concurrency of its own"),
        );
    }
    warn_of_unused_flags(check, options);
    let max_requests = options.num_requests.map(|given| {
        let count = check.integer("num-requests", Some(given), 0, 0..=i64::MAX);
        (count > 0).then_some(count as u64)
    });
    let timeout = options.timeout_s.map(|_| timeout(check, options));
    let text = super::read(check, "--workload-spec", path, true)?;
    let overrides = Overrides { seed, horizon, max_requests, timeout };
    match workload_file::read(&text, &path.display().to_string(), overrides) {
        Ok(file) => {
            check.warnings.extend(file.warnings.iter().cloned());
            count_conversations(check, &file.workload);
            Some(file)
        }
        Err(problems) => {
            check.problems.extend(problems);
            None
        }
    }
}

/// Says how many conversations a bounded run has. Finding out takes as long as drawing all requests once more.
fn count_conversations(check: &mut Check, workload: &Workload) {
    /// A tenth of a second for requests of common lengths.
    const COUNTED: u64 = 100_000;
    if let Some(rounds) = workload_file::rounds_beyond_bound(workload)
        && workload.max_requests.is_some_and(|max| max <= COUNTED)
    {
        let conversations = workload.closed_loop_conversations();
        let most = conversations.saturating_mul(u64::from(rounds));
        check.warn(format!(
            "{conversations} conversations begin, of up to {rounds} rounds each: up to {most} requests"
        ));
    }
}

/// Checks everything and puts the workload together. `preset` knows presets by name.
pub(super) fn synthesised(
    check: &mut Check,
    options: &WorkloadOptions,
    preset: impl Fn(&str) -> Result<Lengths, Diagnostic>,
    seed: i64,
    horizon: Tick,
) -> SyntheticParams {
    let load = load(check, options);
    let lengths = lengths(check, options, preset);
    let max_requests = num_requests(check, options, horizon < Tick::MAX);
    SyntheticParams {
        client: DISTRIBUTION.to_owned(),
        load,
        prompt_tokens: lengths.prompt,
        output_tokens: lengths.output,
        prefix_tokens: lengths.prefix_tokens as u32,
        timeout: timeout(check, options),
        horizon,
        max_requests,
        seed,
    }
}

fn load(check: &mut Check, options: &WorkloadOptions) -> SyntheticLoad {
    let users = check.integer("concurrency", options.concurrency, 0, 0..=MAX_USERS) as u32;
    let think_time_ms = check.integer("think-time-ms", options.think_time_ms, 0, 0..=i64::MAX / 1000);
    if users == 0 {
        if think_time_ms > 0 {
            check.warn("--think-time-ms is unused without --concurrency");
        }
        return SyntheticLoad::Rate { per_s: check.real("rate", options.rate, 1.0, is_positive, POSITIVE) };
    }
    if options.rate.is_some() {
        check.problem(
            Diagnostic::new(format!("--concurrency {users} and --rate are both given"))
                .with_help("users wait for their answers and therefore have no rate: give one of the two"),
        );
    }
    SyntheticLoad::Concurrency { users, think_time: Tick::from_us(think_time_ms * 1000) }
}

/// Lengths from the flags, or from a preset, which then leaves them unused. With users it is the flags that count.
fn lengths(
    check: &mut Check,
    options: &WorkloadOptions,
    preset: impl Fn(&str) -> Result<Lengths, Diagnostic>,
) -> Lengths {
    let name = options.workload.as_deref().unwrap_or(DISTRIBUTION);
    check.note("workload", name, Source::of(options.workload.is_some()));
    match name {
        DISTRIBUTION => {}
        "traces" => check.problem(Diagnostic::new(
            "--workload traces is not available yet: traces with token ids of releases up to 0.6.11",
        )),
        _ => match preset(name) {
            Ok(_) if options.concurrency.is_some_and(|users| users > 0) => {
                check.warn(format!("--workload {name} is unused with --concurrency"));
            }
            Ok(lengths) => {
                warn_of_unused_lengths(check, name, options);
                let prefix_tokens =
                    check.integer("prefix-tokens", Some(lengths.prefix_tokens), 0, 0..=MAX_TOKENS);
                return Lengths {
                    prefix_tokens,
                    prompt: normal(check, "prompt-tokens", &all(lengths.prompt)),
                    output: normal(check, "output-tokens", &all(lengths.output)),
                };
            }
            Err(problem) => {
                let message = format!("--workload: {} (or {DISTRIBUTION})", problem.message);
                check.problem(Diagnostic { message, ..problem });
            }
        },
    }
    Lengths {
        prefix_tokens: check.integer("prefix-tokens", options.prefix_tokens, 0, 0..=MAX_TOKENS),
        prompt: normal(check, "prompt-tokens", &options.prompt),
        output: normal(check, "output-tokens", &options.output),
    }
}

/// Lengths of a preset as if they were given: a user's preset may be as wrong as a user's flags.
fn all(lengths: NormalLengths) -> LengthOptions {
    let NormalLengths { mean, std_dev, min, max } = lengths;
    LengthOptions { mean: Some(mean), stdev: Some(std_dev), min: Some(min), max: Some(max) }
}

/// Checks one length distribution; `name` is the flag of its mean.
fn normal(check: &mut Check, name: &str, given: &LengthOptions) -> NormalLengths {
    let before = check.problems.len();
    let mean = check.integer(name, given.mean, DEFAULT_LENGTHS.mean, 1..=MAX_TOKENS);
    let std_dev =
        check.integer(&format!("{name}-stdev"), given.stdev, DEFAULT_LENGTHS.std_dev, 0..=MAX_TOKENS);
    let min = check.integer(&format!("{name}-min"), given.min, DEFAULT_LENGTHS.min, 1..=MAX_TOKENS);
    let max = check.integer(&format!("{name}-max"), given.max, DEFAULT_LENGTHS.max, 1..=MAX_TOKENS);
    let lengths = NormalLengths { mean, std_dev, min, max };
    if check.problems.len() > before {
        return lengths;
    }
    let at_most_max = format!("at most {max}, which is --{name}-max");
    if min > max {
        check.out_of_range(&format!("{name}-min"), min, &at_most_max);
    } else if !(min..=max).contains(&mean) {
        check.out_of_range(name, mean, &format!("from {min} to {max} (--{name}-min, --{name}-max)"));
    }
    if std_dev > max {
        check.out_of_range(&format!("{name}-stdev"), std_dev, &at_most_max);
    }
    lengths
}

/// How many requests; `None` = no limit. Without one there has to be a horizon.
fn num_requests(check: &mut Check, options: &WorkloadOptions, has_horizon: bool) -> Option<u64> {
    let has_users = options.concurrency.is_some_and(|users| users > 0);
    let default = if has_users { 0 } else { DEFAULT_REQUESTS };
    let count = check.integer("num-requests", options.num_requests, default, 0..=i64::MAX);
    if options.num_requests.unwrap_or(default) == 0 && !has_horizon {
        check.problem(
            Diagnostic::new("the workload never ends: neither --num-requests nor --horizon bounds it")
                .with_help("give one of them"),
        );
    }
    (count > 0).then_some(count as u64)
}

/// When clients give up; `None` = never.
fn timeout(check: &mut Check, options: &WorkloadOptions) -> Option<Tick> {
    let seconds = options.timeout_s.unwrap_or(DEFAULT_TIMEOUT_S);
    let source = Source::of(options.timeout_s.is_some());
    if seconds == 0 {
        check.out_of_range("timeout", "0", "1 second or more, or negative for no time-out");
    }
    if seconds < 0 {
        check.note("timeout", "none", source);
        return None;
    }
    check.note("timeout", seconds, source);
    // A time-out beyond the end of time never fires.
    seconds.checked_mul(1_000_000).map(Tick::from_us)
}

fn warn_of_unused_lengths(check: &mut Check, preset: &str, options: &WorkloadOptions) {
    for name in given_lengths(options) {
        check.warn(format!("--{name} is unused: --workload {preset} brings its own lengths"));
    }
}

fn warn_of_unused_flags(check: &mut Check, options: &WorkloadOptions) {
    let given = [
        ("workload", options.workload.is_some()),
        ("rate", options.rate.is_some()),
        ("think-time-ms", options.think_time_ms.is_some()),
    ];
    let given = given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name);
    for name in given.chain(given_lengths(options)) {
        check.warn(format!("--{name} is unused: --workload-spec describes the traffic"));
    }
}

/// The flags of lengths that were given.
fn given_lengths(options: &WorkloadOptions) -> impl Iterator<Item = &'static str> {
    let (prompt, output) = (&options.prompt, &options.output);
    let flags = [
        ("prefix-tokens", options.prefix_tokens),
        ("prompt-tokens", prompt.mean),
        ("prompt-tokens-stdev", prompt.stdev),
        ("prompt-tokens-min", prompt.min),
        ("prompt-tokens-max", prompt.max),
        ("output-tokens", output.mean),
        ("output-tokens-stdev", output.stdev),
        ("output-tokens-min", output.min),
        ("output-tokens-max", output.max),
    ];
    flags.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Tick = Tick::from_us(3_600_000_000);

    fn problems(options: &WorkloadOptions, horizon: Tick) -> Vec<String> {
        let mut check = Check::default();
        synthesised(&mut check, options, preset, 42, horizon);
        check.problems.iter().map(ToString::to_string).collect()
    }

    fn preset(name: &str) -> Result<Lengths, Diagnostic> {
        if name == "chat" {
            Ok(CHAT)
        } else {
            Err(Diagnostic::new(format!("unknown preset {name}, known: chat")))
        }
    }

    const CHAT: Lengths = Lengths {
        prefix_tokens: 7,
        prompt: NormalLengths { mean: 256, std_dev: 100, min: 2, max: 800 },
        output: NormalLengths { mean: 256, std_dev: 100, min: 1, max: 1024 },
    };

    #[test]
    fn nothing_given_is_the_documented_default() {
        let mut check = Check::default();
        let params = synthesised(&mut check, &WorkloadOptions::default(), preset, 42, Tick::MAX);
        assert_eq!(params.load, SyntheticLoad::Rate { per_s: 1.0 });
        assert_eq!((params.prompt_tokens, params.output_tokens), (DEFAULT_LENGTHS, DEFAULT_LENGTHS));
        assert_eq!((params.max_requests, params.prefix_tokens), (Some(100), 0));
        assert_eq!(params.timeout, Some(Tick::from_us(300_000_000)));
        assert!(check.problems.is_empty() && check.warnings.is_empty());
    }

    #[test]
    fn every_bad_figure_is_named_at_once() {
        let options = WorkloadOptions {
            rate: Some(-3.0),
            num_requests: Some(-1),
            think_time_ms: Some(-2),
            timeout_s: Some(0),
            prompt: LengthOptions { mean: Some(9000), ..LengthOptions::default() },
            output: LengthOptions { min: Some(30), max: Some(20), ..LengthOptions::default() },
            workload: Some("haiku".into()),
            ..WorkloadOptions::default()
        };
        let got = problems(&options, Tick::MAX);
        let expected = [
            "--think-time-ms is -2; it must be from 0 to",
            "--rate is -3; it must be a finite number above 0",
            "--workload: unknown preset haiku, known: chat (or distribution)",
            "--prompt-tokens is 9000; it must be from 2 to 7000 (--prompt-tokens-min, --prompt-tokens-max)",
            "--output-tokens-min is 30; it must be at most 20, which is --output-tokens-max",
            "--output-tokens-stdev is 256; it must be at most 20, which is --output-tokens-max",
            "--num-requests is -1; it must be at least 0",
            "--timeout is 0; it must be 1 second or more, or negative for no time-out",
        ];
        assert_eq!(got.len(), expected.len(), "{got:#?}");
        for (got, expected) in got.iter().zip(expected) {
            assert!(got.starts_with(expected), "{got} / {expected}");
        }
    }

    #[test]
    fn a_small_deviation_below_the_shortest_length_is_fine() {
        let options = WorkloadOptions {
            prompt: LengthOptions { stdev: Some(1), ..LengthOptions::default() },
            ..WorkloadOptions::default()
        };
        assert_eq!(problems(&options, Tick::MAX), [""; 0]);
    }

    #[test]
    fn a_workload_needs_a_bound_and_users_have_none_by_default() {
        let users = |num_requests| WorkloadOptions {
            concurrency: Some(4),
            num_requests,
            ..WorkloadOptions::default()
        };
        assert!(problems(&users(None), Tick::MAX)[0].contains("--num-requests nor --horizon"));
        assert_eq!(problems(&users(None), HOUR), [""; 0]);
        assert_eq!(problems(&users(Some(9)), Tick::MAX), [""; 0]);
    }

    #[test]
    fn a_preset_brings_its_lengths_and_names_the_flags_it_overrules() {
        let mut check = Check::default();
        let options = WorkloadOptions {
            workload: Some("chat".into()),
            prefix_tokens: Some(100),
            ..WorkloadOptions::default()
        };
        let params = synthesised(&mut check, &options, preset, 42, Tick::MAX);
        assert_eq!((params.prefix_tokens, params.prompt_tokens.mean), (7, 256));
        assert_eq!(
            check.warnings[0].to_string(),
            "--prefix-tokens is unused: --workload chat brings its own lengths"
        );
    }
}
