//! What a prompt has in common with other prompts, without its tokens.
//!
//! The simulator never stores token ids. A prompt is a list of segments, each either the known tokens of a prefix
//! group or random tokens that are named by a number; the KV cache sees a chain of block keys derived from it.

mod keys;

pub use keys::{BlockHasher, block_keys, known_keys, shared_blocks};
use std::sync::Arc;

/// Index of a prefix group within its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// How many leading tokens of a fresh segment are kept. Two prompts of random tokens can coincide by chance in a
/// few tokens (vocabulary 128,000) but not in five: a block that holds five or more fresh tokens is unique.
pub const HEAD_TOKENS: usize = 4;

/// A run of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The first `tokens` tokens of a prefix group.
    Group {
        /// Which group.
        group: GroupId,
        /// How many of its tokens.
        tokens: u32,
    },
    /// Random prompt tokens drawn for one request and possibly repeated by later ones of the same session.
    Fresh {
        /// Tells this run of tokens from every other fresh one of the same source.
        uid: u64,
        /// How many tokens.
        tokens: u32,
        /// The first of them (as many as there are, up to the array's length; zero behind).
        head: [u32; HEAD_TOKENS],
    },
    /// The first `tokens` tokens that an earlier request of the same session generated.
    Answer {
        /// The [`Content::Shared::answer_uid`] of that request.
        uid: u64,
        /// How many tokens.
        tokens: u32,
    },
    /// The tokens of consecutive numbered blocks, as a recording names them: two prompts have the tokens of a block in
    /// common exactly when both name it.
    Blocks {
        /// Number of the first block, below [`BLOCK_LIMIT`]; the others follow it.
        first: u64,
        /// How many tokens in all; only the last block may be partly filled.
        tokens: u32,
        /// Tokens of a full block, at least 1.
        block_tokens: u32,
    },
}

/// Numbers of blocks lie below this.
pub const BLOCK_LIMIT: u64 = 1 << 63;

impl Segment {
    /// Number of tokens.
    pub fn tokens(&self) -> u32 {
        match *self {
            Self::Group { tokens, .. }
            | Self::Fresh { tokens, .. }
            | Self::Answer { tokens, .. }
            | Self::Blocks { tokens, .. } => tokens,
        }
    }
}

/// The tokens of a prompt and of its answer, as far as anybody can share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Fresh tokens throughout; no other request repeats them except by chance within `head`.
    Unique {
        /// Tells this prompt (and its answer) from every other one of the same source.
        uid: u64,
        /// The first tokens of the prompt.
        head: [u32; HEAD_TOKENS],
    },
    /// A prompt that shares tokens with others.
    Shared {
        /// The prompt's segments in order; their lengths sum to the prompt's length.
        prompt: Vec<Segment>,
        /// Names the answer's tokens among all answers of the source, for later prompts that repeat them.
        answer_uid: u64,
    },
    /// A prompt and an answer of which every token is known to whoever made the request.
    Known {
        /// Tells the request from every other one of the same source.
        uid: u64,
        /// Chained keys of the full blocks of prompt‖answer, as [`known_keys`] makes them.
        keys: Arc<[u64]>,
    },
}

impl Content {
    /// Tells the request from every other one of the same source.
    pub fn uid(&self) -> u64 {
        match *self {
            Self::Unique { uid, .. } | Self::Shared { answer_uid: uid, .. } | Self::Known { uid, .. } => uid,
        }
    }

    /// Whether the prompt repeats the answer of the request with this [`Self::uid`].
    pub fn repeats(&self, answer: u64) -> bool {
        let is_it = |segment: &Segment| matches!(segment, Segment::Answer { uid, .. } if *uid == answer);
        matches!(self, Self::Shared { prompt, .. } if prompt.iter().any(is_it))
    }

    /// How many tokens of its prefix group the prompt begins with.
    pub fn prefix_tokens(&self) -> u32 {
        match self {
            Self::Shared { prompt, .. } => match prompt.first() {
                Some(&Segment::Group { tokens, .. }) => tokens,
                _ => 0,
            },
            Self::Unique { .. } | Self::Known { .. } => 0,
        }
    }
}
