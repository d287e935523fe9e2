//! Flags in a file: a mapping from their names to their values.
//!
//! ```yaml
//! model: qwen/qwen3-14b
//! rate: 20
//! set:
//!   tp: [1, 2]
//!   max-num-seqs: log:16..512/6
//! ```

use blis_config::diagnostic::Diagnostic;
use blis_config::yaml;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Flags that may be given several times.
const REPEATED: [&str; 3] = ["set", "try", "with"];

/// The words of the flags in a file, `--name=value` each; a mapping gives one word per key, `--set=key=values`.
///
/// # Errors
/// The file cannot be read, or is not such a mapping.
pub(crate) fn words(flag: &str, path: &Path) -> Result<Vec<OsString>, Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| vec![Diagnostic::new(format!("{flag}: cannot read {shown}: {error}"))])?;
    let root: Value = yaml::from_str(&text, &shown)?;
    of_value(&root).map_err(|problems| problems.into_iter().map(|problem| problem.in_file(&shown)).collect())
}

/// The same of a mapping.
///
/// # Errors
/// Everything that is no flag's value.
pub(crate) fn of_value(root: &Value) -> Result<Vec<OsString>, Vec<Diagnostic>> {
    let Value::Object(flags) = root else {
        return Err(vec![Diagnostic::new("there must be a mapping from flags to values")]);
    };
    let (mut words, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in flags {
        let name = name.trim_start_matches('-').replace('_', "-");
        let mut add = |value: Result<Option<String>, Diagnostic>| match value {
            Ok(Some(value)) => words.push(OsString::from(format!("--{name}={value}"))),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        };
        match value {
            Value::Object(settings) if REPEATED.contains(&name.as_str()) => {
                for (key, values) in settings {
                    let values = text(&format!("{name}.{key}"), values);
                    add(values.map(|values| values.map(|values| format!("{key}={values}"))));
                }
            }
            Value::Object(settings) => {
                let pair = |(key, value): (&String, &Value)| {
                    Ok(text(&format!("{name}.{key}"), value)?.map(|value| format!("{key}={value}")))
                };
                let pairs: Result<Vec<_>, Diagnostic> = settings.iter().map(pair).collect();
                add(pairs.map(|pairs| Some(pairs.into_iter().flatten().collect::<Vec<_>>().join(","))));
            }
            Value::Array(items) if REPEATED.contains(&name.as_str()) => {
                for item in items {
                    add(text(&name, item));
                }
            }
            _ if name == "config" => {
                problems.push(Diagnostic::new("config is not a flag for a file of flags"));
            }
            value => add(text(&name, value)),
        }
    }
    if problems.is_empty() { Ok(words) } else { Err(problems) }
}

/// A value as it is written behind a flag; `None` for nothing.
fn text(name: &str, value: &Value) -> Result<Option<String>, Diagnostic> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(scalar).collect();
            let items =
                items.ok_or_else(|| Diagnostic::new(format!("{name} must be a list of plain values")))?;
            let separator = if items.iter().any(|item| item.contains(',')) { "|" } else { "," };
            Ok(Some(items.join(separator)))
        }
        value => scalar(value)
            .map(Some)
            .ok_or_else(|| Diagnostic::new(format!("{name} must be a value or a list"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_flags_and_mappings_are_flags_given_several_times() {
        let root = json!({
            "model": "qwen/qwen3-14b", "rate": 20, "enable_expert_parallel": true, "seed": null,
            "set": {"tp": [1, 2], "routing-scorers": ["a:1,b:2", "a:1"], "max-num-seqs": "log:16..512/6"},
        });
        let words: Vec<_> =
            of_value(&root).unwrap().into_iter().map(|word| word.into_string().unwrap()).collect();
        let expected = [
            "--model=qwen/qwen3-14b",
            "--rate=20",
            "--enable-expert-parallel=true",
            "--set=tp=1,2",
            "--set=routing-scorers=a:1,b:2|a:1",
            "--set=max-num-seqs=log:16..512/6",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn what_no_flag_can_be_is_named() {
        let problems = of_value(&json!({"a": [[1]], "set": {"b": {"c": 1}}})).unwrap_err();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["a must be a list of plain values", "set.b must be a value or a list"]);
        assert_eq!(of_value(&json!([1])).unwrap_err().len(), 1);
    }
}
