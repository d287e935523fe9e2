//! Scenarios that the fuzzer found: the engine did something else than the naive instance, or had no end.

mod common;
mod naive;

use blis_engine::{Channel, CpuTierConfig, DeviceModel, Ending, OffloadConfig, OffloadTierConfig};
use blis_kernel::{Semantics, Tick};
use blis_policy::preemption::PreemptionKind;
use common::{Fingerprint, Linear, Outcome, Scenario, ScenarioRequest};
use std::sync::Arc;

/// First token and length of runs of tokens.
type Runs<'a> = &'a [(u32, u32)];

/// Requests (arrival, prompt, answer) on a cache of `kv_blocks` blocks of `block_tokens`; every step takes 10 µs.
fn scenario(kv_blocks: u32, block_tokens: u32, requests: &[(i64, Runs<'_>, Runs<'_>)]) -> Scenario {
    let tokens = |runs: Runs<'_>| runs.iter().flat_map(|&(first, count)| first..first + count).collect();
    let latency = Arc::new(Linear { alpha: [0.0; 3], beta: [10.0, 0.0, 0.0], post_decode_us: 0 });
    Scenario {
        kv_blocks,
        block_tokens,
        requests: requests
            .iter()
            .enumerate()
            .map(|(n, &(arrival_us, input, output))| ScenarioRequest {
                id: format!("r{n}"),
                arrival_us,
                input: tokens(input),
                output: tokens(output),
                max_output: 0,
                slo_class: String::new(),
                deadline_us: 0,
                adapter: None,
            })
            .collect(),
        ..Scenario::plain(latency)
    }
}

fn tier(blocks: u32, bandwidth_tokens_per_us: f64) -> CpuTierConfig {
    CpuTierConfig { blocks, bandwidth_tokens_per_us, base_latency: Tick::ZERO }
}

fn fingerprint() -> Arc<Fingerprint> {
    Arc::new(Fingerprint { wants_decode_contexts: false, spread_us: 200 })
}

/// What both implementations say.
fn agreed(scenario: &Scenario, semantics: Semantics, run: common::Run) -> Outcome {
    let (naive, _) = naive::run(scenario, semantics).expect("an end");
    assert_eq!(run(scenario, semantics), naive);
    naive
}

#[test]
fn blocks_of_one_generated_token_are_not_found_again_whether_named_or_counted() {
    let s = scenario(27, 1, &[(7, &[(1000, 10)], &[(1070, 9)]), (9, &[(1080, 3)], &[(1083, 8)])]);
    let counted = agreed(&s, Semantics::CORRECTED, Scenario::run_private);
    assert_eq!(counted.counters.preemptions, 1);
    assert_eq!(
        counted.hits_and_misses,
        agreed(&s, Semantics::CORRECTED, Scenario::run_listed).hits_and_misses
    );
}

#[test]
fn a_counted_request_evicted_without_blocks_still_finds_those_of_its_attempt_before() {
    let mut s = scenario(1, 5, &[(96, &[(1044, 5)], &[(1049, 2)]), (129, &[(1071, 1)], &[(1074, 2)])]);
    s.preemption = PreemptionKind::Priority;
    s.requests[1].slo_class = "critical".to_owned();
    s.latency = Arc::new(Linear { alpha: [5.0, 0.5, 3.0], beta: [50.0, 0.0, 0.0], post_decode_us: 7 });
    let outcome = agreed(&s, Semantics::REFERENCE, Scenario::run_private);
    assert_eq!(outcome.counters.completed, 2);
}

/// Under Q8 the order in which blocks are taken decides which keys are forgotten.
#[test]
fn a_block_taken_by_a_counted_request_may_delete_the_key_that_a_named_one_just_published() {
    let mut s = scenario(
        8,
        2,
        &[
            (10, &[(1000, 1)], &[(1001, 17)]),
            (10, &[(1022, 12)], &[(1034, 8)]),
            (20, &[(1000, 5)], &[(1062, 5)]),
        ],
    );
    s.latency = fingerprint();
    agreed(&s, Semantics::REFERENCE, Scenario::run_private);
}

/// A fully cached prompt owns only its answer's blocks (Q4), and those are mirrored under the key that they have
/// without a prompt in front; a reload whose last block is partly filled looks for the same key.
#[test]
fn a_reload_finds_what_an_answer_without_its_prompt_left_in_the_tier() {
    let mut s = scenario(
        18,
        2,
        &[
            (120, &[(1008, 20)], &[]),
            (210, &[(1008, 6)], &[(1014, 17)]),
            (210, &[(1000, 2), (1063, 8)], &[(1071, 5)]),
            (290, &[(1008, 22)], &[]),
        ],
    );
    s.cpu_tier = Some(tier(42, 0.3));
    s.long_prefill_token_threshold = 1;
    s.latency = Arc::new(Linear { alpha: [0.0; 3], beta: [1.0, 0.0, 0.0], post_decode_us: 0 });
    agreed(&s, Semantics::REFERENCE, Scenario::run_listed);
}

/// A chunk of one token, the reload of the block that it begins, and whole blocks claimed behind it.
#[test]
fn blocks_claimed_behind_a_partly_filled_one_keep_their_place_in_the_chain() {
    let mut s = scenario(
        7,
        2,
        &[
            (25, &[(1004, 1), (1013, 3)], &[]),
            (43, &[(1004, 1), (1013, 3)], &[(1025, 5)]),
            (69, &[(1032, 2)], &[(1034, 5)]),
            (89, &[(1004, 1), (1013, 3), (1025, 5)], &[(1039, 2)]),
        ],
    );
    s.cpu_tier = Some(tier(52, 0.3));
    s.max_num_seqs = 1;
    s.long_prefill_token_threshold = 1;
    assert_eq!(s.run_listed(Semantics::REFERENCE).counters.completed, 4);
}

/// A refused allocation leaves reloaded blocks with a request that waits; the running one lacks them for ever.
#[test]
fn a_waiting_request_that_holds_blocks_does_not_keep_a_run_from_ending() {
    let mut s = scenario(23, 1, &[(1, &[(1004, 2)], &[(1006, 22)]), (3, &[(1000, 4)], &[(1061, 10)])]);
    s.cpu_tier = Some(tier(127, 100.0));
    let mixed = Semantics { fully_cached_prompt_is_free: false, ..Semantics::REFERENCE };
    let outcome = agreed(&s, mixed, Scenario::run_listed);
    let endings: Vec<_> = outcome.ended.iter().flatten().map(|e| e.ending).collect();
    assert_eq!(endings, [Ending::Unservable, Ending::Completed]);
}

#[test]
fn a_request_that_waits_holds_nothing_once_reloads_are_credited() {
    let mut s = scenario(23, 1, &[(1, &[(1004, 2)], &[(1006, 22)]), (3, &[(1000, 4)], &[(1061, 10)])]);
    s.cpu_tier = Some(tier(127, 100.0));
    let outcome = agreed(&s, Semantics::CORRECTED, Scenario::run_listed);
    assert_eq!(outcome.counters.completed, 2);
}

#[test]
fn a_credited_reload_spares_the_prefix_that_it_continues() {
    let mut s = scenario(8, 3, &[(14, &[(1038, 3)], &[(1042, 8)]), (31, &[(1000, 13)], &[(1051, 4)])]);
    s.cpu_tier = Some(tier(58, 100.0));
    s.long_prefill_token_threshold = 6;
    s.latency = Arc::new(Linear { alpha: [10.0, 0.0, 0.0], beta: [50.0, 2.5, 10.0], post_decode_us: 0 });
    let outcome = agreed(&s, Semantics::CORRECTED, Scenario::run_listed);
    assert!(outcome.counters.preemptions > 0);
}

/// Blocks that a request holds although the index names others for their keys still count as to be claimed.
#[test]
fn blocks_held_twice_count_as_to_be_claimed_after_a_reload() {
    let mut s = scenario(
        19,
        2,
        &[
            (5, &[(1000, 1)], &[(1001, 19)]),
            (20, &[(1020, 2)], &[(1022, 14)]),
            (38, &[(1020, 2), (1039, 2)], &[(1041, 8)]),
            (67, &[(1050, 1)], &[]),
            (82, &[(1053, 1)], &[]),
            (97, &[(1020, 16)], &[(1057, 9)]),
            (101, &[(1020, 16), (1057, 13)], &[]),
        ],
    );
    for (request, id) in s.requests.iter_mut().zip(["r5", "r12", "r6", "r7", "r1", "r8", "r2"]) {
        request.id = id.to_owned();
    }
    s.cpu_tier = Some(tier(152, 0.3));
    s.max_num_seqs = 5;
    s.latency = fingerprint();
    agreed(&s, Semantics::REFERENCE, Scenario::run_listed);
}

/// What it must recompute is one token more than it held when it had to give way.
#[test]
fn a_request_that_must_recompute_more_than_the_cache_holds_is_dropped() {
    let mut s = scenario(7, 2, &[(0, &[(1000, 1)], &[(1014, 15)]), (500, &[(1050, 3)], &[(1060, 2)])]);
    let resumes = Semantics { regenerate_after_preemption: false, ..Semantics::REFERENCE };
    for semantics in [resumes, Semantics::CORRECTED] {
        let outcome = agreed(&s, semantics, Scenario::run_listed);
        let endings: Vec<_> = outcome.ended.iter().flatten().map(|e| e.ending).collect();
        assert_eq!(endings, [Ending::Unservable, Ending::Completed]);
        s.horizon = Tick::from_us(1000);
    }
}

/// A chain with room for `cpu_blocks` in CPU memory and one device that reads at this rate.
fn chain(cpu_blocks: u64, read_bytes_per_us: f64) -> OffloadConfig {
    let channel = |bytes_per_us| Channel { bytes_per_us, base_latency: Tick::from_us(50) };
    OffloadConfig {
        cpu_blocks,
        block_bytes: 100,
        prompt_only: true,
        seed: 42,
        tiers: vec![OffloadTierConfig {
            read_threads: 1,
            write_threads: 1,
            device: DeviceModel {
                read: channel(read_bytes_per_us),
                write: channel(100.0),
                saturation_depth: 1,
                single_transfer_fraction: 1.0,
                jitter_stddev: 0.0,
            },
        }],
    }
}

/// A prompt of three blocks, another that takes over the GPU and CPU memory, and the first one again.
fn a_prompt_comes_back(read_bytes_per_us: f64) -> Scenario {
    let mut s = scenario(
        3,
        4,
        &[(0, &[(1000, 12)], &[]), (1000, &[(2000, 12)], &[]), (2000, &[(1000, 12), (3000, 1)], &[])],
    );
    // The third needs a fourth block, so that its prefix cannot be all of the cache.
    s.kv_blocks = 4;
    s.offload = Some(chain(3, read_bytes_per_us));
    s
}

#[test]
fn blocks_come_back_from_a_device_while_the_request_waits() {
    let s = a_prompt_comes_back(10.0);
    let outcome = agreed(&s, Semantics::CORRECTED, Scenario::run_listed);
    let chain = outcome.offload.expect("a chain");
    assert_eq!((chain.deferrals, chain.given_up, chain.promotions, chain.reloaded_blocks), (1, 0, 1, 2));
    // Its first block is still on the GPU. One empty step of 10 us to ask, 50 us and two blocks of 10 us to read.
    assert_eq!(chain.waited, Tick::from_us(10 + 50 + 20));
    let reference = agreed(&s, Semantics::REFERENCE, Scenario::run_listed);
    assert_eq!(reference.offload.expect("a chain").waited, Tick::from_us(80), "a multiple of 10 us as well");
}

/// Law: a wait for blocks ends, though the transfer does not.
#[test]
fn a_request_whose_blocks_never_come_goes_on_without_them() {
    let s = a_prompt_comes_back(1e-300);
    for semantics in [Semantics::CORRECTED, Semantics::REFERENCE] {
        let outcome = s.run_listed(semantics);
        assert_eq!(outcome.counters.completed, 3);
        let chain = outcome.offload.expect("a chain");
        assert_eq!((chain.given_up, chain.reloaded_blocks), (1, 0));
        let waited = chain.waited.as_us();
        assert!((1_000_000_001..1_000_000_020).contains(&waited), "{waited} us");
    }
}
