//! Simulated against measured, as an SVG with both axes logarithmic.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A dot.
pub(super) struct Dot<'a> {
    /// What its colour stands for.
    pub(super) group: &'a str,
    pub(super) measured: f64,
    pub(super) predicted: f64,
}

const SIDE: f64 = 400.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 30.0;
const LEGEND: f64 = 190.0;

/// Eight colours that colour-blind people can tell apart, after Okabe and Ito.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/// Marks of an axis from `low` to `high`: the powers of ten, and where there are few of them twice and five times those too.
fn marks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (libm::log10(low).floor() as i32, libm::log10(high).ceil() as i32);
    let digits: &[f64] = if last - first > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let all = (first..=last)
        .flat_map(|power| digits.iter().map(move |digit| digit * libm::pow(10.0, f64::from(power))));
    all.filter(|mark| (low..=high).contains(mark)).collect()
}

/// The plot; `None` without dots.
pub(super) fn scatter(title: &str, unit: &str, dots: &[Dot<'_>]) -> Option<String> {
    let dots: Vec<&Dot<'_>> = dots.iter().filter(|dot| dot.measured > 0.0 && dot.predicted > 0.0).collect();
    let values = || dots.iter().flat_map(|dot| [dot.measured, dot.predicted]);
    if dots.is_empty() {
        return None;
    }
    let low = values().fold(f64::INFINITY, f64::min) / 1.2;
    let high = values().fold(0.0, f64::max) * 1.2;
    let span = libm::log(high / low);
    let place = |value: f64| libm::log(value / low) / span * SIDE;
    let (x, y) = (|value: f64| LEFT + place(value), |value: f64| TOP + SIDE - place(value));
    let mut colours: BTreeMap<&str, &str> = dots.iter().map(|dot| (dot.group, "")).collect();
    for (n, colour) in colours.values_mut().enumerate() {
        *colour = COLOURS[n % COLOURS.len()];
    }
    let (width, height) = (LEFT + SIDE + LEGEND, TOP + SIDE + 50.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let mut put = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    put(format!("<text x=\"{LEFT}\" y=\"18\" font-size=\"13\" font-weight=\"bold\">{title}</text>"));
    put(format!(
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#333333\"/>"
    ));
    let bottom = TOP + SIDE;
    for mark in marks(low, high) {
        let (at_x, at_y, right) = (x(mark), y(mark), LEFT + SIDE);
        put(format!("<path d=\"M{at_x:.1} {TOP}V{bottom}M{LEFT} {at_y:.1}H{right}\" stroke=\"#e5e5e5\"/>"));
        put(format!(
            "<text x=\"{at_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
            bottom + 15.0,
            LEFT - 5.0,
            at_y + 4.0
        ));
    }
    // Equal, and a fifth more and less.
    for (factor, stroke) in [(1.0, "stroke=\"#333333\""), (1.2, DASHED), (1.0 / 1.2, DASHED)] {
        let (from, to) = ((low / factor).max(low), (high / factor).min(high));
        put(format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {stroke}/>",
            x(from),
            y(from * factor),
            x(to),
            y(to * factor)
        ));
    }
    for dot in &dots {
        put(format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{}\" fill-opacity=\"0.7\"/>",
            x(dot.measured),
            y(dot.predicted),
            colours[dot.group]
        ));
    }
    for (n, (group, colour)) in colours.iter().enumerate() {
        let (at_x, at_y) = (LEFT + SIDE + 15.0, TOP + 10.0 + 18.0 * n as f64);
        put(format!(
            "<circle cx=\"{at_x}\" cy=\"{at_y}\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{group}</text>",
            at_x + 10.0,
            at_y + 4.0
        ));
    }
    let middle = TOP + SIDE / 2.0;
    put(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">measured, {unit}</text>",
        LEFT + SIDE / 2.0,
        bottom + 38.0
    ));
    put(format!(
        "<text x=\"18\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {middle})\">simulated, {unit}</text>"
    ));
    writeln!(out, "</svg>").expect("a string takes everything");
    Some(out)
}

const DASHED: &str = "stroke=\"#999999\" stroke-dasharray=\"4 3\"";
