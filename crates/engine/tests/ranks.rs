//! Data-parallel ranks: what each has by itself, what they share, and that they step together.
//!
//! That a single rank is an instance, event for event, and that nobody is lost or waits for ever on several is held against
//! random scenarios in `fuzz.rs`.

mod common;

use blis_engine::{
    BlockKeys, CpuTierConfig, Ended, Ending, HostConfig, Instance, InstanceConfig, RankBalancing, RankConfig,
    Ranks, Replica, Submission, WarmUp,
};
use blis_kernel::{RequestName, Semantics, Tick};
use common::{Linear, Scenario};
use std::sync::Arc;

const ALIKE: [u64; 4] = [11, 12, 13, 14];

/// So many ranks whose waves take 100 µs and 1 µs per prompt token on any of them.
fn config(count: u32) -> InstanceConfig {
    let ranks = Some(RankConfig { count, balancing: RankBalancing::LeastLoaded });
    InstanceConfig { ranks, ..Scenario::plain(latency()).config(Semantics::CORRECTED) }
}

fn in_turn(config: InstanceConfig) -> InstanceConfig {
    let ranks = config.ranks.map(|ranks| RankConfig { balancing: RankBalancing::RoundRobin, ..ranks });
    InstanceConfig { ranks, ..config }
}

fn latency() -> Arc<Linear> {
    Arc::new(Linear { alpha: [0.0; 3], beta: [100.0, 1.0, 0.0], post_decode_us: 0 })
}

fn start(config: InstanceConfig) -> Replica {
    Replica::new(config, latency())
}

fn ranks(replica: &Replica) -> &Ranks {
    let Replica::Ranks(ranks) = replica else { panic!("an instance with ranks") };
    ranks
}

fn us(us: i64) -> Tick {
    Tick::from_us(us)
}

fn request(handle: u32, at: i64, input_tokens: u32, output_tokens: u32) -> Submission {
    Submission {
        handle,
        name: RequestName::Indexed(handle.into()),
        arrival: us(at),
        input_tokens,
        output_tokens,
        max_output_tokens: 0,
        deadline: None,
        adapter: None,
        priority: 0,
        keys: BlockKeys::Leading([].into()),
    }
}

/// Sends requests of (µs, prompt, answer) tokens when they come, and plays to the end. Who ended, by handle.
fn play(replica: &mut Replica, requests: &[(i64, u32, u32)]) -> Vec<Ended> {
    for (handle, &(at, input, output)) in requests.iter().enumerate() {
        replica.run_before(us(at), false);
        replica.submit(us(at), request(handle as u32, at, input, output));
    }
    to_the_end(replica)
}

fn to_the_end(replica: &mut Replica) -> Vec<Ended> {
    replica.run_before(Tick::MAX, false);
    assert!(!replica.is_deadlocked());
    let mut ended: Vec<Ended> = replica.drain_ended().collect();
    ended.sort_by_key(|end| end.handle);
    ended
}

fn ttfts(ended: &[Ended]) -> Vec<i64> {
    ended.iter().map(|end| end.ttft.expect("a first token").as_us()).collect()
}

#[test]
fn a_request_that_comes_to_an_idle_rank_waits_for_the_wave() {
    let ended = play(&mut start(config(2)), &[(0, 10, 5), (30, 10, 5)]);
    // The first wave is 0..110; the second has the other's prompt, 110..220, and both go on together.
    assert_eq!(ttfts(&ended), [110, 220 - 30]);
    assert_eq!(ended[0].at, us(110 + 110 + 3 * 100));
    assert_eq!(ended[1].at, us(220 + 4 * 100));
}

#[test]
fn a_long_prompt_on_one_rank_slows_the_tokens_of_all() {
    let mut replica = start(config(2));
    play(&mut replica, &[(0, 10, 6), (150, 700, 1)]);
    let itl: Vec<_> =
        replica.take_inter_token_latencies().counts().map(|(itl, n)| (itl.as_us(), n)).collect();
    assert_eq!(itl, [(100, 4), (800, 1)]);
}

#[test]
fn ranks_share_no_prefix_cache_and_the_gateway_sees_what_any_of_them_has() {
    let hits = |config| {
        let mut replica = start(config);
        replica.keep_index_journal();
        for handle in 0..2 {
            let at = 1_000_000 * i64::from(handle);
            replica.run_before(us(at), false);
            replica.submit(
                us(at),
                Submission { keys: BlockKeys::Listed(ALIKE.into()), ..request(handle as u32, at, 64, 1) },
            );
        }
        replica.run_before(Tick::MAX, false);
        let mut changes = 0;
        replica.drain_index_journal(|_| changes += 1);
        assert_eq!(changes, 4, "a key is there once, on however many ranks");
        replica.cache_hits_and_misses().0
    };
    assert_eq!(hits(in_turn(config(1))), 3, "the last block of a prompt is never taken from the cache");
    assert_eq!(hits(in_turn(config(2))), 0, "the other rank has never seen the prompt");
    assert_eq!(hits(config(2)), 3, "both are idle, so both requests come to the first");
}

#[test]
fn limits_and_blocks_are_those_of_a_rank() {
    let narrow = InstanceConfig { max_num_seqs: 1, kv_blocks: 4, ..config(2) };
    let mut replica = start(narrow);
    assert_eq!((replica.kv_blocks(), replica.kv_blocks_of_a_rank(), replica.kv_tokens()), (8, 4, 128));
    let ended = play(&mut replica, &[(0, 40, 2), (0, 40, 2), (0, 40, 2), (0, 80, 2)]);
    let endings: Vec<_> = ended.iter().map(|end| end.ending).collect();
    use Ending::{Completed, Unservable};
    assert_eq!(endings, [Completed, Completed, Completed, Unservable], "no rank holds 80 tokens");
    assert_eq!(ttfts(&ended[..3])[..2], [180, 180], "one on each rank");
    assert_eq!(ended[2].ttft, Some(us(280 + 140)), "the third waits for a place");
    assert_eq!(replica.counters().steps, 4, "waves of all ranks");
    assert_eq!(replica.counters().peak_kv_blocks, 6);
}

#[test]
fn cpu_memory_below_the_gpus_is_shared_out() {
    let evicted = |count| {
        let tier = CpuTierConfig { blocks: 4, bandwidth_tokens_per_us: 1.0, base_latency: Tick::ZERO };
        let mut replica = start(InstanceConfig { cpu_tier: Some(tier), ..config(count) });
        replica.submit(us(0), Submission { keys: BlockKeys::Listed(ALIKE.into()), ..request(0, 0, 64, 1) });
        replica.run_before(Tick::MAX, false);
        replica.kv_thrashing_rate()
    };
    assert_eq!([1, 2, 4].map(evicted), [0.0, 0.5, 0.75], "of four blocks that are copied down");
}

#[test]
fn each_rank_gets_its_share_of_a_balanced_load() {
    for config in [config(4), in_turn(config(4))] {
        let mut replica = start(config);
        for handle in 0..12 {
            replica.submit(us(0), request(handle, 0, 10, 50));
        }
        replica.run_before(us(1000), false);
        let running: Vec<_> = ranks(&replica).ranks().iter().map(Instance::batch_size).collect();
        assert_eq!(running, [3, 3, 3, 3]);
        assert_eq!(replica.batch_size(), 12);
    }
}

#[test]
fn the_least_loaded_rank_gets_the_next_request_and_turns_do_not_look() {
    let who_gets_it = |config| {
        let mut replica = start(config);
        // The long answer stays on the first rank; the short one leaves the second.
        let requests = [(0, 10, 100), (0, 10, 1), (1_000, 10, 100)];
        for (handle, &(at, input, output)) in requests.iter().enumerate() {
            replica.run_before(us(at), false);
            replica.submit(us(at), request(handle as u32, at, input, output));
        }
        replica.run_before(us(2_000), false);
        let running: Vec<_> = ranks(&replica).ranks().iter().map(Instance::batch_size).collect();
        running
    };
    assert_eq!(who_gets_it(config(2)), [1, 1]);
    assert_eq!(who_gets_it(in_turn(config(2))), [2, 0]);
}

#[test]
fn all_ranks_are_behind_one_front_end() {
    let host = HostConfig {
        front_end_workers: 1,
        front_end_us: 1000.0,
        front_end_us_per_token: 0.0,
        schedules_ahead: false,
        recv_interval: 1,
        output_us_per_token: 0.0,
        stream_interval: 1,
    };
    let ended = play(&mut start(InstanceConfig { host: Some(host), ..config(2) }), &[(0, 10, 1), (0, 10, 1)]);
    assert_eq!(ttfts(&ended), [1110, 2110]);
}

#[test]
fn a_reservation_is_made_on_a_rank_that_has_room_and_given_back_there() {
    let mut replica = start(InstanceConfig { kv_blocks: 4, ..config(2) });
    let reserve = |replica: &mut Replica, handle| replica.reserve(request(handle, 0, 64, 1), false);
    let first = reserve(&mut replica, 0).expect("room");
    let second = reserve(&mut replica, 1).expect("room on the other rank");
    assert_eq!(reserve(&mut replica, 2), None, "both are full");
    assert!((replica.kv_utilization() - 1.0).abs() < 1e-12);
    replica.cancel(us(5), second);
    let third = reserve(&mut replica, 2).expect("room again");
    replica.enter_reserved(us(10), third);
    replica.enter_reserved(us(20), first);
    let ended = to_the_end(&mut replica);
    assert_eq!(ended.iter().map(|end| end.handle).collect::<Vec<_>>(), [0, 2]);
    // The last token of each prompt is computed here: the one of rank 1 first.
    assert_eq!(ttfts(&ended), [111 + 101, 111]);
}

#[test]
fn ranks_fail_together_and_begin_anew() {
    let mut replica = start(config(2));
    for handle in 0..4 {
        replica.submit(us(0), request(handle, 0, 10, 50));
    }
    replica.run_before(us(500), false);
    replica.fail(us(500));
    assert_eq!(replica.drain_ended().filter(|end| end.ending == Ending::Lost).count(), 4);
    assert_eq!((replica.next_event_at(), replica.kv_utilization()), (Tick::MAX, 0.0));
    replica.submit(us(600), request(4, 600, 10, 2));
    assert_eq!(ttfts(&to_the_end(&mut replica)), [110]);
    replica.finish();
}

#[test]
fn requests_are_taken_away_from_whichever_rank_has_them() {
    let mut replica = start(InstanceConfig { max_num_seqs: 1, ..config(2) });
    for handle in 0..4 {
        replica.submit(us(0), request(handle, 0, 10, 50));
    }
    replica.run_before(us(500), false);
    assert!(replica.evict(us(500), 1) && replica.evict(us(500), 2) && !replica.evict(us(500), 9));
    assert_eq!((replica.batch_size(), replica.queue_depth()), (1, 1));
    replica.redirect_queue(us(500));
    let gone: Vec<_> = replica.drain_ended().map(|end| (end.handle, end.ending)).collect();
    assert_eq!(gone, [(1, Ending::Evicted), (2, Ending::Evicted), (3, Ending::Redirected)]);
    assert_eq!(to_the_end(&mut replica).len(), 1);
    replica.finish();
}

#[test]
fn the_first_requests_of_an_instance_warm_it_up_and_slowness_is_of_all_ranks() {
    let mut replica = start(config(2));
    replica.begin_warm_up(WarmUp { requests: 1, factor: 3.0 });
    let ended = play(&mut replica, &[(0, 10, 1), (10_000, 10, 1), (10_000, 10, 1)]);
    assert_eq!(ttfts(&ended), [330, 120, 120], "one cold request, then one on each rank");
    replica.set_slowness(2.0);
    assert_eq!(ttfts(&play(&mut replica, &[(20_000, 10, 1)])), [220]);
}

#[test]
fn what_is_left_at_the_horizon_ends_as_what_it_is_doing() {
    let mut replica = start(InstanceConfig { max_num_seqs: 1, horizon: us(150), ..config(2) });
    for handle in 0..3 {
        replica.submit(us(0), request(handle, 0, 10, 50));
    }
    replica.run_before(Tick::MAX, false);
    assert_eq!(replica.finish(), us(120));
    let mut endings: Vec<_> = replica.drain_ended().map(|end| (end.handle, end.ending, end.at)).collect();
    endings.sort_by_key(|end| end.0);
    use Ending::{StillQueued, StillRunning};
    assert_eq!(endings, [(0, StillRunning, us(120)), (1, StillRunning, us(120)), (2, StillQueued, us(120))]);
}
