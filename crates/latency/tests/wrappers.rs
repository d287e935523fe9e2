//! A model around another one tells what the other reads: the engine only works out what somebody wants.

use blis_kernel::Tick;
use blis_latency::{Batch, HostTimes, Hosted, LatencyModel, Overheads, Pipeline, Scaled};
use std::sync::Arc;

/// Wants the context lengths of decoding requests that it is told to.
#[derive(Debug)]
struct Curious {
    decode_contexts: bool,
    longest_decode_context: bool,
}

impl LatencyModel for Curious {
    fn overheads(&self) -> Overheads {
        Overheads::default()
    }

    fn step_time(&self, _batch: &Batch<'_>) -> Tick {
        Tick::ONE
    }

    fn wants_decode_contexts(&self) -> bool {
        self.decode_contexts
    }

    fn wants_longest_decode_context(&self) -> bool {
        self.longest_decode_context
    }
}

#[test]
fn wrapped_models_get_what_they_read() {
    for (decode_contexts, longest_decode_context) in [(true, false), (false, true)] {
        let inner = || Arc::new(Curious { decode_contexts, longest_decode_context }) as Arc<dyn LatencyModel>;
        let wrapped: [Arc<dyn LatencyModel>; 3] = [
            Arc::new(Scaled::new(inner(), 1.5)),
            Arc::new(Hosted::new(inner(), HostTimes::default(), 4)),
            Arc::new(Pipeline::of_stages(vec![inner(), inner()], 4.0, 0.0)),
        ];
        for model in wrapped {
            assert_eq!(model.wants_decode_contexts(), decode_contexts, "{model:?}");
            assert_eq!(model.wants_longest_decode_context(), longest_decode_context, "{model:?}");
        }
    }
}
