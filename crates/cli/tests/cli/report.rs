//! `--report`: pages for a browser.

use crate::support::{Ran, blis, blis_words, command, directory, refused, succeeded};
use std::fs;

const RUN: &str = "run --model qwen/qwen3-14b --num-instances 2 --rate 20 --num-requests 60";

/// Law: looking at a run changes nothing of it, and the same run gives the same page.
#[test]
fn a_page_changes_nothing_and_is_the_same_each_time() {
    let folder = directory("report-same");
    let pages = ["a", "b"].map(|name| {
        let page = folder.join(name).with_extension("html");
        let ran = blis(&format!("{RUN} --slo-ttft default=100ms --report={}", page.display()));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout, blis(&format!("{RUN} --slo-ttft default=100ms")).stdout);
        fs::read_to_string(page).expect("a page").replace(&format!("--report={name}.html"), "")
    });
    assert_eq!(pages[0], pages[1]);
    for part in ["qwen/qwen3-14b on 2 × H100", "Requests in the system", "Goodput by class", "Seed 42."] {
        assert!(pages[0].contains(part), "no {part}");
    }
    let here = folder.to_string_lossy();
    assert!(!pages[0].contains(&*here) && !pages[0].contains("http://") && !pages[0].contains("https://"));
}

/// Names come from users.
#[test]
fn names_are_not_markup() {
    let folder = directory("report-names");
    let page = folder.join("page.html");
    let class = "<img src>=1s,default=1s";
    let mut words: Vec<_> = RUN.split_whitespace().collect();
    let given = page.display().to_string();
    words.extend(["--slo-ttft", class, "--report", &given]);
    let ran = blis_words(&words);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains("&lt;img src&gt;=1s") && !page.contains("<img"));
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_the_run() {
    refused(
        &format!("{RUN} --report /no/such/folder/page.html"),
        &["--report: cannot write /no/such/folder/page.html"],
    );
    let folder = directory("report-folder");
    refused(&format!("{RUN} --report {}", folder.display()), &["--report: cannot write"]);
    assert_eq!(fs::read_dir(folder).expect("the folder").count(), 0);
}

/// Law: what is there is replaced as a whole, and nothing else is left behind.
#[test]
fn a_page_takes_the_place_of_the_one_before() {
    let folder = directory("report-replace");
    let page = folder.join("page.html");
    fs::write(&page, "before".repeat(1_000_000)).expect("a writable folder");
    assert_eq!(blis(&format!("{RUN} --report {}", page.display())).code, 0);
    let written = fs::read_to_string(&page).expect("a page");
    assert!(written.starts_with("<!DOCTYPE html>") && written.ends_with("</html>\n"));
    assert_eq!(fs::read_dir(folder).expect("the folder").count(), 1);
}

#[test]
fn a_plan_has_a_page_with_the_settings_of_the_best_choice() {
    let page = directory("report-plan").join("page.html");
    let words = "plan --model meta-llama/llama-3.1-8b-instruct --workload chatbot --rate 60 --num-requests 500 \
                 --replications 2 --slo ttft_p99<200ms --try tp=2,1";
    let told = succeeded(&format!("{words} --report {}", page.display())).stdout;
    assert_eq!(told, succeeded(words).stdout);
    let page = fs::read_to_string(page).expect("a page");
    assert!(
        page.contains("How many instances of meta-llama/llama-3.1-8b-instruct serve 60 requests/s"),
        "{page}"
    );
    assert!(
        page.contains("<td>tp</td><td>1</td>")
            && page.contains("seed 100042")
            && page.contains("The choices")
    );
}

/// Law: the name says what is written, and both can be had at once.
#[test]
fn a_calibration_has_a_file_and_a_page() {
    let folder = directory("report-calibrate");
    let at = |words: &str| {
        let done = command().args(words.split_whitespace()).current_dir(&folder).output();
        let ran = Ran::from(done.expect("the program starts"));
        assert_eq!(ran.code, 0, "{words}: {}", ran.stderr);
    };
    at("run --model qwen/qwen3-14b --rate 10 --num-requests 40 --trace-output t");
    at("replay --model qwen/qwen3-14b --trace-header t.yaml --trace-data t.csv --results-path r.json");
    let measured = "calibrate --trace-header t.yaml --trace-data t.csv --sim-results r.json";
    at(&format!("{measured} --report both.json --report both.html"));
    at(&format!("{measured} --report one.HTML"));
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a report");
    assert!(read("both.json").starts_with('{'));
    for page in ["both.html", "one.HTML"] {
        assert!(read(page).contains("40 of 40 requests were compared"), "{page}");
    }
}

#[test]
fn commands_without_results_do_not_know_the_flag() {
    for command in ["validate", "presets", "models", "compose", "mock"] {
        refused(&format!("{command} --report page.html"), &["unknown flag --report"]);
    }
}
