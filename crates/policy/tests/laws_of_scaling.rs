//! Laws of autoscalers, tried on all that the registry has.

use blis_kernel::Tick;
use blis_policy::autoscaling::{Replica, Scaling, ScalingView, Variant};
use blis_policy::registry::MakeAutoscaler;
use blis_policy::{Entry, Registry, Setup};
use proptest::prelude::*;

/// What a new autoscaler of that kind, with its defaults, decides at time zero.
fn decide(entry: &Entry<MakeAutoscaler>, variants: &[Variant]) -> Option<Scaling> {
    let params = entry.with_defaults().params;
    (entry.make)(&Setup::of(&params)).decide(&ScalingView { now: Tick::ZERO, variants })
}

/// Replicas of which none has more than `most` requests waiting, nor more than that running.
fn replicas(most: u32) -> impl Strategy<Value = Vec<Replica>> {
    let replica = (0u64..200_000, 0.0f64..=1.0, 0..=most, 0..=most);
    let replica = replica.prop_map(|(capacity_tokens, used, queue_depth, running)| Replica {
        capacity_tokens,
        used_tokens: (capacity_tokens as f64 * used) as u64,
        queue_depth,
        in_flight: queue_depth + running,
    });
    prop::collection::vec(replica, 0..6)
}

/// Kinds of instances as the host lists them: those of which there are any, by cost.
fn fleets() -> impl Strategy<Value = Vec<Variant>> {
    let rows = (0u32..200).prop_flat_map(|most| {
        let variant = (replicas(most / 8), 0u32..4, 0u64..200_000);
        prop::collection::vec(variant, 0..4)
    });
    rows.prop_map(|rows| {
        let rows = rows.into_iter().filter(|(replicas, pending, _)| !replicas.is_empty() || *pending > 0);
        let variant = |(i, (replicas, pending, capacity)): (usize, (Vec<Replica>, u32, u64))| Variant {
            gpu: "H100".into(),
            tp: i as u32 + 1,
            cost_per_hour: 4.0 * (i + 1) as f64,
            replicas,
            pending_capacity_tokens: u64::from(pending) * capacity,
            pending,
            room: None,
        };
        rows.enumerate().map(variant).collect()
    })
}

proptest! {
    /// A change names a kind that exists, is a change, and takes away no more instances than there are.
    #[test]
    fn a_change_can_be_made(fleet in fleets()) {
        for entry in Registry::built_in().autoscalers.entries() {
            let Some(Scaling { variant, replicas }) = decide(entry, &fleet) else { continue };
            prop_assert!(variant < fleet.len() && replicas != 0, "{}: {replicas} of {variant}", entry.name);
            prop_assert!(-replicas <= fleet[variant].replicas.len() as i64, "{}: {replicas}", entry.name);
        }
    }

    /// The same fleet gets the same answer in every run.
    #[test]
    fn autoscalers_decide_the_same_in_every_run(fleet in fleets()) {
        for entry in Registry::built_in().autoscalers.entries() {
            prop_assert_eq!(decide(entry, &fleet), decide(entry, &fleet), "{}", entry.name);
        }
    }

    /// More to do on any instance of a fleet of one kind never brings fewer instances.
    #[test]
    fn more_to_do_never_brings_fewer_instances(
        replicas in (0u32..200).prop_flat_map(replicas).prop_filter("at least one", |replicas| !replicas.is_empty()),
        busier in any::<prop::sample::Index>(), more in 1u32..500, more_tokens in 0u64..100_000,
    ) {
        let fleet = |replicas: &[Replica]| [Variant {
            gpu: "H100".into(),
            tp: 1,
            cost_per_hour: 4.0,
            replicas: replicas.to_vec(),
            ..Variant::default()
        }];
        let mut loaded = replicas.clone();
        let replica = &mut loaded[busier.index(replicas.len())];
        replica.queue_depth += more;
        replica.in_flight += more;
        replica.used_tokens += more_tokens;
        for entry in Registry::built_in().autoscalers.entries() {
            let change = |replicas: &[Replica]| decide(entry, &fleet(replicas)).map_or(0, |scaling| scaling.replicas);
            prop_assert!(change(&replicas) <= change(&loaded), "{}", entry.name);
        }
    }
}

/// Without instances there is nothing to measure, and nothing changes.
#[test]
fn an_empty_fleet_stays_empty() {
    for entry in Registry::built_in().autoscalers.entries() {
        assert_eq!(decide(entry, &[]), None, "{}", entry.name);
    }
}
