//! The queue between admission and routing: bands, the most important first, and in each band one flow per tenant.

use blis_kernel::Tick;
use blis_policy::flow_control::{BandView, Fairness, UsageLimit};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A request that wants to join, with what the policies say of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    pub(crate) handle: u32,
    pub(crate) rank: i32,
    /// Number of its tenant; tenants are numbered by name.
    pub(crate) tenant: u32,
    pub(crate) band: i32,
    /// Place within its flow.
    pub(crate) key: Tick,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It waits, under this number.
    Waits(u64),
    /// It waits, under the first number; the request of that handle left for it.
    InsteadOf(u64, u32),
    /// There is no room.
    Refused,
}

#[derive(Debug, Default)]
struct Flow {
    by_key: BTreeMap<(Tick, u64), u32>,
    numbers: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Band {
    len: u32,
    flows: BTreeMap<u32, Flow>,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct GatewayQueue {
    max_depth: Option<u32>,
    band_capacity: Option<u32>,
    sheds: bool,
    /// The most important band first.
    bands: BTreeMap<Reverse<i32>, Band>,
    /// Every request that waits, by number.
    waiting: FxHashMap<u64, Joining>,
    /// Those that a more important one may displace: the least important first, the last come of equals.
    sheddable: BTreeSet<(i32, Reverse<u64>)>,
    /// Ranks of those that wait, with their numbers.
    ranks: BTreeMap<i32, u32>,
    joins: u64,
    scratch_bands: Vec<i32>,
    scratch_ceilings: Vec<f64>,
    scratch_tenants: Vec<u32>,
    scratch_first: Vec<u64>,
}

impl GatewayQueue {
    /// An empty queue with these bands, to which others may come.
    pub(crate) fn new(
        max_depth: Option<u32>,
        band_capacity: Option<u32>,
        sheds: bool,
        bands: impl IntoIterator<Item = i32>,
    ) -> Self {
        Self {
            max_depth,
            band_capacity,
            sheds,
            bands: bands.into_iter().map(|band| (Reverse(band), Band::default())).collect(),
            waiting: FxHashMap::default(),
            sheddable: BTreeSet::new(),
            ranks: BTreeMap::new(),
            joins: 0,
            scratch_bands: Vec::new(),
            scratch_ceilings: Vec::new(),
            scratch_tenants: Vec::new(),
            scratch_first: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The largest rank among those that wait.
    pub(crate) fn highest_rank(&self) -> Option<i32> {
        self.ranks.last_key_value().map(|(&rank, _)| rank)
    }

    pub(crate) fn join(&mut self, request: Joining) -> Joined {
        self.joins += 1;
        let band = self.bands.entry(Reverse(request.band)).or_default();
        if self.band_capacity.is_some_and(|capacity| band.len >= capacity) {
            return Joined::Refused;
        }
        let is_full = self.max_depth.is_some_and(|depth| self.waiting.len() as u64 >= u64::from(depth));
        let victim = if is_full {
            let last = self.sheddable.first().filter(|&&(rank, _)| self.sheds && request.rank > rank);
            let Some(&(_, Reverse(number))) = last else { return Joined::Refused };
            self.remove(number)
        } else {
            None
        };
        let number = self.joins;
        let band = self.bands.get_mut(&Reverse(request.band)).expect("a band that was just made");
        band.len += 1;
        let flow = band.flows.entry(request.tenant).or_default();
        flow.by_key.insert((request.key, number), request.handle);
        flow.numbers.insert(number);
        self.waiting.insert(number, request);
        *self.ranks.entry(request.rank).or_default() += 1;
        if request.rank < 0 {
            self.sheddable.insert((request.rank, Reverse(number)));
        }
        victim.map_or(Joined::Waits(number), |victim| Joined::InsteadOf(number, victim))
    }

    /// Takes a request out of the queue, if it is still there; returns its handle.
    pub(crate) fn remove(&mut self, number: u64) -> Option<u32> {
        let request = self.waiting.remove(&number)?;
        let band = self.bands.get_mut(&Reverse(request.band)).expect("the band of a request that waits");
        band.len -= 1;
        let flow = band.flows.get_mut(&request.tenant).expect("the flow of a request that waits");
        flow.by_key.remove(&(request.key, number));
        flow.numbers.remove(&number);
        if flow.numbers.is_empty() {
            band.flows.remove(&request.tenant);
        }
        self.sheddable.remove(&(request.rank, Reverse(number)));
        if let Some(count) = self.ranks.get_mut(&request.rank) {
            *count -= 1;
            if *count == 0 {
                self.ranks.remove(&request.rank);
            }
        }
        Some(request.handle)
    }

    /// Takes the next request to be dispatched, if the first band with any is open at this saturation.
    pub(crate) fn dispatch(
        &mut self,
        saturation: f64,
        usage_limit: &mut dyn UsageLimit,
        fairness: &mut dyn Fairness,
    ) -> Option<u32> {
        self.scratch_bands.clear();
        self.scratch_bands.extend(self.bands.keys().map(|band| band.0));
        self.scratch_ceilings.clear();
        self.scratch_ceilings.resize(self.scratch_bands.len(), 0.0);
        usage_limit.ceilings(saturation, &self.scratch_bands, &mut self.scratch_ceilings);
        for ((&Reverse(band), queue), &ceiling) in self.bands.iter().zip(&self.scratch_ceilings) {
            if saturation >= ceiling {
                return None;
            }
            if queue.len == 0 {
                continue;
            }
            self.scratch_tenants.clear();
            self.scratch_tenants.extend(queue.flows.keys());
            self.scratch_first.clear();
            self.scratch_first.extend(queue.flows.values().filter_map(|flow| flow.numbers.first()));
            let view = BandView { band, tenants: &self.scratch_tenants, first_joined: &self.scratch_first };
            let chosen = fairness.choose(&view);
            let flow = &queue.flows[&self.scratch_tenants[chosen]];
            let (&(_, number), _) =
                flow.by_key.first_key_value().expect("a flow without requests is removed");
            return self.remove(number);
        }
        None
    }

    /// Empties the queue in order of joining.
    pub(crate) fn drain(&mut self) -> Vec<u32> {
        let mut numbers: Vec<_> = self
            .bands
            .values()
            .flat_map(|band| band.flows.values())
            .collect::<Vec<_>>()
            .into_iter()
            .flat_map(|flow| flow.numbers.iter().copied())
            .collect();
        numbers.sort_unstable();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_policy::registry::{MakeFairness, MakeUsageLimit, Registry, Setup};
    use proptest::prelude::*;

    const CRITICAL: i32 = 4;
    const STANDARD: i32 = 3;
    const BATCH: i32 = -1;
    const SHEDDABLE: i32 = -2;
    const BACKGROUND: i32 = -3;

    fn unbounded() -> GatewayQueue {
        GatewayQueue::new(None, None, false, [])
    }

    fn request(handle: u32, rank: i32) -> Joining {
        Joining { handle, rank, tenant: 0, band: rank, key: Tick::ZERO }
    }

    struct Policies {
        usage_limit: Box<dyn UsageLimit>,
        fairness: Box<dyn Fairness>,
    }

    fn policies(threshold: f64, fairness: &str) -> Policies {
        let registry = Registry::built_in();
        let limit = registry.usage_limits.get("").unwrap();
        let limit = limit.with(&[("usage-limit-threshold", threshold)]).unwrap();
        let fairness = registry.fairness.get(fairness).unwrap().with_defaults();
        let make_limit: MakeUsageLimit = limit.entry.make;
        let make_fairness: MakeFairness = fairness.entry.make;
        Policies {
            usage_limit: make_limit(&Setup::of(&limit.params)),
            fairness: make_fairness(&Setup::of(&fairness.params)),
        }
    }

    impl Policies {
        fn dispatch(&mut self, queue: &mut GatewayQueue, saturation: f64) -> Option<u32> {
            queue.dispatch(saturation, &mut *self.usage_limit, &mut *self.fairness)
        }
    }

    #[test]
    fn the_most_important_class_goes_first_and_within_it_the_first_come() {
        let (mut queue, mut policies) = (unbounded(), policies(1.0, ""));
        for (handle, rank) in [(1, BACKGROUND), (2, CRITICAL), (3, STANDARD), (4, CRITICAL)] {
            queue.join(request(handle, rank));
        }
        let order: Vec<_> = std::iter::from_fn(|| policies.dispatch(&mut queue, 0.0)).collect();
        assert_eq!(order, [2, 4, 3, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_band_is_served_below_its_ceiling_only() {
        let (mut queue, mut policies) = (unbounded(), policies(0.4, ""));
        for (handle, rank) in [(1, CRITICAL), (2, STANDARD), (3, BATCH)] {
            queue.join(request(handle, rank));
        }
        // Ceilings 1.0, 0.7 and 0.4; empty bands keep theirs.
        assert_eq!(policies.dispatch(&mut queue, 0.95), Some(1));
        assert_eq!(policies.dispatch(&mut queue, 0.75), None);
        assert_eq!(policies.dispatch(&mut queue, 0.45), Some(2));
        assert_eq!(policies.dispatch(&mut queue, 0.40), None);
        assert_eq!(policies.dispatch(&mut queue, 0.39), Some(3));
    }

    #[test]
    fn tenants_take_turns() {
        let (mut queue, mut policies) = (unbounded(), policies(1.0, "round-robin"));
        for (handle, tenant) in [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2)] {
            queue.join(Joining { tenant, ..request(handle, STANDARD) });
        }
        let order: Vec<_> = std::iter::from_fn(|| policies.dispatch(&mut queue, 0.0)).collect();
        assert_eq!(order, [0, 3, 1, 4, 2]);
    }

    #[test]
    fn within_a_flow_the_smallest_key_goes_first() {
        let (mut queue, mut policies) = (unbounded(), policies(1.0, ""));
        for (handle, key) in [(0, 600), (1, 250), (2, 650)] {
            queue.join(Joining { key: Tick::from_us(key), ..request(handle, STANDARD) });
        }
        let order: Vec<_> = std::iter::from_fn(|| policies.dispatch(&mut queue, 0.0)).collect();
        assert_eq!(order, [1, 0, 2]);
    }

    #[test]
    fn a_full_queue_gives_up_the_least_important_request_for_a_more_important_one() {
        let mut queue = GatewayQueue::new(Some(2), None, true, []);
        queue.join(request(0, BATCH));
        queue.join(request(1, BACKGROUND));
        assert_eq!(queue.join(request(10, SHEDDABLE)), Joined::InsteadOf(3, 1));
        assert_eq!(queue.join(request(11, STANDARD)), Joined::InsteadOf(4, 10));
        assert_eq!(queue.join(request(12, BACKGROUND)), Joined::Refused);
        assert_eq!(queue.join(request(13, CRITICAL)), Joined::InsteadOf(6, 0));
        assert_eq!(queue.join(request(14, CRITICAL)), Joined::Refused, "nobody left may be shed");
    }

    #[test]
    fn a_full_band_refuses_even_what_could_displace() {
        let mut queue = GatewayQueue::new(None, Some(1), true, []);
        assert_eq!(queue.join(request(0, CRITICAL)), Joined::Waits(1));
        assert_eq!(queue.join(request(1, CRITICAL)), Joined::Refused);
        assert_eq!(queue.join(request(2, STANDARD)), Joined::Waits(3));
        assert_eq!(queue.remove(1), Some(0));
        assert_eq!(queue.remove(1), None);
        assert_eq!(queue.join(request(3, CRITICAL)), Joined::Waits(4));
    }

    proptest! {
        /// Who joins leaves exactly once: dispatched, displaced, or at the end.
        #[test]
        fn nobody_is_lost(
            joins in prop::collection::vec((-3i32..5, 0u32..3, 0i64..5, prop::bool::ANY), 1..80),
            depth in prop::option::of(1u32..9),
            sheds in prop::bool::ANY,
        ) {
            let mut queue = GatewayQueue::new(depth, None, sheds, []);
            let mut policies = policies(1.0, "round-robin");
            let mut left = Vec::new();
            for (handle, &(rank, tenant, key, dispatches)) in joins.iter().enumerate() {
                let joining = Joining { tenant, key: Tick::from_us(key), ..request(handle as u32, rank) };
                match queue.join(joining) {
                    Joined::Waits(_) => {}
                    Joined::InsteadOf(_, victim) => left.push(victim),
                    Joined::Refused => left.push(handle as u32),
                }
                if dispatches {
                    left.extend(policies.dispatch(&mut queue, 0.5));
                }
                prop_assert!(depth.is_none_or(|depth| queue.waiting.len() <= depth as usize));
            }
            left.extend(queue.drain());
            left.sort_unstable();
            prop_assert_eq!(left, (0..joins.len() as u32).collect::<Vec<_>>());
            prop_assert!(queue.is_empty() && queue.highest_rank().is_none() && queue.sheddable.is_empty());
        }
    }
}
