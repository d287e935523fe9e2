//! Lists of trials, short enough for a file to say what it holds.

use crate::digest;

/// What precedes the list inside a file.
const MARK: &str = "trials:xxh3-128:";
/// A list that is longer is left out, bytes.
const LONGEST: usize = 4096;

/// The trials in a text that can be found and checked in a damaged file: `0-9,12,15-27/4` are the first ten, one, and every
/// fourth from 15 to 27. `None` when it would be long.
pub(crate) fn told(trials: &[u64]) -> Option<String> {
    let text = runs(trials);
    (text.len() <= LONGEST).then(|| format!("{MARK}{}:{text};", digest::of(text.as_bytes())))
}

/// The trials that a file says it holds, as long as that place is not damaged.
pub(crate) fn tell(file: &[u8]) -> Option<Vec<u64>> {
    let start = digest::after_last(file, MARK)?;
    let rest = &file[start..file.len().min(start + digest::LENGTH + LONGEST + 2)];
    let end = rest.iter().position(|&byte| byte == b';')?;
    let (digest, text) = std::str::from_utf8(&rest[..end]).ok()?.split_once(':')?;
    (digest == digest::of(text.as_bytes())).then(|| expand(text)).flatten()
}

fn runs(trials: &[u64]) -> String {
    let mut runs = Vec::new();
    let mut rest = trials;
    while let [first, more @ ..] = rest {
        let step = more.first().and_then(|second| second.checked_sub(*first)).filter(|&step| step > 0);
        let count = step.map_or(1, |step| {
            1 + rest.windows(2).take_while(|pair| pair[1].checked_sub(pair[0]) == Some(step)).count()
        });
        // Two numbers that merely lie apart are no run.
        let count = if count == 2 && step != Some(1) { 1 } else { count };
        let last = rest[count - 1];
        runs.push(match step {
            Some(1) if count > 1 => format!("{first}-{last}"),
            Some(step) if count > 1 => format!("{first}-{last}/{step}"),
            _ => first.to_string(),
        });
        rest = &rest[count..];
    }
    runs.join(",")
}

fn expand(text: &str) -> Option<Vec<u64>> {
    let mut trials = Vec::new();
    for run in text.split(',').filter(|run| !run.is_empty()) {
        let (range, step) = run.split_once('/').unwrap_or((run, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        trials.extend((first..=last).step_by(step.parse().ok().filter(|&step| step > 0)?));
    }
    Some(trials)
}

#[cfg(test)]
mod tests {
    use super::{expand, runs, tell, told};

    #[test]
    fn runs_are_short_and_read_back() {
        for (trials, text) in [
            (vec![], ""),
            (vec![7], "7"),
            (vec![0, 1, 2, 3], "0-3"),
            (vec![1, 5, 9, 13], "1-13/4"),
            (vec![3, 9], "3,9"),
            (vec![0, 1, 2, 9, 20, 30, 40, 41], "0-2,9,20-40/10,41"),
            (vec![4, 4, 5], "4,4-5"),
        ] {
            assert_eq!(runs(&trials), text);
            assert_eq!(expand(text), Some(trials));
        }
    }

    #[test]
    fn a_list_is_found_in_the_midst_of_rubbish_and_a_damaged_one_is_not_believed() {
        let text = told(&[1, 2, 3, 10]).expect("a short list");
        let file = format!("\u{1}\u{2}{text}\u{3}");
        assert_eq!(tell(file.as_bytes()), Some(vec![1, 2, 3, 10]));
        assert_eq!(tell(file.replace("10;", "11;").as_bytes()), None);
        assert_eq!(tell(&file.as_bytes()[..20]), None);
        // Seven times a square: no steps in it.
        assert_eq!(told(&(0..3000).map(|i| 7 * i * i).collect::<Vec<_>>()), None);
    }
}
