//! Text as tokens, by a rule without a vocabulary.
//!
//! A token is one of: up to six letters, with the space before them; up to three digits; a run of white space; any other
//! character. English prose comes out near four bytes per token. Reading goes from left to right, so that
//! texts with a common beginning have common tokens. A token's number is a hash of its text.

use blis_kernel::rng::fnv1a_64;
use blis_workload::VOCABULARY;

/// Most letters of a token.
const LETTERS: usize = 6;
/// Most digits of a token.
const DIGITS: usize = 3;

/// The tokens of a text, in order.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, others) = rest.split_at(first_piece(rest)?);
        rest = others;
        Some(piece)
    })
}

/// Length of the first token, bytes.
fn first_piece(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = *bytes.first()?;
    let run = |from: usize, most: usize, belongs: fn(&u8) -> bool| {
        from + bytes[from..].iter().take(most).take_while(|byte| belongs(byte)).count()
    };
    let begins_word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    Some(match first {
        b' ' if begins_word(1) => run(1, LETTERS, u8::is_ascii_alphabetic),
        b'a'..=b'z' | b'A'..=b'Z' => run(0, LETTERS, u8::is_ascii_alphabetic),
        b'0'..=b'9' => run(0, DIGITS, u8::is_ascii_digit),
        _ if first.is_ascii_whitespace() => {
            let end = run(0, usize::MAX, u8::is_ascii_whitespace);
            // The last space belongs to the word behind it.
            if end > 1 && bytes[end - 1] == b' ' && begins_word(end) { end - 1 } else { end }
        }
        _ => text.chars().next().map_or(1, char::len_utf8),
    })
}

/// The number of a token.
pub fn token_id(piece: &str) -> u32 {
    (fnv1a_64(piece) % VOCABULARY as u64) as u32
}

/// Appends the numbers of a text's tokens.
pub fn tokenize(text: &str, out: &mut Vec<u32>) {
    out.extend(pieces(text).map(token_id));
}

/// Appends the tokens of one message of a conversation: a mark, who speaks, what is said, a mark.
pub fn tokenize_message(role: &str, content: &str, out: &mut Vec<u32>) {
    begin_message(role, out);
    tokenize(content, out);
    out.push(token_id("<|im_end|>"));
    out.push(token_id("\n"));
}

/// Appends what comes before what is said.
pub fn begin_message(role: &str, out: &mut Vec<u32>) {
    out.extend([token_id("<|im_start|>"), token_id(role), token_id("\n")]);
}

#[cfg(test)]
mod tests {
    use super::{pieces, tokenize};

    fn split(text: &str) -> Vec<&str> {
        pieces(text).collect()
    }

    #[test]
    fn words_keep_the_space_before_them() {
        assert_eq!(split("The simulation ran."), ["The", " simula", "tion", " ran", "."]);
        assert_eq!(split("a  b\n\n c 2026!"), ["a", " ", " b", "\n\n", " c", " ", "202", "6", "!"]);
        assert_eq!(split("größe → 中文"), ["gr", "ö", "ß", "e", " ", "→", " ", "中", "文"]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn no_byte_is_lost_and_beginnings_agree() {
        let text = "In 1969, two people walked;\tthe others  waited at home — 世界。";
        assert_eq!(split(text).concat(), text);
        let tokens = |text: &str| {
            let mut out = Vec::new();
            tokenize(text, &mut out);
            out
        };
        let (long, short) = (tokens(&format!("{text} And so on")), tokens(text));
        assert_eq!(long[..short.len()], short);
    }

    #[test]
    fn english_prose_has_about_four_bytes_per_token() {
        let text = "It is a truth universally acknowledged, that a single man in possession of a good fortune, \
                    must be in want of a wife. However little known the feelings or views of such a man may be.";
        let per_token = text.len() as f64 / pieces(text).count() as f64;
        assert!((3.5..5.0).contains(&per_token), "{per_token} bytes per token");
    }
}
