//! The page of a comparison: what changed, and how the figures differ.

use super::origin::Origin;
use crate::comparison::{Compared, shown, verdict};
use crate::html::bars::{BarRow, Bars, bars};
use crate::html::markup::{Html, grid};
use crate::html::number::{counted, number, percent};
use crate::html::page::{KeyFigure, Page, Section, page};
use crate::html::table::{Cell, Look, Row, Table, table};
use blis_search::compare::Difference;
use blis_search::figure::{self, Figure};

/// The page of a comparison. The first configuration is what the others are compared with.
pub fn comparison_page(compared: &[Compared], seeds: &[i64], origin: &Origin) -> String {
    let (base, others) = compared.split_first().expect("there is something to compare with");
    let mut sections = Vec::new();
    if !origin.warnings.is_empty() {
        sections.push(Section::new("Warnings", "", vec![Html::warnings(&origin.warnings)]));
    }
    sections.push(Section::new("Means", "Over all seeds.", vec![grid(&means(compared))]));
    for other in others {
        let title = format!("{} against {}", other.name, base.name);
        let note = "The interval holds the mean difference with 95 % confidence; without zero in it the difference is certain.";
        sections.push(Section::new(&title, note, vec![changes(other), differences(base, other)]));
    }
    sections.extend(origin.sections());
    page(&Page {
        command: "blis compare".to_owned(),
        title: format!("{} and {}", base.name, counted(others.len() as u64, "other")),
        answer: answer(base, others, seeds),
        key_figures: key_figures(base, others),
        sections,
    })
}

fn answer(base: &Compared, others: &[Compared], seeds: &[i64]) -> String {
    let seeds = counted(seeds.len() as u64, "seed");
    let mut told = vec![format!("Every configuration served the same traffic with {seeds}.")];
    for other in others {
        let of = |word: &str| -> Vec<&str> {
            let certain =
                shown(base, other).filter(|(figure, difference)| verdict(figure, difference) == word);
            certain.map(|(figure, _)| figure.name).collect()
        };
        let (better, worse) = (of("better"), of("worse"));
        let name = &other.name;
        told.push(match (better.is_empty(), worse.is_empty()) {
            (true, true) => format!("{name} differs from {} in nothing for certain.", base.name),
            (false, true) => format!("{name} is better in {}.", better.join(", ")),
            (true, false) => format!("{name} is worse in {}.", worse.join(", ")),
            (false, false) => {
                format!("{name} is better in {}, worse in {}.", better.join(", "), worse.join(", "))
            }
        });
    }
    told.join(" ")
}

fn key_figures(base: &Compared, others: &[Compared]) -> Vec<KeyFigure> {
    const KEY: [&str; 3] = ["ttft_p99_ms", "e2e_p99_ms", "output_tokens_per_s"];
    let of = |other: &Compared, n: usize, figure: &Figure| {
        let difference = base.measured.difference(&other.measured, n)?;
        let verdict = match verdict(figure, &difference) {
            "better" => Some(true),
            "worse" => Some(false),
            _ => None,
        };
        Some(KeyFigure {
            name: format!("{}, {}", figure.name, other.name),
            value: difference.share().map_or_else(|| number(difference.to), signed_share),
            note: format!("{} to {}", number(difference.from), number(difference.to)),
            verdict,
        })
    };
    let keys = || figure::all().enumerate().filter(|(_, figure)| KEY.contains(&figure.name));
    others.iter().flat_map(|other| keys().filter_map(move |(n, figure)| of(other, n, figure))).collect()
}

fn signed_share(share: f64) -> String {
    format!(
        "{}{}",
        if share > 0.0 {
            "+"
        } else if share < 0.0 {
            "−"
        } else {
            ""
        },
        percent(share.abs())
    )
}

/// A chart of bars per figure that all of them show.
fn means(compared: &[Compared]) -> Vec<Html> {
    let Some((base, others)) = compared.split_first() else { return Vec::new() };
    let is_shown =
        |name: &str| others.iter().any(|other| shown(base, other).any(|(figure, _)| figure.name == name));
    let chart = |(n, figure): (usize, &Figure)| {
        let rows: Option<Vec<BarRow>> = compared
            .iter()
            .map(|one| one.measured.mean(n).map(|mean| BarRow::new(&one.name, mean, number(mean))))
            .collect();
        let better = if figure.direction.name() == "max" { "more is better" } else { "less is better" };
        let (title, note) = (figure.name.to_owned(), format!("{}; {better}", figure.meaning));
        Some(bars(&Bars { title, note, rows: rows?, ..Bars::default() }))
    };
    figure::all().enumerate().filter(|(_, figure)| is_shown(figure.name)).filter_map(chart).collect()
}

fn changes(other: &Compared) -> Html {
    let text = |value: &Option<String>| Cell::text(value.clone().unwrap_or_else(|| "–".to_owned()));
    table(&Table {
        title: "What changed".to_owned(),
        columns: ["setting", "from", "to"].map(str::to_owned).into(),
        rows: other
            .changed
            .iter()
            .map(|(name, from, to)| Row::new(vec![Cell::text(name.clone()), text(from), text(to)]))
            .collect(),
    })
}

fn differences(base: &Compared, other: &Compared) -> Html {
    let row = |(figure, difference): (&Figure, Difference)| {
        let Difference { from, to, mean, half_width } = difference;
        let verdict = verdict(figure, &difference);
        let interval = match half_width {
            0.0 => "exactly".to_owned(),
            half if half.is_finite() => format!("{} to {}", number(mean - half), number(mean + half)),
            _ => "needs more seeds".to_owned(),
        };
        let cells = vec![
            Cell::text(figure.name),
            Cell::number(from, number(from)),
            Cell::number(to, number(to)),
            Cell::number(mean, number(mean)),
            Cell::text(interval),
            Cell::text(verdict),
        ];
        Row { cells, look: if verdict.is_empty() { Look::Dim } else { Look::Plain } }
    };
    table(&Table {
        title: "How the figures differ".to_owned(),
        columns: ["figure", &base.name, &other.name, "difference", "95 % interval", "verdict"]
            .map(str::to_owned)
            .into(),
        rows: shown(base, other).map(row).collect(),
    })
}
