//! Flags of earlier releases that still work.

use std::ffi::OsString;

/// Old flag, the command that knows it (empty = every one), and what to use instead.
const FLAGS: [(&str, &str, &str); 6] = [
    ("--post-hoc-detector", "", "use --detectors"),
    ("--max-num-running-reqs", "", "use --max-num-seqs"),
    ("--max-num-scheduled-tokens", "", "use --max-num-batched-tokens"),
    ("--roofline", "", "use --latency-model roofline"),
    (
        "--vllm-version",
        "",
        "give --alpha-coeffs and --beta-coeffs; it only selects coefficients of the blackbox model",
    ),
    ("--results-path", "run", "use --metrics-path"),
];

/// One notice for each such flag on a command line.
pub(crate) fn notices(words: &[OsString]) -> Vec<String> {
    let command = words.get(1).map(|word| word.to_string_lossy()).unwrap_or_default();
    let given = |flag: &str| words.iter().any(|word| word.to_string_lossy().split('=').next() == Some(flag));
    FLAGS
        .iter()
        .filter(|(flag, on, _)| (on.is_empty() || *on == command) && given(flag))
        .map(|(flag, _, instead)| format!("{flag} is deprecated: {instead}"))
        .collect()
}
