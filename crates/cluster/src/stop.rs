//! Runs that end before their end: somebody wants no more of them, or a policy cannot go on.
//!
//! Such a run unwinds to [`Control::run`], so that neither the event loop nor the policies know of it.

use crate::observer::{Observer, Progress};
use crate::plan::Plan;
use blis_kernel::Tick;
use blis_metrics::{Outcome, Sample};
use blis_workload::trace::Served;
use blis_workload::{RequestSource, RequestSpec};
use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Why a policy could not go on; whoever gave it knows what it is.
pub type Cause = Box<dyn Any + Send>;

/// What unwinds.
struct Abandoned(Option<Cause>);

/// The run has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Ends the run in which it is called, for policies that fail. Only runs of [`Control::run`] may be ended so.
pub fn abandon(cause: Cause) -> ! {
    panic::resume_unwind(Box::new(Abandoned(Some(cause))))
}

/// Lets any number of runs, on any threads, be stopped together.
#[derive(Debug, Default)]
pub struct Control {
    stopped: AtomicBool,
    cause: Mutex<Option<Cause>>,
}

impl Control {
    /// Nothing is stopped.
    pub const fn new() -> Self {
        Self { stopped: AtomicBool::new(false), cause: Mutex::new(None) }
    }

    /// Ends all runs as soon as they look; those that begin later end too.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Whether runs are to end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Why the first policy that failed did.
    pub fn take_cause(&self) -> Option<Cause> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs a plan to its end while somebody watches.
    ///
    /// # Errors
    /// It was stopped, or a policy [abandoned](abandon) it; then all other runs are stopped too.
    pub fn run(&self, plan: &Plan, observer: &mut dyn Observer) -> Result<Outcome, Stopped> {
        if self.is_stopped() {
            return Err(Stopped);
        }
        let mut watched = Watched { control: self, observer };
        let run = || crate::run_observed(plan, &mut watched);
        panic::catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
            match payload.downcast::<Abandoned>() {
                Ok(abandoned) => {
                    let mut cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
                    if cause.is_none() {
                        *cause = abandoned.0;
                    }
                }
                Err(bug) => panic::resume_unwind(bug),
            }
            self.stop();
            Stopped
        })
    }
}

/// An observer that also looks whether the run is to end.
struct Watched<'a> {
    control: &'a Control,
    observer: &'a mut dyn Observer,
}

impl Observer for Watched<'_> {
    fn begin(&mut self, source: &dyn RequestSource) {
        self.observer.begin(source);
    }

    fn progress(&mut self, at: Progress) {
        if self.control.is_stopped() {
            panic::resume_unwind(Box::new(Abandoned(None)));
        }
        self.observer.progress(at);
    }

    fn ended(&mut self, number: u64, request: RequestSpec, served: Served, source: &dyn RequestSource) {
        self.observer.ended(number, request, served, source);
    }

    fn next_sample_at(&self) -> Tick {
        self.observer.next_sample_at()
    }

    fn sample(&mut self, sample: Sample) {
        self.observer.sample(sample);
    }
}

/// Watches nothing.
impl Observer for () {}
