//! Workload files made from something else.

mod compose;
mod csv_trace;
mod inference_perf;
mod preset;
mod scenario;
mod servegen;

pub use compose::compose;
pub use csv_trace::csv_trace;
pub use inference_perf::inference_perf;
pub use preset::{PresetOptions, preset};
pub use servegen::{ServegenOptions, servegen};

use crate::Diagnostic;
use crate::workload_file::schema::File;
use crate::workload_file::{self, writer};

/// A workload file that was made, and what its reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The file.
    pub yaml: String,
    /// What the user should know.
    pub warnings: Vec<Diagnostic>,
}

/// Writes a file after checking it like one that was read. It need not say when it ends: a run can.
fn finish(file: &File, mut warnings: Vec<Diagnostic>) -> Result<Converted, Vec<Diagnostic>> {
    warnings.extend(workload_file::check(file)?);
    Ok(Converted { yaml: writer::write(file), warnings })
}
