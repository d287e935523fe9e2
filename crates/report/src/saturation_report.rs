//! `--saturation-report`: what each detector said after every event.

use crate::json;
use crate::judgement::write_labels;
use blis_metrics::Outcome;

/// The labels of the run and every verdict, as JSON ending in a newline.
pub fn saturation_report(outcome: &Outcome) -> String {
    let mut text = json::object(|o| {
        let Some(saturation) = &outcome.saturation else { return };
        o.object("final", |o| write_labels(o, saturation));
        o.array("trace", &saturation.verdicts, |o, (at, kind, verdict)| {
            o.field("timestamp", at.as_us());
            o.field("detector", kind.name());
            o.object("result", |o| {
                o.field("level", verdict.level.name());
                o.field("score", verdict.score);
                o.field("confidence", verdict.confidence);
                o.object("signals", |o| {
                    for (name, value) in &verdict.signals {
                        o.field(name, *value);
                    }
                });
            });
        });
    });
    text.push('\n');
    text
}
