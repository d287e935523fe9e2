//! Scenarios that policies are tried on: a few clients each, at any rate.

use crate::workload_file::schema::{Arrival, Entry, Maybe};
use crate::workload_file::writer::{arrival, dist, normal, set};
use blis_workload::NormalLengths;

/// A name and the clients.
type Scenario = (&'static str, fn() -> Vec<Entry>);

/// Every scenario.
pub(super) const SCENARIOS: [Scenario; 4] = [
    ("bursty-traffic", bursty_traffic),
    ("unfair-tenants", unfair_tenants),
    ("prefix-heavy", prefix_heavy),
    ("mixed-slo", mixed_slo),
];

/// Mean lengths of an exponential prompt and answer.
fn exponential(input: f64, output: f64) -> Entry {
    let dist = |mean| dist("exponential", &[("mean", mean)]);
    Entry { input_distribution: dist(input), output_distribution: dist(output), ..Entry::default() }
}

/// One that sends at random.
fn client(id: &str, tenant: &str, slo_class: &str, fraction: f64, lengths: Entry) -> Entry {
    let text = |text: &str| Some(text.to_owned());
    Entry {
        id: text(id),
        tenant_id: text(tenant),
        slo_class: set(slo_class.to_owned()),
        rate_fraction: set(fraction),
        arrival: arrival("poisson"),
        ..lengths
    }
}

/// Prompts of normal lengths instead.
fn with_prompts(mean: i64, std_dev: i64, min: i64, max: i64, lengths: Entry) -> Entry {
    Entry { input_distribution: normal(NormalLengths { mean, std_dev, min, max }), ..lengths }
}

/// Long pauses between bursts.
fn bursty_traffic() -> Vec<Entry> {
    let gamma: Maybe<Arrival> =
        set(Arrival { process: set("gamma".to_owned()), cv: set(3.5), ..Arrival::default() });
    let lengths = exponential(512.0, 256.0);
    vec![Entry { arrival: gamma, ..client("bursty-client", "tenant-A", "batch", 1.0, lengths) }]
}

/// Much work of one tenant beside a few critical requests of another.
fn unfair_tenants() -> Vec<Entry> {
    let few = with_prompts(128, 50, 10, 2048, exponential(0.0, 64.0));
    vec![
        client("low-priority-bulk", "tenant-bulk", "batch", 0.9, exponential(1024.0, 512.0)),
        Entry {
            streaming: Some(true),
            ..client("high-priority-realtime", "tenant-realtime", "critical", 0.1, few)
        },
    ]
}

/// Most prompts begin alike.
fn prefix_heavy() -> Vec<Entry> {
    let group = Some("system-prompt".to_owned());
    vec![
        Entry {
            prefix_group: group,
            ..client("shared-prefix", "tenant-A", "batch", 0.8, exponential(256.0, 128.0))
        },
        client("unique-prefix", "tenant-B", "standard", 0.2, exponential(512.0, 256.0)),
    ]
}

/// A third each for people who wait, people who wait less eagerly, and nobody.
fn mixed_slo() -> Vec<Entry> {
    let short = with_prompts(64, 20, 10, 256, exponential(0.0, 32.0));
    let middle = with_prompts(256, 100, 32, 2048, exponential(0.0, 128.0));
    vec![
        Entry { streaming: Some(true), ..client("realtime", "tenant-rt", "critical", 0.33, short) },
        client("interactive", "tenant-int", "standard", 0.34, middle),
        client("batch", "tenant-batch", "batch", 0.33, exponential(1024.0, 512.0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{PresetOptions, preset};
    use super::SCENARIOS;
    use crate::workload_file::{self, Overrides};
    use blis_workload::Traffic;

    /// Law: every scenario can be written and read, and its clients share the given rate.
    #[test]
    fn every_scenario_is_a_workload_of_its_rate() {
        for (name, entries) in SCENARIOS {
            let options =
                PresetOptions { name: Some(name.to_owned()), rate: Some(20.0), ..PresetOptions::default() };
            let written = preset(&options).unwrap_or_else(|problems| panic!("{problems:#?}"));
            let read = workload_file::read(&written.yaml, name, Overrides::default()).unwrap();
            let rate = |client: &blis_workload::Client| match client.traffic {
                Traffic::Rate { per_us, .. } => per_us,
                _ => 0.0,
            };
            let total: f64 = read.workload.clients.iter().map(rate).sum();
            assert!((total - 20e-6).abs() < 1e-12, "{name}: {total}");
            assert_eq!(read.workload.clients.len(), entries().len());
            let mut stream = read.workload.stream();
            assert_eq!(std::iter::from_fn(|| stream.next_arrival()).count(), 100);
        }
    }
}
