//! Measured times between tokens.

use std::collections::BTreeMap;

/// When one piece of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkTime {
    /// Number of the request.
    pub request_id: i64,
    /// Place of the piece in the answer, from 0.
    pub index: u32,
    /// When it came, µs.
    pub at_us: i64,
}

/// What the times of a request's pieces say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measured {
    /// Mean gap between pieces, µs.
    Mean(f64),
    /// The pieces are out of order throughout.
    OutOfOrder,
}

/// The mean gap between the pieces of each request that has at least two. Gaps below zero, which only a clock that was
/// set back can show, count nowhere.
pub(crate) fn mean_gaps(times: &[ChunkTime]) -> BTreeMap<i64, Measured> {
    let mut by_request: BTreeMap<i64, Vec<(u32, i64)>> = BTreeMap::new();
    for time in times {
        by_request.entry(time.request_id).or_default().push((time.index, time.at_us));
    }
    by_request
        .into_iter()
        .filter(|(_, times)| times.len() > 1)
        .map(|(request, mut times)| {
            times.sort_by_key(|&(index, _)| index);
            let gaps = times.windows(2).map(|pair| pair[1].1 - pair[0].1).filter(|&gap| gap >= 0);
            let (sum, count) = gaps.fold((0_i128, 0_u64), |(sum, n), gap| (sum + i128::from(gap), n + 1));
            let measured =
                if count == 0 { Measured::OutOfOrder } else { Measured::Mean(sum as f64 / count as f64) };
            (request, measured)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(request_id: i64, at_us: &[i64]) -> Vec<ChunkTime> {
        at_us.iter().zip(0..).map(|(&at_us, index)| ChunkTime { request_id, index, at_us }).collect()
    }

    #[test]
    fn gaps_are_averaged_by_request() {
        let mut all = times(4, &[100, 130, 200]);
        all.reverse();
        all.extend(times(5, &[10]));
        all.extend(times(6, &[50, 40, 60]));
        all.extend(times(7, &[9, 8]));
        let gaps = mean_gaps(&all);
        let expected = [(4, Measured::Mean(50.0)), (6, Measured::Mean(20.0)), (7, Measured::OutOfOrder)];
        assert_eq!(gaps, BTreeMap::from(expected));
    }
}
