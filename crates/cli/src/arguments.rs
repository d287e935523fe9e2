//! From the words of the command line to a command, with everything that is wrong with them.

use crate::commands::{self, Command};
use crate::flags::Findings;
use crate::flags::policies::PolicyFlags;
use crate::{Exit, printer};
use blis_config::diagnostic::{Diagnostic, nearest, unknown_name};
use blis_policy::Registry;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Simulates clusters of LLM servers.
#[derive(Debug, Parser)]
#[command(
    name = "blis",
    version,
    args_override_self = true,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = false
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands and flags, as help, completion and parsing see them.
pub(crate) fn command(policies: &Registry) -> clap::Command {
    let policies = PolicyFlags::new(policies);
    Cli::command().mut_subcommands(|command| with_negative_numbers(policies.complete(command)))
}

/// The same, where only the command that the words name is asked for: the others' flags are not completed.
fn command_of(words: &[OsString], policies: &Registry) -> clap::Command {
    let whole = Cli::command();
    let Some(name) = words.get(1).and_then(|word| word.to_str()).map(str::to_owned) else {
        return command(policies);
    };
    if whole.find_subcommand(&name).is_none() {
        return command(policies);
    }
    let policies = PolicyFlags::new(policies);
    whole.mut_subcommand(name, |command| with_negative_numbers(policies.complete(command)))
}

fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        // A negative number is a value, so that the check of its range can say what is allowed.
        let is_number = arg
            .get_value_names()
            .is_some_and(|names| matches!(names[0].as_str(), "INT" | "NUM" | "LIST" | "TIME"));
        arg.allow_hyphen_values(is_number)
    });
    command.mut_subcommands(with_negative_numbers)
}

/// Reads the command line. Words that no flag explains are set aside, one after the other, so that the rest is read
/// and checked too.
///
/// # Errors
/// Help was asked for and given, or the command line cannot be read at all.
pub(crate) fn read(mut words: Vec<OsString>, policies: &Registry) -> Result<(Command, Findings), Exit> {
    let mut command = command_of(&words, policies);
    let mut findings = Findings::default();
    loop {
        let error = match command.try_get_matches_from_mut(&words) {
            Ok(matches) => match Cli::from_arg_matches(&matches) {
                Ok(cli) => return Ok((cli.command, findings)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if is_help(error.kind()) && findings.is_empty() {
            return printer::result(&error.render().to_string())
                .map_or_else(|e| Err(e.into()), |()| Err(Exit::Done));
        }
        let Some(finding) = set_aside(&error, &command, &mut words) else {
            if !is_help(error.kind()) {
                findings.add(unreadable(&error));
            }
            return Err(Exit::Problems(findings.into_vec()));
        };
        findings.add(finding);
    }
}

/// Reads the words of a command whose flags were read before.
///
/// # Errors
/// The command line cannot be read at all.
pub(crate) fn parse(
    words: Vec<OsString>,
    policies: &Registry,
) -> Result<(Command, Findings), Vec<Diagnostic>> {
    read(words, policies).map_err(|exit| match exit {
        Exit::Problems(problems) | Exit::Exceeded(problems) => problems,
        Exit::Done => Vec::new(),
    })
}

/// The command line with more flags, which go before those that it has.
pub(crate) fn with_flags(words: &[OsString], flags: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    // Behind two dashes nothing is a flag.
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words[..end].iter().cloned().chain(flags).chain(words[end..].iter().cloned()).collect()
}

/// The flags of a command line with their values, in order of their names; those of `others` are left out. It does not
/// matter how they were written.
pub(crate) fn given(
    words: &[OsString],
    policies: &Registry,
    others: &[&str],
) -> BTreeMap<String, Vec<String>> {
    let mut command = command_of(words, policies);
    let Ok(matches) = command.try_get_matches_from_mut(words) else { return BTreeMap::new() };
    let Some((name, matches)) = matches.subcommand() else { return BTreeMap::new() };
    // Groups of flags have names too.
    let known: Vec<&str> = command
        .find_subcommand(name)
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .map(|arg| arg.get_id().as_str())
        .collect();
    let by_user = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let flags = known.into_iter().filter(by_user).filter_map(|id| {
        let name = id.replace('_', "-");
        let values: Vec<String> = matches
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        (!others.contains(&name.as_str()) && !values.is_empty()).then_some((name, values))
    });
    flags.collect()
}

/// Flags of runs that say what is shown or written of a single one.
pub(crate) const OF_ONE_RUN: [&str; 12] = [
    "counterfactual-k",
    "decision-trace",
    "detectors",
    "fitness-weights",
    "quiet-instances",
    "saturation-config",
    "saturation-final-window",
    "saturation-report",
    "show-config",
    "summarize-trace",
    "trace-level",
    "trace-output",
];

/// A problem for every flag that does nothing in a command that makes many runs.
pub(crate) fn without_effect(
    words: &[OsString],
    policies: &Registry,
    command: &str,
    more: &[&str],
) -> Vec<Diagnostic> {
    let given = given(words, policies, &[]);
    let idle = given.keys().filter(|name| OF_ONE_RUN.iter().chain(more).any(|other| other == name));
    let problem = |name: &String| {
        Diagnostic::new(format!("--{name} has no effect on blis {command}"))
            .with_help("leave it out; blis run and blis replay have it")
    };
    idle.map(problem).collect()
}

fn is_help(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::MissingSubcommand
    )
}

/// Removes the word that `error` complains about, when it is one that no flag explains or a flag without its value.
fn set_aside(error: &clap::Error, command: &clap::Command, words: &mut Vec<OsString>) -> Option<Diagnostic> {
    let Some(ContextValue::String(culprit)) = error.get(ContextKind::InvalidArg) else { return None };
    let lacks_value = error.kind() == ErrorKind::InvalidValue
        && matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(text)) if text.is_empty());
    // `--rate <NUM>` names the flag with its value.
    let culprit = if lacks_value { culprit.split([' ', '=', '[']).next()? } else { culprit.as_str() };
    if !lacks_value && error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let place = words.iter().skip(1).position(|word| names(word, culprit))? + 1;
    let word = words.remove(place);
    if lacks_value {
        return Some(Diagnostic::new(format!("{culprit} needs a value")));
    }
    if !culprit.starts_with('-') {
        return Some(stray(culprit, place.checked_sub(1).and_then(|before| words.get(before))));
    }
    let has_value = !word.to_string_lossy().contains('=');
    if has_value && words.get(place).is_some_and(|next| !next.to_string_lossy().starts_with('-')) {
        words.remove(place);
    }
    Some(unknown_flag(culprit, words, command))
}

/// Whether a word is the flag, alone or with its value.
fn names(word: &OsStr, flag: &str) -> bool {
    let word = word.to_string_lossy();
    word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        // Of `-abc` one letter is named.
        || (flag.len() == 2 && flag.starts_with('-') && word.starts_with(flag) && !word.starts_with("--"))
}

fn stray(word: &str, before: Option<&OsString>) -> Diagnostic {
    let finding =
        Diagnostic::new(format!("unexpected word \"{word}\": every setting is a flag, --name value"));
    match before {
        Some(flag) if matches!(word, "true" | "false") && flag.to_string_lossy().starts_with("--") => {
            finding.with_help(format!("write {}={word}", flag.to_string_lossy()))
        }
        _ => finding,
    }
}

fn unknown_flag(flag: &str, words: &[OsString], all: &clap::Command) -> Diagnostic {
    let mut command = None;
    let mut of = String::new();
    for word in words.iter().skip(1) {
        let Some(next) = command.unwrap_or(all).find_subcommand(word) else { break };
        of = if of.is_empty() {
            format!(" of blis {}", next.get_name())
        } else {
            format!("{of} {}", next.get_name())
        };
        command = Some(next);
    }
    let finding = Diagnostic::new(format!("unknown flag {flag}{of}"));
    let known: Vec<&str> = command
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter(|arg| !arg.is_hide_set())
        .filter_map(clap::Arg::get_long)
        .collect();
    match nearest(flag.trim_start_matches('-'), &known) {
        Some(near) => finding.with_help(format!("did you mean --{near}?")),
        None => finding.with_help("see --help"),
    }
}

/// What clap says, on one line.
fn unreadable(error: &clap::Error) -> Diagnostic {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    Diagnostic::new(first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What is wrong with a command that is not built in.
pub(crate) fn unknown_command(name: &str) -> Diagnostic {
    unknown_name("command", name, commands::NAMES)
}
