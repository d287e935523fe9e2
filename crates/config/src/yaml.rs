//! The one place that reads and writes YAML.

pub(crate) mod tree;
mod watch;

use crate::diagnostic::{Diagnostic, nearest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::{DuplicateKeyPolicy, Error};
use watch::{Findings, Found, Key, UnknownKey, Watch};

/// A value together with its position in the text, for checks that come after reading.
pub use serde_saphyr::{Location, Spanned};

/// Writes one YAML document.
///
/// # Panics
/// When a key of a mapping is itself a list or a mapping.
pub fn to_string<T: Serialize>(value: &T) -> String {
    serde_saphyr::to_string(value).expect("keys are scalars, and writing to memory does not fail")
}

/// How many values of the wrong type are told at once; each costs another reading.
const MAX_WRONG_VALUES: usize = 100;

/// Reads one YAML document. Keys given twice and keys that a struct does not have are refused, the latter with the
/// nearest key that it has.
///
/// # Errors
/// All unknown keys and all values of the wrong type, with line and column in `file_name`. A key that is given twice,
/// or text that is no YAML, ends the reading.
pub fn from_str<T: DeserializeOwned>(text: &str, file_name: &str) -> Result<T, Vec<Diagnostic>> {
    let mut wrong: Vec<(Key, Option<Diagnostic>)> = Vec::new();
    loop {
        let stepped_over: Vec<Key> = wrong.iter().map(|(key, _)| key.clone()).collect();
        let found = Found::new(Findings { stepped_over, ..Findings::default() });
        let options =
            serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::Error, with_snippet: false };
        let result = serde_saphyr::with_deserializer_from_str_with_options(text, options, |inner| {
            T::deserialize(Watch { inner, found: &found })
        });
        let found = found.into_inner();
        let mut last = None;
        // What was stepped over seems to be missing.
        let tell = |error: &Error| match error.without_snippet() {
            Error::SerdeMissingField { field, .. } if wrong.iter().any(|(key, _)| key.name == *field) => None,
            _ => Some(describe(error)),
        };
        match (result, found.failed) {
            (Ok(value), _) if wrong.is_empty() && found.unknown.is_empty() => return Ok(value),
            (Ok(_), _) => {}
            (Err(error), Some(key)) if may_go_on(&error, &key, &wrong) => {
                let problem = tell(&error);
                wrong.push((key, problem));
                continue;
            }
            (Err(error), _) => {
                let is_missing_key = matches!(error.without_snippet(), Error::SerdeMissingField { .. });
                last = tell(&error).map(|problem| (problem, is_missing_key));
            }
        }
        let mut problems: Vec<Diagnostic> = found.unknown.iter().map(unknown_key).collect();
        for (key, problem) in wrong.iter().filter_map(|(key, problem)| Some((key, problem.as_ref()?))) {
            let value_at = found.values_at.iter().find(|(stepped_over, _)| stepped_over == key);
            problems.push(wrong_value(key, value_at.map_or(key.at, |(_, value_at)| *value_at), problem));
        }
        // Broken text fails again when it is stepped over.
        let is_told =
            |error: &Diagnostic| problems.iter().any(|p| (p.line, p.column) == (error.line, error.column));
        let last = last.filter(|(error, is_missing_key)| *is_missing_key || !is_told(error));
        problems.extend(last.map(|(error, _)| error));
        problems.sort_by_key(|problem| (problem.line.unwrap_or(u32::MAX), problem.column));
        return Err(problems.into_iter().map(|problem| problem.in_file(file_name)).collect());
    }
}

/// Whether the rest can be read when this value is stepped over.
fn may_go_on(error: &Error, key: &Key, wrong: &[(Key, Option<Diagnostic>)]) -> bool {
    let is_text_broken = matches!(error.without_snippet(), Error::DuplicateMappingKey { .. });
    let is_new = key.at.line() > 0 && wrong.iter().all(|(earlier, _)| earlier != key);
    !is_text_broken && is_new && wrong.len() < MAX_WRONG_VALUES
}

fn wrong_value(key: &Key, value_at: Location, problem: &Diagnostic) -> Diagnostic {
    let message = format!("{}: {}", key.name, problem.message);
    let start = (value_at.line() as u32, value_at.column() as u32);
    match problem.line.zip(problem.column) {
        // A part of the value is to blame.
        Some(place) if place >= start => Diagnostic { message, ..problem.clone() },
        _ => Diagnostic { message, ..problem.clone() }.at(start.0, start.1),
    }
}

fn unknown_key(unknown: &UnknownKey) -> Diagnostic {
    at(unknown_name("key", &unknown.key, unknown.allowed), Some(unknown.at))
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
    fn all_values_of_the_wrong_type_are_found_at_once_where_they_stand() {
        assert_eq!(
            problems("capacity: much\nnames:\n  - a\n  - {b: 1}\nname: 4\n"),
            [
                "b.yaml:1:11: capacity: invalid floating point",
                "b.yaml:4:5: names: expected string scalar",
                "b.yaml:5:1: unknown key \"name\", allowed: capacity, names; did you mean \"names\"?",
            ]
        );
        let text = "Buckets:\n  list:\n    - {capacity: 1, names: 5}\n    - {capacity: x}\n";
        let nested = from_str::<Shape>(text, "s.yaml").unwrap_err();
        let places: Vec<_> = nested.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(Some(3), Some(28)), (Some(4), Some(18))], "{nested:?}");
        let broken = problems("capacity: much\nnames: [\n");
        assert!(broken[0].starts_with("b.yaml:1:11: ") && broken.len() == 2, "{broken:?}");
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
