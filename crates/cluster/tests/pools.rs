//! Prefill and decode on instances of their own, worked out by hand, and what each field of `Semantics` changes there.
//!
//! A step takes 1000 µs + 10 µs per prompt token + 100 µs per decoding request, a block holds 16 tokens and takes
//! 100 µs to move, and every transfer 50 µs more.

mod support;

use blis_cluster::plan::Plan;
use blis_cluster::run;
use blis_kernel::Semantics;
use blis_metrics::{Outcome, RequestEnding};
use support::{Script, in_pools, plan, records, request, scripted, under};

/// As many prefill as decode instances; every request is split.
fn pools(each: u32, requests: &[Script], set: fn(&mut Semantics)) -> Plan {
    let mut semantics = Semantics::CORRECTED;
    set(&mut semantics);
    in_pools(under(plan([1_000.0, 10.0, 100.0], scripted(requests)), semantics), each)
}

fn ttft_us(outcome: &Outcome) -> Vec<i64> {
    records(outcome).iter().map(|record| record.ttft.map_or(-1, blis_kernel::Tick::as_us)).collect()
}

fn e2e_us(outcome: &Outcome) -> Vec<i64> {
    records(outcome).iter().map(|record| record.e2e.map_or(-1, blis_kernel::Tick::as_us)).collect()
}

/// A prompt of 160 tokens takes 2600, its ten blocks 1050. The decode instance computes the last token again, 1010, and
/// four more, 1100 each. Under B7 the first of four decode steps stands for the first token.
#[test]
fn a_split_request_passes_three_stations() {
    let requests = [request(0, 160, 5)];
    let corrected = run(&pools(1, &requests, |_| {}));
    assert_eq!((ttft_us(&corrected), e2e_us(&corrected)), (vec![4_660], vec![9_060]));
    let with_quirk = run(&pools(1, &requests, |s| s.decode_part_saves_a_step = true));
    assert_eq!((ttft_us(&with_quirk), e2e_us(&with_quirk)), (vec![4_750], vec![8_050]));
    let splits = corrected.splits.expect("a request was split");
    assert_eq!((splits.transferred, splits.transfer_us.mean), (1, 1_050.0));
}

/// The second prompt has 160 of its 176 tokens in common with the first: 1160 for the others, and one block to move.
#[test]
fn only_what_the_decode_instance_lacks_is_moved() {
    let requests =
        [Script { shared: 160, ..request(0, 0, 2) }, Script { shared: 160, ..request(100_000, 16, 2) }];
    let last = |set| *ttft_us(&run(&pools(1, &requests, set))).last().expect("requests");
    assert_eq!(last(|_| {}), 1_160 + 150 + 1_010);
    assert_eq!(last(|s| s.transfers_move_whole_prompts = true), 1_160 + 1_150 + 1_010);
}

/// Two prompts are processed in one step of 4200 and move together, each at half the rate: 2050. Under B12 the first
/// keeps the whole rate.
#[test]
fn transfers_share_the_bandwidth() {
    let requests = [request(0, 160, 2), request(0, 160, 2)];
    let first = |set| {
        let mut plan = pools(1, &requests, set);
        plan.disaggregation.as_mut().expect("pools").transfer.contention = true;
        ttft_us(&run(&plan))[0]
    };
    assert_eq!(first(|_| {}), 4_200 + 2_050 + 1_020);
    assert_eq!(first(|s| s.transfer_rate_is_fixed = true), 4_200 + 1_050 + 1_010);
}

/// Each pool takes turns by itself. With one router for both (B17), every prompt goes to one instance of two.
#[test]
fn pools_take_turns_by_themselves() {
    let requests: Vec<_> = (0..8).map(|n| request(n * 100_000, 32, 2)).collect();
    let served = |set| -> Vec<u64> {
        run(&pools(2, &requests, set)).instances.iter().map(|instance| instance.completed).collect()
    };
    assert_eq!(served(|_| {}), [4, 4, 4, 4]);
    assert_eq!(served(|s| s.pools_share_one_router = true), [0, 8, 8, 0]);
}

/// The decode instance has room for one prompt. The second waits for it, or is dropped.
#[test]
fn a_transfer_waits_for_room() {
    let requests = [request(0, 160, 20), request(0, 160, 20)];
    let outcome = |set| {
        let mut plan = pools(1, &requests, set);
        plan.disaggregation.as_mut().expect("pools").decode.config.kv_blocks = 15;
        run(&plan)
    };
    let waits = outcome(|_| {});
    assert_eq!(waits.conservation.completed, 2);
    assert!(ttft_us(&waits)[1] > e2e_us(&waits)[0], "it starts when the other is done");
    let drops = outcome(|s| s.full_decode_instance_drops = true);
    assert_eq!(records(&drops)[1].ending, RequestEnding::DroppedAtDecode);
    assert_eq!(drops.splits.as_ref().map(|splits| splits.dropped_at_decode), Some(1));
    assert_eq!(e2e_us(&drops)[1], -1, "who was dropped has no latency");
    let counted = outcome(|s| {
        s.full_decode_instance_drops = true;
        s.failed_splits_have_latencies = true;
    });
    assert_eq!(e2e_us(&counted)[1], 4_200, "under B8 it has one, until it was dropped");
}

/// A prompt that no decode instance can ever hold is dropped.
#[test]
fn a_prompt_that_never_fits_is_dropped() {
    let mut plan = pools(1, &[request(0, 160, 5)], |_| {});
    plan.disaggregation.as_mut().expect("pools").decode.config.kv_blocks = 9;
    let outcome = run(&plan);
    assert_eq!((outcome.conservation.dropped_at_decode, outcome.cluster.dropped_unservable), (1, 1));
}
