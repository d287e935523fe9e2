//! Pipeline parallelism: the layers are dealt out to stages, one after the other, each on GPUs of its own.
//!
//! ```text
//! layers of stage i of N   L div N, and one more for the last L mod N stages in front of the last one
//! stage i                  the step-time formula with the stage's layers in place of all; what a step costs beside its
//!                          layers (per request, per step) falls on the last stage, which samples
//! hop                      t0 + tokens·2·d·b/TP / link
//! ```
//!
//! The dealing is vLLM's (`get_pp_indices`): the last stage has the output layer and gets none of the remainder. A hop
//! carries what vLLM sends from stage to stage (`IntermediateTensors`): the hidden state and the residual of every token,
//! d values of b bytes each, every GPU of a stage a TP-th part on its own link. t0 is [`HOP_LATENCY_US`].

use crate::architecture::{GpuSpec, ModelArchitecture};
use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use blis_kernel::Tick;
use std::ops::Range;
use std::sync::Arc;

/// What a hop takes beside its bytes, µs: the start of one send and one receive of NCCL between two GPUs (its tuning model
/// assumes 8.4 µs of software and 3.4 µs of NVLink for the simple protocol).
pub const HOP_LATENCY_US: f64 = 11.8;
/// Bandwidth from one GPU to another where the table of GPUs does not say, GB/s: PCIe 4.0 with 16 lanes, one way.
pub const PCIE_GB_PER_S: f64 = 32.0;

/// The layers of each of `stages` stages. A model of fewer layers leaves stages without any.
pub fn stage_layers(layers: u32, stages: u32) -> Vec<Range<u32>> {
    let (each, remainder) = (layers / stages, layers % stages);
    let has_one_more = |stage: u32| stage + 1 < stages && stage + 1 + remainder >= stages;
    let mut start = 0;
    (0..stages)
        .map(|stage| {
            let count = each + u32::from(has_one_more(stage));
            start += count;
            start - count..start
        })
        .collect()
}

/// A share of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageShare {
    /// The stage's layers over all layers.
    pub of_layers: f64,
    /// Whether what a step costs beside its layers falls on it.
    pub is_last: bool,
}

/// Step times of an instance of several stages.
#[derive(Clone, Debug)]
pub struct Pipeline {
    stages: Vec<Arc<dyn LatencyModel>>,
    hop_us: f64,
    hop_us_per_token: f64,
}

impl Pipeline {
    /// Stages with step times of their own, at least one; a hop takes `hop_us` and so much per token.
    pub fn of_stages(stages: Vec<Arc<dyn LatencyModel>>, hop_us: f64, hop_us_per_token: f64) -> Self {
        assert!(!stages.is_empty(), "a pipeline has stages");
        Self { stages, hop_us, hop_us_per_token }
    }

    /// Deals a model out to `stages` stages of `tp` GPUs; `stage` gives the step times of one.
    pub fn new(
        model: &ModelArchitecture,
        gpu: &GpuSpec,
        tp: u32,
        stages: u32,
        stage: impl Fn(StageShare) -> Arc<dyn LatencyModel>,
    ) -> Self {
        let share = |(index, layers): (usize, Range<u32>)| StageShare {
            of_layers: f64::from(layers.end - layers.start) / f64::from(model.layers),
            is_last: index + 1 == stages as usize,
        };
        let bytes = 2.0 * f64::from(model.hidden) * model.bytes_per_param / f64::from(tp);
        let layers = stage_layers(model.layers, stages).into_iter().enumerate();
        let us_per_token = bytes / (gpu.link_gb_per_s.unwrap_or(PCIE_GB_PER_S) * 1e3);
        Self::of_stages(layers.map(share).map(stage).collect(), HOP_LATENCY_US, us_per_token)
    }

    /// The same hops between other stages: one made from each.
    #[must_use]
    pub fn map_stages(&self, stage: impl FnMut(&Arc<dyn LatencyModel>) -> Arc<dyn LatencyModel>) -> Self {
        Self { stages: self.stages.iter().map(stage).collect(), ..self.clone() }
    }

    /// Number of stages; as many batches are in flight at once.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// How long each stage works on a batch.
    pub fn stage_times<'a>(&'a self, batch: &'a Batch<'_>) -> impl Iterator<Item = Tick> + 'a {
        self.stages.iter().map(move |stage| stage.step_time(batch))
    }

    /// How long a batch takes from one stage to the next.
    pub fn hop_time(&self, batch: &Batch<'_>) -> Tick {
        let prompts: u64 = batch.prefills.iter().map(|prefill| prefill.new_tokens).sum();
        Tick::trunc(self.hop_us + (prompts + batch.decodes) as f64 * self.hop_us_per_token)
    }

    fn last(&self) -> &dyn LatencyModel {
        &**self.stages.last().expect("a pipeline has stages")
    }
}

impl LatencyModel for Pipeline {
    fn overheads(&self) -> Overheads {
        self.last().overheads()
    }

    /// Duration of a batch that finds every stage free.
    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let working = self.stage_times(batch).fold(Tick::ZERO, |sum, time| sum + time);
        let hops = Tick::from_us(self.hop_time(batch).as_us() * (self.stages() as i64 - 1));
        working + hops
    }

    fn wants_decode_contexts(&self) -> bool {
        self.stages.iter().any(|stage| stage.wants_decode_contexts())
    }

    fn wants_longest_decode_context(&self) -> bool {
        self.stages.iter().any(|stage| stage.wants_longest_decode_context())
    }

    fn covers_host(&self) -> bool {
        self.last().covers_host()
    }

    fn pads_to_graphs(&self) -> bool {
        self.last().pads_to_graphs()
    }

    fn pipeline(&self) -> Option<&Pipeline> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::stage_layers;

    fn counts(layers: u32, stages: u32) -> Vec<u32> {
        stage_layers(layers, stages).into_iter().map(|range| range.end - range.start).collect()
    }

    #[test]
    fn the_remainder_goes_to_the_stages_in_front_of_the_last() {
        assert_eq!(counts(32, 1), [32]);
        assert_eq!(counts(32, 2), [16, 16]);
        assert_eq!(counts(33, 2), [17, 16]);
        assert_eq!(counts(61, 4), [15, 15, 16, 15]);
        assert_eq!(counts(62, 4), [15, 16, 16, 15]);
        assert_eq!(counts(63, 4), [16, 16, 16, 15]);
        assert_eq!(counts(2, 4), [0, 1, 1, 0]);
        assert_eq!(stage_layers(33, 2), [0..17, 17..33]);
    }
}
