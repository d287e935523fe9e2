//! Random changes to files.

use blis_kernel::rng::GoRand;

/// Most changes to one input.
const CHANGES: i64 = 5;
/// Longest input, bytes.
const LONGEST: usize = 20_000;
/// What readers stumble over.
const WORDS: [&str; 42] = [
    "0", "-1", "1", "1e308", "-1e308", "1e-320", "NaN", ".nan", ".inf", "-.inf", "9223372036854775807",
    "-9223372036854775808", "18446744073709551616", "4294967296", "1e18", "0.5", "null", "~", "true", "\"\"", "[]",
    "{}", "{", "}", "[", "]", ":", ": ", "- ", "\n", "\n  ", ",", "\"", "'", "#", "&a ", "*a", "!!binary ", "|\n",
    "\u{feff}", "é", "\0",
];

/// Makes inputs out of a corpus.
pub(crate) struct Mutator {
    rng: GoRand,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(seed: i64, corpus: Vec<Vec<u8>>) -> Self {
        Self { rng: GoRand::new(seed), corpus }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.intn(bound.max(1) as i64) as usize
    }

    /// A file of the corpus with a few changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.any();
        for _ in 0..=self.rng.intn(CHANGES) {
            self.change(&mut input);
            input.truncate(LONGEST);
        }
        input
    }

    fn any(&mut self) -> Vec<u8> {
        let which = self.below(self.corpus.len());
        self.corpus[which].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.rng.intn(8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.rng.intn(8);
                }
            }
            1 => {
                let until = (at + 1 + self.below(12)).min(input.len());
                input.drain(at.min(until)..until);
            }
            2 => {
                let word = WORDS[self.below(WORDS.len())];
                input.splice(at..at, word.bytes());
            }
            // A value for another: the most fruitful change.
            3 | 4 => {
                let (start, end) = word_at(input, at);
                let word = WORDS[self.below(WORDS.len())];
                input.splice(start..end, word.bytes());
            }
            5 => {
                let (start, end) = word_at(input, at);
                let other = self.any();
                let place = self.below(other.len() + 1);
                let (from, to) = word_at(&other, place);
                input.splice(start..end, other[from..to].iter().copied());
            }
            6 => {
                let (start, end) = line_at(input, at);
                let line = input[start..end].to_vec();
                let place = self.below(input.len() + 1);
                let (to, _) = line_at(input, place);
                input.splice(to..to, line);
            }
            _ => {
                let (start, end) = line_at(input, at);
                let other = self.any();
                let place = self.below(other.len() + 1);
                let (from, to) = line_at(&other, place);
                input.splice(start..end, other[from..to].iter().copied());
            }
        }
    }
}

fn word_at(input: &[u8], at: usize) -> (usize, usize) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let start = input[..at].iter().rposition(|byte| !is_part(byte)).map_or(0, |place| place + 1);
    let end = input[at..].iter().position(|byte| !is_part(byte)).map_or(input.len(), |length| at + length);
    (start, end)
}

fn line_at(input: &[u8], at: usize) -> (usize, usize) {
    let start = input[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |place| place + 1);
    let end = input[at..].iter().position(|&byte| byte == b'\n').map_or(input.len(), |length| at + length + 1);
    (start, end)
}
