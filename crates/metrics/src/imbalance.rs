//! Head-of-line blocking: an instance's wait queue is long while the others' are not.
//!
//! q_i = mean length of instance i's wait queue over its steps; instances with q_i > 2 * mean(q) are counted. With
//! fewer than three instances none can be.

use crate::aggregate::InstanceFigures;

/// Number of instances that block.
pub(crate) fn head_of_line_blocking(instances: &[InstanceFigures]) -> u64 {
    let means: Vec<f64> = instances.iter().map(InstanceFigures::mean_queue_length).collect();
    let mean = means.iter().fold(0.0, |sum, q| sum + q) / means.len().max(1) as f64;
    means.iter().filter(|&&q| mean > 0.0 && q > 2.0 * mean).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(queues: &[(u64, u64)]) -> u64 {
        let instances: Vec<_> = queues
            .iter()
            .map(|&(steps, queue_length_sum)| InstanceFigures {
                steps,
                queue_length_sum,
                ..InstanceFigures::default()
            })
            .collect();
        head_of_line_blocking(&instances)
    }

    #[test]
    fn one_long_queue_among_three_blocks_and_of_two_none_can() {
        assert_eq!(blocked(&[(10, 900), (10, 10), (10, 10)]), 1);
        assert_eq!(blocked(&[(10, 900), (0, 0)]), 0);
        assert_eq!(blocked(&[(10, 0), (10, 0), (0, 0)]), 0);
        assert_eq!(blocked(&[(10, 900)]), 0);
    }
}
