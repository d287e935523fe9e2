//! What a run looks like to people and programs: an [`Outcome`](blis_metrics::Outcome) becomes text.
//!
//! Nothing here prints or writes files.
//!
//! | function | for |
//! |---|---|
//! | [`standard_output`] | the blocks that scripts have cut apart for years |
//! | [`metrics_file`] | `--metrics-path`: the cluster's figures and every request |
//! | [`results_file`] | `--results-path` of a replay: every finished request |
//! | [`saturation_report`] | `--saturation-report`: the detectors' verdicts after every event |
//! | [`decision_trace`] | `--decision-trace`: every decision at the gateway |
//! | [`explanation`] | `blis explain`: the decisions about one request |
//! | [`calibration_file`], [`calibration_table`] | simulated against measured requests, for programs and for people |
//! | [`adapter_comparison_file`], [`adapter_comparison_table`] | the same against another model of LoRA serving |
//! | [`document`] | `--format json`: one document with everything |
//! | [`table`] | `--format table`: for people |
//! | [`plan_text`], [`plan_document`] | the answer of `blis plan`, for people and for programs |
//! | [`html`] | `--report`: pages for a browser, and the blocks they are made of |
//! | [`accuracy_text`], [`accuracy_document`], [`accuracy_csv`], [`accuracy_page`] | how far simulated runs are from measured ones |
//! | [`fit_text`], [`fit_document`] | what `blis fit` found |
//! | [`Shown`], [`experiments`] | experiments that were kept |
//! | [`fields_table`], [`fields_document`], [`fields_csv`] | columns and rows of any kind |
//! | [`profile_table`], [`profile_document`] | what a workload looks like, for people and for programs |

mod accuracy;
mod adapters;
mod calibration;
mod calibration_table;
mod comparison;
mod decision_trace;
mod document;
mod experiment;
mod explanation;
mod fields;
mod fit;
pub mod html;
mod intervals;
mod json;
mod judgement;
mod metrics_file;
mod offload;
mod plan;
mod profile;
mod results_file;
mod saturation_report;
mod sparkline;
mod standard_output;
mod sweep;
mod table;

pub use accuracy::{Page, accuracy_csv, accuracy_document, accuracy_page, accuracy_text};
pub use calibration::{adapter_comparison_file, calibration_file};
pub use calibration_table::{adapter_comparison_table, calibration_table};
pub use comparison::{Compared, comparison_document, comparison_text};
pub use decision_trace::decision_trace;
pub use document::document;
pub use experiment::{Shown, experiments, sort_rows};
pub use explanation::explanation;
pub use fields::{fields_csv, fields_document, fields_table};
pub use fit::{fit_document, fit_text};
pub use metrics_file::metrics_file;
pub use plan::{Choice, Question, plan_document, plan_text, ranked};
pub use profile::{profile_document, profile_table};
pub use results_file::results_file;
pub use saturation_report::saturation_report;
pub use standard_output::standard_output;
pub use sweep::{sweep_document, sweep_text};
pub use table::table;
