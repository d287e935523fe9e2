//! A selection of the reference's recorded runs: the same command gives the same figures.
//!
//! Each folder of `testdata/parity` holds a command line, its input files, and what the reference printed and wrote.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Figures agree when they differ by less than this share; counts and names must be equal.
const TOLERANCE: f64 = 1e-9;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity");
    let mut cases: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    cases
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every difference between two documents; what only we have is ignored.
fn compare(at: &str, expected: &Value, got: &Value, found: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(e), Value::Object(g)) => {
            for (key, value) in e {
                compare(&format!("{at}.{key}"), value, g.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(e), Value::Array(g)) if e.len() == g.len() => {
            for (i, (e, g)) in e.iter().zip(g).enumerate() {
                compare(&format!("{at}[{i}]"), e, g, found);
            }
        }
        (Value::Number(e), Value::Number(g)) => {
            let (e, g) = (e.as_f64().unwrap(), g.as_f64().unwrap());
            if (e - g).abs() > TOLERANCE * e.abs().max(g.abs()) {
                found.push(format!("{at}: expected {e}, got {g}"));
            }
        }
        _ if expected == got => {}
        _ => found.push(format!("{at}: expected {expected}, got {got}")),
    }
}

/// Standard output as its JSON documents and its other lines.
fn parts(text: &str) -> (Vec<Value>, Vec<&str>) {
    let (mut documents, mut lines, mut json) = (Vec::new(), Vec::new(), None::<String>);
    for line in text.lines() {
        match (&mut json, line) {
            (None, "{") => json = Some("{".to_owned()),
            (None, _) => lines.push(line),
            (Some(text), _) => {
                text.push('\n');
                text.push_str(line);
                if line == "}" {
                    documents.push(serde_json::from_str(text).expect("a JSON document on standard output"));
                    json = None;
                }
            }
        }
    }
    (documents, lines)
}

/// `requests` of a metrics file in order of id: the reference leaves the order of equal arrivals open.
fn sort_requests(document: &mut Value) {
    if let Some(requests) = document.get_mut("requests").and_then(Value::as_array_mut) {
        requests.sort_by_key(|r| r["requestID"].as_str().unwrap_or_default().to_owned());
    }
}

fn check(case: &Path, found: &mut Vec<String>) {
    let name = case.file_name().unwrap().to_str().unwrap();
    let definition: Value =
        serde_json::from_str(&std::fs::read_to_string(case.join("case.json")).unwrap()).unwrap();
    let work = std::env::temp_dir().join(format!("blis-parity-{}-{name}", std::process::id()));
    copy_folder(case, &work);
    let arguments: Vec<_> =
        definition["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let simulates = matches!(arguments[0], "run" | "replay");
    let output = Command::new(env!("CARGO_BIN_EXE_blis"))
        .args(arguments)
        .args(if simulates { &["--compat", "inference-sim"][..] } else { &[] })
        .current_dir(&work)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));

    if let Some(error) = definition.get("error") {
        let code = error["exit"].as_i64().unwrap();
        if output.status.code().map(i64::from) != Some(code) || !stdout.is_empty() {
            found.push(format!(
                "{name}: exit {:?} with stdout {stdout:?}, expected {code}",
                output.status.code()
            ));
        }
        for words in error["mention"].as_array().unwrap() {
            let (words, said) = (words.as_str().unwrap().to_lowercase(), stderr.to_lowercase());
            if !words.split('|').any(|word| said.contains(word)) {
                found.push(format!("{name}: the message does not mention {words:?}: {stderr}"));
            }
        }
    } else if output.status.success() {
        // What only a person reads is not recorded.
        let expected = std::fs::read_to_string(case.join("expected/stdout.txt")).unwrap_or_default();
        let (mut expected_documents, expected_lines) = parts(&expected);
        let (documents, lines) = parts(&stdout);
        if definition.get("reference").is_some() {
            // That release counted one output token fewer per request.
            for document in &mut expected_documents {
                let fields = document.as_object_mut().unwrap();
                fields.remove("total_output_tokens");
                fields.remove("tokens_per_sec");
            }
        }
        compare(&format!("{name} stdout"), &expected_documents.into(), &documents.into(), found);
        for line in expected_lines {
            if !lines.contains(&line) {
                found.push(format!("{name} stdout: no line {line:?}"));
            }
        }
        for file in definition.get("outputs").and_then(Value::as_array).into_iter().flatten() {
            let file = file.as_str().unwrap();
            let read = |folder: &Path| -> Value {
                let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
                let mut document = serde_json::from_str(&text).unwrap_or(Value::Null);
                sort_requests(&mut document);
                document
            };
            compare(&format!("{name} {file}"), &read(&case.join("expected")), &read(&work), found);
        }
    } else {
        found.push(format!("{name}: {:?}: {stderr}", output.status));
    }
    std::fs::remove_dir_all(&work).unwrap();
}

#[test]
fn recorded_commands_give_the_references_figures() {
    let mut found = Vec::new();
    let cases = cases();
    for case in &cases {
        check(case, &mut found);
    }
    assert!(cases.len() >= 40, "only {} cases were found", cases.len());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
