//! Laws that every policy of an axis keeps, whichever it is: they are tried on all that the registry has, so that a new one
//! is tried too.

mod support;

use blis_kernel::{InstanceId, Tick};
use blis_policy::Registry;
use blis_policy::admission::{AdmissionView, Decision};
use blis_policy::encode::EncodeView;
use blis_policy::flow_control::BandView;
use blis_policy::registry::{SCORING_ROUTER, Scorers, Setup};
use blis_policy::routing::LoadRule;
use proptest::prelude::*;
use support::Fleet;

/// Instances that are nearly idle, half busy or full, all of a fleet alike.
fn fleets() -> impl Strategy<Value = Fleet> {
    let instance = (0.0f64..50.0, 0.0f64..257.0, 0.0f64..=1.0, 0.0f64..300.0, 0u32..8, any::<bool>());
    let level = prop::sample::select(vec![0.02, 0.1, 1.0]);
    (level, prop::collection::vec(instance, 1..12)).prop_map(|(level, rows)| Fleet {
        instances: (0..rows.len() as u32).map(InstanceId).collect(),
        queue_depth: rows.iter().map(|row| (row.0 * level) as u32).collect(),
        batch_size: rows.iter().map(|row| (row.1 * level) as u32).collect(),
        kv_utilization: rows.iter().map(|row| row.2 * level).collect(),
        in_flight: rows.iter().map(|row| (row.3 * level) as u32).collect(),
        cached: rows.iter().map(|row| row.4).collect(),
        adapter_resident: rows.iter().map(|row| row.5).collect(),
    })
}

proptest! {
    /// A router chooses one of the candidates, and the same one in every run.
    #[test]
    fn routers_choose_a_candidate_and_always_the_same(fleets in prop::collection::vec(fleets(), 1..8)) {
        let registry = Registry::built_in();
        let scorers: Scorers =
            registry.scorers.entries().iter().map(|scorer| (scorer.with_defaults(), 1.0)).collect();
        for router in registry.routing.entries() {
            let params = router.with_defaults().params;
            let setup = Setup { scorers: &scorers, ..Setup::of(&params) };
            let (mut first, mut second) = ((router.make)(&setup), (router.make)(&setup));
            for fleet in &fleets {
                let keys: Vec<u64> = (0..8).collect();
                let view = fleet.view(128, &keys, setup.load());
                let choice = first.route(&view);
                prop_assert!(choice.0 < view.len(), "{} chose {}", router.name, choice.0);
                prop_assert_eq!(choice, second.route(&view), "{}", router.name);
            }
        }
    }

    /// A scorer gives every candidate a share, 0 to 1.
    #[test]
    fn scores_are_shares(fleets in prop::collection::vec(fleets(), 1..8), blocks in 0u64..9) {
        for scorer in Registry::built_in().scorers.entries() {
            let params = scorer.with_defaults().params;
            let mut made = (scorer.make)(&Setup::of(&params));
            for fleet in &fleets {
                let keys: Vec<u64> = (0..blocks).collect();
                let cached = fleet.cached.iter().map(|&cached| cached.min(blocks as u32)).collect();
                let fleet = Fleet { cached, ..fleet.clone() };
                let view = fleet.view(128, &keys, LoadRule::InFlight);
                let mut scores = vec![f64::NAN; view.len()];
                made.score(&view, &mut scores);
                prop_assert!(
                    scores.iter().all(|score| (0.0..=1.0).contains(score)),
                    "{}: {scores:?}", scorer.name
                );
                made.observe(&view.request, view.instances[0]);
            }
        }
    }

    /// An instance that gets fuller never scores more.
    #[test]
    fn a_fuller_instance_never_scores_more(fleet in fleets(), which in any::<prop::sample::Index>(), more in 1u32..50) {
        let at = which.index(fleet.instances.len());
        let fuller = fleet.with_more_at(at, more);
        for scorer in Registry::built_in().scorers.entries() {
            let params = scorer.with_defaults().params;
            let score = |fleet: &Fleet| {
                let mut scores = vec![f64::NAN; fleet.instances.len()];
                let view = fleet.view(128, &[1, 2, 3, 4, 5, 6, 7, 8], LoadRule::QueuePlusBatchPlusInFlight);
                (scorer.make)(&Setup::of(&params)).score(&view, &mut scores);
                scores[at]
            };
            prop_assert!(score(&fleet) >= score(&fuller), "{}", scorer.name);
        }
    }

    /// Scorers alone decide: multiplying all weights by a power of two changes no choice.
    #[test]
    fn a_common_scale_of_weights_changes_no_choice(fleet in fleets(), scale in -8i32..8) {
        let registry = Registry::built_in();
        let router = registry.routing.get(SCORING_ROUTER).unwrap().with_defaults();
        let choice = |weight: f64| {
            let all = registry.scorers.entries().iter();
            let scorers: Scorers = all.map(|scorer| (scorer.with_defaults(), weight)).collect();
            let setup = Setup { scorers: &scorers, ..Setup::of(&router.params) };
            (router.entry.make)(&setup).route(&fleet.view(128, &[1, 2, 3], LoadRule::InFlight))
        };
        prop_assert_eq!(choice(1.0), choice(2.0_f64.powi(scale)));
    }

    /// Admission decides the same in every run, and says why it refuses.
    #[test]
    fn admission_is_the_same_in_every_run(fleet in fleets(), requests in prop::collection::vec((0i64..9_000, 1u32..5_000, -3i32..5), 1..30)) {
        for policy in Registry::built_in().admission.entries() {
            let params = policy.with_defaults().params;
            let decide = || {
                let mut made = (policy.make)(&Setup::of(&params));
                let mut now = 0;
                let decisions = requests.iter().map(|&(wait, input_tokens, slo_rank)| {
                    now += wait;
                    let view = AdmissionView { now: Tick::from_us(now), ..fleet.at_the_gate(input_tokens, slo_rank) };
                    let decision = made.admit(&view);
                    (decision, if decision == Decision::Reject { made.reason().into_owned() } else { String::new() })
                });
                decisions.collect::<Vec<_>>()
            };
            let decisions = decide();
            for (decision, reason) in &decisions {
                prop_assert!(*decision == Decision::Admit || !reason.is_empty(), "{} gives no reason", policy.name);
            }
            prop_assert_eq!(&decisions, &decide(), "{}", policy.name);
        }
    }

    /// A more important request is let in wherever a less important one is, and into emptier instances whatever is let
    /// into fuller ones.
    #[test]
    fn importance_and_room_never_turn_a_request_away(
        fleet in fleets(), which in any::<prop::sample::Index>(), more in 1u32..50,
        input_tokens in 1u32..20_000, rank in -5i32..5, above in 0i32..5,
    ) {
        let fuller = fleet.with_more_at(which.index(fleet.instances.len()), more);
        for policy in Registry::built_in().admission.entries() {
            let params = policy.with_defaults().params;
            let admits = |fleet: &Fleet, rank| {
                let view = fleet.at_the_gate(input_tokens, rank);
                (policy.make)(&Setup::of(&params)).admit(&view) == Decision::Admit
            };
            prop_assert!(admits(&fleet, rank) <= admits(&fleet, rank + above), "{}: importance", policy.name);
            prop_assert!(admits(&fuller, rank) <= admits(&fleet, rank), "{}: room", policy.name);
        }
    }

    /// Saturation is a finite number of at least 0 that never falls when an instance gets fuller.
    #[test]
    fn saturation_never_falls_when_an_instance_gets_fuller(
        fleet in fleets(), which in any::<prop::sample::Index>(), more in 1u32..50,
    ) {
        let fuller = fleet.with_more_at(which.index(fleet.instances.len()), more);
        for detector in Registry::built_in().saturation.entries() {
            let params = detector.with_defaults().params;
            let saturation = |fleet: &Fleet| {
                (detector.make)(&Setup::of(&params)).saturation(&fleet.as_seen_by_detectors())
            };
            let (before, after) = (saturation(&fleet), saturation(&fuller));
            prop_assert!(before >= 0.0 && before <= after && after.is_finite(), "{}", detector.name);
        }
    }

    /// Ceilings lie between 0 and 1, and none is above that of a more important band.
    #[test]
    fn ceilings_never_rise_with_less_importance(saturation in 0.0f64..2.0, ranks in prop::collection::btree_set(-100i32..100, 1..8)) {
        let bands: Vec<i32> = ranks.into_iter().rev().collect();
        for limit in Registry::built_in().usage_limits.entries() {
            let params = limit.with_defaults().params;
            let mut ceilings = vec![f64::NAN; bands.len()];
            (limit.make)(&Setup::of(&params)).ceilings(saturation, &bands, &mut ceilings);
            prop_assert!(ceilings.iter().all(|ceiling| (0.0..=1.0).contains(ceiling)), "{}: {ceilings:?}", limit.name);
            prop_assert!(ceilings.iter().rev().is_sorted(), "{}: {ceilings:?}", limit.name);
        }
    }

    /// A flow that waits is served before everybody else was served twice as often as there are flows.
    #[test]
    fn every_tenant_that_waits_is_served(tenants in prop::collection::btree_set(0u32..50, 1..9)) {
        let tenants: Vec<u32> = tenants.into_iter().collect();
        for fairness in Registry::built_in().fairness.entries() {
            let params = fairness.with_defaults().params;
            let mut made = (fairness.make)(&Setup::of(&params));
            // Whoever is served joins anew, behind everybody else.
            let mut joined: Vec<u64> = (0..tenants.len() as u64).collect();
            let mut served = vec![0; tenants.len()];
            for turn in 0..2 * tenants.len() as u64 {
                let flow = made.choose(&BandView { band: 0, tenants: &tenants, first_joined: &joined });
                served[flow] += 1;
                joined[flow] = tenants.len() as u64 + turn;
            }
            prop_assert!(served.iter().all(|&times| times == 2), "{}: {served:?}", fairness.name);
        }
    }

    /// A decider never splits an empty prompt, unless it splits everything.
    #[test]
    fn empty_prompts_stay_whole(fleet in fleets()) {
        for decider in Registry::built_in().deciders.entries().iter().filter(|decider| decider.name != "always") {
            let params = decider.with_defaults().params;
            let splits = (decider.make)(&Setup::of(&params)).splits(&fleet.prompt(&fleet, 0));
            prop_assert!(!splits, "{}", decider.name);
        }
    }

    /// A decider decides the same in every run. One more request that waits for decode never turns a split away, one
    /// more for prefill never brings one.
    #[test]
    fn queues_pull_deciders_in_one_direction_each(
        prefill in fleets(), decode in fleets(), which in any::<prop::sample::Index>(), more in 1u32..50,
        prompts in prop::collection::vec(0u32..2_000, 1..20),
    ) {
        let more_prefill = prefill.with_more_at(which.index(prefill.instances.len()), more);
        let more_decode = decode.with_more_at(which.index(decode.instances.len()), more);
        for decider in Registry::built_in().deciders.entries() {
            let params = decider.with_defaults().params;
            let decide = |prefill: &Fleet, decode: &Fleet| {
                let mut made = (decider.make)(&Setup::of(&params));
                prompts.iter().map(|&tokens| made.splits(&decode.prompt(prefill, tokens))).collect::<Vec<_>>()
            };
            let decisions = decide(&prefill, &decode);
            let never_less = |less: &[bool], more: &[bool]| less.iter().zip(more).all(|(less, more)| less <= more);
            prop_assert_eq!(&decisions, &decide(&prefill, &decode), "{}", decider.name);
            prop_assert!(never_less(&decisions, &decide(&prefill, &more_decode)), "{}", decider.name);
            prop_assert!(never_less(&decide(&more_prefill, &decode), &decisions), "{}", decider.name);
        }
    }

    /// More media in a prompt never spares it its encoding, and an encode decider decides the same in every run.
    #[test]
    fn media_never_speak_against_encoding(requests in prop::collection::vec((1u32..5_000, 0.0f64..=1.0), 1..20)) {
        for decider in Registry::built_in().encode_deciders.entries() {
            let params = decider.with_defaults().params;
            let decide = |more: u32| {
                let mut made = (decider.make)(&Setup::of(&params));
                let encodes = |&(input_tokens, share): &(u32, f64)| {
                    let media_tokens = (f64::from(input_tokens) * share) as u32;
                    made.encodes(&EncodeView { input_tokens, media_tokens: (media_tokens + more).min(input_tokens) })
                };
                requests.iter().map(encodes).collect::<Vec<_>>()
            };
            prop_assert_eq!(decide(0), decide(0), "{}", decider.name);
            prop_assert!(decide(0).iter().zip(decide(100)).all(|(&less, more)| less <= more), "{}", decider.name);
        }
    }
}
