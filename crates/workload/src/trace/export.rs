//! The trace of a run: a row for every request that arrived, in order of arrival, written as soon as it is known how
//! the request and all before it ended.

use super::blocks;
use super::header::ContextGrowth;
use super::row::{BlockRun, OwnRow};
use super::write::{OptionalColumns, TraceWriter};
use crate::content::{Content, Segment};
use crate::request::{Composition, Details, LabelsId, RequestSource, RequestSpec, SessionRound};
use blis_kernel::{RequestName, Tick};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Where the numbers of rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowNumbers {
    /// Rows are counted from zero.
    Counted,
    /// Of requests that carry the number of the row that they replay; those without one are counted from here.
    Recorded {
        /// Above every recorded number.
        first_new: i64,
    },
}

/// How a request ended, as a trace says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowStatus {
    /// It got its answer.
    Ok,
    /// Its client gave up.
    Timeout,
    /// It was refused, or was not finished when the run ended.
    #[default]
    Incomplete,
}

impl RowStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// From arrival to its first token, if it got one.
    pub first_token: Option<Tick>,
    /// From arrival to its last token so far.
    pub last_token: Option<Tick>,
    /// How it ended.
    pub status: RowStatus,
}

/// A request that waits for an earlier one to end.
struct Ended {
    name: RequestName,
    arrival: Tick,
    deadline: Option<Tick>,
    prefix_tokens: u32,
    /// Tokens behind the prefix, or those that the round adds.
    own_tokens: u32,
    output_tokens: u32,
    labels: LabelsId,
    session: Option<SessionRound>,
    composition: Option<Box<Composition>>,
    details: Details,
    blocks: Vec<BlockRun>,
    served: Served,
}

/// Writes the trace of a run.
///
/// Memory follows the requests that ended before one that arrived earlier did.
pub struct TraceExport<W: Write> {
    writer: TraceWriter<W>,
    numbers: RowNumbers,
    growth: ContextGrowth,
    /// By number of arrival.
    waiting: BTreeMap<u64, Ended>,
    /// The next one to write.
    next: u64,
}

impl<W: Write> TraceExport<W> {
    /// Begins the trace of a run with requests of `source`; its header says `growth`.
    ///
    /// # Errors
    /// As `out` fails.
    pub fn new(
        out: W,
        source: &dyn RequestSource,
        numbers: RowNumbers,
        growth: ContextGrowth,
    ) -> io::Result<Self> {
        let (labels, kinds) = (source.labels(), source.detail_kinds());
        let optional = OptionalColumns {
            vllm_priority: kinds.vllm_priority,
            slo_target: labels.iter().any(|labels| labels.slo_target.is_some()),
            x_request_id: false,
            adapter: labels.iter().any(|labels| !labels.adapter.is_empty()),
            think_time: kinds.think_time,
            blocks: kinds.blocks,
        };
        let writer = TraceWriter::new(out, optional)?;
        Ok(Self { writer, numbers, growth, waiting: BTreeMap::new(), next: 0 })
    }

    /// Takes in how the `number`-th request that arrived (from zero) ended. Every number comes once, in any order.
    ///
    /// # Errors
    /// As the output fails.
    pub fn ended(
        &mut self,
        number: u64,
        request: RequestSpec,
        served: Served,
        source: &dyn RequestSource,
    ) -> io::Result<()> {
        let mut runs = Vec::new();
        if let Content::Shared { prompt, .. } = &request.content {
            blocks::of_prompt(prompt, &mut runs);
        }
        let ended = Ended {
            details: source.details(&request),
            own_tokens: own_tokens(&request, self.growth),
            prefix_tokens: request.content.prefix_tokens(),
            name: request.name,
            arrival: request.arrival,
            deadline: request.deadline,
            output_tokens: request.output_tokens,
            labels: request.labels,
            session: request.session,
            composition: request.composition,
            blocks: runs,
            served,
        };
        self.waiting.insert(number, ended);
        while let Some(ended) = self.waiting.remove(&self.next) {
            self.write(&ended, source)?;
            self.next += 1;
        }
        Ok(())
    }

    fn write(&mut self, ended: &Ended, source: &dyn RequestSource) -> io::Result<()> {
        let request_id = match (&mut self.numbers, &ended.name) {
            (RowNumbers::Counted, _) => self.next as i64,
            (RowNumbers::Recorded { .. }, RequestName::Indexed(id)) => *id as i64,
            (RowNumbers::Recorded { first_new }, name) => recorded_id(name).unwrap_or_else(|| {
                *first_new += 1;
                *first_new - 1
            }),
        };
        let labels = &source.labels()[ended.labels.0 as usize];
        let details = ended.details;
        let composition = ended.composition.as_deref().cloned().unwrap_or_default();
        let after_arrival = |span: Option<Tick>| span.map_or(0, |span| (ended.arrival + span).as_us());
        self.writer.write(OwnRow {
            request_id,
            client: &labels.client,
            tenant: &labels.tenant,
            slo_class: &labels.slo_class,
            vllm_priority: details.vllm_priority,
            session: ended.session.map_or("", |place| source.session_name(place.session)),
            round: ended.session.map_or(0, |place| place.round),
            prefix_group: &labels.prefix_group,
            prefix_tokens: ended.prefix_tokens,
            streaming: labels.streaming,
            input_tokens: ended.own_tokens,
            output_tokens: ended.output_tokens,
            text_tokens: composition.text_tokens,
            image_tokens: composition.image_tokens,
            audio_tokens: composition.audio_tokens,
            video_tokens: composition.video_tokens,
            reason_ratio: composition.reason_ratio,
            model: &labels.model,
            deadline_us: ended.deadline.map_or(0, Tick::as_us),
            slo_target_us: labels.slo_target.map_or(0, Tick::as_us),
            server_input_tokens: 0,
            arrival_us: ended.arrival.as_us(),
            send_us: ended.arrival.as_us(),
            first_chunk_us: after_arrival(ended.served.first_token),
            last_chunk_us: after_arrival(ended.served.last_token),
            chunks: 0,
            status: ended.served.status.as_str(),
            adapter: &labels.adapter,
            think_time_us: details.think_time.as_us(),
            blocks: &ended.blocks,
            ..OwnRow::default()
        })
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// As the output fails.
    ///
    /// # Panics
    /// When a number is missing.
    pub fn finish(self) -> io::Result<W> {
        assert!(self.waiting.is_empty(), "request number {} never ended", self.next);
        self.writer.finish()
    }
}

/// Prompt tokens of a row: all behind the prefix, or behind everything said before.
fn own_tokens(request: &RequestSpec, growth: ContextGrowth) -> u32 {
    let suffix = request.input_tokens - request.content.prefix_tokens();
    match (&request.content, growth) {
        (Content::Shared { prompt, .. }, ContextGrowth::Accumulate) => {
            let is_answer = |segment: &Segment| matches!(segment, Segment::Answer { .. });
            match prompt.iter().rposition(is_answer) {
                Some(last) => prompt[last + 1..].iter().map(Segment::tokens).sum(),
                None => suffix,
            }
        }
        _ => suffix,
    }
}

/// The number of the row that a request of this name replays.
fn recorded_id(name: &RequestName) -> Option<i64> {
    match name {
        RequestName::Text(text) => text.strip_prefix("request_")?.parse().ok(),
        RequestName::Indexed(_) | RequestName::FollowUp(_) => None,
    }
}
