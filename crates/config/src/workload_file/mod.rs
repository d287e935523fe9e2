//! Workload files: clients and cohorts in YAML.

#![expect(clippy::ref_option, reason = "keys are passed as the file has them, present or not")]

mod cohort;
mod entry;
mod inference_perf;
mod lengths;
mod reader;
pub(crate) mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

use crate::diagnostic::Diagnostic;
use crate::{servegen, yaml};
use blis_kernel::Tick;
use blis_metrics::{Latency, SloTargets};
use blis_workload::rates::{Share, at_rate, constant_rates, window_rates};
use blis_workload::{Phase, Traffic, Window, Workload};
use entry::{Population, Span};
use reader::{At, NOT_NEGATIVE, POSITIVE, Reader, is_not_negative};
use schema::{Entry, File, Goodput};
use std::sync::Arc;

const CATEGORIES: [(&str, ()); 3] = [("language", ()), ("multimodal", ()), ("reasoning", ())];
/// SLO classes of version 1 under the names of version 2.
const RENAMED_CLASSES: [(&str, &str); 2] = [("realtime", "critical"), ("interactive", "standard")];

/// What replaces the file's own settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Seed of the workload's random streams.
    pub seed: Option<i64>,
    /// End of generation.
    pub horizon: Option<Tick>,
    /// Most requests; `Some(None)` = no bound.
    pub max_requests: Option<Option<u64>>,
    /// When every client gives up; `Some(None)` = never.
    pub timeout: Option<Option<Tick>>,
}

/// A LoRA adapter that the clients of a file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterReference {
    /// The adapter.
    pub adapter: String,
    /// The model that these clients ask for, in lower case; empty = any.
    pub model: String,
    /// Where the file names it; the message is the key's path.
    pub place: Diagnostic,
}

/// A workload file, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadFile {
    /// What it describes.
    pub workload: Workload,
    /// What goodput is measured against; 0 = no target.
    pub slo_targets: SloTargets,
    /// The adapters that its requests ask for. Whether there are such is not known here.
    pub adapters: Vec<AdapterReference>,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

/// Most rounds of a conversation that goes on although the bound of requests has been reached, if there are such.
pub(crate) fn rounds_beyond_bound(workload: &Workload) -> Option<u32> {
    let kinds = workload.clients.iter().filter_map(|client| client.conversation);
    let rounds = kinds.filter(|kind| kind.closed_loop && kind.max_rounds > 1).map(|kind| kind.max_rounds);
    rounds.max().filter(|_| workload.max_requests.is_some() && !workload.bounds_follow_ups)
}

/// Reads a workload file.
///
/// # Errors
/// Everything that is wrong with it, with line and column where one place is to blame.
pub fn read(text: &str, file_name: &str, overrides: Overrides) -> Result<WorkloadFile, Vec<Diagnostic>> {
    let (file, mut reader) = parse(text, file_name)?;
    let workload = reader.workload(&file, overrides);
    reader.must_end(&workload);
    let slo_targets = reader.slo_targets(&file);
    let Reader { problems, warnings, adapters, .. } = reader;
    if problems.is_empty() {
        Ok(WorkloadFile { workload, slo_targets, adapters, warnings })
    } else {
        Err(problems)
    }
}

/// The keys of a file, in terms of version 2.
fn parse<'n>(text: &str, file_name: &'n str) -> Result<(File, Reader<'n>), Vec<Diagnostic>> {
    let mut reader = Reader::new(Some(file_name));
    if text.trim().is_empty() {
        reader.report(&At::file(), "the file is empty");
        return Err(reader.problems);
    }
    let mut file: File = yaml::from_str(text, file_name)?;
    reader.upgrade(&mut file);
    Ok((file, reader))
}

/// A file with its name.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) file: File,
}

/// The keys of a file that has been checked, and what its author should know. It need not say when it ends.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn parse_and_check(
    text: &str,
    file_name: &str,
) -> Result<(Named, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (file, mut reader) = parse(text, file_name)?;
    reader.workload(&file, Overrides::default());
    let Reader { problems, warnings, .. } = reader;
    if problems.is_empty() {
        Ok((Named { name: file_name.to_owned(), file }, warnings))
    } else {
        Err(problems)
    }
}

/// A file with its `inference_perf` block written out as clients, and what its author should know.
///
/// # Errors
/// Everything that is wrong with the file.
pub(crate) fn expand_inference_perf(
    text: &str,
    file_name: &str,
) -> Result<(File, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (file, mut reader) = parse(text, file_name)?;
    let at = At::file().key("inference_perf", file.inference_perf.as_ref());
    reader.one_source(&file);
    let Some(block) = &file.inference_perf else {
        reader.report(&at, "is missing; there is nothing to write out");
        return Err(reader.problems);
    };
    let benchmark = reader.inference_perf(&at, &block.value);
    match benchmark.filter(|_| reader.problems.is_empty()) {
        Some(benchmark) => Ok((benchmark.expand(&file), reader.warnings)),
        None => Err(reader.problems),
    }
}

/// Checks a file that was not read but made. It need not say when it ends.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn check(file: &File) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let mut reader = Reader::new(None);
    reader.workload(file, Overrides::default());
    reader.slo_targets(file);
    let Reader { problems, warnings, .. } = reader;
    if problems.is_empty() { Ok(warnings) } else { Err(problems) }
}

impl Reader<'_> {
    /// Brings version 1 to version 2.
    fn upgrade(&mut self, file: &mut File) {
        let top = At::file();
        match file.version.as_ref().map_or("", |version| version.value.as_str()) {
            "" | "1" => {}
            "2" => return,
            other => {
                let at = top.key("version", file.version.as_ref());
                self.report(&at, format_args!("is \"{other}\"; it must be 1 or 2"));
                return;
            }
        }
        for (list, entries) in [("clients", &mut file.clients), ("cohorts", &mut file.cohorts)] {
            for (number, entry) in entries.iter_mut().flatten().enumerate() {
                let at = top.key(&format!("{list}[{number}]"), Some(&*entry));
                let Some(class) = &mut entry.value.slo_class else { continue };
                if let Some((old, new)) = RENAMED_CLASSES.iter().find(|(old, _)| *old == class.value) {
                    let at = at.key("slo_class", Some(&*class));
                    self.warn(&at, format_args!("{old} is called {new} since version 2"));
                    (*new).clone_into(&mut class.value);
                }
            }
        }
        if let Some(targets) = &mut file.goodput_slo_targets {
            for (old, new) in RENAMED_CLASSES {
                if let Some(target) = targets.value.remove(old) {
                    targets.value.entry(new.to_owned()).or_insert(target);
                }
            }
        }
    }

    fn workload(&mut self, file: &File, overrides: Overrides) -> Workload {
        let top = At::file();
        let seed = overrides.seed.or(file.seed.map(|seed| seed.0)).unwrap_or(0);
        let expanded = self.servegen(file, seed);
        let file = expanded.as_ref().unwrap_or(file);
        let benchmark = file.inference_perf.as_ref().and_then(|given| {
            let at = top.key("inference_perf", Some(given));
            self.inference_perf(&at, &given.value)
        });
        self.word(&top, "category", &file.category, &CATEGORIES);
        let horizon = self.whole(&top, "horizon", &file.horizon, 0..=i64::MAX).filter(|&us| us > 0);
        let horizon = overrides.horizon.or(horizon.map(Tick::from_us)).unwrap_or(Tick::MAX);
        let max_requests = self.whole(&top, "num_requests", &file.num_requests, 0..=i64::MAX);
        let max_requests = max_requests.filter(|&count| count > 0).map(|count| count as u64);
        let max_requests = overrides.max_requests.unwrap_or(max_requests);

        let populations = self.populations(file);
        let bounds_follow_ups = file.strict_num_requests.as_ref().is_some_and(|strict| strict.value);
        if let Some(strict) = file.strict_num_requests.as_ref().filter(|_| max_requests.is_none()) {
            let at = top.key("strict_num_requests", Some(strict));
            self.warn(&at, "is unused without num_requests");
        }
        let mut workload = Workload { seed, clients: Vec::new(), horizon, max_requests, bounds_follow_ups };
        if !self.problems.is_empty() {
            return workload;
        }
        let aggregate = file.aggregate_rate.as_ref().map_or(0.0, |rate| rate.value);
        workload.clients = if let Some(benchmark) = benchmark {
            inference_perf::warn_of_rate(self, &top, &file.aggregate_rate, &benchmark);
            benchmark.clients()
        } else {
            let templates = with_traffic(populations, aggregate, horizon);
            templates.iter().flat_map(Population::members).collect()
        };
        if let Some(timeout) = overrides.timeout {
            workload.clients.iter_mut().for_each(|client| client.timeout = timeout);
        }
        self.tell_of_conversations(&workload);
        workload
    }

    /// A bound of conversations is not what one expects of a bound of requests.
    fn tell_of_conversations(&mut self, workload: &Workload) {
        if let (Some(rounds), Some(max)) = (rounds_beyond_bound(workload), workload.max_requests) {
            self.warn(
                &At::file(),
                format_args!(
                    "num_requests {max} bounds the conversations that begin; each goes on to its end, which is after \
                     up to {rounds} requests; strict_num_requests: true bounds all requests"
                ),
            );
        }
    }

    fn slo_targets(&mut self, file: &File) -> SloTargets {
        let Some(targets) = &file.goodput_slo_targets else { return SloTargets::new() };
        let at = At::file().key("goodput_slo_targets", Some(targets));
        let class_targets = |(class, target): (&String, &Goodput)| {
            let at = at.key::<()>(class, None);
            let values = [
                (Latency::Ttft, "ttft_ms", &target.ttft_ms),
                (Latency::Itl, "itl_ms", &target.itl_ms),
                (Latency::E2e, "e2e_ms", &target.e2e_ms),
            ];
            let given = values.into_iter().filter_map(|(latency, key, ms)| {
                Some((latency, self.real(&at, key, ms, is_not_negative, NOT_NEGATIVE)?))
            });
            (class.clone(), given.collect())
        };
        targets.value.iter().map(class_targets).collect()
    }

    fn must_end(&mut self, workload: &Workload) {
        let is_endless = !workload.clients.iter().all(blis_workload::Client::is_bounded);
        if workload.max_requests.is_none() && workload.horizon == Tick::MAX && is_endless {
            self.problem(
                &At::file(),
                Diagnostic::new("the workload never ends: neither num_requests nor horizon bounds it")
                    .with_help("give one of them here, or --num-requests or --horizon"),
            );
        }
    }

    /// The blocks bring all clients of a file.
    fn one_source(&mut self, file: &File) {
        let given = [
            ("clients", file.clients.as_ref().is_some_and(|list| !list.is_empty())),
            ("cohorts", file.cohorts.as_ref().is_some_and(|list| !list.is_empty())),
            ("servegen_data", file.servegen_data.is_some()),
            ("inference_perf", file.inference_perf.is_some()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| *key).collect();
        let has_block = file.servegen_data.is_some() || file.inference_perf.is_some();
        if has_block && given.len() > 1 {
            let message =
                format!("{} are given; a block describes all traffic of a file", given.join(" and "));
            self.report(&At::file(), message);
        }
    }

    /// A file whose cohorts lie in a folder, with those cohorts. Checks beside it that nothing else brings clients.
    fn servegen(&mut self, file: &File, seed: i64) -> Option<File> {
        self.one_source(file);
        let given = file.servegen_data.as_ref()?;
        let at = At::file().key("servegen_data", Some(given));
        let data = &given.value;
        for (key, legacy) in [
            ("time_window", &data.time_window),
            ("span_start", &data.span_start),
            ("span_end", &data.span_end),
        ] {
            if legacy.is_some() {
                self.warn(&at.key(key, legacy.as_ref()), "is unused");
            }
        }
        if let Some(given) = file.aggregate_rate.as_ref().filter(|given| given.value != 0.0) {
            let at = At::file().key("aggregate_rate", Some(given));
            self.warn(
                &at,
                format_args!("{} is unused: servegen_data has the rates of its clients", given.value),
            );
        }
        let seconds = |reader: &mut Self, key, value, least, default| {
            let seconds = reader.whole(&at, key, value, i64::MIN..=servegen::MAX_SPAN_S);
            seconds.filter(|&seconds| seconds >= least).unwrap_or(default)
        };
        let window_s =
            seconds(self, "window_duration_secs", &data.window_duration_secs, 1, servegen::DEFAULT_WINDOW_S);
        let drain_s =
            seconds(self, "drain_timeout_secs", &data.drain_timeout_secs, 0, servegen::DEFAULT_DRAIN_S);
        let Some(path) = data.path.as_ref().filter(|path| !path.value.is_empty()) else {
            self.report(&at.key("path", data.path.as_ref()), "is missing");
            return None;
        };
        if !self.problems.is_empty() {
            return None;
        }
        let settings = servegen::Settings { path: path.value.as_str().into(), window_s, drain_s, seed };
        match servegen::cohorts(&settings) {
            Ok(made) => {
                self.warnings.extend(made.warnings);
                Some(servegen::file_of(file, made.kind, made.entries, seed))
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn populations(&mut self, file: &File) -> Vec<Population> {
        let top = At::file();
        let clients = file.clients.as_deref().unwrap_or_default();
        let cohorts = file.cohorts.as_deref().unwrap_or_default();
        let is_elsewhere = file.servegen_data.is_some() || file.inference_perf.is_some();
        if clients.is_empty() && cohorts.is_empty() && !is_elsewhere {
            self.report(&top, "there are neither clients nor cohorts");
        }
        let has_rate = |entry: &Entry| entry.concurrency.as_ref().is_none_or(|users| users.value.0 <= 0);
        let needs_rate = !cohorts.is_empty() || clients.iter().any(|client| has_rate(&client.value));
        let aggregate = file.aggregate_rate.as_ref().map_or(0.0, |rate| rate.value);
        if needs_rate && !(aggregate.is_finite() && aggregate >= 0.0) {
            let at = top.key("aggregate_rate", file.aggregate_rate.as_ref());
            self.out_of_range(
                &at,
                aggregate,
                &format!("{POSITIVE}, or 0 when every window has its trace_rate"),
            );
        }
        let is_absolute = aggregate == 0.0;
        let mut populations = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            let at = top.key(&format!("clients[{number}]"), Some(client));
            populations.push(self.client(at, &client.value, is_absolute));
        }
        for (number, cohort) in cohorts.iter().enumerate() {
            let at = top.key(&format!("cohorts[{number}]"), Some(cohort));
            populations.push(self.cohort(at, &cohort.value, is_absolute));
        }
        let pool = populations.iter().find(|population| population.is_pool());
        let chat = populations.iter().find(|population| population.client.conversation.is_some());
        if let (Some(pool), Some(chat)) = (pool, chat) {
            let (chat, pool) = (chat.at.clone(), pool.at.path.clone());
            self.report(
                &chat.key::<()>("reasoning.multi_turn", None),
                format_args!("cannot stand beside the concurrency of {pool}; use two files"),
            );
        }
        self.all_or_no_classes(&populations);
        populations
    }

    fn all_or_no_classes(&mut self, populations: &[Population]) {
        let paths = |has_class: bool| -> Vec<&str> {
            let of = populations.iter().filter(|p| p.client.labels.slo_class.is_empty() != has_class);
            of.map(|population| population.at.path.as_str()).collect()
        };
        let (with, without) = (paths(true), paths(false));
        if with.is_empty() || without.is_empty() {
            return;
        }
        let first = |paths: &[&str]| {
            let more = if paths.len() > 3 { ", …" } else { "" };
            format!("{} ({}{more})", paths.len(), paths[..paths.len().min(3)].join(", "))
        };
        let message = format!(
            "slo_class is given by {} and missing from {}; either all clients and cohorts have one or none has",
            first(&with),
            first(&without)
        );
        let missing = populations.iter().find(|p| p.client.labels.slo_class.is_empty());
        let at = missing.map_or(At::file(), |population| population.at.clone());
        self.problem(&at, Diagnostic::new(message));
    }
}

/// Fills in the rates. One window with something special makes every window a phase with a process of its own.
fn with_traffic(mut populations: Vec<Population>, aggregate_per_s: f64, horizon: Tick) -> Vec<Population> {
    let mut senders: Vec<&mut Population> = populations.iter_mut().filter(|p| !p.is_pool()).collect();
    let share = |population: &Population| Share {
        members: population.members,
        fraction: population.fraction,
        windows: population.spans.iter().map(|span| (span.window, span.rate)).collect(),
    };
    let shares: Vec<_> = senders.iter().map(|population| share(population)).collect();
    if senders.iter().any(|population| population.spans.iter().any(Span::is_special)) {
        let rates = window_rates(aggregate_per_s, &shares, horizon);
        for (population, rates) in senders.iter_mut().zip(rates) {
            if population.spans.is_empty() {
                population.spans.push(Span::plain(Window::once(Tick::ZERO, Tick::MAX)));
            }
            let default = population.process;
            let phases = population.spans.iter().zip(rates).map(|(span, per_us)| Phase {
                window: span.window,
                per_us,
                process: at_rate(span.process.unwrap_or(default), per_us),
                input: span.input.clone(),
                output: span.output.clone(),
            });
            population.client.traffic = Traffic::Phases(phases.collect());
        }
    } else {
        let rates = constant_rates(aggregate_per_s, &shares, horizon);
        for (population, per_us) in senders.iter_mut().zip(rates) {
            population.client.active = population.spans.iter().map(|span| span.window).collect::<Arc<[_]>>();
            population.client.traffic = Traffic::Rate { per_us, process: population.process };
        }
    }
    populations
}
