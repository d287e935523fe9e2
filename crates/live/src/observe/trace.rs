//! An observation as a trace.

use super::{Observation, Observed};
use blis_workload::trace::{OptionalColumns, OwnRow, TraceWriter};
use blis_workload::{RequestSource, trace::ObservedKvMetrics};
use std::io::{self, Write};

/// Writes a row per request, in order of sending.
///
/// # Errors
/// As `out` fails.
pub fn write<W: Write>(observation: &Observation, source: &dyn RequestSource, out: W) -> io::Result<W> {
    let labels = source.labels();
    let optional = OptionalColumns {
        vllm_priority: labels.iter().any(|labels| !labels.slo_class.is_empty()),
        slo_target: labels.iter().any(|labels| labels.slo_target.is_some()),
        x_request_id: !observation.requests.is_empty(),
        adapter: labels.iter().any(|labels| !labels.adapter.is_empty()),
        think_time: source.detail_kinds().think_time,
        blocks: false,
    };
    let mut writer = TraceWriter::new(out, optional)?;
    for request in &observation.requests {
        write_row(&mut writer, observation, request, source)?;
    }
    writer.finish()
}

fn write_row<W: Write>(
    writer: &mut TraceWriter<W>,
    observation: &Observation,
    request: &Observed,
    source: &dyn RequestSource,
) -> io::Result<()> {
    let (planned, exchange, clock) = (&request.planned, &request.exchange, &observation.clock);
    let labels = &source.labels()[planned.labels.0 as usize];
    let details = source.details(planned);
    let composition = planned.composition.as_deref().cloned().unwrap_or_default();
    let prefix_tokens = planned.content.prefix_tokens();
    let epoch_us = |at: Option<std::time::Instant>| at.map_or(0, |at| clock.epoch_us(at));
    let status = match &exchange.failure {
        None => "ok",
        Some(failure) if failure.kind.is_timeout() => "timeout",
        Some(_) => "error",
    };
    let message = exchange.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    writer.write(OwnRow {
        request_id: request.number as i64,
        client: &labels.client,
        tenant: &labels.tenant,
        slo_class: &labels.slo_class,
        vllm_priority: request.priority,
        session: planned.session.map_or("", |place| source.session_name(place.session)),
        round: planned.session.map_or(0, |place| place.round),
        prefix_group: &labels.prefix_group,
        prefix_tokens,
        streaming: request.streamed,
        input_tokens: planned.input_tokens - prefix_tokens,
        output_tokens: exchange.output_tokens(),
        text_tokens: composition.text_tokens,
        image_tokens: composition.image_tokens,
        audio_tokens: composition.audio_tokens,
        video_tokens: composition.video_tokens,
        reason_ratio: composition.reason_ratio,
        model: &labels.model,
        deadline_us: planned.deadline.map_or(0, blis_kernel::Tick::as_us),
        slo_target_us: labels.slo_target.map_or(0, blis_kernel::Tick::as_us),
        server_input_tokens: exchange.usage.map_or(0, |usage| usage.prompt_tokens),
        arrival_us: planned.arrival.as_us(),
        send_us: clock.epoch_us(exchange.sent_at),
        first_chunk_us: epoch_us(exchange.first_at),
        last_chunk_us: epoch_us(exchange.last_at),
        chunks: exchange.events,
        status,
        error_message: &message,
        finish_reason: &exchange.finish_reason,
        x_request_id: &request.x_request_id,
        adapter: &labels.adapter,
        think_time_us: details.think_time.as_us(),
        blocks: &[],
    })
}

/// When each piece of each complete answer came, µs since the Unix epoch: number of the request, place, time.
pub fn piece_times(observation: &Observation) -> impl Iterator<Item = (i64, u32, i64)> + '_ {
    let answered = observation.requests.iter().filter(|request| request.exchange.failure.is_none());
    answered.flat_map(|request| {
        let times = request.exchange.piece_times.iter().zip(0..);
        times.map(|(&at, place)| (request.number as i64, place, observation.clock.epoch_us(at)))
    })
}

/// The counters of the KV cache as the header of the trace has them.
pub fn kv_metrics(observation: &Observation, vllm_commit: &str) -> Option<ObservedKvMetrics> {
    let metrics = observation.kv_metrics.as_ref()?;
    Some(ObservedKvMetrics {
        source: metrics.source.to_owned(),
        hit_rate: metrics.hit_rate,
        block_hits: metrics.hits,
        block_queries: metrics.queries,
        read_time_total: metrics.read_time_s,
        write_time_total: metrics.write_time_s,
        vllm_commit: vllm_commit.to_owned(),
    })
}
