//! What is asked of the server before the measurement.

use super::exchange::{Failure, FailureKind, exchange};
use super::pool::Pool;
use super::prompt::WORDS;
use super::request::Calls;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the question about tokens may take.
const ASK: Duration = Duration::from_secs(30);
/// Tokens per word that are believed.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 1.0..=3.0;
/// Requests at a time while the server is warmed up.
const WORKERS: usize = 4;
/// Pause of a worker after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// Length of an answer while the server is warmed up, tokens.
const WARM_TOKENS: u32 = 64;

/// How many tokens a word of the vocabulary is on average, as the server counts them.
pub(super) async fn tokens_per_word(
    pool: &Pool,
    calls: &Calls<'_>,
    stopped: &watch::Receiver<bool>,
) -> Result<f64, Failure> {
    let call = calls.plain(&WORDS.join(" "), 1);
    let (answer, left) = exchange(pool, &call, Instant::now() + ASK, stopped.clone()).await;
    left.reuse(pool).await;
    if let Some(failure) = answer.failure {
        return Err(failure);
    }
    let tokens = answer.usage.map_or(0, |usage| usage.prompt_tokens);
    let per_word = f64::from(tokens) / WORDS.len() as f64;
    if PLAUSIBLE.contains(&per_word) {
        return Ok(per_word);
    }
    Err(Failure::new(FailureKind::MalformedBody, format!("{tokens} prompt tokens for {} words", WORDS.len())))
}

/// Keeps the server busy for a while; says whether it answered at all.
pub(super) async fn prewarm(
    pool: &Arc<Pool>,
    calls: &Calls<'_>,
    duration: Duration,
    stopped: &watch::Receiver<bool>,
) -> bool {
    let end = Instant::now() + duration;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (pool, call, stopped) =
            (Arc::clone(pool), calls.plain(&"warm ".repeat(256), WARM_TOKENS), stopped.clone());
        workers.push(tokio::spawn(async move {
            let mut answers = 0_u32;
            while Instant::now() < end && !*stopped.borrow() {
                let (answer, left) = exchange(&pool, &call, end, stopped.clone()).await;
                left.reuse(&pool).await;
                if answer.failure.is_none() {
                    answers += 1;
                } else {
                    let pause = PAUSE.min(end.saturating_duration_since(Instant::now()));
                    tokio::time::sleep(pause).await;
                }
            }
            answers
        }));
    }
    let mut answers = 0;
    for worker in workers {
        answers += worker.await.unwrap_or_default();
    }
    answers > 0
}
