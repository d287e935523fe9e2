//! What the CPU of a server adds to a step-time model: scheduler and input preparation in every step, and batches padded
//! to the sizes for which CUDA graphs were captured.
//!
//! step = max(GPU, CPU) where the CPU prepares the next step while the GPU works, GPU + CPU where it does not, with
//! CPU = us_per_step + us_per_request · requests + us_per_prefill_token · prefill tokens. A model whose times are of whole
//! steps ([`LatencyModel::covers_host`]) holds the CPU's share already: it is only padded.
//!
//! An engine that launches the kernels of prompts one by one keeps the GPU waiting where they are short: a step with prompts
//! takes us_per_eager_layer · layers at least.

use crate::model::{Batch, LatencyModel};
use crate::overheads::Overheads;
use crate::pipeline::Pipeline;
use blis_kernel::Tick;
use std::sync::Arc;

/// What the CPU does in a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostTimes {
    /// From the client to the front end and from the server's output to the client, together, µs.
    pub latency_us: f64,
    /// Of every step, µs.
    pub us_per_step: f64,
    /// Of every scheduled request, µs.
    pub us_per_request: f64,
    /// Of every prompt token processed, µs.
    pub us_per_prefill_token: f64,
    /// Of launching the kernels of a layer one by one, in steps with prompts, µs.
    pub us_per_eager_layer: f64,
    /// Whether all but that happens while the GPU works on the step before.
    pub overlaps: bool,
    /// Numbers of decoding requests for which there are graphs, ascending; empty = there are none.
    pub capture_sizes: Vec<u32>,
}

/// A step-time model with the CPU around it. Its own overheads outside of steps give way.
#[derive(Clone, Debug)]
pub struct Hosted {
    model: Arc<dyn LatencyModel>,
    host: HostTimes,
    /// Least time of a step with prompts.
    launches: Tick,
}

impl Hosted {
    /// Puts the CPU around the step-time model of a transformer with so many layers.
    pub fn new(model: Arc<dyn LatencyModel>, host: HostTimes, layers: u32) -> Self {
        let launches = Tick::trunc(host.us_per_eager_layer * f64::from(layers));
        Self { model, host, launches }
    }

    /// The size of the graph that a batch of decoding requests runs in; its own above the largest.
    #[inline]
    fn padded(&self, batch: &Batch<'_>) -> u64 {
        if !batch.prefills.is_empty() || batch.decodes == 0 || self.model.pads_to_graphs() {
            return batch.decodes;
        }
        self.graph_of(batch.decodes).unwrap_or(batch.decodes)
    }

    /// The size of the smallest graph for so many decoding requests.
    #[inline]
    fn graph_of(&self, decodes: u64) -> Option<u64> {
        let sizes = &self.host.capture_sizes;
        let next = sizes.partition_point(|&size| u64::from(size) < decodes);
        sizes.get(next).map(|&size| u64::from(size))
    }

    /// What the GPU takes, with what the CPU takes on a batch of its own.
    #[inline]
    fn beside_cpu(&self, gpu: Tick, batch: &Batch<'_>) -> Tick {
        let prompts: u64 = batch.prefills.iter().map(|prefill| prefill.new_tokens).sum();
        let cpu = Tick::trunc(
            self.host.us_per_step
                + self.host.us_per_request * batch.len() as f64
                + self.host.us_per_prefill_token * prompts as f64,
        );
        if self.host.overlaps { gpu.max(cpu) } else { gpu + cpu }
    }
}

impl LatencyModel for Hosted {
    fn overheads(&self) -> Overheads {
        Overheads { queueing_us: self.host.latency_us, ..Overheads::default() }
    }

    #[inline]
    fn step_time(&self, batch: &Batch<'_>) -> Tick {
        let gpu = self.model.step_time(&Batch { decodes: self.padded(batch), ..*batch });
        let gpu = if batch.prefills.is_empty() { gpu } else { gpu.max(self.launches) };
        if self.model.covers_host() || batch.is_empty() {
            return gpu;
        }
        self.beside_cpu(gpu, batch)
    }

    /// Each rank has a CPU of its own, and the graph of the rank with most requests.
    fn step_time_of_ranks(&self, ranks: &[Batch<'_>]) -> Tick {
        let has_prompts = ranks.iter().any(|batch| !batch.prefills.is_empty());
        let most = ranks.iter().map(|batch| batch.decodes).max().unwrap_or(0);
        let graph = self.graph_of(most).filter(|_| most > 0 && !has_prompts && !self.model.pads_to_graphs());
        let gpu = match graph {
            Some(decodes) => {
                let padded: Vec<_> = ranks.iter().map(|batch| Batch { decodes, ..*batch }).collect();
                self.model.step_time_of_ranks(&padded)
            }
            None => self.model.step_time_of_ranks(ranks),
        };
        let gpu = if has_prompts { gpu.max(self.launches) } else { gpu };
        if self.model.covers_host() {
            return gpu;
        }
        let busy = ranks.iter().filter(|batch| !batch.is_empty());
        busy.map(|batch| self.beside_cpu(gpu, batch)).max().unwrap_or(gpu)
    }

    fn wants_decode_contexts(&self) -> bool {
        self.model.wants_decode_contexts()
    }

    fn wants_longest_decode_context(&self) -> bool {
        self.model.wants_longest_decode_context()
    }

    /// With several stages, the CPU works on one batch while the GPUs work on the others.
    fn pipeline(&self) -> Option<&Pipeline> {
        self.model.pipeline()
    }
}

#[cfg(test)]
mod tests {
    use super::{HostTimes, Hosted};
    use crate::{Batch, LatencyModel, Overheads, Prefill};
    use blis_kernel::Tick;
    use std::sync::Arc;

    /// 10 µs for every decoding request and 1 µs for every prompt token.
    #[derive(Debug)]
    struct Plain {
        covers_host: bool,
    }

    impl LatencyModel for Plain {
        fn overheads(&self) -> Overheads {
            let late = Tick::from_us(999);
            Overheads { queueing_us: 999.0, output_token: late, post_decode: late, ..Overheads::default() }
        }

        fn step_time(&self, batch: &Batch<'_>) -> Tick {
            let prompts: u64 = batch.prefills.iter().map(|prefill| prefill.new_tokens).sum();
            Tick::from_us((10 * batch.decodes + prompts) as i64)
        }

        fn covers_host(&self) -> bool {
            self.covers_host
        }
    }

    fn hosted(overlaps: bool, covers_host: bool) -> Hosted {
        let host = HostTimes {
            latency_us: 5.5,
            us_per_step: 40.0,
            us_per_request: 2.0,
            us_per_prefill_token: 0.5,
            us_per_eager_layer: 0.0,
            overlaps,
            capture_sizes: vec![1, 2, 4, 8],
        };
        Hosted::new(Arc::new(Plain { covers_host }), host, 4)
    }

    fn decodes(decodes: u64) -> Batch<'static> {
        Batch { decodes, ..Batch::default() }
    }

    #[test]
    fn the_cpu_comes_on_top_or_beside_the_gpu() {
        let step = |overlaps, batch: &Batch<'_>| hosted(overlaps, false).step_time(batch).as_us();
        assert_eq!(step(false, &decodes(2)), 20 + 44);
        assert_eq!(step(true, &decodes(2)), 44, "the CPU is the slower one");
        assert_eq!(step(true, &decodes(8)), 80, "the GPU is");
        let prefills = [Prefill { prompt_tokens: 100, progress: 0, new_tokens: 100 }];
        let mixed = Batch { prefills: &prefills, decodes: 3, ..Batch::default() };
        assert_eq!(step(false, &mixed), 130 + 40 + 8 + 50, "with a prompt there is no padding");
    }

    #[test]
    fn decoding_requests_run_in_the_next_larger_graph() {
        let step = |batch: u64| hosted(true, true).step_time(&decodes(batch)).as_us();
        assert_eq!([1, 2, 3, 4, 5, 8, 9].map(step), [10, 20, 40, 40, 80, 80, 90]);
    }

    #[test]
    fn the_slowest_cpu_of_the_ranks_counts_and_all_run_the_graph_of_the_largest() {
        let step = |ranks: &[Batch<'_>]| hosted(false, false).step_time_of_ranks(ranks).as_us();
        assert_eq!(step(&[decodes(2)]), hosted(false, false).step_time(&decodes(2)).as_us());
        // Graphs of 4 on both ranks: 8 requests for the GPU, and the CPU of the first.
        assert_eq!(step(&[decodes(3), decodes(1)]), 80 + 40 + 2 * 3);
        assert_eq!(step(&[decodes(3), Batch::default()]), 80 + 40 + 2 * 3);
        let prefills = [Prefill { prompt_tokens: 100, progress: 0, new_tokens: 100 }];
        let prompt = Batch { prefills: &prefills, ..Batch::default() };
        assert_eq!(step(&[decodes(3), prompt]), 130 + 40 + 2 + 50, "the prompt's CPU; no graphs");
        assert_eq!(step(&[decodes(9), decodes(1)]), 100 + 40 + 2 * 9, "there is no graph for 9");
    }

    #[test]
    fn kernels_that_are_launched_one_by_one_keep_the_gpu_waiting_for_short_prompts() {
        let host = HostTimes { us_per_eager_layer: 30.0, ..HostTimes::default() };
        let hosted = Hosted::new(Arc::new(Plain { covers_host: true }), host, 4);
        let step = |new_tokens| {
            let prefills = [Prefill { prompt_tokens: new_tokens, progress: 0, new_tokens }];
            hosted.step_time(&Batch { prefills: &prefills, ..Batch::default() }).as_us()
        };
        assert_eq!([10, 120, 200].map(step), [120, 120, 200]);
        assert_eq!(hosted.step_time(&decodes(2)).as_us(), 20, "decoding requests have graphs");
    }

    #[test]
    fn a_model_of_whole_steps_keeps_its_times_and_no_model_its_overheads() {
        let hosted = hosted(false, true);
        assert_eq!(hosted.step_time(&decodes(4)).as_us(), 40);
        assert_eq!(hosted.overheads(), Overheads { queueing_us: 5.5, ..Overheads::default() });
    }
}
