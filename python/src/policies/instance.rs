//! What an instance asks: the order of its wait queue, and who gives way. Both are rules without memory: every decision has
//! an object of its own.

use super::{Class, Object, or_abandon};
use blis_policy::Own;
use blis_policy::preemption::{PreemptionKind, PreemptionVictim, Running};
use blis_policy::scheduling::{QueueOrder, SchedulerKind, Waiting};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::cmp::Ordering;

pub(super) fn scheduler(class: &'static Class) -> SchedulerKind {
    SchedulerKind::Own(Own(Box::leak(Box::new(ByKey(class)))))
}

pub(super) fn preemption(class: &'static Class) -> PreemptionKind {
    PreemptionKind::Own(Own(Box::leak(Box::new(Chooses(class)))))
}

struct ByKey(&'static Class);

impl ByKey {
    /// One number or several, the smallest first.
    fn key(&self, waiting: &Waiting) -> Vec<f64> {
        let made = or_abandon(Python::attach(|py| Object::plain(self.0, py)));
        made.ask(|policy| {
            let fields = (waiting.priority, waiting.arrival.as_us(), waiting.input_tokens);
            let answer = policy.object.call_method1("key", (policy.view("Waiting", fields)?,))?;
            let key = match answer.extract::<Vec<f64>>() {
                Ok(several) => several,
                Err(_) => vec![policy.number(&answer, "key")?],
            };
            if key.iter().any(|number| number.is_nan()) {
                let name = policy.class.name;
                return Err(PyValueError::new_err(format!(
                    "key of {name} gave {answer}, which has no order"
                )));
            }
            Ok(key)
        })
    }
}

impl QueueOrder for ByKey {
    fn compare(&self, a: &Waiting, b: &Waiting) -> Ordering {
        let (first, second) = (self.key(a), self.key(b));
        first
            .partial_cmp(&second)
            .unwrap_or(Ordering::Equal)
            .then_with(|| a.arrival.cmp(&b.arrival))
            .then_with(|| a.name.cmp(&b.name))
    }
}

struct Chooses(&'static Class);

impl PreemptionVictim for Chooses {
    fn choose(&self, batch: &[Running]) -> usize {
        let made = or_abandon(Python::attach(|py| Object::plain(self.0, py)));
        made.ask(|policy| {
            let priorities: Vec<i32> = batch.iter().map(|running| running.priority).collect();
            let arrivals_us: Vec<i64> = batch.iter().map(|running| running.arrival.as_us()).collect();
            let columns = (policy.column(true, &priorities)?, policy.column(true, &arrivals_us)?);
            let answer = policy.object.call_method1("choose", (policy.view("Batch", columns)?,))?;
            policy.place(&answer, "choose", batch.len())
        })
    }
}
