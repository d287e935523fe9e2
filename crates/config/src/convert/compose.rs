//! Several workload files as one, each part with the rate that it had.

use super::{Converted, finish};
use crate::Diagnostic;
use crate::workload_file::schema::{Entry, File, Goodput, Maybe, Whole};
use crate::workload_file::writer::{VERSION, set, whole};
use crate::workload_file::{self, Named};
use std::collections::BTreeMap;
use std::fmt::Display;

/// Merges files, given with their names. Fractions become shares of the sum of all rates.
///
/// # Errors
/// Everything that is wrong with the files, and what they do not agree in.
pub fn compose(files: &[(String, String)]) -> Result<Converted, Vec<Diagnostic>> {
    let (mut parts, mut warnings, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (text, name) in files {
        match workload_file::parse_and_check(text, name) {
            Ok((part, more)) => {
                parts.push(part);
                warnings.extend(more);
            }
            Err(more) => problems.extend(more),
        }
    }
    if files.is_empty() {
        problems.push(Diagnostic::new("--from is missing"));
    }
    for Named { name, file } in &parts {
        let blocks = [
            ("servegen_data", file.servegen_data.is_some(), "servegen"),
            ("inference_perf", file.inference_perf.is_some(), "inference-perf"),
        ];
        for (key, _, kind) in blocks.into_iter().filter(|(_, is_given, _)| *is_given) {
            let problem = Diagnostic::new(format!("{key} cannot be merged with other files")).in_file(name);
            problems.push(problem.with_help(format!("write it out with blis convert {kind} first")));
        }
    }
    one_way_of_rates(&parts, &mut problems);
    let horizon = agreed(&parts, "horizon", positive(|file| &file.horizon), &mut problems);
    let goodput_slo_targets = targets(&parts, &mut problems);
    let is_strict = |file: &File| file.strict_num_requests.as_ref().is_some_and(|strict| strict.value);
    let strict = agreed(&parts, "strict_num_requests", |file| Some(is_strict(file)), &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut merged = File {
        version: set(VERSION.to_owned()),
        seed: agreed(&parts, "seed", |file| file.seed.map(|seed| seed.0), &mut warnings).map(Whole),
        category: parts[0].file.category.clone(),
        horizon: horizon.and_then(whole),
        num_requests: num_requests(&parts, &mut warnings).and_then(whole),
        strict_num_requests: strict.filter(|&strict| strict).and_then(set),
        goodput_slo_targets,
        ..File::default()
    };
    let total: f64 = parts.iter().map(rate).sum();
    let (mut clients, mut cohorts) = (Vec::new(), Vec::new());
    for Named { file, .. } in &mut parts {
        let entries = || file.clients.iter().chain(&file.cohorts).flatten();
        let fractions = entries().filter_map(|entry| entry.value.rate_fraction.as_ref());
        let within: f64 = fractions.map(|fraction| fraction.value).sum();
        let share = file.aggregate_rate.as_ref().map_or(0.0, |rate| rate.value) / total;
        let scale = |fraction: &mut f64| {
            let normalised = if within == 1.0 { *fraction } else { *fraction / within };
            *fraction = normalised * share;
        };
        for entry in file.clients.iter_mut().chain(&mut file.cohorts).flatten() {
            if total > 0.0 {
                scale_entry(&mut entry.value, scale);
            }
        }
        clients.extend(file.clients.take().into_iter().flatten());
        cohorts.extend(file.cohorts.take().into_iter().flatten());
    }
    merged.aggregate_rate = set(total);
    merged.clients = Some(clients).filter(|clients| !clients.is_empty());
    merged.cohorts = Some(cohorts).filter(|cohorts| !cohorts.is_empty());
    finish(&merged, warnings)
}

fn rate(part: &Named) -> f64 {
    part.file.aggregate_rate.as_ref().map_or(0.0, |rate| rate.value)
}

/// The share of a client, and the weights of its windows, which are measured by the same scale.
fn scale_entry(entry: &mut Entry, scale: impl Fn(&mut f64)) {
    let weights =
        entry.lifecycle.iter_mut().flat_map(|lifecycle| lifecycle.value.windows.iter_mut().flatten());
    let weights = weights.filter_map(|window| window.value.trace_rate.as_mut());
    let spike = entry.spike.iter_mut().filter_map(|spike| spike.value.trace_rate.as_mut());
    for share in entry.rate_fraction.iter_mut().chain(weights).chain(spike) {
        if share.value > 0.0 {
            scale(&mut share.value);
        }
    }
}

/// Windows whose rates are absolute would become weights beside a total rate.
fn one_way_of_rates(parts: &[Named], problems: &mut Vec<Diagnostic>) {
    let sends = |part: &&Named| {
        let has_rate = |entry: &Entry| entry.rate_fraction.as_ref().is_some_and(|f| f.value > 0.0);
        let mut entries = part.file.clients.iter().chain(&part.file.cohorts).flatten();
        entries.any(|entry| has_rate(&entry.value))
    };
    let relative = parts.iter().find(|part| rate(part) > 0.0);
    let absolute = parts.iter().filter(sends).find(|part| rate(part) == 0.0);
    if let (Some(relative), Some(absolute)) = (relative, absolute) {
        let message = format!(
            "has a rate in every window, and {} has an aggregate_rate: the two cannot be merged",
            relative.name
        );
        problems.push(Diagnostic::new(message).in_file(&absolute.name));
    }
}

fn positive(key: fn(&File) -> &Maybe<Whole>) -> impl Fn(&File) -> Option<i64> {
    move |file| key(file).as_ref().map(|given| given.value.0).filter(|&value| value > 0)
}

/// The value that all files with the key have; several ones are found and leave it out.
fn agreed<T: Copy + Display + PartialEq>(
    parts: &[Named],
    key: &str,
    value: impl Fn(&File) -> Option<T>,
    found: &mut Vec<Diagnostic>,
) -> Option<T> {
    let given: Vec<_> = parts.iter().filter_map(|part| Some((value(&part.file)?, &part.name))).collect();
    let first = given.first()?.0;
    if given.iter().all(|&(value, _)| value == first) {
        return Some(first);
    }
    let list: Vec<_> = given.iter().map(|(value, name)| format!("{value} ({name})")).collect();
    found.push(Diagnostic::new(format!("{key} differs between the files: {}", list.join(", "))));
    None
}

/// The sum when every file is bounded, otherwise what those that are agree in.
fn num_requests(parts: &[Named], warnings: &mut Vec<Diagnostic>) -> Option<i64> {
    let count = positive(|file| &file.num_requests);
    let counts: Option<Vec<_>> = parts.iter().map(|part| count(&part.file)).collect();
    match counts {
        Some(counts) => Some(counts.iter().fold(0, |sum: i64, &count| sum.saturating_add(count))),
        None => agreed(parts, "num_requests", count, warnings),
    }
}

fn targets(parts: &[Named], problems: &mut Vec<Diagnostic>) -> Maybe<BTreeMap<String, Goodput>> {
    let mut merged = BTreeMap::<String, Goodput>::new();
    for Named { name, file } in parts {
        let given = file.goodput_slo_targets.iter().flat_map(|targets| &targets.value);
        for (class, target) in given {
            let first = merged.entry(class.clone()).or_insert_with(|| target.clone());
            if first.values() != target.values() {
                let message = format!("goodput_slo_targets.{class} differs from that of a file before it");
                problems.push(Diagnostic::new(message).in_file(name));
            }
        }
    }
    if merged.is_empty() { None } else { set(merged) }
}

#[cfg(test)]
mod tests {
    use super::compose;
    use crate::workload_file::{self, Overrides};
    use blis_workload::Traffic;

    fn file(head: &str, list: &str, id: &str, fraction: f64, rest: &str) -> String {
        format!(
            "version: 2\n{head}\n{list}:\n  - id: {id}\n    rate_fraction: {fraction}\n    arrival: {{process: poisson}}\n    \
             input_distribution: {{type: constant, params: {{value: 9}}}}\n    \
             output_distribution: {{type: constant, params: {{value: 5}}}}\n{rest}"
        )
    }

    fn named(texts: &[&str]) -> Vec<(String, String)> {
        texts
            .iter()
            .zip(["a.yaml", "b.yaml", "c.yaml"])
            .map(|(t, n)| ((*t).to_owned(), n.to_owned()))
            .collect()
    }

    /// Law: whatever the fractions of a file sum to, and whether it has clients or cohorts, it keeps its rate.
    #[test]
    fn every_part_keeps_its_rate() {
        let clients = file("aggregate_rate: 6\nnum_requests: 10", "clients", "a", 0.4, "");
        let cohorts =
            file("aggregate_rate: 12\nnum_requests: 30", "cohorts", "b", 3.0, "    population: 4\n");
        let merged = compose(&named(&[&clients, &cohorts])).unwrap();
        assert!(merged.warnings.is_empty(), "{:?}", merged.warnings);
        let workload = workload_file::read(&merged.yaml, "m.yaml", Overrides::default()).unwrap().workload;
        assert_eq!(workload.max_requests, Some(40));
        let rates: Vec<_> = workload
            .clients
            .iter()
            .map(|client| match client.traffic {
                Traffic::Rate { per_us, .. } => (per_us * 1e9).round(),
                _ => panic!("clients with a rate"),
            })
            .collect();
        assert_eq!(rates, [6_000.0, 3_000.0, 3_000.0, 3_000.0, 3_000.0]);
    }

    #[test]
    fn a_setting_of_one_file_is_kept_and_a_difference_is_told() {
        let one = file("aggregate_rate: 6\nseed: 4\nhorizon: 9000", "clients", "a", 1.0, "");
        let other = file("aggregate_rate: 6\nnum_requests: 30", "clients", "b", 1.0, "");
        let merged = compose(&named(&[&one, &other])).unwrap();
        let workload = workload_file::read(&merged.yaml, "m.yaml", Overrides::default()).unwrap().workload;
        assert_eq!((workload.seed, workload.max_requests, workload.horizon.as_us()), (4, Some(30), 9000));
        let merged = compose(&named(&[&one, &other.replace("num_requests", "seed")])).unwrap();
        assert_eq!(merged.warnings[0].to_string(), "seed differs between the files: 4 (a.yaml), 30 (b.yaml)");
        let problems = compose(&named(&[&one, &other.replace("num_requests", "horizon")])).unwrap_err();
        assert_eq!(problems[0].to_string(), "horizon differs between the files: 9000 (a.yaml), 30 (b.yaml)");
    }

    #[test]
    fn what_cannot_be_merged_is_told_with_its_file() {
        let relative = file("aggregate_rate: 6", "clients", "a", 1.0, "");
        let windows = "    lifecycle: {windows: [{start_us: 0, end_us: 9, trace_rate: 2}]}\n";
        let absolute = file("", "clients", "b", 1.0, windows);
        let problems = compose(&named(&[&relative, &absolute])).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "b.yaml: has a rate in every window, and a.yaml has an aggregate_rate: the two cannot be merged"
        );
        let targets =
            |ttft| format!("aggregate_rate: 6\ngoodput_slo_targets: {{batch: {{ttft_ms: {ttft}}}}}");
        let (slow, fast) = (targets(9), targets(5));
        let parts = [file(&slow, "clients", "a", 1.0, ""), file(&fast, "clients", "b", 1.0, "")];
        let problems = compose(&named(&[&parts[0], &parts[1]])).unwrap_err();
        assert!(
            problems[0].to_string().starts_with("b.yaml: goodput_slo_targets.batch differs"),
            "{problems:?}"
        );
        let problems = compose(&named(&["clients: [{id: a}]", "agregate_rate: 3"])).unwrap_err();
        assert!(problems.iter().any(|p| p.file.as_deref() == Some("a.yaml")));
        assert!(problems.iter().any(|p| p.file.as_deref() == Some("b.yaml")));
        assert!(compose(&[]).unwrap_err()[0].message.contains("--from is missing"));
    }
}
