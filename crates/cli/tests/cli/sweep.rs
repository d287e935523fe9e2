//! `blis sweep`: many configurations, in parallel, in parts, and after whatever stopped them.

use crate::support::{blis_words, command, directory, refused, succeeded};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// A sweep without what is varied.
const SWEEP: &str = "sweep --model meta-llama/llama-3.1-8b-instruct --rate 40 --num-requests 150 --output-tokens 60 \
                     --output-tokens-stdev 20";
/// Two settings with 24 configurations and a front of several.
const SPACE: &str = "--set max-num-seqs=2,4,8,16,32,64 --set max-num-batched-tokens=256,512,1024,2048 \
                     --objective output_tokens_per_s_per_user,ttft_p99_ms";

fn swept(words: &str) -> Value {
    let ran = succeeded(&format!("{SWEEP} --format json {words}"));
    serde_json::from_str(&ran.stdout).expect("one JSON document")
}

fn results(document: &Value) -> &Vec<Value> {
    document["results"].as_array().expect("a list of trials")
}

/// Every trial is the run that its settings say.
#[test]
fn a_trial_is_the_run_with_its_settings() {
    let document = swept("--set tp=1,2 --set max-num-seqs=4,8");
    let trial = &results(&document)[1];
    assert_eq!((&trial["settings"]["tp"], &trial["settings"]["max-num-seqs"]), (&"1".into(), &"8".into()));
    let words = SWEEP.replacen("sweep", "run", 1);
    let ran = succeeded(&format!("{words} --tp 1 --max-num-seqs 8 --format json"));
    let run: Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert_eq!(trial["figures"]["ttft_p99_ms"], run["cluster"]["ttft_ms"]["p99"]);
    assert_eq!(trial["figures"]["output_tokens_per_s"], run["cluster"]["output_tokens_per_s"]);
    assert_eq!(results(&document).len(), 4);
}

/// Law: the number of threads changes nothing, for methods that learn too.
#[test]
fn results_and_front_are_the_same_with_any_number_of_threads() {
    for method in ["grid", "nsga2 --trials 18", "sobol --trials 12"] {
        let words = format!("{SWEEP} {SPACE} --format json --method {method}");
        let with = |threads: &str| {
            let mut command = command();
            command.args(words.split_whitespace()).env("RAYON_NUM_THREADS", threads);
            command.output().expect("the program starts").stdout
        };
        let alone = with("1");
        assert!(!alone.is_empty());
        assert_eq!(alone, with("5"), "{method}");
    }
}

/// Law: the front is what no other trial beats, as its definition has it.
#[test]
fn the_front_follows_its_definition() {
    let document = swept(SPACE);
    let figures: Vec<(f64, f64, bool)> = results(&document)
        .iter()
        .map(|trial| {
            let figure = |name: &str| trial["figures"][name].as_f64().expect("a figure");
            let on_front = trial["on_front"].as_bool().expect("said of each");
            (figure("output_tokens_per_s_per_user"), figure("ttft_p99_ms"), on_front)
        })
        .collect();
    for (speed, wait, on_front) in &figures {
        let beats = |other: &&(f64, f64, bool)| {
            other.0 >= *speed && other.1 <= *wait && (other.0 > *speed || other.1 < *wait)
        };
        assert_eq!(figures.iter().any(|other| beats(&other)), !on_front, "{speed} {wait}");
    }
    let size = figures.iter().filter(|figures| figures.2).count();
    assert!((2..24).contains(&size), "{size} on the front");
}

/// Three spaces that were tried out wholly: the search finds the best of all in a tenth of the runs.
#[test]
fn a_search_finds_the_optimum_of_three_spaces_in_a_tenth_of_the_runs() {
    let spaces = [
        (
            "--set max-num-seqs=1..48 --set max-num-batched-tokens=128,256,512,1024,2048 \
             --set block-size-in-tokens=16,32 --slo ttft_p99<300ms",
            "output_tokens_per_s_per_user",
        ),
        (
            "--set rate=5..100/20 --set num-instances=1..4 --set long-prefill-token-threshold=0,64,128,256 \
             --slo ttft_p99<100ms",
            "output_tokens_per_s_per_gpu",
        ),
        (
            "--num-instances 4 --rate 120 --set routing-policy=round-robin,least-loaded,weighted \
             --set max-num-seqs=8..32 --set scheduler=fcfs,sjf --set block-size-in-tokens=16,32",
            "e2e_p99_ms",
        ),
    ];
    for (space, objective) in spaces {
        // Other step times make other spaces, with edges that a tenth of the runs does not always find.
        let steps = "--latency-model trained-physics --alpha-coeffs 15563.199579,777.3455,45.907545 --beta-coeffs \
                     0.152128,0,1.36252915,0.752037,32.09546717,4.41684444,126.024825,481.8613888,0,1.94710771,0.752037";
        let space = format!("{space} --objective {objective} {steps}");
        let best = |document: &Value| {
            let found = results(document).iter().find(|trial| trial["on_front"] == true).expect("a best one");
            found["figures"][objective].as_f64().expect("a figure")
        };
        let all = swept(&format!("{space} --method grid"));
        let size = results(&all).len();
        assert!(size >= 250, "{size} configurations");
        let searched = swept(&format!("{space} --method tpe --trials {}", size / 10));
        assert_eq!(results(&searched).len(), size / 10);
        assert_eq!(best(&searched), best(&all), "{space}");
    }
}

/// The files of a folder with rows, with their bytes.
fn rows(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder.join("rows"))
        .expect("there is a folder with rows")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "parquet"))
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("readable"))
        })
        .collect();
    files.sort();
    files
}

fn words_into<'a>(words: &'a str, folder: &'a Path) -> Vec<&'a str> {
    let folder = folder.to_str().expect("a plain path");
    words.split_whitespace().chain(["--results", folder]).collect()
}

/// Law: a sweep that is killed in the middle and taken up again ends with the same bytes, on standard output and on disk.
#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    for method in ["random", "nsga2"] {
        let words =
            format!("{SWEEP} --num-requests 4000 {SPACE} --format json --method {method} --trials 20");
        let whole = directory(&format!("sweep-whole-{method}")).join("results");
        let uninterrupted = blis_words(&words_into(&words, &whole));
        assert_eq!(uninterrupted.code, 0, "{}", uninterrupted.stderr);

        let killed = directory(&format!("sweep-killed-{method}")).join("results");
        let mut kills = 0;
        let resumed = loop {
            let mut child = command()
                .args(words_into(&words, &killed))
                .env("RAYON_NUM_THREADS", "1")
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts");
            std::thread::sleep(Duration::from_millis(150 + 150 * kills));
            if kills < 4 && child.try_wait().expect("a child").is_none() {
                child.kill().expect("SIGKILL is sent");
                child.wait().expect("it ends");
                kills += 1;
                continue;
            }
            break child.wait_with_output().expect("it ends");
        };
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
        assert!(kills > 0, "the sweep was over before it could be killed");
        assert_eq!(String::from_utf8_lossy(&resumed.stdout), uninterrupted.stdout, "{method}");
        assert_eq!(rows(&killed), rows(&whole), "{method}");
    }
}

/// Law: parts that were made apart are together what one process makes.
#[test]
fn shards_are_together_the_whole() {
    let words = format!("{SWEEP} {SPACE} --format json");
    let whole = directory("sweep-one").join("results");
    let one = blis_words(&words_into(&words, &whole));
    let shared = directory("sweep-shards").join("results");
    for shard in ["2/3", "1/3", "3/3"] {
        let ran = blis_words(&words_into(&format!("{words} --shard {shard}"), &shared));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_eq!(rows(&shared), rows(&whole));
    // Nothing is left to be made: the same command without a shard reads all.
    let all = blis_words(&words_into(&words, &shared));
    assert_eq!(all.stdout, one.stdout);
}

/// A damaged file is told of and put aside; its trials are made again and nothing else changes.
#[test]
fn a_damaged_shard_is_made_again() {
    let words = format!("{SWEEP} {SPACE} --format json");
    let folder = directory("sweep-damaged").join("results");
    let first = blis_words(&words_into(&words, &folder));
    let before = rows(&folder);
    let file = folder.join("rows").join(&before[0].0);
    let mut bytes = before[0].1.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("writable");
    let again = blis_words(&words_into(&words, &folder));
    assert!(again.stderr.contains("is damaged") && again.stderr.contains("run again"), "{}", again.stderr);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(rows(&folder), before);
}

/// A folder belongs to one question.
#[test]
fn another_sweep_is_refused_in_the_same_folder() {
    let folder = directory("sweep-other").join("results");
    let words = format!("{SWEEP} --set tp=1,2");
    assert_eq!(blis_words(&words_into(&words, &folder)).code, 0);
    let other = blis_words(&words_into(&words.replacen("40", "41", 1), &folder));
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("another folder"), "{}", other.stderr);
}

/// Settings inside a file, and settings that change together.
#[test]
fn settings_lie_in_files_too() {
    let folder = directory("sweep-files");
    let policies = folder.join("p.yaml");
    fs::write(&policies, "admission:\n  policy: token-bucket\n  token_bucket_capacity: 100\n")
        .expect("writable");
    let policies = policies.to_str().expect("a plain path");
    let document = swept(&format!(
        "--policy-config {policies} --set policy-config.admission.token_bucket_capacity=1000,1000000 \
         --set max-num-seqs+max-num-batched-tokens=8+512,16+1024"
    ));
    let completed = |n: usize| results(&document)[n]["figures"]["completed"].as_f64().expect("a figure");
    assert!(completed(0) < completed(2), "a small bucket turns requests away");
    assert_eq!(results(&document)[3]["settings"]["max-num-batched-tokens"], "1024");
    refused(
        &format!("{SWEEP} --policy-config {policies} --set policy-config.admission.bucket=1,2"),
        &["p.yaml (with admission.bucket=1)", "bucket"],
    );
}

#[test]
fn flags_come_from_a_file_and_the_command_line_goes_before_them() {
    let folder = directory("sweep-config");
    let file = folder.join("sweep.yaml");
    let text = "model: meta-llama/llama-3.1-8b-instruct\nrate: 40\nnum_requests: 50\nset:\n  tp: [1, 2]\n";
    fs::write(&file, text).expect("writable");
    let ran = succeeded(&format!("sweep --config {} --num-requests 60 --format json", file.display()));
    let document: Value = serde_json::from_str(&ran.stdout).expect("one JSON document");
    assert_eq!(results(&document).len(), 2);
    assert_eq!(results(&document)[0]["figures"]["completed"], 60.0);
}

/// Trials that cannot be run are told of; the others go on.
#[test]
fn trials_that_cannot_be_run_do_not_stop_the_others() {
    let document = swept("--set tp=1,3 --objective ttft_p99_ms");
    assert_eq!(results(&document)[0]["on_front"], true);
    let problem = results(&document)[1]["problem"].as_str().expect("why");
    assert!(problem.contains('3'), "{problem}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    refused(SWEEP, &["--set is required", "such as --set tp=1,2,4"]);
    refused(&format!("{SWEEP} --set tpp=1,2"), &["no setting \"tpp\"", "did you mean \"tp\"?"]);
    refused(&format!("{SWEEP} --set seed=1,2"), &["seed is not something to vary"]);
    refused(&format!("{SWEEP} --set rate=9..1"), &["the range must grow"]);
    refused(&format!("{SWEEP} --set rate=0.5..9 --method grid"), &["say how many values"]);
    refused(&format!("{SWEEP} --set rate=0.5..9 --method tpe"), &["--objective"]);
    refused(&format!("{SWEEP} --set rate=0.5..9 --method simplex"), &["unknown value of --method", "nsga2"]);
    refused(
        &format!("{SWEEP} --set tp=1,2 --objective speed"),
        &["unknown figure of --objective", "ttft_p99_ms"],
    );
    refused(&format!("{SWEEP} --set tp=1,2 --shard 3/2"), &["--shard is \"3/2\""]);
    refused(
        &format!("{SWEEP} --set rate=0.5..9 --objective ttft_p99_ms --method tpe --shard 1/2"),
        &["tpe chooses by what all earlier trials showed"],
    );
    refused("sweep --set tp=1,2", &["--model is missing"]);
}

/// The page has a chart with a mark per trial, and is refused before anything is run when it cannot be written.
#[test]
fn a_report_shows_the_trials() {
    let folder = directory("sweep-report");
    let page = folder.join("sweep.html");
    swept(&format!("{SPACE} --report {}", page.display()));
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains("<svg") && page.contains("Trial 23"), "{} bytes", page.len());
    refused(
        &format!("{SWEEP} {SPACE} --report {}/no/page.html", folder.display()),
        &["--report", "no/page.html"],
    );
}
