//! The gateway queue in small scenarios worked out by hand.
//!
//! A step takes 1000 µs + 10 µs per prompt token + 100 µs per decoding request. The instance gets one request at a time,
//! and the gateway tries to dispatch at every full millisecond while requests wait.

mod support;

use blis_cluster::plan::{AutoscalerPlan, Delay, DrainPolicy, ElasticPlan, FlowControlPlan, Plan};
use blis_cluster::run;
use blis_kernel::Tick;
use blis_metrics::Outcome;
use blis_metrics::RequestEnding::{
    self, Completed, Evicted, ExpiredAtGateway, RejectedByAdmission, RejectedByGateway, ShedFromGateway,
    StillAtGateway, TimedOut,
};
use blis_policy::Registry;
use blis_policy::autoscaling::{Autoscaler, Scaling, ScalingView};
use blis_policy::registry::{Entry, MakeAutoscaler};
use support::{Script, admission, one_at_a_time, plan, records, request, scripted, until};

fn of_class(slo_class: &'static str, arrival_us: i64) -> Script {
    Script { slo_class, ..request(arrival_us, 100, 1) }
}

fn queued(requests: &[Script], flow_control: FlowControlPlan) -> Plan {
    let mut plan = plan([1_000.0, 10.0, 100.0], scripted(requests));
    plan.flow_control = Some(flow_control);
    plan
}

fn endings(outcome: &Outcome) -> Vec<RequestEnding> {
    records(outcome).iter().map(|record| record.ending).collect()
}

/// Where each request's answer came in the order of answers, `None` without one.
fn done_at_us(outcome: &Outcome) -> Vec<Option<i64>> {
    records(outcome).iter().map(|r| r.e2e.map(|e2e| (r.arrival + e2e).as_us())).collect()
}

/// Each request is dispatched at the first tick after the one before was done, in order of class.
#[test]
fn classes_are_served_in_order_of_importance() {
    let requests =
        [of_class("batch", 0), of_class("background", 10), of_class("critical", 20), of_class("", 30)];
    let outcome = run(&queued(&requests, one_at_a_time("priority")));
    assert_eq!(done_at_us(&outcome), [Some(2_000), Some(11_000), Some(5_000), Some(8_000)]);
    let delays: Vec<_> = records(&outcome).iter().map(|r| r.gateway_queue_delay.map(Tick::as_us)).collect();
    assert_eq!(delays, [Some(0), Some(8_990), Some(2_980), Some(5_970)]);
}

#[test]
fn a_request_may_wait_for_its_time_to_live_and_no_longer() {
    let flow_control = FlowControlPlan { ttl: Some(Tick::from_us(2_500)), ..one_at_a_time("fifo") };
    let outcome = run(&queued(&[of_class("", 0), of_class("", 400), of_class("batch", 600)], flow_control));
    // The tick of 3000 comes before the expiry at 3100, and after the one at 2900.
    assert_eq!(endings(&outcome), [Completed, ExpiredAtGateway, Completed]);
    assert_eq!((outcome.anomalies.gateway_expired, &outcome.anomalies.shed["standard"]), (1, &1));
}

/// B14: a client that gave up is not served.
#[test]
fn a_deadline_takes_a_request_out_of_the_queue() {
    let late = Script { deadline_us: Some(1_500), ..of_class("", 100) };
    let outcome = run(&queued(&[of_class("", 0), late], one_at_a_time("fifo")));
    assert_eq!(endings(&outcome), [Completed, TimedOut]);
    assert_eq!(outcome.conservation.timed_out, 1);
}

#[test]
fn a_full_queue_refuses_or_sheds() {
    let requests = [of_class("", 0), of_class("batch", 10), of_class("critical", 20), of_class("batch", 30)];
    let full = FlowControlPlan { max_depth: Some(1), ..one_at_a_time("priority") };
    let outcome = run(&queued(&requests, full.clone()));
    assert_eq!(endings(&outcome), [Completed, Completed, RejectedByGateway, RejectedByGateway]);
    let outcome = run(&queued(&requests, FlowControlPlan { sheds: true, ..full }));
    assert_eq!(endings(&outcome), [Completed, ShedFromGateway, Completed, RejectedByGateway]);
    let (gateway, shed) = (&outcome.anomalies, &outcome.anomalies.shed);
    assert_eq!((gateway.gateway_shed, gateway.gateway_rejected, shed["batch"]), (1, 1, 1));
}

/// Only a request that matters takes a sheddable one's place.
#[test]
fn saturated_instances_give_up_sheddable_requests() {
    let evicting = || FlowControlPlan { evicts: true, ..one_at_a_time("priority") };
    let outcome = run(&queued(&[of_class("batch", 0), of_class("critical", 500)], evicting()));
    assert_eq!(endings(&outcome), [Evicted, Completed]);
    // Evicted at 500; the step that ran ends at 2000; dispatched at the tick of 1500, it has the next step.
    assert_eq!(done_at_us(&outcome)[1], Some(4_000));
    let outcome = run(&queued(&[of_class("batch", 0), of_class("batch", 500)], evicting()));
    assert_eq!(endings(&outcome), [Completed, Completed]);
}

/// B15: admission is asked before the queue.
#[test]
fn who_is_not_admitted_never_waits() {
    let mut plan = queued(&[of_class("", 0), of_class("", 10)], one_at_a_time("fifo"));
    plan.admission = admission("reject-all", &[]);
    assert_eq!(endings(&run(&plan)), [RejectedByAdmission; 2]);
}

#[test]
fn at_the_horizon_the_queue_is_counted() {
    let plan = queued(&[of_class("", 0), of_class("", 10), of_class("", 20)], one_at_a_time("fifo"));
    let outcome = run(&until(plan, Tick::from_us(2_500)));
    assert_eq!(endings(&outcome), [Completed, StillAtGateway, StillAtGateway]);
    assert_eq!((outcome.anomalies.gateway_depth, outcome.conservation.holds()), (2, true));
}

/// Takes an instance away whenever it is asked.
struct TakesAway;

impl Autoscaler for TakesAway {
    fn decide(&mut self, view: &ScalingView<'_>) -> Option<Scaling> {
        (!view.variants.is_empty()).then_some(Scaling { variant: 0, replicas: -1 })
    }

    fn stabilises(&self) -> bool {
        true
    }
}

/// Law: a run ends, even if requests wait for instances that nobody adds. The last one answers whom it has.
#[test]
fn nobody_waits_for_ever_for_a_cluster_without_instances() {
    const TAKES_AWAY: Entry<MakeAutoscaler> = Entry {
        name: "takes-away",
        summary: "fewer instances",
        formula: "-1",
        params: &[],
        make: &|_| Box::new(TakesAway),
    };
    let detector = Registry::built_in().saturation.get("utilization").expect("a detector").with_defaults();
    let by_snapshots = FlowControlPlan { saturation: detector, ..one_at_a_time("fifo") };
    let mut plan = queued(&[of_class("", 0), of_class("", 500)], by_snapshots);
    let at_once = Delay { mean_s: 0.0, std_dev_s: 0.0 };
    plan.elastic = Some(ElasticPlan {
        gpu: "H100".to_owned(),
        tp: 1,
        node_pools: Vec::new(),
        loading_delay: at_once,
        warm_start: true,
        autoscaler: Some(AutoscalerPlan {
            policy: TAKES_AWAY.with_defaults(),
            interval: Tick::from_us(400),
            up_window: Tick::ZERO,
            down_window: Tick::ZERO,
            actuation_delay: at_once,
            min_replicas: 0,
            max_replicas: 1,
            drain: DrainPolicy::Wait,
        }),
    });
    let outcome = run(&plan);
    assert_eq!(endings(&outcome), [Completed, StillAtGateway]);
    assert_eq!(done_at_us(&outcome), [Some(2_000), None]);
}
