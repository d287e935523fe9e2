//! Instances with data-parallel ranks, behind a gateway, in pools and with faults.
//!
//! A step takes 1000 µs + 10 µs per prompt token + 100 µs per decoding request, on all ranks together.

mod support;

use blis_cluster::plan::{FaultKind, FaultPlan, FaultTarget, Plan, ScheduledFault};
use blis_cluster::run;
use blis_engine::{RankBalancing, RankConfig};
use blis_kernel::Tick;
use blis_metrics::{Outcome, RequestEnding, RunEnding};
use support::{exponential, in_pools, plan, poisson, records, request, scripted, synthetic, weighted};

const BETA: [f64; 3] = [1_000.0, 10.0, 100.0];

fn on_ranks(mut plan: Plan, count: u32) -> Plan {
    plan.instance.ranks = Some(RankConfig { count, balancing: RankBalancing::LeastLoaded });
    plan
}

fn latencies(outcome: &Outcome) -> Vec<(Option<Tick>, Option<Tick>)> {
    records(outcome).iter().map(|record| (record.ttft, record.e2e)).collect()
}

#[test]
fn where_no_limit_binds_and_steps_go_by_totals_ranks_are_one_scheduler() {
    let traffic = || synthetic(7, 400, vec![poisson(40.0, exponential(300.0), exponential(60.0))]);
    let alone = run(&Plan { instances: 2, ..plan(BETA, traffic()) });
    for count in [1, 2, 5] {
        let ranks = run(&on_ranks(Plan { instances: 2, ..plan(BETA, traffic()) }, count));
        assert_eq!(latencies(&ranks), latencies(&alone), "{count} ranks");
        assert_eq!(ranks.conservation.completed, 400);
    }
}

#[test]
fn every_request_ends_once_where_everything_is_short() {
    let traffic = || synthetic(3, 300, vec![poisson(60.0, exponential(200.0), exponential(80.0))]);
    let mut short = on_ranks(Plan { instances: 2, ..plan(BETA, traffic()) }, 3);
    short.instance.kv_blocks = 80;
    short.instance.max_num_seqs = 4;
    short.instance.max_num_batched_tokens = 256;
    short.routing = weighted("precise-prefix-cache:1,queue-depth:1");
    let outcome = run(&short);
    assert_eq!(outcome.ending, RunEnding::Completed);
    assert_eq!(outcome.conservation.completed + outcome.conservation.dropped_unservable, 300);
}

#[test]
fn a_prompt_is_moved_to_a_rank_with_room_and_never_to_two() {
    let requests = [request(0, 160, 20), request(0, 160, 20), request(0, 300, 20)];
    let mut pools = in_pools(plan(BETA, scripted(&requests)), 1);
    let decode = &mut pools.disaggregation.as_mut().expect("pools").decode.config;
    decode.kv_blocks = 15;
    decode.ranks = Some(RankConfig { count: 2, balancing: RankBalancing::LeastLoaded });
    let outcome = run(&pools);
    let endings: Vec<_> = records(&outcome).iter().map(|record| record.ending).collect();
    let dropped = RequestEnding::DroppedAtDecode;
    // 19 blocks are less than the 30 of the instance, and more than the 15 of a rank.
    assert_eq!(endings, [RequestEnding::Completed, RequestEnding::Completed, dropped]);
    let latencies = latencies(&outcome);
    assert!(latencies[1].0 < latencies[0].1, "each has a rank for itself");
}

#[test]
fn all_ranks_of_an_instance_crash_together() {
    let requests: Vec<_> = (0..8).map(|n| request(n * 10, 100, 50)).collect();
    let crash = ScheduledFault {
        at: Tick::from_us(5_000),
        target: FaultTarget::Instance(0),
        kind: FaultKind::Crash,
        duration: Tick::from_us(10_000),
    };
    let faults = FaultPlan { scheduled: vec![crash], max_retries: 1, ..FaultPlan::default() };
    let outcome =
        run(&Plan { faults: Some(faults), instances: 2, ..on_ranks(plan(BETA, scripted(&requests)), 2) });
    let found = outcome.faults.expect("there may be faults");
    assert_eq!((found.crashes, found.lost_requests, found.retries), (1, 4, 4));
    assert_eq!(outcome.conservation.completed, 8);
}
