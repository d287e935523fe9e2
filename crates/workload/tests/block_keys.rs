//! Laws of the KV block keys.

use blis_workload::content::{BlockHasher, HEAD_TOKENS, block_keys, known_keys, shared_blocks};
use blis_workload::{Content, GroupId, Segment};
use proptest::prelude::*;

/// A token as the keys may tell it from others: by value, or by who drew it and where.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Value(u32),
    Fresh(u64, u32),
    Answer(u64, u32),
    Recorded(u64, u32),
}

const ANSWER_TOKENS: u32 = 40;
/// Tokens of a recorded block.
const RECORDED_TOKENS: u32 = 4;

fn groups() -> Vec<Vec<u32>> {
    // The second group begins like the first; the third is the first, cut short.
    vec![vec![5, 6, 7, 8, 9, 10, 11, 12], vec![5, 6, 7, 1, 2, 3, 4, 5, 6], vec![5, 6, 7]]
}

/// Few values, so that chance coincidences are frequent; the same uid always has the same tokens.
fn head(uid: u64, tokens: u32) -> [u32; HEAD_TOKENS] {
    std::array::from_fn(|i| if (i as u32) < tokens { (uid >> i & 1) as u32 } else { 0 })
}

fn fresh(uid: u64, tokens: u32) -> impl Iterator<Item = Token> {
    let head = head(uid, tokens);
    (0..tokens).map(move |i| head.get(i as usize).map_or(Token::Fresh(uid, i), |&v| Token::Value(v)))
}

fn answer(uid: u64, tokens: u32) -> impl Iterator<Item = Token> {
    (0..tokens).map(move |i| Token::Answer(uid, i))
}

fn tokens(content: &Content, input_tokens: u32) -> Vec<Token> {
    match content {
        &Content::Unique { uid, .. } => fresh(uid, input_tokens).chain(answer(uid, ANSWER_TOKENS)).collect(),
        Content::Shared { prompt, answer_uid } => prompt
            .iter()
            .flat_map(|segment| match *segment {
                Segment::Group { group, tokens } => {
                    groups()[group.0 as usize][..tokens as usize].iter().map(|&v| Token::Value(v)).collect()
                }
                Segment::Fresh { uid, tokens, .. } => fresh(uid, tokens).collect::<Vec<_>>(),
                Segment::Answer { uid, tokens } => answer(uid, tokens).collect(),
                Segment::Blocks { first, tokens, block_tokens } => (0..tokens)
                    .map(|i| Token::Recorded(first + u64::from(i / block_tokens), i % block_tokens))
                    .collect(),
            })
            .chain(answer(*answer_uid, ANSWER_TOKENS))
            .collect(),
        Content::Known { .. } => unreachable!("no request here knows all its tokens"),
    }
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        (0u32..3, 0u32..=9).prop_map(|(group, tokens)| {
            let length = groups()[group as usize].len() as u32;
            Segment::Group { group: GroupId(group), tokens: tokens.min(length) }
        }),
        (0u64..6, 0u32..9).prop_map(|(uid, tokens)| Segment::Fresh { uid, tokens, head: head(uid, tokens) }),
        (0u64..3, 0u32..6).prop_map(|(uid, tokens)| Segment::Answer { uid, tokens }),
        (0u64..4, 0u32..12)
            .prop_map(|(first, tokens)| { Segment::Blocks { first, tokens, block_tokens: RECORDED_TOKENS } }),
    ]
}

/// A content with the length of its prompt.
fn request() -> impl Strategy<Value = (Content, u32)> {
    prop_oneof![
        1 => (0u64..6, 0u32..12).prop_map(|(uid, tokens)| {
            (Content::Unique { uid, head: head(uid, tokens) }, tokens)
        }),
        3 => (prop::collection::vec(segment(), 0..4), 0u64..3).prop_map(|(prompt, answer_uid)| {
            let tokens = prompt.iter().map(Segment::tokens).sum();
            (Content::Shared { prompt, answer_uid }, tokens)
        }),
    ]
}

fn keys((content, input_tokens): &(Content, u32), block_tokens: u32) -> Vec<u64> {
    let blocks = (tokens(content, *input_tokens).len() as u32 / block_tokens) as usize;
    let mut out = vec![99];
    block_keys(content, &groups(), *input_tokens, block_tokens, blocks, &mut out);
    assert_eq!(out.len(), blocks + 1, "as many keys as asked for, behind what was there");
    out.split_off(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Law: keys k of two requests are equal exactly when their first (k+1)·B tokens are.
    #[test]
    fn keys_are_equal_exactly_when_all_tokens_up_to_there_are(
        a in request(), b in request(), block_tokens in 1u32..7,
    ) {
        let (keys_a, keys_b) = (keys(&a, block_tokens), keys(&b, block_tokens));
        let (tokens_a, tokens_b) = (tokens(&a.0, a.1), tokens(&b.0, b.1));
        for k in 0..keys_a.len().min(keys_b.len()) {
            let end = (k + 1) * block_tokens as usize;
            prop_assert_eq!(keys_a[k] == keys_b[k], tokens_a[..end] == tokens_b[..end], "block {}", k);
        }
    }

    /// Law: remembering the keys of groups changes nothing.
    #[test]
    fn prepared_group_keys_change_nothing(a in request(), block_tokens in 1u32..7, blocks in 0usize..9) {
        let hasher = BlockHasher::new(&groups(), block_tokens);
        let (mut plain, mut prepared) = (Vec::new(), Vec::new());
        block_keys(&a.0, &groups(), a.1, block_tokens, blocks, &mut plain);
        hasher.keys(&a.0, &groups(), a.1, blocks, &mut prepared);
        prop_assert_eq!(plain, prepared);
    }

    /// Law: behind its shared blocks, a request that belongs to no session shares none with a request that does not
    /// name its uid.
    #[test]
    fn blocks_behind_the_shared_ones_are_shared_by_nobody(
        uid in 10u64..16, prefix in 0u32..9, fresh in 0u32..12, other in request(), block_tokens in 1u32..9,
    ) {
        let own = Segment::Fresh { uid, tokens: fresh, head: head(uid, fresh) };
        let group = Segment::Group { group: GroupId(0), tokens: prefix };
        let content = match (prefix, fresh) {
            (0, _) => Content::Unique { uid, head: head(uid, fresh) },
            (_, 0) => Content::Shared { prompt: vec![group], answer_uid: uid },
            _ => Content::Shared { prompt: vec![group, own], answer_uid: uid },
        };
        let input_tokens = prefix + fresh;
        let shared = shared_blocks(&content, false, input_tokens, block_tokens).expect("no session");
        prop_assert!(shared <= input_tokens / block_tokens);
        let others = keys(&other, block_tokens);
        let own = keys(&(content, input_tokens), block_tokens);
        prop_assert!(own.iter().skip(shared as usize).all(|key| !others.contains(key)));
    }
}

#[test]
fn known_tokens_have_the_keys_of_equal_tokens_and_a_salt_keeps_them_apart() {
    let values = &groups()[0];
    let group = Segment::Group { group: GroupId(0), tokens: values.len() as u32 };
    let grouped = Content::Shared { prompt: vec![group], answer_uid: 1 };
    let blocks = values.len() / 3;
    let mut expected = Vec::new();
    block_keys(&grouped, &groups(), values.len() as u32, 3, blocks, &mut expected);
    let known = known_keys(values, 0, 3);
    assert_eq!(known, expected);
    let salted = known_keys(values, 7, 3);
    assert!(salted.iter().zip(&known).all(|(salted, plain)| salted != plain));

    let content = Content::Known { uid: 1, keys: known.clone().into() };
    let mut hashed = Vec::new();
    BlockHasher::new(&[], 3).keys(&content, &[], 4, 1, &mut hashed);
    assert_eq!((hashed, shared_blocks(&content, false, 4, 3)), (known[..1].to_vec(), None));
}

#[test]
fn what_a_session_repeats_is_not_private() {
    let content = Content::Unique { uid: 1, head: [1, 2, 3, 4] };
    let blocks = |block_tokens| shared_blocks(&content, true, 100, block_tokens);
    assert_eq!(blocks(HEAD_TOKENS as u32 + 1), Some(0), "users of a pool hold sessions and repeat nothing");
    assert_eq!(blocks(HEAD_TOKENS as u32), Some(1), "four tokens can be the same by chance");
    let group = Segment::Group { group: GroupId(0), tokens: 40 };
    let prefixed = Content::Shared { prompt: vec![group], answer_uid: 1 };
    assert_eq!(shared_blocks(&prefixed, false, 40, 16), Some(2));
    assert_eq!(shared_blocks(&prefixed, true, 40, 16), None);
    let answered = Content::Shared { prompt: vec![Segment::Answer { uid: 1, tokens: 9 }], answer_uid: 2 };
    assert_eq!(shared_blocks(&answered, false, 9, 16), None);
}
