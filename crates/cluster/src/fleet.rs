//! Who the instances are, what they may get, and how they come and go.

use crate::plan::{Delay, ElasticPlan, InstanceKind, Plan};
use crate::routing::Pool;
use blis_engine::Instance;
use blis_kernel::rng::{GoRand, stream_seed};
use blis_kernel::{InstanceId, Tick, TimerQueue};
use blis_metrics::FleetFigures;

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its model is being loaded.
    Loading,
    /// It takes requests.
    Active,
    /// It finishes what it has.
    Draining,
    /// Its GPUs are free again.
    Terminated,
}

/// An instance, besides what it serves.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    state: State,
    /// Which node pool it is from, and which node of all.
    place: Option<Place>,
    since: Tick,
    until: Option<Tick>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    pool: usize,
    node: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    pool: usize,
    free_gpus: u32,
    ready_at: Tick,
}

/// What the plan says of instances that come and go, and the nodes that there are.
struct Elastic {
    plan: ElasticPlan,
    nodes: Vec<Node>,
    loading: GoRand,
    provisioning: GoRand,
    loaded: TimerQueue<u32>,
    added: u64,
    figures: FleetFigures,
}

/// The instances by what they do.
pub(crate) struct Fleet {
    routable: Vec<u32>,
    prefill: Vec<u32>,
    decode: Vec<u32>,
    encode: Vec<u32>,
    members: Vec<Member>,
    elastic: Option<Elastic>,
    model: String,
}

impl Fleet {
    /// The instances that there are at first, with what they are built from.
    pub(crate) fn new(plan: &Plan) -> (Self, Vec<Instance>) {
        let mut fleet = Self {
            routable: Vec::new(),
            prefill: Vec::new(),
            decode: Vec::new(),
            encode: Vec::new(),
            members: Vec::new(),
            elastic: plan.elastic.as_ref().map(|own| Elastic::new(own, plan.instances, plan.seed)),
            model: plan.model.clone(),
        };
        let mut instances = Vec::new();
        for index in 0..plan.instances {
            let own = crate::disaggregation::kind(plan, index);
            let name = InstanceId(index).to_string();
            let place = match &mut fleet.elastic {
                Some(elastic) if !elastic.plan.node_pools.is_empty() => match elastic.place(None, None) {
                    Some((place, _)) => Some(place),
                    // Nobody has GPUs for it, and nobody will get any.
                    None => continue,
                },
                _ => None,
            };
            let kind = place.map_or(own, |place| fleet.node_pool_kind(place.pool));
            let warm = fleet.elastic.as_ref().is_none_or(Elastic::starts_warm);
            instances.push(Instance::new(kind.config, kind.latency));
            fleet.add(name, place, Tick::ZERO, Tick::ZERO, warm);
        }
        fleet.deal_parts(plan);
        if let Some(elastic) = &mut fleet.elastic {
            elastic.figures.peak_replicas = fleet.routable.len() as u32;
        }
        (fleet, instances)
    }

    fn node_pool_kind(&self, pool: usize) -> InstanceKind {
        self.elastic.as_ref().expect("there are node pools").plan.node_pools[pool].kind.clone()
    }

    /// One more member. Without `warm` it loads from `ready_at` on.
    fn add(&mut self, name: String, place: Option<Place>, now: Tick, ready_at: Tick, warm: bool) {
        let index = self.members.len() as u32;
        let delay = match &mut self.elastic {
            Some(elastic) if !warm => {
                (ready_at - now) + sample(elastic.plan.loading_delay, &mut elastic.loading)
            }
            _ => Tick::ZERO,
        };
        let state = if delay > Tick::ZERO { State::Loading } else { State::Active };
        self.members.push(Member { name, state, place, since: now, until: None });
        match (&mut self.elastic, state) {
            (Some(elastic), State::Loading) => elastic.loaded.set(now + delay, index),
            _ => self.routable.push(index),
        }
    }

    fn deal_parts(&mut self, plan: &Plan) {
        let Some(disaggregation) = &plan.disaggregation else { return };
        let pools = disaggregation.pools;
        let mut at = 0;
        let mut deal = |count: u32| {
            at += count;
            at - count..at
        };
        self.prefill.extend(deal(pools.prefill));
        self.decode.extend(deal(pools.decode));
        let shared = deal(pools.shared);
        self.prefill.extend(shared.clone());
        self.decode.extend(shared);
        self.encode.extend(deal(pools.encode));
    }

    /// The instances of a pool that take requests, in order.
    #[inline]
    pub(crate) fn members(&self, pool: Pool) -> &[u32] {
        match pool {
            Pool::Routable => &self.routable,
            Pool::Prefill => &self.prefill,
            Pool::Decode => &self.decode,
            Pool::Encode => &self.encode,
        }
    }

    /// Which instances are in a pool, by number.
    pub(crate) fn flags(&self, pool: Pool) -> Vec<bool> {
        let mut flags = vec![false; self.members.len()];
        for &member in self.members(pool) {
            flags[member as usize] = true;
        }
        flags
    }

    /// When the next instance has loaded.
    pub(crate) fn next_loaded_at(&self) -> Tick {
        self.elastic.as_ref().map_or(Tick::MAX, |elastic| elastic.loaded.next_at())
    }

    /// An instance has loaded: it takes requests from now on, unless it is to go already.
    pub(crate) fn finish_loading(&mut self) {
        let elastic = self.elastic.as_mut().expect("somebody loads");
        let (_, index) = elastic.loaded.pop().expect("somebody loads");
        let member = &mut self.members[index as usize];
        if member.state == State::Loading {
            member.state = State::Active;
            let at = self.routable.partition_point(|&other| other < index);
            self.routable.insert(at, index);
            elastic.figures.peak_replicas = elastic.figures.peak_replicas.max(self.routable.len() as u32);
        }
    }

    /// GPU type, GPUs per instance and cost of a node, of each kind of which somebody loads or takes requests.
    pub(crate) fn kind_of(&self, index: usize) -> (&str, u32, f64) {
        let elastic = self.elastic.as_ref().expect("instances come and go");
        match self.members[index].place {
            Some(place) => {
                let pool = &elastic.plan.node_pools[place.pool];
                (&pool.gpu, elastic.plan.tp, pool.cost_per_hour)
            }
            None => (&elastic.plan.gpu, elastic.plan.tp, 0.0),
        }
    }

    /// The same of all node pools.
    pub(crate) fn other_kinds(&self) -> impl Iterator<Item = (&str, u32, f64)> {
        let plan = self.elastic.as_ref().map(|elastic| &elastic.plan);
        let pools = plan.into_iter().flat_map(|plan| plan.node_pools.iter().map(|pool| (plan.tp, pool)));
        pools.map(|(tp, pool)| (pool.gpu.as_str(), tp, pool.cost_per_hour))
    }

    /// How many more instances find GPUs of a type, on nodes that are there or may be had; `None` without node pools.
    pub(crate) fn room_for(&self, gpu: &str) -> Option<u32> {
        let elastic = self.elastic.as_ref().filter(|elastic| !elastic.plan.node_pools.is_empty())?;
        let tp = elastic.plan.tp;
        let pools = elastic.plan.node_pools.iter().enumerate().filter(|(_, own)| own.gpu == gpu);
        let room = pools.map(|(pool, own)| {
            let nodes = elastic.nodes.iter().filter(|node| node.pool == pool);
            let (there, free) = nodes.fold((0, 0), |(n, free), node| (n + 1, free + node.free_gpus / tp));
            free + own.max_nodes.saturating_sub(there) * (own.gpus_per_node / tp)
        });
        Some(room.sum())
    }

    /// Those that load.
    pub(crate) fn loading(&self) -> impl Iterator<Item = usize> + '_ {
        let loads = |(index, member): (usize, &Member)| (member.state == State::Loading).then_some(index);
        self.members.iter().enumerate().filter_map(loads)
    }

    /// How many take requests or will.
    pub(crate) fn replicas(&self) -> usize {
        self.routable.len() + self.loading().count()
    }

    /// Adds an instance of a GPU type, if there are GPUs for it or a node with some can be had.
    pub(crate) fn scale_up(
        &mut self,
        gpu: &str,
        now: Tick,
        provisions: bool,
        default: &InstanceKind,
    ) -> Option<Instance> {
        let elastic = self.elastic.as_mut().expect("instances come and go");
        let (place, ready_at) = if elastic.plan.node_pools.is_empty() {
            (None, now)
        } else {
            let (place, ready_at) = elastic.place(Some(gpu), provisions.then_some(now))?;
            (Some(place), ready_at.max(now))
        };
        elastic.added += 1;
        elastic.figures.scale_ups += 1;
        let name = format!("autoscale-{}-{:06}", self.model, elastic.added);
        let kind = place.map_or_else(|| default.clone(), |place| self.node_pool_kind(place.pool));
        self.add(name, place, now, ready_at, false);
        Some(Instance::new(kind.config, kind.latency))
    }

    /// The instance gets nothing more.
    pub(crate) fn drain(&mut self, index: usize) {
        self.members[index].state = State::Draining;
        self.routable.retain(|&other| other as usize != index);
        self.elastic.as_mut().expect("instances come and go").figures.scale_downs += 1;
    }

    /// Which instance of a kind drains first: the oldest, or by name as text.
    pub(crate) fn victim(&self, gpu: &str, by_name: bool) -> Option<usize> {
        let of_kind = self.routable.iter().map(|&i| i as usize).filter(|&i| self.kind_of(i).0 == gpu);
        if by_name { of_kind.min_by_key(|&i| &self.members[i].name) } else { of_kind.min() }
    }

    /// Those that finish what they have.
    pub(crate) fn draining(&self) -> Vec<usize> {
        let drains = |(index, member): (usize, &Member)| (member.state == State::Draining).then_some(index);
        self.members.iter().enumerate().filter_map(drains).collect()
    }

    /// The instance is gone, and was from `at` on.
    pub(crate) fn terminate(&mut self, index: usize, at: Tick) {
        let elastic = self.elastic.as_mut().expect("instances come and go");
        let member = &mut self.members[index];
        member.state = State::Terminated;
        member.until = Some(at.max(member.since));
        if let Some(place) = member.place {
            elastic.nodes[place.node].free_gpus += elastic.plan.tp;
        }
    }

    /// What the instances are called, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// How many there were for how long; `None` where nobody comes or goes.
    pub(crate) fn figures(&self, end: Tick) -> Option<FleetFigures> {
        let elastic = self.elastic.as_ref()?;
        let mut figures = elastic.figures;
        for member in &self.members {
            let until = member.until.unwrap_or(end).min(end);
            let hours = (until.max(member.since) - member.since).as_seconds() / 3600.0;
            figures.instance_hours += hours;
            figures.gpu_hours += hours * f64::from(elastic.plan.tp);
            if let Some(place) = member.place {
                let pool = &elastic.plan.node_pools[place.pool];
                let share = f64::from(elastic.plan.tp) / f64::from(pool.gpus_per_node);
                figures.cost += hours * share * pool.cost_per_hour;
            }
        }
        figures.peak_replicas = figures.peak_replicas.max(self.routable.len() as u32);
        Some(figures)
    }
}

impl Elastic {
    fn new(plan: &ElasticPlan, instances: u32, seed: i64) -> Self {
        let stream = |name| GoRand::new(stream_seed(seed, name));
        let node = |pool, gpus| Node { pool, free_gpus: gpus, ready_at: Tick::ZERO };
        let nodes = plan.node_pools.iter().enumerate();
        Self {
            nodes: nodes
                .flat_map(|(index, pool)| (0..pool.nodes).map(move |_| node(index, pool.gpus_per_node)))
                .collect(),
            plan: plan.clone(),
            loading: stream("instance-loading"),
            provisioning: stream("node-provisioning"),
            loaded: TimerQueue::default(),
            added: 0,
            figures: FleetFigures { started: instances, ..FleetFigures::default() },
        }
    }

    /// Whether instances that are there at first take requests at once.
    fn starts_warm(&self) -> bool {
        self.plan.node_pools.is_empty() || self.plan.warm_start
    }

    /// Takes GPUs of one node: of the first pool of that GPU type, on the first node with enough of them. With
    /// `provision_from`, a pool that may have more nodes gets one when none has enough.
    fn place(&mut self, gpu: Option<&str>, provision_from: Option<Tick>) -> Option<(Place, Tick)> {
        let tp = self.plan.tp;
        let fits = |pool: usize| gpu.is_none_or(|gpu| self.plan.node_pools[pool].gpu == gpu);
        let pools: Vec<_> = (0..self.plan.node_pools.len()).filter(|&pool| fits(pool)).collect();
        for &pool in &pools {
            let has_room = |node: &Node| node.pool == pool && node.free_gpus >= tp;
            if let Some(node) = self.nodes.iter().position(has_room) {
                self.nodes[node].free_gpus -= tp;
                return Some((Place { pool, node }, self.nodes[node].ready_at));
            }
        }
        let now = provision_from?;
        let may_grow = |&&pool: &&usize| {
            let own = &self.plan.node_pools[pool];
            let there = self.nodes.iter().filter(|node| node.pool == pool).count();
            (there as u32) < own.max_nodes && own.gpus_per_node >= tp
        };
        let &pool = pools.iter().find(may_grow)?;
        let own = &self.plan.node_pools[pool];
        let ready_at = now + sample(own.provisioning_delay, &mut self.provisioning);
        self.nodes.push(Node { pool, free_gpus: own.gpus_per_node - tp, ready_at });
        Some((Place { pool, node: self.nodes.len() - 1 }, ready_at))
    }
}

/// A delay; it is drawn only where it varies.
pub(crate) fn sample(delay: Delay, rng: &mut GoRand) -> Tick {
    let seconds = if delay.std_dev_s > 0.0 {
        rng.norm_float64() * delay.std_dev_s + delay.mean_s
    } else {
        delay.mean_s
    };
    if seconds.is_finite() && seconds > 0.0 { Tick::trunc(seconds * 1e6) } else { Tick::ZERO }
}
