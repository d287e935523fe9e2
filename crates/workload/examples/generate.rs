//! Generates requests and says how fast, and how much memory that took:
//! `cargo run --release -p blis-workload --example generate -- plain 10000000`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/support/traffic.rs"]
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_kind = |kind: &String| traffic::KINDS.iter().any(|(name, _)| name == kind);
    let (Some(kind), Some(requests)) =
        (words.first().filter(|kind| is_kind(kind)), words.get(1).and_then(|number| number.parse().ok()))
    else {
        eprintln!("usage: generate KIND REQUESTS, where KIND is one of");
        for (name, meaning) in traffic::KINDS {
            eprintln!("  {name:9} {meaning}");
        }
        return ExitCode::FAILURE;
    };
    let workload = traffic::workload(kind, requests);
    let start = Instant::now();
    let mut source = workload.stream();
    let setup = start.elapsed();
    let setup_kb = peak_kb();
    let start = Instant::now();
    let count = traffic::count(&mut *source);
    let run = start.elapsed();
    println!(
        "{kind}: {count} requests in {:.3} s after {:.3} s of preparation, {:.0} requests/s",
        run.as_secs_f64(),
        setup.as_secs_f64(),
        count as f64 / (setup + run).as_secs_f64()
    );
    if let (Some(setup), Some(all)) = (setup_kb, peak_kb()) {
        println!("{kind}: at most {} MB after preparation, {} MB in all", setup / 1000, all / 1000);
    }
    ExitCode::SUCCESS
}

/// Most memory that this process ever had, where the system tells.
fn peak_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
