//! Faults: when they strike, whom, and what becomes of the requests that they take.
//!
//! Faults end with the requests. While only ticks are left, random faults rest: whoever waits then for ever would
//! otherwise not be told so.

use crate::fleet::sample;
use crate::plan::{DrainPolicy, FaultKind, FaultPlan, FaultTarget, Plan};
use crate::run::Cluster;
use blis_engine::Replica;
use blis_kernel::rng::{GoRand, stream_seed};
use blis_kernel::{Tick, TimerQueue};
use blis_metrics::FaultFigures;

const US_PER_HOUR: f64 = 3.6e9;

/// A random fault further away never comes.
const FARTHEST_US: f64 = 1e17;

/// What a timer is set for.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The scheduled fault of this number strikes.
    Scheduled(usize),
    /// An instance has got over the slowdown of this number.
    SlowEnd { instance: usize, number: u64 },
}

/// The faults of a run.
pub(crate) struct Faults {
    plan: FaultPlan,
    /// Scheduled faults and ends.
    timers: TimerQueue<Event>,
    /// Random faults, with the instance.
    random: TimerQueue<(usize, usize)>,
    /// By random fault.
    draws: Vec<GoRand>,
    transfer_draws: GoRand,
    /// By instance: the slowdowns that it suffers from.
    slowdowns: Vec<Vec<(u64, f64)>>,
    struck: u64,
    /// Until when transfers are lost, and whose.
    losing: Vec<(Tick, FaultTarget)>,
    /// From when until when an instance was down.
    downtimes: Vec<(Tick, Tick)>,
    pub(crate) figures: FaultFigures,
}

impl Faults {
    /// For plans in which an instance can lose or give back requests.
    pub(crate) fn new(plan: &Plan, instances: usize) -> Option<Self> {
        let drain = plan.elastic.as_ref().and_then(|elastic| Some(elastic.autoscaler.as_ref()?.drain));
        if plan.faults.is_none() && drain.unwrap_or_default() == DrainPolicy::Wait {
            return None;
        }
        let own = plan.faults.clone().unwrap_or_default();
        let stream = |name| GoRand::new(stream_seed(plan.seed, name));
        let stream_of = |kind| match kind {
            FaultKind::Crash => stream("faults-crashes"),
            FaultKind::Slow { .. } => stream("faults-slowdowns"),
            FaultKind::LostTransfers => unreachable!("transfers are lost one by one"),
        };
        let mut faults = Self {
            timers: TimerQueue::default(),
            random: TimerQueue::default(),
            draws: own.random.iter().map(|fault| stream_of(fault.kind)).collect(),
            transfer_draws: stream("faults-transfers"),
            slowdowns: Vec::new(),
            struck: 0,
            losing: Vec::new(),
            downtimes: Vec::new(),
            figures: FaultFigures::default(),
            plan: own,
        };
        for (number, fault) in faults.plan.scheduled.iter().enumerate() {
            faults.timers.set(fault.at, Event::Scheduled(number));
        }
        (0..instances).for_each(|_| faults.add_instance(Tick::ZERO));
        Some(faults)
    }

    /// One more instance, behind the others.
    pub(crate) fn add_instance(&mut self, now: Tick) {
        let instance = self.slowdowns.len();
        self.slowdowns.push(Vec::new());
        (0..self.draws.len()).for_each(|fault| self.set_random(fault, instance, now));
    }

    /// Faults of an instance come at a constant rate, whatever it does; those that come while it is down hit nobody.
    fn set_random(&mut self, fault: usize, instance: usize, now: Tick) {
        let rate = self.plan.random[fault].per_instance_hour / US_PER_HOUR;
        let gap_us = self.draws[fault].exp_float64() / rate;
        if gap_us < FARTHEST_US {
            self.random.set(now + Tick::trunc(gap_us).max(Tick::ONE), (fault, instance));
        }
    }

    /// Whether a transfer between these instances that begins now will be lost.
    pub(crate) fn loses_transfer(&mut self, now: Tick, is_target: impl Fn(FaultTarget) -> bool) -> bool {
        self.losing.retain(|&(until, _)| until > now);
        let is_drawn =
            self.plan.transfer_loss > 0.0 && self.transfer_draws.float64() < self.plan.transfer_loss;
        is_drawn || self.losing.iter().any(|&(_, target)| is_target(target))
    }

    /// A fault takes a request that was tried again so many times; whether it is tried once more.
    pub(crate) fn take(&mut self, retries: &mut u32) -> bool {
        self.figures.lost_requests += 1;
        let goes_on = *retries < self.plan.max_retries;
        *retries += u32::from(goes_on);
        self.figures.retries += u64::from(goes_on);
        goes_on
    }

    /// What happened until the end of the run.
    pub(crate) fn finish(self, end: Tick) -> FaultFigures {
        let spans = self.downtimes.iter().map(|&(from, until)| until.min(end).max(from) - from);
        FaultFigures {
            downtime_s: spans.fold(Tick::ZERO, |sum, span| sum + span).as_seconds(),
            ..self.figures
        }
    }
}

impl Cluster<'_> {
    pub(crate) fn faults(&mut self) -> &mut Faults {
        self.faults.as_mut().expect("there may be faults")
    }

    /// When the next fault strikes, or is over; what else happens is due at `others`.
    pub(crate) fn next_fault_at(&self, others: Tick) -> Tick {
        let faults = self.faults.as_ref().expect("there may be faults");
        let (scheduled, random) = (faults.timers.next_at(), faults.random.next_at());
        if scheduled.min(random) > others {
            return Tick::MAX;
        }
        let expected = self.next_arrival.is_some() || self.follow_ups.next_at() < Tick::MAX;
        let goes_on = expected || self.ended < self.injected || self.live.is_some();
        let scheduled = if goes_on { scheduled } else { Tick::MAX };
        let rests = self.live.is_none() && random < scheduled && self.nothing_but_ticks_is_due();
        // Those that were due meanwhile begin to wait anew.
        let first = if rests { scheduled } else { scheduled.min(random) };
        first.max(self.now)
    }

    /// For how long an instance may be down.
    pub(crate) fn longest_downtime(&self) -> Tick {
        let Some(FaultPlan { scheduled, random, .. }) = &self.plan.faults else { return Tick::ZERO };
        let scheduled = scheduled.iter().map(|fault| fault.duration).max();
        let random = random.iter().map(|fault| fault.duration.longest()).max();
        scheduled.max(random).unwrap_or_default()
    }

    /// The next fault strikes, or is over.
    pub(crate) fn strike(&mut self, now: Tick) {
        let faults = self.faults.as_mut().expect("there may be faults");
        if faults.timers.next_at() > now {
            let (at, (fault, instance)) = faults.random.pop().expect("a fault that was seen");
            return self.strike_at_random(fault, instance, at, now);
        }
        let (_, event) = faults.timers.pop().expect("a fault that was seen");
        match event {
            Event::Scheduled(number) => {
                let fault = faults.plan.scheduled[number];
                if fault.kind == FaultKind::LostTransfers {
                    faults.losing.push((now + fault.duration, fault.target));
                    return self.spoil_transfers(fault.target);
                }
                for index in 0..self.instances.len() {
                    if self.fleet.is_target(index, fault.target) {
                        self.hit(index, fault.kind, now, fault.duration);
                    }
                }
            }
            Event::SlowEnd { instance, number } => {
                faults.slowdowns[instance].retain(|&(other, _)| other != number);
                self.set_slowness(instance, now);
            }
        }
    }

    /// A random fault that was due `at` strikes an instance.
    fn strike_at_random(&mut self, fault: usize, instance: usize, at: Tick, now: Tick) {
        if self.fleet.is_gone(instance) {
            return;
        }
        let is_up = self.fleet.is_up(instance);
        let faults = self.faults();
        if at == now && is_up {
            let own = faults.plan.random[fault];
            let duration = sample(own.duration, &mut faults.draws[fault]);
            self.hit(instance, own.kind, now, duration);
        }
        self.faults().set_random(fault, instance, now);
    }

    /// An instance crashes or becomes slow, if it is there to do so.
    fn hit(&mut self, index: usize, kind: FaultKind, now: Tick, duration: Tick) {
        if !self.fleet.is_up(index) {
            return;
        }
        let faults = self.faults();
        match kind {
            FaultKind::Crash => {
                faults.figures.crashes += 1;
                if self.fleet.take_down(index, now, now + duration) {
                    self.faults().downtimes.push((now, now + duration));
                }
                self.lose_everything(index, now);
                self.signals.forget(index);
                self.signals.members_changed();
            }
            FaultKind::Slow { factor } => {
                faults.figures.slowdowns += 1;
                faults.struck += 1;
                let number = faults.struck;
                faults.slowdowns[index].push((number, factor));
                faults.timers.set(now + duration, Event::SlowEnd { instance: index, number });
                self.set_slowness(index, now);
            }
            FaultKind::LostTransfers => unreachable!("no instance is hit"),
        }
    }

    /// The worst of its slowdowns counts.
    fn set_slowness(&mut self, index: usize, now: Tick) {
        let slowdowns = &self.faults().slowdowns[index];
        let factor = slowdowns.iter().fold(1.0, |worst: f64, &(_, factor)| worst.max(factor));
        self.bring_instance_up_to_date(index, now);
        self.instances[index].set_slowness(factor);
    }

    /// An instance is to go: what its drain policy wants of its requests.
    pub(crate) fn let_go(&mut self, index: usize, now: Tick) {
        match self.drain_policy() {
            DrainPolicy::Wait => {}
            DrainPolicy::Redirect => self.empty(index, now, Replica::redirect_queue),
            DrainPolicy::Immediate => {
                self.lose_everything(index, now);
                self.fleet.terminate(index, now);
            }
        }
    }

    fn drain_policy(&self) -> DrainPolicy {
        let elastic = self.plan.elastic.as_ref();
        elastic.and_then(|elastic| elastic.autoscaler.as_ref()).map(|scaler| scaler.drain).unwrap_or_default()
    }

    fn lose_everything(&mut self, index: usize, now: Tick) {
        self.lose_transfers_of(index, now);
        self.empty(index, now, Replica::fail);
    }

    /// Requests leave an instance before their time.
    fn empty(&mut self, index: usize, now: Tick, how: fn(&mut Replica, Tick)) {
        self.bring_instance_up_to_date(index, now);
        how(&mut self.instances[index], now);
        self.next_events.set(index, self.instances[index].next_event_at());
        self.collect_ended_at(index, now);
    }

    /// A request, or a part of it, was at an instance that has lost it or given it back. Whether it finds another one;
    /// otherwise it fails.
    pub(crate) fn goes_elsewhere(&mut self, handle: u32, is_redirected: bool, now: Tick) -> bool {
        let request = self.requests.get_mut(handle);
        let faults = self.faults.as_mut().expect("there may be faults");
        if is_redirected {
            faults.figures.redirected += 1;
        } else if !faults.take(&mut request.retries) {
            return false;
        }
        (request.instance, request.split, request.made) = (None, None, 0);
        if let Some(flow) = &mut self.flow_control {
            flow.forget(handle);
        }
        self.retries.push_back((now, handle));
        true
    }

    /// A request begins again: through the gateway queue, where there is one, to routing.
    pub(crate) fn retry(&mut self, now: Tick) {
        let (_, handle) = self.retries.pop_front().expect("a retry that was seen");
        if self.flow_control.is_some() {
            self.join_gateway_queue(handle, now);
        } else {
            self.routings.push_back((now + self.plan.routing_latency, handle));
        }
    }
}
