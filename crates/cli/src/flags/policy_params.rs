//! One flag for every parameter of every policy, made from the registry.

use super::{Findings, Typed};
use blis_config::RunOptions;
use blis_policy::Registry;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Id};

/// The parameters that were given.
#[derive(Debug)]
pub(crate) struct PolicyParams(Vec<(&'static str, Typed<f64>)>);

impl PolicyParams {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) {
        for (name, typed) in self.0 {
            if let Some(value) = findings.value(&format!("--{name}"), Some(typed)) {
                options.policy_params.insert(name.to_owned(), value);
            }
        }
    }
}

impl FromArgMatches for PolicyParams {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let names = Registry::built_in().params().into_keys();
        Ok(Self(names.filter_map(|name| Some((name, matches.get_one(name).cloned()?))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for PolicyParams {
    fn augment_args(command: Command) -> Command {
        let command = command.next_help_heading("Cluster: parameters of policies");
        command.args(Registry::built_in().params().into_iter().map(|(name, (param, owners))| {
            let (what, default, owners) = (param.summary, param.default, owners.join(", "));
            Arg::new(Id::from(name))
                .long(name)
                .value_name("NUM")
                .value_parser(str::parse::<Typed<f64>>)
                .help(format!("{owners}: {what} [default: {default}]"))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }

    fn group_id() -> Option<Id> {
        None
    }
}
