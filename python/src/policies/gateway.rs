//! What the gateway queue asks: saturation, dispatch order, fairness, usage limit.

use super::{Class, Object};
use blis_kernel::Tick;
use blis_policy::Reads;
use blis_policy::flow_control::{BandView, DispatchOrder, Fairness, Queued, UsageLimit};
use blis_policy::saturation::{FleetView, SaturationDetector};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub(super) struct Measures(Object);

impl Measures {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        Self(object)
    }
}

impl SaturationDetector for Measures {
    fn saturation(&mut self, fleet: &FleetView<'_>) -> f64 {
        self.0.ask(|policy| {
            let reads = policy.class.reads;
            let nothing: Option<u32> = None;
            let instances = policy.view(
                "Instances",
                (
                    fleet.in_flight.len().max(fleet.queue_depth.len()),
                    policy.column(reads.snapshot, fleet.queue_depth)?,
                    nothing,
                    policy.column(reads.snapshot, fleet.kv_utilization)?,
                    policy.column(reads.in_flight, fleet.in_flight)?,
                ),
            )?;
            let answer = policy.object.call_method1("saturation", (instances, fleet.max_num_seqs))?;
            let saturation = policy.number(&answer, "saturation")?;
            if saturation < 0.0 {
                let name = policy.class.name;
                let text = format!("saturation of {name} gave {saturation}; it must be at least 0");
                return Err(PyValueError::new_err(text));
            }
            Ok(saturation)
        })
    }

    fn reads(&self) -> Reads {
        self.0.class.reads
    }
}

pub(super) struct Orders {
    object: Object,
    has_bands: bool,
}

impl Orders {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        let has_bands = object.has("band");
        Self { object, has_bands }
    }

    fn ask<T: for<'a, 'py> FromPyObject<'a, 'py>>(&self, method: &str, request: &Queued) -> T {
        self.object.ask(|policy| {
            let target_us = request.slo_target.map(Tick::as_us);
            let view = policy.view("QueuedRequest", (request.rank, request.since.as_us(), target_us))?;
            let answer = policy.object.call_method1(method, (view,))?;
            answer.extract().map_err(|_| {
                let name = policy.class.name;
                PyValueError::new_err(format!("{method} of {name} gave {answer}; it must be a whole number"))
            })
        })
    }
}

impl DispatchOrder for Orders {
    /// Without a method for it requests of one rank are a band.
    fn band(&self, request: &Queued) -> i32 {
        if self.has_bands { self.ask("band", request) } else { request.rank }
    }

    fn key(&self, request: &Queued) -> Tick {
        Tick::from_us(self.ask("key", request))
    }
}

pub(super) struct TakesTurns(Object);

impl TakesTurns {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        Self(object)
    }
}

impl Fairness for TakesTurns {
    fn choose(&mut self, band: &BandView<'_>) -> usize {
        self.0.ask(|policy| {
            let tenants = policy.column(true, band.tenants)?;
            let first_joined = policy.column(true, band.first_joined)?;
            let view = policy.view("Band", (band.band, tenants, first_joined))?;
            let answer = policy.object.call_method1("choose", (view,))?;
            policy.place(&answer, "choose", band.tenants.len())
        })
    }
}

pub(super) struct Limits(Object);

impl Limits {
    pub(super) fn new(_: &'static Class, object: Object) -> Self {
        Self(object)
    }
}

impl UsageLimit for Limits {
    fn ceilings(&mut self, saturation: f64, bands: &[i32], out: &mut [f64]) {
        self.0.ask(|policy| {
            let bands = policy.column(true, bands)?;
            let answer = policy.object.call_method1("ceilings", (saturation, bands))?;
            policy.numbers(&answer, "ceilings", out)
        });
    }
}
