//! The shape of the workspace: who may depend on whom, and what the simulator itself must not know.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every crate with the crates of this workspace that it stands on, from the bottom up. A new edge is a decision of
/// its own, and it is written down here.
const EDGES: [(&str, &[&str]); 21] = [
    ("blis-kernel", &[]),
    ("blis-policy", &["blis-kernel"]),
    ("blis-latency", &["blis-kernel"]),
    ("blis-workload", &["blis-kernel"]),
    ("blis-convert", &["blis-workload"]),
    ("blis-engine", &["blis-kernel", "blis-latency", "blis-policy"]),
    ("blis-metrics", &["blis-kernel"]),
    ("blis-calibrate", &["blis-kernel", "blis-metrics", "blis-workload"]),
    (
        "blis-cluster",
        &["blis-engine", "blis-kernel", "blis-latency", "blis-metrics", "blis-policy", "blis-workload"],
    ),
    (
        "blis-config",
        &[
            "blis-calibrate",
            "blis-cluster",
            "blis-engine",
            "blis-kernel",
            "blis-latency",
            "blis-metrics",
            "blis-policy",
            "blis-workload",
        ],
    ),
    ("blis-store", &[]),
    ("blis-intervals", &["blis-cluster", "blis-config", "blis-kernel", "blis-latency", "blis-metrics"]),
    (
        "blis-accuracy",
        &[
            "blis-cluster",
            "blis-config",
            "blis-intervals",
            "blis-kernel",
            "blis-latency",
            "blis-metrics",
            "blis-policy",
            "blis-workload",
        ],
    ),
    ("blis-fit", &["blis-accuracy", "blis-config", "blis-policy"]),
    (
        "blis-search",
        &[
            "blis-cluster",
            "blis-config",
            "blis-intervals",
            "blis-kernel",
            "blis-metrics",
            "blis-policy",
            "blis-store",
        ],
    ),
    (
        "blis-report",
        &[
            "blis-accuracy",
            "blis-calibrate",
            "blis-fit",
            "blis-intervals",
            "blis-kernel",
            "blis-metrics",
            "blis-search",
            "blis-store",
            "blis-workload",
        ],
    ),
    (
        "blis-live",
        &["blis-cluster", "blis-config", "blis-kernel", "blis-metrics", "blis-policy", "blis-workload"],
    ),
    ("blis", &["blis-cluster", "blis-config", "blis-kernel", "blis-metrics", "blis-report"]),
    (
        "blis-cli",
        &[
            "blis",
            "blis-accuracy",
            "blis-calibrate",
            "blis-config",
            "blis-convert",
            "blis-fit",
            "blis-intervals",
            "blis-kernel",
            "blis-latency",
            "blis-live",
            "blis-policy",
            "blis-report",
            "blis-search",
            "blis-store",
            "blis-workload",
        ],
    ),
    ("own-policies", &["blis-cli", "blis-kernel", "blis-policy"]),
    ("blis-python", &["blis", "blis-cli", "blis-kernel", "blis-policy", "blis-search", "blis-store"]),
];

/// The simulator: from the same plan it gives the same bytes on every machine.
const PURE: [&str; 7] = ["kernel", "policy", "latency", "workload", "engine", "metrics", "cluster"];

/// What the simulator may use from outside: mathematics, hash maps, error types, edit distances, and CSV records taken
/// apart in memory. No serialisation framework, no YAML, nothing that reads a file or a socket.
const PURE_DEPENDENCIES: [&str; 5] = ["csv", "libm", "rustc-hash", "strsim", "thiserror"];

/// Modules of the standard library that reach outside the program.
const OUTSIDE: [&str; 6] = ["env", "fs", "net", "os", "process", "thread"];
/// Clocks.
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A dependency as a manifest states it.
struct Dependency {
    name: String,
    /// Only tests and examples use it.
    dev: bool,
}

fn manifests() -> BTreeMap<String, Vec<Dependency>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata gives JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"]
                .as_array()
                .expect("a list of dependencies")
                .iter()
                .map(|d| Dependency { name: text(&d["name"]), dev: d["kind"] == "dev" })
                .collect();
            (text(&package["name"]), dependencies)
        })
        .collect()
}

#[test]
fn crates_depend_on_each_other_as_written_down() {
    let manifests = manifests();
    let named: BTreeSet<_> = EDGES.iter().map(|&(name, _)| name).collect();
    let present: BTreeSet<_> = manifests.keys().map(String::as_str).collect();
    assert_eq!(present, named, "the workspace's crates are not those of the table in this file");
    for (name, allowed) in EDGES {
        let edges: BTreeSet<_> = manifests[name]
            .iter()
            .filter(|d| !d.dev && named.contains(d.name.as_str()))
            .map(|d| d.name.as_str())
            .collect();
        let allowed: BTreeSet<_> = allowed.iter().copied().collect();
        let new: Vec<_> = edges.difference(&allowed).collect();
        assert!(
            new.is_empty(),
            "{name} now depends on {new:?}; a new edge between crates is to be decided first"
        );
        let gone: Vec<_> = allowed.difference(&edges).collect();
        assert!(
            gone.is_empty(),
            "{name} no longer depends on {gone:?}; strike it from the table in this file"
        );
    }
}

#[test]
fn nothing_depends_on_a_crate_above_it() {
    let manifests = manifests();
    let height = |name: &str| EDGES.iter().position(|&(n, _)| n == name);
    for (name, dependencies) in &manifests {
        for dependency in dependencies {
            if let Some(other) = height(&dependency.name) {
                assert!(
                    Some(other) < height(name),
                    "{name} depends on {}, which is above it",
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn the_simulator_depends_on_no_serialisation_and_no_input_or_output() {
    let manifests = manifests();
    for krate in PURE {
        for dependency in manifests[&format!("blis-{krate}")].iter().filter(|d| !d.dev) {
            let name = dependency.name.as_str();
            assert!(
                name.starts_with("blis-") || PURE_DEPENDENCIES.contains(&name),
                "blis-{krate} depends on {name}; the simulator may only use {PURE_DEPENDENCIES:?}"
            );
        }
    }
}

#[test]
fn the_simulator_knows_no_clock_environment_file_socket_thread_or_process() {
    for krate in PURE {
        let mut files = Vec::new();
        rust_files(&workspace().join("crates").join(krate).join("src"), &mut files);
        assert!(!files.is_empty(), "crates/{krate}/src holds no source");
        for file in files {
            let source = fs::read_to_string(&file).expect("a source file can be read");
            let found = reaches_outside(&source);
            assert!(found.is_empty(), "{} uses {found:?}", file.display());
        }
    }
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// What formatted source, tests and comments apart, uses of [`OUTSIDE`] and [`CLOCKS`].
fn reaches_outside(source: &str) -> BTreeSet<String> {
    let code = without_tests_and_comments(source);
    let words: Vec<&str> = code
        .split_inclusive(|c: char| !is_word(c))
        .flat_map(split_last)
        .filter(|w| !w.trim().is_empty())
        .collect();
    let mut found = BTreeSet::new();
    for (i, word) in words.iter().enumerate() {
        if CLOCKS.contains(word) {
            found.insert((*word).to_owned());
        }
        if *word != "std" || words.get(i + 1..i + 3) != Some(&[":", ":"]) {
            continue;
        }
        for module in first_segments(&words[i + 3..]) {
            if OUTSIDE.contains(&module) {
                found.insert(format!("std::{module}"));
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word and the character that ended it.
fn split_last(piece: &str) -> [&str; 2] {
    let end = piece.char_indices().next_back().filter(|&(_, c)| !is_word(c)).map_or(piece.len(), |(i, _)| i);
    [&piece[..end], &piece[end..]]
}

/// The first path segment of what follows `std::`, or of each member when that is a group.
fn first_segments<'a>(words: &[&'a str]) -> Vec<&'a str> {
    if words.first() != Some(&"{") {
        return words.first().copied().into_iter().collect();
    }
    let (mut depth, mut segments) = (0, Vec::new());
    for pair in words.windows(2) {
        match pair[0] {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0], "{" | ",") {
            segments.push(pair[1]);
        }
    }
    segments
}

/// Drops line comments and every item marked `#[cfg(test)]`, which in formatted source ends with the first `;` or `}`
/// at its own indentation.
fn without_tests_and_comments(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        if text == "#[cfg(test)]" {
            let indentation = line.len() - text.len();
            for line in lines.by_ref() {
                let text = line.trim_start();
                let outermost = line.len() - text.len() == indentation;
                if outermost && (text.ends_with(';') || text.ends_with('}')) && !text.starts_with("#[") {
                    break;
                }
            }
        } else {
            code.push_str(text.split("//").next().unwrap_or(text));
            code.push('\n');
        }
    }
    code
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    let check = |source: &str, expected: &[&str]| {
        let found: Vec<_> = reaches_outside(source).into_iter().collect();
        assert_eq!(found, expected, "{source}");
    };
    check("use std::fs;\n", &["std::fs"]);
    check("let x = std::env::var(\"X\");\n", &["std::env"]);
    check("use std::{collections::BTreeMap, thread::spawn, sync::{Arc, fs}};\n", &["std::thread"]);
    check("use std::time::{Duration, Instant};\n", &["Instant"]);
    check("let now = std::time::SystemTime::now();\n", &["SystemTime"]);
    check("use std::sync::Arc;\nlet x = env!(\"X\"); // std::fs\nlet net = offset::net();\n", &[]);
    check("#[cfg(test)]\nmod tests {\n    use std::fs;\n}\nuse std::net::TcpStream;\n", &["std::net"]);
    check("#[cfg(test)]\nuse std::fs;\nfn f() {}\n", &[]);
}
