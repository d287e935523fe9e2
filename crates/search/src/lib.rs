//! Questions that take many runs: how many instances, which of several configurations.
//!
//! A [`Subject`] is whatever can be tried: a configuration that is simulated with so many instances, at such a rate, with
//! such a seed. Searches ask it, in parallel, and never look at a clock: the answer is the same with any number of threads.
//! A [`Sweep`] tries many configurations of a [`Space`] of settings.

pub mod compare;
pub mod figure;
pub mod fleet_size;
pub mod goal;
pub mod intervals;
pub mod method;
pub mod rows;
pub mod slo;
pub mod space;
pub mod subject;
pub mod sweep;

pub use blis_store::Part;
pub use fleet_size::{Answer, Effort, Probe, Replications, fewest_instances, highest_rate};
pub use goal::{Goal, Score};
pub use method::Method;
pub use slo::{Slo, Term};
pub use space::{Dimension, Point, Space};
pub use subject::{Configuration, Measured, Split, Subject, stopped};
pub use sweep::{Runner, Sweep, Watcher};
