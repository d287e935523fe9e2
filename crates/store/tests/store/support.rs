//! What the tests share.

use blis_store::{Column, Experiment, Kind, Role, Row, Value};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is not there yet.
pub(crate) fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).expect("an old folder can be removed");
    }
    path
}

/// An experiment with a column of every kind.
pub(crate) fn experiment(trials: Option<u64>) -> Experiment {
    Experiment {
        name: "chat".to_owned(),
        command: "sweep".to_owned(),
        version: "0.1.0".to_owned(),
        trials,
        columns: vec![
            Column::new("tp", Kind::Integer, Role::Setting),
            Column::new("chunked", Kind::Flag, Role::Setting),
            Column::new("ttft_p99_ms", Kind::Real, Role::Figure),
            Column::new("note", Kind::Text, Role::Note),
        ],
        definition: json!({"rate": 10, "seed": 42}),
    }
}

/// What a trial of [`experiment`] gives: a function of its number, as for a simulator.
pub(crate) fn row(trial: u64) -> Row {
    let failed = trial % 5 == 3;
    Row {
        trial,
        values: vec![
            Value::Integer(1 << (trial % 4)),
            Value::Flag(trial.is_multiple_of(2)),
            if failed { Value::Empty } else { Value::Real(1000.0 / (trial as f64 + 3.0)) },
            if failed {
                Value::Text(format!("trial {trial}: no memory for \"KV\" – ☂"))
            } else {
                Value::Empty
            },
        ],
    }
}

/// The files with rows, with their bytes.
pub(crate) fn shards(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut shards: Vec<_> = fs::read_dir(folder.join("rows"))
        .expect("a folder with rows")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a file"))
        })
        .collect();
    shards.sort();
    shards
}
