//! Laws of policies that say who goes first and who gives way, tried on all that the registry has.

use blis_kernel::{RequestName, Tick};
use blis_policy::flow_control::dispatch_order::Queued;
use blis_policy::preemption::Running;
use blis_policy::scheduling::Waiting;
use blis_policy::{Registry, Setup};
use proptest::prelude::*;

/// Requests that wait, each with a name and a slot of its own and often alike in everything else, in any order.
fn queues() -> impl Strategy<Value = Vec<Waiting>> {
    let request = (-2i32..3, 0i64..4, 1u32..4);
    let queue = prop::collection::vec(request, 0..30).prop_map(|rows| {
        let waiting = |(n, &(priority, arrival_us, input_tokens)): (usize, &(i32, i64, u32))| Waiting {
            slot: n as u32,
            priority,
            arrival: Tick::from_us(arrival_us),
            input_tokens,
            name: RequestName::Indexed(n as u64),
        };
        rows.iter().enumerate().map(waiting).collect::<Vec<_>>()
    });
    queue.prop_shuffle()
}

/// A batch as (priority, arrival), never empty.
fn batches() -> impl Strategy<Value = Vec<(i32, i64)>> {
    prop::collection::vec((-3i32..4, 0i64..5), 1..20)
}

fn running(batch: &[(i32, i64)]) -> Vec<Running> {
    batch.iter().map(|&(priority, at)| Running { priority, arrival: Tick::from_us(at) }).collect()
}

proptest! {
    /// Any two requests are ordered one way, the same from both sides; only an order of entry leaves them as they are.
    #[test]
    fn a_scheduler_orders_any_two_requests(queue in queues()) {
        for scheduler in Registry::built_in().schedulers.entries() {
            let order = scheduler.make.order();
            for (a, b) in queue.iter().flat_map(|a| queue.iter().map(move |b| (a, b))) {
                prop_assert_eq!(order.compare(a, b), order.compare(b, a).reverse(), "{}", scheduler.name);
                let leaves = order.compare(a, b).is_eq();
                prop_assert_eq!(leaves, order.is_fifo() || a == b, "{}", scheduler.name);
            }
        }
    }

    /// Who is served when does not depend on who was queued first, but in an order of entry, which is kept.
    #[test]
    fn a_permutation_of_the_queue_is_served_alike(queue in queues(), turned in any::<prop::sample::Index>()) {
        for scheduler in Registry::built_in().schedulers.entries() {
            let order = scheduler.make.order();
            let mut other = queue.clone();
            other.reverse();
            if !other.is_empty() {
                let middle = turned.index(other.len());
                other.rotate_left(middle);
            }
            let entered = other.clone();
            let mut sorted = queue.clone();
            order.sort(&mut sorted);
            order.sort(&mut other);
            prop_assert_eq!(&other, if order.is_fifo() { &entered } else { &sorted }, "{}", scheduler.name);
        }
    }

    /// A queue that is kept in order by inserting is the one that sorting gives.
    #[test]
    fn inserting_one_by_one_is_sorting(queue in queues()) {
        for scheduler in Registry::built_in().schedulers.entries() {
            let order = scheduler.make.order();
            let mut kept: Vec<Waiting> = Vec::new();
            for request in &queue {
                let at = kept.partition_point(|other| order.compare(other, request).is_le());
                kept.insert(at, request.clone());
            }
            let mut sorted = queue.clone();
            order.sort(&mut sorted);
            prop_assert_eq!(kept, sorted, "{}", scheduler.name);
        }
    }

    /// The victim is in the batch, and who claims to be always the last of it is.
    #[test]
    fn a_victim_is_in_the_batch(batch in batches()) {
        for policy in Registry::built_in().preemption.entries() {
            let victim = policy.make.victim();
            let chosen = victim.choose(&running(&batch));
            prop_assert!(chosen < batch.len(), "{} chose {chosen}", policy.name);
            prop_assert!(!victim.is_tail() || chosen + 1 == batch.len(), "{}", policy.name);
        }
    }

    /// Only the order of priorities counts: stretching and moving all of them alike changes no victim.
    #[test]
    fn a_monotone_change_of_priorities_changes_no_victim(
        batch in batches(), stretch in 1i32..1_000, shift in -1_000i32..1_000,
    ) {
        let changed: Vec<_> = batch.iter().map(|&(priority, at)| (priority.pow(3) * stretch + shift, at)).collect();
        for policy in Registry::built_in().preemption.entries() {
            let victim = policy.make.victim();
            prop_assert_eq!(victim.choose(&running(&batch)), victim.choose(&running(&changed)), "{}", policy.name);
        }
    }

    /// Who does not give way makes no difference to who does.
    #[test]
    fn without_a_bystander_the_victim_is_the_same(batch in batches(), leaving in any::<prop::sample::Index>()) {
        let leaving = leaving.index(batch.len());
        let mut rest = batch.clone();
        rest.remove(leaving);
        for policy in Registry::built_in().preemption.entries() {
            let victim = policy.make.victim();
            let chosen = victim.choose(&running(&batch));
            if chosen != leaving {
                let expected = chosen - usize::from(leaving < chosen);
                prop_assert_eq!(victim.choose(&running(&rest)), expected, "{}", policy.name);
            }
        }
    }

    /// A more important request never waits in a lower band. Of two alike in rank and target the earlier never comes
    /// behind, and a tighter target never brings a request back.
    #[test]
    fn rank_patience_and_urgency_never_put_a_request_back(
        rank in -100i32..100, above in 0i32..100,
        since in 0i64..1_000_000, later in 0i64..1_000_000,
        target in prop::option::of(0i64..1_000_000), slack in 0i64..1_000_000,
    ) {
        let queued = |rank, since_us, target: Option<i64>| Queued {
            rank,
            since: Tick::from_us(since_us),
            slo_target: target.map(Tick::from_us),
        };
        let request = queued(rank, since, target);
        for entry in Registry::built_in().dispatch_orders.entries() {
            let params = entry.with_defaults().params;
            let order = (entry.make)(&Setup::of(&params));
            prop_assert!(order.band(&request) <= order.band(&queued(rank + above, since, target)), "{}", entry.name);
            let later = queued(rank, since + later, target);
            let laxer = queued(rank, since, target.map(|target| target + slack));
            for behind in [later, laxer, queued(rank, since, None)] {
                prop_assert_eq!(order.band(&request), order.band(&behind), "{}", entry.name);
                prop_assert!(order.key(&request) <= order.key(&behind), "{}", entry.name);
            }
        }
    }
}
