//! One request, as it is remembered.

use blis_kernel::{InstanceId, Network, RequestName, Tick};

/// How a request ended. Every request ends in exactly one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnding {
    /// It got its answer, possibly cut short by the longest model length.
    Completed,
    /// Its deadline passed.
    TimedOut,
    /// Its instance can never serve it.
    DroppedUnservable,
    /// Admission turned it away.
    RejectedByAdmission,
    /// The gateway queue was full.
    RejectedByGateway,
    /// It left the gateway queue for a more important request.
    ShedFromGateway,
    /// It waited in the gateway queue for too long.
    ExpiredAtGateway,
    /// No instance could take it.
    RejectedByRouting,
    /// No instance could encode it.
    RejectedByEncode,
    /// Its prompt was processed, and its decode instance had no room for it.
    DroppedAtDecode,
    /// The gateway took it away from its instance for a more important request.
    Evicted,
    /// A fault took it from its instance or on its way between two, and it was not tried again.
    Failed,
    /// The run ended while it waited in the gateway queue.
    StillAtGateway,
    /// The run ended while it waited at an instance.
    StillQueued,
    /// The run ended while it was in a batch.
    StillRunning,
    /// The run ended between two stages, before it reached a wait queue.
    InPipeline,
}

impl RequestEnding {
    /// What it is called in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::TimedOut => "timed_out",
            Self::DroppedUnservable => "dropped_unservable",
            Self::RejectedByAdmission => "rejected_by_admission",
            Self::RejectedByGateway => "rejected_by_gateway",
            Self::ShedFromGateway => "shed_from_gateway",
            Self::ExpiredAtGateway => "expired_at_gateway",
            Self::RejectedByRouting => "rejected_by_routing",
            Self::RejectedByEncode => "rejected_by_encode",
            Self::DroppedAtDecode => "dropped_at_decode",
            Self::Evicted => "evicted",
            Self::Failed => "failed",
            Self::StillAtGateway => "still_at_gateway",
            Self::StillQueued => "still_queued",
            Self::StillRunning => "still_running",
            Self::InPipeline => "in_pipeline",
        }
    }
}

/// What requests are marked with; one set is shared by many of them. Empty text means "none".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// SLO class.
    pub slo_class: String,
    /// Tenant.
    pub tenant: String,
    /// Model it asks for.
    pub model: String,
    /// LoRA adapter.
    pub adapter: String,
    /// The link of its client, if it has one.
    pub network: Option<Network>,
}

/// Where a request stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPlace {
    /// Number of the session.
    pub session: u32,
    /// Round within it, from zero.
    pub round: u32,
}

/// A request whose fate is known.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRecord {
    /// Its name.
    pub name: RequestName,
    /// When its client sent it; every latency counts from here.
    pub arrival: Tick,
    /// Length of its prompt, tokens.
    pub input_tokens: u32,
    /// Length of the answer it was planned to get, tokens.
    pub output_tokens: u32,
    /// Tokens that a completed request got; fewer than planned when it was cut short, 0 of other requests.
    pub produced_tokens: u32,
    /// Time to its first token; may exist although the request did not complete.
    pub ttft: Option<Tick>,
    /// From arrival to its last token, of a completed request.
    pub e2e: Option<Tick>,
    /// Mean time between its tokens, microseconds; 0 unless it completed with two tokens or more.
    pub itl_mean_us: f64,
    /// From arrival to its last admission into a batch.
    pub scheduling_delay: Option<Tick>,
    /// Time in the gateway queue, of a request that left it for an instance.
    pub gateway_queue_delay: Option<Tick>,
    /// Which labels it carries, in the order in which the recorder was told of them.
    pub labels: u32,
    /// The instance it was handed to.
    pub instance: Option<InstanceId>,
    /// When it left, if it did before the run ended.
    pub left_at: Option<Tick>,
    /// Whether the longest model length cut it short.
    pub length_capped: bool,
    /// Its session, if it has one.
    pub session: Option<SessionPlace>,
    /// How it ended.
    pub ending: RequestEnding,
}

impl RequestRecord {
    /// Whether an instance took it in; such requests are listed in reports, finished or not.
    pub fn is_registered(&self) -> bool {
        self.instance.is_some() && self.ending != RequestEnding::DroppedUnservable
    }
}
