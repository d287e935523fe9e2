//! The link between a client and the servers.

use std::cmp::Ordering;

/// Bits of a token on the link: four bytes.
const BITS_PER_TOKEN: f64 = 32.0;

/// What a client's link adds to the latencies of the servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// Round trip, ms.
    pub rtt_ms: f64,
    /// Bandwidth, Mbit/s; transfers take no time when it is not positive.
    pub bandwidth_mbps: f64,
}

impl Network {
    /// Time that tokens take on the link, µs: tokens · 32 / (bandwidth · 10⁶) · 10⁶.
    pub fn transfer_us(&self, tokens: u32) -> f64 {
        if self.bandwidth_mbps <= 0.0 {
            return 0.0;
        }
        f64::from(tokens) * BITS_PER_TOKEN / (self.bandwidth_mbps * 1e6) * 1e6
    }

    /// Time to the first token as the client sees it, µs: a round trip and the upload of the prompt more.
    pub fn client_ttft_us(&self, ttft_us: f64, input_tokens: u32) -> f64 {
        ttft_us + self.rtt_ms * 1000.0 + self.transfer_us(input_tokens)
    }

    /// End-to-end latency as the client sees it, µs: the download of the answer more.
    pub fn client_e2e_us(&self, e2e_us: f64, input_tokens: u32, output_tokens: u32) -> f64 {
        e2e_us + self.rtt_ms * 1000.0 + self.transfer_us(input_tokens) + self.transfer_us(output_tokens)
    }
}

impl Ord for Network {
    fn cmp(&self, other: &Self) -> Ordering {
        let bandwidth = self.bandwidth_mbps.total_cmp(&other.bandwidth_mbps);
        self.rtt_ms.total_cmp(&other.rtt_ms).then(bandwidth)
    }
}

impl PartialOrd for Network {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Network {}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn a_link_adds_a_round_trip_and_transfers() {
        // 1000 tokens of 32 bits at 10 Mbit/s take 3.2 ms.
        let link = Network { rtt_ms: 5.0, bandwidth_mbps: 10.0 };
        assert!((link.client_ttft_us(20_000.0, 1_000) - 28_200.0).abs() < 1e-9);
        assert!((link.client_e2e_us(90_000.0, 1_000, 500) - 99_800.0).abs() < 1e-9);
        let boundless = Network { bandwidth_mbps: 0.0, ..link };
        assert_eq!(boundless.client_e2e_us(1.0, 9, 9), 5_001.0);
    }
}
