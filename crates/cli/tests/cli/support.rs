//! Runs the program and looks at what it did.

use std::path::PathBuf;
use std::process::{Command, Output};

/// What the program did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the program was not killed by a signal"),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }
}

/// A directory of this test run, empty except for what the test writes.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("the directory for temporary files is writable");
    path
}

/// Runs `blis` with words separated by blanks, in an empty directory.
pub(crate) fn blis(words: &str) -> Ran {
    blis_words(&words.split_whitespace().collect::<Vec<_>>())
}

/// Runs `blis` with these words, in an empty directory.
pub(crate) fn blis_words(words: &[&str]) -> Ran {
    let empty = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("empty");
    std::fs::create_dir_all(&empty).expect("the directory for temporary files is writable");
    command().args(words).current_dir(empty).output().expect("the program starts").into()
}

/// The program, to be started by the caller.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blis"));
    command.env_remove("HF_TOKEN");
    command
}

/// A refused command line: exit code 1, nothing on standard output, and every one of `mentions` among the errors.
#[track_caller]
pub(crate) fn refused(words: &str, mentions: &[&str]) {
    let ran = blis(words);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "blis {words}: {}", ran.stderr);
    for mention in mentions {
        assert!(ran.stderr.contains(mention), "blis {words}: no \"{mention}\" in {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// A short run.
pub(crate) const RUN: &str = "run --model meta-llama/llama-3.1-8b-instruct --rate 20 --num-requests 40 \
                              --output-tokens 60 --output-tokens-stdev 20";

/// Runs the program, which has to succeed.
#[track_caller]
pub(crate) fn succeeded(words: &str) -> Ran {
    let ran = blis(words);
    assert_eq!(ran.code, 0, "blis {words}: {}", ran.stderr);
    ran
}
