//! What each field of `Semantics` changes: one small scenario per field, run with everything corrected and then with
//! that field alone set as in the reference. Both results are worked out by hand.
//!
//! Unless a scenario says otherwise, a step takes 1000 µs + 10 µs per prompt token + 100 µs per decoding request, and
//! a block holds 16 tokens.

mod support;

use blis_cluster::plan::Plan;
use blis_cluster::run;
use blis_engine::CpuTierConfig;
use blis_kernel::{InstanceId, Semantics, Tick};
use blis_latency::kv_capacity::{KvCapacityInputs, TensorParallelMemory, kv_blocks};
use blis_latency::{
    Batch, Blackbox, Coefficients, Fp8Rule, GpuSpec, LatencyModel, ModelArchitecture, Prefill, Roofline,
};
use blis_metrics::{RequestEnding, RequestRecord};
use blis_policy::Registry;
use blis_policy::preemption::PreemptionKind;
use std::sync::Arc;
use support::{Script, one_at_a_time, plan, records, request, scripted, under, weighted};

const STEP_US: [f64; 3] = [1_000.0, 10.0, 100.0];

fn scenario(requests: &[Script]) -> Plan {
    plan(STEP_US, scripted(requests))
}

/// A request whose prompt begins with `shared` common tokens.
fn sharing(shared: u32, arrival_us: i64, own: u32, output: u32) -> Script {
    Script { shared, ..request(arrival_us, own, output) }
}

/// The last request's record, corrected and with the field that `set` sets.
fn last_request(plan: &Plan, set: fn(&mut Semantics)) -> [RequestRecord; 2] {
    let mut quirk = Semantics::CORRECTED;
    set(&mut quirk);
    [Semantics::CORRECTED, quirk].map(|semantics| {
        let outcome = run(&under(plan.clone(), semantics));
        records(&outcome).last().expect("requests").clone()
    })
}

fn ttft_us(records: &[RequestRecord; 2]) -> [i64; 2] {
    records.each_ref().map(|record| record.ttft.expect("a first token").as_us())
}

fn e2e_us(records: &[RequestRecord; 2]) -> [i64; 2] {
    records.each_ref().map(|record| record.e2e.expect("it completed").as_us())
}

/// Q1: a request that arrives during the last step of all others starts at once, beside that step.
///
/// The first step runs from 0 to 1000 + 10·100 = 2000, the second request's takes 2000 as well. Corrected, it runs
/// from 2000 to 4000, 3500 after the arrival at 500. Otherwise it runs from 500 to 2500.
#[test]
fn step_effects_at_start_lets_two_steps_overlap() {
    let plan = scenario(&[request(0, 100, 1), request(500, 100, 1)]);
    let got = last_request(&plan, |s| s.step_effects_at_start = true);
    assert_eq!(ttft_us(&got), [3_500, 2_000]);
}

/// Q2 follows from Q1: as a request has completed when its last step starts, a deadline inside that step is missed.
///
/// The only step runs from 0 to 2000, the deadline is at 1500.
#[test]
fn step_effects_at_start_spares_a_request_from_a_deadline_in_its_final_step() {
    let plan = scenario(&[Script { deadline_us: Some(1_500), ..request(0, 100, 1) }]);
    let got = last_request(&plan, |s| s.step_effects_at_start = true);
    assert_eq!(got.each_ref().map(|r| r.ending), [RequestEnding::TimedOut, RequestEnding::Completed]);
    assert_eq!(got.each_ref().map(|r| r.e2e), [None, Some(Tick::from_us(2_000))]);
}

/// Q3: a step in which a running request gets nothing is missing from its latencies.
///
/// Two blocks, two requests. Both prompts (15 and 4 tokens): 0 to 1190. A token each: to 2390. The first request needs
/// a second block; it is the less urgent one, so it evicts itself, and the second gets nothing in that empty step: to
/// 3390. Alone: to 4490, its third and last token. Intervals: 1200 and 2100, or 1200 and 1100.
#[test]
fn idle_steps_uncounted_shortens_latencies() {
    let patient = Script { slo_class: "batch", ..request(0, 15, 10) };
    let urgent = Script { slo_class: "critical", ..request(0, 4, 3) };
    let mut plan = scenario(&[patient, urgent]);
    plan.instance.kv_blocks = 2;
    plan.instance.preemption = PreemptionKind::Priority;
    let got = last_request(&plan, |s| s.idle_steps_uncounted = true);
    assert_eq!(e2e_us(&got), [4_490, 3_490]);
    assert_eq!(got.map(|r| r.itl_mean_us), [1_650.0, 1_150.0]);
}

/// Q4: a prompt that is cached to its last token costs nothing.
///
/// Two blocks of prompt are cached. Corrected, the second is computed again: 1000 + 10·16. Otherwise: an empty step.
#[test]
fn fully_cached_prompt_is_free_of_prefill() {
    let plan = scenario(&[sharing(32, 0, 0, 1), sharing(32, 10_000, 0, 1)]);
    let got = last_request(&plan, |s| s.fully_cached_prompt_is_free = true);
    assert_eq!(ttft_us(&got), [1_160, 1_000]);
}

/// Q5: blocks that come back from the CPU tier are computed all the same.
///
/// A prompt of 32 + 1 tokens is mirrored; another one takes all four GPU blocks; the first prompt comes again. Both
/// shared blocks are reloaded in 50 + 16/1 each. Corrected, one token is left: 1000 + 10 + 132. Otherwise 33 are.
#[test]
fn reload_without_credit_computes_what_was_reloaded() {
    let mut plan = scenario(&[sharing(32, 0, 1, 1), request(10_000, 63, 1), sharing(32, 20_000, 1, 1)]);
    plan.instance.kv_blocks = 4;
    plan.instance.cpu_tier =
        Some(CpuTierConfig { blocks: 100, bandwidth_tokens_per_us: 1.0, base_latency: Tick::from_us(50) });
    let got = last_request(&plan, |s| s.reload_without_credit = true);
    assert_eq!(ttft_us(&got), [1_142, 1_462]);
}

/// Q8: when one of two blocks with the same content is recycled, the other can no longer be found either.
///
/// Two requests compute the same prompt of 16 + 1 tokens side by side, eight tokens per step, so each has a block with
/// the shared part. Of the four blocks, the first request's two come first in the free list, and a prompt of 32 tokens
/// takes them. When the shared prompt comes again, the second request's block serves it: one token, 1010. Otherwise it
/// is computed: 1080 + 1080 + 1010.
#[test]
fn stale_index_delete_loses_a_live_block() {
    let mut plan = scenario(&[
        sharing(16, 0, 1, 1),
        sharing(16, 0, 1, 1),
        request(100_000, 32, 1),
        sharing(16, 200_000, 1, 1),
    ]);
    plan.instance.kv_blocks = 4;
    plan.instance.long_prefill_token_threshold = 8;
    let got = last_request(&plan, |s| s.stale_index_delete = true);
    assert_eq!(ttft_us(&got), [1_010, 3_170]);
}

/// Q14: a preempted request generates its output again.
///
/// Two blocks, two requests. Both prompts (15 and 4 tokens): 0 to 1190. A token each: to 2390. The first request needs
/// a second block, and the second one gives way with two of its four tokens; the first goes on alone and has its last
/// token at 2390 + 3·1100 = 5690. Corrected, the second then computes 4 + 2 tokens, which gives its third (1060), and
/// decodes one more: 7850. Otherwise it computes its prompt (1040, to 6730) and decodes three: 10030.
#[test]
fn regenerate_after_preemption_repeats_the_output() {
    let mut plan = scenario(&[request(0, 15, 5), request(0, 4, 4)]);
    plan.instance.kv_blocks = 2;
    let got = last_request(&plan, |s| s.regenerate_after_preemption = true);
    assert_eq!(ttft_us(&got), [1_190, 6_730]);
    assert_eq!(e2e_us(&got), [7_850, 10_030]);
}

/// Two instances and a long request, whose prompt of 16 + 84 tokens takes 900000 to 902000 and which then decodes in
/// steps of 1100. At 1100000, at the edge of such a step, comes a prompt of 16 + 1 tokens with the same first block.
/// Beside the long request it takes 1000 + 10 + 100, on the other instance 1000 + 170.
fn warm_or_idle(scorers: &str) -> Plan {
    let mut plan = scenario(&[sharing(16, 900_000, 84, 1_000), sharing(16, 1_100_000, 1, 1)]);
    plan.instances = 2;
    plan.routing = weighted(scorers);
    plan
}

fn assert_warm_then_idle(plan: &Plan, set: fn(&mut Semantics)) {
    let got = last_request(plan, set);
    assert_eq!(ttft_us(&got), [1_110, 1_170]);
    let long = records(&run(plan))[0].instance;
    let other = if long == Some(InstanceId(0)) { InstanceId(1) } else { InstanceId(0) };
    assert_eq!(got.map(|r| r.instance), [long, Some(other)]);
}

/// B2: signals count as read at time zero, when they all are zero, instead of at the first decision.
///
/// They are read once per second. Corrected, at 900000 (both idle) and not yet at 1100000: the shared block decides
/// for the busy instance, 1 + 2·1 against 2·1. Otherwise they are due at 1000000, and the batch sizes 1 and 0 are
/// seen: 1 + 2·0 against 2·1.
#[test]
fn signals_start_at_zero_shifts_when_they_are_read() {
    let mut plan = warm_or_idle("prefix-affinity:1,running-requests:2");
    plan.snapshot_refresh_interval = Tick::from_us(1_000_000);
    assert_warm_then_idle(&plan, |s| s.signals_start_at_zero = true);
}

/// B18: a request that runs counts twice in its instance's load, as running and as in flight.
///
/// Weights (normalised to 10/28 and 18/28) 10 for the shared block and 18 for 1/(1 + load). Corrected, the load is 1:
/// 10 + 18/2 = 19 against 18. Otherwise it is 2: 10 + 18/3 = 16 against 18.
#[test]
fn load_counts_twice_makes_a_busy_instance_look_busier() {
    let plan = warm_or_idle("prefix-affinity:10,load-balance:18");
    assert_warm_then_idle(&plan, |s| s.load_counts_twice = true);
}

fn of_class(slo_class: &'static str, arrival_us: i64) -> Script {
    Script { slo_class, ..request(arrival_us, 100, 1) }
}

/// B4: the gateway's `fifo` serves the most important class first.
///
/// Each request takes one step of 2000 µs, and the instance gets one at a time: the first at 0, the next at the tick of
/// 3000 (the instance's own events at 2000 come after the tick of 2000), the last at the tick of 6000. The critical one,
/// which comes last at 200, is done at 8000 or at 5000.
#[test]
fn gateway_fifo_is_priority_serves_important_classes_first() {
    let requests = [of_class("batch", 0), of_class("batch", 100), of_class("critical", 200)];
    let mut plan = scenario(&requests);
    plan.flow_control = Some(one_at_a_time("fifo"));
    let got = last_request(&plan, |s| s.gateway_fifo_is_priority = true);
    assert_eq!(e2e_us(&got), [7_800, 4_800]);
}

/// B5: ceilings are spread over the classes seen so far instead of all classes of the table.
///
/// Two of four requests are in flight: saturation 0.5. The least important of five classes has the ceiling 0.4, and has
/// to wait until one of the two is done; as the only class seen, it has the ceiling 1.
#[test]
fn gateway_bands_as_seen_lets_a_lone_class_through() {
    let background = |arrival_us| Script { slo_class: "background", ..request(arrival_us, 100, 1) };
    let mut plan = scenario(&[background(0), background(0), background(100)]);
    let mut flow_control = one_at_a_time("priority");
    let registry = Registry::built_in();
    let detector = registry.saturation.get("concurrency").expect("a detector");
    flow_control.saturation = detector.with(&[("max-concurrency", 4.0)]).expect("in range");
    let limit = registry.usage_limits.get("static-usage-limit").expect("a usage limit");
    flow_control.usage_limit = limit.with(&[("usage-limit-threshold", 0.4)]).expect("in range");
    plan.flow_control = Some(flow_control);
    let got = last_request(&plan, |s| s.gateway_bands_as_seen = true);
    // The first two share a step of 3000 from 0 on; the third gets the next, of 2000, from the tick of 4000 on.
    assert_eq!(e2e_us(&got), [5_900, 4_900]);
}

/// B16: who is to be evicted while it enters its instance gets away with it.
///
/// Entering takes 5000 µs. The critical request comes at 1000, finds the instance taken, and has the sheddable one
/// evicted at the first tick after it entered. Otherwise that one is served, until 5000 + 2000.
#[test]
fn entering_victims_escape_is_decided_once() {
    let mut plan = scenario(&[of_class("sheddable", 0), of_class("critical", 1_000)]);
    let coefficients = Coefficients { alpha: vec![5_000.0, 0.0, 0.0], beta: STEP_US.to_vec() };
    plan.latency = Arc::new(Blackbox::new(&coefficients).expect("valid coefficients"));
    plan.flow_control = Some(blis_cluster::FlowControlPlan { evicts: true, ..one_at_a_time("priority") });
    let outcomes = [false, true].map(|entering_victims_escape| {
        run(&under(plan.clone(), Semantics { entering_victims_escape, ..Semantics::CORRECTED }))
    });
    let endings = outcomes.each_ref().map(|outcome| records(outcome)[0].ending);
    assert_eq!(endings, [RequestEnding::Evicted, RequestEnding::Completed]);
}

/// L1 (`kv_blocks_from_whole_group`): the memory of a whole tensor-parallel group is filled with blocks of the size
/// that one of its GPUs holds.
///
/// A token takes 2 layers · 2 · 128 · 8 heads · 2 bytes / 2 GPUs = 4096 bytes of a GPU, a block 65536. Parameters:
/// 2·1024 embedding and output, 2 · (1024·3072 + 1024·1024 + 2048) attention, 2·3·1024 MLP, 1024 norm, together
/// 8,401,920, in 16,803,840 bytes. Of 32 GiB, 5.5 + 2·0.6 are taken: 25.3 · 2³⁰ − 16,803,840 = 27,148,864,307.2 bytes
/// are left, 414,258.8 such blocks, or half as many when each GPU holds its part.
#[test]
fn kv_blocks_from_whole_group_doubles_them_on_two_gpus() {
    let model = ModelArchitecture {
        layers: 2,
        hidden: 1024,
        vocabulary: 1,
        heads: 8,
        intermediate: 1,
        bytes_per_param: 2.0,
        ..ModelArchitecture::default()
    };
    let inputs = KvCapacityInputs {
        gpu_memory_gib: 16.0,
        tp: 2,
        pp: 1,
        dp: 1,
        block_tokens: 16,
        gpu_memory_utilization: 1.0,
        adapter_reserved_bytes: 0,
    };
    let blocks = [TensorParallelMemory::PerGpu, TensorParallelMemory::WholeGroup]
        .map(|rule| kv_blocks(&model, &inputs, rule).expect("it fits").blocks);
    assert_eq!(blocks, [207_129, 414_258]);
}

/// L11 (`fp8_rate_for_any_byte`): eight-bit integers are computed at the FP8 rate, and that is the sparse one.
///
/// A prefill of 1000 tokens: projections 8e9, attention 4·10·1000·499.5·100 = 1.998e9, MLP 4e9, vector operations
/// 5·10·1000·499.5 + 2e6 = 0.026975e9, together 14.024975e9 FLOP. At half of 1e12 FLOP/s 28,049.95 µs; at half of 4e12
/// a quarter of that. Memory is no limit.
#[test]
fn fp8_rate_for_any_byte_speeds_integers_up() {
    let int8 = ModelArchitecture {
        layers: 1,
        hidden: 1000,
        heads: 10,
        vocabulary: 1000,
        intermediate: 1000,
        bytes_per_param: 2.0,
        weight_bytes_per_param: 1.0,
        ..ModelArchitecture::default()
    };
    let gpu = GpuSpec {
        name: "GPU".to_owned(),
        fp16_tflops: 1.0,
        fp8_tflops: 2.0,
        fp8_sparse_tflops: Some(4.0),
        hbm_tb_per_s: 1_000.0,
        mfu_prefill: 0.5,
        mfu_decode: 0.5,
        memory_gib: None,
        link_gb_per_s: None,
    };
    let prefills = [Prefill { prompt_tokens: 1000, progress: 0, new_tokens: 1000 }];
    let step_us = [Fp8Rule::Fp8WeightsOnly, Fp8Rule::AnyOneByteWeight].map(|rule| {
        let roofline = Roofline::new(&int8, &gpu, 1, &[0.0; 3], rule).expect("a valid model");
        roofline.step_time(&Batch { prefills: &prefills, ..Batch::default() }).as_us()
    });
    assert_eq!(step_us, [28_049, 7_012]);
}
