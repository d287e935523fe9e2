//! Points, the best of which form a front.

use super::axis::{Axis, Scale};
use super::chart::{Data, Head, Plane, chart, line, put, put_line};
use super::markup::{Escaped, Html};
use super::number::number;

/// Configurations by two of their figures.
#[derive(Clone, Debug, Default)]
pub struct Scatter {
    /// What it shows.
    pub title: String,
    /// How to read it; may be empty.
    pub note: String,
    /// What lies along the axes, with units.
    pub axes: (String, String),
    /// How the axes spread their values.
    pub scales: (Scale, Scale),
    /// The points.
    pub points: Vec<Point>,
    /// Whether those on the front are joined by a line; otherwise they are only marked.
    pub is_joined: bool,
}

/// A point.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Along the horizontal axis.
    pub x: f64,
    /// Along the vertical axis.
    pub y: f64,
    /// What it is called.
    pub name: String,
    /// What else there is to say of it: its settings, its other figures.
    pub details: Vec<(String, String)>,
    /// Whether no other point is better.
    pub on_front: bool,
}

/// Draws it: the points of the front joined by a line, the others dimmed. Points that are no numbers are left out.
pub fn scatter(of: &Scatter) -> Html {
    let mut points: Vec<_> = of.points.iter().filter(|p| p.x.is_finite() && p.y.is_finite()).collect();
    // The front is drawn last, above the others, from left to right.
    points.sort_by(|a, b| {
        a.on_front
            .cmp(&b.on_front)
            .then(a.x.total_cmp(&b.x))
            .then(a.y.total_cmp(&b.y))
            .then(a.name.cmp(&b.name))
    });
    let axis = |scale: Scale, value: fn(&Point) -> f64, marks: usize| {
        let values = || points.iter().map(|point| value(point));
        let (least, most) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        match scale {
            Scale::Log => {
                let positive = values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
                Axis::new(scale, positive, most, marks)
            }
            // Points far from zero that lie close together are told apart.
            _ if points.is_empty() => Axis::new(scale, 0.0, 1.0, marks),
            _ if least > 0.0 && most < 2.0 * least => Axis::new(scale, least, most, marks),
            _ => Axis::new(scale, least.min(0.0), most, marks),
        }
    };
    let axes = |marks: (usize, usize)| {
        (axis(of.scales.0, |point| point.x, marks.0), axis(of.scales.1, |point| point.y, marks.1))
    };
    let on_front = points.iter().filter(|point| point.on_front).count();
    let draw = |plane: &Plane<'_>, out: &mut String| {
        let front = points.iter().filter(|point| of.is_joined && point.on_front);
        let front = line(front.map(|point| (plane.x(point.x), plane.y(point.y))), false);
        put_line(out, "s1 front", &front);
        for point in &points {
            let (x, y) = (plane.x(point.x), plane.y(point.y));
            let (class, radius, focus) = match (point.on_front, on_front) {
                (true, _) => ("dot f1", 5.0, " tabindex=\"0\""),
                (false, 0) => ("dot f1", 3.5, ""),
                (false, _) => ("dot dominated", 3.5, ""),
            };
            put(
                out,
                format_args!(
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"{focus}><title>"
                ),
            );
            put(out, format_args!("{}</title></circle>\n", Escaped(&told(of, point))));
        }
    };
    let legend: &[(&str, &str)] = match (on_front, of.is_joined) {
        (0, _) => &[],
        (_, true) => &[("dot f1", "on the front: no other is better"), ("dot dominated", "dominated")],
        (_, false) => &[("dot f1", "beaten by no other"), ("dot dominated", "others")],
    };
    let head = Head {
        title: of.title.clone(),
        note: of.note.clone(),
        axes: of.axes.clone(),
        legend: legend.iter().map(|&(class, name)| (class.to_owned(), name.to_owned())).collect(),
        description: format!(
            "{}: {} by {}, {} points, {on_front} of them on the front",
            of.title,
            of.axes.1,
            of.axes.0,
            points.len()
        ),
    };
    chart(&head, axes, draw, &Data::default())
}

/// Everything about a point, one thing per line.
fn told(of: &Scatter, point: &Point) -> String {
    let axes = [(of.axes.0.as_str(), point.x), (of.axes.1.as_str(), point.y)];
    let axes = axes.map(|(name, value)| format!("{name}: {}", number(value)));
    let details = point.details.iter().map(|(name, value)| format!("{name}: {value}"));
    let name = Some(point.name.clone()).filter(|name| !name.is_empty());
    name.into_iter().chain(axes).chain(details).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64, name: &str, on_front: bool) -> Point {
        let details = vec![("tp".to_owned(), "<2>".to_owned())];
        Point { x, y, name: name.to_owned(), details, on_front }
    }

    fn drawn() -> String {
        let points = vec![
            point(30.0, 4.0, "c", true),
            point(10.0, 9.0, "a", true),
            point(25.0, 8.0, "d & e", false),
            point(20.0, 5.0, "b", true),
            point(f64::NAN, 5.0, "nothing", false),
        ];
        let axes = ("cost (per hour)".to_owned(), "TTFT p99 (ms)".to_owned());
        scatter(&Scatter {
            title: "Cost and latency".to_owned(),
            axes,
            points,
            is_joined: true,
            ..Scatter::default()
        })
        .to_string()
    }

    /// Law: each point is drawn once per size, the front as one line from left to right and above the others.
    #[test]
    fn the_front_is_a_line_through_its_points() {
        let drawn = drawn();
        assert_eq!(drawn.matches("<circle").count(), 3 * 4);
        assert_eq!(drawn.matches("dot dominated\" cx").count(), 3);
        assert_eq!(drawn.matches("s1 front\"").count(), 3);
        let path = drawn.split("s1 front\" d=\"M").nth(1).unwrap().split('"').next().unwrap();
        let xs: Vec<f64> =
            path.split('L').map(|point| point.split(',').next().unwrap().parse().unwrap()).collect();
        assert!(xs.len() == 3 && xs.is_sorted(), "{path}");
        assert!(drawn.find("dot dominated\" cx") < drawn.find("dot f1\" cx"));
    }

    #[test]
    fn points_say_what_they_are() {
        let drawn = drawn();
        let title = "<title>d &amp; e\ncost (per hour): 25.0\nTTFT p99 (ms): 8.00\ntp: &lt;2&gt;</title>";
        assert!(drawn.contains(title), "{drawn}");
        assert!(!drawn.contains("nothing") && !drawn.contains("NaN"));
        assert!(drawn.contains(">cost (per hour)</text>") && drawn.contains(">TTFT p99 (ms)</text>"));
    }

    #[test]
    fn no_points_are_an_empty_chart() {
        let drawn = scatter(&Scatter::default()).to_string();
        assert!(drawn.contains("<svg") && !drawn.contains("<circle") && !drawn.contains("NaN"), "{drawn}");
    }
}
