//! `blis compare`: configurations under the same traffic.

use crate::support::{directory, refused, succeeded};
use serde_json::Value;
use std::fs;

const COMPARE: &str = "compare --model meta-llama/llama-3.1-8b-instruct --rate 60 --num-requests 200 \
                       --output-tokens 60 --output-tokens-stdev 20 --replications 5";

fn compared(words: &str) -> Value {
    let ran = succeeded(&format!("{COMPARE} --format json {words}"));
    serde_json::from_str(&ran.stdout).expect("one JSON document")
}

/// Law: a configuration does not differ from itself.
#[test]
fn the_same_configuration_shows_no_difference() {
    let document = compared("--with max-num-seqs=256");
    let other = &document["others"][0];
    assert_eq!(other["means"], document["base"]["means"]);
    for (figure, difference) in other["differences"].as_object().expect("figures") {
        let told = (difference["mean"].as_f64(), difference["low"].as_f64(), difference["verdict"].as_str());
        assert_eq!(told, (Some(0.0), Some(0.0), Some("")), "{figure}");
    }
}

/// Twice the GPUs are faster with every seed, and the settings that changed are told.
#[test]
fn what_changed_and_what_it_does_are_told() {
    let document = compared("--with tp=2");
    let other = &document["others"][0];
    let itl = &other["differences"]["itl_mean_ms"];
    assert_eq!(itl["verdict"], "better");
    assert!(itl["low"].as_f64() < itl["mean"].as_f64() && itl["high"].as_f64() < Some(0.0), "{itl}");
    assert_eq!(other["differences"]["gpus"]["mean"], 1.0);
    let changed = other["changed"].as_array().expect("a list");
    assert!(
        changed
            .iter()
            .any(|c| (&c["setting"], &c["from"], &c["to"]) == (&"tp".into(), &"1".into(), &"2".into())),
        "{changed:?}"
    );
    let text = succeeded(&format!("{COMPARE} --with tp=2")).stdout;
    assert!(text.contains("tp: 1 -> 2") && text.contains("better"), "{text}");
}

#[test]
fn configurations_come_from_files() {
    let folder = directory("compare-files");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("writable");
        path.display().to_string()
    };
    let (narrow, wide) = (file("narrow.yaml", "max-num-seqs: 4\n"), file("wide.yaml", "max-num-seqs: 64\n"));
    let ran = succeeded(&COMPARE.replacen("compare", &format!("compare {narrow} {wide} --format json"), 1));
    let document: Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert_eq!(
        (&document["base"]["name"], &document["others"][0]["name"]),
        (&"narrow".into(), &"wide".into())
    );
    assert_eq!(document["others"][0]["differences"]["ttft_p99_ms"]["verdict"], "better");
}

#[test]
fn what_makes_no_sense_is_refused() {
    refused(COMPARE, &["there is nothing to compare", "--with NAME=VALUE"]);
    refused(&format!("{COMPARE} --with tp"), &["\"tp\" must be NAME=VALUE"]);
    refused(&format!("{COMPARE} --with tpp=2"), &["no setting \"tpp\""]);
    refused(&format!("{COMPARE} --with tp=3"), &["tp=3: "]);
    refused(&format!("{COMPARE} --with tp=2 --replications 0"), &["--replications is 0"]);
}
