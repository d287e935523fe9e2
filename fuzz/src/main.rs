//! Feeds damaged files to every reader of files: `cargo run -- TARGET SECONDS [SEED]`, in this folder.
//!
//! Each input is a file of the corpus with a few random changes. No reader may panic or take long, whatever it is
//! given. The same seed tries the same inputs; an input that shows a fault is written to `findings/`.

mod mutate;
mod targets;

use mutate::Mutator;
use std::panic;
use std::process::{self, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Reading a small file may take no longer than this.
const SLOW: Duration = Duration::from_secs(10);
/// After this an input counts as one that never ends, which ends the program.
const ENDLESS: Duration = Duration::from_secs(60);

/// The input that is being read, and since when.
static CURRENT: Mutex<Option<(Vec<u8>, Instant)>> = Mutex::new(None);

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let target = words.first().and_then(|name| targets::ALL.iter().find(|target| target.name == name));
    let seconds = words.get(1).and_then(|seconds| seconds.parse().ok());
    let (Some(target), Some(seconds)) = (target, seconds) else {
        eprintln!("usage: blis-fuzz TARGET SECONDS [SEED], where TARGET is one of");
        targets::ALL.iter().for_each(|target| eprintln!("  {}", target.name));
        return ExitCode::FAILURE;
    };
    let seed = words.get(2).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let corpus = corpus(target.name);
    assert!(!corpus.is_empty(), "the corpus of {} is empty", target.name);
    for input in &corpus {
        assert!((target.read)(input), "a file of the corpus is refused:\n{}", String::from_utf8_lossy(input));
    }
    let mut mutator = Mutator::new(seed, corpus);
    panic::set_hook(Box::new(|_| ()));
    thread::spawn(|| watch(target.name));
    let (start, limit) = (Instant::now(), Duration::from_secs(seconds));
    let (mut tried, mut accepted, mut faults) = (0_u64, 0_u64, 0_u64);
    while start.elapsed() < limit {
        let input = mutator.next();
        let began = Instant::now();
        *CURRENT.lock().expect("nobody panics with it") = Some((input.clone(), began));
        let result = panic::catch_unwind(|| (target.read)(&input));
        let took = began.elapsed();
        tried += 1;
        accepted += u64::from(matches!(result, Ok(true)));
        let fault = match result {
            Err(cause) => Some(format!("panic: {}", message(&*cause))),
            Ok(_) if took > SLOW => Some(format!("took {took:?}")),
            Ok(_) => None,
        };
        if let Some(fault) = fault {
            faults += 1;
            keep(&format!("{}-{seed}-{tried}", target.name), &input, &fault);
        }
    }
    println!("{}: {tried} inputs, {accepted} accepted, {faults} faults in {seconds} s", target.name);
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends the program when an input does not.
fn watch(target: &str) {
    loop {
        thread::sleep(Duration::from_secs(1));
        let current = CURRENT.lock().expect("nobody panics with it");
        if let Some((input, _)) = current.as_ref().filter(|(_, since)| since.elapsed() > ENDLESS) {
            keep(&format!("{target}-endless"), input, "does not end");
            process::exit(1);
        }
    }
}

fn keep(name: &str, input: &[u8], fault: &str) {
    let path = format!("findings/{name}");
    fs::create_dir_all("findings").and_then(|()| fs::write(&path, input)).expect("findings/ is writable");
    println!("{path}: {fault}");
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(format!("corpus/{target}"))
        .expect("this runs in the folder fuzz/")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a readable file")).collect()
}

fn message(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
