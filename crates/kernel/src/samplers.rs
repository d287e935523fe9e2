//! Random gaps between arrivals and random lengths.
//!
//! Each draw consumes a fixed, documented sequence of primitive draws, so that a seed keeps its meaning:
//! F uniform in [0, 1), X exponential of mean 1, G standard normal.

mod arrival;
mod counted;
mod length;

pub use arrival::{ArrivalApproximation, ArrivalProcess, ArrivalSampler, GapShape};
pub use counted::CountedGaps;
pub use length::{EmpiricalLengths, LengthSampler};

/// A gap in whole microseconds, at least 1.
fn whole_us(us: f64) -> i64 {
    (us as i64).max(1)
}
