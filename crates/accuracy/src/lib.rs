//! How far the simulator is from real servers: a folder of measured runs, each of them simulated, and the errors.
//!
//! A folder holds any of these:
//!
//! | file | what it has | what is made of it |
//! |---|---|---|
//! | `ground-truth/experiments.csv`, `ground-truth/workloads/*.yaml` | settings of servers, stages of load, figures of each stage | one [`Point`] per run, at random arrivals |
//! | `per-request/*.csv.gz` | every request of such a run | one point per recording, at the recorded arrivals |
//! | `silicon/dev.csv` | servers under a closed loop of users | one point per row that is marked as a sample |
//! | `steps/*.csv.gz` | batches of single steps and their times | one point per run, without a simulation |
//! | `model-configs/*.json` | configurations of models | what is not built in |
//!
//! Nothing is fitted here. The same runs make the table from which bands come ([`blis_intervals`]), and show what share of the
//! measurements lies within them. What cannot be simulated is told with the reason.
//!
//! Beside folders, recorded traces ([`trace`]) and logs of steps ([`step_log`]) are points.

mod assess;
mod bands;
mod cells;
mod contexts;
mod coverage;
mod errors;
mod experiments;
mod folder;
mod load;
mod own;
mod point;
mod recordings;
mod silicon;
mod steps;

pub use assess::{Assessed, Extras, Sample, assess};
pub use coverage::{Coverage, coverage_rows};
pub use errors::{Dimension, ErrorRow, Errors, error_rows};
pub use folder::{Selection, read};
pub use own::{STEP_COLUMNS, step_log, trace};
pub use point::{
    ALL, Load, Measurement, Measurements, Metric, Point, RecordedRequest, Server, Stage, Stages, TimedStep,
};
pub use silicon::ClosedLoops;
