//! Lists of numbered blocks: as text, and as the segments of a prompt.

use super::row::BlockRun;
use crate::content::{BLOCK_LIMIT, Segment};
use std::fmt::Write;

/// What a list of blocks looks like.
pub(super) const ALLOWED: &str = "a list of block numbers below 2^63 and ranges of them, such as 0 14-27";

/// Appends a block; one that follows the last run makes it longer. Only runs from place `from` on count.
pub fn push_block(runs: &mut Vec<BlockRun>, from: usize, block: u64) {
    push_run(runs, from, BlockRun { first: block, blocks: 1 });
}

fn push_run(runs: &mut Vec<BlockRun>, from: usize, run: BlockRun) {
    if runs.len() > from
        && let Some(last) = runs.last_mut()
        && last.first + u64::from(last.blocks) == run.first
        && let Some(blocks) = last.blocks.checked_add(run.blocks)
    {
        last.blocks = blocks;
    } else {
        runs.push(run);
    }
}

/// Appends the runs that a text names.
pub(super) fn read(text: &str, runs: &mut Vec<BlockRun>) -> Result<(), &'static str> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|&number| number < BLOCK_LIMIT).ok_or(ALLOWED);
    let from = runs.len();
    for item in text.split_whitespace() {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (number(first)?, number(last)?);
        let blocks = last.checked_sub(first).and_then(|more| u32::try_from(more + 1).ok()).ok_or(ALLOWED)?;
        push_run(runs, from, BlockRun { first, blocks });
    }
    Ok(())
}

/// Appends the text of the runs.
pub(super) fn write(runs: &[BlockRun], text: &mut String) {
    for (i, run) in runs.iter().enumerate() {
        let space = if i > 0 { " " } else { "" };
        // Writing to a text cannot fail.
        let _ = match run.blocks {
            1 => write!(text, "{space}{}", run.first),
            blocks => write!(text, "{space}{}-{}", run.first, run.first + u64::from(blocks) - 1),
        };
    }
}

/// How many blocks the runs name.
pub(super) fn count(runs: &[BlockRun]) -> u64 {
    runs.iter().map(|run| u64::from(run.blocks)).sum()
}

/// Appends the first `tokens` tokens of the runs as segments; returns how many there are.
pub(super) fn segments(runs: &[BlockRun], block_tokens: u32, tokens: u32, prompt: &mut Vec<Segment>) -> u32 {
    let mut left = tokens;
    for run in runs {
        let all = u64::from(run.blocks) * u64::from(block_tokens);
        let taken = u64::from(left).min(all) as u32;
        if taken == 0 {
            break;
        }
        prompt.push(Segment::Blocks { first: run.first, tokens: taken, block_tokens });
        left -= taken;
    }
    tokens - left
}

/// The runs of blocks that a prompt begins with.
pub(super) fn of_prompt(prompt: &[Segment], runs: &mut Vec<BlockRun>) {
    for segment in prompt {
        let &Segment::Blocks { first, tokens, block_tokens } = segment else { break };
        push_run(runs, 0, BlockRun { first, blocks: tokens.div_ceil(block_tokens) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Result<Vec<BlockRun>, &'static str> {
        let mut runs = Vec::new();
        read(text, &mut runs).map(|()| runs)
    }

    #[test]
    fn lists_are_written_as_they_are_read() {
        for text in ["", "7", "0 14-27", "9 8 7-8", "9223372036854775807"] {
            let mut written = String::new();
            write(&runs(text).unwrap(), &mut written);
            assert_eq!(written, text);
        }
        assert_eq!(runs(" 1  2 3-5 ").unwrap(), [BlockRun { first: 1, blocks: 5 }]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["a", "-1", "5-4", "1,2", "9223372036854775808", "0-4294967295", "1-2-3"] {
            assert_eq!(runs(text), Err(ALLOWED), "{text}");
        }
    }

    #[test]
    fn the_last_block_of_a_prompt_may_be_partly_filled() {
        let mut prompt = Vec::new();
        assert_eq!(segments(&runs("4-5 9").unwrap(), 512, 1100, &mut prompt), 1100);
        let lengths: Vec<_> = prompt.iter().map(Segment::tokens).collect();
        assert_eq!(lengths, [1024, 76]);
        let mut back = Vec::new();
        of_prompt(&prompt, &mut back);
        assert_eq!(back, runs("4-5 9").unwrap());
    }
}
