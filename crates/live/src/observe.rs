//! Measuring a real server: requests sent as a workload plans them, and what came back, with times.
//!
//! One thread paces the requests by a monotonic clock and hands each to a task of its own; how they end comes back to it,
//! because an end can bring the next request of a session. Every instant that is recorded is read from that clock.

mod answer;
pub mod clock;
pub mod connection;
mod dispatch;
pub mod exchange;
pub mod metrics;
pub mod outcome;
mod pool;
pub mod prompt;
mod request;
pub mod server_url;
pub mod sse;
pub mod summary;
pub mod timeline;
pub mod trace;
mod warm;

use blis_workload::{RequestSource, RequestSpec};
use clock::Clock;
use connection::Connector;
use exchange::{Exchange, Failure};
use pool::Pool;
use prompt::Prompts;
use request::Calls;
use server_url::ServerUrl;
use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::watch;

/// Threads that read answers: as many as the machine has processors, within these bounds.
const READERS: RangeInclusive<usize> = 2..=8;

/// Which interface requests go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// `/v1/completions`: a prompt.
    #[default]
    Completions,
    /// `/v1/chat/completions`: messages.
    Chat,
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub server: ServerUrl,
    /// Model to ask for; a request with an adapter asks for that.
    pub model: String,
    /// Bearer token.
    pub api_key: Option<String>,
    /// The interface.
    pub api: Api,
    /// Whether requests may be streamed.
    pub streaming: bool,
    /// Whether all are, and the time of every piece of their answers is kept.
    pub piece_times: bool,
    /// Let the server decide how long answers are.
    pub unconstrained_output: bool,
    /// Most requests in flight; more wait, and are late.
    pub max_concurrency: usize,
    /// Leading requests that are sent but not recorded.
    pub warm_up_requests: u64,
    /// How long a request may take from sending to its end.
    pub timeout: Duration,
    /// For how long the server is kept busy before the first request.
    pub prewarm: Duration,
    /// Seed of the texts of prompts.
    pub seed: i64,
    /// Where counters of the KV cache are read before and after, if they are.
    pub kv_metrics: Option<ServerUrl>,
    /// What a second interrupt does.
    pub abort: fn(),
}

/// How far an observation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests sent.
    pub sent: u64,
    /// Of them, without an end yet.
    pub in_flight: usize,
    /// Of them, without an answer.
    pub failed: u64,
    /// Since the first could be sent.
    pub elapsed: Duration,
    /// How late the last one was sent.
    pub last_lateness: Duration,
}

/// A request that was sent, and what became of it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Place in the order of sending, warm-up included.
    pub number: u64,
    /// As it was planned.
    pub planned: RequestSpec,
    /// Whether the answer was streamed.
    pub streamed: bool,
    /// The priority that was sent, if one was.
    pub priority: u32,
    /// Its name in the server's log.
    pub x_request_id: String,
    /// Whether it had to wait for others, because no more may be in flight.
    pub was_held: bool,
    /// What happened.
    pub exchange: Exchange,
}

impl Observed {
    /// How long after its time it was sent.
    pub fn lateness(&self, clock: &Clock) -> Duration {
        self.exchange.sent_at.saturating_duration_since(clock.at(self.planned.arrival))
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The clock of everything in it.
    pub clock: Clock,
    /// Requests in order of sending, without those for warm-up.
    pub requests: Vec<Observed>,
    /// How late each request was sent, warm-up included, ascending.
    pub lateness: Vec<Duration>,
    /// From the first possible sending to the last end.
    pub duration: Duration,
    /// Whether somebody stopped it.
    pub interrupted: bool,
    /// Counters of the server's KV cache.
    pub kv_metrics: Option<metrics::KvMetrics>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Observation {
    /// How late requests were sent at this percentile, 0 to 100.
    pub fn lateness_at(&self, percentile: f64) -> Duration {
        let last = self.lateness.len().saturating_sub(1);
        let rank = (percentile / 100.0 * last as f64).ceil() as usize;
        self.lateness.get(rank.min(last)).copied().unwrap_or_default()
    }

    /// The failures with how often each kind occurred, the most frequent first.
    pub fn failures(&self) -> Vec<(&'static str, u64)> {
        let mut counts: Vec<(&'static str, u64)> = Vec::new();
        for failure in self.requests.iter().filter_map(|request| request.exchange.failure.as_ref()) {
            let kind = failure.kind.name();
            match counts.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((kind, 1)),
            }
        }
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        counts
    }
}

/// Sends the requests of `source` and waits for their ends. SIGINT and SIGTERM end it early, with what was measured so far.
///
/// # Errors
/// The threads that read answers cannot be started. Nothing that a server does is an error.
pub fn observe(
    source: &mut dyn RequestSource,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<Observation> {
    let processors = available_parallelism().map_or(*READERS.start(), NonZeroUsize::get);
    let readers = processors.clamp(*READERS.start(), *READERS.end());
    let runtime = Builder::new_multi_thread().worker_threads(readers).enable_all().build()?;
    let handle = runtime.handle();
    let (stop, stopped) = watch::channel(false);
    let (events, inbox) = dispatch::channel();
    runtime.spawn(interrupts(stop, events.clone(), settings.abort));
    let pool = Arc::new(Pool::new(Connector::new(Arc::new(settings.server.clone()))));
    let mut warnings = Vec::new();

    let mut calls = Calls::new(settings);
    let tokens_per_word = handle.block_on(warm::tokens_per_word(&pool, &calls, &stopped));
    let tokens_per_word = tokens_per_word.unwrap_or_else(|why| {
        warnings.push(format!(
            "a word counts as one token, because the server did not say how many it is: {why}"
        ));
        1.0
    });
    let prompts = Prompts::new(settings.seed, tokens_per_word, source);
    if !settings.prewarm.is_zero()
        && !handle.block_on(warm::prewarm(&pool, &calls, settings.prewarm, &stopped))
    {
        warnings.push("no request answered while the server was warmed up".to_owned());
    }
    let before = settings.kv_metrics.as_ref().map(|url| handle.block_on(metrics::scrape(url, settings)));

    let run =
        dispatch::Run { source, settings, prompts, calls: &mut calls, pool, handle, events, inbox, stopped };
    let mut dispatched = run.dispatch(progress);

    let kv_metrics = settings.kv_metrics.as_ref().zip(before).and_then(|(url, before)| {
        let after = handle.block_on(metrics::scrape(url, settings));
        let compared = before.and_then(|before| metrics::compare(&before, &after?));
        compared.map_err(|why| warnings.push(format!("the KV cache was not measured: {why}"))).ok()
    });
    dispatched.requests.sort_by_key(|request| request.number);
    dispatched.lateness.sort_unstable();
    warnings.extend(answer_warnings(&dispatched.requests, settings));
    runtime.shutdown_background();
    Ok(Observation {
        clock: dispatched.clock,
        requests: dispatched.requests,
        lateness: dispatched.lateness,
        duration: dispatched.duration,
        interrupted: dispatched.interrupted,
        kv_metrics,
        warnings,
    })
}

/// The first interrupt stops the sending, the second everything.
async fn interrupts(stop: watch::Sender<bool>, events: dispatch::Events, abort: fn()) {
    interrupt().await;
    stop.send_replace(true);
    events.interrupt();
    interrupt().await;
    abort();
    // Requests watch the sender's value, which lives as long as it.
    std::future::pending::<()>().await;
}

#[cfg(unix)]
async fn interrupt() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        result = tokio::signal::ctrl_c() => if result.is_err() { std::future::pending::<()>().await },
        _ = terminated.recv() => {}
    }
}

#[cfg(not(unix))]
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What answers are not as they were asked for.
fn answer_warnings(requests: &[Observed], settings: &Settings) -> Vec<String> {
    let ok = || requests.iter().filter(|request| request.exchange.failure.is_none());
    let without_usage = ok().filter(|request| request.exchange.usage.is_none()).count();
    let short = ok().filter(|request| {
        let asked = request.planned.output_tokens;
        request.exchange.finish_reason == "stop" && request.exchange.output_tokens() < asked
    });
    let short = if settings.unconstrained_output { 0 } else { short.count() };
    let aborted = ok().filter(|request| request.exchange.finish_reason == "abort").count();
    let mut warnings = Vec::new();
    for (count, what) in [
        (without_usage, "answers came without usage: their tokens are counted by pieces"),
        (short, "answers stopped before the length that was asked for"),
        (aborted, "answers were aborted by the server"),
    ] {
        if count > 0 {
            warnings.push(format!("{count} {what}"));
        }
    }
    let held = requests.iter().filter(|request| request.was_held).count();
    if held > 0 {
        let most = settings.max_concurrency;
        warnings
            .push(format!("{held} requests were late because {most} were in flight; see --max-concurrency"));
    }
    warnings
}

/// Waits for something until an instant; says whether it happened.
async fn until<T>(give_up: Instant, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(give_up.into(), what).await.ok()
}

/// A failure that is not one of the server.
fn interrupted() -> Failure {
    Failure::new(exchange::FailureKind::Interrupted, "stopped by an interrupt")
}
