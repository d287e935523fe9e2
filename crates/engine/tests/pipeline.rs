//! Several stages: what a batch costs, how many are under way, and that nobody is lost.

mod common;

use blis_engine::Ending;
use blis_kernel::{Semantics, Tick};
use blis_latency::{LatencyModel, Pipeline};
use blis_policy::preemption::PreemptionKind;
use common::{Fingerprint, Linear, Outcome, Scenario, ScenarioRequest};
use std::sync::Arc;

/// Stages of these fixed times, µs, with hops of 5 µs.
fn stages(times_us: &[f64]) -> Arc<dyn LatencyModel> {
    let stage = |&time: &f64| Arc::new(linear(time, 0.0)) as Arc<dyn LatencyModel>;
    Arc::new(Pipeline::of_stages(times_us.iter().map(stage).collect(), 5.0, 0.0))
}

fn linear(fixed_us: f64, per_prompt_token_us: f64) -> Linear {
    Linear { alpha: [0.0; 3], beta: [fixed_us, per_prompt_token_us, 0.0], post_decode_us: 0 }
}

/// Requests of (arrival µs, prompt, answer) tokens, which share nothing.
fn scenario(latency: Arc<dyn LatencyModel>, requests: &[(i64, u32, u32)]) -> Scenario {
    let request = |(n, &(arrival_us, input, output)): (usize, &(i64, u32, u32))| {
        let first = 1_000_000 * n as u32;
        ScenarioRequest {
            id: format!("r{n}"),
            arrival_us,
            input: (first..first + input).collect(),
            output: (first + input..first + input + output).collect(),
            max_output: 0,
            slo_class: String::new(),
            deadline_us: 0,
            adapter: None,
        }
    };
    Scenario {
        kv_blocks: 10_000,
        requests: requests.iter().enumerate().map(request).collect(),
        ..Scenario::plain(latency)
    }
}

fn run(scenario: &Scenario) -> Outcome {
    scenario.run_private(Semantics::CORRECTED)
}

/// When each request is done, µs.
fn ends(outcome: &Outcome) -> Vec<i64> {
    outcome.ended.iter().map(|end| end.expect("an end").at.as_us()).collect()
}

#[test]
fn a_lone_request_takes_the_sum_of_the_stages_and_hops_for_every_token() {
    let outcome = run(&scenario(stages(&[100.0, 60.0]), &[(0, 10, 4)]));
    let end = outcome.ended[0].expect("an end");
    // 100 + 5 + 60 for the prompt and for each of three further tokens: one batch at a time, one stage always idle.
    assert_eq!(end.ttft, Some(Tick::from_us(165)));
    assert_eq!(end.at, Tick::from_us(4 * 165));
    assert_eq!(outcome.itl, [(165, 3)]);
    assert_eq!(outcome.counters.steps, 4);
}

#[test]
fn as_many_batches_as_stages_are_under_way_and_the_slowest_stage_sets_the_pace() {
    // Four requests in two batches; a third batch waits until one of the two is back.
    let requests = [(0, 10, 3), (1, 10, 3), (2, 10, 3), (3, 10, 3)];
    let outcome = run(&scenario(stages(&[100.0, 60.0]), &requests));
    // Batch A (r0) starts at 0 and is back at 165. Batch B (r1) enters at 1, waits for the first stage until 100 and is
    // back at 265. r2 and r3 wait for A's return and join it: 165 is after B's 100..200, so they start at 200.
    let ttft: Vec<_> = outcome.ended.iter().map(|end| end.expect("an end").ttft.map(Tick::as_us)).collect();
    assert_eq!(ttft, [Some(165), Some(264), Some(365 - 2), Some(365 - 3)]);
    // From then on A and B alternate: each has a turn in 200 µs, twice the slowest stage.
    assert_eq!(ends(&outcome), [565, 665, 765, 765]);
}

#[test]
fn many_requests_get_tokens_at_the_pace_of_the_slowest_stage() {
    let times = [40.0, 100.0, 70.0];
    let requests: Vec<_> = (0..3).map(|n| (n, 10, 200)).collect();
    let outcome = run(&scenario(stages(&times), &requests));
    // Three lone batches in three stages: one of them comes out every 100 µs, and each of them every 300.
    assert_eq!(ends(&outcome), [220 + 199 * 300, 320 + 199 * 300, 420 + 199 * 300]);
    let alone = run(&scenario(stages(&times), &requests[..1]));
    assert_eq!(ends(&alone), [200 * 220]);
}

#[test]
fn chunks_of_one_prompt_follow_each_other_through_the_stages() {
    let outcome = run(&scenario(stages(&[100.0, 100.0]), &[(0, 4000, 1)]));
    // Chunks of 1000 tokens: two of them are under way, so the third enters when the first one is back, at 205, and the
    // fourth when the second one is, at 305; it finds the last stage taken until 410.
    assert_eq!(ends(&outcome), [410 + 100]);
    let one_stage = run(&scenario(Arc::new(linear(200.0, 0.0)), &[(0, 4000, 1)]));
    assert_eq!(ends(&one_stage), [800]);
}

#[test]
fn the_youngest_of_all_gives_way_even_while_it_is_under_way() {
    // Two lone batches; five blocks hold neither both answers nor one and a half.
    let outcome =
        run(&Scenario { kv_blocks: 5, ..scenario(stages(&[50.0, 50.0]), &[(0, 30, 34), (1, 30, 34)]) });
    let [first, second] = outcome.ended[..] else { panic!("two requests") };
    assert!(first.is_some_and(|end| end.ending == Ending::Completed));
    assert!(second.is_some_and(|end| end.ending == Ending::Completed));
    assert_eq!(outcome.order, [0, 1]);
    assert!(outcome.counters.preemptions >= 1);
}

#[test]
fn one_stage_is_no_pipeline() {
    let requests = [(0, 500, 40), (30, 1700, 90), (70, 3, 2), (80, 2500, 300)];
    for kv_blocks in [190, 1000] {
        let plain = Scenario { kv_blocks, ..scenario(Arc::new(linear(30.0, 0.25)), &requests) };
        let stage = vec![Arc::new(linear(30.0, 0.25)) as Arc<dyn LatencyModel>];
        let staged = Scenario { latency: Arc::new(Pipeline::of_stages(stage, 5.0, 1.0)), ..plain.clone() };
        assert_eq!(run(&plain), run(&staged));
    }
}

/// A small generator of random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low + 1)
    }
}

#[test]
fn whatever_happens_everybody_ends_once_and_every_block_comes_back() {
    for seed in 1_u64..=3000 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let count = dice.between(2, 4);
        let latency = fingerprints(&mut dice, count);
        let requests: Vec<_> = (0..dice.between(1, 12))
            .map(|_| (dice.between(0, 900), dice.between(1, 120), dice.between(0, 60)))
            .map(|(arrival, input, output)| (arrival as i64, input as u32, output as u32))
            .collect();
        let mut requests = scenario(latency.clone(), &requests).requests;
        requests.sort_by_key(|request| request.arrival_us);
        for request in &mut requests {
            if dice.between(0, 4) == 0 {
                request.deadline_us = request.arrival_us + dice.between(1, 4000) as i64;
            }
            if dice.between(0, 2) == 0 {
                let shared = dice.between(1, request.input.len() as u64) as usize;
                (0..shared as u32).for_each(|n| request.input[n as usize] = 900_000_000 + n);
            }
        }
        let scenario = Scenario {
            name: format!("seed {seed}"),
            kv_blocks: dice.between(8, 60) as u32,
            block_tokens: dice.between(1, 16) as u32,
            max_num_seqs: dice.between(1, 8) as u32,
            max_num_batched_tokens: dice.between(1, 64) as u32,
            long_prefill_token_threshold: [0, 7][dice.between(0, 1) as usize],
            max_model_len: [0, 150][dice.between(0, 1) as usize],
            preemption: [PreemptionKind::Fcfs, PreemptionKind::Priority][dice.between(0, 1) as usize],
            horizon: [Tick::MAX, Tick::from_us(5000)][usize::from(dice.between(0, 5) == 0)],
            requests,
            ..scenario(latency, &[])
        };
        // The run itself checks that nobody ends twice, that blocks are conserved and that there is an end.
        let outcome = run(&scenario);
        assert!(outcome.ended.iter().flatten().all(|end| end.at <= scenario.horizon), "seed {seed}");
        let is_over = scenario.horizon == Tick::MAX;
        for end in &outcome.ended {
            let is_left = end.is_none_or(|end| {
                matches!(end.ending, Ending::StillQueued | Ending::StillRunning | Ending::StillEntering)
            });
            assert!(!(is_over && is_left), "seed {seed}: {end:?}");
        }
    }
}

/// Stages whose times depend on everything.
fn fingerprints(dice: &mut Dice, count: u64) -> Arc<dyn LatencyModel> {
    let wants_decode_contexts = dice.between(0, 1) == 1;
    let stage = |_| Arc::new(Fingerprint { wants_decode_contexts, spread_us: 80 }) as Arc<dyn LatencyModel>;
    Arc::new(Pipeline::of_stages((0..count).map(stage).collect(), 2.0, 0.1))
}
