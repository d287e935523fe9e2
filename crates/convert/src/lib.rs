//! Recordings of other programs as rows of traces.
//!
//! Every converter reads from any [`std::io::BufRead`] and hands rows to a [`Sink`]. Recordings of traffic are read
//! row by row, so that memory does not follow their length; result files of load generators are sorted, because they
//! list requests in the order in which they ended.

mod aiperf;
mod azure;
mod burstgpt;
mod guidellm;
mod json;
mod lines;
mod mooncake;
mod problem;
mod sharegpt;
mod sink;
mod table;
mod vllm_bench;

pub use aiperf::aiperf;
pub use azure::azure;
pub use burstgpt::burstgpt;
pub use guidellm::guidellm;
pub use mooncake::{MooncakeOptions, mooncake};
pub use problem::{Failure, Problem, Problems};
pub use sharegpt::{ShareGptOptions, sharegpt};
pub use sink::{Facts, InOrder, Sink, Sorted, Summary};
pub use vllm_bench::vllm_bench;
