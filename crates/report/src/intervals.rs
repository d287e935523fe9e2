//! Bands: how sure the figures of a run are.

use crate::json::Object;
use crate::table::{finished, new_table};
use blis_intervals::{Band, Intervals, LEVEL, Near};
use std::fmt::{Result, Write};

/// Latencies with their names in figures.
pub(crate) const LATENCIES: [(&str, &str); 3] =
    [("ttft", "time to first token"), ("itl", "inter-token latency"), ("e2e", "end to end")];
/// Statistics of a latency.
pub(crate) const STATISTICS: [&str; 4] = ["mean", "p50", "p90", "p99"];
/// Other figures that are shown to people.
pub(crate) const OTHERS: [(&str, &str); 4] = [
    ("requests_per_s", "requests/s"),
    ("output_tokens_per_s", "output tokens/s"),
    ("goodput_per_s", "goodput, requests/s"),
    ("slo_attainment", "share within SLO targets"),
];

/// The members of the JSON object.
pub(crate) fn write_members(o: &mut Object<'_>, intervals: &Intervals) {
    let Intervals { draws, figures, nearest, warning } = intervals;
    o.field("level", LEVEL);
    o.field("draws", *draws);
    o.text_unless_empty("warning", warning.as_deref().unwrap_or_default());
    o.object("figures", |o| {
        for (name, _, Band { low, high }) in figures {
            o.object(name, |o| {
                o.field("low", *low);
                o.field("high", *high);
            });
        }
    });
    o.array("nearest_measured", nearest, |o, near| {
        let Near { set, model, gpu, gpus, distance, step_factor } = near;
        o.field("model", model);
        o.field("gpu", gpu);
        o.field("gpus", *gpus);
        o.field("set", set);
        o.field("distance", *distance);
        o.field("step_factor", *step_factor);
    });
}

/// For people: a table in at most 80 columns, the other figures, and what the bands come from.
pub(crate) fn write_block(out: &mut String, intervals: &Intervals) -> Result {
    let percentiles = levels();
    let mut table = new_table(&[&format!("{percentiles} (ms)"), "mean", "p50", "p90", "p99"]);
    for (latency, title) in LATENCIES {
        let cells = STATISTICS.map(|statistic| {
            let band = intervals.band(&format!("{latency}_{statistic}_ms"));
            band.map(|Band { low, high }| format!("{}–{}", short(low), short(high))).unwrap_or_default()
        });
        table.add_row(std::iter::once(title.to_owned()).chain(cells));
    }
    writeln!(out, "{}", finished(table))?;
    for (name, title) in OTHERS {
        if let Some(Band { low, high }) = intervals.band(name) {
            writeln!(out, "{title}: {}–{}", short(low), short(high))?;
        }
    }
    writeln!(out, "from {} runs; nearest measured, with their distances:", intervals.draws)?;
    intervals.nearest.iter().try_for_each(|near| writeln!(out, "  {}", told(near)))?;
    intervals.warning.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
}

/// The percentiles of the bands.
pub(crate) fn levels() -> String {
    let below = (1.0 - LEVEL) / 2.0 * 100.0;
    format!("{below:.0}–{:.0} %", 100.0 - below)
}

fn told(near: &Near) -> String {
    let model = near.model.rsplit('/').next().unwrap_or_default();
    format!("{:.1}  {model} on {} {}", near.distance, near.gpus, near.gpu)
}

/// Three digits or more.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{short, write_block, write_members};
    use crate::json;
    use blis_intervals::{Band, Intervals, Near};

    fn intervals() -> Intervals {
        Intervals {
            draws: 32,
            figures: vec![
                ("ttft_mean_ms", 20.0, Band { low: 18.25, high: 23.5 }),
                ("requests_per_s", 8.0, Band { low: 7.5, high: 8.0 }),
            ],
            nearest: vec![Near {
                set: "dev".into(),
                model: "org/m".into(),
                gpu: "H100".into(),
                gpus: 2,
                distance: 0.25,
                step_factor: 1.05,
            }],
            warning: Some("far from everything".into()),
        }
    }

    #[test]
    fn people_see_bands_where_they_come_from_and_the_warning() {
        let mut text = String::new();
        write_block(&mut text, &intervals()).unwrap();
        let expected = [
            " 5–95 % (ms)                mean   p50   p90   p99",
            "───────────────────────────────────────────────────",
            " time to first token   18.2–23.5",
            " inter-token latency",
            " end to end",
            "requests/s: 7.50–8.00",
            "from 32 runs; nearest measured, with their distances:",
            "  0.2  m on 2 H100",
            "warning: far from everything",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn programs_see_the_same() {
        let text = json::object(|o| write_members(o, &intervals()));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], 0.9);
        assert_eq!(value["draws"], 32);
        assert_eq!(value["figures"]["ttft_mean_ms"]["high"], 23.5);
        assert_eq!(value["nearest_measured"][0]["gpus"], 2);
        assert_eq!(value["warning"], "far from everything");
    }

    #[test]
    fn numbers_have_three_digits_or_more() {
        assert_eq!([0.1234, 9.999, 99.96, 12345.6].map(short), ["0.12", "10.0", "100", "12346"]);
    }
}
