//! `blis convert`: workload files on standard output or in a file, that `blis run` takes.

use crate::support::{blis, blis_words, directory, refused};

#[test]
fn help_is_shown_when_no_kind_is_named() {
    for words in ["convert", "convert --help", "help convert", "convert preset --help"] {
        let ran = blis(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "blis {words}");
        assert!(ran.stdout.contains("Usage: blis convert"), "blis {words}: {}", ran.stdout);
    }
}

#[test]
fn a_converted_preset_gives_the_run_of_the_preset() {
    let folder = directory("convert-preset");
    let file = folder.join("w.yaml");
    let file = file.to_str().unwrap();
    let shown = blis("convert preset --name chatbot --rate 3 --num-requests 12");
    let written =
        blis_words(&["convert", "preset", "--name=chatbot", "--rate=3", "--num-requests=12", "-o", file]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    assert_eq!((written.code, written.stdout.as_str()), (0, ""), "{}", written.stderr);
    assert_eq!(std::fs::read_to_string(file).unwrap(), shown.stdout);
    let run = |words: &[&str]| {
        let model = ["run", "--model", "meta-llama/llama-3.1-8b-instruct", "--timeout", "300"];
        blis_words(&[&model[..], words].concat())
    };
    // The seed of a file that names none is 0.
    let from_file = run(&["--workload-spec", file]);
    let from_flags = run(&["--workload", "chatbot", "--rate", "3", "--num-requests", "12", "--seed", "0"]);
    assert_eq!(from_file.stdout, from_flags.stdout);
    assert!(from_file.stdout.contains("\"completed_requests\": 12"));
}

#[test]
fn what_cannot_be_converted_is_refused_by_name() {
    refused(
        "convert preset --name chatbox --rate many --nome x",
        &["did you mean \"chatbot\"?", "--rate is \"many\"", "unknown flag --nome of blis convert preset"],
    );
    refused("convert perset", &["unknown kind of conversion \"perset\"", "did you mean \"preset\"?"]);
    refused("convert preset --name chatbot --output no/such/folder/w.yaml", &["--output: cannot write"]);
}

#[test]
fn composed_files_run_together() {
    let folder = directory("compose");
    let made = |name: &str, rate: &str| {
        let path = folder.join(name).to_str().unwrap().to_owned();
        let ran = blis_words(&["convert", "preset", "--name", "chatbot", "--rate", rate, "-o", &path]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        path
    };
    let (slow, fast, both) = (made("slow.yaml", "1"), made("fast.yaml", "3"), folder.join("both.yaml"));
    let both = both.to_str().unwrap();
    let ran = blis_words(&["compose", "--from", &slow, "--from", &fast, "--output", both]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let run = blis_words(&["run", "--model", "meta-llama/llama-3.1-8b-instruct", "--workload-spec", both]);
    assert!(run.stdout.contains("\"completed_requests\": 200"), "{}", run.stdout);
    refused("compose", &["--from is missing"]);
    refused("compose --from no-such.yaml --from nor-this.yaml", &["no-such.yaml", "nor-this.yaml"]);
}
