//! What a run looks like to people and programs: an [`Outcome`](blis_metrics::Outcome) becomes text.
//!
//! Nothing here prints or writes files.
//!
//! | function | for |
//! |---|---|
//! | [`standard_output`] | the blocks that scripts have cut apart for years |
//! | [`metrics_file`] | `--metrics-path`: the cluster's figures and every request |
//! | [`results_file`] | `--results-path` of a replay: every finished request |
//! | [`document`] | `--format json`: one document with everything |
//! | [`table`] | `--format table`: for people |

mod document;
mod json;
mod metrics_file;
mod results_file;
mod standard_output;
mod table;

pub use document::document;
pub use metrics_file::metrics_file;
pub use results_file::results_file;
pub use standard_output::standard_output;
pub use table::table;
