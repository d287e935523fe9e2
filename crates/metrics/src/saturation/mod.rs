//! Whether a system kept up with its load, judged afterwards from when its requests came and when they left.
//!
//! Events in order of time go to each detector, which gives a verdict after every one. The label of the whole run is
//! the most frequent level among the verdicts near its end.

mod backlog_drift;
mod composite;
mod threshold;

use crate::record::{RequestEnding, RequestRecord};
use backlog_drift::BacklogDrift;
use blis_kernel::Tick;
use composite::Composite;
use std::collections::BTreeMap;
use threshold::Threshold;

/// Latency above which `threshold` calls a system overloaded unless the user says otherwise, milliseconds.
pub const DEFAULT_THRESHOLD_MS: f64 = 5_000.0;
/// Window of `backlog-drift` unless the user says otherwise.
pub const DEFAULT_DRIFT_WINDOW: Tick = Tick::from_us(60_000_000);
/// Span before the last event from which a run gets its label unless the user says otherwise.
pub const DEFAULT_FINAL_WINDOW: Tick = Tick::from_us(30_000_000);
/// Arrivals after which confidence that grows with them is full.
const CONFIDENT_ARRIVALS: f64 = 20.0;

/// A way of judging, in the order in which they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DetectorKind {
    /// Answers that are missing, and latencies that grow.
    Composite,
    /// Mean latency.
    Threshold,
    /// Growth of the number of requests in the system.
    BacklogDrift,
}

impl DetectorKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Composite, Self::Threshold, Self::BacklogDrift];

    /// What it is called in flags and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Composite => "composite",
            Self::Threshold => "threshold",
            Self::BacklogDrift => "backlog-drift",
        }
    }
}

/// How a system copes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It keeps up.
    Stable,
    /// It lags, within what chance explains.
    Backlogged,
    /// It falls further and further behind.
    Overloaded,
}

impl Level {
    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "STABLE",
            Self::Backlogged => "BACKLOGGED",
            Self::Overloaded => "OVERLOADED",
        }
    }
}

/// What a detector says after an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How the system copes.
    pub level: Level,
    /// From 0, idle, to 1, overloaded.
    pub score: f64,
    /// From 0, no evidence, to 1.
    pub confidence: f64,
    /// What the verdict rests on, sorted by name.
    pub signals: Vec<(&'static str, f64)>,
}

impl Verdict {
    const NONE: Self = Self { level: Level::Stable, score: 0.0, confidence: 0.0, signals: Vec::new() };
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// It came.
    Arrival,
    /// It got its answer.
    Completion {
        /// Its end-to-end latency.
        e2e: Tick,
    },
    /// It left without an answer.
    Departure,
}

/// Judges from one event after the other, in order of time.
trait Detector {
    fn observe(&mut self, at: Tick, event: EventKind) -> Verdict;
}

/// Which detectors run, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The detectors, in the order of [`DetectorKind`], each once.
    pub detectors: Vec<DetectorKind>,
    /// Latency above which `threshold` calls a system overloaded, milliseconds; finite, above 0.
    pub threshold_ms: f64,
    /// Window of `backlog-drift`; above 0.
    pub drift_window: Tick,
    /// Span before the last event from which a run gets its label; above 0.
    pub final_window: Tick,
    /// Keep every verdict.
    pub keep_verdicts: bool,
}

/// What the detectors found.
#[derive(Clone, Debug, PartialEq)]
pub struct Saturation {
    /// The label of the run by each detector.
    pub labels: BTreeMap<DetectorKind, Level>,
    /// Every verdict with its time, the detectors' in turn after each event; empty unless they were kept.
    pub verdicts: Vec<(Tick, DetectorKind, Verdict)>,
}

/// Judges requests, given in any order.
///
/// Requests that were turned away or can never be served put no load on the system and are left out. A request that
/// is unfinished when the run ends has arrived and not left.
pub fn detect<'a>(requests: impl IntoIterator<Item = &'a RequestRecord>, settings: &Settings) -> Saturation {
    let events = events(requests);
    let mut bank: Vec<_> = settings
        .detectors
        .iter()
        .map(|&kind| {
            let detector: Box<dyn Detector> = match kind {
                DetectorKind::Composite => Box::<Composite>::default(),
                DetectorKind::Threshold => Box::new(Threshold::new(settings.threshold_ms)),
                DetectorKind::BacklogDrift => Box::new(BacklogDrift::new(settings.drift_window)),
            };
            // How often each level was seen in the final window.
            (kind, detector, BTreeMap::<Level, u64>::new())
        })
        .collect();
    let from = events.last().map_or(Tick::ZERO, |&(at, ..)| at - settings.final_window);
    let mut verdicts = Vec::new();
    for (at, event, _) in events {
        for (kind, detector, levels) in &mut bank {
            let verdict = detector.observe(at, event);
            if at >= from {
                *levels.entry(verdict.level).or_default() += 1;
            }
            if settings.keep_verdicts {
                verdicts.push((at, *kind, verdict));
            }
        }
    }
    let labels = bank.into_iter().map(|(kind, _, levels)| {
        // Of levels that are equally frequent the most severe comes last, and wins.
        let most = levels.into_iter().max_by_key(|&(_, count)| count);
        (kind, most.map_or(Level::Stable, |(level, _)| level))
    });
    Saturation { labels: labels.collect(), verdicts }
}

/// The events of requests, by time, then arrivals first, then by name.
fn events<'a>(
    requests: impl IntoIterator<Item = &'a RequestRecord>,
) -> Vec<(Tick, EventKind, &'a RequestRecord)> {
    let mut events = Vec::new();
    for request in requests {
        match request.ending {
            RequestEnding::RejectedByAdmission
            | RequestEnding::RejectedByRouting
            | RequestEnding::RejectedByEncode
            | RequestEnding::RejectedByGateway
            | RequestEnding::DroppedUnservable
            | RequestEnding::DroppedAtDecode => continue,
            RequestEnding::Completed
            | RequestEnding::TimedOut
            | RequestEnding::ShedFromGateway
            | RequestEnding::ExpiredAtGateway
            | RequestEnding::Evicted
            | RequestEnding::Failed
            | RequestEnding::StillAtGateway
            | RequestEnding::StillQueued
            | RequestEnding::StillRunning
            | RequestEnding::InPipeline => {}
        }
        events.push((request.arrival, EventKind::Arrival, request));
        if let Some(e2e) = request.e2e {
            events.push((request.arrival + e2e, EventKind::Completion { e2e }, request));
        } else if let Some(left_at) = request.left_at {
            events.push((left_at, EventKind::Departure, request));
        }
    }
    events.sort_by(|(at, kind, request), (other_at, other_kind, other)| {
        let arrivals_first = |kind| kind != EventKind::Arrival;
        (at, arrivals_first(*kind))
            .cmp(&(other_at, arrivals_first(*other_kind)))
            .then_with(|| request.name.cmp(&other.name))
    });
    events
}

fn confidence(arrivals: u64) -> f64 {
    (arrivals as f64 / CONFIDENT_ARRIVALS).min(1.0)
}

/// What chance alone explains: 1 / sqrt(arrivals).
fn noise_floor(arrivals: u64) -> f64 {
    1.0 / (arrivals as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_kernel::RequestName;

    pub(super) fn request(n: u64, arrival_ms: i64, e2e_ms: Option<i64>) -> RequestRecord {
        RequestRecord {
            name: RequestName::Indexed(n),
            arrival: Tick::from_us(arrival_ms * 1000),
            input_tokens: 1,
            output_tokens: 1,
            produced_tokens: 1,
            ttft: None,
            e2e: e2e_ms.map(|ms| Tick::from_us(ms * 1000)),
            itl_mean_us: 0.0,
            scheduling_delay: None,
            gateway_queue_delay: None,
            labels: 0,
            instance: None,
            left_at: None,
            length_capped: false,
            session: None,
            ending: if e2e_ms.is_some() { RequestEnding::Completed } else { RequestEnding::StillRunning },
        }
    }

    /// 25 arrivals, one every 100 ms, of which number i takes 200 + 40 i ms: a server that falls behind.
    pub(super) fn falling_behind() -> Vec<RequestRecord> {
        (0..25).map(|i| request(i, i as i64 * 100, Some(200 + 40 * i as i64))).collect()
    }

    pub(super) fn settings(detector: DetectorKind) -> Settings {
        Settings {
            detectors: vec![detector],
            threshold_ms: DEFAULT_THRESHOLD_MS,
            drift_window: Tick::from_us(1_000_000),
            final_window: DEFAULT_FINAL_WINDOW,
            keep_verdicts: true,
        }
    }

    /// The verdicts of one detector on [`falling_behind`], with their times in milliseconds.
    pub(super) fn verdicts(detector: DetectorKind) -> Vec<(i64, Verdict)> {
        let found = detect(&falling_behind(), &settings(detector));
        found.verdicts.into_iter().map(|(at, _, verdict)| (at.as_us() / 1000, verdict)).collect()
    }

    #[test]
    fn every_request_gives_two_events_in_order_of_time_and_arrivals_come_first() {
        let found = verdicts(DetectorKind::Composite);
        assert_eq!(found.len(), 50);
        assert!(found.is_sorted_by_key(|(at, _)| *at));
        assert_eq!((found[9].0, found[49].0), (600, 3560));
        // Request 0 leaves at 200 ms, when request 2 comes: three have come when one has left.
        let requests = [request(0, 0, Some(200)), request(1, 100, None), request(2, 200, None)];
        let both = detect(&requests, &settings(DetectorKind::BacklogDrift)).verdicts;
        let in_flight = |n: usize| both[n].2.signals.iter().find(|(name, _)| *name == "in_flight").unwrap().1;
        assert_eq!([in_flight(2), in_flight(3)], [3.0, 2.0]);
    }

    #[test]
    fn unfinished_requests_count_and_those_turned_away_do_not() {
        let mut requests: Vec<_> = (0..100).map(|i| request(i, i as i64, None)).collect();
        requests.push(request(100, 200, Some(10)));
        let cut = detect(&requests, &settings(DetectorKind::Composite));
        assert_eq!(cut.labels[&DetectorKind::Composite], Level::Backlogged);
        requests[..100].iter_mut().for_each(|r| r.ending = RequestEnding::RejectedByAdmission);
        let shed = detect(&requests, &settings(DetectorKind::Composite));
        assert_eq!(shed.verdicts.len(), 2);
    }

    #[test]
    fn a_request_that_timed_out_is_no_longer_in_the_system() {
        let mut requests = [request(0, 0, None)];
        requests[0].ending = RequestEnding::TimedOut;
        requests[0].left_at = Some(Tick::from_us(300_000));
        let drift = detect(&requests, &settings(DetectorKind::BacklogDrift)).verdicts;
        let in_flight: Vec<_> = drift.iter().map(|(_, _, verdict)| verdict.signals[2]).collect();
        assert_eq!(in_flight, [("in_flight", 1.0), ("in_flight", 0.0)]);
    }

    #[test]
    fn the_label_is_the_most_frequent_level_near_the_end_and_ties_go_to_the_more_severe() {
        let mut settings = settings(DetectorKind::Composite);
        let label =
            |settings: &Settings| detect(&falling_behind(), settings).labels[&DetectorKind::Composite];
        settings.final_window = Tick::from_us(1);
        assert_eq!(label(&settings), Level::Overloaded, "only the last verdict counts");
        settings.final_window = DEFAULT_FINAL_WINDOW;
        assert_eq!(label(&settings), Level::Backlogged, "all verdicts count");
        assert_eq!(detect(&[], &settings).labels[&DetectorKind::Composite], Level::Stable);
    }
}
