//! Configuration files of llm-d's Endpoint Picker (`kind: EndpointPickerConfig`): what of them means something here is
//! laid under the options as a policy file is, and every line that means something else is named.
//!
//! Each plugin that is declared is one of three: mapped, without effect in a simulation, or not modelled. The last is a
//! problem, because a run without it would be the run of another configuration. `docs/epp-config.md` has the table.

mod file;
mod gateway;
mod plugins;
mod prefix;
mod profile;

use crate::diagnostic::Diagnostic;
use crate::options::RunOptions;
use crate::yaml::tree::{Findings, Item, Section};
use blis_policy::Registry;
use file::{EppFile, Plugin};
use std::fmt::Display;

/// What there is to say about a file that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapped {
    /// What became of each plugin, with line and column.
    pub notices: Vec<Diagnostic>,
    /// Differences that the user should know.
    pub warnings: Vec<Diagnostic>,
}

/// Whether a text is such a file.
pub fn is_epp_config(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == "kind: EndpointPickerConfig")
}

/// Lays a file under the options that nobody gave otherwise.
///
/// # Errors
/// Everything that is wrong with it and everything that is not modelled, with line and column.
pub fn lay_under(
    options: &mut RunOptions,
    text: &str,
    file_name: &str,
    registry: &Registry,
) -> Result<Mapped, Vec<Diagnostic>> {
    let mut findings = Findings::new(file_name);
    let file = file::read(text, file_name, &mut findings)?;
    let mut mapper = Mapper { options, registry, findings, notices: Vec::new(), generation: file.generation };
    mapper.map(file);
    let Mapper { findings: Findings { mut problems, warnings, .. }, notices, .. } = mapper;
    if problems.is_empty() {
        return Ok(Mapped { notices, warnings });
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    Err(problems)
}

/// Which releases a file was written for, which decides what holds where it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// `inference.networking.x-k8s.io`: up to scheduler 0.8.
    Inference,
    /// `llm-d.ai`: router 0.9 and later.
    LlmD,
}

struct Mapper<'a, 'f> {
    options: &'a mut RunOptions,
    registry: &'a Registry,
    findings: Findings<'f>,
    notices: Vec<Diagnostic>,
    generation: Generation,
}

impl Mapper<'_, '_> {
    fn map(&mut self, mut file: EppFile) {
        self.check_handlers(&mut file);
        self.profiles(&mut file);
        self.gateway(&mut file);
        self.metrics(&mut file);
        for plugin in &file.plugins {
            self.rest(plugin);
        }
    }

    /// Something that holds here too.
    fn note(&mut self, plugin: &Plugin, what: impl Display) {
        let place = |diagnostic| self.findings.placed(plugin.at, diagnostic);
        let notice = place(Diagnostic::new(format!("{}: {what}", plugin.name)));
        self.notices.push(notice);
    }

    /// Something that a run here would leave out.
    fn not_modelled(&mut self, plugin: &Plugin, what: impl Display) {
        let problem = Diagnostic::new(format!("{} ({}) is not modelled: {what}", plugin.name, plugin.kind));
        self.findings.problem(plugin.at, problem);
    }

    /// The same for one parameter.
    fn not_modelled_value<T>(&mut self, item: &Item<T>, what: impl Display) {
        item.report(&mut self.findings, format_args!("is not modelled: {what}"));
    }

    /// Ends the reading of a plugin's parameters: releases before 0.9 ignored what they did not know.
    fn finish(&mut self, params: Section) {
        match self.generation {
            Generation::LlmD => params.finish(&mut self.findings),
            Generation::Inference => {
                for key in params.keys() {
                    let text = format!("{}.{key} is ignored, as those releases did", params.path());
                    self.findings.warn(params.at(), Diagnostic::new(text));
                }
            }
        }
    }

    /// A parameter of a policy, unless somebody gave it otherwise.
    fn param(&mut self, name: &str, value: f64) {
        self.options.policy_file_params.insert(name.to_owned(), value);
    }
}

/// What was given otherwise stays.
fn lay<T>(given: &mut Option<T>, from_file: T) {
    given.get_or_insert(from_file);
}
