//! Admission: whether a request is let in at all.

use crate::Reads;
use crate::routing::LoadRule;
use blis_kernel::Tick;
use std::borrow::Cow;

pub mod always_admit;
pub mod gaie_legacy;
pub mod probabilistic_admitter;
pub mod reject_all;
pub mod tenant_budget;
pub mod tier_shed;
pub mod token_bucket;

pub use always_admit::AlwaysAdmit;
pub use gaie_legacy::GaieLegacy;
pub use probabilistic_admitter::ProbabilisticAdmitter;
pub use reject_all::RejectAll;
pub use tenant_budget::TenantBudget;
pub use tier_shed::TierShed;
pub use token_bucket::TokenBucket;

/// What an admission policy sees. The columns list the instances that could serve the request, as in
/// [`crate::routing::RouterView`], and may be empty.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionView<'a> {
    /// The current time.
    pub now: Tick,
    /// Length of the prompt, tokens.
    pub input_tokens: u32,
    /// SLO class of the request as its client names it; may be empty.
    pub slo_class: &'a str,
    /// Rank of that class; higher is more important, below zero may be shed.
    pub slo_rank: i32,
    /// Tenant of the request; may be empty.
    pub tenant: &'a str,
    /// Requests of that tenant handed over and not finished yet; 0 unless some policy has tenants' budgets.
    pub tenant_in_flight: u32,
    /// Requests waiting.
    pub queue_depth: &'a [u32],
    /// Requests running.
    pub batch_size: &'a [u32],
    /// Share of the KV blocks in use, 0 to 1.
    pub kv_utilization: &'a [f64],
    /// Requests handed over and not finished yet.
    pub in_flight: &'a [u32],
    /// What counts as load.
    pub load: LoadRule,
}

impl AdmissionView<'_> {
    /// Load of the instance at `index`, requests.
    #[inline]
    pub fn load_of(&self, index: usize) -> u64 {
        self.load.load(self.queue_depth, self.batch_size, self.in_flight, index)
    }
}

/// What becomes of a request at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Admit,
    /// It is turned away.
    Reject,
}

/// Decides about each request, once.
pub trait Admission: Send {
    /// Lets a request in or turns it away. Called in order of simulated time.
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision;

    /// What it looks at.
    fn reads(&self) -> Reads;

    /// Why the last refused request was refused, in one line. Made when asked for.
    fn reason(&self) -> Cow<'static, str>;
}

#[cfg(test)]
pub(crate) fn made(
    entry: crate::registry::Entry<crate::registry::MakeAdmission>,
    values: &[(&str, f64)],
) -> Box<dyn Admission> {
    let configured = entry.with(values).unwrap();
    (entry.make)(&crate::registry::Setup::of(&configured.params))
}

#[cfg(test)]
pub(crate) fn view(now_us: i64, input_tokens: u32) -> AdmissionView<'static> {
    AdmissionView {
        now: Tick::from_us(now_us),
        input_tokens,
        slo_class: "",
        slo_rank: crate::priority::DEFAULT_RANK,
        tenant: "",
        tenant_in_flight: 0,
        queue_depth: &[],
        batch_size: &[],
        kv_utilization: &[],
        in_flight: &[],
        load: LoadRule::InFlight,
    }
}
