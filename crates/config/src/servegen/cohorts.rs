//! Clients dealt to SLO classes; each class of a period is a cohort.

use super::chunk::{Chunk, DAY_S, Process, ROW_S, Row};
use super::{Settings, lengths};
use crate::workload_file::schema::{Arrival, Dist, Entry, Maybe, MultiTurn, Reasoning, Spike};
use crate::workload_file::writer::{arrival, set, unplaced, whole};
use blis_kernel::rng::GoRand;
use std::collections::BTreeMap;

/// In the order in which clients are dealt to them.
const CLASSES: [&str; 5] = ["critical", "standard", "batch", "sheddable", "background"];
/// Times of day with their start, s. Each has three rows, one of which stands for it.
pub(super) const PERIODS: [(&str, i64); 3] = [("midnight", 0), ("morning", 28_800), ("afternoon", 50_400)];
const ROWS_PER_PERIOD: i64 = 3;
const SECOND_US: i64 = 1_000_000;

/// The clients of each class, by the class's name.
fn deal<'c>(mut chunks: Vec<&'c Chunk>, rng: &mut GoRand) -> BTreeMap<&'static str, Vec<&'c Chunk>> {
    let mut classes = BTreeMap::<_, Vec<_>>::new();
    if chunks.is_empty() {
        return classes;
    }
    rng.shuffle(&mut chunks);
    for (chunk, class) in chunks.into_iter().zip(CLASSES.into_iter().cycle()) {
        classes.entry(class).or_default().push(chunk);
    }
    classes
}

/// Three periods, one after the other.
pub(super) fn language(chunks: &[Chunk], settings: &Settings) -> Result<Vec<Entry>, String> {
    let mut rng = GoRand::new(settings.seed);
    let picks = PERIODS.map(|(_, start)| (start + ROW_S as i64 * rng.intn(ROWS_PER_PERIOD)) as f64);
    let mut entries = Vec::new();
    for (number, ((period, _), pick)) in PERIODS.into_iter().zip(picks).enumerate() {
        let is_then = |row: &&Row| row.time_of_day_s() == pick;
        let active = chunks.iter().filter(|chunk| chunk.rows.iter().any(|row| is_then(&row))).collect();
        let start_us = number as i64 * (settings.window_s + settings.drain_s) * SECOND_US;
        for (class, members) in deal(active, &mut rng) {
            let rate = sum_of_rates(&members, is_then);
            if rate <= 0.0 {
                continue;
            }
            let rows: Vec<&Row> =
                members.iter().flat_map(|chunk| chunk.rows.iter().filter(is_then)).collect();
            let (input, output) = lengths::fitted(&members, pick).unwrap_or_else(lengths::fallback);
            let cohort = cohort(&format!("{period}-{class}"), class, members.len(), input, output);
            entries.push(Entry {
                arrival: common_process(&rows),
                streaming: Some(true),
                spike: spike(start_us, settings.window_s, rate),
                ..cohort
            });
        }
    }
    if entries.is_empty() {
        let periods = PERIODS.map(|(period, _)| period).join(", ");
        return Err(format!("has no client that is active in the chosen ten minutes of {periods}"));
    }
    Ok(entries)
}

/// The busiest ten minutes of the first day.
pub(super) fn reasoning(chunks: &[Chunk], settings: &Settings) -> Result<Vec<Entry>, String> {
    let mut busy = BTreeMap::<i64, u32>::new();
    let window = |row: &Row| (0.0..DAY_S).contains(&row.start_s).then(|| (row.start_s / ROW_S) as i64);
    for row in chunks.iter().flat_map(|chunk| &chunk.rows) {
        if let Some(window) = window(row) {
            *busy.entry(window).or_default() += 1;
        }
    }
    // Of equally busy ones the first.
    let busiest = busy.iter().rev().max_by_key(|(_, count)| **count).map(|(window, _)| *window);
    let busiest = busiest.ok_or("has no client that is active on the first day")?;
    let is_then = |row: &&Row| window(row) == Some(busiest);
    let active = chunks.iter().filter(|chunk| chunk.rows.iter().any(|row| is_then(&row))).collect();
    let ratio = reason_ratio(chunks);
    let mut entries = Vec::new();
    for (class, members) in deal(active, &mut GoRand::new(settings.seed)) {
        let Some((input, output)) = lengths::fitted(&members, busiest as f64 * ROW_S) else { continue };
        let rate = sum_of_rates(&members, is_then);
        let multi_turn = MultiTurn { max_rounds: whole(1), think_time_us: whole(0), ..MultiTurn::default() };
        let reasoning = Reasoning { reason_ratio_distribution: ratio.clone(), multi_turn: set(multi_turn) };
        entries.push(Entry {
            arrival: arrival("poisson"),
            reasoning: Some(reasoning),
            closed_loop: Some(false),
            spike: spike(0, settings.window_s, rate),
            ..cohort(&format!("reasoning-{class}"), class, members.len(), input, output)
        });
    }
    if entries.is_empty() {
        return Err("has no client whose lengths are known in the busiest ten minutes".to_owned());
    }
    Ok(entries)
}

fn cohort(id: &str, class: &str, members: usize, input: Maybe<Dist>, output: Maybe<Dist>) -> Entry {
    Entry {
        id: Some(id.to_owned()),
        population: whole(members as i64),
        slo_class: set(class.to_owned()),
        rate_fraction: set(1.0),
        input_distribution: input,
        output_distribution: output,
        ..Entry::default()
    }
}

fn spike(start_us: i64, window_s: i64, rate: f64) -> Maybe<Spike> {
    let duration_us = whole(window_s * SECOND_US);
    set(Spike { start_time_us: whole(start_us), duration_us, trace_rate: set(rate) })
}

/// Each client counts with the mean of its matching rows.
fn sum_of_rates(members: &[&Chunk], is_then: impl Fn(&&Row) -> bool) -> f64 {
    let mean = |chunk: &&Chunk| mean(chunk.rows.iter().filter(&is_then).map(|row| row.rate)).unwrap_or(0.0);
    members.iter().map(mean).sum()
}

/// The process of most rows (gamma, when there are as many of both) with the means of its parameters over the rows that
/// state them.
fn common_process(rows: &[&Row]) -> Maybe<Arrival> {
    let of = |process| rows.iter().filter(move |row| row.process == Some(process)).copied();
    let (gamma, weibull) = (of(Process::Gamma).count(), of(Process::Weibull).count());
    let (name, process) = match (gamma, weibull) {
        (0, 0) => return arrival("poisson"),
        _ if weibull > gamma => ("weibull", Process::Weibull),
        _ => ("gamma", Process::Gamma),
    };
    let cv = mean(of(process).filter_map(|row| row.cv));
    let shape = mean(of(process).filter_map(|row| row.shape_and_scale).map(|(shape, _)| shape));
    let scale_s = mean(of(process).filter_map(|row| row.shape_and_scale).map(|(_, scale)| scale));
    if cv.is_none() && shape.is_none() {
        return arrival("poisson");
    }
    set(Arrival {
        process: set(name.to_owned()),
        cv: cv.and_then(set),
        shape: shape.and_then(set),
        scale: scale_s.and_then(|scale| set(scale * SECOND_US as f64)),
    })
}

/// Whole percentages with their mean probabilities over the clients that have any.
fn reason_ratio(chunks: &[Chunk]) -> Maybe<Dist> {
    let ratios: Vec<_> = chunks.iter().filter_map(Chunk::reason_ratio).collect();
    let mut percentages = BTreeMap::<i64, f64>::new();
    for &(share, probability) in ratios.iter().copied().flatten() {
        *percentages.entry((share * 100.0).round() as i64).or_default() += probability / ratios.len() as f64;
    }
    let params = percentages.iter().map(|(percent, p)| (percent.to_string(), unplaced(*p))).collect();
    set(Dist { kind: set("empirical".to_owned()), params: Some(params), file: None })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum) = (0.0, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
    }
    (count > 0.0).then(|| sum / count)
}
