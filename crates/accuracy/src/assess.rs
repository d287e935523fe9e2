//! Measured runs, simulated.

use crate::load::{Arriving, arriving};
use crate::point::{ALL, Load, Measurement, Metric, Point, TimedStep};
use blis_cluster::{Detail, Plan};
use blis_config::options::Traffic;
use blis_config::{Diagnostic, Resolved, RunOptions, Surroundings, resolve};
use blis_intervals::{Band, Configuration, Validated, Validation};
use blis_kernel::{Tick, stats};
use blis_latency::{Batch, Prefill};
use blis_metrics::{Outcome, RequestEnding, RequestRecord, RunEnding};
use blis_policy::Registry;
use rayon::prelude::*;

/// A figure, measured and simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which part of the run.
    pub part: String,
    /// What.
    pub metric: Metric,
    /// As measured.
    pub measured: f64,
    /// As simulated.
    pub predicted: f64,
    /// Where it is to be expected, where that was asked for.
    pub band: Option<Band>,
}

impl Sample {
    /// Simulated less measured, as a share of measured.
    pub fn error(&self) -> f64 {
        (self.predicted - self.measured) / self.measured
    }
}

/// A point and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessed {
    /// Set of the point.
    pub set: String,
    /// Its name.
    pub id: String,
    /// Its model.
    pub model: String,
    /// Its GPU type.
    pub gpu: String,
    /// Its traffic.
    pub workload: String,
    /// When it was measured, and with which server.
    pub provenance: String,
    /// Its figures, or why there are none.
    pub result: Result<Vec<Sample>, String>,
    /// Its row in a table for bands, where that was asked for.
    pub validated: Option<Validated>,
}

/// What is found out beside errors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Bands of all figures, from this table without the model in question, and from so many runs.
    pub bands: Option<(&'a Validation, u32)>,
    /// Rows of a table for bands.
    pub validates: bool,
}

/// Simulates every point, several at a time; the order is that of the points. Settings that a point does not have are those
/// of `base`.
pub fn assess(points: &[Point], base: &RunOptions, policies: &Registry, extras: Extras<'_>) -> Vec<Assessed> {
    points
        .par_iter()
        .map(|point| {
            let (result, validated) = match samples(point, base, policies, extras) {
                Ok((samples, validated)) => (Ok(samples), validated),
                Err(reason) => (Err(reason), None),
            };
            Assessed {
                set: point.set.clone(),
                id: point.id.clone(),
                model: point.server.model.clone(),
                gpu: point.server.gpu.clone(),
                workload: point.workload.clone(),
                provenance: point.provenance.clone(),
                result,
                validated,
            }
        })
        .collect()
}

type Samples = (Vec<Sample>, Option<Validated>);

fn samples(
    point: &Point,
    base: &RunOptions,
    policies: &Registry,
    extras: Extras<'_>,
) -> Result<Samples, String> {
    let options = point.server.options(base);
    let Resolved { mut plan, deployed, .. } = resolved(&options, policies)?;
    if let Load::Steps(steps) = &point.load {
        return Ok((steps_of(steps, &plan)?, None));
    }
    let Arriving { workload, ends } =
        arriving(&point.load, plan.seed).ok_or_else(|| "it has no traffic".to_owned())?;
    plan.workload = workload;
    plan.detail = Detail::PerRequest;
    let again = Again { point, plan: &plan, ends: &ends };
    let outcome = blis_cluster::run(&plan);
    let mut samples = again.samples(&outcome)?;
    let mut validated = None;
    if let Some(deployed) = &deployed {
        let mut configuration = Configuration::of(deployed, &outcome);
        // The table knows servers by what they were, not by the presets that stand for them.
        configuration.model = point.server.model.to_lowercase();
        configuration.engine = Configuration::engine_family(&point.provenance);
        if let Some((table, draws)) = extras.bands {
            again.with_bands(&mut samples, &configuration, table, draws);
        }
        if extras.validates {
            validated = again.validated(&samples, configuration);
        }
    }
    if let Some(recorded) = point.measured.iter().find(|measurement| measurement.metric == Metric::KvBlocks) {
        let computed = RunOptions { total_kv_blocks: base.total_kv_blocks, ..options };
        samples.push(Sample {
            part: ALL.to_owned(),
            metric: Metric::KvBlocks,
            measured: recorded.value,
            predicted: f64::from(resolved(&computed, policies)?.plan.instance.kv_blocks),
            band: None,
        });
    }
    Ok((samples, validated))
}

/// What it takes to play a point.
pub(crate) struct Again<'a> {
    pub(crate) point: &'a Point,
    pub(crate) plan: &'a Plan,
    /// When each stage but the last ends.
    pub(crate) ends: &'a [Tick],
}

impl Again<'_> {
    /// The figures of a run of it.
    pub(crate) fn samples(&self, outcome: &Outcome) -> Result<Vec<Sample>, String> {
        let records = answered(outcome)?;
        let part_of = |record: &RequestRecord| self.ends.iter().filter(|end| record.arrival > **end).count();
        let measured = self.point.measured.iter().filter(|m| m.metric != Metric::KvBlocks);
        let sample = |measurement: &Measurement| {
            let stage: Option<usize> = measurement.part.parse().ok();
            let of_part =
                records.iter().filter(|record| stage.is_none_or(|stage| part_of(record) == stage)).copied();
            Some(Sample {
                part: measurement.part.clone(),
                metric: measurement.metric,
                measured: measurement.value,
                predicted: figure(measurement.metric, of_part)?,
                band: None,
            })
        };
        Ok(measured.filter_map(sample).collect())
    }
}

fn resolved(options: &RunOptions, policies: &Registry) -> Result<Resolved, String> {
    let options = RunOptions { per_request: true, traffic: Traffic::default(), ..options.clone() };
    let surroundings = Surroundings { policies: Some(policies), ..Surroundings::default() };
    let told = |problems: Vec<Diagnostic>| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    };
    resolve(&options, &surroundings).map_err(told)
}

/// The requests that got their answers.
fn answered(outcome: &Outcome) -> Result<Vec<&RequestRecord>, String> {
    if let RunEnding::Deadlock(who) = &outcome.ending {
        return Err(format!("the simulation got stuck: {who}"));
    }
    let counts = &outcome.conservation;
    if counts.dropped_unservable > 0 {
        return Err(format!("{} of {} requests do not fit", counts.dropped_unservable, counts.injected));
    }
    let all = outcome.requests.as_ref().map(|requests| requests.records.as_slice()).unwrap_or_default();
    let records: Vec<_> = all.iter().filter(|record| record.ending == RequestEnding::Completed).collect();
    if records.is_empty() { Err("no request was answered".to_owned()) } else { Ok(records) }
}

/// A figure of these requests; `None` when there are none.
fn figure<'a>(metric: Metric, records: impl Iterator<Item = &'a RequestRecord>) -> Option<f64> {
    let times = |record: &RequestRecord| Some((record.ttft?.as_us() as f64, record.e2e?.as_us() as f64));
    let of = |record: &RequestRecord| {
        let (ttft, e2e) = times(record)?;
        match metric {
            Metric::TtftMean | Metric::TtftP99 => Some(ttft / 1e3),
            Metric::E2eMean | Metric::E2eP99 => Some(e2e / 1e3),
            Metric::ItlMean => (record.produced_tokens > 1)
                .then(|| (e2e - ttft) / 1e3 / f64::from(record.produced_tokens - 1)),
            Metric::Step | Metric::KvBlocks => None,
        }
    };
    let mut values: Vec<f64> = records.filter_map(of).collect();
    values.sort_by(f64::total_cmp);
    let is_tail = matches!(metric, Metric::TtftP99 | Metric::E2eP99);
    (!values.is_empty())
        .then(|| if is_tail { stats::percentile(&values[..], 99.0) } else { stats::mean(&values[..]) })
}

fn steps_of(steps: &[TimedStep], plan: &Plan) -> Result<Vec<Sample>, String> {
    if steps.is_empty() {
        return Err("it has no steps".to_owned());
    }
    let sample = |step: &TimedStep| Sample {
        part: ALL.to_owned(),
        metric: Metric::Step,
        measured: step.measured_ms,
        predicted: predicted_ms(step, plan),
        band: None,
    };
    Ok(steps.iter().map(sample).collect())
}

/// The step with its tokens spread evenly over its requests, but for the longest context where that is known; of several
/// ranks one was recorded, and the others are taken to be alike.
fn predicted_ms(step: &TimedStep, plan: &Plan) -> f64 {
    let latency = plan.latency.as_ref();
    let share = |total: u64, parts: u32, n: u32| {
        let (parts, n) = (u64::from(parts), u64::from(n));
        total / parts + u64::from(n < total % parts)
    };
    let prefills: Vec<Prefill> = (0..step.prefills)
        .map(|n| {
            let new_tokens = share(step.prefill_tokens, step.prefills, n);
            let progress = share(step.prefill_context_tokens, step.prefills, n);
            Prefill { prompt_tokens: progress + new_tokens, progress, new_tokens }
        })
        .filter(|prefill| prefill.new_tokens > 0)
        .collect();
    let contexts: Vec<u64> =
        (0..step.decodes).map(|n| share(step.decode_context_tokens, step.decodes, n)).collect();
    let even = || step.decode_context_tokens.div_ceil(u64::from(step.decodes.max(1)));
    let batch = Batch {
        prefills: &prefills,
        decodes: u64::from(step.decodes),
        decode_context_tokens: step.decode_context_tokens,
        longest_decode_context: step.longest_decode_context.unwrap_or_else(even),
        decode_contexts: if latency.wants_decode_contexts() { &contexts } else { &[] },
        others: 0,
    };
    let ranks = plan.instance.ranks.map_or(1, |ranks| ranks.count);
    latency.step_time_of_ranks(&vec![batch; ranks as usize]).as_us() as f64 / 1e3
}
