use super::{Kind, Settings, cohorts};
use crate::convert::{ServegenOptions, servegen};
use crate::workload_file::schema::Entry;
use crate::workload_file::{self, Overrides};
use blis_kernel::Tick;
use std::fs;
use std::path::PathBuf;

const LANGUAGE: &str = r#"{"0": {"input_tokens": "{100: 1.0}", "output_tokens": "{10: 0.5, 10.0: 0.5}"}}"#;

/// A folder of this test with the trace and the dataset of each client.
fn folder(test: &str, clients: &[(&str, &str)]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("blis-servegen-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    for (number, (trace, dataset)) in clients.iter().enumerate() {
        fs::write(path.join(format!("chunk-{number}-trace.csv")), trace).unwrap();
        fs::write(path.join(format!("chunk-{number}-dataset.json")), dataset).unwrap();
    }
    path
}

fn settings(path: PathBuf) -> Settings {
    Settings { path, window_s: 60, drain_s: 15, seed: 42 }
}

/// The same activity in all ten minutes of the three periods.
fn always(row: &str) -> String {
    let starts = [0, 28_800, 50_400].into_iter().flat_map(|start| [start, start + 600, start + 1200]);
    starts.map(|start| format!("{start},{row}")).collect::<Vec<_>>().join("\n")
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_deref().unwrap()).collect()
}

/// Law: every client is in one class of every period in which it is active, and rates sum to what was measured.
#[test]
fn the_cohorts_of_a_period_have_the_rate_of_its_clients() {
    let gamma = always("0.5,1.5,Gamma,0.8,2.0");
    let quiet = "0,0,1,Gamma\n";
    let clients = [(&*gamma, LANGUAGE), (&*gamma, LANGUAGE), (&*gamma, LANGUAGE), (quiet, LANGUAGE)];
    let made = cohorts(&settings(folder("rates", &clients))).unwrap();
    assert_eq!(made.kind, Kind::Language);
    let classes = ["batch", "critical", "standard"];
    let expected: Vec<_> = ["midnight", "morning", "afternoon"]
        .iter()
        .flat_map(|p| classes.map(|c| format!("{p}-{c}")))
        .collect();
    assert_eq!(ids(&made.entries), expected);
    for (number, entry) in made.entries.iter().enumerate() {
        let spike = &entry.spike.as_ref().unwrap().value;
        assert_eq!(spike.trace_rate.as_ref().unwrap().value, 0.5);
        assert_eq!(spike.start_time_us.as_ref().unwrap().value.0, (number as i64 / 3) * 75_000_000);
        let arrival = &entry.arrival.as_ref().unwrap().value;
        assert_eq!(arrival.scale.as_ref().unwrap().value, 2e6, "µs");
        let input = &entry.input_distribution.as_ref().unwrap().value.params.as_ref().unwrap();
        assert_eq!((input["mu"].value, input["sigma"].value), (libm::log(100.0), 0.0));
    }
}

#[test]
fn parameters_are_averaged_over_the_rows_that_have_them() {
    let weibull = always("1,2.0,Weibull,0.5,3");
    let poisson = always("1,1.0,,,");
    // One class: five other clients are not there to take the second.
    let made = cohorts(&settings(folder("poisson", &[(&poisson, LANGUAGE)]))).unwrap();
    let arrival = &made.entries[0].arrival.as_ref().unwrap().value;
    assert_eq!((arrival.process.as_ref().unwrap().value.as_str(), arrival.cv.is_none()), ("poisson", true));
    let made = cohorts(&settings(folder("weibull", &[(&weibull, LANGUAGE)]))).unwrap();
    let arrival = &made.entries[0].arrival.as_ref().unwrap().value;
    assert_eq!(arrival.process.as_ref().unwrap().value, "weibull");
    assert_eq!((arrival.cv.as_ref().unwrap().value, arrival.shape.as_ref().unwrap().value), (2.0, 0.5));
}

#[test]
fn reasoning_data_is_taken_at_its_busiest_with_whole_percentages() {
    let dataset = LANGUAGE.replace("\"output", "\"reason_ratio\": \"{'0.29': 0.4, '0.9': 0.6}\", \"output");
    let trace = "0,1,1,\n600,2,1,\n";
    let late = "600,3,1,\n";
    let path = folder("reasoning", &[(trace, &dataset), (late, &dataset)]);
    let made = cohorts(&settings(path.clone())).unwrap();
    assert_eq!(
        (made.kind, ids(&made.entries)),
        (Kind::Reasoning, vec!["reasoning-critical", "reasoning-standard"])
    );
    let rates: f64 =
        made.entries.iter().map(|e| e.spike.as_ref().unwrap().value.trace_rate.as_ref().unwrap().value).sum();
    assert_eq!(rates, 5.0, "from 600 s on two clients are active, before one");
    let ratio = made.entries[0].reasoning.as_ref().unwrap().reason_ratio_distribution.as_ref().unwrap();
    let percentages: Vec<_> = ratio.value.params.as_ref().unwrap().keys().map(String::as_str).collect();
    assert_eq!(percentages, ["29", "90"]);
    let options =
        ServegenOptions { path: Some(path), time: Some("morning".into()), ..ServegenOptions::default() };
    assert!(servegen(&options).unwrap_err()[0].message.contains("reasoning data has one period"));
}

#[test]
fn a_workload_file_takes_a_folder_and_its_conversion_alike() {
    let gamma = always("0.5,1.5,Gamma,0.8,2.0");
    let path = folder("alike", &[(&gamma, LANGUAGE), (&gamma, LANGUAGE)]);
    let text = format!(
        "version: 2\nseed: 42\nservegen_data: {{path: {}, window_duration_secs: 90}}\n",
        path.display()
    );
    let read = |text: &str| workload_file::read(text, "w.yaml", Overrides::default()).unwrap().workload;
    let options =
        ServegenOptions { path: Some(path), window_duration_s: Some(90), ..ServegenOptions::default() };
    let converted = servegen(&options).unwrap();
    assert_eq!(read(&text), read(&converted.yaml));
    let morning = servegen(&ServegenOptions { time: Some("morning".into()), ..options }).unwrap();
    let workload = read(&morning.yaml);
    assert_eq!(workload.clients.len(), 2, "one client in each of two classes");
    assert!(workload.stream().next_arrival().unwrap().arrival < Tick::from_us(90_000_000));
}

#[test]
fn what_is_wrong_with_a_folder_is_told_by_file() {
    let bad = LANGUAGE.replace("10: 0.5", "10: -0.5");
    let path = folder(
        "bad",
        &[
            ("0,1,1,Gamma\n600,1,1,\n1200,1,1,\nx,1,1,\n1,2\n", LANGUAGE),
            ("0,1,1,\n", &bad),
            ("0,1,1,\n", "{"),
        ],
    );
    let problems = cohorts(&settings(path.clone())).unwrap_err();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("chunk-1-dataset.json: window 0, output_tokens: the probability of 10 is -0.5")
    );
    assert!(problems[1].contains("chunk-2-dataset.json:1:1: "), "{problems:?}");
    for file in ["chunk-1-dataset.json", "chunk-2-dataset.json"] {
        fs::remove_file(path.join(file)).unwrap();
    }
    let made = cohorts(&settings(path)).unwrap();
    let warnings: Vec<_> = made.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings[0].contains("chunk-0-trace.csv: 2 rows are skipped"), "{warnings:?}");
    assert!(warnings[1].contains("chunk-1-trace.csv: is unused"), "{warnings:?}");
    let empty = cohorts(&settings(folder("empty", &[]))).unwrap_err();
    assert!(empty[0].message.contains("has no pair of files"));
    assert!(cohorts(&settings("/no/such/folder".into())).unwrap_err()[0].message.contains("cannot be read"));
    let file = "servegen_data: {window_duration_secs: 5}\nclients: [{id: a}]\n";
    let problems = workload_file::read(file, "w.yaml", Overrides::default()).unwrap_err();
    let has = |text: &str| problems.iter().any(|problem| problem.message.contains(text));
    assert!(
        has("servegen_data.path is missing") && has("clients and servegen_data are given"),
        "{problems:?}"
    );
}
