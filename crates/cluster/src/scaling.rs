//! The autoscaler at work: it looks at every interval, is held back by windows, and acts after a delay.

use crate::fleet::sample;
use crate::plan::{AutoscalerPlan, InstanceKind, Plan};
use crate::routing::Pool;
use crate::run::Cluster;
use blis_kernel::rng::{GoRand, stream_seed};
use blis_kernel::{Tick, TimerQueue};
use blis_policy::Setup;
use blis_policy::autoscaling::{Autoscaler, Replica, Scaling, ScalingView, Variant};

/// A change that was decided: so many instances of a GPU type.
#[derive(Clone, Debug)]
struct Change {
    gpu: String,
    replicas: i64,
}

/// The autoscaler with its timers.
pub(crate) struct Scaler {
    plan: AutoscalerPlan,
    policy: Box<dyn Autoscaler>,
    next_tick_at: Option<Tick>,
    changes: TimerQueue<Change>,
    delays: GoRand,
    /// Since when it wants more, and since when it wants fewer.
    wants: [Option<Tick>; 2],
}

impl Scaler {
    pub(crate) fn new(plan: &Plan) -> Option<Self> {
        let own = plan.elastic.as_ref()?.autoscaler.clone()?;
        let policy = (own.policy.entry.make)(&Setup {
            params: &own.policy.params,
            semantics: plan.semantics,
            scorers: &[],
            seed: plan.seed,
            stream: "autoscaler",
        });
        Some(Self {
            policy,
            plan: own,
            next_tick_at: Some(Tick::ZERO),
            changes: TimerQueue::default(),
            delays: GoRand::new(stream_seed(plan.seed, "autoscaler")),
            wants: [None; 2],
        })
    }

    pub(crate) fn next_tick_at(&self) -> Tick {
        self.next_tick_at.unwrap_or(Tick::MAX)
    }

    pub(crate) fn next_change_at(&self) -> Tick {
        self.changes.next_at()
    }

    /// Whether a wish has lasted for as long as its window asks.
    fn has_lasted(&mut self, wish: Option<Scaling>, now: Tick) -> bool {
        let direction = wish.map(|scaling| usize::from(scaling.replicas < 0));
        for (other, since) in self.wants.iter_mut().enumerate() {
            if direction != Some(other) {
                *since = None;
            }
        }
        let Some(direction) = direction else { return false };
        let window = [self.plan.up_window, self.plan.down_window][direction];
        let first = *self.wants[direction].get_or_insert(now);
        if now - first < window {
            return false;
        }
        self.wants[direction] = None;
        true
    }
}

impl Cluster<'_> {
    fn scaler(&mut self) -> &mut Scaler {
        self.scaler.as_mut().expect("there is an autoscaler")
    }

    /// The autoscaler looks at the cluster.
    pub(crate) fn scaling_tick(&mut self, now: Tick) {
        self.bring_up_to_date(now);
        self.refresh_signals(now);
        self.end_drained(now);
        let variants = self.variants();
        let scaler = self.scaler();
        let wish = scaler.policy.decide(&ScalingView { now, variants: &variants });
        let may_pass = scaler.policy.stabilises() || scaler.has_lasted(wish, now);
        if let Some(Scaling { variant, replicas }) = wish.filter(|_| may_pass) {
            let delay = sample(scaler.plan.actuation_delay, &mut scaler.delays);
            scaler.changes.set(now + delay, Change { gpu: variants[variant].gpu.clone(), replicas });
        }
        let more_may_come = self.plan.horizon < Tick::MAX || self.live.is_some() || self.more_will_happen();
        let goes_on = !self.nobody_is_left() && more_may_come;
        let scaler = self.scaler();
        scaler.next_tick_at = goes_on.then(|| now + scaler.plan.interval);
    }

    /// For how long requests that wait at the gateway may hope for the fleet: everything that it waits for by itself
    /// comes within this time, once.
    pub(crate) fn patience_with_fleet(&self) -> Tick {
        self.patience_with_scaler() + self.longest_downtime()
    }

    fn patience_with_scaler(&self) -> Tick {
        let Some(elastic) = &self.plan.elastic else { return Tick::ZERO };
        let longest_window_of_a_policy = Tick::from_us(600_000_000);
        let provisioning = elastic.node_pools.iter().map(|pool| pool.provisioning_delay.longest()).max();
        let start = elastic.loading_delay.longest() + provisioning.unwrap_or(Tick::ZERO);
        elastic.autoscaler.as_ref().map_or(start, |scaler| {
            longest_window_of_a_policy
                + scaler.up_window
                + scaler.down_window
                + scaler.interval
                + scaler.actuation_delay.longest()
                + start
        })
    }

    /// Whether no instance takes requests, now or later: nobody adds one to none.
    pub(crate) fn nobody_is_left(&self) -> bool {
        let no_changes = self.scaler.as_ref().is_none_or(|scaler| scaler.next_change_at() == Tick::MAX);
        self.plan.elastic.is_some() && self.fleet.replicas() == 0 && no_changes
    }

    /// Whether requests are on their way or expected.
    fn more_will_happen(&self) -> bool {
        let expected = self.next_arrival.is_some() || self.follow_ups.next_at() < Tick::MAX;
        if self.plan.semantics.autoscaler_lets_everything_go {
            return expected || self.signals.all.in_flight.iter().any(|&count| count > 0);
        }
        let news = self.next_events.first_at() < Tick::MAX
            || self.fleet.next_loaded_at() < Tick::MAX
            || self.scaler.as_ref().is_some_and(|scaler| scaler.next_change_at() < Tick::MAX)
            || self.flow_control.as_ref().is_some_and(|flow| flow.next_tick_at() < Tick::MAX);
        expected || (news && self.ended != self.injected)
    }

    /// The kinds of instances of which some load or take requests, the cheapest first.
    fn variants(&self) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        let mut of = |index: usize| {
            let (gpu, tp, cost_per_hour) = self.fleet.kind_of(index);
            let known = variants.iter().position(|variant| variant.gpu == gpu && variant.tp == tp);
            let at = known.unwrap_or_else(|| {
                variants.push(Variant { gpu: gpu.to_owned(), tp, cost_per_hour, ..Variant::default() });
                variants.len() - 1
            });
            (at, index)
        };
        let routable: Vec<_> = self.fleet.members(Pool::Routable).iter().map(|&i| of(i as usize)).collect();
        let loading: Vec<_> = self.fleet.loading().map(&mut of).collect();
        let signals = &self.signals;
        for (at, index) in routable {
            let capacity_tokens = signals.kv_capacity_tokens[index];
            variants[at].replicas.push(Replica {
                capacity_tokens,
                used_tokens: (signals.all.kv_utilization[index] * capacity_tokens as f64).round() as u64,
                queue_depth: signals.all.queue_depth[index],
                in_flight: signals.all.in_flight[index],
            });
        }
        for (at, index) in loading {
            variants[at].pending += 1;
            variants[at].pending_capacity_tokens += self.instances[index].kv_tokens();
        }
        if self.scaler.as_ref().is_some_and(|scaler| scaler.policy.looks_beyond()) {
            for (gpu, tp, cost_per_hour) in self.fleet.other_kinds() {
                if !variants.iter().any(|variant| variant.gpu == gpu && variant.tp == tp) {
                    variants.push(Variant { gpu: gpu.to_owned(), tp, cost_per_hour, ..Variant::default() });
                }
            }
            for variant in &mut variants {
                variant.room = self.fleet.room_for(&variant.gpu);
            }
        }
        variants.sort_by(|a, b| {
            a.cost_per_hour.total_cmp(&b.cost_per_hour).then_with(|| (&a.gpu, a.tp).cmp(&(&b.gpu, b.tp)))
        });
        variants
    }

    /// What was decided some time ago happens.
    pub(crate) fn scale(&mut self, now: Tick) {
        let (_, Change { gpu, replicas }) = self.scaler().changes.pop().expect("a change that was seen");
        self.bring_up_to_date(now);
        self.end_drained(now);
        let as_found = self.plan.semantics.autoscaler_lets_everything_go;
        let (fewest, most) = (self.scaler().plan.min_replicas, self.scaler().plan.max_replicas);
        for _ in 0..replicas.max(0) {
            if self.fleet.replicas() >= most as usize {
                break;
            }
            let kind =
                InstanceKind { config: self.plan.instance.clone(), latency: self.plan.latency.clone() };
            let Some(mut instance) = self.fleet.scale_up(&gpu, now, !as_found, &kind) else { break };
            if self.reads.cache {
                instance.keep_index_journal();
            }
            self.keep_journal_of(&mut instance);
            if let Some(log) = &mut self.decisions {
                log.add_instance(instance.kv_blocks());
            }
            self.instances.push(instance);
            self.signals.add_instance();
            if let Some(faults) = &mut self.faults {
                faults.add_instance(now);
            }
            self.next_events.make_room_for(self.instances.len());
        }
        for _ in replicas.min(0)..0 {
            if !as_found && self.fleet.replicas() <= fewest as usize {
                break;
            }
            let Some(index) = self.fleet.victim(&gpu, as_found) else { break };
            self.fleet.drain(index);
            self.let_go(index, now);
            if as_found && self.is_idle(index) && self.fleet.is_up(index) {
                // It ends only with an event of its own, which never comes.
                self.stuck.push(index);
            }
        }
        self.end_drained(now);
        self.signals.members_changed();
    }

    fn is_idle(&self, index: usize) -> bool {
        let instance = &self.instances[index];
        instance.queue_depth() == 0 && instance.batch_size() == 0 && self.signals.all.in_flight[index] == 0
    }

    /// Instances that drain and have nothing left are gone since their last event.
    pub(crate) fn end_drained(&mut self, now: Tick) {
        for index in self.fleet.draining() {
            if self.is_idle(index) && !self.stuck.contains(&index) {
                let at = self.instances[index].clock().min(now);
                self.fleet.terminate(index, at);
            }
        }
    }

    /// An instance takes requests from now on.
    pub(crate) fn loaded(&mut self) {
        if let Some(index) = self.fleet.finish_loading() {
            self.fleet.begin_warm_up_of(index, &mut self.instances[index]);
        }
        self.signals.members_changed();
    }
}
