//! When the members of a cohort are active: diurnal windows, then the spike, then the drain.

use super::entry::Span;
use super::reader::{At, POSITIVE, Reader, is_positive};
use super::schema::{Diurnal, Drain, Entry, Spike};
use blis_kernel::Tick;
use blis_workload::Window;
use std::f64::consts::PI;

const HOUR_US: i64 = 3_600_000_000;
const DAY: Tick = Tick::from_us(24 * HOUR_US);
const DRAIN_SEGMENTS: i64 = 10;

pub(super) fn spans(reader: &mut Reader<'_>, at: &At, entry: &Entry, members: i64) -> Vec<Span> {
    let mut spans = Vec::new();
    if let Some(given) = &entry.diurnal {
        spans.extend(diurnal(reader, &at.key("diurnal", Some(given)), &given.value));
    }
    if let Some(given) = &entry.spike {
        spans.extend(spike(reader, &at.key("spike", Some(given)), &given.value, members));
    }
    if let Some(given) = &entry.drain {
        spans.extend(drain(reader, &at.key("drain", Some(given)), &given.value));
    }
    spans
}

/// Every hour of every day the members are active for its first part, m of it:
/// m = (1 + cos(2π(h − peak)/24))/2 · (1 − 1/R) + 1/R.
fn diurnal(reader: &mut Reader<'_>, at: &At, given: &Diurnal) -> Vec<Span> {
    let peak = reader.required_whole(at, "peak_hour", &given.peak_hour, 0..=23).unwrap_or(0);
    if given.peak_to_trough_ratio.is_none() {
        reader.report(&at.key::<()>("peak_to_trough_ratio", None), "is missing");
    }
    let is_ratio: fn(f64) -> bool = |ratio| ratio.is_finite() && ratio >= 1.0;
    let allowed = "finite and at least 1";
    let ratio = reader.real(at, "peak_to_trough_ratio", &given.peak_to_trough_ratio, is_ratio, allowed);
    let ratio = ratio.unwrap_or(1.0);
    (0..24)
        .map(|hour| {
            let angle = 2.0 * PI * (hour - peak) as f64 / 24.0;
            let part = 0.5 * (1.0 + libm::cos(angle)) * (1.0 - 1.0 / ratio) + 1.0 / ratio;
            let length = ((HOUR_US as f64 * part) as i64).clamp(1, HOUR_US);
            let start = hour * HOUR_US;
            let window = Window::once(Tick::from_us(start), Tick::from_us(start + length));
            Span::plain(Window { every: Some(DAY), ..window })
        })
        .collect()
}

fn spike(reader: &mut Reader<'_>, at: &At, given: &Spike, members: i64) -> Option<Span> {
    let start = reader.span_us(at, "start_time_us", &given.start_time_us).unwrap_or_default();
    let duration = reader.required_whole(at, "duration_us", &given.duration_us, 1..=i64::MAX)?;
    let rate = reader.real(at, "trace_rate", &given.trace_rate, is_positive, POSITIVE);
    let window = Window::once(start, start + Tick::from_us(duration));
    Some(Span { rate: rate.map(|rate| rate / members as f64), ..Span::plain(window) })
}

/// Active until the start, then for less and less of each tenth of the ramp.
fn drain(reader: &mut Reader<'_>, at: &At, given: &Drain) -> Vec<Span> {
    let start = reader.span_us(at, "start_time_us", &given.start_time_us).unwrap_or_default();
    let Some(ramp) = reader.required_whole(at, "ramp_duration_us", &given.ramp_duration_us, 1..=i64::MAX)
    else {
        return Vec::new();
    };
    let segment = (ramp / DRAIN_SEGMENTS).max(1);
    let full = (start > Tick::ZERO).then(|| Window::once(Tick::ZERO, start));
    let ramp = (0..DRAIN_SEGMENTS).map(|i| {
        let begin = start + Tick::from_us(i * segment);
        // Dividing first would lose up to nine ticks; the product of a very long ramp does not fit 64 bits.
        let active = i128::from(segment) * i128::from(DRAIN_SEGMENTS - i) / i128::from(DRAIN_SEGMENTS);
        Window::once(begin, begin + Tick::from_us((active as i64).max(1)))
    });
    full.into_iter().chain(ramp).map(Span::plain).collect()
}
