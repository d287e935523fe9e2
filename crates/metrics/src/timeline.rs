//! How a run went, at evenly spaced times.

use blis_kernel::Tick;

/// How the cluster stood just before what happened at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// The time.
    pub at: Tick,
    /// Requests that had arrived.
    pub arrived: u64,
    /// Requests that were over, in whatever way.
    pub ended: u64,
    /// Requests in the gateway queue.
    pub at_gateway: u64,
    /// Requests in the wait queues of the instances.
    pub waiting: u64,
    /// The longest wait queue.
    pub waiting_most: u32,
    /// Requests in the batches of the instances.
    pub running: u64,
    /// The largest batch.
    pub running_most: u32,
    /// Share of its KV blocks that the instance with the emptiest cache used.
    pub kv_least: f64,
    /// Mean share over the instances that are up.
    pub kv_mean: f64,
    /// Share that the instance with the fullest cache used.
    pub kv_most: f64,
    /// Instances that take requests.
    pub active: u32,
    /// Instances whose model is being loaded.
    pub loading: u32,
    /// Instances that finish what they have.
    pub draining: u32,
    /// Instances that have crashed and will be back.
    pub down: u32,
}

/// Samples of a run whose length nobody knows: when there are too many, every other one goes and the rest comes at twice
/// the distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    interval: Tick,
    samples: Vec<Sample>,
}

/// Most samples.
const MOST: usize = 400;
/// The distance at first.
const FIRST_INTERVAL: Tick = Tick::from_us(1_000);

impl Default for Timeline {
    fn default() -> Self {
        Self { interval: FIRST_INTERVAL, samples: Vec::with_capacity(MOST) }
    }
}

impl Timeline {
    /// When the next sample is due.
    pub fn next_at(&self) -> Tick {
        let at = self.interval.as_us().saturating_mul(self.samples.len() as i64);
        Tick::from_us(at)
    }

    /// Takes in the sample that is due.
    ///
    /// # Panics
    /// When it is of another time.
    pub fn push(&mut self, sample: Sample) {
        assert_eq!(sample.at, self.next_at(), "a sample that is not due");
        self.samples.push(sample);
        if self.samples.len() == MOST {
            let mut place = 0;
            self.samples.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.interval = Tick::from_us(self.interval.as_us().saturating_mul(2));
        }
    }

    /// The samples, from time zero on, at equal distances.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The distance between two of them.
    pub fn interval(&self) -> Tick {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law: however long it lasts, the samples are evenly spaced from zero on, and neither few nor many.
    #[test]
    fn samples_stay_even_while_they_are_thinned_out() {
        let mut timeline = Timeline::default();
        for _ in 0..5_000 {
            timeline.push(Sample { at: timeline.next_at(), ..Sample::default() });
            let all = timeline.samples();
            let even = all.iter().zip(0..).all(|(s, n)| s.at.as_us() == n * timeline.interval().as_us());
            assert!(even && all.len() < MOST && timeline.next_at() > all[all.len() - 1].at);
        }
        assert!((MOST / 2..MOST).contains(&timeline.samples().len()));
    }
}
