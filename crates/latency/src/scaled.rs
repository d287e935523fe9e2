//! Step times that all take so much longer: what a step-time model would say if it were off by a factor.
//!
//! step = max(1 µs, factor · step of the model), cut to whole microseconds. Time outside of steps stays as it is.

use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::pipeline::Pipeline;
use blis_kernel::Tick;
use std::sync::Arc;

/// A step-time model times a factor.
#[derive(Clone, Debug)]
pub struct Scaled {
    model: Arc<dyn LatencyModel>,
    factor: f64,
    pipeline: Option<Pipeline>,
}

impl Scaled {
    /// Scales the steps of a model, and those of its stages; `factor` is finite and above 0.
    pub fn new(model: Arc<dyn LatencyModel>, factor: f64) -> Self {
        assert!(factor.is_finite() && factor > 0.0, "steps times {factor}");
        let scaled = |stage: &Arc<dyn LatencyModel>| Arc::new(Self::new(Arc::clone(stage), factor)) as _;
        let pipeline = model.pipeline().map(|pipeline| pipeline.map_stages(scaled));
        Self { model, factor, pipeline }
    }

    #[inline]
    fn scaled(&self, step: Tick) -> Tick {
        Tick::trunc(step.as_us() as f64 * self.factor).max(Tick::from_us(1))
    }
}

impl LatencyModel for Scaled {
    fn overheads(&self) -> Overheads {
        self.model.overheads()
    }

    #[inline]
    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        self.scaled(self.model.step_time(batch))
    }

    fn step_time_of_ranks(&self, ranks: &[Batch<'_>]) -> Tick {
        self.scaled(self.model.step_time_of_ranks(ranks))
    }

    fn wants_decode_contexts(&self) -> bool {
        self.model.wants_decode_contexts()
    }

    fn wants_longest_decode_context(&self) -> bool {
        self.model.wants_longest_decode_context()
    }

    fn covers_host(&self) -> bool {
        self.model.covers_host()
    }

    fn pads_to_graphs(&self) -> bool {
        self.model.pads_to_graphs()
    }

    fn pipeline(&self) -> Option<&Pipeline> {
        self.pipeline.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::Scaled;
    use crate::{Batch, LatencyModel, Overheads, Pipeline};
    use blis_kernel::Tick;
    use std::sync::Arc;

    /// 10 µs for every decoding request, 7 µs before the queue.
    #[derive(Debug)]
    struct Plain;

    impl LatencyModel for Plain {
        fn overheads(&self) -> Overheads {
            Overheads { queueing_us: 7.0, ..Overheads::default() }
        }

        fn step_time(&self, batch: &Batch<'_>) -> Tick {
            Tick::from_us(10 * batch.decodes as i64)
        }
    }

    #[test]
    fn steps_take_so_much_longer_and_nothing_else_does() {
        let step = |factor| Scaled::new(Arc::new(Plain), factor);
        let batch = Batch { decodes: 5, ..Batch::default() };
        assert_eq!([0.5, 1.0, 1.25].map(|factor| step(factor).step_time(&batch).as_us()), [25, 50, 62]);
        assert_eq!(step(1e-9).step_time(&batch).as_us(), 1, "no step takes no time");
        assert_eq!(step(3.0).overheads().queueing_time(1).as_us(), 7);
    }

    #[test]
    fn every_stage_is_scaled_and_hops_are_not() {
        let stages: Vec<Arc<dyn LatencyModel>> = vec![Arc::new(Plain), Arc::new(Plain)];
        let scaled = Scaled::new(Arc::new(Pipeline::of_stages(stages, 4.0, 0.0)), 2.0);
        let batch = Batch { decodes: 5, ..Batch::default() };
        let pipeline = scaled.pipeline().expect("it has stages");
        assert_eq!(pipeline.stage_times(&batch).map(Tick::as_us).collect::<Vec<_>>(), [100, 100]);
        assert_eq!(pipeline.hop_time(&batch).as_us(), 4);
    }
}
