//! Requests on their way, from arrival to end.

use crate::disaggregation::Split;
use crate::flow_control::Passage;
use blis_kernel::InstanceId;
use blis_workload::RequestSpec;

/// A request in the system.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) spec: RequestSpec,
    /// How many arrived before it.
    pub(crate) number: u64,
    pub(crate) instance: Option<InstanceId>,
    /// Its way through the gateway queue, if it took that.
    pub(crate) passage: Option<Box<Passage>>,
    /// Its parts, if it was split.
    pub(crate) split: Option<Box<Split>>,
    /// Prompt tokens that its decode instance did not have when it was decided whether to split it.
    pub(crate) uncached_tokens: u32,
    /// Tokens of its answer that a listener was told of.
    pub(crate) tokens: u32,
    /// Tokens that the present attempt at it has made, where somebody listens.
    pub(crate) made: u32,
    /// How often it was tried again after a fault.
    pub(crate) retries: u32,
}

/// An arena of requests; a handle is free again once its request has ended.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    slots: Vec<Option<InFlight>>,
    vacant: Vec<u32>,
}

impl Requests {
    pub(crate) fn insert(&mut self, spec: RequestSpec, number: u64) -> u32 {
        let request = Some(InFlight {
            spec,
            number,
            instance: None,
            passage: None,
            split: None,
            uncached_tokens: 0,
            tokens: 0,
            made: 0,
            retries: 0,
        });
        if let Some(handle) = self.vacant.pop() {
            self.slots[handle as usize] = request;
            handle
        } else {
            self.slots.push(request);
            (self.slots.len() - 1) as u32
        }
    }

    pub(crate) fn get(&self, handle: u32) -> &InFlight {
        self.slots[handle as usize].as_ref().expect("a request in flight")
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> &mut InFlight {
        self.slots[handle as usize].as_mut().expect("a request in flight")
    }

    pub(crate) fn remove(&mut self, handle: u32) -> InFlight {
        self.vacant.push(handle);
        self.slots[handle as usize].take().expect("a request in flight")
    }
}
