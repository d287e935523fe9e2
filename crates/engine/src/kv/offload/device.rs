//! How long a device takes for a transfer.

use blis_kernel::Tick;
use blis_kernel::rng::{Stream, stream_seed};

/// Longest service time, µs, so that sums of times stay far from overflow.
const LONGEST_US: f64 = (1u64 << 60) as f64;
/// Name of the random stream of jitter.
const STREAM: &str = "kv-offload";
/// A transfer is never faster than this share of its time.
const LEAST_JITTER: f64 = 0.05;

/// One direction of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// Bandwidth, bytes per microsecond; finite and above 0.
    pub bytes_per_us: f64,
    /// Time of a transfer of no bytes.
    pub base_latency: Tick,
}

/// A device that holds blocks.
///
/// A transfer takes `base + trunc(bytes / bandwidth)`. With fewer than `saturation_depth` transfers in the same
/// direction the device does not reach its bandwidth: with q of them, counted when the transfer starts, it gives the
/// share `f + (1 − f) · (q − 1) / (depth − 1)`, where f is the share of a single transfer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceModel {
    /// From the device.
    pub read: Channel,
    /// To the device.
    pub write: Channel,
    /// Transfers in one direction from which on the full bandwidth is used; below 2 it always is.
    pub saturation_depth: u32,
    /// Share of the bandwidth that a single transfer reaches, in (0, 1].
    pub single_transfer_fraction: f64,
    /// Spread of service times, relative to them; at least 0.
    pub jitter_stddev: f64,
}

impl DeviceModel {
    /// Service time of one transfer, of which `in_service` run in its direction, itself included; `jitter` is its
    /// factor, if it has one.
    pub(super) fn service_time(
        &self,
        channel: Channel,
        bytes: u64,
        in_service: u32,
        jitter: Option<f64>,
    ) -> Tick {
        let (depth, share) = (self.saturation_depth, self.single_transfer_fraction);
        let full = channel.bytes_per_us;
        let ramps = depth >= 2 && share > 0.0 && share < 1.0 && in_service < depth;
        let bandwidth = if ramps {
            full * (share + (1.0 - share) * f64::from(in_service - 1) / f64::from(depth - 1))
        } else {
            full
        };
        let service = channel.base_latency + capped(bytes as f64 / bandwidth);
        match jitter {
            Some(factor) => capped((service.as_us() as f64 * factor).round()),
            None => service,
        }
    }
}

fn capped(us: f64) -> Tick {
    Tick::trunc(us.min(LONGEST_US))
}

/// Draws the factors by which transfers differ from their time.
#[derive(Clone, Debug)]
pub(super) struct Jitter(Stream);

impl Jitter {
    pub(super) fn new(seed: i64) -> Self {
        Self(Stream::new(stream_seed(seed, STREAM)))
    }

    /// The factor of the next transfer: normal around 1, cut off below. Nothing is drawn for a device without spread.
    pub(super) fn draw(&mut self, stddev: f64) -> Option<f64> {
        (stddev > 0.0).then(|| (1.0 + stddev * self.0.open().norm_float64()).max(LEAST_JITTER))
    }
}
