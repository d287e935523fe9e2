//! Whether decisions are traced.

use super::check::{Check, Source};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::RunOptions;
use blis_cluster::TracePlan;

const NONE: &str = "none";
const DECISIONS: &str = "decisions";

/// What is traced; `None` when nothing is. Decisions that are to be kept are traced unasked, with all candidates.
pub(super) fn trace(check: &mut Check, options: &RunOptions) -> Option<TracePlan> {
    let keep_decisions = options.keep_decisions;
    let default = if keep_decisions { DECISIONS } else { NONE };
    let level = options.trace_level.as_deref().unwrap_or(default);
    if ![NONE, DECISIONS].contains(&level) {
        check.problem(unknown_name("value of --trace-level", level, [NONE, DECISIONS]));
    }
    check.note("trace-level", level, Source::of(options.trace_level.is_some()));
    let k = options.counterfactual_k;
    let candidates = if k.is_none() && keep_decisions {
        check.note("counterfactual-k", "all", Source::Default);
        u32::MAX
    } else {
        check.count("counterfactual-k", k, 0, 0)
    };
    if level == NONE {
        if keep_decisions {
            check.problem(
                Diagnostic::new("--decision-trace is given with --trace-level none")
                    .with_help("leave one of them out"),
            );
        }
        let given =
            [("counterfactual-k", k.is_some_and(|k| k > 0)), ("summarize-trace", options.summarize_trace)];
        for (flag, _) in given.iter().filter(|(_, is_given)| *is_given) {
            check.warn(format!("--{flag} is unused without --trace-level {DECISIONS}"));
        }
        return None;
    }
    Some(TracePlan { candidates, keep_decisions })
}
