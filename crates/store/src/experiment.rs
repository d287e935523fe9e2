//! What was asked, and how that is kept.

use crate::digest;
use crate::error::Error;
use crate::shard::{FORMAT, TRIAL};
use crate::value::Column;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name of the file in its folder.
pub(crate) const FILE: &str = "experiment.json";
/// How the names of files begin that are not in its place yet.
pub(crate) const STEM: &str = "experiment";
/// Tables of SQLite have 2,000 columns at most; one is the trial's number.
const MOST_COLUMNS: usize = 1999;

/// What was asked. Two experiments are the same when all of this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What it is called.
    pub name: String,
    /// The command that asked, such as `sweep`.
    pub command: String,
    /// Version of the program; another one may find other figures.
    pub version: String,
    /// How many trials are planned, numbered from 0; `None` where that shows on the way.
    pub trials: Option<u64>,
    /// The columns of every row.
    pub columns: Vec<Column>,
    /// The question itself, of which this crate knows nothing.
    pub definition: Json,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    fingerprint: String,
    experiment: Experiment,
}

impl Experiment {
    /// What tells experiments apart: a checksum of everything in it. The order of keys does not matter.
    pub fn fingerprint(&self) -> String {
        digest::of(self.canonical().to_string().as_bytes())
    }

    /// The experiment with all keys in order.
    fn canonical(&self) -> Json {
        sorted(serde_json::to_value(self).expect("an experiment is plain data"))
    }

    /// # Errors
    /// Names of columns that files or SQL could not tell apart.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.columns.len() > MOST_COLUMNS {
            let count = self.columns.len();
            return Err(Error::BadColumns(format!(
                "there are {count} columns; at most {MOST_COLUMNS} can be"
            )));
        }
        // SQL does not tell capital letters from small ones.
        let mut names = BTreeSet::from([TRIAL.to_owned()]);
        for Column { name, .. } in &self.columns {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(Error::BadColumns(format!(
                    "a column is called {name:?}; a name has at least one character and no control characters"
                )));
            }
            if !names.insert(name.to_lowercase()) {
                return Err(Error::BadColumns(format!(
                    "two columns are called \"{name}\"; capital letters make no difference, and \"{TRIAL}\" is always there"
                )));
            }
        }
        Ok(())
    }

    /// The bytes of its file.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let document = Document { format: FORMAT, fingerprint: self.fingerprint(), experiment: self.clone() };
        let mut text = serde_json::to_string_pretty(&document).expect("an experiment is plain data");
        text.push('\n');
        text.into_bytes()
    }

    /// # Errors
    /// The bytes are not those of such a file.
    pub(crate) fn from_file(file: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let bad = |reason| Error::BadExperiment { file: file.to_owned(), reason };
        let json: Json = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        if let Some(format) = json.get("format").filter(|&format| format.as_u64() != Some(FORMAT.into())) {
            return Err(bad(format!("its format is {format}; this program reads format {FORMAT}")));
        }
        let document: Document = serde_json::from_value(json).map_err(|error| bad(error.to_string()))?;
        if document.experiment.fingerprint() != document.fingerprint {
            return Err(bad("its content does not match its fingerprint".to_owned()));
        }
        Ok(document.experiment)
    }

    /// The first point in which another experiment differs from this one, which is there already.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        difference("", Some(&self.canonical()), Some(&other.canonical()))
    }
}

fn sorted(json: Json) -> Json {
    match json {
        Json::Array(items) => items.into_iter().map(sorted).collect(),
        Json::Object(fields) => {
            let fields: BTreeMap<_, _> =
                fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.into_iter().collect()
        }
        plain => plain,
    }
}

fn difference(path: &str, there: Option<&Json>, here: Option<&Json>) -> Option<String> {
    match (there, here) {
        (Some(Json::Object(there)), Some(Json::Object(here))) => {
            let keys: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
            keys.into_iter().find_map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                difference(&path, there.get(key), here.get(key))
            })
        }
        (Some(Json::Array(there)), Some(Json::Array(here))) => (0..there.len().max(here.len()))
            .find_map(|i| difference(&format!("{path}[{i}]"), there.get(i), here.get(i))),
        (there, here) if there == here => None,
        (there, here) => {
            let shown = |json: Option<&Json>| json.map_or_else(|| "absent".to_owned(), Json::to_string);
            Some(format!("{path} is {} there and {} here", shown(there), shown(here)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Experiment;
    use crate::value::{Column, Kind, Role};
    use serde_json::json;
    use std::path::Path;

    fn experiment() -> Experiment {
        Experiment {
            name: "chat".to_owned(),
            command: "sweep".to_owned(),
            version: "0.1.0".to_owned(),
            trials: Some(6),
            columns: vec![
                Column::new("tp", Kind::Integer, Role::Setting),
                Column::new("ttft_p99_ms", Kind::Real, Role::Figure),
            ],
            definition: json!({"seed": 42, "set": {"tp": [1, 2, 4]}, "rate": 10.1}),
        }
    }

    #[test]
    fn a_file_reads_back_the_same_and_no_flipped_bit_goes_unnoticed() {
        let path = Path::new("experiment.json");
        let file = experiment().to_file();
        assert_eq!(Experiment::from_file(path, &file).expect("sound"), experiment());
        for place in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[place] ^= 1 << bit;
                match Experiment::from_file(path, &damaged) {
                    Err(problem) => {
                        assert!(problem.to_string().starts_with("experiment.json: "), "{problem}");
                    }
                    Ok(read) => assert_eq!(read, experiment(), "bit {bit} of byte {place}"),
                }
            }
        }
    }

    #[test]
    fn the_order_of_keys_makes_no_difference_and_any_value_does() {
        let mut other = experiment();
        other.definition = json!({"rate": 10.1, "set": {"tp": [1, 2, 4]}, "seed": 42});
        assert_eq!(other.fingerprint(), experiment().fingerprint());
        assert_eq!(experiment().difference(&other), None);

        other.definition["set"]["tp"] = json!([1, 2]);
        assert_ne!(other.fingerprint(), experiment().fingerprint());
        assert_eq!(
            experiment().difference(&other).as_deref(),
            Some("definition.set.tp[2] is 4 there and absent here")
        );
        other.columns[0].kind = Kind::Text;
        assert_eq!(
            experiment().difference(&other).as_deref(),
            Some("columns[0].kind is \"integer\" there and \"text\" here")
        );
    }

    #[test]
    fn columns_that_sql_cannot_tell_apart_are_refused() {
        for (name, said) in [
            ("TP", "two columns are called \"TP\""),
            ("Trial", "\"trial\" is always there"),
            ("", "called \"\""),
        ] {
            let mut bad = experiment();
            bad.columns.push(Column::new(name, Kind::Flag, Role::Note));
            let problem = bad.check().expect_err(name).to_string();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
