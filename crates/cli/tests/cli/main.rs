//! The program as its users see it: words in; standard output, standard error, files and exit code out.

mod accuracy;
mod analysis;
mod bad_input;
mod calibrate;

mod command_line;
mod compare;
mod convert;
mod decisions;
mod experts;
mod fit;
mod host;
mod intervals;
mod kept_results;
mod mock;
mod observe;
mod plan;
mod ranks;
mod recordings;
mod report;
mod results;
mod server;
mod support;
mod sweep;
mod traces;
mod validate;
mod workload;
