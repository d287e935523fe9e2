//! Step-time models that were composed before: a search resolves the same servers again and again.

use blis_latency::profiled::{Composition, KernelTables, KvFormat, ModelShape, Tuning};
use blis_latency::{Deployment, GpuSpec, InvalidModel, Profiled};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Most compositions that are kept, about 100 kB each.
const KEPT: usize = 64;

/// Everything that a composition follows from.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    pub(super) shape: ModelShape,
    pub(super) gpu: GpuSpec,
    pub(super) deployment: Deployment,
    pub(super) kv: KvFormat,
    /// The tables by where they lie: those that a user gives are read for every resolution, and not held by what is kept.
    pub(super) tables: Weak<KernelTables>,
    pub(super) alpha: Vec<f64>,
    pub(super) tuning: Tuning,
}

impl PartialEq for Composed {
    fn eq(&self, other: &Self) -> bool {
        let Self { shape, gpu, deployment, kv, tables, alpha, tuning } = self;
        tables.ptr_eq(&other.tables)
            && shape == &other.shape
            && gpu == &other.gpu
            && deployment == &other.deployment
            && kv == &other.kv
            && alpha == &other.alpha
            && tuning == &other.tuning
    }
}

impl Composed {
    /// What [`Profiled::compose`] says of these tables, which is worked out once as long as not too many others come between.
    ///
    /// # Errors
    /// As there.
    pub(super) fn get(self, tables: &KernelTables) -> Result<Arc<Composition>, InvalidModel> {
        static COMPOSED: Mutex<VecDeque<(Composed, Arc<Composition>)>> = Mutex::new(VecDeque::new());
        let kept = || COMPOSED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = kept().iter().find(|(from, _)| *from == self) {
            return Ok(Arc::clone(known));
        }
        let Self { shape, gpu, deployment, kv, alpha, tuning, .. } = &self;
        let made = Arc::new(Profiled::compose(shape, gpu, deployment, *kv, tables, alpha, tuning)?);
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((self, Arc::clone(&made)));
        Ok(made)
    }
}
