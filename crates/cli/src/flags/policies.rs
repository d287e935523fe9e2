//! What the registry says in flags: names of policies in help texts, and one flag for every parameter of every policy.

use super::{Findings, Typed};
use blis_config::RunOptions;
use blis_policy::Registry;
use blis_policy::registry::{Axis, DEFAULT_SCORERS, Listed, Param};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Id};
use std::collections::BTreeMap;

/// What the names of the parameters' arguments begin with.
const ID_PREFIX: &str = "policy parameter ";

/// Completes commands with what a registry has.
pub(crate) struct PolicyFlags {
    axes: Vec<(Axis, Vec<Listed>)>,
    params: BTreeMap<&'static str, (&'static Param, Vec<&'static str>)>,
    /// What may stand in a help text, and what it stands for.
    placeholders: Vec<(String, String)>,
}

impl PolicyFlags {
    pub(crate) fn new(registry: &Registry) -> Self {
        let axes = registry.axes();
        let mut placeholders: Vec<_> =
            axes.iter().map(|axis| (format!("{{{}}}", axis.0.flag), names(axis))).collect();
        placeholders.push(("{default-scorers}".to_owned(), DEFAULT_SCORERS.to_owned()));
        Self { axes, params: registry.params(), placeholders }
    }

    /// Names the policies in the help of the flags that choose one, and adds the flags of their parameters to
    /// the topic of that flag.
    ///
    /// # Panics
    /// When a parameter has the name of another flag.
    pub(crate) fn complete(&self, command: Command) -> Command {
        let mut command = command.mut_args(|arg| {
            let help = arg.get_help().map(ToString::to_string).filter(|help| help.contains('{'));
            match help {
                Some(help) => arg.help(self.filled_in(&help)),
                None => arg,
            }
        });
        for (axis, policies) in &self.axes {
            let chooser = command.get_arguments().find(|arg| arg.get_long() == Some(axis.flag));
            let Some(chooser) = chooser else { continue };
            let heading = chooser.get_help_heading().unwrap_or_default().to_owned();
            let is_hidden = chooser.is_hide_set();
            for param in policies.iter().flat_map(|policy| policy.params) {
                let id = format!("{ID_PREFIX}{}", param.name);
                if let Some(same) = command.get_arguments().find(|arg| arg.get_long() == Some(param.name)) {
                    assert!(
                        same.get_id() == id.as_str(),
                        "--{} is a flag already, and no name for a parameter",
                        param.name
                    );
                    continue;
                }
                let takers = self.params[param.name].1.join(", ");
                command = command.arg(
                    Arg::new(Id::from(id))
                        .long(param.name)
                        .value_name("NUM")
                        .value_parser(str::parse::<Typed<f64>>)
                        .help_heading(heading.clone())
                        .hide(is_hidden)
                        .help(format!("{takers}: {} [default: {}]", param.summary, param.default)),
                );
            }
        }
        command
    }

    fn filled_in(&self, help: &str) -> String {
        self.placeholders
            .iter()
            .fold(help.to_owned(), |help, (placeholder, text)| help.replace(placeholder, text))
    }
}

/// `a, b or c [default: a]`.
fn names((axis, policies): &(Axis, Vec<Listed>)) -> String {
    let names: Vec<_> = policies.iter().map(|policy| policy.name).collect();
    let names = match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    };
    if axis.default.is_empty() { names } else { format!("{names} [default: {}]", axis.default) }
}

/// The parameters that were given.
#[derive(Debug)]
pub(crate) struct PolicyParams(Vec<(String, Typed<f64>)>);

impl PolicyParams {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        for (name, typed) in self.0 {
            if let Some(value) = findings.value(&format!("--{name}"), Some(typed)) {
                options.policy_params.insert(name, value);
            }
        }
    }
}

impl FromArgMatches for PolicyParams {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = matches.ids().filter_map(|id| {
            let name = id.as_str().strip_prefix(ID_PREFIX)?;
            Some((name.to_owned(), matches.get_one(id.as_str()).cloned()?))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flags come from [`PolicyFlags::complete`], which knows the registry.
impl Args for PolicyParams {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }

    fn group_id() -> Option<Id> {
        None
    }
}
