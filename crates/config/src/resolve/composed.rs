//! Step-time models that were composed before: a search resolves the same servers again and again.

use blis_latency::profiled::{Composition, KernelTables, KvFormat, ModelShape, Tuning};
use blis_latency::{Deployment, GpuSpec, InvalidModel, Profiled};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Most compositions that are kept, about 100 kB each.
const KEPT: usize = 64;

/// Everything that a composition follows from.
#[derive(Clone, Debug)]
pub(super) struct Composed {
    pub(super) shape: ModelShape,
    pub(super) gpu: GpuSpec,
    pub(super) deployment: Deployment,
    pub(super) kv: KvFormat,
    pub(super) tables: Arc<KernelTables>,
    pub(super) alpha: Vec<f64>,
    pub(super) tuning: Tuning,
}

impl PartialEq for Composed {
    /// Tables are the same where they are the same in memory, as the built-in ones of a GPU are.
    fn eq(&self, other: &Self) -> bool {
        let Self { shape, gpu, deployment, kv, tables, alpha, tuning } = self;
        Arc::ptr_eq(tables, &other.tables)
            && shape == &other.shape
            && gpu == &other.gpu
            && deployment == &other.deployment
            && kv == &other.kv
            && alpha == &other.alpha
            && tuning == &other.tuning
    }
}

impl Composed {
    /// What [`Profiled::compose`] says, which is worked out once as long as not too many others come between.
    ///
    /// # Errors
    /// As there.
    pub(super) fn get(self) -> Result<Arc<Composition>, InvalidModel> {
        static COMPOSED: Mutex<VecDeque<(Composed, Arc<Composition>)>> = Mutex::new(VecDeque::new());
        let kept = || COMPOSED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = kept().iter().find(|(from, _)| *from == self) {
            return Ok(Arc::clone(known));
        }
        let Self { shape, gpu, deployment, kv, tables, alpha, tuning } = &self;
        let made = Arc::new(Profiled::compose(shape, gpu, deployment, *kv, tables, alpha, tuning)?);
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((self, Arc::clone(&made)));
        Ok(made)
    }
}
