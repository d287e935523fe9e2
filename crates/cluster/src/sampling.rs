//! How the cluster stands, for observers that ask.

use crate::fleet::State;
use crate::flow_control::FlowControl;
use crate::run::Cluster;
use blis_kernel::Tick;
use blis_metrics::Sample;

impl Cluster<'_> {
    /// Whether the sample that is wanted comes before the gateway's next event, or while requests are still served.
    pub(crate) fn sample_comes_before(&self, next: Option<Tick>) -> bool {
        match next {
            Some(at) => self.sample_at <= at,
            // What was set for requests that are over may be due much later.
            None => self.ended < self.injected && self.next_events.first_at() < Tick::MAX,
        }
    }

    /// Tells the observer how the cluster stands. Instances are brought up to date earlier than they would be, which
    /// changes nothing that they do.
    pub(crate) fn take_sample(&mut self) {
        let at = self.sample_at;
        self.bring_up_to_date(at);
        let mut sample = Sample {
            at,
            arrived: self.injected,
            ended: self.ended,
            at_gateway: self.flow_control.as_ref().map_or(0, FlowControl::waiting) as u64,
            active: self.fleet.count(State::Active),
            loading: self.fleet.count(State::Loading),
            draining: self.fleet.count(State::Draining),
            down: self.fleet.count(State::Down),
            ..Sample::default()
        };
        let (mut sum, mut up) = (0.0, 0_u32);
        let instances = self.instances.iter().enumerate();
        for (_, instance) in instances.filter(|&(index, _)| self.fleet.is_up(index)) {
            let kv = instance.kv_utilization();
            sample.waiting += u64::from(instance.queue_depth());
            sample.waiting_most = sample.waiting_most.max(instance.queue_depth());
            sample.running += u64::from(instance.batch_size());
            sample.running_most = sample.running_most.max(instance.batch_size());
            sample.kv_least = if up == 0 { kv } else { sample.kv_least.min(kv) };
            sample.kv_most = sample.kv_most.max(kv);
            sum += kv;
            up += 1;
        }
        if up > 0 {
            sample.kv_mean = sum / f64::from(up);
        }
        self.observer.sample(sample);
        self.sample_at = self.observer.next_sample_at();
        assert!(self.sample_at > at, "an observer asks for the same time again");
    }
}
