//! Laws that hold whatever the figures of a run are.

mod support;

use blis_cluster::plan::{Detail, Plan, RoutingPlan};
use blis_cluster::run;
use blis_engine::{BlockKeys, CpuTierConfig, Ended, Ending, Instance, Submission};
use blis_kernel::{Semantics, Tick};
use blis_metrics::{Outcome, RequestEnding, RequestRecord, RunEnding};
use blis_policy::preemption::PreemptionKind;
use blis_policy::scheduling::SchedulerKind;
use blis_workload::content::BlockHasher;
use blis_workload::{Client, Prefix, Traffic};
use support::{constant, exponential, plan, poisson, records, synthetic, under, until, weighted};

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    sum / count
}

// One server.

/// Mean time of service in the single-server queues.
const SERVICE_US: f64 = 10_000.0;
const MEAN_PROMPT_TOKENS: f64 = 100.0;
const UTILISATIONS: [f64; 4] = [0.3, 0.5, 0.7, 0.8];

/// A single server: one request at a time, and a request is one step.
fn single_server(beta_us: [f64; 3], client: Client, seed: i64, requests: u64) -> Plan {
    let mut plan = plan(beta_us, synthetic(seed, requests, vec![client]));
    plan.instance.max_num_seqs = 1;
    plan.detail = Detail::Aggregate;
    plan
}

/// Constant service: every step takes the same time whatever is in it.
fn m_d_1(utilisation: f64, seed: i64, requests: u64) -> Plan {
    let client = poisson(utilisation / SERVICE_US * 1e6, constant(1), constant(1));
    single_server([SERVICE_US, 0.0, 0.0], client, seed, requests)
}

/// Exponential service: the step takes as long as the prompt is, and prompts are exponential.
fn m_m_1(utilisation: f64, seed: i64, requests: u64) -> Plan {
    let client = poisson(utilisation / SERVICE_US * 1e6, exponential(MEAN_PROMPT_TOKENS), constant(1));
    single_server([0.0, SERVICE_US / MEAN_PROMPT_TOKENS, 0.0], client, seed, requests)
}

/// Mean wait, microseconds, over runs with different seeds.
fn mean_wait_us(model: fn(f64, i64, u64) -> Plan, utilisation: f64, requests: u64) -> f64 {
    mean(
        (1..=4)
            .map(|seed| run(&model(utilisation, seed, requests / 4)).cluster.scheduling_delay_ms.mean * 1e3),
    )
}

/// Waits of one server in order of arrival (Lindley): W' = max(0, W + S - gap), with W = 0 for the first.
fn lindley_waits_us(arrivals_and_services_us: &[(i64, i64)]) -> Vec<i64> {
    let mut idle_from = 0;
    arrivals_and_services_us
        .iter()
        .map(|&(arrival, service)| {
            let start = arrival.max(idle_from);
            idle_from = start + service;
            start - arrival
        })
        .collect()
}

/// Law: one server, first come first served, makes each request wait exactly as Lindley's recursion says.
#[test]
fn each_wait_follows_from_the_one_before() {
    for utilisation in [0.5, 0.95, 1.3] {
        let mut plan = m_m_1(utilisation, 7, 20_000);
        plan.detail = Detail::PerRequest;
        let outcome = run(&plan);
        let us_per_token = (SERVICE_US / MEAN_PROMPT_TOKENS) as i64;
        let arrivals_and_services: Vec<_> = records(&outcome)
            .iter()
            .map(|r| (r.arrival.as_us(), us_per_token * i64::from(r.input_tokens)))
            .collect();
        let expected = lindley_waits_us(&arrivals_and_services);
        for (record, expected) in records(&outcome).iter().zip(expected) {
            assert_eq!(record.scheduling_delay, Some(Tick::from_us(expected)), "{}", record.name);
        }
    }
}

/// Law: in M/D/1 the mean wait is ρ·S / (2·(1 − ρ)).
#[test]
fn constant_service_waits_as_m_d_1() {
    for (utilisation, requests) in UTILISATIONS.into_iter().zip([300_000, 300_000, 600_000, 1_200_000]) {
        let expected = utilisation * SERVICE_US / (2.0 * (1.0 - utilisation));
        let got = mean_wait_us(m_d_1, utilisation, requests);
        assert!((got / expected - 1.0).abs() < 0.02, "ρ = {utilisation}: {got} µs instead of {expected} µs");
    }
}

/// Law: in M/M/1 the mean wait is ρ·S / (1 − ρ).
#[test]
fn exponential_service_waits_as_m_m_1() {
    for (utilisation, requests) in UTILISATIONS.into_iter().zip([1_000_000, 1_000_000, 1_500_000, 3_000_000])
    {
        let expected = utilisation * SERVICE_US / (1.0 - utilisation);
        let got = mean_wait_us(m_m_1, utilisation, requests);
        assert!((got / expected - 1.0).abs() < 0.02, "ρ = {utilisation}: {got} µs instead of {expected} µs");
    }
}

// A cluster under every policy.

/// Routers, with the scorers of the weighted ones.
const ROUTERS: [&str; 6] = [
    "round-robin",
    "least-loaded",
    "always-busiest",
    "precise-prefix-cache:2,queue-depth:1,kv-utilization:1",
    "prefix-affinity:1,load-balance:1",
    "vllm-dp:1",
];

const SCHEDULERS: [SchedulerKind; 4] =
    [SchedulerKind::Fcfs, SchedulerKind::PriorityFcfs, SchedulerKind::Sjf, SchedulerKind::ReversePriority];

/// A routing policy by name, or the weighted one with these scorers.
fn routing(name: &str) -> RoutingPlan {
    if name.contains(':') { weighted(name) } else { support::routing(name) }
}

/// Two client populations of different importance, one of which shares a prefix; together `per_s` requests per second.
/// An instance of [`cluster`] serves about 35 of them per second.
fn mixed_clients(per_s: f64) -> Vec<Client> {
    let mut urgent = poisson(per_s / 2.0, exponential(150.0), exponential(30.0));
    "critical".clone_into(&mut urgent.labels.slo_class);
    urgent.prefix = Some(Prefix { group: "system prompt".to_owned(), tokens: 100 });
    let mut patient = poisson(per_s / 2.0, exponential(250.0), exponential(30.0));
    "batch".clone_into(&mut patient.labels.slo_class);
    vec![urgent, patient]
}

/// Instances of eight places.
fn cluster(instances: u32, router: &str, per_s: f64, seed: i64, requests: u64) -> Plan {
    let mut plan = plan([5_000.0, 20.0, 50.0], synthetic(seed, requests, mixed_clients(per_s)));
    plan.instances = instances;
    plan.instance.max_num_seqs = 8;
    plan.routing = routing(router);
    plan
}

fn departure(record: &RequestRecord) -> Option<Tick> {
    record.e2e.map(|e2e| record.arrival + e2e)
}

/// Time average of the number of requests in the system from zero to `end`: the area under its step function.
fn mean_number_in_system(records: &[RequestRecord], end: Tick) -> f64 {
    let mut changes: Vec<(Tick, i64)> = Vec::new();
    for record in records {
        changes.push((record.arrival, 1));
        changes.push((departure(record).expect("it completed"), -1));
    }
    changes.sort_unstable();
    let (mut number, mut since, mut area) = (0, Tick::ZERO, 0);
    for (at, change) in changes {
        area += number * (at - since).as_us();
        number += change;
        since = at;
    }
    assert_eq!(number, 0);
    area as f64 / end.as_us() as f64
}

/// Law (Little): mean number in the system = arrival rate x mean time in the system. The number is counted from who
/// came and who went, and at some moments also by stopping the run there and asking the instances whom they hold.
#[test]
fn number_in_system_is_rate_times_time_in_system() {
    for (router, scheduler, per_s) in ROUTERS.into_iter().flat_map(|router| {
        SCHEDULERS
            .into_iter()
            .zip([20.0, 45.0, 60.0, 90.0])
            .map(move |(scheduler, rate)| (router, scheduler, rate))
    }) {
        let case = format!("{router}, {scheduler:?}, {per_s}/s");
        let mut plan = cluster(2, router, per_s, 3, 600);
        plan.instance.scheduler = scheduler;
        let outcome = run(&plan);
        let records = records(&outcome);
        assert_eq!(outcome.cluster.completed, 600, "{case}");

        let end = records.iter().filter_map(departure).max().expect("requests");
        let rate_per_s = records.len() as f64 / end.as_seconds();
        let expected = rate_per_s * outcome.cluster.e2e_ms.mean / 1e3;
        let got = mean_number_in_system(records, end);
        assert!((got / expected - 1.0).abs() < 1e-9, "{case}: {got} in the system instead of {expected}");

        for tenth in 1..10 {
            let moment = Tick::from_us(end.as_us() / 10 * tenth);
            let stopped = run(&until(plan.clone(), moment));
            let held = stopped.conservation.still_queued + stopped.conservation.still_running;
            let present =
                records.iter().filter(|r| r.arrival <= moment && departure(r) > Some(moment)).count();
            assert_eq!(held, present as u64, "{case} at {moment:?}");
        }
    }
}

/// Law (Little, closed): users who never pause are all in the system all the time.
#[test]
fn users_without_pauses_are_always_in_the_system() {
    let users = 24;
    let horizon = Tick::from_us(20_000_000);
    for router in ROUTERS {
        let client = Client {
            traffic: Traffic::Concurrency { users, think_time: Tick::ZERO },
            ..poisson(1.0, exponential(150.0), exponential(30.0))
        };
        let mut plan = cluster(2, router, 1.0, 3, 1);
        plan.workload = synthetic(3, 1_000_000, vec![client]);
        let outcome = run(&until(plan, horizon));
        let time_in_system: i64 =
            records(&outcome).iter().map(|r| (departure(r).unwrap_or(horizon) - r.arrival).as_us()).sum();
        assert_eq!(outcome.ending, RunEnding::HorizonReached, "{router}");
        assert_eq!(time_in_system, i64::from(users) * horizon.as_us(), "{router}");
    }
}

/// The statistic: mean over all requests of the time from arrival to (last) admission into a batch, averaged over
/// seeds 1 to 5.
fn mean_queueing_delay_ms(instances: u32, router: &str, per_s: f64) -> f64 {
    mean((1..=5).map(|seed| {
        let outcome = run(&cluster(instances, router, per_s, seed, 1_500));
        assert_eq!(outcome.cluster.scheduling_delay_ms.count, 1_500);
        outcome.cluster.scheduling_delay_ms.mean
    }))
}

/// Law: twice the instances for the same requests never make them queue longer.
#[test]
fn doubling_the_instances_never_lengthens_the_queues() {
    for router in ROUTERS {
        for per_s in [15.0, 30.0, 60.0, 120.0] {
            let delays = [1, 2, 4, 8].map(|instances| mean_queueing_delay_ms(instances, router, per_s));
            for (few, many) in delays.iter().zip(&delays[1..]) {
                assert!(many <= few, "{router}, {per_s}/s: {delays:?} ms with 1, 2, 4, 8 instances");
            }
        }
    }
}

/// Law: the first token does not come sooner when requests come faster (mean over requests and over seeds 1 to 5).
#[test]
fn time_to_first_token_does_not_fall_with_the_rate() {
    for router in ROUTERS {
        let ttft_ms = [5.0, 20.0, 40.0, 60.0, 80.0, 160.0].map(|per_s| {
            mean((1..=5).map(|seed| run(&cluster(2, router, per_s, seed, 1_500)).cluster.ttft_ms.mean))
        });
        for (slow, fast) in ttft_ms.iter().zip(&ttft_ms[1..]) {
            assert!(slow <= fast, "{router}: {ttft_ms:?} ms at rising rates");
        }
    }
}

/// Law: a seed is a run.
#[test]
fn the_same_seeds_give_the_same_outcome_and_other_seeds_another() {
    for router in ROUTERS {
        let outcome = |seed| run(&cluster(3, router, 80.0, seed, 800));
        assert!(outcome(5) == outcome(5), "{router}: two runs of one seed differ");
        assert!(outcome(5) != outcome(6), "{router}: two seeds give one run");
    }
    // The cluster's own seed breaks the router's ties.
    let outcome = |seed| run(&Plan { seed, ..cluster(3, "least-loaded", 20.0, 5, 200) });
    assert!(outcome(1) == outcome(1));
    assert!(outcome(1) != outcome(2));
}

// One instance.

/// A lone instance, fed with the plan's requests by hand.
fn bare_instance(plan: &Plan) -> (Instance, Vec<(Tick, Ended)>) {
    let mut source = plan.workload.stream();
    let mut instance = Instance::new(plan.instance.clone(), plan.latency.clone());
    let hasher = BlockHasher::new(source.groups(), plan.instance.block_tokens);
    let mut arrivals = Vec::new();
    while let Some(spec) = source.next_arrival() {
        let mut keys = Vec::new();
        let blocks = (spec.input_tokens + spec.output_tokens) / plan.instance.block_tokens;
        hasher.keys(&spec.content, source.groups(), spec.input_tokens, blocks as usize, &mut keys);
        let slo_class = &source.labels()[spec.labels.0 as usize].slo_class;
        instance.run_before(spec.arrival, false);
        instance.submit(
            spec.arrival,
            Submission {
                handle: arrivals.len() as u32,
                name: spec.name,
                arrival: spec.arrival,
                input_tokens: spec.input_tokens,
                output_tokens: spec.output_tokens,
                max_output_tokens: i64::from(spec.max_output_tokens),
                deadline: spec.deadline,
                adapter: None,
                priority: plan.priorities.priority(slo_class),
                keys: BlockKeys::Listed(keys.into()),
            },
        );
        arrivals.push(spec.arrival);
    }
    instance.run_before(Tick::MAX, false);
    let mut ended: Vec<_> = instance.drain_ended().collect();
    ended.sort_unstable_by_key(|end| end.handle);
    (instance, arrivals.into_iter().zip(ended).collect())
}

/// A cache of so few blocks that requests evict one another, and deadlines that some of them miss.
fn tight(mut plan: Plan, clients: Vec<Client>) -> Plan {
    let hurried = clients.into_iter().map(|c| Client { timeout: Some(Tick::from_us(2_000_000)), ..c });
    plan.workload = synthetic(9, 500, hurried.collect());
    plan.instance.kv_blocks = 120;
    plan
}

/// Law: a cluster of one is its instance, behind any router.
#[test]
fn one_instance_behaves_the_same_alone_and_behind_any_router() {
    for scheduler in SCHEDULERS {
        let mut plan = tight(cluster(1, "round-robin", 30.0, 9, 500), mixed_clients(30.0));
        plan.instance.scheduler = scheduler;
        let (_, alone) = bare_instance(&plan);
        let expected: Outcome = run(&plan);
        for router in ROUTERS {
            plan.routing = routing(router);
            assert!(run(&plan) == expected, "{router} changes a cluster of one");
        }
        assert!(expected.cluster.preemptions > 0 && expected.cluster.timed_out > 0);
        for (record, (arrival, end)) in records(&expected).iter().zip(&alone) {
            assert_eq!(record.arrival, *arrival);
            assert_eq!(
                (record.ttft, record.e2e, record.itl_mean_us, record.scheduling_delay),
                (end.ttft, end.e2e, end.itl_mean_us, end.scheduling_delay),
                "{}",
                record.name
            );
            assert_eq!(record.ending == RequestEnding::Completed, end.ending == Ending::Completed);
        }
    }
}

/// Law: blocks are neither made nor lost. However a run goes, the batch never holds more than there are, and nobody
/// holds any when all requests are gone (every run also asserts this of itself at its end, and counts the blocks one
/// by one).
#[test]
fn blocks_are_conserved() {
    let tier = CpuTierConfig { blocks: 300, bandwidth_tokens_per_us: 1.0, base_latency: Tick::from_us(10) };
    for semantics in [Semantics::CORRECTED, Semantics::REFERENCE] {
        for preemption in [PreemptionKind::Fcfs, PreemptionKind::Priority] {
            for cpu_tier in [None, Some(tier)] {
                let mut plan = tight(cluster(1, "round-robin", 30.0, 9, 500), mixed_clients(30.0));
                plan.instance.preemption = preemption;
                plan.instance.cpu_tier = cpu_tier;
                let plan = under(plan, semantics);
                let (instance, ended) = bare_instance(&plan);
                assert_eq!(ended.len(), 500);
                assert_eq!(instance.kv_utilization(), 0.0);
                assert!(instance.counters().preemptions > 0);
                assert!(instance.counters().timed_out > 0);
                assert!(instance.counters().peak_kv_blocks <= plan.instance.kv_blocks);

                let mut plan = Plan { instances: 3, ..plan };
                plan.routing = routing("prefix-affinity:1,load-balance:1");
                plan.workload = synthetic(9, 1_500, mixed_clients(90.0));
                for plan in [plan.clone(), until(plan, Tick::from_us(8_000_000))] {
                    let outcome = run(&plan);
                    assert!(outcome.conservation.holds());
                    assert!(outcome.cluster.preemptions > 0);
                    for instance in &outcome.instances {
                        assert!((0.5..=1.0).contains(&instance.peak_kv_utilization));
                    }
                }
            }
        }
    }
}
