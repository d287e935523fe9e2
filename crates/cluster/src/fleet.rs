//! Who the instances are, what they may get, and how they come and go.

use crate::nodes::{Nodes, Place};
use crate::plan::{Delay, ElasticPlan, FaultTarget, InstanceKind, Plan, WarmUp};
use crate::routing::Pool;
use blis_engine::Replica;
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
    /// It has crashed, and will be back.
    Down,
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

/// What the plan says of instances that come and go, and the nodes that there are.
struct Elastic {
    plan: ElasticPlan,
    nodes: Nodes,
    loading: GoRand,
    added: u64,
    figures: FleetFigures,
}

/// The instances by what they do.
pub(crate) struct Fleet {
    routable: Vec<u32>,
    prefill: Vec<u32>,
    decode: Vec<u32>,
    encode: Vec<u32>,
    /// Who has these three parts, whether it takes requests or not.
    parts: [Vec<u32>; 3],
    /// By model, where there are several: the instances that take requests.
    by_model: Vec<Vec<u32>>,
    members: Vec<Member>,
    /// When those that load or are down take requests.
    comes_up: TimerQueue<u32>,
    warm_up: Option<WarmUp>,
    starts_warm: bool,
    elastic: Option<Elastic>,
    model: String,
}

impl Fleet {
    /// The instances that there are at first, with what they are built from.
    pub(crate) fn new(plan: &Plan) -> (Self, Vec<Replica>) {
        let mut fleet = Self {
            routable: Vec::new(),
            prefill: Vec::new(),
            decode: Vec::new(),
            encode: Vec::new(),
            parts: Default::default(),
            by_model: Vec::new(),
            members: Vec::new(),
            comes_up: TimerQueue::default(),
            warm_up: plan.warm_up,
            starts_warm: plan.starts_warm,
            elastic: plan.elastic.as_ref().map(|own| Elastic::new(own, plan.instances, plan.seed)),
            model: plan.model.clone(),
        };
        let mut instances = Vec::new();
        for index in 0..plan.instances {
            let own = crate::disaggregation::kind(plan, index);
            let name = InstanceId(index).to_string();
            let place = match &mut fleet.elastic {
                Some(elastic) if !elastic.plan.node_pools.is_empty() => {
                    match elastic.place(None, Tick::ZERO, false) {
                        Some((place, _)) => Some(place),
                        // Nobody has GPUs for it, and nobody will get any.
                        None => continue,
                    }
                }
                _ => None,
            };
            let kind = place.map_or(own, |place| fleet.node_pool_kind(place.pool));
            let warm = fleet.elastic.as_ref().is_none_or(Elastic::starts_warm);
            instances.push(Replica::new(kind.config, kind.latency));
            fleet.add(name, place, Tick::ZERO, Tick::ZERO, warm);
        }
        for model in &plan.further_models {
            for _ in 0..model.instances {
                instances.push(Replica::new(model.kind.config.clone(), model.kind.latency.clone()));
                let name = InstanceId(fleet.members.len() as u32).to_string();
                fleet.add(name, None, Tick::ZERO, Tick::ZERO, true);
            }
        }
        fleet.deal_parts(plan);
        fleet.deal_models(plan);
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
        match state {
            State::Loading => self.comes_up.set(now + delay, index),
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
        self.parts = [&self.prefill, &self.decode, &self.encode].map(Clone::clone);
    }

    /// Those at the beginning of a run have just started, unless they started long ago.
    pub(crate) fn begin_warm_up(&self, instances: &mut [Replica]) {
        if self.starts_warm {
            return;
        }
        let active = self.members.iter().map(|member| member.state == State::Active);
        for (index, _) in active.enumerate().filter(|&(_, is_active)| is_active) {
            self.begin_warm_up_of(index, &mut instances[index]);
        }
    }

    /// The instance has just started.
    pub(crate) fn begin_warm_up_of(&self, index: usize, instance: &mut Replica) {
        let warm_up = match (&self.elastic, self.members[index].place) {
            (Some(elastic), Some(place)) => elastic.plan.node_pools[place.pool].warm_up,
            _ => self.warm_up,
        };
        if let Some(warm_up) = warm_up {
            instance.begin_warm_up(warm_up);
        }
    }

    /// Whether it has requests or may have some.
    pub(crate) fn is_up(&self, index: usize) -> bool {
        matches!(self.members[index].state, State::Active | State::Draining)
    }

    /// Whether it will never be there again.
    pub(crate) fn is_gone(&self, index: usize) -> bool {
        self.members[index].state == State::Terminated
    }

    /// Whether a fault with this target is one of this instance.
    pub(crate) fn is_target(&self, index: usize, target: FaultTarget) -> bool {
        let has_part = |part: usize| self.parts[part].contains(&(index as u32));
        match target {
            FaultTarget::All => true,
            FaultTarget::Instance(number) => number as usize == index,
            FaultTarget::Prefill => has_part(0),
            FaultTarget::Decode => has_part(1),
            FaultTarget::Encode => has_part(2),
            FaultTarget::NodePool(pool) => self.members[index].place.is_some_and(|place| place.pool == pool),
        }
    }

    /// The instance crashes at `now` and is back at `until`. One that drains does not come back; false then.
    pub(crate) fn take_down(&mut self, index: usize, now: Tick, until: Tick) -> bool {
        if self.members[index].state == State::Draining {
            self.terminate(index, now);
            return false;
        }
        self.members[index].state = State::Down;
        for list in [&mut self.routable, &mut self.prefill, &mut self.decode, &mut self.encode] {
            list.retain(|&other| other as usize != index);
        }
        self.comes_up.set(until, index as u32);
        true
    }

    fn deal_models(&mut self, plan: &Plan) {
        if plan.further_models.is_empty() {
            return;
        }
        let mut at = 0;
        let further = plan.further_models.iter().map(|model| model.instances);
        for count in std::iter::once(plan.instances).chain(further) {
            self.by_model.push((at..at + count).collect());
            at += count;
        }
    }

    /// The instances of a pool that take requests, in order.
    #[inline]
    pub(crate) fn members(&self, pool: Pool) -> &[u32] {
        match pool {
            Pool::Routable => &self.routable,
            Pool::Prefill => &self.prefill,
            Pool::Decode => &self.decode,
            Pool::Encode => &self.encode,
            Pool::Model(number) => &self.by_model[number as usize],
        }
    }

    /// Which instances are in a pool, by number; those that are down too.
    pub(crate) fn flags(&self, pool: Pool) -> Vec<bool> {
        let mut flags = vec![false; self.members.len()];
        let members = match pool {
            Pool::Routable => &self.routable,
            Pool::Prefill => &self.parts[0],
            Pool::Decode => &self.parts[1],
            Pool::Encode => &self.parts[2],
            Pool::Model(number) => &self.by_model[number as usize],
        };
        for &member in members {
            flags[member as usize] = true;
        }
        flags
    }

    /// When the next instance has loaded, or is back.
    pub(crate) fn next_loaded_at(&self) -> Tick {
        self.comes_up.next_at()
    }

    /// An instance has loaded, or is back: it takes requests from now on. `None` when it is to go already.
    pub(crate) fn finish_loading(&mut self) -> Option<usize> {
        let (_, index) = self.comes_up.pop().expect("somebody loads");
        let member = &mut self.members[index as usize];
        if !matches!(member.state, State::Loading | State::Down) {
            return None;
        }
        member.state = State::Active;
        let insert = |list: &mut Vec<u32>| {
            let at = list.partition_point(|&other| other < index);
            list.insert(at, index);
        };
        insert(&mut self.routable);
        for (part, list) in self.parts.iter().zip([&mut self.prefill, &mut self.decode, &mut self.encode]) {
            if part.contains(&index) {
                insert(list);
            }
        }
        if let Some(elastic) = &mut self.elastic {
            elastic.figures.peak_replicas = elastic.figures.peak_replicas.max(self.routable.len() as u32);
        }
        Some(index as usize)
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
        Some(elastic.nodes.room_for(&elastic.plan.node_pools, elastic.plan.tp, gpu))
    }

    /// Those that load, and those that are down: they will take requests without anybody doing anything.
    pub(crate) fn loading(&self) -> impl Iterator<Item = usize> + '_ {
        let loads = |(index, member): (usize, &Member)| {
            matches!(member.state, State::Loading | State::Down).then_some(index)
        };
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
    ) -> Option<Replica> {
        let elastic = self.elastic.as_mut().expect("instances come and go");
        let (place, ready_at) = if elastic.plan.node_pools.is_empty() {
            (None, now)
        } else {
            let (place, ready_at) = elastic.place(Some(gpu), now, provisions)?;
            (Some(place), ready_at.max(now))
        };
        elastic.added += 1;
        elastic.figures.scale_ups += 1;
        let name = format!("autoscale-{}-{:06}", self.model, elastic.added);
        let kind = place.map_or_else(|| default.clone(), |place| self.node_pool_kind(place.pool));
        self.add(name, place, now, ready_at, false);
        Some(Replica::new(kind.config, kind.latency))
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
            elastic.nodes.give_back(&elastic.plan.node_pools, place, elastic.plan.tp, at.max(member.since));
        }
    }

    /// How many are in a state.
    pub(crate) fn count(&self, state: State) -> u32 {
        self.members.iter().filter(|member| member.state == state).count() as u32
    }

    /// What the instances are called, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// How many there were for how long; `None` where nobody comes or goes.
    pub(crate) fn figures(&mut self, end: Tick) -> Option<FleetFigures> {
        let elastic = self.elastic.as_mut()?;
        let mut figures = elastic.figures;
        figures.nodes = elastic.nodes.figures(&elastic.plan.node_pools, end);
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
        Self {
            nodes: Nodes::new(&plan.node_pools, seed),
            plan: plan.clone(),
            loading: GoRand::new(stream_seed(seed, "instance-loading")),
            added: 0,
            figures: FleetFigures { started: instances, ..FleetFigures::default() },
        }
    }

    /// Whether instances that are there at first take requests at once.
    fn starts_warm(&self) -> bool {
        self.plan.node_pools.is_empty() || self.plan.warm_start
    }

    fn place(&mut self, gpu: Option<&str>, now: Tick, provisions: bool) -> Option<(Place, Tick)> {
        self.nodes.place(&self.plan.node_pools, self.plan.tp, gpu, now, provisions)
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
