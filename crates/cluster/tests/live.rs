//! A live cluster is the same cluster: requests that come one by one fare as in a run, and every token is told.

mod support;

use blis_cluster::{Listener, LiveCluster, Plan, live_workload, run};
use blis_engine::{RankBalancing, RankConfig};
use blis_kernel::{InstanceId, Tick};
use blis_latency::Pipeline;
use blis_metrics::RequestEnding;
use blis_workload::{LabelsId, RequestSpec};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::{Script, in_pools, one_at_a_time, plan, records, request, routing, scripted};

/// What was told of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    instance: Option<u32>,
    cached_tokens: Option<u32>,
    tokens_us: Vec<i64>,
    ended: Option<(RequestEnding, i64)>,
}

#[derive(Default)]
struct Ledger(BTreeMap<u64, Told>);

impl Listener for Ledger {
    fn routed(&mut self, number: u64, instance: InstanceId, _at: Tick) {
        self.0.entry(number).or_default().instance = Some(instance.0);
    }

    fn scheduled(&mut self, number: u64, cached_tokens: u32, _at: Tick) {
        self.0.entry(number).or_default().cached_tokens.get_or_insert(cached_tokens);
    }

    fn token(&mut self, number: u64, tokens: u32, at: Tick) {
        let told = self.0.entry(number).or_default();
        told.tokens_us.push(at.as_us());
        assert_eq!(told.tokens_us.len(), tokens as usize, "tokens are counted from one, without a gap");
        assert!(told.tokens_us.is_sorted() && told.ended.is_none());
    }

    fn ended(&mut self, number: u64, ending: RequestEnding, at: Tick) {
        let told = self.0.entry(number).or_default();
        assert_eq!(told.ended.replace((ending, at.as_us())), None, "a request ends once");
    }
}

/// The requests of a script, for a live cluster.
fn requests(scripts: &[Script]) -> Vec<RequestSpec> {
    let mut source = scripted(scripts).stream();
    let all = std::iter::from_fn(|| source.next_arrival());
    all.map(|spec| RequestSpec { labels: LabelsId(0), ..spec }).collect()
}

/// Plays the requests in pieces of `piece_us` and tells what happened.
fn play(plan: &Plan, scripts: &[Script], piece_us: i64) -> BTreeMap<u64, Told> {
    let plan = Plan { workload: live_workload(vec![blis_workload::Labels::default()]), ..plan.clone() };
    let mut ledger = Ledger::default();
    let mut live = LiveCluster::new(&plan, &mut ledger);
    let mut requests = requests(scripts).into_iter().peekable();
    let mut now = Tick::ZERO;
    while requests.peek().is_some() || live.next_event_at() < Tick::MAX {
        now += Tick::from_us(piece_us);
        while let Some(request) = requests.next_if(|request| request.arrival < now) {
            live.inject(request);
        }
        live.advance_to(now);
    }
    assert_eq!(live.in_flight(), 0);
    let outcome = live.finish();
    assert_eq!(outcome.conservation.completed, scripts.len() as u64);
    ledger.0
}

fn traffic() -> Vec<Script> {
    let request =
        |i: i64| request(i * i * 137 % 90_000 + i * 900, 20 + (i as u32 * 37) % 300, 1 + i as u32 % 40);
    let mut all: Vec<_> = (0..120).map(request).collect();
    all.sort_by_key(|script| script.arrival_us);
    all
}

fn agrees_with_a_run(plan: &Plan) {
    let scripts = traffic();
    let plan = &Plan { workload: scripted(&scripts), ..plan.clone() };
    let outcome = run(plan);
    for piece_us in [1_003, 50_000, 10_000_000] {
        let told = play(plan, &scripts, piece_us);
        for (number, record) in records(&outcome).iter().enumerate() {
            let told = &told[&(number as u64)];
            let at = |latency: Option<Tick>| record.arrival.as_us() + latency.expect("an answer").as_us();
            assert_eq!(told.instance, record.instance.map(|instance| instance.0), "request {number}");
            assert_eq!(told.tokens_us.first(), Some(&at(record.ttft)), "request {number}");
            assert_eq!(told.ended, Some((RequestEnding::Completed, at(record.e2e))), "request {number}");
            assert_eq!(told.tokens_us.len(), record.produced_tokens as usize, "request {number}");
        }
    }
}

/// Steps with overheads around them: tokens cost time after a step, and so does an answer.
fn base() -> Plan {
    Plan { instances: 2, routing: routing("least-loaded"), ..plan([5_000.0, 10.0, 100.0], scripted(&[])) }
}

#[test]
fn requests_fare_as_in_a_run() {
    agrees_with_a_run(&base());
}

#[test]
fn they_do_so_when_blocks_are_short_and_requests_are_preempted() {
    let mut plan = Plan { instances: 1, ..base() };
    plan.instance.kv_blocks = 40;
    plan.instance.max_num_batched_tokens = 64;
    let preempted = run(&Plan { workload: scripted(&traffic()), ..plan.clone() });
    assert!(
        preempted.instances.iter().any(|instance| instance.preemptions > 0),
        "a scenario with preemptions"
    );
    agrees_with_a_run(&plan);
}

#[test]
fn they_do_so_behind_a_gateway_queue() {
    agrees_with_a_run(&Plan { flow_control: Some(one_at_a_time("fifo")), ..base() });
}

#[test]
fn they_do_so_in_pools() {
    agrees_with_a_run(&in_pools(base(), 2));
}

#[test]
fn they_do_so_on_data_parallel_ranks() {
    let mut plan = base();
    plan.instance.kv_blocks = 40;
    plan.instance.ranks = Some(RankConfig { count: 3, balancing: RankBalancing::RoundRobin });
    agrees_with_a_run(&plan);
    agrees_with_a_run(&in_pools(plan, 1));
}

#[test]
fn they_do_so_on_the_stages_of_a_pipeline() {
    let base = base();
    let stages = Pipeline::of_stages(vec![base.latency.clone(), base.latency.clone()], 30.0, 0.1);
    agrees_with_a_run(&Plan { latency: Arc::new(stages), ..base });
}

#[test]
fn a_client_that_goes_away_frees_its_place() {
    let mut plan = Plan { instances: 1, ..base() };
    plan.instance.max_num_seqs = 1;
    let plan = Plan { workload: live_workload(vec![blis_workload::Labels::default()]), ..plan };
    let mut ledger = Ledger::default();
    let mut live = LiveCluster::new(&plan, &mut ledger);
    let numbers: Vec<_> = requests(&[request(0, 100, 1_000), request(0, 100, 1_000), request(0, 100, 2)])
        .into_iter()
        .map(|spec| live.inject(spec))
        .collect();
    live.advance_to(Tick::from_us(100_000));
    let used = |live: &LiveCluster<'_>| (live.instances()[0].batch_size(), live.instances()[0].queue_depth());
    assert_eq!(used(&live), (1, 2));
    live.cancel(numbers[1]);
    assert_eq!(used(&live), (1, 1));
    live.cancel(numbers[0]);
    assert_eq!(used(&live), (0, 1));
    live.cancel(numbers[0]);
    live.advance_to(Tick::from_us(1_000_000));
    assert_eq!((used(&live), live.in_flight(), live.next_event_at()), ((0, 0), 0, Tick::MAX));
    assert_eq!(live.instances()[0].kv_utilization(), 0.0);
    live.finish();
    let endings: Vec<_> = ledger.0.values().map(|told| told.ended.expect("an end").0).collect();
    assert_eq!(endings, [RequestEnding::Evicted, RequestEnding::Evicted, RequestEnding::Completed]);
    assert!(ledger.0[&numbers[1]].tokens_us.is_empty() && ledger.0[&numbers[2]].tokens_us.len() == 2);
}

#[test]
fn a_client_that_goes_away_before_its_request_arrives_costs_nothing() {
    let plan = Plan { workload: live_workload(vec![blis_workload::Labels::default()]), ..base() };
    let mut ledger = Ledger::default();
    let mut live = LiveCluster::new(&plan, &mut ledger);
    let number = live.inject(requests(&[request(5_000, 100, 1_000)]).remove(0));
    live.cancel(number);
    for ms in 1..20 {
        live.advance_to(Tick::from_us(ms * 1_000));
    }
    assert_eq!(live.in_flight(), 0);
    live.finish();
    assert_eq!(ledger.0[&number].ended.map(|(ending, _)| ending), Some(RequestEnding::Evicted));
}
