//! `blis results`: experiments that were kept, as their readers see them.

use crate::support::{Ran, blis_words, directory, refused};
use blis_store::{Column, Experiment, Folder, Kind, Part, Role, Row, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// An experiment of six trials, of which so many are there.
fn kept(root: &Path, name: &str, trials: u64) -> PathBuf {
    let path = root.join(name);
    let experiment = Experiment {
        name: name.to_owned(),
        command: "sweep".to_owned(),
        version: "0.1.0".to_owned(),
        trials: Some(6),
        columns: vec![
            Column::new("hardware", Kind::Text, Role::Setting),
            Column::new("tp", Kind::Integer, Role::Setting),
            Column::new("chunked_prefill", Kind::Flag, Role::Setting),
            Column::new("ttft_p99_ms", Kind::Real, Role::Figure),
            Column::new("completed", Kind::Integer, Role::Figure),
            Column::new("failure", Kind::Text, Role::Note),
        ],
        definition: serde_json::json!({
            "seed": 42,
            "workload": {"rate": 20, "num_requests": 1000, "prompt_tokens": 512, "output_tokens": 128},
            "objectives": [{"figure": "ttft_p99_ms", "direction": "lower"}],
        }),
    };
    let folder = Folder::create(&path, &experiment).expect("a new folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in 0..trials {
        let failed = trial == 2;
        let figure = |value| if failed { Value::Empty } else { value };
        let values = vec![
            Value::Text("H100".to_owned()),
            Value::Integer(1 << (trial / 2)),
            Value::Flag(trial % 2 == 1),
            figure(Value::Real(1000.0 / (trial as f64 + 3.0))),
            figure(Value::Integer(1000)),
            if failed {
                Value::Text("the model, with its KV cache, needs more memory".to_owned())
            } else {
                Value::Empty
            },
        ];
        writer.add(Row { trial, values }).expect("a row that fits");
        if trial == 3 {
            writer.flush().expect("room");
        }
    }
    writer.flush().expect("room");
    path
}

/// `blis results` with these words, in which `@` is the folder.
fn results(folder: &Path, words: &[&str]) -> Ran {
    let folder = folder.to_str().expect("a text");
    let words: Vec<String> = words.iter().map(|word| word.replace('@', folder)).collect();
    let words: Vec<&str> = std::iter::once("results").chain(words.iter().map(String::as_str)).collect();
    let ran = blis_words(&words);
    Ran { stdout: ran.stdout.replace(folder, "@"), stderr: ran.stderr.replace(folder, "@"), ..ran }
}

/// The same, which has to succeed without a warning.
#[track_caller]
fn shown(folder: &Path, words: &[&str]) -> String {
    let ran = results(folder, words);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words:?}");
    ran.stdout
}

#[test]
fn experiments_are_listed_with_what_is_there() {
    let root = directory("kept-list");
    kept(&root, "a", 6);
    kept(&root, "b", 5);
    let damaged = kept(&root, "c", 6);
    fs::write(damaged.join("rows/part-1-of-1-000002.parquet"), b"").expect("room");
    fs::write(kept(&root, "d", 6).join("experiment.json"), b"{}").expect("room");
    let csv = shown(&root, &["list", "--root", "@", "--format", "csv"]);
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["folder", "name", "command", "trials", "planned", "size_bytes", "state"]);
    let told: Vec<_> = lines[1..4].iter().map(|line| (line[0], line[2], line[3], line[4], line[6])).collect();
    assert_eq!(
        told,
        [
            ("@/a", "sweep", "6", "6", "complete"),
            ("@/b", "sweep", "5", "6", "1 missing"),
            ("@/c", "sweep", "4", "6", "1 damaged file"),
        ]
    );
    assert_eq!(lines[4], ["@/d", "", "", "", "", "", "@/d/experiment.json: missing field `format`"]);
    let table = shown(&root, &["list", "--root", "@"]);
    assert!(table.lines().nth(2).is_some_and(|line| line.ends_with("complete")), "{table}");
    refused("results list --root nowhere", &["there is no folder nowhere; --root names"]);
    refused("results list", &["there is no folder blis-results; --root names"]);
}

#[test]
fn an_experiment_is_shown_with_what_was_asked_and_what_was_found() {
    let folder = kept(&directory("kept-show"), "chat", 6);
    assert_eq!(
        shown(&folder, &["show", "@"]),
        "chat: blis sweep 0.1.0 in @
6 of 6 trials are there

asked
  seed        42
  workload    {\"rate\":20,\"num_requests\":1000,\"prompt_tokens\":512,\"output_tokens\":128}
  objectives  [{\"figure\":\"ttft_p99_ms\",\"direction\":\"lower\"}]

settings (flag): chunked_prefill
settings (integer): tp
settings (text): hardware
figures (integer): completed
figures (real): ttft_p99_ms
notes (text): failure
the same in all: hardware H100

 trial   tp   chunked_prefill   ttft_p99_ms   failure
──────────────────────────────────────────────────────────────────────────────────────────────
     0    1             false       333.333
     1    1              true           250
     2    2             false                 the model, with its KV cache, needs more memory
     3    2              true       166.667
     4    4             false       142.857
     5    4              true           125
and 1 more column: --columns names some, or all
"
    );
    let all = shown(&folder, &["show", "@", "--columns", "all", "--limit", "1"]);
    assert!(
        all.ends_with(
            "
 trial   hardware   tp   chunked_prefill   ttft_p99_ms   completed   failure
─────────────────────────────────────────────────────────────────────────────
     0   H100        1             false       333.333        1000
and 5 more trials: --limit
"
        ),
        "{all}"
    );
    assert_eq!(
        shown(&folder, &["show", "@", "--columns", "completed,tp", "--limit", "1", "--format", "csv"]),
        "trial,completed,tp\n0,1000,1\n"
    );
    let best = shown(&folder, &["show", "@", "--sort-by", "ttft_p99_ms", "--limit", "2"]);
    let (_, best) = best.split_once("─\n").expect("a table");
    let trials: Vec<_> =
        best.lines().map(|line| line.split_whitespace().next().unwrap_or_default()).collect();
    assert_eq!(trials[..2], ["5", "4"]);
    assert!(best.contains("\nand 4 more trials: --limit\n"), "{best}");
    let csv = shown(&folder, &["show", "@", "--sort-by=ttft_p99_ms", "--descending", "--format", "csv"]);
    assert_eq!(
        csv,
        "trial,hardware,tp,chunked_prefill,ttft_p99_ms,completed,failure
0,H100,1,false,333.3333333333333,1000,
1,H100,1,true,250,1000,
3,H100,2,true,166.66666666666666,1000,
4,H100,4,false,142.85714285714286,1000,
5,H100,4,true,125,1000,
2,H100,2,false,,,\"the model, with its KV cache, needs more memory\"
"
    );
    let last = shown(&folder, &["show", "@", "--descending", "--limit", "1", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!(document["rows"], serde_json::json!([[5, "H100", 4, true, 125.0, 1000, null]]));
    assert_eq!((&document["trials"], &document["planned_trials"]), (&6.into(), &6.into()));
    assert_eq!(document["definition"]["workload"]["rate"], 20);
    assert_eq!(document["columns"][4]["name"], "ttft_p99_ms");
    let words = format!("results show {} --sort-by ttft_p9_ms --limit -1 --format xml", folder.display());
    refused(&words, &["--limit is -1", "\"xml\""]);
    let words = format!("results show {} --sort-by ttft_p9_ms --columns tp,dp", folder.display());
    refused(
        &words,
        &["unknown column \"ttft_p9_ms\"", "did you mean \"ttft_p99_ms\"?", "unknown column \"dp\""],
    );
}

#[test]
fn an_experiment_is_asked_in_sql() {
    let folder = kept(&directory("kept-query"), "chat", 6);
    let sql = "SELECT tp, min(ttft_p99_ms) AS best_ms FROM trials GROUP BY tp ORDER BY best_ms";
    assert_eq!(
        shown(&folder, &["query", "@", sql]),
        " tp   best_ms\n──────────────\n  4       125\n  2   166.667\n  1       250\n"
    );
    assert_eq!(
        shown(&folder, &["query", "@", sql, "--format=csv"]),
        "tp,best_ms\n4,125\n2,166.66666666666666\n1,250\n"
    );
    assert_eq!(
        shown(&folder, &["query", "@", "SELECT count(*), 1.5, NULL, 'a' FROM trials", "--format", "json"]),
        "{\n  \"columns\": [\"count(*)\",\"1.5\",\"NULL\",\"'a'\"],\n  \"rows\": [\n    [6,1.5,null,\"a\"]\n  ]\n}\n"
    );
    let wrong = results(&folder, &["query", "@", "SELECT ttft FROM trials"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (1, ""));
    assert!(
        wrong.stderr.starts_with(
            "error: SQL: no such column: ttft (at character 8); trials has trial, hardware, tp, chunked_prefill, \
             ttft_p99_ms, completed, failure; "
        ),
        "{}",
        wrong.stderr
    );
}

#[test]
fn damage_is_told_and_hides_nothing_else() {
    let folder = kept(&directory("kept-damage"), "chat", 6);
    let file = folder.join("rows/part-1-of-1-000001.parquet");
    let mut bytes = fs::read(&file).expect("readable");
    bytes[100] ^= 1;
    fs::write(&file, bytes).expect("room");
    let text = shown(&folder, &["show", "@"]);
    let told = "2 of 6 trials are there\ndamaged: @/rows/part-1-of-1-000001.parquet: its bytes do not match its \
                checksum; 4 trials are lost: 0, 1, 2, 3\n";
    assert!(text.contains(told), "{text}");
    let ran = results(&folder, &["query", "@", "SELECT count(*) AS n FROM trials", "--format", "csv"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "n\n2\n"));
    assert_eq!(
        ran.stderr,
        "warning: the rows of part-1-of-1-000001.parquet are left out: its bytes do not match its checksum\n"
    );
    fs::write(folder.join("index.sqlite"), b"rubbish").expect("room");
    let ran = results(&folder, &["query", "@", "SELECT 1"]);
    assert!(ran.stderr.starts_with("warning: @/index.sqlite is made anew: "), "{}", ran.stderr);
}

#[test]
fn folders_without_an_experiment_are_refused_in_words() {
    let root = directory("kept-nothing");
    let show = |path: &Path| format!("results show {}", path.display());
    refused(&show(&root), &["holds no experiment: it has no experiment.json; give the folder"]);
    refused(&show(&root.join("a")), &["there is no folder"]);
    refused("results query", &["FOLDER"]);
    refused("results show", &["FOLDER"]);
}
