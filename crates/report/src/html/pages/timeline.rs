//! How a run went.

use super::run::Kind;
use crate::html::lines::{LineChart, Series, line_chart};
use crate::html::markup::{Html, grid};
use crate::html::number::duration_ms;
use crate::html::page::Section;
use blis_metrics::{Outcome, Sample, Timeline};

/// Rates are taken over at most so many spans of a run.
const SPANS: usize = 80;
/// And over so many arrivals on average.
const ARRIVALS: usize = 12;

/// A unit of time for an axis that reaches so far: seconds, and what it is called.
fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 2.0 => (1e-3, "ms"),
        s if s < 600.0 => (1.0, "s"),
        s if s < 36_000.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    }
}

/// The charts over time.
pub(super) fn section(timeline: &Timeline, outcome: &Outcome, kind: Kind) -> Section {
    let end_s = outcome.cluster.duration_s;
    let within = timeline.samples().iter().filter(|sample| sample.at.as_seconds() <= end_s);
    let samples: Vec<Sample> = within.copied().collect();
    if samples.len() < 2 {
        return Section::default();
    }
    let (per_unit, unit) = unit(end_s);
    let what = if kind == Kind::Simulated { "simulated time" } else { "time" };
    let time = format!("{what} ({unit})");
    let at = |sample: &Sample| sample.at.as_seconds() / per_unit;
    let chart = |title: &str, note: &str, y: &str, series: Vec<Series>| LineChart {
        title: title.to_owned(),
        note: note.to_owned(),
        axes: (time.clone(), y.to_owned()),
        at: samples.iter().map(at).collect(),
        series,
        ..LineChart::default()
    };
    let line = |name: &str, value: fn(&Sample) -> f64| Series::new(name, samples.iter().map(value).collect());

    let mut charts = Vec::new();
    let mut requests = match kind {
        Kind::Simulated => {
            vec![line("running", |s| s.running as f64), line("waiting at instances", |s| s.waiting as f64)]
        }
        Kind::Measured => {
            vec![
                line("answering", |s| s.running as f64),
                line("before the first token", |s| s.waiting as f64),
            ]
        }
    };
    if samples.iter().any(|sample| sample.at_gateway > 0) {
        requests.push(line("in the gateway queue", |s| s.at_gateway as f64));
    }
    let note = "A queue that keeps growing says that the system does not keep up.";
    charts.push(line_chart(&chart("Requests in the system", note, "requests", requests)));
    charts.push(rates(&samples, (per_unit, &time)));
    if kind == Kind::Simulated {
        charts.push(kv(&samples, chart));
        if outcome.instances.len() > 1 {
            let most = vec![
                line("largest batch", |s| f64::from(s.running_most)),
                line("longest queue", |s| f64::from(s.waiting_most)),
            ];
            let note = "Far above the mean, load is spread unevenly.";
            charts.push(line_chart(&chart("The fullest instance", note, "requests", most)));
        }
        charts.extend(replicas(&samples, chart));
    }
    let apart = duration_ms(timeline.interval().as_ms());
    let note = format!("{} evenly spaced looks at the system, {apart} apart.", samples.len());
    Section::new("Over time", &note, vec![grid(&charts)])
}

/// Arrivals and ends per second, over spans of several samples.
fn rates(samples: &[Sample], (per_unit, time): (f64, &str)) -> Html {
    let arrived = samples.last().map_or(0, |sample| sample.arrived) as usize;
    let step = samples.len().div_ceil((arrived / ARRIVALS).clamp(4, SPANS)).max(1);
    let marks: Vec<_> = samples.iter().step_by(step).collect();
    let spans = || marks.windows(2).map(|two| (two[0], two[1]));
    let rate = |value: fn(&Sample) -> u64| {
        spans().map(|(a, b)| (value(b) - value(a)) as f64 / (b.at - a.at).as_seconds()).collect()
    };
    line_chart(&LineChart {
        title: "Arrivals and ends".to_owned(),
        note: "Requests that arrived, and that were over in whatever way.".to_owned(),
        axes: (time.to_owned(), "requests per second".to_owned()),
        at: spans().map(|(a, b)| f64::midpoint(a.at.as_seconds(), b.at.as_seconds()) / per_unit).collect(),
        series: vec![Series::new("arrived", rate(|s| s.arrived)), Series::new("over", rate(|s| s.ended))],
        ..LineChart::default()
    })
}

fn kv(samples: &[Sample], chart: impl Fn(&str, &str, &str, Vec<Series>) -> LineChart) -> Html {
    let percent = |value: fn(&Sample) -> f64| samples.iter().map(|s| value(s) * 100.0).collect::<Vec<_>>();
    let differs = samples.iter().any(|sample| sample.kv_least < sample.kv_most);
    let band = differs.then(|| (percent(|s| s.kv_least), percent(|s| s.kv_most)));
    let name = if differs { "mean over instances" } else { "in use" };
    let series = vec![Series { band, ..Series::new(name, percent(|s| s.kv_mean)) }];
    let most = samples.iter().map(|sample| sample.kv_most).fold(0.0, f64::max);
    let note = "Near 100 % requests are preempted, or wait for blocks.";
    let drawn = chart("KV cache", note, "% of blocks in use", series);
    line_chart(&LineChart { most: (most > 0.5).then_some(100.0), ..drawn })
}

/// The instances by what they do, where that changes.
fn replicas(samples: &[Sample], chart: impl Fn(&str, &str, &str, Vec<Series>) -> LineChart) -> Option<Html> {
    type State = (&'static str, fn(&Sample) -> u32);
    const STATES: [State; 4] = [
        ("take requests", |s| s.active),
        ("load", |s| s.loading),
        ("drain", |s| s.draining),
        ("down", |s| s.down),
    ];
    let changes = |value: fn(&Sample) -> u32| samples.windows(2).any(|two| value(&two[0]) != value(&two[1]));
    if !STATES.iter().any(|(_, value)| changes(*value)) {
        return None;
    }
    let seen = STATES.iter().filter(|(_, value)| samples.iter().any(|sample| value(sample) > 0));
    let series =
        seen.map(|(name, value)| Series::new(name, samples.iter().map(|s| f64::from(value(s))).collect()));
    let drawn = chart("Replicas", "Instances by what they do.", "instances", series.collect());
    Some(line_chart(&LineChart { steps: true, ..drawn }))
}
