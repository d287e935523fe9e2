//! Admission, routing and its scorers, disaggregation and encoding.

use super::{Asking, Class, Object};
use blis_kernel::InstanceId;
use blis_policy::Reads;
use blis_policy::admission::{Admission, AdmissionView, Decision};
use blis_policy::disaggregation::{Decider, DeciderView, PoolView, Served};
use blis_policy::encode::{EncodeDecider, EncodeView};
use blis_policy::routing::{Choice, RequestView, Router, RouterView, Scorer};
use pyo3::prelude::*;
use std::borrow::Cow;

pub(super) struct Admits(Object);

impl Admits {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        Self(object)
    }
}

impl Admission for Admits {
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision {
        let admitted = self.0.ask(|policy| {
            let AdmissionView { now, input_tokens, slo_class, slo_rank, tenant, tenant_in_flight, .. } =
                *view;
            let request = policy.view(
                "AdmissionRequest",
                (now.as_us(), input_tokens, slo_class, slo_rank, tenant, tenant_in_flight),
            )?;
            let reads = policy.class.reads;
            let loads: Vec<u64> = loads(reads, view.in_flight.len(), |n| view.load_of(n));
            let instances = policy.view(
                "Instances",
                (
                    view.in_flight.len().max(view.queue_depth.len()),
                    policy.column(reads.snapshot, view.queue_depth)?,
                    policy.column(reads.snapshot, view.batch_size)?,
                    policy.column(reads.snapshot, view.kv_utilization)?,
                    policy.column(reads.in_flight, view.in_flight)?,
                    policy.column(has_load(reads), &loads)?,
                ),
            )?;
            policy.object.call_method1("admit", (request, instances))?.is_truthy()
        });
        if admitted { Decision::Admit } else { Decision::Reject }
    }

    fn reads(&self) -> Reads {
        self.0.class.reads
    }

    fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.0.class.name)
    }
}

/// Load may count what is in flight and what the snapshot shows.
fn has_load(reads: Reads) -> bool {
    reads.in_flight && reads.snapshot
}

fn loads(reads: Reads, instances: usize, load_of: impl Fn(usize) -> u64) -> Vec<u64> {
    if has_load(reads) { (0..instances).map(load_of).collect() } else { Vec::new() }
}

/// The arguments of routers and scorers.
fn request_and_instances<'py>(
    policy: &Asking<'_, 'py>,
    view: &RouterView<'_>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let RequestView { input_tokens, keys, slo_rank } = view.request;
    let request = policy.view("RoutingRequest", (view.now.as_us(), input_tokens, slo_rank, keys.blocks()))?;
    let reads = policy.class.reads;
    let mut cached = Vec::new();
    if reads.cache {
        view.cache.cached_blocks(&view.request, view.instances, &mut cached);
    }
    let loads = loads(reads, view.len(), |n| view.load_of(n));
    let ids: Vec<u32> = view.instances.iter().map(|instance| instance.0).collect();
    let instances = policy.view(
        "Instances",
        (
            view.len(),
            policy.column(reads.snapshot, view.queue_depth)?,
            policy.column(reads.snapshot, view.batch_size)?,
            policy.column(reads.snapshot, view.kv_utilization)?,
            policy.column(reads.in_flight, view.in_flight)?,
            policy.column(has_load(reads), &loads)?,
            policy.column(true, &ids)?,
            policy.column(reads.cache, &cached)?,
            policy.column(!view.adapter_resident.is_empty(), view.adapter_resident)?,
        ),
    )?;
    Ok((request, instances))
}

pub(super) struct Routes(Object);

impl Routes {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        Self(object)
    }
}

impl Router for Routes {
    fn route(&mut self, view: &RouterView<'_>) -> Choice {
        Choice(self.0.ask(|policy| {
            let answer = policy.object.call_method1("route", request_and_instances(policy, view)?)?;
            policy.place(&answer, "route", view.len())
        }))
    }

    fn reads(&self) -> Reads {
        self.0.class.reads
    }

    fn reason(&self) -> String {
        self.0.class.name.to_owned()
    }
}

pub(super) struct Scores {
    object: Object,
    learns: bool,
}

impl Scores {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        let learns = object.has("observe");
        Self { object, learns }
    }
}

impl Scorer for Scores {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        self.object.ask(|policy| {
            let answer = policy.object.call_method1("score", request_and_instances(policy, view)?)?;
            policy.numbers(&answer, "score", out)
        });
    }

    fn observe(&mut self, request: &RequestView<'_>, chosen: InstanceId) {
        if self.learns {
            self.object.ask(|policy| {
                let now_us: Option<i64> = None;
                let RequestView { input_tokens, keys, slo_rank } = *request;
                let request =
                    policy.view("RoutingRequest", (now_us, input_tokens, slo_rank, keys.blocks()))?;
                policy.object.call_method1("observe", (request, chosen.0)).map(drop)
            });
        }
    }

    fn reads(&self) -> Reads {
        self.object.class.reads
    }
}

pub(super) struct Splits {
    object: Object,
    learns: bool,
}

impl Splits {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        let learns = object.has("observe");
        Self { object, learns }
    }
}

fn pool<'py>(policy: &Asking<'_, 'py>, pool: &PoolView<'_>) -> PyResult<Bound<'py, PyAny>> {
    let reads = policy.class.reads;
    policy.view(
        "Instances",
        (
            pool.in_flight.len().max(pool.queue_depth.len()),
            policy.column(reads.snapshot, pool.queue_depth)?,
            policy.column(reads.snapshot, pool.batch_size)?,
            policy.column(reads.snapshot, pool.kv_utilization)?,
            policy.column(reads.in_flight, pool.in_flight)?,
        ),
    )
}

impl Decider for Splits {
    fn splits(&mut self, view: &DeciderView<'_>) -> bool {
        self.object.ask(|policy| {
            let DeciderView { now, input_tokens, cached_tokens, transfer_time, chosen, .. } = *view;
            let cached_tokens = policy.class.reads.cache.then_some(cached_tokens);
            let request = policy.view(
                "SplitRequest",
                (now.as_us(), input_tokens, cached_tokens, transfer_time.as_us(), chosen),
            )?;
            let pools = (request, pool(policy, &view.prefill)?, pool(policy, &view.decode)?);
            policy.object.call_method1("splits", pools)?.is_truthy()
        })
    }

    fn reads(&self) -> Reads {
        self.object.class.reads
    }

    fn observe(&mut self, served: &Served) {
        if self.learns {
            self.object.ask(|policy| {
                let fields = (
                    served.input_tokens,
                    served.uncached_tokens,
                    served.output_tokens,
                    served.arrival.as_us(),
                    served.ttft.as_us(),
                    served.itl_mean_us,
                    served.split.is_some(),
                );
                policy.object.call_method1("observe", (policy.view("Served", fields)?,)).map(drop)
            });
        }
    }
}

pub(super) struct Encodes(Object);

impl Encodes {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        Self(object)
    }
}

impl EncodeDecider for Encodes {
    fn encodes(&mut self, request: &EncodeView) -> bool {
        self.0.ask(|policy| {
            let request = policy.view("EncodeRequest", (request.input_tokens, request.media_tokens))?;
            policy.object.call_method1("encodes", (request,))?.is_truthy()
        })
    }
}
