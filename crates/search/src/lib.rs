//! Questions that take many runs: how many instances, which of several configurations.
//!
//! A [`Subject`] is whatever can be tried: a configuration that is simulated with so many instances, at such a rate, with
//! such a seed. Searches ask it, in parallel, and never look at a clock: the answer is the same with any number of threads.

pub mod fleet_size;
pub mod slo;
pub mod subject;

pub use fleet_size::{Answer, Effort, Probe, Replications, fewest_instances, highest_rate};
pub use slo::{Slo, Term};
pub use subject::{Configuration, Measured, Subject, Trial};
