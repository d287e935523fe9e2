//! The one place that reads YAML.

use crate::diagnostic::{Diagnostic, nearest};
use serde::de::DeserializeOwned;
use serde_saphyr::{DuplicateKeyPolicy, Error};

/// A value together with its position in the text, for checks that come after reading.
pub use serde_saphyr::Spanned;

/// Reads one YAML document. Keys given twice are refused; keys that `T` does not have are refused where `T` says
/// `#[serde(deny_unknown_fields)]`, with the nearest known key.
///
/// # Errors
/// What is wrong, with line and column in `file_name`.
pub fn from_str<T: DeserializeOwned>(text: &str, file_name: &str) -> Result<T, Vec<Diagnostic>> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::Error, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| vec![describe(&error, file_name)])
}

fn describe(error: &Error, file_name: &str) -> Diagnostic {
    let problem = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
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
    let problem = problem.in_file(file_name);
    match error.location() {
        Some(place) if place.line() > 0 => problem.at(place.line() as u32, place.column() as u32),
        _ => problem,
    }
}

fn unknown(what: &str, name: &str, known: &[&'static str]) -> Diagnostic {
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

    fn problem(text: &str) -> String {
        from_str::<Bucket>(text, "b.yaml").unwrap_err()[0].to_string()
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
}
