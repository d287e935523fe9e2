//! Bars beside one another's names.

use super::chart::{Head, put, write_caption};
use super::markup::{Escaped, Html};

/// Values with names.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// How to read it; may be empty.
    pub note: String,
    /// What the bars of a row stand for, where a row has several.
    pub legend: Vec<String>,
    /// The rows, from top to bottom.
    pub rows: Vec<BarRow>,
    /// What a bar is not to exceed, or to reach, with what that is called.
    pub mark: Option<(f64, String)>,
    /// The largest value that is drawn; of the largest one when absent.
    pub most: Option<f64>,
}

/// A name with its values.
#[derive(Clone, Debug, Default)]
pub struct BarRow {
    /// What they are the values of.
    pub name: String,
    /// From zero on, each with what is written beside it. A value beyond the largest is drawn cut off.
    pub values: Vec<(f64, String)>,
    /// Whether the values are not what they ought to be.
    pub is_bad: bool,
}

impl BarRow {
    /// A name with one value.
    pub fn new(name: &str, value: f64, shown: String) -> Self {
        Self { name: name.to_owned(), values: vec![(value, shown)], is_bad: false }
    }
}

/// Width of a bar's drawing, which is stretched to its place.
const WIDTH: f64 = 1000.0;
/// Height of a bar, with what lies between two.
const HEIGHT: f64 = 14.0;

/// Draws them.
pub fn bars(of: &Bars) -> Html {
    let values = || of.rows.iter().flat_map(|row| &row.values).map(|(value, _)| *value);
    let marked = of.mark.as_ref().map_or(0.0, |(value, _)| value * 1.15);
    let seen = values().filter(|value| value.is_finite()).fold(marked, f64::max);
    let most = of.most.unwrap_or(seen);
    let scale = if most > 0.0 { WIDTH / most } else { 0.0 };
    let classes = (1..).zip(&of.legend).map(|(number, name)| (format!("f{number}"), name.clone()));
    let mark = of.mark.iter().map(|(_, name)| ("markline".to_owned(), name.clone()));
    let legend: Vec<_> = classes.chain(mark).collect();
    // One thing alone needs no legend, but a mark always does.
    let legend = if of.mark.is_some() && legend.len() == 1 {
        vec![("f1".to_owned(), "value".to_owned()), legend[0].clone()]
    } else {
        legend
    };
    let mut out = String::from("<figure class=\"bars\">\n");
    write_caption(
        &mut out,
        &Head { title: of.title.clone(), note: of.note.clone(), legend, ..Head::default() },
    );
    out += "<table><tbody>\n";
    for row in &of.rows {
        let class = if row.is_bad { " class=\"bad\"" } else { "" };
        let height = HEIGHT * row.values.len().max(1) as f64;
        put(&mut out, format_args!("<tr{class}><th scope=\"row\">{}</th><td>", Escaped(&row.name)));
        put(
            &mut out,
            format_args!(
                "<svg viewBox=\"0 0 {WIDTH} {height}\" style=\"height:{height}px\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
            ),
        );
        for (index, (value, _)) in row.values.iter().enumerate() {
            let wide = if value.is_nan() { 0.0 } else { (value * scale).clamp(2.0, WIDTH) };
            let (number, y, high) = (index + 1, HEIGHT * index as f64 + 1.0, HEIGHT - 2.0);
            put(
                &mut out,
                format_args!("<rect class=\"f{number}\" y=\"{y}\" width=\"{wide:.1}\" height=\"{high}\"/>"),
            );
        }
        if let Some((value, _)) = &of.mark {
            let x = value * scale;
            put(&mut out, format_args!("<path class=\"markline\" d=\"M{x:.1},0V{height}\"/>"));
        }
        out += "</svg></td><td>";
        for (index, (_, shown)) in row.values.iter().enumerate() {
            put(&mut out, format_args!("{}{}", if index > 0 { "<br>" } else { "" }, Escaped(shown)));
        }
        out += "</td></tr>\n";
    }
    out += "</tbody></table>\n</figure>\n";
    Html::raw(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law: bars are as long as their values are large, and none leaves its place.
    #[test]
    fn lengths_follow_values() {
        let row = |name: &str, value| BarRow::new(name, value, value.to_string());
        let rows = vec![row("<a>", 0.5), row("b", 1.0), row("c", f64::INFINITY), row("d", 0.0)];
        let drawn = bars(&Bars { rows, most: Some(2.0), ..Bars::default() }).to_string();
        let widths: Vec<_> = drawn
            .split(" width=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse::<f64>().unwrap())
            .collect();
        assert_eq!(widths, [250.0, 500.0, 1000.0, 2.0]);
        assert!(drawn.contains("<th scope=\"row\">&lt;a&gt;</th>"));
    }
}
