//! What `blis compare` found: what changed, and how the figures differ; or one JSON document.

use crate::json::{self, Object};
use crate::sweep::short;
use crate::table::{finished, new_table};
use blis_search::compare::{Difference, Measured};
use blis_search::figure::{self, Direction, Figure};
use std::fmt::{Result, Write};

/// A configuration and what it showed.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What it is called.
    pub name: String,
    /// Its settings that the first one does not have so: name, value there, value here; `None` = not there.
    pub changed: Vec<(String, Option<String>, Option<String>)>,
    /// What it showed.
    pub measured: Measured,
}

/// Columns of characters of a table.
const WIDTH: u16 = 100;
/// Figures that are shown for reading.
const SHOWN: [&str; 15] = [
    "unanswered",
    "requests_per_s",
    "output_tokens_per_s",
    "goodput_per_s",
    "ttft_mean_ms",
    "ttft_p99_ms",
    "itl_mean_ms",
    "itl_p99_ms",
    "e2e_mean_ms",
    "e2e_p99_ms",
    "preemption_rate",
    "cache_hit_rate",
    "gpus",
    "cost",
    "cost_per_m_output_tokens",
];

/// For reading, ending in a newline. The first configuration is what the others are compared with.
pub fn comparison_text(compared: &[Compared], seeds: &[i64]) -> String {
    let mut out = String::new();
    write_text(&mut out, compared, seeds).expect("a string takes everything");
    out
}

fn write_text(out: &mut String, compared: &[Compared], seeds: &[i64]) -> Result {
    let Some((base, others)) = compared.split_first() else { return Ok(()) };
    for other in others {
        writeln!(out, "{} against {}, {} seeds each", other.name, base.name, seeds.len())?;
        if other.changed.is_empty() {
            writeln!(out, "  no setting differs")?;
        }
        for (name, from, to) in &other.changed {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            writeln!(out, "  {name}: {} -> {}", text(from), text(to))?;
        }
        let mut table = new_table(&["figure", &base.name, &other.name, "difference", "", ""]);
        for (figure, difference) in shown(base, other) {
            table.add_row(row(figure, &difference));
        }
        table.set_width(WIDTH);
        writeln!(out, "\n{}\n", finished(table))?;
    }
    writeln!(
        out,
        "Differences are means with 95 % intervals; better and worse where the interval does not hold 0."
    )
}

/// The figures that are worth showing: those of which either has any.
pub(crate) fn shown<'a>(
    base: &'a Compared,
    other: &'a Compared,
) -> impl Iterator<Item = (&'static Figure, Difference)> + 'a {
    let all = figure::all().enumerate().filter(|(_, figure)| SHOWN.contains(&figure.name));
    let differences =
        all.filter_map(|(n, figure)| Some((figure, base.measured.difference(&other.measured, n)?)));
    differences.filter(|(_, difference)| difference.from != 0.0 || difference.to != 0.0)
}

fn row(figure: &Figure, difference: &Difference) -> [String; 6] {
    let half = match difference.half_width {
        0.0 => String::new(),
        half if half.is_finite() => format!(" ± {}", short(half)),
        _ => " ± ?".to_owned(),
    };
    [
        figure.name.to_owned(),
        short(difference.from),
        short(difference.to),
        format!("{}{half}", signed(difference.mean)),
        difference.share().map_or_else(String::new, |share| format!("{:+.1} %", share * 100.0)),
        verdict(figure, difference).to_owned(),
    ]
}

/// Better or worse, where that is certain.
pub(crate) fn verdict(figure: &Figure, difference: &Difference) -> &'static str {
    let is_more = difference.mean > 0.0;
    match (difference.is_certain(), figure.direction) {
        (false, _) => "",
        (true, Direction::Max) if is_more => "better",
        (true, Direction::Min) if !is_more => "better",
        (true, _) => "worse",
    }
}

fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", short(value)) } else { short(value) }
}

/// As one JSON document, ending in a newline.
pub fn comparison_document(compared: &[Compared], seeds: &[i64]) -> String {
    let document = json::object(|o| {
        o.array("seeds", seeds, |o, seed| o.field("seed", *seed));
        let Some((base, others)) = compared.split_first() else { return };
        o.object("base", |o| write_means(o, base));
        o.array("others", others, |o, other| {
            write_means(o, other);
            o.array("changed", &other.changed, |o, (name, from, to)| {
                o.field("setting", name);
                for (key, value) in [("from", from), ("to", to)] {
                    if let Some(value) = value {
                        o.field(key, value);
                    }
                }
            });
            o.object("differences", |o| {
                for (n, figure) in figure::all().enumerate() {
                    if let Some(difference) = base.measured.difference(&other.measured, n) {
                        o.object(figure.name, |o| {
                            o.field("mean", difference.mean);
                            if difference.half_width.is_finite() {
                                o.field("low", difference.mean - difference.half_width);
                                o.field("high", difference.mean + difference.half_width);
                            }
                            o.field("verdict", verdict(figure, &difference));
                        });
                    }
                }
            });
        });
    });
    document + "\n"
}

fn write_means(o: &mut Object<'_>, compared: &Compared) {
    o.field("name", &compared.name);
    o.object("means", |o| {
        for (n, figure) in figure::all().enumerate() {
            if let Some(mean) = compared.measured.mean(n) {
                o.field(figure.name, mean);
            }
        }
    });
}
