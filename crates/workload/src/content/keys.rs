//! Chained keys of KV blocks.
//!
//! The key of block k stands for all tokens up to the block's end: two requests have equal keys k exactly when their
//! first (k+1)·B tokens are equal. Tokens with known values (prefix groups and the head of a fresh run) are hashed by
//! value. All others are hashed as a run of (uid, offset, length): nobody else has them but a request that names the
//! same uid. A recorded block is a run whose uid is its number, marked apart from those of fresh tokens. Runs are cut at block ends and at the end of their segment only, so equal tokens give equal runs.

use super::{BLOCK_LIMIT, Content, GroupId, HEAD_TOKENS, Segment};

/// Marks a run among the hashed words; token values are below 2³².
const RUN: u64 = 1 << 63;
/// Marks a run of answer tokens, whose uids are a numbering of their own.
const ANSWER: u64 = 1 << 62;
/// Start of every chain (digits of π).
const ORIGIN: u64 = 0x243f_6a88_85a3_08d3;

/// How many leading full blocks of a prompt of `input_tokens` can equal blocks of other requests; `None` when any block
/// can, those of the answer included. A request of a session repeats earlier ones and is repeated by later ones, unless
/// its content says that it is unique.
///
/// A block's key stands for everything up to its end. More than [`HEAD_TOKENS`] fresh tokens, or one of the answer, are
/// something that only this request has.
#[inline]
pub fn shared_blocks(
    content: &Content,
    is_in_session: bool,
    input_tokens: u32,
    block_tokens: u32,
) -> Option<u32> {
    let (known, fresh) = match content {
        Content::Unique { .. } => (0, input_tokens),
        Content::Known { .. } => return None,
        Content::Shared { .. } if is_in_session => return None,
        Content::Shared { prompt, .. } => match prompt[..] {
            [Segment::Group { tokens, .. }] => (tokens, 0),
            [Segment::Group { tokens, .. }, Segment::Fresh { tokens: fresh, .. }] => (tokens, fresh),
            _ => return None,
        },
    };
    Some((known + fresh.min(HEAD_TOKENS as u32)) / block_tokens)
}

/// Appends the keys of the first `blocks` full blocks of prompt‖answer to `out`.
///
/// `groups` are the token ids of the source's prefix groups, `input_tokens` is the length of the prompt. The answer
/// has no end here: a caller asks only for blocks that are filled. See [`BlockHasher`] for repeated use.
///
/// # Panics
/// When `block_tokens` is not in 1 … 2³⁰ − 1 or a group segment is longer than its group.
pub fn block_keys(
    content: &Content,
    groups: &[Vec<u32>],
    input_tokens: u32,
    block_tokens: u32,
    blocks: usize,
    out: &mut Vec<u64>,
) {
    Chain::new(block_tokens, blocks, out).content(content, groups, input_tokens);
}

/// Keys of the full blocks of these tokens. `salt` keeps prompts apart that may not share; zero = none.
///
/// # Panics
/// When `block_tokens` is not in 1 … 2³⁰ − 1.
pub fn known_keys(tokens: &[u32], salt: u64, block_tokens: u32) -> Vec<u64> {
    let mut keys = Vec::new();
    let mut chain = Chain::new(block_tokens, tokens.len() / block_tokens as usize, &mut keys);
    if salt != 0 {
        chain.state = mix(chain.state, salt);
    }
    chain.values(tokens);
    keys
}

/// [`block_keys`] for one block size, with the keys of every prefix group computed once.
#[derive(Clone, Debug)]
pub struct BlockHasher {
    block_tokens: u32,
    /// For each group, the keys of its full blocks at the start of a prompt.
    group_keys: Vec<Vec<u64>>,
}

impl BlockHasher {
    /// Prepares the keys of all groups for blocks of `block_tokens` tokens.
    ///
    /// # Panics
    /// When `block_tokens` is not in 1 … 2³⁰ − 1.
    pub fn new(groups: &[Vec<u32>], block_tokens: u32) -> Self {
        let group_keys = groups
            .iter()
            .map(|tokens| {
                let mut keys = Vec::new();
                let blocks = tokens.len() / block_tokens as usize;
                Chain::new(block_tokens, blocks, &mut keys).values(tokens);
                keys
            })
            .collect();
        Self { block_tokens, group_keys }
    }

    /// The block size, tokens.
    pub fn block_tokens(&self) -> u32 {
        self.block_tokens
    }

    /// Appends what [`block_keys`] appends.
    ///
    /// # Panics
    /// When a group segment is longer than its group.
    pub fn keys(
        &self,
        content: &Content,
        groups: &[Vec<u32>],
        input_tokens: u32,
        blocks: usize,
        out: &mut Vec<u64>,
    ) {
        let mut chain = Chain::new(self.block_tokens, blocks, out);
        let Content::Shared { prompt, .. } = content else {
            return chain.content(content, groups, input_tokens);
        };
        let skip = if let Some(&Segment::Group { group, tokens }) = prompt.first() {
            let known = &self.group_keys[group.0 as usize];
            let full = (tokens / self.block_tokens) as usize;
            chain.known_blocks(&known[..full.min(blocks)])
        } else {
            0
        };
        chain.shared(content, groups, skip);
    }
}

/// The growing chain of one request's keys.
struct Chain<'a> {
    block_tokens: u32,
    /// Blocks still wanted.
    left: usize,
    /// Tokens of the current block so far.
    filled: u32,
    state: u64,
    out: &'a mut Vec<u64>,
}

impl<'a> Chain<'a> {
    fn new(block_tokens: u32, blocks: usize, out: &'a mut Vec<u64>) -> Self {
        assert!((1..1 << 30).contains(&block_tokens), "a block of {block_tokens} tokens");
        out.reserve(blocks);
        Self { block_tokens, left: blocks, filled: 0, state: ORIGIN, out }
    }

    fn content(&mut self, content: &Content, groups: &[Vec<u32>], input_tokens: u32) {
        match *content {
            Content::Unique { uid, head } => {
                self.fresh(uid, input_tokens, &head);
                self.run(ANSWER, uid, 0, u32::MAX);
            }
            Content::Shared { .. } => self.shared(content, groups, 0),
            Content::Known { ref keys, .. } => {
                self.known_blocks(&keys[..keys.len().min(self.left)]);
            }
        }
    }

    /// The segments of a shared prompt behind its first `skip` tokens, all of which lie in the first segment.
    fn shared(&mut self, content: &Content, groups: &[Vec<u32>], mut skip: usize) {
        let Content::Shared { prompt, answer_uid } = content else { return };
        for segment in prompt {
            match *segment {
                Segment::Group { group: GroupId(group), tokens } => {
                    self.values(&groups[group as usize][skip..tokens as usize]);
                }
                Segment::Fresh { uid, tokens, ref head } => self.fresh(uid, tokens, head),
                Segment::Answer { uid, tokens } => self.run(ANSWER, uid, 0, tokens),
                Segment::Blocks { first, tokens, block_tokens } => self.blocks(first, tokens, block_tokens),
            }
            skip = 0;
            if self.left == 0 {
                return;
            }
        }
        self.run(ANSWER, *answer_uid, 0, u32::MAX);
    }

    /// Takes over keys computed earlier; returns how many tokens they stand for.
    fn known_blocks(&mut self, keys: &[u64]) -> usize {
        self.out.extend_from_slice(keys);
        self.left -= keys.len();
        self.state = keys.last().copied().unwrap_or(ORIGIN);
        keys.len() * self.block_tokens as usize
    }

    fn values(&mut self, mut tokens: &[u32]) {
        while self.left > 0 && !tokens.is_empty() {
            let take = tokens.len().min((self.block_tokens - self.filled) as usize);
            for &token in &tokens[..take] {
                self.state = mix(self.state, u64::from(token));
            }
            tokens = &tokens[take..];
            self.fill(take as u32);
        }
    }

    fn fresh(&mut self, uid: u64, tokens: u32, head: &[u32; HEAD_TOKENS]) {
        let valued = tokens.min(HEAD_TOKENS as u32);
        self.values(&head[..valued as usize]);
        self.run(0, uid, valued, tokens - valued);
    }

    fn blocks(&mut self, first: u64, mut tokens: u32, block_tokens: u32) {
        let mut block = first;
        while self.left > 0 && tokens > 0 {
            let take = tokens.min(block_tokens);
            self.run(0, BLOCK_LIMIT | block, 0, take);
            tokens -= take;
            block += 1;
        }
    }

    fn run(&mut self, kind: u64, uid: u64, mut offset: u32, mut tokens: u32) {
        while self.left > 0 && tokens > 0 {
            let take = tokens.min(self.block_tokens - self.filled);
            // Where a run of a given uid and offset lies in a block fixes how long it can be there, except at the end
            // of its segment: the length is hashed as well.
            self.state = mix(self.state, RUN | kind | u64::from(take) << 32 | u64::from(offset));
            self.state = mix(self.state, uid);
            offset += take;
            tokens -= take;
            self.fill(take);
        }
    }

    fn fill(&mut self, tokens: u32) {
        self.filled += tokens;
        if self.filled == self.block_tokens {
            self.out.push(self.state);
            self.filled = 0;
            self.left -= 1;
        }
    }
}

/// One round: XOR in a word, then multiply and shift twice (constants of Stafford's mixer 13 for 64 bits).
#[inline]
fn mix(state: u64, word: u64) -> u64 {
    let x = (state ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
