//! One request of a trace, and the columns it is written in.

/// A text of a [`super::Trace`]; equal texts are stored once. The default is the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub(super) u32);

/// Consecutive numbered blocks of prompt tokens: `first`, `first` + 1, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRun {
    /// Number of the first, below [`crate::content::BLOCK_LIMIT`].
    pub first: u64,
    /// How many, at least 1.
    pub blocks: u32,
}

/// Runs of blocks that a row of a [`super::Trace`] refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunsId {
    pub(super) first: u32,
    pub(super) runs: u32,
}

impl RunsId {
    pub(super) fn of(self, runs: &[BlockRun]) -> &[BlockRun] {
        &runs[self.first as usize..][..self.runs as usize]
    }
}

/// A row with its texts and blocks beside it.
pub type OwnRow<'a> = TraceRow<&'a str, &'a [BlockRun]>;

/// One request. Times are microseconds; 0 stands for "none" or "not known" unless said otherwise.
///
/// `T` is how a text is held and `B` how a list of blocks is: ids in a [`super::Trace`], borrowed in an [`OwnRow`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceRow<T = TextId, B = RunsId> {
    /// Number of the request.
    pub request_id: i64,
    /// Client that sent it.
    pub client: T,
    /// Tenant.
    pub tenant: T,
    /// SLO class.
    pub slo_class: T,
    /// Priority as the server takes it.
    pub vllm_priority: u32,
    /// Session it belongs to, if not empty.
    pub session: T,
    /// Round within the session, from zero.
    pub round: u32,
    /// Prefix group.
    pub prefix_group: T,
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
    pub model: T,
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
    pub status: T,
    /// What went wrong.
    pub error_message: T,
    /// Why the server stopped generating.
    pub finish_reason: T,
    /// Id that the observer sent along.
    pub x_request_id: T,
    /// LoRA adapter.
    pub adapter: T,
    /// Pause before this round.
    pub think_time_us: i64,
    /// Blocks that the prompt begins with; prompts that name the same ones have their tokens in common.
    pub blocks: B,
}

impl<T, B> TraceRow<T, B> {
    /// The same row with its texts and blocks held in another way.
    pub fn map<U, C>(self, mut text: impl FnMut(T) -> U, blocks: impl FnOnce(B) -> C) -> TraceRow<U, C> {
        TraceRow {
            request_id: self.request_id,
            client: text(self.client),
            tenant: text(self.tenant),
            slo_class: text(self.slo_class),
            vllm_priority: self.vllm_priority,
            session: text(self.session),
            round: self.round,
            prefix_group: text(self.prefix_group),
            prefix_tokens: self.prefix_tokens,
            streaming: self.streaming,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            text_tokens: self.text_tokens,
            image_tokens: self.image_tokens,
            audio_tokens: self.audio_tokens,
            video_tokens: self.video_tokens,
            reason_ratio: self.reason_ratio,
            model: text(self.model),
            deadline_us: self.deadline_us,
            slo_target_us: self.slo_target_us,
            server_input_tokens: self.server_input_tokens,
            arrival_us: self.arrival_us,
            send_us: self.send_us,
            first_chunk_us: self.first_chunk_us,
            last_chunk_us: self.last_chunk_us,
            chunks: self.chunks,
            status: text(self.status),
            error_message: text(self.error_message),
            finish_reason: text(self.finish_reason),
            x_request_id: text(self.x_request_id),
            adapter: text(self.adapter),
            think_time_us: self.think_time_us,
            blocks: blocks(self.blocks),
        }
    }
}

/// Where a column's value goes and what is allowed there.
#[derive(Clone, Copy)]
pub(super) enum Cell<T, B> {
    /// Any integer.
    Integer(fn(&mut TraceRow<T, B>) -> &mut i64),
    /// An integer of at least 0.
    Span(fn(&mut TraceRow<T, B>) -> &mut i64),
    /// An integer of at least 0; empty = 0.
    SpanOrEmpty(fn(&mut TraceRow<T, B>) -> &mut i64),
    /// An integer from 0 to 2³² − 1.
    Count(fn(&mut TraceRow<T, B>) -> &mut u32),
    /// A truth value.
    Flag(fn(&mut TraceRow<T, B>) -> &mut bool),
    /// A finite number from 0 to 1.
    Ratio(fn(&mut TraceRow<T, B>) -> &mut f64),
    /// Any text.
    Text(fn(&mut TraceRow<T, B>) -> &mut T),
    /// Any text, without the white space around it.
    TrimmedText(fn(&mut TraceRow<T, B>) -> &mut T),
    /// Numbers of blocks and ranges of them, separated by spaces: `0 14-27`.
    Blocks(fn(&mut TraceRow<T, B>) -> &mut B),
}

/// A column of the data file.
#[derive(Clone, Copy)]
pub(super) struct Column<T, B> {
    pub(super) name: &'static str,
    pub(super) cell: Cell<T, B>,
}

const fn column<T, B>(name: &'static str, cell: Cell<T, B>) -> Column<T, B> {
    Column { name, cell }
}

/// Number of columns that every current file has, in this order.
pub(super) const CORE_COLUMNS: usize = 27;

/// Columns without which nothing can be replayed.
pub(super) const REQUIRED: [&str; 4] = ["request_id", "input_tokens", "output_tokens", "arrival_time_us"];

/// The column of block numbers.
pub(super) const BLOCKS: &str = "prefix_blocks";

/// Optional columns that do not stand at the end, with the column that each follows.
pub(super) const INSERTED: [(&str, &str); 2] =
    [("vllm_priority", "slo_class"), ("slo_target_us", "deadline_us")];

impl<T, B> TraceRow<T, B> {
    /// Every column: the core ones in file order, then the optional ones.
    pub(super) const COLUMNS: [Column<T, B>; 33] = [
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
        column(BLOCKS, Cell::Blocks(|r| &mut r.blocks)),
    ];
}
