//! Law: a stream is, draw for draw, the one that Go's `math/rand` gives for the same seed.

use blis_kernel::rng::{GoRand, first_draws, fnv1a_64, stream_seed};
use proptest::prelude::*;
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/rng/rng-vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn array<'a>(record: &'a Value, key: &str) -> &'a [Value] {
    record[key].as_array().unwrap_or_else(|| panic!("no array {key}"))
}

fn reals(record: &Value, key: &str) -> Vec<f64> {
    array(record, key).iter().map(real).collect()
}

fn real(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn integers(record: &Value, key: &str) -> Vec<i64> {
    array(record, key).iter().map(|v| v.as_i64().unwrap()).collect()
}

fn take<T>(record: &Value, key: &str, mut draw: impl FnMut() -> T) -> Vec<T> {
    (0..array(record, key).len()).map(|_| draw()).collect()
}

#[test]
fn every_recorded_stream_is_reproduced() {
    let vectors = vectors();
    for record in array(&vectors, "streams") {
        let name = record["subsystem"].as_str().unwrap();
        let seed = stream_seed(record["master_seed"].as_i64().unwrap(), name);
        assert_eq!(format!("{:016x}", fnv1a_64(name)), record["fnv1a64_hex"].as_str().unwrap());
        assert_eq!(seed, record["derived_seed"].as_i64().unwrap());
        let fresh = || GoRand::new(seed);

        let mut r = fresh();
        let expected: Vec<u64> =
            array(record, "uint64").iter().map(|v| v.as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(take(record, "uint64", || r.next_u64()), expected);
        let mut r = fresh();
        assert_eq!(take(record, "int63", || r.int63()), integers(record, "int63"));
        let mut r = fresh();
        assert_eq!(take(record, "intn_128000", || r.intn(128_000)), integers(record, "intn_128000"));
        let mut r = fresh();
        assert_eq!(take(record, "intn_7", || r.intn(7)), integers(record, "intn_7"));
        let mut r = fresh();
        assert_eq!(take(record, "float64", || r.float64()), reals(record, "float64"));
        let mut r = fresh();
        assert_eq!(take(record, "normfloat64", || r.norm_float64()), reals(record, "normfloat64"));
        let mut r = fresh();
        assert_eq!(take(record, "expfloat64", || r.exp_float64()), reals(record, "expfloat64"));
        let perm: Vec<i64> = fresh().perm(8).into_iter().map(|i| i as i64).collect();
        assert_eq!(perm, integers(record, "perm_8"));
        let mut items: Vec<i64> = (0..8).collect();
        fresh().shuffle(&mut items);
        assert_eq!(items, integers(record, "shuffle_8"));
    }
}

#[test]
fn long_runs_reproduce_every_branch_of_the_ziggurats() {
    let vectors = vectors();
    for record in array(&vectors, "long_runs") {
        let seed = record["derived_seed"].as_i64().unwrap();
        let draws = record["draws"].as_u64().unwrap();
        let sum_and_last = |draw: fn(&mut GoRand) -> f64| {
            let mut r = GoRand::new(seed);
            (0..draws).fold((0.0, 0.0), |(sum, _), _| {
                let x = draw(&mut r);
                (sum + x, x)
            })
        };
        let normal = (real(&record["sum_normfloat64"]), real(&record["last_normfloat64"]));
        assert_eq!(sum_and_last(GoRand::norm_float64), normal);
        let exponential = (real(&record["sum_expfloat64"]), real(&record["last_expfloat64"]));
        assert_eq!(sum_and_last(GoRand::exp_float64), exponential);
        let mut r = GoRand::new(seed);
        let xor = (0..draws).fold(0, |xor, _| xor ^ r.next_u64());
        assert_eq!(xor.to_string(), record["xor_uint64"].as_str().unwrap());
    }
}

#[test]
fn the_router_stream_of_seed_42_is_as_recorded() {
    let fresh = || GoRand::new(stream_seed(42, "router"));
    assert_eq!(stream_seed(42, "router"), -6_855_704_586_828_941_970);
    let mut r = fresh();
    let got: Vec<i64> = (0..4).map(|_| r.int63()).collect();
    assert_eq!(
        got,
        [
            2_209_865_534_360_810_960,
            8_005_449_091_104_485_856,
            4_229_094_246_506_554_210,
            3_835_156_131_247_233_343
        ]
    );
    let check = |n: i64, expected: [i64; 20]| {
        let mut r = fresh();
        assert_eq!((0..20).map(|_| r.intn(n)).collect::<Vec<_>>(), expected);
    };
    check(2, [0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
    check(3, [0, 1, 2, 0, 2, 2, 0, 2, 2, 0, 1, 1, 1, 1, 2, 0, 0, 1, 2, 1]);
    check(4, [2, 0, 3, 2, 3, 3, 0, 3, 3, 2, 1, 0, 0, 0, 0, 0, 3, 1, 2, 0]);
}

#[test]
fn named_streams_hash_and_draw_as_recorded() {
    for (name, hash) in [
        ("router", 0xa0db_a500_590b_7544_u64),
        ("prefill-router", 0x7720_9384_4d7e_2a73),
        ("decode-router", 0x4d3b_d9c9_10bb_7c57),
        ("node-provisioning", 0x44d4_862e_01a3_7c89),
        ("instance-loading", 0xaaf6_a2f4_9c47_890f),
        ("autoscaler", 0xae1c_99c1_5eab_5792),
        ("workload-gen", 0x623e_21a6_896f_c55f),
        ("kv-offload", 0x4f31_b311_fd7d_4af4),
    ] {
        assert_eq!(fnv1a_64(name), hash, "{name}");
    }
    let mut r = GoRand::new(stream_seed(42, "instance-loading"));
    for expected in
        [0.625_101_800_965_349_3, -0.545_249_793_862_317_3, -0.346_084_588_263_831_5, 1.334_660_941_678_680_3]
    {
        assert_eq!(r.norm_float64(), expected);
    }
    let mut r = GoRand::new(stream_seed(42, "autoscaler"));
    for expected in [-0.052_562_398_973_599_045, 2.331_184_068_450_083_3, 0.740_048_388_962_983_6] {
        assert_eq!(r.norm_float64(), expected);
    }
}

proptest! {
    /// Law: skipping draws leaves the stream where making them does, whatever share of values is rejected.
    #[test]
    fn skipping_equals_drawing(
        seed: i64,
        before in 0usize..700,
        count in 0usize..3_000,
        n in prop_oneof![Just(128_000i64), Just(7), Just(4_096), Just((1 << 30) + 1), Just(i64::from(i32::MAX))],
    ) {
        let mut drawn = GoRand::new(seed);
        for _ in 0..before {
            drawn.next_u64();
        }
        let mut skipped = drawn.clone();
        let mut filled = drawn.clone();
        let values: Vec<u32> = (0..count).map(|_| drawn.intn(n) as u32).collect();
        skipped.skip_intn(n, count);
        prop_assert_eq!(&drawn, &skipped);
        let mut out = vec![0; count];
        filled.fill_intn(n, &mut out);
        prop_assert_eq!(values, out);
        prop_assert_eq!(&drawn, &filled);
    }

    /// Law: the first draws are the first draws.
    #[test]
    fn first_draws_need_no_generator(seed: i64, count in 0usize..700) {
        let mut rng = GoRand::new(seed);
        let drawn: Vec<i64> = (0..count).map(|_| rng.int63()).collect();
        prop_assert_eq!(first_draws(seed, count), drawn);
    }

    /// Law: a bounded draw lies below its bound, beyond 31 bits too.
    #[test]
    fn a_bounded_draw_stays_below_its_bound(seed: i64, n in 1i64..) {
        let mut r = GoRand::new(seed);
        prop_assert!((0..20).all(|_| (0..n).contains(&r.intn(n))));
    }
}
