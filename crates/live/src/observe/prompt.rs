//! Texts of prompts: words of a fixed vocabulary, as many as the tokens that are planned, and equal where plans share
//! tokens.

use blis_kernel::rng::GoRand;
use blis_workload::{Content, RequestSource, Segment, VOCABULARY as TOKENS};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Words that tokenisers know. Their order matters to whoever wants the same prompts again.
pub(super) const WORDS: [&str; 100] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo",
    "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor",
    "whiskey", "xray", "yankee", "zulu", "apple", "banana", "cherry", "date", "elder", "fig", "grape",
    "hazel", "iris", "jasmine", "kiwi", "lemon", "mango", "nutmeg", "olive", "peach", "quince", "rose",
    "sage", "thyme", "umber", "violet", "willow", "yarrow", "acorn", "birch", "cedar", "daisy", "elm",
    "fern", "ginger", "holly", "ivy", "juniper", "kelp", "laurel", "maple", "nettle", "oak", "pine",
    "quinoa", "reed", "spruce", "tulip", "umbra", "vine", "walnut", "xylem", "yew", "zinnia", "alder",
    "basil", "clover", "dill", "fennel", "garlic", "hemp", "indigo", "jade", "kumquat", "lily", "moss",
    "neem", "orchid", "poppy", "rye", "saffron", "tea", "urchin", "verbena", "wheat", "xeris", "yucca",
    "zest",
];

/// One side's part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Whether the model said it.
    pub(super) is_answer: bool,
    pub(super) text: String,
}

/// Makes the texts of the prompts of one source.
pub(super) struct Prompts {
    seed: i64,
    tokens_per_word: f64,
    /// The words of each prefix group.
    groups: Vec<Vec<&'static str>>,
    /// Answers that later prompts may repeat, by the number that names their tokens, with their tokens.
    answers: BTreeMap<u64, (Arc<str>, u32)>,
}

impl Prompts {
    pub(super) fn new(seed: i64, tokens_per_word: f64, source: &dyn RequestSource) -> Self {
        let mut prompts = Self { seed, tokens_per_word, groups: Vec::new(), answers: BTreeMap::new() };
        let names = group_names(source);
        for (index, ids) in source.groups().iter().enumerate() {
            let name = names.get(index).cloned().unwrap_or_else(|| index.to_string());
            let mut random = GoRand::new(group_seed(seed, &name));
            let words = prompts.words(ids.len() as u32);
            prompts.groups.push((0..words).map(|_| word(random.intn(WORDS.len() as i64))).collect());
        }
        prompts
    }

    /// How many words stand for so many tokens.
    fn words(&self, tokens: u32) -> usize {
        ((f64::from(tokens) / self.tokens_per_word).round() as usize).max(1)
    }

    /// Keeps an answer for the later prompts of its session.
    pub(super) fn keep(&mut self, content: &Content, text: &str, tokens: u32) {
        if !text.is_empty() {
            self.answers.insert(content.uid(), (text.into(), tokens));
        }
    }

    /// Forgets an answer that nobody repeats any more.
    pub(super) fn forget(&mut self, content: &Content) {
        let Content::Shared { prompt, .. } = content else { return };
        for segment in prompt {
            if let Segment::Answer { uid, .. } = segment {
                self.answers.remove(uid);
            }
        }
    }

    /// The prompt of a request.
    pub(super) fn turns(&self, content: &Content, input_tokens: u32) -> Vec<Turn> {
        match content {
            Content::Unique { uid, head } => {
                vec![Turn { is_answer: false, text: self.fresh(*uid, input_tokens, head) }]
            }
            // Keys of blocks do not say what they were made from; only servers make requests of this kind.
            Content::Known { uid, .. } => {
                vec![Turn { is_answer: false, text: self.fresh(*uid, input_tokens, &[]) }]
            }
            Content::Shared { prompt, .. } => {
                let mut turns: Vec<Turn> = Vec::new();
                for segment in prompt.iter().filter(|segment| segment.tokens() > 0) {
                    let is_answer = matches!(segment, Segment::Answer { .. });
                    let text = self.segment(segment);
                    match turns.last_mut().filter(|turn| turn.is_answer == is_answer) {
                        Some(turn) => turn.text += &text,
                        None => turns.push(Turn { is_answer, text }),
                    }
                }
                if turns.is_empty() {
                    turns.push(Turn { is_answer: false, text: spaced([word(0)]) });
                }
                turns
            }
        }
    }

    fn segment(&self, segment: &Segment) -> String {
        match *segment {
            Segment::Group { group, tokens } => {
                let words = &self.groups[group.0 as usize];
                spaced(words.iter().copied().take(self.words(tokens)))
            }
            Segment::Fresh { uid, tokens, ref head } => self.fresh(uid, tokens, head),
            Segment::Answer { uid, tokens } => match self.answers.get(&uid) {
                Some((text, of)) => part(text, tokens, *of).to_owned(),
                // An answer that was not seen: any text of its length.
                None => spaced((1..=self.words(tokens) as i64).map(word)),
            },
            Segment::Blocks { first, tokens, block_tokens } => {
                let full = u64::from(tokens.div_ceil(block_tokens));
                let block = |index: u64| {
                    let length = tokens - (index as u32 * block_tokens);
                    self.random_words(first + index, length.min(block_tokens), &[])
                };
                (0..full).map(block).collect()
            }
        }
    }

    fn fresh(&self, uid: u64, tokens: u32, head: &[u32]) -> String {
        self.random_words(uid ^ 1 << 63, tokens, head)
    }

    /// Words by number: those of the first ids, then random ones that follow from the number and the seed.
    fn random_words(&self, number: u64, tokens: u32, head: &[u32]) -> String {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.seed as u64;
        let count = self.words(tokens);
        let known = head.iter().take(count.min(tokens as usize)).map(|&id| i64::from(id));
        let rest = std::iter::repeat_with(|| (split_mix(&mut state) % TOKENS as u64) as i64);
        spaced(known.chain(rest).take(count).map(word))
    }
}

/// The next number of SplitMix64 (Steele, Lea and Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The word of a token id.
fn word(id: i64) -> &'static str {
    WORDS[id.rem_euclid(WORDS.len() as i64) as usize]
}

/// Words, each followed by a blank.
fn spaced(words: impl IntoIterator<Item = &'static str>) -> String {
    let mut text = String::new();
    for word in words {
        text += word;
        text.push(' ');
    }
    text
}

/// The part of a text that holds `tokens` of its tokens; all of it when one is missing, as plans count an answer without
/// its last token, whose state nobody has.
fn part(text: &str, tokens: u32, of: u32) -> &str {
    if tokens.saturating_add(1) >= of {
        return text;
    }
    let mut end = text.len() * tokens as usize / of as usize;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The names of prefix groups in the order of their numbers: that of the first client of each.
fn group_names(source: &dyn RequestSource) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for labels in source.labels() {
        if !labels.prefix_group.is_empty() && !names.contains(&labels.prefix_group) {
            names.push(labels.prefix_group.clone());
        }
    }
    names
}

/// FNV-1a over the seed's bytes and the group's name.
fn group_seed(seed: i64, group: &str) -> i64 {
    let bytes = seed.to_le_bytes().into_iter().chain(group.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_workload::{GroupId, Labels, RequestEnd, RequestSpec, SessionId, SessionRound};

    struct Groups(Vec<Labels>, Vec<Vec<u32>>);

    impl RequestSource for Groups {
        fn next_arrival(&mut self) -> Option<RequestSpec> {
            None
        }
        fn is_reactive(&self) -> bool {
            false
        }
        fn on_end(&mut self, _: SessionRound, _: blis_kernel::Tick, _: RequestEnd) -> Option<RequestSpec> {
            None
        }
        fn labels(&self) -> &[Labels] {
            &self.0
        }
        fn session_name(&self, _: SessionId) -> &'static str {
            ""
        }
        fn groups(&self) -> &[Vec<u32>] {
            &self.1
        }
    }

    fn prompts(tokens_per_word: f64) -> Prompts {
        let labels = ["a", "", "b"].map(|group| Labels { prefix_group: group.into(), ..Labels::default() });
        Prompts::new(42, tokens_per_word, &Groups(labels.into(), vec![vec![0; 10], vec![0; 6]]))
    }

    fn count(text: &str) -> usize {
        text.split_whitespace().count()
    }

    #[test]
    fn a_prompt_has_as_many_words_as_its_tokens_need() {
        let content = Content::Unique { uid: 3, head: [100, 201, 1, 2] };
        let text = |tokens_per_word, tokens| prompts(tokens_per_word).turns(&content, tokens)[0].text.clone();
        assert_eq!(count(&text(1.0, 40)), 40);
        assert_eq!(count(&text(1.5, 40)), 27);
        assert_eq!(count(&text(3.0, 1)), 1);
        assert!(text(1.0, 40).starts_with("alpha bravo bravo charlie "), "{}", text(1.0, 40));
        assert_eq!(text(1.0, 1), "alpha ");
    }

    /// Law: prompts have the same words where their plans have the same tokens, and others elsewhere.
    #[test]
    fn shared_tokens_are_shared_words() {
        let prompts = prompts(1.0);
        let prompt = |group: u32, tokens, uid| {
            let prefix = Segment::Group { group: GroupId(group), tokens };
            let own = Segment::Fresh { uid, tokens: 8, head: [uid as u32; 4] };
            let content = Content::Shared { prompt: vec![prefix, own], answer_uid: uid };
            prompts.turns(&content, tokens + 8)[0].text.clone()
        };
        let (one, two, other) = (prompt(0, 10, 1), prompt(0, 10, 2), prompt(1, 6, 1));
        let words = |text: &str, count: usize| {
            text.split_whitespace().take(count).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words(&one, 10), words(&two, 10));
        assert_ne!(words(&one, 18), words(&two, 18));
        assert_ne!(words(&one, 6), words(&other, 6));
        assert_eq!(words(&prompt(0, 4, 1), 4), words(&one, 4));
    }

    #[test]
    fn a_conversation_repeats_what_was_said() {
        let mut prompts = prompts(1.0);
        let first = Content::Unique { uid: 7, head: [0; 4] };
        prompts.keep(&first, "und dann", 4);
        let later = |tokens| Content::Shared {
            prompt: vec![
                Segment::Fresh { uid: 7, tokens: 2, head: [0; 4] },
                Segment::Answer { uid: 7, tokens },
                Segment::Fresh { uid: 8, tokens: 1, head: [5; 4] },
            ],
            answer_uid: 9,
        };
        let texts = |prompts: &Prompts, tokens| {
            let turns = prompts.turns(&later(tokens), 0);
            turns.into_iter().map(|turn| (turn.is_answer, turn.text)).collect::<Vec<_>>()
        };
        let expected = [
            (false, "alpha alpha ".to_owned()),
            (true, "und dann".to_owned()),
            (false, "foxtrot ".to_owned()),
        ];
        assert_eq!(texts(&prompts, 4), expected);
        assert_eq!(texts(&prompts, 2)[1].1, "und ");
        prompts.forget(&later(4));
        assert_eq!(texts(&prompts, 2)[1].1, "bravo charlie ");
    }
}
