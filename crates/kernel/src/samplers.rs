//! Random gaps between arrivals and random lengths.
//!
//! Each draw consumes a fixed, documented sequence of primitive draws, so that a seed keeps its meaning:
//! F uniform in [0, 1), X exponential of mean 1, G standard normal.

mod arrival;
mod length;

pub use arrival::{ArrivalApproximation, ArrivalProcess, ArrivalSampler, GapShape};
pub use length::{EmpiricalLengths, LengthSampler};
