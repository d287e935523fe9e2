//! Distributions of latencies: by percentile, and by how often each range occurs.

use super::axis::{Axis, Scale};
use super::chart::{Data, Head, Plane, chart, line, put, put_line};
use super::markup::{Escaped, Html};
use super::number::{count, duration_ms, number, percent};
use blis_metrics::curve::Bin;

/// Latencies by percentile, the rare ones spread out.
#[derive(Clone, Debug, Default)]
pub struct Percentiles {
    /// What it shows.
    pub title: String,
    /// How to read it; may be empty.
    pub note: String,
    /// The lines, at most six, each with its percentiles and their milliseconds, ascending.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
    /// What is not to be exceeded, milliseconds, with what it is called.
    pub limits: Vec<(String, f64)>,
}

/// Percentiles that are marked on the line.
const MARKED: [f64; 3] = [50.0, 90.0, 99.0];
/// Values spread by factors where the largest is more than so many times the median.
const LONG_TAIL: f64 = 12.0;

/// Milliseconds per unit of an axis that reaches so far, and the unit.
fn unit(most_ms: f64) -> (f64, &'static str) {
    match most_ms {
        most if most < 0.5 => (1e-3, "µs"),
        most if most < 1e4 => (1.0, "ms"),
        most if most < 6e5 => (1e3, "s"),
        _ => (6e4, "min"),
    }
}

/// Draws it.
pub fn percentile_chart(of: &Percentiles) -> Html {
    let points = || of.series.iter().flat_map(|(_, points)| points);
    let limits = of.limits.iter().map(|(_, ms)| *ms);
    let seen_ms = points().map(|point| point.1).fold(0.0, f64::max);
    // A limit far beyond everything is not drawn: it would flatten the lines.
    let drawn: Vec<_> = of.limits.iter().filter(|(_, ms)| *ms <= 4.0 * seen_ms).collect();
    let most_ms = limits.filter(|ms| *ms <= 4.0 * seen_ms).fold(seen_ms, f64::max);
    let least_ms = points().map(|point| point.1).filter(|ms| *ms > 0.0).fold(f64::INFINITY, f64::min);
    let median = of.series.iter().filter_map(|(_, points)| at(points, 50.0)).fold(f64::INFINITY, f64::min);
    let scale = if most_ms > LONG_TAIL * median { Scale::Log } else { Scale::Linear };
    let rarest = points().map(|point| point.0).fold(90.0, f64::max);
    let (per_unit, unit) = unit(most_ms);
    let floor = if scale == Scale::Log { least_ms.max(most_ms / 1e5) / per_unit } else { 0.0 };
    let axes = |marks: (usize, usize)| {
        (
            Axis::new(Scale::Percentile, 0.0, rarest, marks.0),
            Axis::new(scale, floor, most_ms / per_unit, marks.1),
        )
    };
    let draw = |plane: &Plane<'_>, out: &mut String| {
        for (name, ms) in &drawn {
            let y = plane.y(ms / per_unit);
            put(
                out,
                format_args!("<path class=\"limit\" d=\"M{:.1},{y:.1}H{:.1}\"/>", plane.left, plane.right),
            );
            let (x, baseline) = (plane.left + 4.0, y - 5.0);
            put(
                out,
                format_args!(
                    "<text class=\"limit\" x=\"{x:.1}\" y=\"{baseline:.1}\">{}</text>\n",
                    Escaped(name)
                ),
            );
        }
        for (number, (_, points)) in (1..).zip(&of.series) {
            let places = points.iter().map(|&(p, ms)| (plane.x(p), plane.y(ms / per_unit)));
            put_line(out, &format!("s{number}"), &line(places, false));
            // One value alone is a point.
            if let [(p, ms)] = points[..] {
                let (x, y) = (plane.x(p), plane.y(ms / per_unit));
                put(
                    out,
                    format_args!("<circle class=\"dot f{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"),
                );
            }
            for (p, ms) in MARKED.iter().filter_map(|&p| Some((p, at(points, p)?))) {
                let (x, y) = (plane.x(p), plane.y(ms / per_unit));
                put(
                    out,
                    format_args!("<circle class=\"dot f{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"),
                );
                if of.series.len() == 1 {
                    let (baseline, shown) = ((y - 9.0).max(plane.top - 2.0), duration_ms(ms));
                    put(
                        out,
                        format_args!(
                            "<text class=\"mark\" x=\"{x:.1}\" y=\"{baseline:.1}\">{shown}</text>\n"
                        ),
                    );
                }
            }
        }
    };
    let head = Head {
        title: of.title.clone(),
        note: of.note.clone(),
        axes: ("share of requests at or below".to_owned(), unit.to_owned()),
        legend: (1..).zip(&of.series).map(|(n, (name, _))| (format!("s{n}"), name.clone())).collect(),
        description: describe(of),
    };
    let (axis, _) = axes((8, 5));
    chart(&head, axes, draw, &percentile_data(of, &axis))
}

/// The value at a percentile, between its neighbours.
fn at(points: &[(f64, f64)], percentile: f64) -> Option<f64> {
    let next = points.iter().position(|point| point.0 >= percentile - 1e-9)?;
    let (p, ms) = points[next];
    let Some(&(before, before_ms)) = next.checked_sub(1).and_then(|n| points.get(n)) else { return Some(ms) };
    let part = ((percentile - before) / (p - before)).min(1.0);
    Some(before_ms + (ms - before_ms) * part)
}

fn describe(of: &Percentiles) -> String {
    let parts = of.series.iter().map(|(name, points)| {
        let told = MARKED.iter().filter_map(|&p| Some(format!("p{p} {}", duration_ms(at(points, p)?))));
        format!("{name}: {}", told.collect::<Vec<_>>().join(", "))
    });
    format!("{} by percentile. {}", of.title, parts.collect::<Vec<_>>().join("; "))
}

fn percentile_data(of: &Percentiles, axis: &Axis) -> Data {
    let Some((_, longest)) = of.series.iter().max_by_key(|(_, points)| points.len()) else {
        return Data::default();
    };
    let columns = ["percentile"].into_iter().chain(of.series.iter().map(|(name, _)| name.as_str()));
    let row = |&(p, _): &(f64, f64)| {
        let values = of.series.iter().map(|(_, points)| at(points, p).map_or("–".to_owned(), duration_ms));
        let shown = format!("{p:.3}");
        let shown = shown.trim_end_matches('0').trim_end_matches('.');
        (axis.place(p), std::iter::once(format!("{shown} %")).chain(values).collect())
    };
    Data { columns: columns.map(str::to_owned).collect(), rows: longest.iter().map(row).collect() }
}

/// How often each range of latencies occurs.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// What it shows.
    pub title: String,
    /// How to read it; may be empty.
    pub note: String,
    /// What is counted, in the plural.
    pub what: String,
    /// The ranges, ascending: as wide as one another, or growing by the same factor.
    pub bins: Vec<Bin>,
}

/// Draws it.
pub fn histogram(of: &Histogram) -> Html {
    let total: u64 = of.bins.iter().map(|bin| bin.count).sum();
    let share = |bin: &Bin| bin.count as f64 / total.max(1) as f64 * 100.0;
    let most = of.bins.iter().map(share).fold(0.0, f64::max);
    let (from, to) = (of.bins.first().map_or(0.0, |b| b.from_ms), of.bins.last().map_or(1.0, |b| b.to_ms));
    let (per_unit, unit) = unit(to);
    let width = |bin: &Bin| bin.to_ms - bin.from_ms;
    let grows = of.bins.len() > 1 && width(&of.bins[of.bins.len() - 1]) > 1.5 * width(&of.bins[0]);
    let axes = |marks: (usize, usize)| {
        let scale = if grows { Scale::Log } else { Scale::Linear };
        let x = Axis::tight(scale, from / per_unit, to / per_unit, marks.0);
        (x, Axis::new(Scale::Linear, 0.0, most, marks.1))
    };
    let draw = |plane: &Plane<'_>, out: &mut String| {
        for bin in of.bins.iter().filter(|bin| bin.count > 0) {
            let (left, right) = (plane.x(bin.from_ms / per_unit), plane.x(bin.to_ms / per_unit));
            let top = plane.y(share(bin)).min(plane.bottom - 1.0);
            let (wide, high) = ((right - left - 1.0).max(2.0), plane.bottom - top);
            put(
                out,
                format_args!(
                    "<rect class=\"f1\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\"/>\n"
                ),
            );
        }
    };
    let head = Head {
        title: of.title.clone(),
        note: of.note.clone(),
        axes: (unit.to_owned(), format!("% of {}", of.what)),
        legend: Vec::new(),
        description: format!(
            "{}: {} {} from {} to {}",
            of.title,
            count(total),
            of.what,
            duration_ms(from),
            duration_ms(to)
        ),
    };
    let (axis, _) = axes((8, 5));
    let row = |bin: &Bin| {
        let place = f64::midpoint(axis.place(bin.from_ms / per_unit), axis.place(bin.to_ms / per_unit));
        let range = format!("{} to {}", number(bin.from_ms / per_unit), number(bin.to_ms / per_unit));
        (place, vec![range, count(bin.count), percent(share(bin) / 100.0)])
    };
    let columns = [unit, of.what.as_str(), "share"].map(str::to_owned).to_vec();
    chart(&head, axes, draw, &Data { columns, rows: of.bins.iter().map(row).collect() })
}
