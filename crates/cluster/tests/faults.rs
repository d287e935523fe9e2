//! Faults, drains and starts, worked out by hand.
//!
//! A step takes 1000 µs + 10 µs per prompt token + 100 µs per decoding request; a request of 100 prompt tokens and 5
//! others, alone, has its first token after 2000 µs and its last after 6400 µs. Between instances a block takes 100 µs
//! to move, and every transfer 50 µs more.

mod support;

use blis_cluster::plan::{
    AutoscalerPlan, Delay, DrainPolicy, ElasticPlan, FaultKind, FaultPlan, FaultTarget, Plan, RandomFault,
    ScheduledFault, WarmUp,
};
use blis_cluster::run;
use blis_kernel::{InstanceId, Tick};
use blis_metrics::{FaultFigures, Outcome, RequestEnding, RunEnding};
use blis_policy::Registry;
use support::{
    Script, constant, in_pools, one_at_a_time, plan, poisson, records, request, routing, scripted,
};

fn cluster(instances: u32, requests: &[Script]) -> Plan {
    Plan { instances, ..plan([1_000.0, 10.0, 100.0], scripted(requests)) }
}

fn fault(at_us: i64, target: FaultTarget, kind: FaultKind, duration_us: i64) -> ScheduledFault {
    ScheduledFault { at: Tick::from_us(at_us), target, kind, duration: Tick::from_us(duration_us) }
}

fn crash(at_us: i64, instance: u32, duration_us: i64) -> ScheduledFault {
    fault(at_us, FaultTarget::Instance(instance), FaultKind::Crash, duration_us)
}

fn with(plan: Plan, max_retries: u32, scheduled: &[ScheduledFault]) -> Plan {
    let scheduled = scheduled.to_vec();
    Plan { faults: Some(FaultPlan { scheduled, max_retries, ..FaultPlan::default() }), ..plan }
}

fn ttft_us(outcome: &Outcome) -> Vec<i64> {
    records(outcome).iter().map(|record| record.ttft.map_or(-1, Tick::as_us)).collect()
}

fn e2e_us(outcome: &Outcome) -> Vec<i64> {
    records(outcome).iter().map(|record| record.e2e.map_or(-1, Tick::as_us)).collect()
}

fn faults(outcome: &Outcome) -> FaultFigures {
    outcome.faults.expect("there may be faults")
}

/// The request begins anew at 3000 at the other instance, and its latencies count from its arrival.
#[test]
fn a_lost_request_begins_anew_elsewhere() {
    let outcome = run(&with(cluster(2, &[request(0, 100, 5)]), 1, &[crash(3_000, 0, 1_000_000)]));
    assert_eq!((ttft_us(&outcome), e2e_us(&outcome)), (vec![5_000], vec![9_400]));
    assert_eq!(records(&outcome)[0].instance, Some(InstanceId(1)));
    let found = faults(&outcome);
    assert_eq!((found.crashes, found.lost_requests, found.retries), (1, 1, 1));
    assert_eq!(found.downtime_s, 0.0064, "from the crash to the end of the run");
    assert_eq!(outcome.cluster.input_tokens, 100, "its prompt counts once");
}

#[test]
fn without_retries_it_fails_and_keeps_the_first_token_that_it_had() {
    let outcome = run(&with(cluster(2, &[request(0, 100, 5)]), 0, &[crash(3_000, 0, 1_000_000)]));
    assert_eq!((ttft_us(&outcome), e2e_us(&outcome)), (vec![2_000], vec![-1]));
    assert_eq!(records(&outcome)[0].ending, RequestEnding::Failed);
    assert_eq!((outcome.conservation.failed, outcome.ending), (1, RunEnding::Completed));
}

/// Three crashes, two retries.
#[test]
fn retries_run_out() {
    let crashes = [crash(1_000, 0, 100), crash(2_000, 1, 100), crash(3_000, 0, 100)];
    let outcome = run(&with(cluster(2, &[request(0, 100, 5)]), 2, &crashes));
    assert_eq!(records(&outcome)[0].ending, RequestEnding::Failed);
    assert_eq!((faults(&outcome).lost_requests, faults(&outcome).retries), (3, 2));
}

/// What ends at the tick of a crash is lost in it.
#[test]
fn a_crash_comes_before_everything_else_at_its_tick() {
    let ending = |at_us| {
        let outcome = run(&with(cluster(1, &[request(0, 100, 5)]), 0, &[crash(at_us, 0, 100)]));
        records(&outcome)[0].ending
    };
    assert_eq!((ending(6_400), ending(6_401)), (RequestEnding::Failed, RequestEnding::Completed));
}

/// Two prompts with 96 tokens in common: the second computes four tokens, or all of them at an instance that has lost
/// its cache.
#[test]
fn a_crash_takes_the_prefix_cache() {
    let shared = Script { shared: 96, own: 4, ..request(0, 0, 2) };
    let requests = [shared, Script { arrival_us: 100_000, ..shared }];
    assert_eq!(ttft_us(&run(&cluster(1, &requests))), [2_000, 1_040]);
    assert_eq!(ttft_us(&run(&with(cluster(1, &requests), 0, &[crash(50_000, 0, 10)]))), [2_000, 2_000]);
}

/// Without a queue the gateway has nobody to send a request to. In one it waits for the instance.
#[test]
fn a_request_without_an_instance_is_rejected_or_waits_at_the_gateway() {
    let down = with(cluster(1, &[request(5_000, 100, 5)]), 1, &[crash(0, 0, 10_000)]);
    let outcome = run(&down);
    assert_eq!(records(&outcome)[0].ending, RequestEnding::RejectedByRouting);
    let outcome = run(&Plan { flow_control: Some(one_at_a_time("fifo")), ..down });
    assert_eq!(e2e_us(&outcome), [5_000 + 6_400]);
}

/// A crash is over after its time, whatever waits: here for ten minutes.
#[test]
fn whoever_waits_for_a_crashed_instance_waits_until_it_is_back() {
    let down = with(cluster(1, &[request(5_000, 100, 5)]), 1, &[crash(0, 0, 600_000_000)]);
    let outcome = run(&Plan { flow_control: Some(one_at_a_time("fifo")), ..down });
    assert_eq!(e2e_us(&outcome), [600_000_000 - 5_000 + 6_400]);
}

/// Twice as slow from the beginning; from 2500 on, where the step that ends at 3100 keeps its pace; and until 3500, where
/// the step that begins at 3100 is slow and the two behind it are not.
#[test]
fn steps_of_a_slow_instance_take_longer() {
    let slow = |at_us, duration_us| {
        let slow = fault(at_us, FaultTarget::All, FaultKind::Slow { factor: 2.0 }, duration_us);
        e2e_us(&run(&with(cluster(1, &[request(0, 100, 5)]), 0, &[slow])))[0]
    };
    assert_eq!(slow(0, 1_000_000), 12_800);
    assert_eq!(slow(2_500, 1_000_000), 3_100 + 3 * 2_200);
    assert_eq!(slow(2_500, 1_000), 3_100 + 2_200 + 2 * 1_100);
}

#[test]
fn of_two_reasons_to_be_slow_the_worse_counts() {
    let slow = |factor| fault(0, FaultTarget::All, FaultKind::Slow { factor }, 1_000_000);
    let outcome = run(&with(cluster(1, &[request(0, 100, 5)]), 0, &[slow(2.0), slow(1.5)]));
    assert_eq!(e2e_us(&outcome), [12_800]);
}

// Transfers. A prompt of 160 tokens takes 2600, its transfer 1050; 1010 for the last token again and four times 1100.

fn split(max_retries: u32, scheduled: &[ScheduledFault]) -> Outcome {
    let pools = in_pools(cluster(1, &[request(0, 160, 5)]), 1);
    run(&with(pools, max_retries, scheduled))
}

fn loss(at_us: i64, duration_us: i64) -> ScheduledFault {
    fault(at_us, FaultTarget::All, FaultKind::LostTransfers, duration_us)
}

/// The loss shows when the transfer should have ended, and another one takes as long.
#[test]
fn a_lost_transfer_is_sent_again() {
    assert_eq!(e2e_us(&split(1, &[])), [9_060]);
    assert_eq!(e2e_us(&split(1, &[loss(3_000, 0)])), [9_060 + 1_050]);
    assert_eq!(
        e2e_us(&split(3, &[loss(3_000, 1_000)])),
        [9_060 + 2 * 1_050],
        "the second is in the window too"
    );
    let outcome = split(1, &[loss(3_000, 1_000)]);
    assert_eq!(records(&outcome)[0].ending, RequestEnding::Failed);
    assert_eq!((faults(&outcome).lost_transfers, faults(&outcome).retries), (2, 1));
}

/// The prompt's KV is gone with its instance. Until that is back, the decode instance does all: 2600 and four times 1100.
#[test]
fn a_crash_of_the_prefill_instance_takes_the_transfer() {
    let outcome = split(1, &[crash(3_000, 0, 500_000)]);
    assert_eq!((ttft_us(&outcome), e2e_us(&outcome)), (vec![5_600], vec![10_000]));
    assert_eq!((faults(&outcome).lost_transfers, faults(&outcome).lost_requests), (1, 1));
}

/// A decode instance that is back in time has lost nothing of a request whose prompt is being processed. One that is not
/// has lost it, and nobody else can take it.
#[test]
fn a_crash_of_the_decode_instance_matters_when_the_prompt_is_done() {
    assert_eq!(e2e_us(&split(1, &[crash(1_000, 1, 500)])), [9_060]);
    let outcome = split(1, &[crash(1_000, 1, 500_000)]);
    assert_eq!(records(&outcome)[0].ending, RequestEnding::RejectedByRouting);
}

/// During the transfer it takes the blocks that were set aside; after it, the request.
#[test]
fn a_crash_of_the_decode_instance_takes_its_requests() {
    for at_us in [3_000, 5_000] {
        let outcome = split(1, &[crash(at_us, 1, 0)]);
        assert_eq!(e2e_us(&outcome)[0], at_us + 9_060 - 2_600 + 1_160 - 1_050 + 1_050, "crash at {at_us}");
    }
}

// Random faults.

/// One request every ten seconds or so for a hundred hours at four instances, which crash for a minute every two hours.
fn long_run(routing_policy: &str, seed: i64) -> Outcome {
    let client = poisson(0.1, constant(10), constant(2));
    let random = RandomFault {
        kind: FaultKind::Crash,
        per_instance_hour: 0.5,
        duration: Delay { mean_s: 60.0, std_dev_s: 10.0 },
    };
    let faults = FaultPlan { random: vec![random], ..FaultPlan::default() };
    run(&Plan {
        instances: 4,
        seed,
        routing: routing(routing_policy),
        faults: Some(faults),
        ..plan([1_000.0, 10.0, 100.0], support::synthetic(7, 36_000, vec![client]))
    })
}

#[test]
fn random_crashes_come_at_their_rate_whatever_the_policies() {
    let outcome = long_run("round-robin", 42);
    let found = faults(&outcome);
    // 200 are expected, give or take 14.
    assert!((150..=250).contains(&found.crashes), "{found:?}");
    assert!((found.downtime_s / found.crashes as f64 - 60.0).abs() < 3.0, "{found:?}");
    let other = faults(&long_run("least-loaded", 42));
    assert_eq!((found.crashes, found.downtime_s), (other.crashes, other.downtime_s));
    assert_ne!(found.downtime_s, faults(&long_run("round-robin", 43)).downtime_s, "another seed");
}

#[test]
fn faults_end_with_the_requests() {
    let mut plan = with(cluster(1, &[request(0, 100, 5)]), 0, &[crash(1_000_000_000, 0, 10)]);
    let often = RandomFault {
        kind: FaultKind::Slow { factor: 2.0 },
        per_instance_hour: 1.0,
        duration: Delay { mean_s: 1.0, std_dev_s: 0.0 },
    };
    plan.faults.as_mut().expect("faults").random.push(often);
    let outcome = run(&plan);
    assert_eq!((faults(&outcome), outcome.cluster.duration_s), (FaultFigures::default(), 0.0064));
    assert_eq!(outcome.ending, RunEnding::Completed);
}

// Starts and ends.

/// The prompt step of the first request takes three times as long, and so it does after a crash.
#[test]
fn the_first_requests_of_an_instance_wait_longer_for_their_first_token() {
    let mut plan = cluster(1, &[request(0, 100, 5), request(10_500, 100, 5), request(30_000, 100, 5)]);
    plan.warm_up = Some(WarmUp { requests: 1, factor: 3.0 });
    assert_eq!(e2e_us(&run(&plan)), [6_000 + 4_400, 6_400, 6_400]);
    plan.starts_warm = true;
    assert_eq!(e2e_us(&run(&plan)), [6_400; 3]);
    assert_eq!(e2e_us(&run(&with(plan, 0, &[crash(20_000, 0, 10)]))), [6_400, 6_400, 10_400]);
}

/// Two instances that take one request at a time; the autoscaler wants one and lets the first go at 3000. It has a
/// request that runs and one that waits, the other instance is idle since 2000.
fn draining(drain: DrainPolicy) -> Outcome {
    let mut plan = cluster(2, &[request(0, 100, 5), request(0, 100, 1), request(0, 100, 5)]);
    plan.instance.max_num_seqs = 1;
    let hpa = Registry::built_in().autoscalers.get("hpa").expect("an autoscaler");
    let no_delay = Delay { mean_s: 0.0, std_dev_s: 0.0 };
    plan.elastic = Some(ElasticPlan {
        gpu: "A".to_owned(),
        tp: 1,
        node_pools: Vec::new(),
        loading_delay: no_delay,
        warm_start: true,
        autoscaler: Some(AutoscalerPlan {
            policy: hpa
                .with(&[("hpa-target-in-flight", 100.0), ("hpa-scale-down-window-s", 0.0)])
                .expect("valid parameters"),
            interval: Tick::from_us(1_000_000),
            up_window: Tick::ZERO,
            down_window: Tick::ZERO,
            actuation_delay: Delay { mean_s: 0.003, std_dev_s: 0.0 },
            min_replicas: 1,
            max_replicas: 2,
            drain,
        }),
    });
    run(&plan)
}

#[test]
fn an_instance_that_drains_finishes_redirects_or_drops_what_it_has() {
    let waits = draining(DrainPolicy::Wait);
    assert_eq!((e2e_us(&waits), waits.faults), (vec![6_400, 2_000, 12_800], None));
    let redirects = draining(DrainPolicy::Redirect);
    assert_eq!(e2e_us(&redirects), [6_400, 2_000, 3_000 + 6_400]);
    assert_eq!((faults(&redirects).redirected, redirects.conservation.injected), (1, 3));
    let drops = draining(DrainPolicy::Immediate);
    assert_eq!(e2e_us(&drops), [-1, 2_000, -1]);
    assert_eq!((drops.conservation.failed, drops.conservation.completed), (2, 1));
    let hours = |outcome: &Outcome| outcome.fleet.expect("a fleet").instance_hours;
    assert!(hours(&drops) < hours(&redirects) && hours(&redirects) < hours(&waits));
}
