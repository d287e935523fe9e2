//! One request of a trace, and the columns it is written in.

/// A text of a [`super::Trace`]; equal texts are stored once. The default is the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub(super) u32);

/// One request. Times are microseconds; 0 stands for "none" or "not known" unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceRow {
    /// Number of the request.
    pub request_id: i64,
    /// Client that sent it.
    pub client: TextId,
    /// Tenant.
    pub tenant: TextId,
    /// SLO class.
    pub slo_class: TextId,
    /// Priority as the server takes it.
    pub vllm_priority: u32,
    /// Session it belongs to, if not empty.
    pub session: TextId,
    /// Round within the session, from zero.
    pub round: u32,
    /// Prefix group.
    pub prefix_group: TextId,
    /// Tokens of the shared prefix.
    pub prefix_tokens: u32,
    /// Whether the answer was streamed.
    pub streaming: bool,
    /// Prompt tokens behind the prefix.
    pub input_tokens: u32,
    /// Answer tokens.
    pub output_tokens: u32,
    /// Prompt tokens of text.
    pub text_tokens: u32,
    /// Prompt tokens of images.
    pub image_tokens: u32,
    /// Prompt tokens of audio.
    pub audio_tokens: u32,
    /// Prompt tokens of video.
    pub video_tokens: u32,
    /// Share of the answer spent on reasoning, 0 to 1.
    pub reason_ratio: f64,
    /// Model that was asked for.
    pub model: TextId,
    /// When the client gives up, on the arrival clock.
    pub deadline_us: i64,
    /// Time to first token that the client hopes for.
    pub slo_target_us: i64,
    /// Prompt tokens as the server counted them, prefix included.
    pub server_input_tokens: u32,
    /// When it was meant to arrive.
    pub arrival_us: i64,
    /// When it was sent: the arrival, or wall-clock time in a real trace.
    pub send_us: i64,
    /// When the first piece of the answer came, on the clock of `send_us`.
    pub first_chunk_us: i64,
    /// When the last piece of the answer came, on the clock of `send_us`.
    pub last_chunk_us: i64,
    /// Pieces of the answer.
    pub chunks: u32,
    /// How it ended: `ok`, `timeout`, `error`, `incomplete`.
    pub status: TextId,
    /// What went wrong.
    pub error_message: TextId,
    /// Why the server stopped generating.
    pub finish_reason: TextId,
    /// Id that the observer sent along.
    pub x_request_id: TextId,
    /// LoRA adapter.
    pub adapter: TextId,
    /// Pause before this round.
    pub think_time_us: i64,
}

/// Where a column's value goes and what is allowed there.
#[derive(Clone, Copy)]
pub(super) enum Cell {
    /// Any integer.
    Integer(fn(&mut TraceRow) -> &mut i64),
    /// An integer of at least 0.
    Span(fn(&mut TraceRow) -> &mut i64),
    /// An integer of at least 0; empty = 0.
    SpanOrEmpty(fn(&mut TraceRow) -> &mut i64),
    /// An integer from 0 to 2³² − 1.
    Count(fn(&mut TraceRow) -> &mut u32),
    /// A truth value.
    Flag(fn(&mut TraceRow) -> &mut bool),
    /// A finite number from 0 to 1.
    Ratio(fn(&mut TraceRow) -> &mut f64),
    /// Any text.
    Text(fn(&mut TraceRow) -> &mut TextId),
    /// Any text, without the white space around it.
    TrimmedText(fn(&mut TraceRow) -> &mut TextId),
}

/// A column of the data file.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) cell: Cell,
}

const fn column(name: &'static str, cell: Cell) -> Column {
    Column { name, cell }
}

/// Number of columns that every current file has, in this order.
pub(super) const CORE_COLUMNS: usize = 27;

/// Columns without which nothing can be replayed.
pub(super) const REQUIRED: [&str; 4] = ["request_id", "input_tokens", "output_tokens", "arrival_time_us"];

/// Every column: the core ones in file order, then the optional ones.
pub(super) static COLUMNS: [Column; 32] = [
    column("request_id", Cell::Integer(|r| &mut r.request_id)),
    column("client_id", Cell::Text(|r| &mut r.client)),
    column("tenant_id", Cell::Text(|r| &mut r.tenant)),
    column("slo_class", Cell::Text(|r| &mut r.slo_class)),
    column("session_id", Cell::Text(|r| &mut r.session)),
    column("round_index", Cell::Count(|r| &mut r.round)),
    column("prefix_group", Cell::Text(|r| &mut r.prefix_group)),
    column("prefix_length", Cell::Count(|r| &mut r.prefix_tokens)),
    column("streaming", Cell::Flag(|r| &mut r.streaming)),
    column("input_tokens", Cell::Count(|r| &mut r.input_tokens)),
    column("output_tokens", Cell::Count(|r| &mut r.output_tokens)),
    column("text_tokens", Cell::Count(|r| &mut r.text_tokens)),
    column("image_tokens", Cell::Count(|r| &mut r.image_tokens)),
    column("audio_tokens", Cell::Count(|r| &mut r.audio_tokens)),
    column("video_tokens", Cell::Count(|r| &mut r.video_tokens)),
    column("reason_ratio", Cell::Ratio(|r| &mut r.reason_ratio)),
    column("model", Cell::Text(|r| &mut r.model)),
    column("deadline_us", Cell::Span(|r| &mut r.deadline_us)),
    column("server_input_tokens", Cell::Count(|r| &mut r.server_input_tokens)),
    column("arrival_time_us", Cell::Integer(|r| &mut r.arrival_us)),
    column("send_time_us", Cell::Integer(|r| &mut r.send_us)),
    column("first_chunk_time_us", Cell::Integer(|r| &mut r.first_chunk_us)),
    column("last_chunk_time_us", Cell::Integer(|r| &mut r.last_chunk_us)),
    column("num_chunks", Cell::Count(|r| &mut r.chunks)),
    column("status", Cell::Text(|r| &mut r.status)),
    column("error_message", Cell::TrimmedText(|r| &mut r.error_message)),
    column("finish_reason", Cell::TrimmedText(|r| &mut r.finish_reason)),
    column("vllm_priority", Cell::Count(|r| &mut r.vllm_priority)),
    column("slo_target_us", Cell::Span(|r| &mut r.slo_target_us)),
    column("x_request_id", Cell::TrimmedText(|r| &mut r.x_request_id)),
    column("adapter", Cell::TrimmedText(|r| &mut r.adapter)),
    column("think_time_us", Cell::SpanOrEmpty(|r| &mut r.think_time_us)),
];
