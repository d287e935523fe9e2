//! The lengths of a cohort: lognormal distributions, averaged over its clients.

use super::chunk::{Chunk, DAY_S, Lengths};
use super::pmf::{Pmf, fit_lognormal};
use crate::workload_file::schema::{Dist, Maybe};
use crate::workload_file::writer::dist;

/// Input and output lengths of clients around a time of day; `None` when none of them has any.
pub(super) fn fitted(chunks: &[&Chunk], at_s: f64) -> Option<(Maybe<Dist>, Maybe<Dist>)> {
    let input = average(chunks.iter().filter_map(|chunk| of_chunk(chunk, at_s, |lengths| &lengths.input)))?;
    let output = average(chunks.iter().filter_map(|chunk| of_chunk(chunk, at_s, |lengths| &lengths.output)))?;
    let lognormal = |(mu, sigma)| dist("lognormal", &[("mu", mu), ("sigma", sigma)]);
    Some((lognormal(input), lognormal(output)))
}

/// What stands in for lengths that nobody measured.
pub(super) fn fallback() -> (Maybe<Dist>, Maybe<Dist>) {
    let normal = |mean, std_dev| {
        dist("gaussian", &[("mean", mean), ("std_dev", std_dev), ("min", 1.0), ("max", 32_768.0)])
    };
    (normal(512.0, 128.0), normal(128.0, 32.0))
}

/// Over all days, the windows at the same time of day as the one that holds at `at_s`.
fn of_chunk(chunk: &Chunk, at_s: f64, part: fn(&Lengths) -> &Pmf) -> Option<(f64, f64)> {
    let time_of_day = chunk.lengths_at(at_s)?.start_s.rem_euclid(DAY_S);
    let windows = chunk.lengths.iter().filter(|lengths| lengths.start_s.rem_euclid(DAY_S) == time_of_day);
    average(windows.filter_map(|lengths| fit_lognormal(part(lengths))))
}

fn average(fits: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let (mut count, mut mu, mut sigma) = (0.0, 0.0, 0.0);
    for fit in fits {
        count += 1.0;
        mu += fit.0;
        sigma += fit.1;
    }
    (count > 0.0).then(|| (mu / count, sigma / count))
}
