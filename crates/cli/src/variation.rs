//! A command line of which some settings are varied.

use crate::arguments;
use crate::around::Around;
use crate::commands::Command;
use crate::flags::Findings;
use blis::{Diagnostic, Gpus, Outcome, RunOptions, Surroundings, resolve};
use blis_config::diagnostic::nearest;
use blis_config::edit;
use blis_search::figure::Hardware;
use blis_search::{Runner, stopped};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// Reads the options of a run out of a command, with what is wrong with them.
pub(crate) type Fill = fn(Command, &mut Findings) -> RunOptions;

/// A command line to which settings are added.
#[derive(Clone, Copy)]
pub(crate) struct Variation<'a> {
    /// The command line.
    pub(crate) words: &'a [OsString],
    pub(crate) around: &'a Around<'a>,
    pub(crate) fill: Fill,
}

impl Variation<'_> {
    /// The options with these settings: flags, and settings inside files. They go before what the command line says.
    ///
    /// # Errors
    /// Everything that is wrong with the command line and the settings.
    pub(crate) fn options(&self, settings: &[(&str, &str)]) -> Result<RunOptions, Vec<Diagnostic>> {
        let (in_files, flags): (Vec<_>, Vec<_>) =
            settings.iter().partition(|(name, _)| edit::is_in_file(name));
        let flags = flags.into_iter().map(|(name, value)| OsString::from(format!("--{name}={value}")));
        let words = arguments::with_flags(self.words, flags);
        let (command, mut findings) = arguments::parse(words, self.around.policies)?;
        let mut options = (self.fill)(command, &mut findings);
        options.texts.clone_from(self.around.texts);
        for (name, value) in in_files {
            if let Err(problem) = edit::set_in_file(&mut options, name, value) {
                findings.add(problem);
            }
        }
        let problems = findings.into_vec();
        if problems.is_empty() { Ok(options) } else { Err(problems) }
    }

    /// Names that are no setting of this command, or none that can be varied.
    pub(crate) fn check_names<'n>(
        &self,
        command: &str,
        flag: &str,
        names: impl Iterator<Item = &'n str>,
        fixed: &[&str],
    ) -> Vec<Diagnostic> {
        let all = arguments::command(self.around.policies);
        let known: Vec<&str> = all
            .find_subcommand(command)
            .into_iter()
            .flat_map(clap::Command::get_arguments)
            .flat_map(|arg| arg.get_long_and_visible_aliases().unwrap_or_default())
            .filter(|name| !fixed.contains(name))
            .collect();
        let is_fixed = |name: &str| fixed.contains(&name) || arguments::OF_ONE_RUN.contains(&name);
        let wrong = |name: &&str| is_fixed(name) || !(edit::is_in_file(name) || known.contains(name));
        let problem = |name: &str| {
            if is_fixed(name) {
                return Diagnostic::new(format!("{flag}: {name} is not something to vary"));
            }
            let help = nearest(name, &known).map(|near| format!("did you mean \"{near}\"?"));
            Diagnostic::new(format!("{flag}: there is no setting \"{name}\"")).with_help(help.unwrap_or_else(
                || {
                    "settings are the flags of blis run, or keys in files such as policy-config.a.b"
                        .to_owned()
                },
            ))
        };
        names.filter(wrong).map(problem).collect()
    }
}

/// Makes runs of a varied command line.
pub(crate) struct Runs<'a> {
    pub(crate) variation: Variation<'a>,
    /// Where earlier downloads of model configurations lie.
    pub(crate) cache: Option<&'a Path>,
    /// What a GPU costs per hour, by type.
    pub(crate) prices: &'a BTreeMap<String, f64>,
    /// Whether aggregate figures are not enough.
    pub(crate) per_request: bool,
}

impl Runner for Runs<'_> {
    fn run(&self, settings: &[(&str, &str)], seed: i64) -> Result<(Outcome, Hardware), Vec<Diagnostic>> {
        let mut options = self.variation.options(settings)?;
        options.seed = Some(seed);
        options.per_request = self.per_request;
        let around = self.variation.around;
        let policies = Some(around.policies);
        let resolved = resolve::resolve(&options, &Surroundings { hub: None, cache: self.cache, policies })?;
        let outcome = around.control.run(&resolved.plan, &mut ()).map_err(|_| vec![stopped()])?;
        Ok((outcome, hardware(&resolved.gpus, self.prices)))
    }
}

/// The GPUs and their price, where every type has one.
pub(crate) fn hardware(gpus: &[Gpus], prices: &BTreeMap<String, f64>) -> Hardware {
    let price = |group: &Gpus| Some(f64::from(group.count) * prices.get(group.gpu.as_ref()?)?);
    Hardware { gpus: gpus.iter().map(|group| group.count).sum(), cost_per_hour: gpus.iter().map(price).sum() }
}
