//! What all charts have in common: a frame with axes, drawn for narrow, wide and very wide places, a legend, and their data
//! as a table.

use super::axis::Axis;
use super::markup::{Escaped, Html};
use std::fmt::Write;

/// Height of letters, in units of the drawing. Drawings are shown at 0.8 to 1.3 times their size.
const LETTER: f64 = 13.0;
/// Width of a letter on average, generously.
const LETTER_WIDTH: f64 = 8.0;

/// A size in which a chart is drawn.
struct Layout {
    class: &'static str,
    width: f64,
    height: f64,
    /// About how many marks there are at the axes.
    marks: (usize, usize),
}

/// The style sheet shows the one that suits the place.
const LAYOUTS: [Layout; 3] = [
    Layout { class: "full", width: 1280.0, height: 400.0, marks: (14, 7) },
    Layout { class: "wide", width: 640.0, height: 270.0, marks: (8, 5) },
    Layout { class: "narrow", width: 360.0, height: 250.0, marks: (4, 4) },
];

/// What a chart says in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) title: String,
    pub(super) note: String,
    /// What lies along the axes, with units.
    pub(super) axes: (String, String),
    /// Classes of the style sheet with what they stand for.
    pub(super) legend: Vec<(String, String)>,
    /// For those who do not see the drawing.
    pub(super) description: String,
}

/// The data of a chart. Each row has its place along the drawing, 0 to 1, where readers are shown it.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<(f64, Vec<String>)>,
}

/// Where marks are drawn.
pub(super) struct Plane<'a> {
    x: &'a Axis,
    y: &'a Axis,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plane<'_> {
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + self.x.place(value) * (self.right - self.left)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.place(value) * (self.bottom - self.top)
    }
}

/// Draws a chart. `axes` gives both axes for about so many marks, `draw` the marks within them.
pub(super) fn chart(
    head: &Head,
    axes: impl Fn((usize, usize)) -> (Axis, Axis),
    draw: impl Fn(&Plane<'_>, &mut String),
    data: &Data,
) -> Html {
    let mut out = String::from("<figure class=\"chart\">\n");
    write_caption(&mut out, head);
    out += "<div class=\"plot\">\n";
    for layout in &LAYOUTS {
        let (x, y) = axes(layout.marks);
        write_drawing(&mut out, head, layout, (&x, &y), &draw);
    }
    out += "</div>\n";
    write_data(&mut out, head, data);
    out += "</figure>\n";
    Html::raw(out)
}

/// The title, the note and the legend of a figure.
pub(super) fn write_caption(out: &mut String, head: &Head) {
    put(out, format_args!("<figcaption><h3>{}</h3>", Escaped(&head.title)));
    if !head.note.is_empty() {
        put(out, format_args!("<p>{}</p>", Escaped(&head.note)));
    }
    if head.legend.len() > 1 {
        *out += "<ul class=\"legend\">";
        for (class, name) in &head.legend {
            put(out, format_args!("<li><i class=\"{class}\"></i>{}</li>", Escaped(name)));
        }
        *out += "</ul>";
    }
    *out += "</figcaption>\n";
}

fn write_drawing(
    out: &mut String,
    head: &Head,
    layout: &Layout,
    (x, y): (&Axis, &Axis),
    draw: impl Fn(&Plane<'_>, &mut String),
) {
    let Layout { class, width, height, .. } = *layout;
    let widest = y.ticks.iter().map(|(_, label)| text_width(label)).fold(0.0, f64::max);
    let plane = Plane { x, y, left: widest + 10.0, right: width - 14.0, top: 28.0, bottom: height - 44.0 };
    let Plane { left, right, top, bottom, .. } = plane;
    put(
        out,
        format_args!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" \
             data-left=\"{left:.1}\" data-right=\"{right:.1}\" data-top=\"{top:.1}\" data-bottom=\"{bottom:.1}\">\n",
            Escaped(&head.description)
        ),
    );
    put(out, format_args!("<text class=\"of\" x=\"0\" y=\"13\">{}</text>\n", Escaped(&head.axes.1)));
    *out += "<g class=\"y\">";
    for (value, label) in &y.ticks {
        let at = plane.y(*value);
        put(out, format_args!("<path d=\"M{left:.1},{at:.1}H{right:.1}\"/>"));
        let baseline = at + LETTER / 3.0;
        let edge = left - 8.0;
        put(out, format_args!("<text x=\"{edge:.1}\" y=\"{baseline:.1}\">{}</text>", Escaped(label)));
    }
    *out += "</g>\n<g class=\"x\">";
    let mut free_from = f64::NEG_INFINITY;
    for (value, label) in &x.ticks {
        let (at, wide) = (plane.x(*value), text_width(label));
        let centre = at.min(width - wide / 2.0);
        if centre - wide / 2.0 < free_from {
            continue;
        }
        free_from = centre + wide / 2.0 + LETTER_WIDTH;
        put(out, format_args!("<path d=\"M{at:.1},{bottom:.1}v5\"/>"));
        let baseline = bottom + 19.0;
        put(out, format_args!("<text x=\"{centre:.1}\" y=\"{baseline:.1}\">{}</text>", Escaped(label)));
    }
    put(out, format_args!("<path d=\"M{left:.1},{bottom:.1}H{right:.1}\"/>"));
    let (middle, baseline) = (f64::midpoint(left, right), height - 5.0);
    put(
        out,
        format_args!(
            "<text class=\"of\" x=\"{middle:.1}\" y=\"{baseline:.1}\">{}</text></g>\n",
            Escaped(&head.axes.0)
        ),
    );
    draw(&plane, out);
    *out += "</svg>\n";
}

fn write_data(out: &mut String, head: &Head, data: &Data) {
    if data.rows.is_empty() {
        return;
    }
    put(
        out,
        format_args!(
            "<details><summary>Data</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Data: {}\">\
             <table class=\"data\"><thead><tr>",
            Escaped(&head.title)
        ),
    );
    for column in &data.columns {
        put(out, format_args!("<th scope=\"col\">{}</th>", Escaped(column)));
    }
    *out += "</tr></thead><tbody>\n";
    for (place, cells) in &data.rows {
        put(out, format_args!("<tr data-at=\"{place:.4}\">"));
        for cell in cells {
            put(out, format_args!("<td>{}</td>", Escaped(cell)));
        }
        *out += "</tr>\n";
    }
    *out += "</tbody></table></div></details>\n";
}

/// Draws a line of this class, unless it has no length.
pub(super) fn put_line(out: &mut String, class: &str, path: &str) {
    if path.contains(['L', 'H']) {
        put(out, format_args!("<path class=\"line {class}\" d=\"{path}\"/>\n"));
    }
}

/// A line through points; values that are no numbers interrupt it. With `steps` it stays until the next value.
pub(super) fn line(points: impl Iterator<Item = (f64, f64)>, steps: bool) -> String {
    let (mut path, mut is_down) = (String::new(), false);
    for (x, y) in points {
        if !(x.is_finite() && y.is_finite()) {
            is_down = false;
        } else if !is_down {
            put(&mut path, format_args!("M{x:.1},{y:.1}"));
            is_down = true;
        } else if steps {
            put(&mut path, format_args!("H{x:.1}V{y:.1}"));
        } else {
            put(&mut path, format_args!("L{x:.1},{y:.1}"));
        }
    }
    path
}

fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER_WIDTH
}

/// Writes into a text, which cannot fail.
pub(super) fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a string takes everything");
}
