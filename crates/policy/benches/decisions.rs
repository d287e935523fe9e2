//! What one decision costs at 4, 64 and 512 instances: every router, and every scorer as the only one of the weighted router.
//! `cargo bench -p blis-policy` prints nanoseconds per decision, and per decision and instance at 512.

#![allow(clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use blis_kernel::{InstanceId, Semantics};
use blis_policy::registry::{SCORING_ROUTER, Scorers, Setup};
use blis_policy::routing::{LoadRule, Router};
use blis_policy::{Params, Registry};
use std::time::Instant;
use support::Fleet;

const SIZES: [usize; 3] = [4, 64, 512];
/// The quickest of so many rounds counts: others share the machine.
const ROUNDS: usize = 25;
/// Instances that are looked at in one round, over all decisions.
const WORK: usize = 1 << 20;

/// A busy cluster.
fn fleet(size: usize) -> Fleet {
    // A multiplicative hash gives figures without order.
    let figure = |salt: u32, most: u32| {
        move |i: usize| (i as u32 + 1).wrapping_mul(2_654_435_761).rotate_left(salt) % most
    };
    let column = |salt, most| (0..size).map(figure(salt, most)).collect::<Vec<_>>();
    Fleet {
        instances: (0..size as u32).map(InstanceId).collect(),
        queue_depth: column(3, 20),
        batch_size: column(7, 256),
        kv_utilization: column(11, 1000).into_iter().map(|share| f64::from(share) / 1000.0).collect(),
        in_flight: column(13, 300),
        cached: column(17, 8),
        adapter_resident: column(19, 2).into_iter().map(|half| half == 1).collect(),
    }
}

/// Nanoseconds of one decision.
fn time(fleet: &Fleet, router: &mut dyn Router) -> f64 {
    let keys: Vec<u64> = (0..32).collect();
    let view = fleet.view(512, &keys, LoadRule::InFlight);
    let decisions = WORK / fleet.instances.len();
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..decisions {
            std::hint::black_box(router.route(std::hint::black_box(&view)));
        }
        least = least.min(start.elapsed().as_nanos() as f64 / decisions as f64);
    }
    least
}

fn row(name: &str, make: &dyn Fn() -> Box<dyn Router>) {
    let [small, middle, large] = SIZES.map(|size| time(&fleet(size), &mut *make()));
    println!("| {name} | {small:.0} | {middle:.0} | {large:.0} | {:.2} |", large / SIZES[2] as f64);
}

fn setup<'a>(params: &'a Params, scorers: &'a Scorers) -> Setup<'a> {
    Setup { semantics: Semantics::CORRECTED, scorers, ..Setup::of(params) }
}

fn main() {
    let registry = Registry::built_in();
    println!("| policy | 4 instances, ns | 64, ns | 512, ns | ns per instance at 512 |");
    println!("|---|---|---|---|---|");
    for router in registry.routing.entries().iter().filter(|router| router.name != SCORING_ROUTER) {
        let configured = router.with_defaults();
        row(router.name, &|| (router.make)(&setup(&configured.params, &Scorers::new())));
    }
    let weighted = registry.routing.get(SCORING_ROUTER).expect("the router that takes scorers");
    let configured = weighted.with_defaults();
    for scorer in registry.scorers.entries() {
        let scorers: Scorers = vec![(scorer.with_defaults(), 1.0)];
        row(&format!("{} ({SCORING_ROUTER})", scorer.name), &|| {
            (weighted.make)(&setup(&configured.params, &scorers))
        });
    }
    let all: Scorers =
        registry.scorers.entries().iter().map(|scorer| (scorer.with_defaults(), 1.0)).collect();
    row(&format!("all {} scorers ({SCORING_ROUTER})", all.len()), &|| {
        (weighted.make)(&setup(&configured.params, &all))
    });
}
