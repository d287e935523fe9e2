//! How an observation went, for people.

use super::Observation;
use std::fmt::Write;
use std::time::Duration;

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A block of standard output: how many requests were sent, how late, and which failed. Ends in a newline.
pub fn summary(observation: &Observation) -> String {
    let mut out = String::from("=== Sending ===\n");
    let [p50, p99, max] = [50.0, 99.0, 100.0].map(|p| ms(observation.lateness_at(p)));
    // Writing to a text cannot fail.
    let _ = writeln!(out, "Sent: {}", observation.lateness.len());
    let _ = writeln!(out, "Recorded: {}", observation.requests.len());
    let _ = writeln!(out, "Late (ms): p50={p50:.3} p99={p99:.3} max={max:.3}");
    for (kind, count) in observation.failures() {
        let _ = writeln!(out, "Failed ({kind}): {count}");
    }
    if observation.interrupted {
        out += "Interrupted: the rest was not sent\n";
    }
    out
}
