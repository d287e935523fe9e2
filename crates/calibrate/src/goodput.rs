//! Goodput of the server and of the simulator, request by request against the same targets.
//!
//! Of a class, attainment = good / requests, where a request is good when it got its answer within every target. The
//! share that meets one target alone is taken over the requests whose value is known.

use crate::itl::Measured;
use crate::pairs::Pairs;
use blis_metrics::{Latency, SloTargets};
use blis_workload::Trace;
use std::collections::BTreeMap;

/// The class of requests that have none.
const UNNAMED_CLASS: &str = "default";

/// How much was served within its targets, measured and simulated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoodputComparison {
    /// The targets.
    pub targets: SloTargets,
    /// Each class with targets that has requests.
    pub classes: BTreeMap<String, ClassComparison>,
    /// Whether times between tokens were missing where a target needs them; such requests are not good.
    pub skipped_itl: bool,
}

/// One class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassComparison {
    /// Requests.
    pub count: u64,
    /// At the server.
    pub real: Side,
    /// In the simulator.
    pub sim: Side,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// good / requests.
    pub attainment: f64,
    /// Good requests per second.
    pub good_per_s: f64,
    /// For each target the share of the requests that meet it.
    pub met: BTreeMap<Latency, f64>,
}

#[derive(Default)]
struct Tally {
    good: u64,
    /// Those that met a target, and those whose value is known.
    met: BTreeMap<Latency, (u64, u64)>,
}

impl Tally {
    /// `value_us` gives a latency if it is known; a request without its answer has none.
    fn add(&mut self, targets: &BTreeMap<Latency, f64>, value_us: impl Fn(Latency) -> Option<f64>) {
        let mut is_good = true;
        for (&latency, &target_ms) in targets {
            let (met, known) = self.met.entry(latency).or_default();
            let value = value_us(latency);
            *known += u64::from(value.is_some());
            if value.is_some_and(|us| us / 1e3 <= target_ms) {
                *met += 1;
            } else {
                is_good = false;
            }
        }
        self.good += u64::from(is_good);
    }

    fn side(&self, count: u64, seconds: f64) -> Side {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Side {
            attainment: share(self.good, count),
            good_per_s: if seconds > 0.0 { self.good as f64 / seconds } else { 0.0 },
            met: self.met.iter().map(|(&latency, &(met, known))| (latency, share(met, known))).collect(),
        }
    }
}

/// From the first sending to the last answer, on either side.
#[derive(Default)]
struct Span(Option<(f64, f64)>);

impl Span {
    fn add(&mut self, from_us: f64, to_us: f64) {
        let (first, last) = self.0.unwrap_or((from_us, to_us));
        self.0 = Some((first.min(from_us), last.max(to_us)));
    }

    fn seconds(&self) -> f64 {
        self.0.map_or(0.0, |(first, last)| (last - first) / 1e6)
    }
}

/// Compares; `None` when no class with targets has a request.
pub(crate) fn compare(
    trace: &Trace,
    pairs: &Pairs<'_>,
    targets: &SloTargets,
    itl: &BTreeMap<i64, Measured>,
) -> Option<GoodputComparison> {
    let mut tallies: BTreeMap<&str, (u64, Tally, Tally)> = BTreeMap::new();
    let (mut real_span, mut sim_span) = (Span::default(), Span::default());
    let mut skipped_itl = false;
    let matched = pairs.matched.iter().map(|pair| (pair.row, pair.result, Some(pair)));
    let failed = pairs.failed.iter().map(|&(row, result)| (row, result, None));
    for (row, result, pair) in matched.chain(failed) {
        let named = trace.text(row.slo_class);
        let class = if named.is_empty() { UNNAMED_CLASS } else { named };
        let Some(targets) = targets.get(class) else { continue };
        real_span.add(row.send_us as f64, row.last_chunk_us.max(row.send_us) as f64);
        let injection_us = trace.injection(row).as_us() as f64;
        let sim_e2e_us = pair.map_or(result.e2e_us, |pair| pair.e2e_us.sim);
        sim_span.add(injection_us, injection_us + sim_e2e_us);
        let gap = itl.get(&row.request_id);
        skipped_itl |= pair.is_some() && targets.contains_key(&Latency::Itl) && gap.is_none();
        let (count, real, sim) = tallies.entry(class).or_default();
        *count += 1;
        let real_pair = pair.filter(|pair| pair.ttft_us.real > 0.0 && pair.e2e_us.real >= pair.ttft_us.real);
        real.add(targets, |latency| {
            let pair = real_pair?;
            match latency {
                Latency::Ttft => Some(pair.ttft_us.real),
                Latency::E2e => Some(pair.e2e_us.real),
                Latency::Itl => match gap? {
                    Measured::Mean(us) => Some(*us),
                    Measured::OutOfOrder => None,
                },
            }
        });
        sim.add(targets, |latency| {
            Some(match latency {
                Latency::Ttft => pair.map_or(result.ttft_us, |pair| pair.ttft_us.sim),
                Latency::E2e => sim_e2e_us,
                Latency::Itl => result.itl_mean_us,
            })
        });
    }
    if tallies.is_empty() {
        return None;
    }
    let (real_s, sim_s) = (real_span.seconds(), sim_span.seconds());
    let classes = tallies.into_iter().map(|(class, (count, real, sim))| {
        let compared = ClassComparison { count, real: real.side(count, real_s), sim: sim.side(count, sim_s) };
        (class.to_owned(), compared)
    });
    Some(GoodputComparison { targets: targets.clone(), classes: classes.collect(), skipped_itl })
}
