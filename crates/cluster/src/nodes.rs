//! The nodes that instances are on: which have GPUs left, which are added, and which are given back.

use crate::fleet::sample;
use crate::plan::NodePool;
use blis_kernel::Tick;
use blis_kernel::rng::{GoRand, stream_seed};
use blis_metrics::NodeFigures;

/// GPUs that an instance has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which node pool they are from.
    pub(crate) pool: usize,
    /// Which node of all.
    node: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    pool: usize,
    free_gpus: u32,
    ready_at: Tick,
    /// Since when nobody is on it.
    empty_since: Option<Tick>,
    released_at: Option<Tick>,
}

/// All nodes.
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    provisioning: GoRand,
    figures: NodeFigures,
}

impl Nodes {
    /// The nodes that are there at first.
    pub(crate) fn new(pools: &[NodePool], seed: i64) -> Self {
        let node = |pool, gpus| Node {
            pool,
            free_gpus: gpus,
            ready_at: Tick::ZERO,
            empty_since: Some(Tick::ZERO),
            released_at: None,
        };
        let first = pools.iter().enumerate();
        let nodes =
            first.flat_map(|(index, pool)| (0..pool.nodes).map(move |_| node(index, pool.gpus_per_node)));
        Self {
            nodes: nodes.collect(),
            provisioning: GoRand::new(stream_seed(seed, "node-provisioning")),
            figures: NodeFigures::default(),
        }
    }

    fn of(&self, pool: usize) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.pool == pool && node.released_at.is_none())
    }

    /// Takes `gpus` GPUs of one node: of the first pool of that GPU type, on the first node with enough of them; also
    /// tells from when on they are there. With `provisions`, a pool that may have more nodes gets one when none has
    /// enough.
    pub(crate) fn place(
        &mut self,
        pools: &[NodePool],
        gpus: u32,
        gpu: Option<&str>,
        now: Tick,
        provisions: bool,
    ) -> Option<(Place, Tick)> {
        self.release_empty(pools, now);
        let fits = |pool: &usize| gpu.is_none_or(|gpu| pools[*pool].gpu == gpu);
        for pool in (0..pools.len()).filter(fits) {
            let has_room =
                |node: &Node| node.pool == pool && node.released_at.is_none() && node.free_gpus >= gpus;
            if let Some(at) = self.nodes.iter().position(has_room) {
                let node = &mut self.nodes[at];
                node.free_gpus -= gpus;
                node.empty_since = None;
                return Some((Place { pool, node: at }, node.ready_at));
            }
        }
        let may_grow = |pool: &usize| {
            let own = &pools[*pool];
            (self.of(*pool).count() as u32) < own.max_nodes && own.gpus_per_node >= gpus
        };
        let pool = (0..pools.len()).filter(|_| provisions).filter(fits).find(may_grow)?;
        let own = &pools[pool];
        let ready_at = now + sample(own.provisioning_delay, &mut self.provisioning);
        let free_gpus = own.gpus_per_node - gpus;
        self.nodes.push(Node { pool, free_gpus, ready_at, empty_since: None, released_at: None });
        self.figures.provisioned += 1;
        Some((Place { pool, node: self.nodes.len() - 1 }, ready_at))
    }

    /// How many more instances of `gpus` GPUs of a type find some, on nodes that are there or may be had.
    pub(crate) fn room_for(&self, pools: &[NodePool], gpus: u32, gpu: &str) -> u32 {
        let of_type = pools.iter().enumerate().filter(|(_, own)| own.gpu == gpu);
        let room = of_type.map(|(pool, own)| {
            let (there, free) =
                self.of(pool).fold((0, 0), |(n, free), node| (n + 1, free + node.free_gpus / gpus));
            free + own.max_nodes.saturating_sub(there) * (own.gpus_per_node / gpus)
        });
        room.sum()
    }

    /// An instance gives its GPUs back.
    pub(crate) fn give_back(&mut self, pools: &[NodePool], place: Place, gpus: u32, at: Tick) {
        let node = &mut self.nodes[place.node];
        node.free_gpus += gpus;
        if node.free_gpus == pools[node.pool].gpus_per_node {
            node.empty_since = Some(at.max(node.ready_at));
        }
    }

    /// Gives back the nodes that have been empty for too long by `now`, in order of time, as long as enough are left.
    fn release_empty(&mut self, pools: &[NodePool], now: Tick) {
        loop {
            let due = |(index, node): (usize, &Node)| {
                let pool = &pools[node.pool];
                let at = node.empty_since? + pool.release_after?;
                let may_go = node.released_at.is_none()
                    && at <= now
                    && self.of(node.pool).count() as u32 > pool.min_nodes;
                may_go.then_some((at, index))
            };
            let Some((at, index)) = self.nodes.iter().enumerate().filter_map(due).min() else { return };
            self.nodes[index].released_at = Some(at);
            self.figures.released += 1;
        }
    }

    /// What there was until `end`, where empty nodes are given back.
    pub(crate) fn figures(&mut self, pools: &[NodePool], end: Tick) -> Option<NodeFigures> {
        if pools.iter().all(|pool| pool.release_after.is_none()) {
            return None;
        }
        self.release_empty(pools, end);
        let mut figures = self.figures;
        for node in &self.nodes {
            let until = node.released_at.unwrap_or(end).min(end);
            let hours = (until.max(node.ready_at) - node.ready_at).as_seconds() / 3600.0;
            figures.node_hours += hours;
            figures.node_cost += hours * pools[node.pool].cost_per_hour;
        }
        Some(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Delay, InstanceKind};
    use blis_engine::{BatchFormation, InstanceConfig};
    use blis_kernel::Semantics;
    use blis_latency::{Blackbox, Coefficients};
    use blis_policy::preemption::PreemptionKind;
    use blis_policy::scheduling::SchedulerKind;
    use std::sync::Arc;

    const MINUTE: Tick = Tick::from_us(60_000_000);

    /// One node that stays and up to three, of two GPUs; a new one takes a minute, an empty one goes after two.
    fn pools() -> Vec<NodePool> {
        let coefficients = Coefficients { alpha: vec![0.0; 3], beta: vec![1.0, 0.0, 0.0] };
        let config = InstanceConfig {
            kv_blocks: 1,
            block_tokens: 16,
            max_num_seqs: 1,
            max_num_batched_tokens: 1,
            long_prefill_token_threshold: 0,
            max_model_len: 0,
            batch_formation: BatchFormation::Mixed,
            scheduler: SchedulerKind::Fcfs,
            preemption: PreemptionKind::Fcfs,
            cpu_tier: None,
            offload: None,
            adapters: None,
            host: None,
            ranks: None,
            horizon: Tick::MAX,
            semantics: Semantics::CORRECTED,
        };
        let latency = Arc::new(Blackbox::new(&coefficients).expect("valid"));
        vec![NodePool {
            gpu: "A".to_owned(),
            gpus_per_node: 2,
            nodes: 1,
            min_nodes: 1,
            max_nodes: 3,
            provisioning_delay: Delay { mean_s: 60.0, std_dev_s: 0.0 },
            cost_per_hour: 30.0,
            release_after: Some(MINUTE + MINUTE),
            kind: InstanceKind { config, latency },
            warm_up: None,
        }]
    }

    #[test]
    fn an_empty_node_beyond_those_that_stay_is_given_back_and_has_to_be_provisioned_again() {
        let pools = pools();
        let minute = |n: i64| Tick::from_us(n * MINUTE.as_us());
        let mut nodes = Nodes::new(&pools, 42);
        let place = |nodes: &mut Nodes, at| nodes.place(&pools, 2, None, minute(at), true);
        let (first, at) = place(&mut nodes, 0).expect("the node that is there");
        assert_eq!(at, Tick::ZERO);
        let (second, at) = place(&mut nodes, 0).expect("a new node");
        assert_eq!(at, minute(1));
        nodes.give_back(&pools, second, 2, minute(10));
        assert_eq!(place(&mut nodes, 11).map(|(_, at)| at), Some(minute(1)), "it is there still");
        nodes.give_back(&pools, second, 2, minute(20));
        nodes.give_back(&pools, first, 2, minute(21));
        // At 22 the second node goes; the first one stays.
        assert_eq!(place(&mut nodes, 30).map(|(_, at)| at), Some(Tick::ZERO));
        assert_eq!(place(&mut nodes, 30).map(|(_, at)| at), Some(minute(31)));
        let figures = nodes.figures(&pools, minute(60)).expect("nodes go");
        assert_eq!((figures.provisioned, figures.released), (2, 1));
        // 60 minutes of the first, 21 of the second, 29 of the third.
        assert!((figures.node_hours - 110.0 / 60.0).abs() < 1e-12);
        assert!((figures.node_cost - 55.0).abs() < 1e-9);
    }
}
