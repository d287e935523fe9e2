//! One request and its answer, with the time of everything that came and a name for everything that can go wrong.

pub use super::answer::Usage;
use super::answer::{self, Said};
use super::connection::Connection;
use super::pool::Pool;
use super::request::Call;
use super::sse::Events;
use super::{interrupted, until};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bytes of an error's body that are kept.
const MAX_ERROR_BYTES: usize = 2_000;
/// Bytes of an answer that is not streamed.
const MAX_BODY_BYTES: usize = 64 << 20;
/// How long the end of a stream may take behind its `[DONE]` for the connection to be used again.
const DRAIN: Duration = Duration::from_secs(1);
const DONE: &[u8] = b"[DONE]";

/// Ways in which a request does not get its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Nobody listens at the port.
    Refused,
    /// The name is unknown, the network does not lead there, or the encryption cannot be agreed.
    Unreachable,
    /// The time was over before there was a connection.
    SlowConnection,
    /// The time was over before the head of an answer came.
    SlowHead,
    /// The time was over while the answer came.
    SlowBody,
    /// The connection ended before the head of an answer came.
    ClosedBeforeHead,
    /// What came is not HTTP.
    NotHttp,
    /// The connection was reset while the answer came.
    Reset,
    /// The connection ended within the answer, or within a chunk of it.
    Truncated,
    /// The server asks to wait: status 429.
    TooManyRequests,
    /// Another status of 400 to 499.
    ClientError,
    /// A status of 500 to 599.
    ServerError,
    /// Any other status that is not 200, such as a redirect, which is not followed.
    OtherStatus,
    /// An event of the stream is not JSON, or not that of an answer.
    MalformedEvent,
    /// An event is longer than anything sensible.
    TooLong,
    /// An answer that is not streamed is not JSON, or not that of an answer.
    MalformedBody,
    /// The server told of an error after it had begun to answer.
    ErrorEvent,
    /// The stream ended without saying that it is complete.
    NoDone,
    /// Somebody stopped the observation.
    Interrupted,
}

impl FailureKind {
    /// What it is called in traces and summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "connection-refused",
            Self::Unreachable => "unreachable",
            Self::SlowConnection => "timeout-connecting",
            Self::SlowHead => "timeout-before-answer",
            Self::SlowBody => "timeout-within-answer",
            Self::ClosedBeforeHead => "closed-before-answer",
            Self::NotHttp => "not-http",
            Self::Reset => "reset-within-answer",
            Self::Truncated => "truncated-answer",
            Self::TooManyRequests => "too-many-requests",
            Self::ClientError => "client-error",
            Self::ServerError => "server-error",
            Self::OtherStatus => "other-status",
            Self::MalformedEvent => "malformed-event",
            Self::TooLong => "oversized-event",
            Self::MalformedBody => "malformed-answer",
            Self::ErrorEvent => "error-within-answer",
            Self::NoDone => "no-done",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether the client gave up.
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::SlowConnection | Self::SlowHead | Self::SlowBody)
    }
}

/// Why a request did not get its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In which way.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

/// What happened to a request.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When it was sent, or would have been, had there been a connection.
    pub sent_at: Instant,
    /// When the first piece of the answer came; of an answer that is not streamed, its head.
    pub first_at: Option<Instant>,
    /// When the last piece came.
    pub last_at: Option<Instant>,
    /// When the client was done with it.
    pub ended_at: Instant,
    /// Events of the stream; 1 of an answer that is not streamed.
    pub events: u32,
    /// Of them, those with output.
    pub pieces: u32,
    /// When each piece came, where that is kept.
    pub piece_times: Vec<Instant>,
    /// Tokens as the server counted them.
    pub usage: Option<Usage>,
    /// Why the answer ended, as the server says.
    pub finish_reason: String,
    /// The answer.
    pub text: String,
    /// Why there is no answer, or not all of it.
    pub failure: Option<Failure>,
    /// First and last event that may stand for tokens without text.
    silent: Option<(Instant, Instant)>,
}

impl Exchange {
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            sent_at: now,
            first_at: None,
            last_at: None,
            ended_at: now,
            events: 0,
            pieces: 0,
            piece_times: Vec::new(),
            usage: None,
            finish_reason: String::new(),
            text: String::new(),
            failure: None,
            silent: None,
        }
    }

    /// Answer tokens: as the server counted them, else the pieces.
    pub fn output_tokens(&self) -> u32 {
        self.usage.map_or(self.pieces, |usage| usage.completion_tokens)
    }

    /// Takes in a document.
    fn hear(&mut self, said: Said, at: Instant, keep_time: bool) -> Result<(), Failure> {
        if said.has_output {
            self.first_at.get_or_insert(at);
            self.last_at = Some(at);
            self.pieces += 1;
            if keep_time {
                self.piece_times.push(at);
            }
            self.text += &said.text;
        } else if said.has_choices {
            let (first, _) = self.silent.unwrap_or((at, at));
            self.silent = Some((first, at));
        }
        self.usage = said.usage.or(self.usage);
        if !said.finish_reason.is_empty() {
            self.finish_reason = said.finish_reason;
        }
        said.error.map_or(Ok(()), |message| Err(Failure::new(FailureKind::ErrorEvent, message)))
    }

    /// An answer all of whose tokens are invisible has the times of its events.
    fn settle(&mut self) {
        if let (None, Some((first, last))) = (self.first_at, self.silent) {
            (self.first_at, self.last_at) = (Some(first), Some(last));
        }
    }
}

/// Where an exchange is, for what a timeout is called.
#[derive(Clone, Copy)]
enum Stage {
    Connecting,
    Waiting,
    Reading,
}

/// What is left of the connection when the exchange is over.
pub(super) enum Left {
    /// Nothing that could be used.
    Nothing,
    /// A connection, once the rest of the answer has come.
    Used(Connection, Option<Incoming>),
}

impl Left {
    /// Puts the connection back as soon as it is free.
    pub(super) async fn reuse(self, pool: &Pool) {
        let Self::Used(mut connection, rest) = self else { return };
        let free = async {
            if let Some(mut body) = rest {
                while let Some(frame) = body.frame().await {
                    if frame.is_err() {
                        return false;
                    }
                }
            }
            connection.ready().await.is_ok()
        };
        if until(Instant::now() + DRAIN, free).await == Some(true) {
            pool.put(connection);
        }
    }
}

/// Sends a request and reads its answer until it is over, the time is, or somebody stops everything.
pub(super) async fn exchange(
    pool: &Pool,
    call: &Call,
    give_up: Instant,
    mut stopped: watch::Receiver<bool>,
) -> (Exchange, Left) {
    let mut exchange = Exchange::begin(Instant::now());
    let mut stage = Stage::Connecting;
    let result = tokio::select! {
        biased;
        result = drive(pool, call, &mut exchange, &mut stage) => result,
        () = tokio::time::sleep_until(give_up.into()) => Err(None),
        _ = stopped.wait_for(|stopped| *stopped) => Err(Some(interrupted())),
    };
    exchange.ended_at = Instant::now();
    let left = match result {
        Ok(left) => left,
        Err(failure) => {
            exchange.failure = Some(failure.unwrap_or_else(|| {
                let (kind, what) = match stage {
                    Stage::Connecting => (FailureKind::SlowConnection, "no connection"),
                    Stage::Waiting => (FailureKind::SlowHead, "no answer"),
                    Stage::Reading => (FailureKind::SlowBody, "the answer was not complete"),
                };
                let waited = exchange.ended_at.saturating_duration_since(exchange.sent_at);
                Failure::new(kind, format!("{what} after {:.3} s", waited.as_secs_f64()))
            }));
            Left::Nothing
        }
    };
    exchange.settle();
    (exchange, left)
}

async fn drive(
    pool: &Pool,
    call: &Call,
    exchange: &mut Exchange,
    stage: &mut Stage,
) -> Result<Left, Option<Failure>> {
    let mut connection = pool.get().await.map_err(|error| Some(unreachable(&error)))?;
    *stage = Stage::Waiting;
    let response = match connection.try_send(call.request(pool.connector().server())).await {
        Ok(response) => response,
        // Nothing of it had been written: the connection had been closed while it waited.
        Err((_, Some(request))) => {
            *stage = Stage::Connecting;
            connection = pool.connector().open().await.map_err(|error| Some(unreachable(&error)))?;
            *stage = Stage::Waiting;
            connection.send(request).await.map_err(|error| Some(before_head(&error)))?
        }
        Err((error, None)) => return Err(Some(before_head(&error))),
    };
    let head_at = Instant::now();
    *stage = Stage::Reading;
    if response.status() != StatusCode::OK {
        return Err(Some(refusal(response).await));
    }
    let mut body = response.into_body();
    if call.stream {
        let ended = read_stream(&mut body, exchange, call.keep_times).await?;
        return Ok(Left::Used(connection, (!ended).then_some(body)));
    }
    let bytes = collect(&mut body, MAX_BODY_BYTES).await.map_err(|error| Some(within_answer(&error)))?;
    let ended_at = Instant::now();
    exchange.events = 1;
    let malformed = |message: String| Some(Failure::new(FailureKind::MalformedBody, message));
    let said = answer::read(&bytes).map_err(malformed)?;
    exchange.hear(said, ended_at, false)?;
    (exchange.first_at, exchange.last_at) = (Some(head_at), Some(ended_at));
    Ok(Left::Used(connection, None))
}

/// Reads events until `[DONE]`; says whether the body is over too.
async fn read_stream(
    body: &mut Incoming,
    exchange: &mut Exchange,
    keep_times: bool,
) -> Result<bool, Option<Failure>> {
    let mut events = Events::default();
    let mut done = false;
    let mut failure = None;
    let hear = |data: &[u8], at: Instant, exchange: &mut Exchange, done: &mut bool| {
        let data = data.trim_ascii();
        if *done || data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            *done = true;
            return Ok(());
        }
        exchange.events += 1;
        match answer::read(data) {
            Ok(said) => exchange.hear(said, at, keep_times),
            Err(why) => {
                let shown = String::from_utf8_lossy(&data[..data.len().min(120)]).into_owned();
                Err(Failure::new(FailureKind::MalformedEvent, format!("{why} in \"{shown}\"")))
            }
        }
    };
    while let Some(frame) = body.frame().await {
        let at = Instant::now();
        let frame = frame.map_err(|error| Some(within_answer(&error)))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let note = |data: &[u8]| {
            if failure.is_none() {
                failure = hear(data, at, exchange, &mut done).err();
            }
        };
        let too_long = events.push(&bytes, note);
        if let Some(failure) = failure.take() {
            return Err(Some(failure));
        }
        too_long.map_err(|error| Some(Failure::new(FailureKind::TooLong, error.to_string())))?;
        if done {
            return Ok(false);
        }
    }
    let at = Instant::now();
    events.finish(|data| {
        if failure.is_none() {
            failure = hear(data, at, exchange, &mut done).err();
        }
    });
    match failure {
        Some(failure) => Err(Some(failure)),
        None if done => Ok(true),
        None => Err(Some(Failure::new(FailureKind::NoDone, "the stream ended without [DONE]"))),
    }
}

/// A body of at most so many bytes; what is beyond is cut off.
async fn collect(body: &mut Incoming, most: usize) -> hyper::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data[..data.len().min(most - bytes.len())]);
        }
        if bytes.len() >= most {
            break;
        }
    }
    Ok(bytes)
}

/// A status that is not 200, with what the server says.
async fn refusal(response: Response<Incoming>) -> Failure {
    let status = response.status();
    let kind = match status.as_u16() {
        429 => FailureKind::TooManyRequests,
        400..=499 => FailureKind::ClientError,
        500..=599 => FailureKind::ServerError,
        _ => FailureKind::OtherStatus,
    };
    let said = match collect(&mut response.into_body(), MAX_ERROR_BYTES).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => format!("(the body cannot be read: {})", cause(&error)),
    };
    Failure::new(kind, format!("HTTP {}: {said}", status.as_u16()))
}

fn unreachable(error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::TimedOut => FailureKind::SlowConnection,
        _ => FailureKind::Unreachable,
    };
    Failure::new(kind, error.to_string())
}

fn before_head(error: &hyper::Error) -> Failure {
    let kind = if error.is_parse() { FailureKind::NotHttp } else { FailureKind::ClosedBeforeHead };
    Failure::new(kind, cause(error))
}

fn within_answer(error: &hyper::Error) -> Failure {
    let is_reset = io_kind(error) == Some(io::ErrorKind::ConnectionReset);
    Failure::new(if is_reset { FailureKind::Reset } else { FailureKind::Truncated }, cause(error))
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = inner.source();
    }
    None
}

/// An error with its causes.
fn cause(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text += ": ";
        text += &inner.to_string();
        source = inner.source();
    }
    text
}

/// The body of an answer to a request that only matters for itself.
pub(super) async fn fetch(
    pool: &Pool,
    request: hyper::Request<http_body_util::Full<Bytes>>,
) -> Result<Vec<u8>, Failure> {
    let mut connection = pool.get().await.map_err(|error| unreachable(&error))?;
    let response = connection.send(request).await.map_err(|error| before_head(&error))?;
    if response.status() != StatusCode::OK {
        return Err(refusal(response).await);
    }
    let mut body = response.into_body();
    let bytes = collect(&mut body, MAX_BODY_BYTES).await.map_err(|error| within_answer(&error))?;
    Left::Used(connection, Some(body)).reuse(pool).await;
    Ok(bytes)
}
