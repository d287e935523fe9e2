//! Latencies as clients see them behind their links.

use crate::distribution::Distribution;
use crate::record::{Labels, RequestRecord};
use blis_kernel::Network;

/// Latencies of all requests as their clients see them; a client without a link sees those of the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClientSide {
    /// Time to first token, ms.
    pub ttft_ms: Distribution,
    /// End-to-end latency of completed requests, ms.
    pub e2e_ms: Distribution,
}

impl RequestRecord {
    /// Time to its first token as its client sees it, ms.
    pub fn client_ttft_ms(&self, network: Network) -> Option<f64> {
        let ttft_us = self.ttft?.as_us() as f64;
        Some(network.client_ttft_us(ttft_us, self.input_tokens) / 1e3)
    }

    /// Its end-to-end latency as its client sees it, ms.
    pub fn client_e2e_ms(&self, network: Network) -> Option<f64> {
        let e2e_us = self.e2e?.as_us() as f64;
        Some(network.client_e2e_us(e2e_us, self.input_tokens, self.produced_tokens) / 1e3)
    }
}

/// Collects them, if any client has a link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    any: bool,
    /// By set of labels.
    networks: Vec<Network>,
    ttft_ms: Vec<f64>,
    e2e_ms: Vec<f64>,
}

impl Tally {
    pub(crate) fn add_labels(&mut self, labels: &Labels) {
        self.any |= labels.network.is_some();
        self.networks.push(labels.network.unwrap_or_default());
    }

    pub(crate) fn add(&mut self, request: &RequestRecord) {
        if self.any {
            let network = self.networks[request.labels as usize];
            self.ttft_ms.extend(request.client_ttft_ms(network));
            self.e2e_ms.extend(request.client_e2e_ms(network));
        }
    }

    pub(crate) fn figures(self) -> Option<ClientSide> {
        let of = |mut values: Vec<f64>| {
            values.sort_unstable_by(f64::total_cmp);
            Distribution::of(&values[..])
        };
        self.any.then(|| ClientSide { ttft_ms: of(self.ttft_ms), e2e_ms: of(self.e2e_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RequestEnding;
    use blis_kernel::{InstanceId, RequestName, Tick};

    fn request(labels: u32) -> RequestRecord {
        RequestRecord {
            name: RequestName::Indexed(u64::from(labels)),
            arrival: Tick::ZERO,
            input_tokens: 1_000,
            output_tokens: 500,
            produced_tokens: 250,
            ttft: Some(Tick::from_us(20_000)),
            e2e: Some(Tick::from_us(90_000)),
            itl_mean_us: 0.0,
            scheduling_delay: None,
            gateway_queue_delay: None,
            labels,
            instance: Some(InstanceId(0)),
            left_at: None,
            length_capped: true,
            session: None,
            ending: RequestEnding::Completed,
        }
    }

    /// Law: clients without a link see the latencies of the servers, others what theirs adds.
    #[test]
    fn each_client_has_its_own_link() {
        let mut tally = Tally::default();
        tally.add_labels(&Labels::default());
        let network = Some(Network { rtt_ms: 5.0, bandwidth_mbps: 10.0 });
        tally.add_labels(&Labels { network, ..Labels::default() });
        tally.add(&request(0));
        tally.add(&request(1));
        let figures = tally.figures().unwrap();
        assert_eq!((figures.ttft_ms.count, figures.e2e_ms.count), (2, 2));
        assert!((figures.ttft_ms.mean - 24.1).abs() < 1e-9);
        assert!((figures.e2e_ms.mean - 94.5).abs() < 1e-9);
    }

    #[test]
    fn without_links_there_is_nothing_to_tell() {
        let mut tally = Tally::default();
        tally.add_labels(&Labels::default());
        tally.add(&request(0));
        assert_eq!(tally.figures(), None);
    }
}
