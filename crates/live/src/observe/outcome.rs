//! An observation as the outcome of a run, so that it is summed up and shown in the same way.

use super::{Observation, Observed};
use blis_kernel::{DurationHistogram, InstanceId, RequestName, Tick};
use blis_metrics::record::{Labels, RequestEnding, RequestRecord, SessionPlace};
use blis_metrics::recorder::{Options, Recorder, RunFigures};
use blis_metrics::saturation;
use blis_metrics::{InstanceFigures, Outcome, RunEnding, SloTargets};
use blis_workload::RequestSource;
use std::time::Instant;

/// Sums up. A request that failed in any way but a timeout counts as dropped. Latencies count from sending.
pub fn outcome(
    observation: &Observation,
    source: &dyn RequestSource,
    slo_targets: SloTargets,
    saturation: Option<saturation::Settings>,
) -> Outcome {
    let options =
        Options { keep_records: false, count_inversions: false, slo_targets, saturation, splits: false };
    let mut recorder = Recorder::new(1, options);
    for labels in source.labels() {
        recorder.add_labels(Labels {
            slo_class: labels.slo_class.clone(),
            tenant: labels.tenant.clone(),
            model: labels.model.clone(),
            adapter: labels.adapter.clone(),
            // What was measured holds the link already.
            network: None,
        });
    }
    let mut figures = InstanceFigures {
        ended_at: Tick::from_us(observation.duration.as_micros() as i64),
        ..InstanceFigures::default()
    };
    for request in &observation.requests {
        let record = record(observation, request);
        if record.ending == RequestEnding::Completed {
            figures.input_tokens += u64::from(record.input_tokens);
            figures.output_tokens += u64::from(record.produced_tokens);
            add_gaps(&mut figures.inter_token_latencies, request);
        }
        recorder.record_at_instance(&record);
        recorder.record(record);
    }
    recorder.finish(RunFigures {
        ending: RunEnding::Completed,
        injected: observation.requests.len() as u64,
        instances: vec![figures],
        session_names: Vec::new(),
        trace: None,
        decisions: None,
        splits: None,
        fleet: None,
        faults: None,
        instance_names: Vec::new(),
        prefill_instances: Vec::new(),
        decode_instances: Vec::new(),
    })
}

fn span(from: Instant, to: Instant) -> Tick {
    Tick::from_us(to.saturating_duration_since(from).as_micros() as i64)
}

fn record(observation: &Observation, request: &Observed) -> RequestRecord {
    let (planned, exchange) = (&request.planned, &request.exchange);
    let times = exchange.first_at.zip(exchange.last_at).filter(|_| exchange.failure.is_none());
    let tokens = exchange.output_tokens();
    let ending = match &exchange.failure {
        Some(failure) if failure.kind.is_timeout() => RequestEnding::TimedOut,
        None if times.is_some() => RequestEnding::Completed,
        _ => RequestEnding::DroppedUnservable,
    };
    let e2e = times.map(|(_, last)| span(exchange.sent_at, last));
    RequestRecord {
        name: RequestName::Indexed(request.number),
        arrival: observation.clock.time(exchange.sent_at),
        input_tokens: exchange.usage.map_or(planned.input_tokens, |usage| usage.prompt_tokens),
        output_tokens: planned.output_tokens,
        produced_tokens: if times.is_some() { tokens } else { 0 },
        ttft: times.map(|(first, _)| span(exchange.sent_at, first)),
        e2e,
        itl_mean_us: times.map_or(0.0, |(first, last)| match tokens {
            0 | 1 => 0.0,
            _ => span(first, last).as_us() as f64 / f64::from(tokens - 1),
        }),
        scheduling_delay: None,
        gateway_queue_delay: None,
        labels: planned.labels.0,
        instance: Some(InstanceId(0)),
        left_at: Some(observation.clock.time(exchange.ended_at)),
        length_capped: false,
        session: planned.session.map(|place| SessionPlace { session: place.session.0, round: place.round }),
        ending,
    }
}

/// The gaps between pieces where their times were kept, else the mean gap between tokens.
fn add_gaps(histogram: &mut DurationHistogram, request: &Observed) {
    let exchange = &request.exchange;
    if exchange.piece_times.len() > 1 {
        for pair in exchange.piece_times.windows(2) {
            histogram.add(span(pair[0], pair[1]), 1);
        }
        return;
    }
    let gaps = u64::from(exchange.output_tokens()).saturating_sub(1);
    if let Some((first, last)) = exchange.first_at.zip(exchange.last_at)
        && gaps > 0
    {
        histogram.add(Tick::from_us(span(first, last).as_us() / gaps as i64), gaps);
    }
}
