//! The contexts of decoding requests, worked out from a log that only has their sums.
//!
//! A request that leaves takes its context out of the sum, and so tells how long it was in every step before. Read from its end,
//! a log tells all contexts of a step when every request in it leaves in a step of its own.

use crate::point::TimedStep;

/// Fills in the longest context of every step of a log without gaps for which it can be told.
pub(crate) fn find_longest_contexts(steps: &mut [TimedStep]) {
    let mut known: Option<Vec<u64>> = None;
    for i in (0..steps.len()).rev() {
        let step = steps[i];
        let before = |contexts: &Vec<u64>| before(contexts, &step, &steps[i + 1]);
        known = known.as_ref().and_then(before).or_else(|| {
            let alone = step.prefills == 0 && step.decodes == 1;
            alone.then(|| vec![step.decode_context_tokens])
        });
        steps[i].longest_decode_context = known.as_ref().and_then(|contexts| contexts.iter().copied().max());
    }
}

/// The contexts in a step, given those in the next one.
fn before(next_contexts: &[u64], step: &TimedStep, next: &TimedStep) -> Option<Vec<u64>> {
    let prompt = step.prefill_tokens + step.prefill_context_tokens;
    match step.prefills {
        0 => without(next_contexts, None, step, next),
        1 => without(next_contexts, Some(prompt), step, next)
            .or_else(|| without(next_contexts, None, step, next)),
        _ => None,
    }
}

/// The same, if a prompt of so many tokens was completed in the step.
fn without(
    next_contexts: &[u64],
    joined: Option<u64>,
    step: &TimedStep,
    next: &TimedStep,
) -> Option<Vec<u64>> {
    let mut contexts = next_contexts.to_vec();
    if let Some(prompt) = joined {
        let place = contexts.iter().position(|context| *context == prompt)?;
        contexts.swap_remove(place);
    }
    for context in &mut contexts {
        *context = context.checked_sub(1)?;
    }
    let left = (step.decodes + u32::from(joined.is_some())).checked_sub(next.decodes)?;
    let rest = step.decode_context_tokens.checked_sub(contexts.iter().sum())?;
    match (left, rest) {
        (0, 0) => {}
        (1, 1..) => contexts.push(rest),
        _ => return None,
    }
    (contexts.len() == step.decodes as usize).then_some(contexts)
}

#[cfg(test)]
mod tests {
    use super::find_longest_contexts;
    use crate::point::TimedStep;

    fn step(prompt: u64, decodes: u32, decode_context_tokens: u64) -> TimedStep {
        let prefills = u32::from(prompt > 0);
        TimedStep { prefills, prefill_tokens: prompt, decodes, decode_context_tokens, ..TimedStep::default() }
    }

    #[test]
    fn requests_that_leave_one_by_one_tell_how_long_they_were() {
        // Contexts of 100 and 7; then a prompt of 30 joins, the one of 103 leaves, the one of 11 leaves.
        let mut steps = [
            step(0, 2, 107),
            step(30, 2, 109),
            step(0, 3, 111 + 30),
            step(0, 3, 114 + 30),
            step(0, 2, 11 + 32),
            step(0, 1, 33),
        ];
        find_longest_contexts(&mut steps);
        let longest = steps.map(|step| step.longest_decode_context);
        assert_eq!(longest, [100, 101, 102, 103, 32, 33].map(Some));
    }

    #[test]
    fn of_requests_that_leave_together_nothing_is_told() {
        let mut steps = [step(0, 3, 300), step(0, 1, 101), step(0, 1, 102)];
        find_longest_contexts(&mut steps);
        assert_eq!(steps.map(|step| step.longest_decode_context), [None, Some(101), Some(102)]);
    }
}
