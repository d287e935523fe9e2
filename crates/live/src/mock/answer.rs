//! What is answered: common words, drawn by a hash of the prompt, so that equal prompts get equal answers.

use super::text::token_id;

/// Words that tokenizers have as one token, with the space before them.
const WORDS: [&str; 64] = [
    " the", " of", " and", " to", " in", " that", " is", " was", " he", " for", " it", " with", " as",
    " his", " on", " be", " at", " by", " had", " not", " are", " but", " from", " or", " have", " an",
    " they", " which", " one", " you", " were", " her", " all", " she", " there", " would", " their", " we",
    " him", " been", " has", " when", " who", " will", " more", " no", " if", " out", " so", " said",
    " what", " up", " its", " about", " into", " than", " them", " can", " only", " other", " new", " some",
    " could", " time",
];

/// The words of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    seed: u64,
    /// The first word comes without a space.
    begins_text: bool,
}

impl Answer {
    pub(crate) fn new(seed: u64, begins_text: bool) -> Self {
        Self { seed, begins_text }
    }

    /// The text of a token, counted from zero.
    pub(crate) fn token(self, number: u32) -> &'static str {
        // A step of SplitMix64.
        let x = self.seed.wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = WORDS[(x >> 58) as usize];
        if number == 0 && self.begins_text { &word[1..] } else { word }
    }
}

/// Why an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// As long as was allowed.
    Length,
    /// By itself.
    EndOfSequence,
    /// At a text of the client.
    StopText(String),
    /// At a token of the client.
    StopToken(u32),
}

impl Finish {
    /// As responses say it.
    pub(crate) fn reason(&self) -> &'static str {
        if *self == Self::Length { "length" } else { "stop" }
    }

    /// What stopped it, as JSON.
    pub(crate) fn stop_reason(&self) -> String {
        match self {
            Self::Length | Self::EndOfSequence => "null".to_owned(),
            Self::StopText(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::StopToken(token) => token.to_string(),
        }
    }
}

/// What bounds an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// Most tokens; at least 1.
    pub(crate) max_tokens: u32,
    /// Nothing but `max_tokens` ends an answer before it has so many.
    pub(crate) min_tokens: u32,
    /// Its length if it ends by itself.
    pub(crate) natural_tokens: Option<u32>,
    pub(crate) stop: Vec<String>,
    pub(crate) stop_token_ids: Vec<u32>,
    pub(crate) include_stop: bool,
}

/// An answer, from its first word to its last.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    answer: Answer,
    /// Tokens, at least one.
    pub(crate) tokens: u32,
    pub(crate) finish: Finish,
    /// Bytes of its text that are shown.
    shown_bytes: usize,
}

impl Planned {
    /// Plays an answer through and appends the numbers of its tokens.
    pub(crate) fn new(answer: Answer, bounds: &Bounds, ids: &mut Vec<u32>) -> Self {
        let natural = bounds.natural_tokens.map_or(u32::MAX, |tokens| tokens.max(bounds.min_tokens).max(1));
        let (most, mut finish) = if natural <= bounds.max_tokens {
            (natural, Finish::EndOfSequence)
        } else {
            (bounds.max_tokens, Finish::Length)
        };
        let mut tokens = most;
        let mut shown_bytes = usize::MAX;
        let mut text = String::new();
        for number in 0..most {
            let piece = answer.token(number);
            let id = token_id(piece);
            ids.push(id);
            let may_stop = number + 1 >= bounds.min_tokens;
            if bounds.stop_token_ids.contains(&id) && may_stop {
                (tokens, finish) = (number + 1, Finish::StopToken(id));
                break;
            }
            if bounds.stop.is_empty() {
                continue;
            }
            let before = text.len();
            text.push_str(piece);
            let found = bounds.stop.iter().filter_map(|stop| {
                let from = before.saturating_sub(stop.len());
                Some((from + text[from..].find(stop.as_str())?, stop))
            });
            if let Some((at, stop)) = found.filter(|_| may_stop).min_by_key(|&(at, _)| at) {
                shown_bytes = if bounds.include_stop { at + stop.len() } else { at };
                (tokens, finish) = (number + 1, Finish::StopText(stop.clone()));
                break;
            }
        }
        Self { answer, tokens, finish, shown_bytes }
    }
}

/// Reads a planned answer token by token.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) planned: Planned,
    /// Tokens read.
    pub(crate) read: u32,
    bytes: usize,
}

impl Reader {
    pub(crate) fn new(planned: Planned) -> Self {
        Self { planned, read: 0, bytes: 0 }
    }

    /// The shown text of the next token, and its number.
    pub(crate) fn next(&mut self) -> (&'static str, u32) {
        let piece = self.planned.answer.token(self.read);
        let left = self.planned.shown_bytes.saturating_sub(self.bytes);
        self.read += 1;
        self.bytes += piece.len();
        (&piece[..piece.len().min(left)], token_id(piece))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.read >= self.planned.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::text::pieces;

    fn planned(bounds: &Bounds) -> (Planned, String) {
        let mut ids = Vec::new();
        let planned = Planned::new(Answer::new(7, true), bounds, &mut ids);
        assert_eq!(ids.len(), planned.tokens as usize);
        let mut reader = Reader::new(planned.clone());
        let mut text = String::new();
        while !reader.is_done() {
            text.push_str(reader.next().0);
        }
        (planned, text)
    }

    #[test]
    fn every_token_is_one_word_and_reads_back_as_one_token() {
        let (_, text) = planned(&Bounds { max_tokens: 200, ..Bounds::default() });
        assert_eq!(text.split(' ').count(), 200);
        assert_eq!(pieces(&text).count(), 200);
    }

    #[test]
    fn an_answer_ends_by_itself_unless_that_is_later_than_allowed() {
        let at = |max_tokens, natural, min_tokens| {
            let natural_tokens = Some(natural);
            let bounds = Bounds { max_tokens, min_tokens, natural_tokens, ..Bounds::default() };
            let (planned, _) = planned(&bounds);
            (planned.tokens, planned.finish)
        };
        assert_eq!(at(10, 20, 0), (10, Finish::Length));
        assert_eq!(at(10, 5, 0), (5, Finish::EndOfSequence));
        assert_eq!(at(10, 5, 8), (8, Finish::EndOfSequence));
    }

    #[test]
    fn a_stop_text_ends_it_and_is_cut_off() {
        let (_, all) = planned(&Bounds { max_tokens: 50, ..Bounds::default() });
        let words: Vec<_> = all.split(' ').collect();
        // Across two tokens.
        let stop = format!("{} {}", &words[9][1..], &words[10][..1]);
        let bounds = Bounds { max_tokens: 50, stop: vec![stop.clone()], ..Bounds::default() };
        let (cut, text) = planned(&bounds);
        assert!(cut.tokens <= 11 && cut.finish == Finish::StopText(stop.clone()));
        assert!(all.starts_with(&text) && !text.contains(&stop));
        let (_, kept) = planned(&Bounds { include_stop: true, ..bounds.clone() });
        assert!(kept.ends_with(&stop));
        let (late, _) = planned(&Bounds { min_tokens: 50, ..bounds });
        assert!(late.tokens == 50, "no stop before the fewest tokens");
    }

    #[test]
    fn a_stop_token_ends_it() {
        let (_, all) = planned(&Bounds { max_tokens: 50, ..Bounds::default() });
        let last = pieces(&all).nth(4).map(token_id).expect("five tokens");
        let (cut, _) = planned(&Bounds { max_tokens: 50, stop_token_ids: vec![last], ..Bounds::default() });
        assert!(cut.tokens <= 5 && cut.finish == Finish::StopToken(last));
    }
}
