//! The one place that reads and writes YAML.

pub(crate) mod tree;
mod unknown_keys;

use crate::diagnostic::{Diagnostic, nearest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::{DuplicateKeyPolicy, Error};
use unknown_keys::{Found, UnknownKey, Watch};

/// A value together with its position in the text, for checks that come after reading.
pub use serde_saphyr::{Location, Spanned};

/// Writes one YAML document.
///
/// # Panics
/// When a key of a mapping is itself a list or a mapping.
pub fn to_string<T: Serialize>(value: &T) -> String {
    serde_saphyr::to_string(value).expect("keys are scalars, and writing to memory does not fail")
}

/// Reads one YAML document. Keys given twice and keys that a struct does not have are refused, the latter with the
/// nearest key that it has.
///
/// # Errors
/// All unknown keys and the first other problem, with line and column in `file_name`.
pub fn from_str<T: DeserializeOwned>(text: &str, file_name: &str) -> Result<T, Vec<Diagnostic>> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::Error, with_snippet: false };
    let found = Found::default();
    let result = serde_saphyr::with_deserializer_from_str_with_options(text, options, |inner| {
        T::deserialize(Watch { inner, found: &found })
    });
    let mut problems: Vec<_> =
        found.take().iter().map(|key| unknown_key(key, text).in_file(file_name)).collect();
    match result {
        Ok(value) if problems.is_empty() => return Ok(value),
        Ok(_) => {}
        Err(error) => problems.push(describe(&error).in_file(file_name)),
    }
    Err(problems)
}

fn unknown_key(unknown: &UnknownKey, text: &str) -> Diagnostic {
    let problem = unknown_name("key", &unknown.key, unknown.allowed);
    // What precedes a value most closely and reads like its key is its key.
    let value_start = unknown.value_at.span().byte_offset().and_then(|offset| text.get(..offset as usize));
    match value_start.and_then(|before| before.rfind(&unknown.key)) {
        Some(start) => {
            let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
            let line = text[..start].matches('\n').count() + 1;
            problem.at(line as u32, text[line_start..start].chars().count() as u32 + 1)
        }
        None => at(problem, Some(unknown.value_at)),
    }
}

fn at(problem: Diagnostic, place: Option<Location>) -> Diagnostic {
    match place {
        Some(place) if place.line() > 0 => problem.at(place.line() as u32, place.column() as u32),
        _ => problem,
    }
}

fn describe(error: &Error) -> Diagnostic {
    let problem = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => unknown_name("key", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown_name("value", variant, expected),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            Diagnostic::new(format!("key \"{key}\" is given twice")).with_help("keep one of them")
        }
        Error::SerdeMissingField { field, .. } => Diagnostic::new(format!("key \"{field}\" is missing")),
        other => {
            // The rendered message repeats the position, which the diagnostic carries itself.
            let text = other.render();
            let text = text.split(" at line ").next().unwrap_or(&text);
            Diagnostic::new(text.trim().trim_start_matches("error: "))
        }
    };
    at(problem, error.location())
}

fn unknown_name(what: &str, name: &str, known: &[&'static str]) -> Diagnostic {
    let mut known = known.to_vec();
    known.sort_unstable();
    let problem = Diagnostic::new(format!("unknown {what} \"{name}\", allowed: {}", known.join(", ")));
    match nearest(name, &known) {
        Some(near) => problem.with_help(format!("did you mean \"{near}\"?")),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::from_str;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Bucket {
        capacity: f64,
        #[serde(default)]
        names: Vec<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    enum Shape {
        Point,
        Buckets { list: Vec<Option<Bucket>> },
    }

    fn problems(text: &str) -> Vec<String> {
        from_str::<Bucket>(text, "b.yaml").unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn problem(text: &str) -> String {
        problems(text).remove(0)
    }

    #[test]
    fn a_document_is_read_into_its_type() {
        let bucket: Bucket = from_str("capacity: 5\nnames: [a, b]\n", "b.yaml").unwrap();
        assert_eq!(bucket, Bucket { capacity: 5.0, names: vec!["a".into(), "b".into()] });
    }

    #[test]
    fn problems_name_the_place_the_key_and_what_is_allowed() {
        assert_eq!(
            problem("capacity: 5\ncapasity: 6\n"),
            "b.yaml:2:1: unknown key \"capasity\", allowed: capacity, names; did you mean \"capacity\"?"
        );
        assert_eq!(
            problem("capacity: 5\ncapacity: 6\n"),
            "b.yaml:2:1: key \"capacity\" is given twice; keep one of them"
        );
        assert!(
            problem("names: []\n").ends_with("key \"capacity\" is missing"),
            "{}",
            problem("names: []\n")
        );
        assert!(problem("capacity: much\n").starts_with("b.yaml:1:11: "), "{}", problem("capacity: much\n"));
        assert!(problem("capacity: [\n").starts_with("b.yaml:"), "{}", problem("capacity: [\n"));
    }

    #[test]
    fn all_unknown_keys_are_found_at_once_wherever_they_stand() {
        assert_eq!(
            problems("names: [capasity]\ncapasity:\n  deep: {er: 1}\nname:\n"),
            [
                "b.yaml:2:1: unknown key \"capasity\", allowed: capacity, names; did you mean \"capacity\"?",
                "b.yaml:4:1: unknown key \"name\", allowed: capacity, names; did you mean \"names\"?",
                "b.yaml:4:1: key \"capacity\" is missing",
            ]
        );
        let text = "Buckets:\n  list: [{capacity: 1, kapacity: 2}, ~, {capacity: 3, x: 4}]\n  lists: 5\n";
        let nested = from_str::<Shape>(text, "s.yaml").unwrap_err();
        let places: Vec<_> = nested.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(Some(2), Some(24)), (Some(2), Some(55)), (Some(3), Some(3))]);
        assert_eq!(from_str("Point", "s.yaml"), Ok(Shape::Point));
    }
}
