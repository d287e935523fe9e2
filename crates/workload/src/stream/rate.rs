//! Rate clients, merged in time.
//!
//! A client's draws: gap, input length, output length, input ids, output ids, gap, …

use super::{Draft, Shape};
use crate::client::{Client, Traffic};
use blis_kernel::Tick;
use blis_kernel::rng::GoRand;
use blis_kernel::samplers::ArrivalSampler;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

#[derive(Clone)]
struct RateClient {
    /// Index into the workload's clients.
    client: usize,
    arrivals: ArrivalSampler,
    rng: GoRand,
}

/// All clients that send at a rate and have not passed the horizon.
#[derive(Clone)]
pub(super) struct RateClients {
    clients: Vec<RateClient>,
    /// When each of them sends next, with its place in `clients`.
    next: BinaryHeap<Reverse<(Tick, u32)>>,
    horizon: Tick,
}

impl RateClients {
    /// Draws one seed per client with a positive rate from `rng`, in client order.
    pub(super) fn new(clients: &[Client], rng: &mut GoRand, horizon: Tick) -> Self {
        let mut sending = Self { clients: Vec::new(), next: BinaryHeap::new(), horizon };
        for (index, client) in clients.iter().enumerate() {
            let Traffic::Rate { per_us, process } = client.traffic else { continue };
            if per_us.is_nan() || per_us <= 0.0 || horizon <= Tick::ZERO {
                continue;
            }
            let arrivals = process.sampler(per_us);
            let mut own = GoRand::new(rng.int63());
            let first = Tick::from_us(arrivals.sample_us(&mut own));
            if first < horizon {
                sending.next.push(Reverse((first, sending.clients.len() as u32)));
                sending.clients.push(RateClient { client: index, arrivals, rng: own });
            }
        }
        sending
    }

    /// When the next request arrives.
    pub(super) fn peek(&self) -> Option<Tick> {
        self.next.peek().map(|Reverse((arrival, _))| *arrival)
    }

    /// The next request and the index of its client.
    ///
    /// # Panics
    /// When [`Self::peek`] is `None`.
    pub(super) fn next(&mut self, shapes: &[Shape]) -> (usize, Tick, Draft) {
        let mut top = self.next.peek_mut().expect("a client that still sends");
        let Reverse((arrival, place)) = *top;
        let RateClient { client, arrivals, rng } = &mut self.clients[place as usize];
        let draft = shapes[*client].draw(rng);
        let next = arrival + Tick::from_us(arrivals.sample_us(rng));
        if next < self.horizon {
            *top = Reverse((next, place));
        } else {
            PeekMut::pop(top);
        }
        (*client, arrival, draft)
    }

    /// How many requests are still to come, counted up to `max`.
    pub(super) fn count(mut self, shapes: &[Shape], max: u64) -> u64 {
        if self.horizon == Tick::MAX && !self.clients.is_empty() {
            return max;
        }
        let mut count = 0;
        while count < max && self.peek().is_some() {
            self.next(shapes);
            count += 1;
        }
        count
    }
}
