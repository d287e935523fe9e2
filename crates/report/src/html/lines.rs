//! Lines over time.

use super::axis::{Axis, Scale};
use super::chart::{Data, Head, Plane, chart, line, put, put_line};
use super::markup::Html;
use super::number::{count, number};

/// Values over time, or over anything else that goes on evenly.
#[derive(Clone, Debug, Default)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// How to read it; may be empty.
    pub note: String,
    /// What lies along the axes, with units.
    pub axes: (String, String),
    /// Where the values are, ascending.
    pub at: Vec<f64>,
    /// The lines, at most six.
    pub series: Vec<Series>,
    /// The largest value of the vertical axis, if that is known beforehand.
    pub most: Option<f64>,
    /// Whether values stay until the next one.
    pub steps: bool,
}

/// A line.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// What it shows.
    pub name: String,
    /// Its values; those that are no numbers interrupt it.
    pub values: Vec<f64>,
    /// Lower and upper ends of what the values are taken from.
    pub band: Option<(Vec<f64>, Vec<f64>)>,
}

impl Series {
    /// A line without a band.
    pub fn new(name: &str, values: Vec<f64>) -> Self {
        Self { name: name.to_owned(), values, band: None }
    }
}

/// Draws it.
pub fn line_chart(of: &LineChart) -> Html {
    let bands = || of.series.iter().filter_map(|series| series.band.as_ref());
    let values = of.series.iter().flat_map(|series| &series.values).chain(bands().flat_map(|band| &band.1));
    let most = of.most.unwrap_or_else(|| values.copied().filter(|v| v.is_finite()).fold(0.0, f64::max));
    let (first, last) = (of.at.first().copied().unwrap_or(0.0), of.at.last().copied().unwrap_or(1.0));
    let axes = |marks: (usize, usize)| {
        (Axis::tight(Scale::Linear, first, last, marks.0), Axis::new(Scale::Linear, 0.0, most, marks.1))
    };
    let draw = |plane: &Plane<'_>, out: &mut String| {
        for (number, series) in (1..).zip(&of.series) {
            if let Some((low, high)) = &series.band {
                put(
                    out,
                    format_args!(
                        "<path class=\"band f{number}\" d=\"{}\"/>\n",
                        area(plane, &of.at, low, high)
                    ),
                );
            }
        }
        for (number, series) in (1..).zip(&of.series) {
            let points = of.at.iter().zip(&series.values).map(|(&x, &y)| (plane.x(x), finite_y(plane, y)));
            put_line(out, &format!("s{number}"), &line(points, of.steps));
        }
    };
    let head = Head {
        title: of.title.clone(),
        note: of.note.clone(),
        axes: of.axes.clone(),
        legend: legend(&of.series),
        description: describe(of),
    };
    let (axis, _) = axes((8, 5));
    chart(&head, axes, draw, &data(of, &axis))
}

fn finite_y(plane: &Plane<'_>, value: f64) -> f64 {
    if value.is_finite() { plane.y(value) } else { f64::NAN }
}

fn area(plane: &Plane<'_>, at: &[f64], low: &[f64], high: &[f64]) -> String {
    let upper = at.iter().zip(high).map(|(&x, &y)| (plane.x(x), plane.y(y)));
    let lower = at.iter().zip(low).rev().map(|(&x, &y)| (plane.x(x), plane.y(y)));
    line(upper.chain(lower), false) + "Z"
}

fn legend(series: &[Series]) -> Vec<(String, String)> {
    let lines = (1..).zip(series).map(|(number, series)| (format!("s{number}"), series.name.clone()));
    let bands = (1..).zip(series).filter(|(_, series)| series.band.is_some());
    let bands = bands.map(|(number, _)| (format!("band f{number}"), "least to most".to_owned()));
    lines.chain(bands).collect()
}

/// Whether the values are counts.
fn is_whole(values: &[f64]) -> bool {
    values.iter().all(|value| *value >= 0.0 && value.fract() == 0.0)
}

fn describe(of: &LineChart) -> String {
    let parts = of.series.iter().map(|series| {
        let values = || series.values.iter().copied().filter(|value| value.is_finite());
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        format!("{} from {} to {}", series.name, number(least), number(most))
    });
    format!("{}, {}: {}", of.title, of.axes.1, parts.collect::<Vec<_>>().join("; "))
}

fn data(of: &LineChart, axis: &Axis) -> Data {
    let mut columns = vec![of.axes.0.clone()];
    for series in &of.series {
        columns.push(series.name.clone());
        if series.band.is_some() {
            columns.extend(["least", "most"].map(str::to_owned));
        }
    }
    let whole: Vec<bool> = of.series.iter().map(|series| is_whole(&series.values)).collect();
    let row = |(index, &at): (usize, &f64)| {
        let value = |values: &[f64]| number(values.get(index).copied().unwrap_or(f64::NAN));
        let mut cells = vec![number(at)];
        for (series, &whole) in of.series.iter().zip(&whole) {
            cells.push(match series.values.get(index) {
                Some(&exact) if whole => count(exact as u64),
                _ => value(&series.values),
            });
            if let Some((low, high)) = &series.band {
                cells.extend([value(low), value(high)]);
            }
        }
        (axis.place(at), cells)
    };
    Data { columns, rows: of.at.iter().enumerate().map(row).collect() }
}
