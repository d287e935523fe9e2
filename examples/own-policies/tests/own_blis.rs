//! The program with its three policies more: chosen by flag and by file, in the help, in the listing, in the errors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit code, standard output and standard error.
fn own_blis(words: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_own-blis"))
        .args(words.split_whitespace())
        .current_dir(folder())
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("own-policies");
    fs::create_dir_all(&folder).expect("the directory for temporary files is writable");
    folder
}

/// What a busy cluster of four shows, with more flags.
fn run(flags: &str) -> String {
    let words = "run --model meta-llama/llama-3.1-8b-instruct --num-instances 4 --rate 200 --num-requests 400 \
                 --total-kv-blocks 2000";
    let (code, shown, errors) = own_blis(&format!("{words} {flags}"));
    assert_eq!(code, 0, "{flags}: {errors}");
    shown
}

#[test]
fn the_router_routes() {
    run("--routing-policy two-choices --decision-trace router.jsonl");
    let decisions = fs::read_to_string(folder().join("router.jsonl")).expect("decisions");
    assert_eq!(decisions.matches("\"reason\": \"two-choices\"").count(), 400);
    for instance in 0..4 {
        let chosen = decisions.matches(&format!("\"chosen\": \"instance_{instance}\"")).count();
        assert!((60..140).contains(&chosen), "instance {instance} was chosen {chosen} times of 400");
    }
}

#[test]
fn the_scorer_scores_with_its_parameter() {
    let shown = |enough: f64| {
        run(&format!(
            "--routing-policy weighted --routing-scorers kv-headroom:1 --kv-headroom-enough {enough}"
        ))
    };
    assert_ne!(shown(0.01), shown(1.0));
}

#[test]
fn the_admission_policy_refuses_long_prompts_by_flag_and_by_file() {
    let by_flag = run("--admission-policy long-prompts-wait --long-prompt-tokens 600");
    fs::write(folder().join("p.yaml"), "admission: {policy: long-prompts-wait, long_prompt_tokens: 600}\n")
        .unwrap();
    assert_eq!(run("--policy-config p.yaml"), by_flag);
    assert_ne!(run("--admission-policy long-prompts-wait --long-prompt-tokens 7000"), by_flag);
}

#[test]
fn help_listing_and_errors_know_them() {
    let (_, help, _) = own_blis("run --help");
    let (_, listing, _) = own_blis("policies");
    for name in
        ["two-choices", "kv-headroom", "long-prompts-wait", "--kv-headroom-enough", "--long-prompt-tokens"]
    {
        assert!(help.contains(name), "{name} is not in the help");
        assert!(listing.contains(name), "{name} is not in the listing");
    }
    let (code, _, errors) = own_blis("run --model qwen/qwen3-14b --routing-policy two-choiches");
    assert!(code == 1 && errors.contains("did you mean \"two-choices\"?"), "{errors}");
    let (code, _, errors) =
        own_blis("run --model qwen/qwen3-14b --admission-policy long-prompts-wait --long-prompt-tokens 0");
    assert!(code == 1 && errors.contains("a whole number of at least 1"), "{errors}");
}

/// A policy is a small file.
#[test]
fn each_policy_takes_less_than_forty_lines() {
    for name in ["two_choices", "kv_headroom", "long_prompts_wait"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/{name}.rs"));
        let lines = fs::read_to_string(source).expect("a source file").lines().count();
        assert!(lines < 40, "{name}.rs has {lines} lines");
    }
}
