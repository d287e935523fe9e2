//! The file itself: plugins, profiles, gates, with the checks that need no knowledge of what the plugins do.

use super::Generation;
use super::plugins::{self, Role};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::yaml::tree::{Findings, Item, Node, Section};
use crate::yaml::{self, Location, Spanned};

const KIND: &str = "EndpointPickerConfig";
/// Versions, newest first, with the releases that they stand for. `llm-d.ai/v1` only renames keys of `dataLayer`.
const VERSIONS: [(&str, Generation); 3] = [
    ("llm-d.ai/v1alpha1", Generation::LlmD),
    ("llm-d.ai/v1", Generation::LlmD),
    ("inference.networking.x-k8s.io/v1alpha1", Generation::Inference),
];
/// Every gate of any release; all but the first decide nothing that a simulation sees.
const GATES: [&str; 5] =
    ["flowControl", "haPopulateNonLeaderDatastore", "dataLayer", "prepareDataPlugins", "enableLegacyMetrics"];

/// A declared plugin.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) role: Role,
    /// Where its type stands.
    pub(super) at: Option<Location>,
    /// Its parameters, until somebody reads them.
    pub(super) params: Option<Section>,
    /// Whether anything refers to it.
    pub(super) is_used: bool,
}

/// A plugin in a profile.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) plugin: Item<String>,
    pub(super) weight: Option<Item<f64>>,
}

#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) at: Option<Location>,
    pub(super) plugins: Vec<Reference>,
}

#[derive(Debug)]
pub(super) struct EppFile {
    pub(super) generation: Generation,
    pub(super) plugins: Vec<Plugin>,
    pub(super) profiles: Vec<Profile>,
    /// Whether the gate of flow control is open.
    pub(super) flow_control: bool,
    /// The section that it opens.
    pub(super) flow_section: Option<Section>,
    /// The detector named outside of that section, as older files do.
    pub(super) detector: Option<Item<String>>,
}

impl EppFile {
    /// The number of the plugin of that name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.plugins.iter().position(|plugin| plugin.name == name)
    }
}

pub(super) fn read(
    text: &str,
    file_name: &str,
    findings: &mut Findings<'_>,
) -> Result<EppFile, Vec<Diagnostic>> {
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(at) = line.find("{{").or_else(|| line.find("${")) {
            let problem = Diagnostic::new("a placeholder that something else fills in stands here");
            let column = line[..at].chars().count() as u32 + 1;
            return Err(vec![
                problem.at(number, column).in_file(file_name).with_help("give the file as it comes out"),
            ]);
        }
    }
    let Spanned { value: node, .. } = yaml::from_str::<Spanned<Node>>(text, file_name)?;
    let mut top = Section::document(node, findings);
    let generation = version(&mut top, findings);
    let plugins = read_plugins(&mut top, findings);
    let profiles = read_profiles(&mut top, findings);
    let flow_control = read_gates(&mut top, findings);
    let flow_section = top.section(findings, "flowControl");
    let detector = top.section(findings, "saturationDetector").and_then(|mut section| {
        let reference = section.text(findings, "pluginRef");
        section.finish(findings);
        reference
    });
    // Parsers and the wiring of metrics change nothing in a simulation.
    for key in ["requestHandler", "parser", "dataLayer", "data"] {
        top.take(key);
    }
    top.finish(findings);
    Ok(EppFile { generation, plugins, profiles, flow_control, flow_section, detector })
}

fn version(top: &mut Section, findings: &mut Findings<'_>) -> Generation {
    let version = top.text(findings, "apiVersion");
    let kind = top.text(findings, "kind");
    for (key, is_there) in [("apiVersion", version.is_some()), ("kind", kind.is_some())] {
        if !is_there {
            findings.problem(None, Diagnostic::new(format!("{key} is missing")));
        }
    }
    if let Some(kind) = kind.filter(|kind| kind.value != KIND) {
        kind.report(findings, format_args!("is \"{}\"; it must be {KIND}", kind.value));
    }
    let Some(version) = version else { return Generation::LlmD };
    let known = VERSIONS.iter().find(|(name, _)| *name == version.value);
    if known.is_none() {
        let names = VERSIONS.map(|(name, _)| name);
        findings.problem(version.at, unknown_name("apiVersion", &version.value, names));
    }
    known.map_or(Generation::LlmD, |(_, generation)| *generation)
}

fn read_plugins(top: &mut Section, findings: &mut Findings<'_>) -> Vec<Plugin> {
    let mut plugins: Vec<Plugin> = Vec::new();
    for mut section in top.sections(findings, "plugins").unwrap_or_default() {
        let name = section.text(findings, "name");
        let kind = section.text(findings, "type");
        let mut params = section.section(findings, "parameters");
        if let Some(kind) = &kind {
            let role = plugins::role(&kind.value).unwrap_or_else(|| {
                findings.problem(kind.at, unknown_name("plugin type", &kind.value, plugins::names()));
                Role::NoEffect
            });
            if let Some(params) = &mut params {
                params.ignore_case(plugins::PARAMETERS);
            }
            let called = name.as_ref().unwrap_or(kind);
            if plugins.iter().any(|other| other.name == called.value) {
                called.report(
                    findings,
                    format_args!("is \"{}\", as an earlier plugin is called", called.value),
                );
            }
            let (name, at) = (called.value.clone(), kind.at);
            plugins.push(Plugin { name, kind: kind.value.clone(), role, at, params, is_used: false });
        } else {
            findings.problem(section.at(), Diagnostic::new("a plugin has no type"));
        }
        section.finish(findings);
    }
    plugins
}

fn read_profiles(top: &mut Section, findings: &mut Findings<'_>) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    for mut section in top.sections(findings, "schedulingProfiles").unwrap_or_default() {
        let at = section.at();
        let name = section.text(findings, "name");
        match &name {
            None => findings.problem(at, Diagnostic::new("a scheduling profile has no name")),
            Some(name) if profiles.iter().any(|other| other.name == name.value) => {
                name.report(findings, format_args!("is \"{}\", as an earlier profile is called", name.value));
            }
            Some(_) => {}
        }
        let mut plugins = Vec::new();
        for mut entry in section.sections(findings, "plugins").unwrap_or_default() {
            let weight = entry.number(findings, "weight", f64::is_finite, "a finite number");
            match entry.text(findings, "pluginRef") {
                Some(plugin) => plugins.push(Reference { plugin, weight }),
                None => {
                    findings.problem(entry.at(), Diagnostic::new("an entry of a profile has no pluginRef"));
                }
            }
            entry.finish(findings);
        }
        section.finish(findings);
        let name = name.map(|name| name.value).unwrap_or_default();
        profiles.push(Profile { name, at, plugins });
    }
    profiles
}

/// Whether the gate of flow control is open.
fn read_gates(top: &mut Section, findings: &mut Findings<'_>) -> bool {
    let mut open = false;
    for gate in top.texts(findings, "featureGates").unwrap_or_default() {
        let (name, value) = gate.value.split_once('=').unwrap_or((&gate.value, "true"));
        let is_open = match value.to_lowercase().as_str() {
            "true" | "t" | "1" => true,
            "false" | "f" | "0" => false,
            _ => {
                gate.report(
                    findings,
                    format_args!("is \"{}\"; it must be NAME, NAME=true or NAME=false", gate.value),
                );
                continue;
            }
        };
        if !GATES.contains(&name) {
            findings.problem(gate.at, unknown_name("feature gate", name, GATES));
        }
        open = if name == GATES[0] { is_open } else { open };
    }
    open
}
