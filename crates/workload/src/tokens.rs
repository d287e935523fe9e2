//! Token ids: drawn to keep the streams in step, kept only where another request can have the same ones.

use crate::client::{Client, DEFAULT_PREFIX_TOKENS, Prefix};
use crate::content::{GroupId, HEAD_TOKENS};
use blis_kernel::rng::GoRand;

/// Token ids lie in [0, VOCABULARY).
pub const VOCABULARY: i64 = 128_000;
/// Longest prompt and answer, tokens: far beyond any model. Drawing the tokens of a longer one would take seconds.
pub(crate) const MAX_TOKENS: i64 = 100_000_000;

/// Draws the token ids of a prompt and its answer; returns the first ones of the prompt, zero-padded.
#[inline]
pub(crate) fn draw_request(rng: &mut GoRand, input_tokens: u32, output_tokens: u32) -> [u32; HEAD_TOKENS] {
    let mut head = [0; HEAD_TOKENS];
    let kept = HEAD_TOKENS.min(input_tokens as usize);
    rng.fill_intn(VOCABULARY, &mut head[..kept]);
    rng.skip_intn(VOCABULARY, input_tokens as usize - kept + output_tokens as usize);
    head
}

/// Draws the token ids of a prefix group.
pub(crate) fn draw_group(rng: &mut GoRand, tokens: u32) -> Vec<u32> {
    let mut ids = vec![0; tokens as usize];
    rng.fill_intn(VOCABULARY, &mut ids);
    ids
}

/// A length as a number of tokens, cut at [`MAX_TOKENS`].
#[inline]
pub(crate) fn token_count(length: i64) -> u32 {
    length.clamp(0, MAX_TOKENS) as u32
}

/// The group and its length for every client that has a prefix, with groups numbered in order of first appearance;
/// and the length of every group.
pub(crate) fn number_groups(clients: &[Client]) -> (Vec<Option<(GroupId, u32)>>, Vec<u32>) {
    let mut numbers = std::collections::BTreeMap::new();
    let mut lengths = Vec::new();
    let of_client = clients
        .iter()
        .map(|client| {
            let Prefix { group, tokens } = client.prefix.as_ref()?;
            let number = *numbers.entry(group.as_str()).or_insert_with(|| {
                lengths.push(if *tokens > 0 { *tokens } else { DEFAULT_PREFIX_TOKENS });
                lengths.len() - 1
            });
            Some((GroupId(number as u32), lengths[number]))
        })
        .collect();
    (of_client, lengths)
}
