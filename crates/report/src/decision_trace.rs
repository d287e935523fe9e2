//! `--decision-trace`: one decision per line, each a JSON object that stands alone.

use crate::json::{self, Object};
use blis_metrics::Outcome;
use blis_metrics::decisions::{Candidate, Decided, Decision};

/// Every decision that was kept, in the order in which it was made.
pub fn decision_trace(outcome: &Outcome) -> String {
    let mut out = String::new();
    let Some(decisions) = &outcome.decisions else { return out };
    for decision in &decisions.list {
        out.push_str(&json::line(|o| write_decision(o, decision, &decisions.scorers)));
        out.push('\n');
    }
    out
}

fn write_decision(o: &mut Object<'_>, decision: &Decision, scorers: &[(String, f64)]) {
    let kind = match &decision.decided {
        Decided::Admission { .. } => "admission",
        Decided::Queue { .. } => "queue",
        Decided::Routing { .. } => "routing",
    };
    o.field("decision", kind);
    o.field("request", decision.request.to_string());
    o.field("at_us", decision.at.as_us());
    match &decision.decided {
        Decided::Admission { admitted, reason } => {
            o.field("admitted", *admitted);
            o.text_unless_empty("reason", reason);
        }
        Decided::Queue { reason } => o.field("reason", reason),
        Decided::Routing { chosen, reason, regret, candidates } => {
            o.field("chosen", chosen.to_string());
            o.field("reason", reason);
            o.field("regret", *regret);
            o.array("scorers", scorers, |o, (name, weight)| {
                o.field("name", name);
                o.field("weight", *weight);
            });
            o.array("candidates", candidates, |o, candidate| write_candidate(o, candidate, scorers));
        }
    }
}

fn write_candidate(o: &mut Object<'_>, candidate: &Candidate, scorers: &[(String, f64)]) {
    o.field("instance", candidate.instance.to_string());
    o.field("score", candidate.score);
    o.object("by_scorer", |o| {
        for ((name, _), score) in scorers.iter().zip(&candidate.by_scorer) {
            o.field(name, *score);
        }
    });
    o.field("queue_depth", candidate.queue_depth);
    o.field("batch_size", candidate.batch_size);
    o.field("in_flight", candidate.in_flight);
    o.field("kv_utilization", candidate.kv_utilization);
    o.field("free_kv_blocks", candidate.free_kv_blocks);
}
