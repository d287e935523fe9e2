//! A request as its client sends it, and the stream it comes from.

use crate::content::Content;
use blis_kernel::{Network, RequestName, Tick};

/// Number of a session within its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// Where a request stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRound {
    /// The session.
    pub session: SessionId,
    /// Round within it, from zero.
    pub round: u32,
}

/// Index into [`RequestSource::labels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelsId(pub u32);

/// What a request is marked with; shared by all requests of one client. Empty text means "none".
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// Name of the client that sends it.
    pub client: String,
    /// Tenant, for fairness.
    pub tenant: String,
    /// SLO class: `critical`, `standard`, `batch`, `sheddable`, `background`.
    pub slo_class: String,
    /// Model it asks for; any instance will do when empty.
    pub model: String,
    /// LoRA adapter.
    pub adapter: String,
    /// The link between the client and the servers, if it is described.
    pub network: Option<Network>,
    /// Name of the prefix group; how much of it a prompt repeats is in its [`Content`].
    pub prefix_group: String,
    /// Whether the client reads the answer as it is generated.
    pub streaming: bool,
    /// Time to the first token that the client hopes for, if it does.
    pub slo_target: Option<Tick>,
}

/// One request as its client sends it.
#[derive(Clone, Debug)]
pub struct RequestSpec {
    /// When the client sends it.
    pub arrival: Tick,
    /// Its name.
    pub name: RequestName,
    /// Length of the prompt, tokens.
    pub input_tokens: u32,
    /// Tokens it will generate; known to the simulator, not to any policy.
    pub output_tokens: u32,
    /// Output budget that the client declares, tokens; 0 = none.
    pub max_output_tokens: u32,
    /// When the client gives up, if it does.
    pub deadline: Option<Tick>,
    /// What its prompt has in common with others.
    pub content: Content,
    /// Index into the source's labels.
    pub labels: LabelsId,
    /// Its place in a session, if it has one.
    pub session: Option<SessionRound>,
    /// What it consists of, where the source knows more than the lengths.
    pub composition: Option<Box<Composition>>,
}

/// What a prompt and its answer consist of. Nothing that is simulated depends on it; traces tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Composition {
    /// Prompt tokens of text.
    pub text_tokens: u32,
    /// Prompt tokens of images.
    pub image_tokens: u32,
    /// Prompt tokens of audio.
    pub audio_tokens: u32,
    /// Prompt tokens of video.
    pub video_tokens: u32,
    /// Share of the answer spent on reasoning, 0 to 1.
    pub reason_ratio: f64,
}

/// What a source knows of a request for traces only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Details {
    /// Priority as the server takes it.
    pub vllm_priority: u32,
    /// Pause between the answer before and this request of a session.
    pub think_time: Tick,
}

/// Which details any request of a source may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetailKinds {
    /// [`Details::vllm_priority`].
    pub vllm_priority: bool,
    /// [`Details::think_time`].
    pub think_time: bool,
    /// Whether prompts begin with [`crate::Segment::Blocks`].
    pub blocks: bool,
}

/// How a request ended, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// It got its answer of this many tokens (fewer than planned when its length was capped).
    Completed {
        /// Tokens generated.
        output_tokens: u32,
    },
    /// Its deadline passed.
    TimedOut,
    /// It was refused or given up by the server.
    Dropped,
}

/// A stream of requests.
///
/// Implementations draw everything from seeded streams: the same description gives the same requests, and the
/// order in which the caller asks for arrivals and reports ends is the only input.
pub trait RequestSource: Send {
    /// The next request in order of arrival, or `None` when no more come by themselves.
    fn next_arrival(&mut self) -> Option<RequestSpec>;

    /// Whether the end of a request can bring another one.
    fn is_reactive(&self) -> bool;

    /// Tells that a session's request ended at `at`; returns the session's next request, whose arrival is not
    /// before `at`. Called in order of simulated time.
    fn on_end(&mut self, ended: SessionRound, at: Tick, end: RequestEnd) -> Option<RequestSpec>;

    /// The labels that requests refer to, complete from the start.
    fn labels(&self) -> &[Labels];

    /// The name of a session.
    fn session_name(&self, session: SessionId) -> &str;

    /// The token ids of every prefix group, indexed by [`crate::GroupId`].
    fn groups(&self) -> &[Vec<u32>];

    /// Which details its requests have; known from the start.
    fn detail_kinds(&self) -> DetailKinds {
        DetailKinds::default()
    }

    /// The details of one of its requests.
    fn details(&self, _request: &RequestSpec) -> Details {
        Details::default()
    }
}
