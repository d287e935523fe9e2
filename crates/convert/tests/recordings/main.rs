//! Recordings of other programs as traces.

mod extracts;
mod kinds;
mod support;
