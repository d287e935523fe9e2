//! Where values lie along an axis, and which of them are written beside it.

use super::number::number;

/// How an axis spreads its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// Evenly by factors; values must be above zero.
    Log,
    /// Percentiles, evenly by what is left above them: 0, 90, 99, 99.9.
    Percentile,
}

/// An axis with its marks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    /// Values with what is written there.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis that holds all values from `min` to `max`, with about `most` marks.
    pub(super) fn new(scale: Scale, min: f64, max: f64, most: usize) -> Self {
        match scale {
            Scale::Linear => Self::linear(min, max, most),
            Scale::Log => Self::log(min, max, most),
            Scale::Percentile => Self::percentile(max),
        }
    }

    /// The same, ending exactly at the values, as time does.
    pub(super) fn tight(scale: Scale, min: f64, max: f64, most: usize) -> Self {
        let mut axis = Self::new(scale, min, max, most);
        if max > min {
            (axis.from, axis.to) = (min, max);
            axis.ticks.retain(|(value, _)| (min..=max).contains(value));
        }
        axis
    }

    fn linear(min: f64, max: f64, most: usize) -> Self {
        let max = if max > min { max } else { min + if min == 0.0 { 1.0 } else { min.abs() } };
        let step = nice_step((max - min) / most as f64);
        let (first, last) = ((min / step).floor() as i64, (max / step - 1e-9).ceil() as i64);
        let ticks = (first..=last).map(|n| n as f64 * step).map(|value| (value, label(value, step)));
        Self {
            scale: Scale::Linear,
            from: first as f64 * step,
            to: last as f64 * step,
            ticks: ticks.collect(),
        }
    }

    fn log(min: f64, max: f64, most: usize) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let min = if min > 0.0 && min < max { min } else { max / 10.0 };
        let decades = (libm::log10(min).floor() as i32)..=(libm::log10(max).ceil() as i32);
        let marks = |parts: &[f64]| -> Vec<f64> {
            let of = |decade: i32| parts.iter().map(move |part| part * libm::pow(10.0, f64::from(decade)));
            decades.clone().flat_map(of).collect()
        };
        let within = |marks: Vec<f64>| -> Vec<f64> {
            let first = marks.iter().rposition(|&mark| mark <= min * (1.0 + 1e-9)).unwrap_or(0);
            let last = marks.iter().position(|&mark| mark >= max * (1.0 - 1e-9)).unwrap_or(marks.len() - 1);
            marks[first..=last].to_vec()
        };
        let few = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]].map(|parts| within(marks(parts)));
        let chosen = few.iter().find(|marks| marks.len() <= most + 1).unwrap_or(&few[2]);
        let ticks: Vec<_> = chosen.iter().map(|&value| (value, short(value))).collect();
        Self { scale: Scale::Log, from: chosen[0], to: chosen[chosen.len() - 1], ticks }
    }

    fn percentile(max: f64) -> Self {
        const MARKS: [f64; 7] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
        let max = max.clamp(90.0, 99.999);
        let known = MARKS.into_iter().filter(|mark| *mark <= max + 1e-9);
        let ticks = known.map(|mark| (mark, format!("{mark} %"))).collect();
        Self { scale: Scale::Percentile, from: 0.0, to: max, ticks }
    }

    /// Where a value lies, 0 to 1; beyond the ends, at them.
    pub(super) fn place(&self, value: f64) -> f64 {
        let of = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => libm::log10(value.max(f64::MIN_POSITIVE)),
            Scale::Percentile => -libm::log10((1.0 - value / 100.0).max(1e-9)),
        };
        let (from, to) = (of(self.from), of(self.to));
        let place = (of(value) - from) / (to - from);
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }
}

/// 1, 2 or 5 times a power of ten, at least so much.
fn nice_step(least: f64) -> f64 {
    let power = libm::pow(10.0, libm::log10(least.max(f64::MIN_POSITIVE)).floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// A mark of an axis whose marks lie `step` apart.
fn label(value: f64, step: f64) -> String {
    let largest = value.abs();
    if step >= 1_000.0 && largest >= 10_000.0 {
        return short(value);
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (-libm::log10(step * (1.0 + 1e-9)).floor()).max(0.0) as usize;
    if decimals == 0 { number_exact(value) } else { format!("{value:.decimals$}") }
}

fn number_exact(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.0}") } else { number(value) }
}

/// As few characters as possible.
fn short(value: f64) -> String {
    let plain = |value: f64, unit: &str| {
        let text = format!("{value:.6}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value.abs() {
        s if s >= 1e9 => plain(value / 1e9, "G"),
        s if s >= 1e6 => plain(value / 1e6, "M"),
        s if s >= 1e4 => plain(value / 1e3, "k"),
        s if s >= 1e3 => number(value),
        _ => plain(value, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn marks_are_round_and_hold_the_values() {
        assert_eq!(labels(&Axis::new(Scale::Linear, 0.0, 0.83, 5)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::new(Scale::Linear, 0.0, 52_000.0, 5)), ["0", "20k", "40k", "60k"]);
        assert_eq!(labels(&Axis::new(Scale::Linear, 0.0, 0.0, 4)), ["0", "0.5", "1.0"]);
        assert_eq!(labels(&Axis::new(Scale::Log, 3.0, 900.0, 6)), ["3", "10", "30", "100", "300", "1,000"]);
        assert_eq!(labels(&Axis::new(Scale::Percentile, 0.0, 99.3, 5)), ["0 %", "50 %", "90 %", "99 %"]);
        assert_eq!(labels(&Axis::tight(Scale::Linear, 0.0, 97.0, 5)), ["0", "20", "40", "60", "80"]);
    }

    /// Law: larger values lie further on, and the ends at 0 and 1.
    #[test]
    fn places_grow_with_values() {
        for (scale, min, max) in
            [(Scale::Linear, -3.0, 17.0), (Scale::Log, 0.02, 700.0), (Scale::Percentile, 0.0, 99.9)]
        {
            let axis = Axis::new(scale, min, max, 5);
            assert_eq!((axis.place(axis.from), axis.place(axis.to)), (0.0, 1.0));
            let places: Vec<_> =
                (0..=50).map(|n| axis.place(min + (max - min) * f64::from(n) / 50.0)).collect();
            assert!(places.windows(2).all(|two| two[0] < two[1]), "{scale:?} {places:?}");
        }
    }

    #[test]
    fn values_that_make_no_sense_lie_at_an_end() {
        let axis = Axis::new(Scale::Log, 0.0, 0.0, 4);
        assert_eq!((axis.place(-1.0), axis.place(f64::INFINITY), axis.place(f64::NAN)), (0.0, 1.0, 0.0));
    }
}
