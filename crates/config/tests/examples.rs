//! The workload files in `examples/` are valid and make the requests that they speak of.

use blis_config::workload_file::{self, Overrides, WorkloadFile};
use std::collections::BTreeMap;
use std::path::Path;

fn examples() -> BTreeMap<String, WorkloadFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut examples = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Policy files, scripts and programs stand beside workloads.
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("\nclients:") || text.contains("\ninference_perf:") {
            let file = workload_file::read(&text, &name, Overrides::default());
            examples.insert(name, file.unwrap_or_else(|problems| panic!("{problems:#?}")));
        }
    }
    examples
}

fn arrivals(file: &WorkloadFile) -> usize {
    let mut stream = file.workload.stream();
    std::iter::from_fn(|| stream.next_arrival()).count()
}

#[test]
fn every_example_makes_the_requests_it_speaks_of() {
    let examples = examples();
    assert_eq!(examples.len(), 7, "{:?}", examples.keys());
    for (name, file) in &examples {
        let count = arrivals(file);
        match name.as_str() {
            "servegen-language.yaml" => assert_eq!(count, 500),
            "prefix-affinity-demo.yaml" => assert_eq!(count, 400),
            "regression_workload_cache_warmup.yaml" | "regression_workload_load_spikes.yaml" => {
                assert_eq!(count, 5000);
            }
            // Five standard deviations of a Poisson count.
            "inference-perf-shared-prefix.yaml" => assert!((16_150..17_450).contains(&count), "{count}"),
            // Later rounds come after answers.
            "multiturn-chat-demo.yaml" | "regression_workload_multiturn.yaml" => {
                assert!((100..1500).contains(&count), "{name}: {count}");
                assert!(file.workload.stream().is_reactive());
            }
            _ => panic!("{name} has no expectation here"),
        }
    }
}

#[test]
fn classes_of_version_1_are_renamed_with_a_word() {
    let examples = examples();
    let spikes = &examples["regression_workload_load_spikes.yaml"];
    assert_eq!(spikes.warnings.len(), 2, "{:?}", spikes.warnings);
    assert_eq!(spikes.workload.clients[1].labels.slo_class, "critical");
}
