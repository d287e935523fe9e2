//! `blis explain`: what was decided about one request, and what would have been decided otherwise.

use crate::table::{finished, new_table};
use blis_kernel::InstanceId;
use blis_metrics::decisions::{Candidate, Decided, Decision, Decisions};
use std::fmt::{Result, Write};

/// Scores that are nearer to each other than this count as equal when they are put together anew.
const SAME_SCORE: f64 = 1e-9;

/// Every decision about the request of that name; `None` when there is none.
pub fn explanation(decisions: &Decisions, request: &str) -> Option<String> {
    let mut out = String::new();
    for decision in decisions.list.iter().filter(|decision| decision.request.to_string() == request) {
        write_decision(&mut out, decision, &decisions.scorers).expect("a string takes everything");
    }
    (!out.is_empty()).then_some(out)
}

fn write_decision(out: &mut String, decision: &Decision, scorers: &[(String, f64)]) -> Result {
    write!(out, "{} at {:.6} s: ", decision.request, decision.at.as_seconds())?;
    match &decision.decided {
        Decided::Admission { admitted: true, .. } => writeln!(out, "admitted"),
        Decided::Admission { admitted: false, reason } => writeln!(out, "rejected, {reason}"),
        Decided::Queue { reason } => writeln!(out, "given up by the gateway queue, {reason}"),
        Decided::Routing { chosen, reason, regret, candidates } => {
            writeln!(out, "routed to {chosen}, {reason}")?;
            if candidates.is_empty() {
                return writeln!(out, "the candidates were not recorded");
            }
            writeln!(out, "\n{}\n", table(*chosen, candidates, scorers))?;
            write_alternatives(out, *chosen, *regret, candidates, scorers)
        }
    }
}

fn table(chosen: InstanceId, candidates: &[Candidate], scorers: &[(String, f64)]) -> String {
    let name = |candidate: &Candidate| {
        let mark = if candidate.instance == chosen { "> " } else { "  " };
        format!("{mark}{}", candidate.instance)
    };
    let first = if scorers.is_empty() { "-load" } else { "score" };
    let mut table = new_table(&["candidate", first, "queued", "running", "in flight", "KV used"]);
    for candidate in candidates {
        let mut row = vec![name(candidate), score(candidate.score, scorers)];
        row.extend([candidate.queue_depth, candidate.batch_size, candidate.in_flight].map(|n| n.to_string()));
        row.push(format!("{:.1} %", candidate.kv_utilization * 100.0));
        table.add_row(row);
    }
    let mut text = finished(table);
    for (nth, (scorer, weight)) in scorers.iter().enumerate() {
        let share = format!("× {weight:.4}");
        let mut table = new_table(&[scorer, "score", &share]);
        for candidate in candidates {
            let score = candidate.by_scorer.get(nth).copied().unwrap_or_default();
            table.add_row([name(candidate), format!("{score:.4}"), format!("{:.4}", score * weight)]);
        }
        text.push_str("\n\n");
        text.push_str(&finished(table));
    }
    text
}

fn score(score: f64, scorers: &[(String, f64)]) -> String {
    if scorers.is_empty() { score.to_string() } else { format!("{score:.4}") }
}

fn write_alternatives(
    out: &mut String,
    chosen: InstanceId,
    regret: f64,
    candidates: &[Candidate],
    scorers: &[(String, f64)],
) -> Result {
    let best = &candidates[0];
    let others = || candidates.iter().filter(|candidate| candidate.instance != chosen);
    let tied = others().filter(|other| other.score == best.score).count();
    if regret > 0.0 {
        writeln!(
            out,
            "{} has the best score: the choice gives up {}",
            best.instance,
            score(regret, scorers)
        )?;
    } else if tied > 0 {
        writeln!(out, "{tied} more with the same score: the choice among them was the policy's")?;
    } else {
        writeln!(out, "{chosen} has the best score")?;
    }
    if let Some(next) = others().next().filter(|_| regret == 0.0) {
        let score = score(next.score, scorers);
        writeln!(out, "without {chosen} it would have been {} with {score}", next.instance)?;
    }
    if scorers.len() < 2 {
        return Ok(());
    }
    for (left_out, (name, _)) in scorers.iter().enumerate() {
        let best = best_without(left_out, candidates, scorers);
        if best.contains(&chosen) {
            writeln!(out, "without the scorer {name} it could have been {chosen} too")?;
        } else {
            let names: Vec<_> = best.iter().map(ToString::to_string).collect();
            writeln!(out, "without the scorer {name} it would have been {}", names.join(" or "))?;
        }
    }
    Ok(())
}

/// The best candidates when one scorer has no say.
fn best_without(left_out: usize, candidates: &[Candidate], scorers: &[(String, f64)]) -> Vec<InstanceId> {
    let score = |candidate: &Candidate| {
        let parts = candidate.by_scorer.iter().zip(scorers).enumerate().filter(|(n, _)| *n != left_out);
        parts.fold(0.0, |sum, (_, (score, (_, weight)))| sum + score * weight)
    };
    let best = candidates.iter().map(score).fold(f64::NEG_INFINITY, f64::max);
    candidates.iter().filter(|c| score(c) > best - SAME_SCORE).map(|c| c.instance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_kernel::{RequestName, Tick};

    fn candidate(instance: u32, score: f64, by_scorer: &[f64]) -> Candidate {
        Candidate {
            instance: InstanceId(instance),
            score,
            by_scorer: by_scorer.to_vec(),
            queue_depth: 1,
            batch_size: 2,
            in_flight: 3,
            kv_utilization: 0.5,
            free_kv_blocks: 50,
        }
    }

    fn about(n: u64, decided: Decided) -> Decision {
        Decision { request: RequestName::Indexed(n), at: Tick::from_us(1_500_000), decided }
    }

    fn routed(chosen: u32, regret: f64, candidates: Vec<Candidate>) -> Decision {
        let reason = "because".to_owned();
        about(7, Decided::Routing { chosen: InstanceId(chosen), reason, regret, candidates })
    }

    #[test]
    fn each_scorer_is_shown_with_what_it_decided() {
        let scorers = vec![("queue-depth".to_owned(), 0.5), ("kv-utilization".to_owned(), 0.5)];
        let candidates = vec![candidate(1, 0.75, &[1.0, 0.5]), candidate(0, 0.5, &[0.0, 1.0])];
        let admitted = about(7, Decided::Admission { admitted: true, reason: String::new() });
        let list = vec![admitted, routed(1, 0.0, candidates)];
        let text = explanation(&Decisions { scorers, list }, "request_7").unwrap();
        let expected = [
            "request_7 at 1.500000 s: admitted",
            "request_7 at 1.500000 s: routed to instance_1, because",
            "> instance_1",
            "instance_1 has the best score\n",
            "without instance_1 it would have been instance_0 with 0.5000\n",
            "without the scorer queue-depth it would have been instance_0\n",
            "without the scorer kv-utilization it could have been instance_1 too\n",
        ];
        for words in expected {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_choice_that_is_not_the_best_says_what_it_gives_up() {
        let candidates = vec![candidate(1, -1.0, &[]), candidate(2, -3.0, &[]), candidate(0, -11.0, &[])];
        let text = explanation(
            &Decisions { scorers: Vec::new(), list: vec![routed(0, 10.0, candidates)] },
            "request_7",
        );
        assert!(text.unwrap().ends_with("instance_1 has the best score: the choice gives up 10\n"));
    }

    #[test]
    fn other_requests_are_left_out() {
        let rejected = about(3, Decided::Admission { admitted: false, reason: "insufficient tokens".into() });
        let decisions = Decisions { scorers: Vec::new(), list: vec![rejected] };
        assert_eq!(explanation(&decisions, "request_7"), None);
        let text = explanation(&decisions, "request_3").unwrap();
        assert_eq!(text, "request_3 at 1.500000 s: rejected, insufficient tokens\n");
    }
}
