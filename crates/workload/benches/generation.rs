//! What requests cost before anything is simulated: time and memory of some millions of each kind, each kind in a
//! process of its own. `cargo bench -p blis-workload` measures all; `-- KIND REQUESTS` one of them.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

fn main() -> ExitCode {
    // Cargo adds a flag of its own.
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match &words[..] {
        [] => all(),
        [kind, requests] if traffic::KINDS.iter().any(|known| known.name == kind) => {
            requests.parse().map_or_else(|_| usage(), |requests| one(kind, requests))
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: cargo bench -p blis-workload [-- KIND REQUESTS], where KIND is one of");
    for kind in traffic::KINDS {
        eprintln!("  {:9} {}", kind.name, kind.meaning);
    }
    ExitCode::FAILURE
}

fn all() -> ExitCode {
    let program = env::current_exe().expect("a program that runs has a path");
    println!("| kind | requests | preparation s | generation s | requests/s | peak MB |");
    println!("|---|---|---|---|---|---|");
    for kind in traffic::KINDS {
        let status = Command::new(&program).args([kind.name, &kind.requests.to_string()]).status();
        if !status.is_ok_and(|status| status.success()) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn one(kind: &str, requests: u64) -> ExitCode {
    let workload = traffic::workload(kind, requests);
    let start = Instant::now();
    let mut source = workload.stream();
    let prepared = start.elapsed();
    let count = traffic::count(&mut *source);
    let all = start.elapsed();
    println!(
        "| {kind} | {count} | {:.2} | {:.2} | {:.0} | {} |",
        prepared.as_secs_f64(),
        all.saturating_sub(prepared).as_secs_f64(),
        count as f64 / all.as_secs_f64(),
        peak_kb().map_or("?".to_owned(), |kb| (kb / 1000).to_string())
    );
    ExitCode::SUCCESS
}

/// Most memory that this process ever had, where the system tells.
fn peak_kb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
