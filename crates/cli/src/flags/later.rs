//! Flags of features that are not built yet: known, hidden from help, refused by name.
//!
//! A feature that arrives deletes its rows here and declares its flags beside the others.

use super::Findings;
use blis_config::diagnostic::Diagnostic;
use blis_config::quantity::parse_real;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Id};

/// What a flag belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Detectors,
    PriorityPolicy,
    TokenTraces,
}

impl Area {
    const fn subject(self) -> &'static str {
        match self {
            Self::Detectors => {
                "settings of the saturation detectors of releases 0.7.11 to 0.7.15; see --saturation-config"
            }
            Self::PriorityPolicy => "the per-step priority of releases up to 0.7.10",
            Self::TokenTraces => "traces with token ids of releases up to 0.6.11",
        }
    }
}

/// Which commands know a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Both,
    Run,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
struct Later {
    flag: &'static str,
    /// The value that asks for nothing, and is therefore fine.
    off: &'static str,
    area: Area,
    on: On,
}

impl Later {
    fn is_off(&self, text: &str) -> bool {
        let same_number = || matches!((parse_real(text), parse_real(self.off)), (Ok(a), Ok(b)) if a == b);
        text.is_empty() || text == self.off || same_number()
    }
}

const fn row(flag: &'static str, off: &'static str, area: Area) -> Later {
    Later { flag, off, area, on: On::Both }
}

const fn only(on: On, row: Later) -> Later {
    Later { on, ..row }
}

const FLAGS: &[Later] = &[
    row("priority-policy", "constant", Area::PriorityPolicy),
    row("saturation-threshold-ms", "", Area::Detectors),
    row("saturation-window", "", Area::Detectors),
    row("saturation-min-windows", "", Area::Detectors),
    row("saturation-peak-ratio", "", Area::Detectors),
    row("saturation-peak-band", "", Area::Detectors),
    row("saturation-ci", "", Area::Detectors),
    row("saturation-warmup-windows", "", Area::Detectors),
    row("saturation-tail-windows", "", Area::Detectors),
    row("saturation-drain-ratio-saturated", "", Area::Detectors),
    row("saturation-drain-ratio-transient", "", Area::Detectors),
    row("saturation-classifier", "", Area::Detectors),
    only(On::Run, row("workload-traces-filepath", "", Area::TokenTraces)),
];

/// The flags of one command that were given although their feature is not built yet.
#[derive(Debug)]
pub(crate) struct LaterFlags<const REPLAY: bool> {
    given: Vec<(&'static Later, String)>,
}

impl<const REPLAY: bool> LaterFlags<REPLAY> {
    fn rows() -> impl Iterator<Item = &'static Later> {
        FLAGS.iter().filter(|row| row.on == On::Both || !REPLAY)
    }

    /// A finding for every flag that asks for something.
    pub(crate) fn refuse(&self, findings: &mut Findings) {
        for (row, text) in self.given.iter().filter(|(row, text)| !row.is_off(text)) {
            let (flag, subject) = (row.flag, row.area.subject());
            findings.add(Diagnostic::new(format!("--{flag} {text} is not available yet: {subject}")));
        }
    }
}

impl<const REPLAY: bool> FromArgMatches for LaterFlags<REPLAY> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Self::rows()
            .filter_map(|row| Some((row, matches.get_one::<String>(row.flag)?.clone())))
            .collect();
        Ok(Self { given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const REPLAY: bool> Args for LaterFlags<REPLAY> {
    fn augment_args(command: Command) -> Command {
        command.args(Self::rows().map(|row| {
            let arg = Arg::new(Id::from(row.flag)).long(row.flag).hide(true).action(ArgAction::Set);
            arg.allow_hyphen_values(true)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }

    fn group_id() -> Option<Id> {
        None
    }
}
