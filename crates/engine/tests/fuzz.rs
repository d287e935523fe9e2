//! Random scenarios, through the engine and through the naive instance: whatever can be seen must be the same.
//!
//! `BLIS_FUZZ_SCENARIOS` says how many (default 10,000), `BLIS_FUZZ_SEED` where to start. A failure prints its seed and
//! the smallest scenario of the same kind that was found.

mod common;
mod naive;

use blis_engine::{
    AdapterConfig, AdapterModel, BatchFormation, BlockKeys, Channel, CpuTierConfig, DeviceModel, Ended,
    Ending, HostConfig, InstanceConfig, OffloadConfig, OffloadTierConfig, OverheadTier, RankBalancing,
    RankConfig, Replica, Submission,
};
use blis_kernel::{RequestName, Semantics, Tick};
use blis_latency::LatencyModel;
use blis_policy::preemption::PreemptionKind;
use blis_policy::priority::SloTable;
use blis_policy::scheduling::SchedulerKind;
use common::{Fingerprint, Linear, Outcome, Scenario, ScenarioRequest};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A small generator of random numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize].clone()
    }
}

/// A scenario with the reading that it is run in.
#[derive(Clone, Debug)]
struct Case {
    scenario: Scenario,
    semantics: Semantics,
    /// Requests that may be submitted without keys, where nobody shares their first token.
    private: Vec<bool>,
}

fn semantics(dice: &mut Dice) -> Semantics {
    let (reference, corrected) = (Semantics::REFERENCE, Semantics::CORRECTED);
    let mixture = |dice: &mut Dice| Semantics {
        step_effects_at_start: dice.one_in(2),
        idle_steps_uncounted: dice.one_in(2),
        fully_cached_prompt_is_free: dice.one_in(2),
        reload_without_credit: dice.one_in(2),
        stale_index_delete: dice.one_in(2),
        waits_in_empty_steps: dice.one_in(2),
        regenerate_after_preemption: dice.one_in(2),
        ..corrected
    };
    match dice.between(0, 7) {
        0..=2 => reference,
        3..=5 => corrected,
        _ => mixture(dice),
    }
}

/// Prompts and answers. New tokens are never used twice by accident: what is repeated is repeated on purpose.
struct Texts {
    next_token: u32,
    families: Vec<Vec<u32>>,
    /// Earlier prompts with their answers.
    earlier: Vec<(Vec<u32>, Vec<u32>)>,
    block_tokens: i64,
    longest_prompt: i64,
    longest_answer: i64,
}

impl Texts {
    fn fresh(&mut self, count: i64) -> Vec<u32> {
        let first = self.next_token;
        self.next_token += count as u32;
        (first..self.next_token).collect()
    }

    fn length(&self, dice: &mut Dice, longest: i64) -> i64 {
        let n = dice.between(1, longest);
        if dice.one_in(3) { (n / self.block_tokens * self.block_tokens).max(1) } else { n }
    }

    fn draw(&mut self, dice: &mut Dice) -> (Vec<u32>, Vec<u32>) {
        let mut input = Vec::new();
        let mut output = None;
        match dice.between(0, 9) {
            0..=2 if !self.families.is_empty() => {
                let family = dice.pick(&self.families);
                let keep = dice.between(1, family.len() as i64) as usize;
                input.extend_from_slice(&family[..if dice.one_in(2) { family.len() } else { keep }]);
            }
            3..=5 if !self.earlier.is_empty() => {
                let (prompt, answer) = dice.pick(&self.earlier);
                input.extend(prompt);
                let keep = dice.between(0, answer.len() as i64) as usize;
                input.extend_from_slice(&answer[..if dice.one_in(2) { answer.len() } else { keep }]);
            }
            6 if !self.earlier.is_empty() => {
                let (prompt, answer) = dice.pick(&self.earlier);
                input.extend(prompt);
                if dice.one_in(2) {
                    output = Some(answer);
                }
            }
            7 if !self.earlier.is_empty() => {
                let (prompt, _) = dice.pick(&self.earlier);
                let keep = dice.between(1, prompt.len().max(1) as i64) as usize;
                input.extend_from_slice(&prompt[..keep.min(prompt.len())]);
            }
            _ => {}
        }
        if output.is_none() && (input.is_empty() || dice.one_in(2)) {
            let count = self.length(dice, self.longest_prompt);
            let tokens = self.fresh(count);
            input.extend(tokens);
        }
        let output = output.unwrap_or_else(|| {
            let count =
                if dice.one_in(8) { dice.between(0, 1) } else { self.length(dice, self.longest_answer) };
            self.fresh(count)
        });
        self.earlier.push((input.clone(), output.clone()));
        (input, output)
    }
}

fn case(seed: u64) -> Case {
    let mut dice = Dice(seed);
    let dice = &mut dice;
    let block_tokens =
        if dice.one_in(3) { dice.between(1, 32) } else { dice.pick(&[1, 2, 2, 3, 4, 4, 5, 8, 16]) };
    let longest_prompt = dice.pick(&[2, 1, 3, 5]) * block_tokens.max(3);
    let mut texts = Texts {
        next_token: 1000,
        families: Vec::new(),
        earlier: Vec::new(),
        block_tokens,
        longest_prompt,
        longest_answer: dice.pick(&[3, 10, 25]).max(block_tokens * dice.between(0, 2)),
    };
    for _ in 0..dice.between(0, 2) {
        let count = dice.between(1, 4 * block_tokens);
        let family = texts.fresh(count);
        texts.families.push(family);
    }
    let linear = dice.one_in(2);
    let latency: Arc<dyn LatencyModel> = if linear {
        let coarse = dice.pick(&[1.0, 10.0, 50.0]);
        Arc::new(Linear {
            alpha: [
                dice.pick(&[0.0, 0.0, 5.0, 10.0]),
                dice.pick(&[0.0, 0.0, 0.5, 1.0]),
                dice.pick(&[0.0, 3.0]),
            ],
            beta: [coarse, dice.pick(&[0.0, 1.0, 2.5]), dice.pick(&[0.0, 1.0, 10.0])],
            post_decode_us: dice.pick(&[0, 7]),
        })
    } else {
        Arc::new(Fingerprint {
            wants_decode_contexts: dice.one_in(2),
            spread_us: dice.pick(&[1, 5, 40, 200]),
        })
    };
    let adapters = dice.one_in(4).then(|| adapters(dice));
    let names_adapter = dice.pick(&[1, 2, 4]);
    let gap = dice.pick(&[0, 1, 10, 10, 50, 200]);
    let grid = dice.pick(&[1, 1, 10]);
    let classes = ["", "critical", "standard", "batch", "background"];
    let use_classes = dice.one_in(2);
    let use_deadlines = dice.one_in(3);
    let patience = dice.pick(&[10, 100, 1000]);
    let longest =
        if dice.one_in(4) { dice.between(2, longest_prompt * 2 + texts.longest_answer) as u64 } else { 0 };
    let use_budgets = dice.one_in(6);
    let mut arrival_us = 0;
    let mut requests = Vec::new();
    let count = dice.between(1, 12);
    for n in 0..count {
        arrival_us += dice.between(0, 2 * gap) / grid * grid;
        let (input, output) = texts.draw(dice);
        let max_output = match dice.between(0, 9) {
            _ if !use_budgets => 0,
            0 => -1,
            1..=4 => output.len() as i64,
            5 => dice.between(0, 60),
            _ => 0,
        };
        requests.push(ScenarioRequest {
            // In text order r10 comes before r9.
            id: format!("r{}", (n * 7 + 5) % 13),
            arrival_us,
            input,
            output,
            max_output,
            slo_class: if use_classes { dice.pick(&classes).to_owned() } else { String::new() },
            deadline_us: if use_deadlines && dice.one_in(2) {
                (arrival_us + dice.between(0, patience)) / grid * grid
            } else {
                0
            },
            adapter: match &adapters {
                Some(config) if dice.one_in(names_adapter) => {
                    Some(dice.between(0, config.adapters.len() as i64 - 1) as u32)
                }
                _ => None,
            },
        });
    }
    let largest =
        requests.iter().map(|r| r.input.len().div_ceil(block_tokens as usize)).max().unwrap_or(1) as i64;
    let total: i64 =
        requests.iter().map(|r| ((r.input.len() + r.output.len()) as i64) / block_tokens + 1).sum();
    let kv_blocks = match dice.between(0, 5) {
        0 => dice.between(1, largest),
        1 | 2 => dice.between(largest, largest + 3),
        3 => dice.between(largest, total.max(largest)),
        4 => total,
        _ => total * 3,
    } as u32;
    let cpu_tier = dice.one_in(4).then(|| CpuTierConfig {
        blocks: dice.between(1, 2 * total) as u32,
        bandwidth_tokens_per_us: dice.pick(&[0.3, 1.0, 100.0]),
        base_latency: Tick::from_us(dice.pick(&[0, 0, 13])),
    });
    let offload = (cpu_tier.is_none() && dice.one_in(3)).then(|| chain(dice, seed, total));
    let budget = dice.pick(&[1, 4, 10, 40, 100, 1000, 1000]);
    let semantics = semantics(dice);
    // Decoding requests stand still for prompts in the corrected reading only.
    let can_be_first = semantics == Semantics::CORRECTED;
    let scenario = Scenario {
        name: format!("seed {seed}"),
        batch_formation: if can_be_first && dice.one_in(2) {
            BatchFormation::PrefillFirst
        } else {
            BatchFormation::Mixed
        },
        kv_blocks,
        block_tokens: block_tokens as u32,
        max_num_seqs: dice.pick(&[1, 2, 3, 5, 100]),
        max_num_batched_tokens: dice.between(1, budget) as u32,
        long_prefill_token_threshold: if dice.one_in(3) {
            dice.between(1, 2 * block_tokens) as u32
        } else {
            0
        },
        max_model_len: longest,
        scheduler: dice.pick(&[
            SchedulerKind::Fcfs,
            SchedulerKind::Fcfs,
            SchedulerKind::PriorityFcfs,
            SchedulerKind::Sjf,
            SchedulerKind::ReversePriority,
        ]),
        preemption: dice.pick(&[PreemptionKind::Fcfs, PreemptionKind::Priority]),
        cpu_tier,
        offload,
        adapters,
        host: dice.one_in(3).then(|| HostConfig {
            front_end_workers: dice.pick(&[1, 1, 2, 5]),
            front_end_us: dice.pick(&[0.0, 1.0, 30.5]),
            front_end_us_per_token: dice.pick(&[0.0, 0.3, 5.0]),
            schedules_ahead: dice.one_in(2),
            recv_interval: dice.pick(&[1, 1, 2, 5, 30]),
            output_us_per_token: dice.pick(&[0.0, 0.0, 0.7, 4.0, 60.0]),
            stream_interval: dice.pick(&[1, 1, 3, 20]),
        }),
        horizon: if dice.one_in(4) { Tick::from_us(dice.between(1, 2000)) } else { Tick::MAX },
        latency,
        priorities: SloTable::default(),
        requests,
    };
    let privacy = dice.pick(&[1, 2, 1000]);
    let private = (0..count).map(|_| dice.one_in(privacy)).collect();
    Case { scenario, semantics, private }
}

/// Up to five adapters in fewer slots, with loads short and long compared with steps.
fn adapters(dice: &mut Dice) -> AdapterConfig {
    let count = dice.between(1, 5);
    let longest = dice.pick(&[1, 30, 500]);
    let tiers = dice.between(0, 3);
    AdapterConfig {
        capacity: dice.between(1, count) as u32,
        adapters: (0..count)
            .map(|n| AdapterModel {
                name: format!("a{n}"),
                rank: dice.pick(&[1, 8, 12, 16, 64]),
                load_time: Tick::from_us(dice.between(1, longest)),
            })
            .collect(),
        overhead: (0..tiers)
            .map(|n| OverheadTier { rank: 8 << n, per_adapter: dice.pick(&[0.0, 0.1, 1.5]) })
            .collect(),
    }
}

/// A chain with up to two devices whose transfers are short and long compared with steps, for prompts and answers of
/// `total` blocks.
fn chain(dice: &mut Dice, seed: u64, total: i64) -> OffloadConfig {
    let most = dice.pick(&[2, 4, total, 2 * total]).max(1);
    let tiers = (0..dice.between(0, 2))
        .map(|_| {
            let base_latency = Tick::from_us(dice.pick(&[0, 1, 13, 50, 500]));
            let channel = |dice: &mut Dice| Channel {
                bytes_per_us: dice.pick(&[0.1, 1.0, 10.0, 1000.0]),
                base_latency,
            };
            OffloadTierConfig {
                read_threads: dice.between(1, 3) as u32,
                write_threads: dice.between(1, 3) as u32,
                device: DeviceModel {
                    read: channel(dice),
                    write: channel(dice),
                    saturation_depth: dice.pick(&[0, 1, 2, 4]),
                    single_transfer_fraction: dice.pick(&[1.0, 0.3]),
                    jitter_stddev: dice.pick(&[0.0, 0.2, 2.0]),
                },
            }
        })
        .collect();
    OffloadConfig {
        cpu_blocks: dice.between(1, most) as u64,
        block_bytes: dice.pick(&[1, 100]),
        prompt_only: dice.one_in(2),
        seed: seed as i64,
        tiers,
    }
}

/// What the two make of a case differently, if anything.
fn difference(case: &Case) -> Option<String> {
    let (fast, naive) = (
        attempt(|| case.scenario.run(case.semantics, |r| case.private[r])),
        attempt(|| naive::run(&case.scenario, case.semantics).unwrap_or_else(|text| panic!("{text}"))),
    );
    match (fast, naive) {
        // Keys stand for tokens only block by block, so the engine may take two equal blocks of this kind for
        // different ones in its CPU tier.
        (Ok(_), Ok((_, true))) => None,
        (Ok(fast), Ok((naive, false))) => differences(&case.scenario, &fast, &naive)
            .or_else(|| waits_for_ever(case, &fast))
            .or_else(|| difference_of_ranks(case, &fast)),
        (fast, naive) => Some(format!("fast {:?}\nnaive {:?}", fast.err(), naive.err())),
    }
}

/// What a single rank makes of a case differently from an instance without ranks; or what goes wrong on several.
fn difference_of_ranks(case: &Case, without: &Outcome) -> Option<String> {
    if case.semantics.step_effects_at_start || case.semantics.waits_in_empty_steps {
        return None;
    }
    let on = |count, balancing| {
        let ranks = Some(RankConfig { count, balancing });
        attempt(|| case.scenario.run_on(ranks, case.semantics, |r| case.private[r]))
    };
    let alone = match on(1, RankBalancing::LeastLoaded) {
        Ok(alone) => differences(&case.scenario, without, &alone).map(|text| format!("a rank: {text}")),
        Err(text) => Some(format!("a rank panics {text}")),
    };
    let balancing = [RankBalancing::LeastLoaded, RankBalancing::RoundRobin];
    let several = |(count, balancing)| match on(count, balancing) {
        Ok(outcome) => {
            let is_lost =
                |(request, end): (&Option<Ended>, &Option<Ended>)| request.is_some() != end.is_some();
            let lost = without.ended.iter().zip(&outcome.ended).any(is_lost);
            lost.then(|| "ranks: requests are lost".to_owned()).or_else(|| waits_for_ever(case, &outcome))
        }
        Err(text) => Some(format!("ranks panic {text}")),
    };
    alone.or_else(|| (2..4).zip(balancing).find_map(several))
}

/// Requests that are left over although nothing ends the run. Only a request that waits with blocks of a refused
/// allocation (Q5, with a lower tier) may bring that about.
fn waits_for_ever(case: &Case, outcome: &Outcome) -> Option<String> {
    let has_lower_tier = case.scenario.cpu_tier.is_some() || case.scenario.offload.is_some();
    let is_excused = has_lower_tier && case.semantics.reload_without_credit;
    if case.scenario.horizon < Tick::MAX || is_excused {
        return None;
    }
    let left = |ending| matches!(ending, Ending::StillQueued | Ending::StillRunning | Ending::StillEntering);
    let waiting = outcome.ended.iter().flatten().find(|ended| left(ended.ending))?;
    Some(format!("waits for ever\n    {waiting:?}"))
}

/// What a run gives, or what its panic says.
fn attempt<T>(run: impl Fn() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Everything in which two outcomes differ, if anything.
fn differences(scenario: &Scenario, fast: &Outcome, naive: &Outcome) -> Option<String> {
    let mut found = Vec::new();
    for (r, (fast, naive)) in fast.ended.iter().zip(&naive.ended).enumerate() {
        if fast != naive {
            let id = &scenario.requests[r].id;
            found.push(format!("request\n    {id}\n    fast  {fast:?}\n    naive {naive:?}"));
        }
    }
    let mut compare = |what: &str, fast: String, naive: String| {
        if fast != naive {
            found.push(format!("{what}\n    fast  {fast}\n    naive {naive}"));
        }
    };
    compare("order of ends", format!("{:?}", fast.order), format!("{:?}", naive.order));
    compare("counters", format!("{:?}", fast.counters), format!("{:?}", naive.counters));
    compare("end", format!("{:?}", fast.sim_ended), format!("{:?}", naive.sim_ended));
    compare("hits, misses", format!("{:?}", fast.hits_and_misses), format!("{:?}", naive.hits_and_misses));
    compare("thrashing", fast.thrashing_rate.to_string(), naive.thrashing_rate.to_string());
    compare("offload", format!("{:?}", fast.offload), format!("{:?}", naive.offload));
    compare("adapters", format!("{:?}", fast.adapters), format!("{:?}", naive.adapters));
    compare("token latencies", format!("{:?}", fast.itl), format!("{:?}", naive.itl));
    compare("views", format!("{:?}", fast.views), format!("{:?}", naive.views));
    (!found.is_empty()).then(|| found.join("\n"))
}

/// Makes a failing case smaller as long as it still fails, and for a while.
fn shrink(mut case: Case) -> Case {
    // Its first line without figures.
    let kind = |difference: Option<String>| -> Option<String> {
        let line = difference?.lines().next().unwrap_or_default().to_owned();
        Some(line.chars().take_while(|c| !c.is_ascii_digit()).collect())
    };
    let wanted = kind(difference(&case));
    let began = std::time::Instant::now();
    loop {
        if began.elapsed().as_secs() > 60 {
            return case;
        }
        let smaller = smaller_cases(&case).into_iter().find(|smaller| kind(difference(smaller)) == wanted);
        match smaller {
            Some(smaller) => case = smaller,
            None => return case,
        }
    }
}

fn smaller_cases(case: &Case) -> Vec<Case> {
    let mut smaller = Vec::new();
    let count = case.scenario.requests.len();
    let mut offer = |change: &dyn Fn(&mut Case)| {
        let mut changed = case.clone();
        change(&mut changed);
        if format!("{changed:?}") != format!("{case:?}") {
            smaller.push(changed);
        }
    };
    for r in 0..count {
        offer(&|case| {
            case.scenario.requests.remove(r);
            case.private.remove(r);
        });
    }
    offer(&|case| case.scenario.horizon = Tick::MAX);
    offer(&|case| case.scenario.cpu_tier = None);
    offer(&|case| case.scenario.offload = None);
    offer(&|case| {
        case.scenario.adapters = None;
        case.scenario.requests.iter_mut().for_each(|request| request.adapter = None);
    });
    offer(&|case| {
        if let Some(chain) = &mut case.scenario.offload {
            chain.tiers.pop();
        }
    });
    offer(&|case| case.scenario.max_model_len = 0);
    offer(&|case| case.scenario.long_prefill_token_threshold = 0);
    offer(&|case| case.scenario.max_num_batched_tokens = 1000);
    offer(&|case| case.scenario.max_num_seqs = 100);
    offer(&|case| case.scenario.scheduler = SchedulerKind::Fcfs);
    offer(&|case| case.scenario.preemption = PreemptionKind::Fcfs);
    offer(&|case| case.private.fill(false));
    offer(&|case| case.semantics = Semantics::CORRECTED);
    offer(&|case| {
        case.semantics = Semantics::REFERENCE;
        case.scenario.batch_formation = BatchFormation::Mixed;
    });
    offer(&|case| {
        case.scenario.latency =
            Arc::new(Linear { alpha: [0.0; 3], beta: [10.0, 0.0, 0.0], post_decode_us: 0 });
    });
    for r in 0..count {
        offer(&|case| case.scenario.requests[r].deadline_us = 0);
        offer(&|case| case.scenario.requests[r].adapter = None);
        offer(&|case| case.scenario.requests[r].max_output = 0);
        offer(&|case| case.scenario.requests[r].slo_class.clear());
        offer(&|case| {
            let output = &mut case.scenario.requests[r].output;
            output.truncate(output.len() / 2);
        });
        offer(&|case| {
            case.scenario.requests[r].output.pop();
        });
        offer(&|case| {
            let input = &mut case.scenario.requests[r].input;
            if input.len() > 1 {
                input.pop();
            }
        });
    }
    smaller
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

#[test]
fn the_engine_does_what_the_naive_instance_does() {
    let (count, first) = (number("BLIS_FUZZ_SCENARIOS", 10_000), number("BLIS_FUZZ_SEED", 0));
    let found = AtomicBool::new(false);
    let search = |offset: u64| {
        for seed in (first + offset..first + count).step_by(2) {
            if found.load(Ordering::Relaxed) {
                return None;
            }
            if difference(&case(seed)).is_some() {
                found.store(true, Ordering::Relaxed);
                return Some(seed);
            }
        }
        None
    };
    let failed = std::thread::scope(|scope| {
        let other = scope.spawn(|| search(1));
        search(0).or(other.join().expect("a search"))
    });
    if let Some(seed) = failed {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let smallest = shrink(case(seed));
        panic::set_hook(hook);
        panic!("seed {seed}\n{}\n{smallest:#?}", difference(&smallest).unwrap_or_default());
    }
}

/// What the requests come to that arrive `shift` later than the scenario says: at a new instance, or at one that had the
/// same requests before and failed at `shift`.
fn later(case: &Case, ranks: Option<RankConfig>, shift: i64, had_others: bool) -> Vec<Ended> {
    let Scenario { requests, .. } = &case.scenario;
    let scenario =
        Scenario { horizon: case.scenario.horizon + Tick::from_us(shift), ..case.scenario.clone() };
    let config = InstanceConfig { ranks, ..scenario.config(case.semantics) };
    let mut instance = Replica::new(config, scenario.latency.clone());
    let send = |instance: &mut Replica, request: &ScenarioRequest, handle: usize, shift: i64| {
        let now = Tick::from_us(request.arrival_us + shift);
        scenario.run_before(instance, now);
        if now > scenario.horizon {
            return false;
        }
        let keys = common::block_keys(&request.input, &request.output, scenario.block_tokens);
        // Nobody else has the first token, and before the failure nobody had it either.
        let of_equals = |other: &&ScenarioRequest| other.tokens().next() == request.tokens().next();
        let is_private = !instance.needs_listed_keys() && requests.iter().filter(of_equals).count() == 1;
        instance.submit(
            now,
            Submission {
                handle: handle as u32,
                name: RequestName::text(&request.id),
                arrival: now,
                input_tokens: request.input.len() as u32,
                output_tokens: request.output.len() as u32,
                max_output_tokens: request.max_output,
                deadline: (request.deadline_us > 0).then(|| Tick::from_us(request.deadline_us + shift)),
                adapter: request.adapter,
                priority: scenario.priorities.priority(&request.slo_class),
                keys: if is_private { BlockKeys::Leading([].into()) } else { BlockKeys::Listed(keys) },
            },
        );
        true
    };
    let mut sent = 0;
    for request in requests.iter().filter(|request| had_others && request.arrival_us < shift) {
        sent += usize::from(send(&mut instance, request, requests.len() + sent, 0));
    }
    scenario.run_before(&mut instance, Tick::from_us(shift));
    if had_others {
        instance.fail(Tick::from_us(shift));
        assert_eq!(instance.drain_ended().count(), sent, "every request ends once");
        assert_eq!((instance.queue_depth(), instance.batch_size()), (0, 0));
        assert_eq!(instance.next_event_at(), Tick::MAX, "something is due at an instance without requests");
    }
    for (handle, request) in requests.iter().enumerate() {
        send(&mut instance, request, handle, shift);
    }
    scenario.run_before(&mut instance, Tick::MAX);
    let before = instance.drain_ended().collect::<Vec<_>>();
    // Who is left then is left at the instance's last event, which may be the end of somebody before the failure.
    instance.finish();
    let left: Vec<_> = instance.drain_ended().map(|ended| Ended { at: Tick::ZERO, ..ended }).collect();
    before.into_iter().chain(left).collect()
}

/// Law: whatever an instance had before it failed, afterwards it does what a new one does.
#[test]
fn an_instance_that_has_failed_is_like_a_new_one() {
    for seed in 0..number("BLIS_FUZZ_SCENARIOS", 2_000) {
        let mut case = case(seed);
        // The jitter of devices goes on where it was.
        for tier in case.scenario.offload.iter_mut().flat_map(|chain| &mut chain.tiers) {
            tier.device.jitter_stddev = 0.0;
        }
        let shift = Dice(seed ^ 0x5eed).between(1, 1_500);
        // Some readings have scenarios without an end.
        let Ok(new) = attempt(|| later(&case, None, shift, false)) else { continue };
        assert_eq!(new, later(&case, None, shift, true), "seed {seed}, failure at {shift}");
        if case.semantics == Semantics::CORRECTED {
            let ranks = Some(RankConfig { count: 2, balancing: RankBalancing::LeastLoaded });
            let new = later(&case, ranks, shift, false);
            assert_eq!(new, later(&case, ranks, shift, true), "seed {seed}, ranks, failure at {shift}");
        }
    }
}
