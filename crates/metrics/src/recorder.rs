//! Takes in every request once and sums up.

use crate::adapters::Adapters;
use crate::aggregate::{Aggregate, InstanceFigures, Tally};
use crate::breakdown::Breakdown;
use crate::client_side;
use crate::decisions::Decisions;
use crate::goodput::{self, SloTargets};
use crate::imbalance::head_of_line_blocking;
use crate::inversions::Completions;
use crate::offload::OffloadFigures;
use crate::outcome::{
    Anomalies, Conservation, FaultFigures, FleetFigures, KvFigures, Outcome, PerRequest, RunEnding,
};
use crate::record::{Labels, RequestEnding, RequestRecord};
use crate::saturation;
use crate::sessions::Sessions;
use crate::splits::{SplitFigures, SplitTally};
use crate::trace_summary::TraceSummary;
use std::collections::BTreeMap;

/// What a request without SLO class counts as when it is shed.
const UNNAMED_SHED_CLASS: &str = "standard";

/// What a recorder keeps.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keep a record of every request. Without it, a request leaves behind a few integers.
    pub keep_records: bool,
    /// Count priority inversions; only meaningful when the scheduler orders by priority.
    pub count_inversions: bool,
    /// What goodput is measured against.
    pub slo_targets: SloTargets,
    /// Whether and how saturation is detected. All requests are then remembered until the end of the run.
    pub saturation: Option<saturation::Settings>,
    /// Requests may be split, so that what instances serve are not whole requests.
    pub splits: bool,
}

/// What is known when the run is over.
#[derive(Clone, Debug)]
pub struct RunFigures {
    /// How it ended.
    pub ending: RunEnding,
    /// Number of requests that arrived.
    pub injected: u64,
    /// What each instance counted, in order.
    pub instances: Vec<InstanceFigures>,
    /// Names of the sessions by number; only needed when records are kept.
    pub session_names: Vec<String>,
    /// Counts of decisions, when they were counted.
    pub trace: Option<TraceSummary>,
    /// The decisions themselves, when they were kept.
    pub decisions: Option<Decisions>,
    /// The requests that were split, where there are pools.
    pub splits: Option<SplitTally>,
    /// Instances that come and go, where they do.
    pub fleet: Option<FleetFigures>,
    /// Faults, where there may be any.
    pub faults: Option<FaultFigures>,
    /// What the instances are called, in order.
    pub instance_names: Vec<String>,
    /// Which instances process prompts of split requests; those beyond the end do not.
    pub prefill_instances: Vec<bool>,
    /// Which instances generate their answers.
    pub decode_instances: Vec<bool>,
}

/// Collects a run.
#[derive(Clone, Debug)]
pub struct Recorder {
    options: Options,
    labels: Vec<Labels>,
    conservation: Conservation,
    shed: BTreeMap<String, u64>,
    tallies: Vec<Tally>,
    /// Whole requests, where instances may serve parts.
    whole: Option<Tally>,
    completions: Vec<Completions>,
    breakdown: Breakdown,
    goodput: goodput::Tally,
    client_side: client_side::Tally,
    sessions: Sessions,
    adapters: Adapters,
    records: Vec<RequestRecord>,
}

impl Recorder {
    /// For a run with so many instances; more may appear later.
    pub fn new(instances: usize, options: Options) -> Self {
        Self {
            breakdown: Breakdown::new(!options.slo_targets.is_empty()),
            goodput: goodput::Tally::new(options.slo_targets.clone()),
            whole: options.splits.then(Tally::default),
            client_side: client_side::Tally::default(),
            options,
            labels: Vec::new(),
            conservation: Conservation::default(),
            shed: BTreeMap::new(),
            tallies: vec![Tally::default(); instances],
            completions: vec![Completions::default(); instances],
            sessions: Sessions::default(),
            adapters: Adapters::default(),
            records: Vec::new(),
        }
    }

    /// Number of label sets it was told of.
    pub fn labels_len(&self) -> usize {
        self.breakdown.labels_len()
    }

    /// Tells of the next set of labels. All sets must be known before the first request: a run whose requests have no
    /// SLO class keeps no figures by class.
    pub fn add_labels(&mut self, labels: Labels) {
        self.breakdown.add_labels(&labels);
        self.goodput.add_labels(&labels);
        self.client_side.add_labels(&labels);
        self.adapters.add_labels(&labels);
        self.labels.push(labels);
    }

    /// Takes in what an instance served: a request, or a part of one.
    ///
    /// # Panics
    /// When no instance is named.
    pub fn record_at_instance(&mut self, served: &RequestRecord) {
        let index = served.instance.expect("an instance served it").index();
        if index >= self.tallies.len() {
            self.tallies.resize_with(index + 1, Tally::default);
            self.completions.resize_with(index + 1, Completions::default);
        }
        self.tallies[index].add(served);
        if let Some(e2e) = served.e2e.filter(|_| self.options.count_inversions) {
            let class = self.breakdown.class_of(served);
            self.completions[index].push(class, served.arrival, served.name.clone(), e2e);
        }
    }

    /// Takes in a request whose fate is known. Requests may come in any order, each exactly once.
    ///
    /// # Panics
    /// When its labels are unknown.
    pub fn record(&mut self, request: RequestRecord) {
        self.count(&request);
        self.goodput.add(&request);
        self.client_side.add(&request);
        if let Some(whole) = &mut self.whole {
            whole.add(&request);
        }
        self.adapters.add(&request);
        if request.is_registered() {
            self.breakdown.add(&request);
            self.sessions.add(&request);
        }
        if self.options.keep_records || self.options.saturation.is_some() {
            self.records.push(request);
        }
    }

    fn count(&mut self, request: &RequestRecord) {
        let ends = &mut self.conservation;
        *match request.ending {
            RequestEnding::Completed => &mut ends.completed,
            RequestEnding::TimedOut => &mut ends.timed_out,
            RequestEnding::DroppedUnservable => &mut ends.dropped_unservable,
            RequestEnding::RejectedByAdmission => &mut ends.rejected_by_admission,
            RequestEnding::RejectedByGateway => &mut ends.rejected_by_gateway,
            RequestEnding::ShedFromGateway => &mut ends.shed_from_gateway,
            RequestEnding::ExpiredAtGateway => &mut ends.expired_at_gateway,
            RequestEnding::RejectedByRouting => &mut ends.rejected_by_routing,
            RequestEnding::RejectedByEncode => &mut ends.rejected_by_encode,
            RequestEnding::DroppedAtDecode => &mut ends.dropped_at_decode,
            RequestEnding::Evicted => &mut ends.evicted,
            RequestEnding::Failed => &mut ends.failed,
            RequestEnding::StillAtGateway => &mut ends.still_at_gateway,
            RequestEnding::StillQueued => &mut ends.still_queued,
            RequestEnding::StillRunning => &mut ends.still_running,
            RequestEnding::InPipeline => &mut ends.in_pipeline,
        } += 1;
        let is_shed = matches!(
            request.ending,
            RequestEnding::RejectedByAdmission
                | RequestEnding::ShedFromGateway
                | RequestEnding::ExpiredAtGateway
                | RequestEnding::Evicted
        );
        if is_shed {
            let class = match self.labels[request.labels as usize].slo_class.as_str() {
                "" => UNNAMED_SHED_CLASS,
                class => class,
            };
            *self.shed.entry(class.to_owned()).or_default() += 1;
        }
    }

    /// Sums up.
    ///
    /// # Panics
    /// When requests were lost or counted twice, or the number of instances is not that of the requests' instances.
    pub fn finish(mut self, run: RunFigures) -> Outcome {
        self.conservation.injected = run.injected;
        assert!(self.conservation.holds(), "requests are not conserved: {:?}", self.conservation);
        assert!(self.tallies.len() <= run.instances.len(), "figures of every instance are needed");
        self.tallies.resize_with(run.instances.len(), Tally::default);

        let mut instances: Vec<_> =
            self.tallies.iter_mut().zip(&run.instances).map(|(t, f)| Aggregate::of_instance(t, f)).collect();
        let whole = self.whole.unwrap_or_else(|| {
            let mut all = Tally::default();
            self.tallies.iter().for_each(|tally| all.merge(tally));
            all
        });
        let (mut cluster, curves) = Aggregate::of_cluster(whole, &run.instances, &instances);
        self.adapters.fill(&run.instances, &mut instances, &mut cluster);
        let splits = run.splits.and_then(|tally| {
            let (prefill, decode) = (&run.prefill_instances, &run.decode_instances);
            SplitFigures::of(tally, &instances, prefill, decode, cluster.duration_s)
        });
        let thrashing = run.instances.iter().fold(0.0, |sum, figures| sum + figures.kv_thrashing_rate);
        let kv = KvFigures {
            preemption_rate: match cluster.completed {
                0 => 0.0,
                completed => cluster.preemptions as f64 / completed as f64,
            },
            cache_hit_rate: cluster.cache_hit_rate,
            thrashing_rate: thrashing / run.instances.len().max(1) as f64,
        };
        let mut offload: Option<OffloadFigures> = None;
        for chain in run.instances.iter().filter_map(|figures| figures.offload.as_ref()) {
            offload.get_or_insert_default().add(chain);
        }
        let anomalies = Anomalies {
            priority_inversions: self.completions.into_iter().map(Completions::inversions).sum(),
            head_of_line_blocking: head_of_line_blocking(&run.instances),
            rejected_by_admission: self.conservation.rejected_by_admission,
            shed: self.shed,
            rejected_by_routing: self.conservation.rejected_by_routing,
            dropped_unservable: cluster.dropped_unservable,
            timed_out: cluster.timed_out,
            length_capped: cluster.length_capped,
            gateway_depth: self.conservation.still_at_gateway,
            gateway_shed: self.conservation.shed_from_gateway,
            gateway_rejected: self.conservation.rejected_by_gateway,
            gateway_evicted: self.conservation.evicted,
            gateway_expired: self.conservation.expired_at_gateway,
            rejected_by_encode: self.conservation.rejected_by_encode,
        };
        let mut records = self.records;
        records.sort_by(|a, b| a.arrival.cmp(&b.arrival).then_with(|| a.name.cmp(&b.name)));
        Outcome {
            ending: run.ending,
            latency_model: None,
            conservation: self.conservation,
            anomalies,
            kv,
            offload,
            classes: self.breakdown.class_figures(),
            models: self.breakdown.model_figures(cluster.duration_s),
            tenants: self.breakdown.tenant_figures(),
            goodput: self.goodput.figures(cluster.duration_s),
            client_side: self.client_side.figures(),
            saturation: self.options.saturation.map(|settings| saturation::detect(&records, &settings)),
            splits,
            fleet: run.fleet,
            faults: run.faults,
            instance_names: run.instance_names,
            sessions: self.sessions.figures(),
            trace: run.trace,
            decisions: run.decisions,
            requests: self.options.keep_records.then_some(PerRequest {
                records,
                labels: self.labels,
                session_names: run.session_names,
            }),
            cluster,
            curves,
            instances,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SessionPlace;
    use blis_kernel::{DurationHistogram, InstanceId, RequestName, Tick};

    const OPTIONS: Options = Options {
        keep_records: true,
        count_inversions: true,
        slo_targets: SloTargets::new(),
        saturation: None,
        splits: false,
    };

    fn request(n: u64, arrival_ms: i64, ending: RequestEnding) -> RequestRecord {
        RequestRecord {
            name: RequestName::Indexed(n),
            arrival: ms(arrival_ms),
            input_tokens: 100,
            output_tokens: 11,
            produced_tokens: 0,
            ttft: None,
            e2e: None,
            itl_mean_us: 0.0,
            scheduling_delay: None,
            gateway_queue_delay: None,
            labels: 0,
            instance: Some(InstanceId(0)),
            left_at: None,
            length_capped: false,
            session: None,
            ending,
        }
    }

    /// A request that its instance served whole.
    fn add(recorder: &mut Recorder, request: RequestRecord) {
        if request.instance.is_some() {
            recorder.record_at_instance(&request);
        }
        recorder.record(request);
    }

    fn completed(n: u64, arrival_ms: i64, ttft_ms: i64, e2e_ms: i64) -> RequestRecord {
        RequestRecord {
            ttft: Some(ms(ttft_ms)),
            e2e: Some(ms(e2e_ms)),
            itl_mean_us: (e2e_ms - ttft_ms) as f64 * 100.0,
            scheduling_delay: Some(ms(1)),
            produced_tokens: 11,
            ..request(n, arrival_ms, RequestEnding::Completed)
        }
    }

    fn ms(ms: i64) -> Tick {
        Tick::from_us(ms * 1000)
    }

    fn figures(ended_ms: i64, output_tokens: u64) -> InstanceFigures {
        let mut inter_token_latencies = DurationHistogram::default();
        inter_token_latencies.add(ms(10), output_tokens);
        let ended_at = ms(ended_ms);
        InstanceFigures {
            ended_at,
            output_tokens,
            inter_token_latencies,
            cache_misses: 4,
            ..Default::default()
        }
    }

    fn run(injected: u64, instances: Vec<InstanceFigures>) -> RunFigures {
        RunFigures {
            ending: RunEnding::Completed,
            injected,
            instances,
            session_names: Vec::new(),
            trace: None,
            decisions: None,
            splits: None,
            fleet: None,
            faults: None,
            instance_names: Vec::new(),
            prefill_instances: Vec::new(),
            decode_instances: Vec::new(),
        }
    }

    fn recorder(instances: usize, labels: &[(&str, &str)]) -> Recorder {
        let mut recorder = Recorder::new(instances, OPTIONS);
        for (slo_class, tenant) in labels {
            let (slo_class, tenant) = ((*slo_class).to_owned(), (*tenant).to_owned());
            recorder.add_labels(Labels { slo_class, tenant, ..Labels::default() });
        }
        recorder
    }

    #[test]
    fn ttft_counts_unfinished_requests_and_e2e_does_not() {
        let mut recorder = recorder(1, &[("", "")]);
        add(&mut recorder, completed(0, 0, 10, 100));
        add(&mut recorder, RequestRecord { ttft: Some(ms(30)), ..request(1, 0, RequestEnding::TimedOut) });
        add(&mut recorder, request(2, 0, RequestEnding::StillQueued));
        let outcome = recorder.finish(run(3, vec![figures(1000, 11)]));
        assert_eq!((outcome.cluster.ttft_ms.count, outcome.cluster.ttft_ms.mean), (2, 20.0));
        assert_eq!((outcome.cluster.e2e_ms.count, outcome.cluster.e2e_ms.p99), (1, 100.0));
        assert_eq!(outcome.cluster.itl_ms.p50, 10.0);
        assert_eq!((outcome.cluster.responses_per_s, outcome.cluster.tokens_per_s), (1.0, 11.0));
        assert_eq!((outcome.cluster.injected(), outcome.anomalies.timed_out), (3, 1));
    }

    #[test]
    fn without_completions_latencies_and_rates_are_zero() {
        let mut recorder = recorder(1, &[("", "")]);
        add(
            &mut recorder,
            RequestRecord { ttft: Some(ms(30)), ..request(1, 0, RequestEnding::StillRunning) },
        );
        let outcome = recorder.finish(run(1, vec![figures(1000, 0)]));
        assert_eq!(outcome.cluster.ttft_ms, crate::Distribution::default());
        assert_eq!(outcome.cluster.responses_per_s, 0.0);
    }

    #[test]
    fn the_cluster_sums_its_instances_and_averages_their_hit_rates() {
        let mut recorder = recorder(2, &[("", "")]);
        add(&mut recorder, completed(0, 0, 10, 100));
        add(&mut recorder, RequestRecord { instance: Some(InstanceId(1)), ..completed(1, 5, 20, 300) });
        let hits = InstanceFigures { cache_hits: 4, preemptions: 3, ..figures(2000, 11) };
        let outcome = recorder.finish(run(2, vec![hits, figures(500, 11)]));
        assert_eq!(outcome.instances[0].cache_hit_rate, 0.5);
        assert_eq!((outcome.kv.cache_hit_rate, outcome.kv.preemption_rate), (0.25, 1.5));
        assert_eq!((outcome.cluster.duration_s, outcome.cluster.e2e_ms.mean), (2.0, 200.0));
        assert_eq!(outcome.instances[1].duration_s, 0.5);
    }

    #[test]
    fn rejected_requests_are_shed_by_class_and_appear_in_no_latency() {
        let mut recorder = recorder(1, &[("", ""), ("batch", "")]);
        let rejected = |n, labels| RequestRecord {
            instance: None,
            labels,
            ..request(n, 0, RequestEnding::RejectedByAdmission)
        };
        add(&mut recorder, rejected(0, 0));
        add(&mut recorder, rejected(1, 1));
        add(&mut recorder, rejected(2, 1));
        let outcome = recorder.finish(run(3, vec![figures(0, 0)]));
        let shed: Vec<_> = outcome.anomalies.shed.iter().map(|(class, n)| (class.as_str(), *n)).collect();
        assert_eq!(shed, [("batch", 2), ("standard", 1)]);
        assert!(outcome.classes.is_empty());
        assert_eq!(outcome.cluster.injected(), 0);
    }

    #[test]
    fn classes_and_tenants_are_kept_apart() {
        let mut recorder = recorder(1, &[("batch", "a"), ("", "b"), ("critical", "c")]);
        add(&mut recorder, completed(0, 0, 10, 100));
        add(&mut recorder, RequestRecord { labels: 1, ..completed(1, 0, 20, 40) });
        add(&mut recorder, RequestRecord { labels: 2, ..request(2, 0, RequestEnding::TimedOut) });
        let outcome = recorder.finish(run(3, vec![figures(1000, 22)]));
        assert_eq!(outcome.classes.keys().collect::<Vec<_>>(), ["batch", "default"]);
        assert_eq!(outcome.classes["default"].itl_mean_us.mean, 2000.0);
        let tenants = outcome.tenants.unwrap();
        assert_eq!((tenants.by_name.len(), tenants.jain_index), (2, 1.0));
    }

    #[test]
    fn a_session_lasts_from_its_first_arrival_to_its_last_completion() {
        let mut recorder = recorder(1, &[("", "")]);
        let place = |session, round| Some(SessionPlace { session, round });
        add(&mut recorder, RequestRecord { session: place(0, 0), ..completed(0, 100, 10, 50) });
        add(&mut recorder, RequestRecord { session: place(0, 1), ..completed(1, 400, 6, 60) });
        add(&mut recorder, RequestRecord { session: place(1, 0), ..request(2, 0, RequestEnding::TimedOut) });
        let sessions = recorder.finish(run(3, vec![figures(1000, 22)])).sessions.unwrap();
        assert_eq!((sessions.sessions, sessions.duration_ms.count, sessions.duration_ms.mean), (2, 1, 360.0));
        assert_eq!((sessions.ttft_cold_ms.mean, sessions.ttft_warm_ms.mean), (10.0, 6.0));
    }

    #[test]
    fn records_come_in_order_of_arrival_then_name_as_text() {
        let mut recorder = recorder(1, &[("", "")]);
        for (n, at) in [(9, 5), (10, 5), (3, 0)] {
            add(&mut recorder, completed(n, at, 1, 2));
        }
        let requests = recorder.finish(run(3, vec![figures(1000, 0)])).requests.unwrap();
        let names: Vec<_> = requests.records.iter().map(|r| r.name.to_string()).collect();
        assert_eq!(names, ["request_3", "request_10", "request_9"]);
    }

    #[test]
    #[should_panic(expected = "not conserved")]
    fn a_lost_request_is_noticed() {
        recorder(1, &[]).finish(run(1, vec![figures(0, 0)]));
    }
}
