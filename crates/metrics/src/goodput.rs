//! How much of the traffic was served within its SLO targets.
//!
//! A completed request is good when it meets every target of its SLO class: value <= target. Of a class,
//! attainment = good / injected, so whatever was rejected, dropped, timed out or unfinished counts against it; the
//! share that meets one target alone is taken over completed requests. Over all classes, attainment = sum of good /
//! sum of injected, and goodput = sum of good / duration. Classes without a target count nowhere.

use crate::breakdown::UNNAMED_CLASS;
use crate::column::DurationColumn;
use crate::distribution::Distribution;
use crate::record::{Labels, RequestEnding, RequestRecord};
use blis_kernel::Tick;
use std::collections::BTreeMap;

/// A latency that can have a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Latency {
    /// Time to first token.
    Ttft,
    /// Mean time between the tokens of a request; 0 with a single token.
    Itl,
    /// End-to-end latency.
    E2e,
}

impl Latency {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ttft, Self::Itl, Self::E2e];

    /// What it is called in flags and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ttft => "ttft",
            Self::Itl => "itl",
            Self::E2e => "e2e",
        }
    }
}

/// What the requests of one SLO class shall not exceed, milliseconds; an absent latency is not bounded.
pub type Targets = BTreeMap<Latency, f64>;

/// The targets of each SLO class. Requests without a class are in `default`.
pub type SloTargets = BTreeMap<String, Targets>;

/// How much of the traffic was served within its targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Goodput {
    /// Share of the requests of all classes with targets that were good.
    pub attainment: f64,
    /// Good requests per second.
    pub good_per_s: f64,
    /// Each class that has targets and got requests.
    pub classes: BTreeMap<String, ClassGoodput>,
}

/// The same of one SLO class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassGoodput {
    /// Its targets.
    pub targets: Targets,
    /// Requests that arrived.
    pub injected: u64,
    /// Those that got their answer.
    pub completed: u64,
    /// Those whose answer met every target.
    pub good: u64,
    /// good / injected.
    pub attainment: f64,
    /// Good requests per second.
    pub good_per_s: f64,
    /// For each target the share of the completed requests that met it; 0 when none completed.
    pub met: BTreeMap<Latency, f64>,
    /// 99th percentile of the time to first token of completed requests, milliseconds.
    pub ttft_p99_ms: f64,
    /// Mean over completed requests of their mean inter-token latency, milliseconds.
    pub itl_mean_ms: f64,
    /// 99th percentile of the end-to-end latency, milliseconds.
    pub e2e_p99_ms: f64,
}

/// Counts requests against the targets of their classes.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    targets: SloTargets,
    /// Per set of labels: which of the classes, if it has targets.
    labels: Vec<Option<usize>>,
    classes: Vec<Class>,
}

#[derive(Clone, Debug)]
struct Class {
    name: String,
    targets: Targets,
    injected: u64,
    completed: u64,
    good: u64,
    met: BTreeMap<Latency, u64>,
    ttft: DurationColumn,
    e2e: DurationColumn,
    itl_means_us: Vec<f64>,
}

impl Tally {
    pub(crate) fn new(targets: SloTargets) -> Self {
        Self { targets, labels: Vec::new(), classes: Vec::new() }
    }

    pub(crate) fn add_labels(&mut self, labels: &Labels) {
        let name = if labels.slo_class.is_empty() { UNNAMED_CLASS } else { &labels.slo_class };
        let known = self.classes.iter().position(|class| class.name == name);
        let class = known.or_else(|| {
            self.classes.push(Class::new(name, self.targets.get(name)?.clone()));
            Some(self.classes.len() - 1)
        });
        self.labels.push(class);
    }

    /// Counts a request, however it ended.
    pub(crate) fn add(&mut self, request: &RequestRecord) {
        if let Some(class) = self.labels[request.labels as usize] {
            self.classes[class].add(request);
        }
    }

    /// Sums up a run of `duration_s` seconds; nothing when no class with targets got a request.
    pub(crate) fn figures(self, duration_s: f64) -> Option<Goodput> {
        let per_s = |good: u64| if duration_s > 0.0 { good as f64 / duration_s } else { 0.0 };
        let classes: Vec<_> = self.classes.into_iter().filter(|class| class.injected > 0).collect();
        let injected: u64 = classes.iter().map(|class| class.injected).sum();
        let good: u64 = classes.iter().map(|class| class.good).sum();
        (injected > 0).then(|| Goodput {
            attainment: share(good, injected),
            good_per_s: per_s(good),
            classes: classes.into_iter().map(|class| class.figures(per_s)).collect(),
        })
    }
}

impl Class {
    fn new(name: &str, targets: Targets) -> Self {
        Self {
            name: name.to_owned(),
            met: targets.keys().map(|&latency| (latency, 0)).collect(),
            targets,
            injected: 0,
            completed: 0,
            good: 0,
            ttft: DurationColumn::default(),
            e2e: DurationColumn::default(),
            itl_means_us: Vec::new(),
        }
    }

    fn add(&mut self, request: &RequestRecord) {
        self.injected += 1;
        if request.ending != RequestEnding::Completed {
            return;
        }
        self.completed += 1;
        let mut is_good = true;
        for (latency, target_ms) in &self.targets {
            let value_ms = match latency {
                Latency::Ttft => request.ttft.map(Tick::as_ms),
                Latency::Itl => Some(request.itl_mean_us / 1e3),
                Latency::E2e => request.e2e.map(Tick::as_ms),
            };
            if value_ms.is_some_and(|value_ms| value_ms <= *target_ms) {
                *self.met.entry(*latency).or_default() += 1;
            } else {
                is_good = false;
            }
        }
        self.good += u64::from(is_good);
        request.ttft.into_iter().for_each(|ttft| self.ttft.push(ttft));
        request.e2e.into_iter().for_each(|e2e| self.e2e.push(e2e));
        self.itl_means_us.push(request.itl_mean_us);
    }

    fn figures(mut self, per_s: impl Fn(u64) -> f64) -> (String, ClassGoodput) {
        self.ttft.sort();
        self.e2e.sort();
        self.itl_means_us.sort_unstable_by(f64::total_cmp);
        let figures = ClassGoodput {
            targets: self.targets,
            injected: self.injected,
            completed: self.completed,
            good: self.good,
            attainment: share(self.good, self.injected),
            good_per_s: per_s(self.good),
            met: self.met.iter().map(|(&latency, &met)| (latency, share(met, self.completed))).collect(),
            ttft_p99_ms: Distribution::of_us_in_ms(&self.ttft).p99,
            itl_mean_ms: Distribution::of(&self.itl_means_us[..]).mean / 1e3,
            e2e_p99_ms: Distribution::of_us_in_ms(&self.e2e).p99,
        };
        (self.name, figures)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_kernel::RequestName;

    fn request(labels: u32, ttft_ms: i64, itl_us: f64, e2e_ms: i64) -> RequestRecord {
        RequestRecord {
            name: RequestName::Indexed(0),
            arrival: Tick::ZERO,
            input_tokens: 1,
            output_tokens: 2,
            produced_tokens: 2,
            ttft: Some(Tick::from_us(ttft_ms * 1000)),
            e2e: Some(Tick::from_us(e2e_ms * 1000)),
            itl_mean_us: itl_us,
            scheduling_delay: None,
            gateway_queue_delay: None,
            labels,
            instance: None,
            left_at: None,
            length_capped: false,
            session: None,
            ending: RequestEnding::Completed,
        }
    }

    fn unfinished(labels: u32, ending: RequestEnding) -> RequestRecord {
        RequestRecord { ending, ..request(labels, 1, 1.0, 1) }
    }

    fn tally(classes: &[&str], targets: &[(&str, &[(Latency, f64)])]) -> Tally {
        let targets = targets.iter().map(|(class, t)| ((*class).to_owned(), t.iter().copied().collect()));
        let mut tally = Tally::new(targets.collect());
        for class in classes {
            tally.add_labels(&Labels { slo_class: (*class).to_owned(), ..Labels::default() });
        }
        tally
    }

    #[test]
    fn two_good_of_seven_injected_attain_two_sevenths() {
        let mut tally =
            tally(&["critical"], &[("critical", &[(Latency::Ttft, 50.0), (Latency::E2e, 400.0)])]);
        tally.add(&request(0, 50, 0.0, 400));
        tally.add(&request(0, 10, 0.0, 10));
        tally.add(&request(0, 51, 0.0, 300));
        tally.add(&request(0, 50, 0.0, 401));
        for ending in
            [RequestEnding::TimedOut, RequestEnding::RejectedByAdmission, RequestEnding::DroppedUnservable]
        {
            tally.add(&unfinished(0, ending));
        }
        let goodput = tally.figures(4.0).unwrap();
        assert_eq!((goodput.attainment, goodput.good_per_s), (2.0 / 7.0, 0.5));
        let class = &goodput.classes["critical"];
        assert_eq!((class.injected, class.completed, class.good), (7, 4, 2));
        assert_eq!(class.met, BTreeMap::from([(Latency::Ttft, 0.75), (Latency::E2e, 0.75)]));
    }

    #[test]
    fn classes_without_targets_count_nowhere_and_unnamed_requests_are_in_default() {
        let mut tally =
            tally(&["", "batch", "default"], &[("default", &[(Latency::Itl, 8.0)]), ("absent", &[])]);
        tally.add(&request(0, 1, 8000.0, 1));
        tally.add(&request(1, 1, 1.0, 1));
        tally.add(&request(2, 1, 8000.5, 1));
        let goodput = tally.figures(0.0).unwrap();
        assert_eq!((goodput.attainment, goodput.good_per_s), (0.5, 0.0));
        assert_eq!(goodput.classes.keys().collect::<Vec<_>>(), ["default"]);
    }

    #[test]
    fn without_a_request_of_a_class_with_targets_there_is_no_goodput() {
        let mut tally = tally(&["batch"], &[("critical", &[(Latency::Itl, 8.0)])]);
        tally.add(&request(0, 1, 1.0, 1));
        assert_eq!(tally.figures(1.0), None);
    }
}
