//! A client: one source of requests with its own lengths, prefix and timing.

use crate::request::{Composition, Labels};
use crate::tokens::{MAX_TOKENS, token_count};
use crate::window::{Phase, Window};
use blis_kernel::Tick;
use blis_kernel::rng::GoRand;
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};
use std::sync::Arc;

/// How long a client of a session waits when nobody says how long: 300 seconds.
pub const DEFAULT_SESSION_TIMEOUT: Tick = Tick::from_us(300_000_000);
/// Length of a prefix group when none of its clients states one, tokens.
pub const DEFAULT_PREFIX_TOKENS: u32 = 50;

/// One client of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// What its requests are marked with; the prefix group is filled in from `prefix`.
    pub labels: Labels,
    /// When it sends.
    pub traffic: Traffic,
    /// New prompt tokens per request; the prefix comes on top.
    pub input: LengthSampler,
    /// Tokens generated per request.
    pub output: LengthSampler,
    /// The prefix that it shares with others, if any.
    pub prefix: Option<Prefix>,
    /// How long after its arrival a request is given up; `None` = never.
    pub timeout: Option<Tick>,
    /// When it is active, if it sends at a rate; empty = always. Its gaps run on through the time between windows, and
    /// what would arrive there is not sent.
    pub active: Arc<[Window]>,
    /// What single prompts consist of instead of `input`.
    pub modalities: Option<Box<Modalities>>,
    /// Percentage of an answer that is reasoning; drawn after the token ids of every request.
    pub reason_ratio: Option<LengthSampler>,
    /// Makes every arrival the start of a conversation.
    pub conversation: Option<Conversation>,
}

impl Client {
    /// A client of single text requests without a prefix, a time-out or anything else that is optional.
    pub fn new(labels: Labels, traffic: Traffic, input: LengthSampler, output: LengthSampler) -> Self {
        Self {
            labels,
            traffic,
            input,
            output,
            prefix: None,
            timeout: None,
            active: Arc::default(),
            modalities: None,
            reason_ratio: None,
            conversation: None,
        }
    }

    /// The pause before the next request of one of its sessions.
    pub fn think_time(&self) -> Tick {
        match (&self.traffic, self.conversation) {
            (Traffic::Concurrency { think_time, .. }, _) => *think_time,
            (_, Some(conversation)) => conversation.think_time,
            _ => Tick::ZERO,
        }
    }

    /// Whether it stops sending by itself.
    pub fn is_bounded(&self) -> bool {
        match &self.traffic {
            Traffic::Rate { per_us, .. } | Traffic::Stage { per_us } => {
                *per_us <= 0.0
                    || self.conversation.is_some_and(|conversation| conversation.single_session)
                    || (!self.active.is_empty() && self.active.iter().all(Window::is_bounded))
            }
            Traffic::Counted { .. } => true,
            Traffic::Phases(phases) => phases.iter().all(|phase| phase.window.is_bounded()),
            Traffic::Concurrency { users, .. } => *users == 0,
        }
    }
}

/// A prompt of several modalities: its length is that of the text plus, for each of the others, that of as many items
/// as were drawn; at least 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modalities {
    /// Tokens of text.
    pub text: Option<LengthSampler>,
    /// Images, audio clips and videos, in the order in which they are drawn.
    pub items: Vec<ModalityItems>,
}

/// What is in a prompt besides text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// Images.
    Image,
    /// Audio clips.
    Audio,
    /// Videos.
    Video,
}

/// The items of one modality.
#[derive(Clone, Debug, PartialEq)]
pub struct ModalityItems {
    /// Which.
    pub modality: Modality,
    /// How many; drawn first.
    pub count: LengthSampler,
    /// Tokens of each.
    pub tokens: LengthSampler,
}

impl Modalities {
    /// Draws the length of a prompt and what it consists of.
    pub(crate) fn draw(&self, rng: &mut GoRand) -> (u32, Composition) {
        let mut composition = Composition::default();
        let mut total = self.text.as_ref().map_or(0, |text| text.sample(rng));
        composition.text_tokens = token_count(total);
        for item in &self.items {
            let mut tokens: i64 = 0;
            for _ in 0..item.count.sample_count(rng) {
                if tokens >= MAX_TOKENS {
                    break;
                }
                tokens = tokens.saturating_add(item.tokens.sample(rng));
            }
            *match item.modality {
                Modality::Image => &mut composition.image_tokens,
                Modality::Audio => &mut composition.audio_tokens,
                Modality::Video => &mut composition.video_tokens,
            } = token_count(tokens);
            total = total.saturating_add(tokens);
        }
        (token_count(total.max(1)), composition)
    }
}

/// A conversation of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// How many requests it has when nothing ends it early; at least 1.
    pub max_rounds: u32,
    /// From an answer to the next request.
    pub think_time: Tick,
    /// Whether each prompt begins with all earlier prompts and answers.
    pub accumulates: bool,
    /// Whether the client holds one conversation (per phase) instead of beginning one at every arrival.
    pub single_session: bool,
    /// Whether a round waits for the answer to the one before. Otherwise it is sent at a time that stands in for it:
    /// think time plus 1 µs per answer token after the round before.
    pub closed_loop: bool,
}

/// A shared prefix as one client states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Name of the group; clients that name the same group share its tokens.
    pub group: String,
    /// Length, tokens; 0 = [`DEFAULT_PREFIX_TOKENS`]. The first client of a group decides for all.
    pub tokens: u32,
}

/// When a client sends requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Requests or conversations at a rate, whatever happens to them.
    Rate {
        /// Requests per microsecond; nothing is sent unless it is positive.
        per_us: f64,
        /// How the gaps vary.
        process: ArrivalProcess,
    },
    /// Exactly so many requests or conversations, spread at random over a time that begins at zero.
    Counted {
        /// How many.
        requests: u64,
        /// Over which time; at least 1 µs per request.
        duration: Tick,
    },
    /// A Poisson process in a stage of a benchmark. Its gaps come from the client's own stream, whose first draw, in
    /// which `Counted` finds the seed of its gaps, is left unused.
    Stage {
        /// Requests per microsecond.
        per_us: f64,
    },
    /// Like `Rate`, with a process of its own in every phase.
    Phases(Arc<[Phase]>),
    /// A pool of virtual users, each of which sends its next request when its last one has ended.
    Concurrency {
        /// How many users.
        users: u32,
        /// Pause between a request's end and the user's next request. The users' first requests are spread over it.
        think_time: Tick,
    },
}
