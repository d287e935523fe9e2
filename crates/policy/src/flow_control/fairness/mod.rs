//! Fairness: which tenant of a band is served next.

pub mod global_strict;
pub mod round_robin;

pub use global_strict::GlobalStrict;
pub use round_robin::RoundRobin;

/// The flows of one band, of which there is at least one; columns sorted by tenant.
#[derive(Clone, Copy, Debug)]
pub struct BandView<'a> {
    /// Which band.
    pub band: i32,
    /// Number of the tenant of each flow; tenants are numbered by name.
    pub tenants: &'a [u32],
    /// When the first come of each flow joined, as a number that counts joins.
    pub first_joined: &'a [u64],
}

/// Chooses a flow.
pub trait Fairness: Send {
    /// Index of the flow to serve.
    fn choose(&mut self, band: &BandView<'_>) -> usize;
}
