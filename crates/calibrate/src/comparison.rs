//! The whole comparison of a trace with the results of its replay.

use crate::breakdown::Breakdown;
use crate::goodput::{self, GoodputComparison};
use crate::itl::{ChunkTime, Measured, mean_gaps};
use crate::pairs::{self, Buckets, NothingToCompare, Pair};
use crate::statistics::{Errors, Figure, mape};
use crate::{Metric, SimResult};
use blis_kernel::Network;
use blis_metrics::SloTargets;
use blis_workload::Trace;
use std::collections::BTreeMap;

/// What is compared, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Leading requests to leave out; what the trace says when absent.
    pub warm_up_requests: Option<u64>,
    /// Round trip between client and server, ms; what the trace says when absent.
    pub rtt_ms: Option<f64>,
    /// Bandwidth between client and server, Mbit/s; 0 = transfers take no time.
    pub bandwidth_mbps: f64,
    /// Goodput targets.
    pub targets: SloTargets,
    /// The simulator's prefix-cache hit rate, a fraction, if it is known.
    pub sim_hit_rate: Option<f64>,
    /// Difference of the hit rates that is still fine, percentage points.
    pub hit_rate_tolerance_pp: f64,
    /// MAPE of the time to first token that is still fine, a fraction.
    pub ttft_mape_threshold: f64,
}

/// How the simulator compares with the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Where the rows of the trace went.
    pub buckets: Buckets,
    /// Requests whose times between tokens cannot be used.
    pub itl_dropped: u64,
    /// The errors of each metric that was compared.
    pub metrics: BTreeMap<Metric, Errors>,
    /// Where the error of the end-to-end latency comes from.
    pub breakdown: Breakdown,
    /// MAPE by SLO class.
    pub by_slo_class: BTreeMap<String, GroupErrors>,
    /// MAPE by model.
    pub by_model: BTreeMap<String, GroupErrors>,
    /// Goodput, when there are targets.
    pub goodput: Option<GoodputComparison>,
    /// Hit rates, when both are known.
    pub hit_rate: Option<HitRate>,
    /// MAPE of the time to first token that is still fine, a fraction.
    pub ttft_mape_threshold: f64,
}

/// The errors of a group of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupErrors {
    /// Pairs.
    pub count: u64,
    /// MAPE of each metric, a fraction.
    pub mape: BTreeMap<Metric, f64>,
}

/// Prefix-cache hit rates, fractions.
#[derive(Clone, Debug, PartialEq)]
pub struct HitRate {
    /// Measured and simulated.
    pub rate: Figure,
    /// What is still fine, percentage points.
    pub tolerance_pp: f64,
    /// Which counters of the server it is from.
    pub source: String,
}

impl HitRate {
    /// How far they lie apart, percentage points.
    pub fn error_pp(&self) -> f64 {
        self.rate.error().abs() * 100.0
    }

    /// Whether that is within the tolerance.
    pub fn is_within(&self) -> bool {
        self.error_pp() <= self.tolerance_pp + 1e-9
    }
}

/// The values of one pair, by metric.
type Values = BTreeMap<Metric, Figure>;

/// Compares the rows of `trace` with the `results` of its replay; `chunks` are the times of the pieces of answers.
///
/// # Errors
/// There is nothing to compare.
pub fn calibrate(
    trace: &Trace,
    results: &[SimResult],
    chunks: &[ChunkTime],
    settings: &Settings,
) -> Result<Calibration, NothingToCompare> {
    let header = &trace.header;
    let network = Network {
        rtt_ms: settings.rtt_ms.or(header.network_rtt_ms.flatten()).unwrap_or_default(),
        bandwidth_mbps: settings.bandwidth_mbps,
    };
    let warm_up = settings.warm_up_requests.unwrap_or(header.warm_up_requests);
    let pairs = pairs::pair(trace, results, warm_up, network)?;
    let gaps = mean_gaps(chunks);
    let is_dropped = |pair: &&Pair<'_>| gaps.get(&pair.row.request_id) == Some(&Measured::OutOfOrder);
    let itl_dropped = pairs.matched.iter().filter(is_dropped).count() as u64;
    let values: Vec<Values> = pairs.matched.iter().map(|pair| values(pair, &gaps)).collect();
    let of = |metric: Metric| -> Vec<Figure> {
        values.iter().filter_map(|values| values.get(&metric).copied()).collect()
    };
    let metrics = Metric::ALL.into_iter().filter_map(|metric| Some((metric, Errors::of(&of(metric))?)));
    let by = |name: fn(&SimResult) -> &str| groups(pairs.matched.iter().map(|p| name(p.result)).zip(&values));
    Ok(Calibration {
        metrics: metrics.collect(),
        itl_dropped,
        breakdown: Breakdown::of(&pairs.matched),
        by_slo_class: by(|result| &result.slo_class),
        by_model: by(|result| &result.model),
        goodput: goodput::compare(trace, &pairs, &settings.targets, &gaps),
        hit_rate: hit_rate(trace, settings),
        ttft_mape_threshold: settings.ttft_mape_threshold,
        buckets: pairs.buckets,
    })
}

/// Times between tokens are compared where both sides have them: answers of one token have none.
fn values(pair: &Pair<'_>, gaps: &BTreeMap<i64, Measured>) -> Values {
    let mut values = BTreeMap::from([(Metric::Ttft, pair.ttft_us), (Metric::E2e, pair.e2e_us)]);
    let result = pair.result;
    if let Some(&Measured::Mean(real)) = gaps.get(&pair.row.request_id)
        && result.output_tokens > 1
    {
        let sim = if result.itl_mean_us > 0.0 {
            result.itl_mean_us
        } else {
            (result.e2e_us - result.ttft_us) / f64::from(result.output_tokens - 1)
        };
        values.insert(Metric::Itl, Figure { real, sim });
    }
    values
}

/// The errors by group; requests without a name are in no group.
fn groups<'a>(pairs: impl Iterator<Item = (&'a str, &'a Values)>) -> BTreeMap<String, GroupErrors> {
    let mut by_name: BTreeMap<&str, Vec<&Values>> = BTreeMap::new();
    for (name, values) in pairs.filter(|(name, _)| !name.is_empty()) {
        by_name.entry(name).or_default().push(values);
    }
    by_name
        .into_iter()
        .map(|(name, group)| {
            let of = |metric| group.iter().filter_map(move |values| values.get(&metric).copied());
            let known = Metric::ALL.into_iter().filter(|&metric| of(metric).next().is_some());
            let mape = known.map(|metric| (metric, mape(of(metric)))).collect();
            (name.to_owned(), GroupErrors { count: group.len() as u64, mape })
        })
        .collect()
}

fn hit_rate(trace: &Trace, settings: &Settings) -> Option<HitRate> {
    let observed = trace.header.observed_kv_metrics.as_ref()?;
    Some(HitRate {
        rate: Figure { real: observed.hit_rate, sim: settings.sim_hit_rate? },
        tolerance_pp: settings.hit_rate_tolerance_pp,
        source: observed.source.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Bias;
    use blis_metrics::Latency;
    use blis_workload::TraceHeader;
    use std::fmt::Write as _;

    /// Rows of id, status, class, send, first and last chunk; ten tokens in, five out.
    fn trace(header: TraceHeader, rows: &[(i64, &str, &str, i64, i64, i64)]) -> Trace {
        let mut csv = String::from(
            "request_id,slo_class,input_tokens,output_tokens,arrival_time_us,send_time_us,first_chunk_time_us,\
             last_chunk_time_us,status\n",
        );
        for (id, status, class, send, first, last) in rows {
            writeln!(csv, "{id},{class},10,5,{send},{send},{first},{last},{status}").unwrap();
        }
        Trace::read(header, csv.as_bytes()).unwrap()
    }

    fn header() -> TraceHeader {
        TraceHeader { trace_version: 3, ..TraceHeader::default() }
    }

    fn result(request_id: i64, ttft_us: f64, e2e_us: f64) -> SimResult {
        SimResult { request_id, ttft_us, e2e_us, input_tokens: 10, output_tokens: 5, ..SimResult::default() }
    }

    /// Law: every row is in exactly one bucket.
    #[test]
    fn every_row_is_counted_once() {
        let rows = [
            (0, "ok", "", 10, 20, 30),
            (1, "ok", "", 10, 20, 30),
            (2, "error", "", 10, 20, 30),
            (3, "ok", "", 10, 5, 30),
            (4, "ok", "", 10, 20, 30),
            (5, "timeout", "", 10, 0, 0),
        ];
        let trace = trace(TraceHeader { warm_up_requests: 1, ..header() }, &rows);
        let results: Vec<_> = [0, 1, 2, 3, 5, 9].map(|id| result(id, 10.0, 20.0)).into();
        let buckets = calibrate(&trace, &results, &[], &Settings::default()).unwrap().buckets;
        let expected = Buckets {
            matched: 1,
            warm_up: 1,
            failed: 2,
            unusable: 1,
            unmatched: 1,
            token_mismatches: 0,
            unmatched_sim: 1,
        };
        assert_eq!(buckets, expected);
        assert_eq!(buckets.rows(), rows.len() as u64);
    }

    #[test]
    fn nothing_to_compare_is_said() {
        let trace = trace(header(), &[(0, "error", "", 10, 20, 30)]);
        let check =
            |results: &[SimResult]| calibrate(&trace, results, &[], &Settings::default()).unwrap_err();
        assert_eq!(check(&[]), NothingToCompare::NoResults);
        assert_eq!(check(&[result(7, 1.0, 1.0)]), NothingToCompare::NoCommonId);
        assert!(matches!(check(&[result(0, 1.0, 1.0)]), NothingToCompare::NoUsablePair(_)));
    }

    /// Law: what lies between client and server is added to what the simulator says of the server.
    #[test]
    fn the_link_is_added_to_simulated_latencies() {
        let trace = trace(
            TraceHeader { network_rtt_ms: Some(Some(2.0)), ..header() },
            &[(0, "ok", "", 0, 5_320, 10_480)],
        );
        let settings = Settings { bandwidth_mbps: 1.0, ..Settings::default() };
        let calibration = calibrate(&trace, &[result(0, 3_000.0, 8_000.0)], &[], &settings).unwrap();
        // 2 ms there and back, 10 tokens up (320 µs), 5 tokens down (160 µs).
        let mape = |metric| calibration.metrics[&metric].mape;
        assert!(mape(Metric::Ttft) < 1e-12 && mape(Metric::E2e) < 1e-12, "{calibration:?}");
        let none = Settings { rtt_ms: Some(0.0), ..Settings::default() };
        let calibration = calibrate(&trace, &[result(0, 3_000.0, 8_000.0)], &[], &none).unwrap();
        assert_eq!(calibration.metrics[&Metric::Ttft].bias, Some(Bias::Under));
    }

    #[test]
    fn token_times_are_compared_where_there_are_several_tokens() {
        let trace = trace(header(), &[(0, "ok", "a", 0, 10, 50), (1, "ok", "b", 0, 10, 50)]);
        let chunks = [(0, 0, 10), (0, 1, 30), (0, 2, 50), (1, 0, 5), (1, 1, 4)]
            .map(|(request_id, index, at_us)| ChunkTime { request_id, index, at_us });
        let mut results = [result(0, 10.0, 90.0), result(1, 10.0, 50.0)];
        results[0].slo_class = "a".into();
        let calibration = calibrate(&trace, &results, &chunks, &Settings::default()).unwrap();
        let itl = &calibration.metrics[&Metric::Itl];
        // (90 − 10) / 4 tokens behind the first.
        assert_eq!((itl.count, itl.mean, calibration.itl_dropped), (1, Figure { real: 20.0, sim: 20.0 }, 1));
        results[0].itl_mean_us = 22.0;
        let calibration = calibrate(&trace, &results, &chunks, &Settings::default()).unwrap();
        assert_eq!(calibration.metrics[&Metric::Itl].mean.sim, 22.0);
        assert_eq!(calibration.by_slo_class.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(calibration.by_slo_class["a"].mape[&Metric::E2e], 40.0 / 50.0);
        results[0].output_tokens = 1;
        let calibration = calibrate(&trace, &results, &chunks, &Settings::default()).unwrap();
        assert!(!calibration.metrics.contains_key(&Metric::Itl));
    }

    /// Law: the shares of single targets do not depend on each other, and a request that failed is not good.
    #[test]
    fn targets_are_judged_one_by_one() {
        let rows = [
            (0, "ok", "", 0, 900, 3_000),
            (1, "ok", "", 0, 2_000, 2_500),
            (2, "error", "", 0, 0, 0),
            (3, "ok", "free", 0, 900, 3_000),
        ];
        let trace = trace(header(), &rows);
        let results: Vec<_> = (0..4).map(|id| result(id, 900.0, 4_000.0)).collect();
        let targets = BTreeMap::from([(Latency::Ttft, 1.0), (Latency::E2e, 2.8)]);
        let settings = Settings { targets: [("default".to_owned(), targets)].into(), ..Settings::default() };
        let goodput = calibrate(&trace, &results, &[], &settings).unwrap().goodput.unwrap();
        let class = &goodput.classes["default"];
        assert_eq!((class.count, goodput.classes.len()), (3, 1));
        assert_eq!(class.real.met, BTreeMap::from([(Latency::Ttft, 0.5), (Latency::E2e, 0.5)]));
        assert_eq!(class.sim.met, BTreeMap::from([(Latency::Ttft, 1.0), (Latency::E2e, 0.0)]));
        assert_eq!((class.real.attainment, class.sim.attainment), (0.0, 0.0));
        assert!(!goodput.skipped_itl);
    }
}
