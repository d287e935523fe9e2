//! Everything that can be said of the policies of a registry: for people, for programs, and for the documentation.

use blis_policy::registry::{Axis, Listed, Param, Registry};
use serde_json::{Value, json};
use std::fmt::{Result, Write};

/// A listing for a terminal.
pub fn text(registry: &Registry) -> String {
    let mut out = String::new();
    for (axis, policies) in registry.axes() {
        write_text(&mut out, &axis, &policies).expect("a string takes everything");
    }
    out
}

fn write_text(out: &mut String, axis: &Axis, policies: &[Listed]) -> Result {
    writeln!(out, "{}  {}\n{}{}", axis.name.to_uppercase(), chooser(axis), axis.summary, default(axis))?;
    for policy in policies {
        writeln!(out, "\n  {}: {}", policy.name, policy.summary)?;
        writeln!(out, "      {}", policy.formula)?;
        for param in policy.params {
            let Param { name, summary, default, range } = param;
            writeln!(out, "      --{name} NUM: {summary}; {} [default: {default}]", range.text())?;
        }
        writeln!(out, "      example: {}", example(axis, policy))?;
    }
    writeln!(out)
}

/// One JSON document.
pub fn json(registry: &Registry) -> String {
    let axes: Vec<Value> =
        registry.axes().iter().map(|(axis, policies)| axis_as_json(axis, policies)).collect();
    let mut text = serde_json::to_string_pretty(&json!({ "axes": axes })).expect("keys are texts");
    text.push('\n');
    text
}

fn axis_as_json(axis: &Axis, policies: &[Listed]) -> Value {
    let params = |policy: &Listed| -> Vec<Value> {
        let param = |param: &Param| {
            json!({
                "flag": format!("--{}", param.name),
                "policy_file_key": key_of(axis, param),
                "summary": param.summary,
                "default": param.default,
                "allowed": param.range.text(),
            })
        };
        policy.params.iter().map(param).collect()
    };
    let policies = policies.iter().map(|policy| {
        json!({
            "name": policy.name,
            "summary": policy.summary,
            "formula": policy.formula,
            "parameters": params(policy),
            "example": example(axis, policy),
            "policy_file_example": policy_file(axis, policy),
        })
    });
    json!({
        "axis": axis.name,
        "summary": axis.summary,
        "flag": format!("--{}", axis.flag),
        "policy_file_key": axis.key,
        "default": Some(axis.default).filter(|name| !name.is_empty()),
        "policies": policies.collect::<Vec<_>>(),
    })
}

/// A page of the documentation.
pub fn markdown(registry: &Registry) -> String {
    let mut out = String::from(
        "# Policies\n\nEvery policy that the program has, by axis, with its rule, its parameters and an example. This page is what \
         `blis policies --markdown` prints; `blis policies` shows the same in a terminal and `--json` gives it to programs. \
         A policy is chosen by its flag or in a policy file (`--policy-config`); a flag goes before the file. A program with \
         policies of its own lists them too, see `examples/own-policies`.\n",
    );
    for (axis, policies) in registry.axes() {
        write_markdown(&mut out, &axis, &policies).expect("a string takes everything");
    }
    out
}

fn write_markdown(out: &mut String, axis: &Axis, policies: &[Listed]) -> Result {
    let mut title = axis.name.to_owned();
    title[..1].make_ascii_uppercase();
    let key = axis.key.map_or_else(String::new, |key| format!(" or `{key}` in a policy file"));
    let needs = if axis.needs.is_empty() { String::new() } else { format!(", with `{}`", axis.needs) };
    let default =
        if axis.default.is_empty() { String::new() } else { format!("; default `{}`", axis.default) };
    writeln!(out, "\n## {title}\n\n{} Chosen by `--{}`{key}{needs}{default}.", axis.summary, axis.flag)?;
    for policy in policies {
        writeln!(out, "\n### {} ({})\n\n{}.\n", policy.name, axis.name, capitalised(policy.summary))?;
        writeln!(out, "```\n{}\n```\n", policy.formula)?;
        if !policy.params.is_empty() {
            writeln!(out, "| flag | key | meaning | allowed | default |\n|---|---|---|---|---|")?;
            for param in policy.params {
                let key = key_of(axis, param).map_or_else(|| "–".to_owned(), |key| format!("`{key}`"));
                let Param { name, summary, default, range } = param;
                writeln!(out, "| `--{name}` | {key} | {summary} | {} | {default} |", range.text())?;
            }
            writeln!(out)?;
        }
        writeln!(out, "Example: `{}`", example(axis, policy))?;
        if let Some(file) = policy_file(axis, policy) {
            writeln!(out, "\n```yaml\n{file}```")?;
        }
    }
    Ok(())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn chooser(axis: &Axis) -> String {
    let key = axis.key.map_or_else(String::new, |key| format!(", or {key} in a policy file"));
    format!("--{} NAME{key}", axis.flag)
}

fn default(axis: &Axis) -> String {
    if axis.default.is_empty() { String::new() } else { format!(" [default: {}]", axis.default) }
}

/// The keys that lead to where the policies of an axis are chosen, and the last key.
fn path(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

/// Where a parameter stands in a policy file.
fn key_of(axis: &Axis, param: &Param) -> Option<String> {
    let (section, _) = path(axis.key?);
    Some(format!("{section}.{}", param.key()))
}

/// Whether the axis takes a list of names with weights.
fn is_list(axis: &Axis) -> bool {
    axis.default.is_empty()
}

/// The flags that choose the policy, with its parameters at their defaults.
pub fn example(axis: &Axis, policy: &Listed) -> String {
    let weight = if is_list(axis) { ":1" } else { "" };
    let mut words = vec![axis.needs.to_owned(), format!("--{} {}{weight}", axis.flag, policy.name)];
    words.extend(policy.params.iter().map(|param| format!("--{} {}", param.name, param.default)));
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// A policy file that chooses the policy, with its parameters at their defaults.
pub fn policy_file(axis: &Axis, policy: &Listed) -> Option<String> {
    let (section, key) = path(axis.key?);
    let chosen = if is_list(axis) {
        vec![format!("{key}:"), format!("  - {{name: {}, weight: 1}}", policy.name)]
    } else {
        vec![format!("{key}: {}", policy.name)]
    };
    let params = policy.params.iter().map(|param| format!("{}: {}", param.key(), param.default));
    let lines = chosen.into_iter().chain(params);
    Some(if section.is_empty() {
        lines.map(|line| line + "\n").collect()
    } else {
        std::iter::once(format!("{section}:\n")).chain(lines.map(|line| format!("  {line}\n"))).collect()
    })
}
