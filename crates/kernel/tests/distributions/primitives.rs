//! The primitive draws that all samplers are made of.

use crate::special::{exponential, normal};
use crate::{DRAWS, check_shape};
use blis_kernel::rng::GoRand;

/// So many steps per unit: fine enough that two draws rarely coincide.
const STEPS: f64 = 1e9;

fn check_real(name: &str, seed: i64, draw: impl Fn(&mut GoRand) -> f64, cdf: impl Fn(f64) -> f64) {
    let mut rng = GoRand::new(seed);
    let draws: Vec<i64> = (0..DRAWS).map(|_| (draw(&mut rng) * STEPS).floor() as i64).collect();
    check_shape(name, &draws, |k| cdf((k + 1.0) / STEPS));
}

#[test]
fn uniform_exponential_and_normal_draws_are_what_they_are_called() {
    for seed in [1, -5, i64::MAX] {
        check_real("uniform", seed, GoRand::float64, |x| x.clamp(0.0, 1.0));
        check_real("exponential", seed, GoRand::exp_float64, exponential);
        check_real("normal", seed, GoRand::norm_float64, normal);
    }
}

#[test]
fn bounded_draws_are_uniform() {
    for bound in [2, 7, 128_000, (1 << 30) + 1, 1 << 40] {
        let mut rng = GoRand::new(bound);
        let draws: Vec<i64> = (0..DRAWS).map(|_| rng.intn(bound)).collect();
        check_shape(&format!("below {bound}"), &draws, |k| ((k + 1.0) / bound as f64).clamp(0.0, 1.0));
    }
}

#[test]
fn every_place_of_a_permutation_gets_every_item() {
    let mut rng = GoRand::new(8);
    let places: Vec<i64> = (0..20_000).map(|_| rng.perm(10)[3] as i64).collect();
    check_shape("perm", &places, |k| ((k + 1.0) / 10.0).clamp(0.0, 1.0));
    let shuffled: Vec<i64> = (0..20_000)
        .map(|_| {
            let mut items: [i64; 10] = std::array::from_fn(|i| i as i64);
            rng.shuffle(&mut items);
            items[9]
        })
        .collect();
    check_shape("shuffle", &shuffled, |k| ((k + 1.0) / 10.0).clamp(0.0, 1.0));
}
