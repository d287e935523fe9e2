//! `blis validate` and `blis schema`: files before they are used.

use crate::support::{blis, blis_words, directory, refused};

fn testdata(file: &str) -> String {
    format!("{}/../../testdata/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn good_files_of_every_kind_are_recognised() {
    let folder = directory("validate-good");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).display().to_string()
    };
    let hardware = "{\"H9\": {\"TFlopsPeak\": 900, \"BwPeakTBs\": 3.3, \"MemoryGiB\": 80}}";
    let files = [
        (testdata("parity/wl-arrivals-all/workload.yaml"), "workload file"),
        (testdata("replay/sessions.yaml"), "trace header"),
        (testdata("replay/sessions.csv"), "rows of a trace"),
        (testdata("parity/defaults-own-preset/own-defaults.yaml"), "defaults file"),
        (write("policy.yaml", "routing:\n  policy: least-loaded\n"), "policy file"),
        (
            format!("{}/../../examples/epp-prefix-aware.yaml", env!("CARGO_MANIFEST_DIR")),
            "Endpoint Picker configuration",
        ),
        (write("hardware.json", hardware), "hardware table"),
    ];
    let words: Vec<&str> =
        std::iter::once("validate").chain(files.iter().map(|(file, _)| file.as_str())).collect();
    let ran = blis_words(&words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected: Vec<_> =
        files.iter().map(|(file, kind)| format!("{file}: {kind}, nothing wrong\n")).collect();
    assert_eq!(ran.stdout, expected.concat());
}

/// Law: everything that is wrong with any of the files is told at once, with its place and what was meant.
#[test]
fn everything_wrong_with_all_files_is_told_at_once() {
    let folder = directory("validate-bad");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).unwrap();
        folder.join(name).display().to_string()
    };
    let workload = write("w.yaml", b"agregate_rate: 4\nnum_requests: 5\nclients:\n  - {idd: a}\n");
    let header = write("t.yaml", b"trace_version: 9\nmodes: generated\n");
    let rows = write("t.csv", b"request_id,input_tokens,output_tokens,arrival_time_us\n0,5,x,1\n1,5,6,-\n");
    let binary = write("b", b"\n\xff\xfe");
    let other = write("o.yaml", b"name: me\n");
    let good = testdata("parity/wl-arrivals-all/workload.yaml");
    let ran = blis_words(&["validate", &workload, &good, &header, &rows, &binary, &other, "none.yaml"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stdout, format!("{good}: workload file, nothing wrong\n"));
    for wanted in [
        "w.yaml:1:1: unknown key \"agregate_rate\"",
        "did you mean \"aggregate_rate\"?",
        "w.yaml:4:6: unknown key \"idd\"",
        "t.yaml:2:1: unknown key \"modes\"",
        "did you mean \"mode\"?",
        "t.csv:2: column `output_tokens`",
        "t.csv:3: column `arrival_time_us`",
        "line 2 is not UTF-8 text",
        "o.yaml: nothing in it tells what it is",
        "cannot read none.yaml",
    ] {
        assert!(ran.stderr.contains(wanted), "no {wanted} in {}", ran.stderr);
    }
}

/// Law: every example can be used.
#[test]
fn every_example_is_valid() {
    let folder = format!("{}/../../examples", env!("CARGO_MANIFEST_DIR"));
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let files: Vec<_> = yaml.map(|path| path.display().to_string()).collect();
    assert!(files.len() >= 12, "{files:?}");
    let words: Vec<&str> = std::iter::once("validate").chain(files.iter().map(String::as_str)).collect();
    let ran = blis_words(&words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("nothing wrong").count(), files.len(), "{}", ran.stdout);
}

#[test]
fn schemas_are_printed() {
    let ran = blis("schema workload");
    assert_eq!(ran.code, 0);
    let schema: serde_json::Value = serde_json::from_str(&ran.stdout).expect("a schema is JSON");
    assert_eq!(schema["properties"]["clients"]["items"]["$ref"], "#/$defs/client");
    refused("schema worklaod", &["unknown kind of file \"worklaod\"", "did you mean \"workload\"?"]);
}
