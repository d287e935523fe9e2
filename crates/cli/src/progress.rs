//! A progress bar on standard error, when a run lasts and somebody watches.

use blis::Tick;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Runs that are over by then show nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far a run is, for people.
#[derive(Debug)]
pub(crate) struct Progress {
    /// When the run began; `None` when nobody watches.
    started: Option<Instant>,
    bar: Option<ProgressBar>,
    /// Requests to come, where known.
    requests: Option<u64>,
    horizon: Tick,
}

impl Progress {
    /// `shows` says whether it is for anybody.
    pub(crate) fn new(requests: Option<u64>, horizon: Tick, shows: bool) -> Self {
        let started = (shows && std::io::stderr().is_terminal()).then(Instant::now);
        Self { started, bar: None, requests, horizon }
    }

    /// Shows how far the run is: by its requests where their number is known, else by its time.
    pub(crate) fn show(&mut self, at: blis::Progress) {
        if self.started.is_none_or(|started| started.elapsed() < PATIENCE) {
            return;
        }
        let (position, length) = match self.requests {
            Some(requests) => (at.ended, Some(requests)),
            None if self.horizon < Tick::MAX => (at.now.as_us() as u64, Some(self.horizon.as_us() as u64)),
            None => (at.ended, None),
        };
        let bar = self.bar.get_or_insert_with(|| match length {
            Some(length) => {
                ProgressBar::new(length).with_style(style("{wide_bar} {percent}%  {msg}  ETA {eta}"))
            }
            None => ProgressBar::no_length().with_style(style("{spinner} {msg}")),
        });
        bar.set_message(format!("{} requests, {:.0} s simulated", at.ended, at.now.as_seconds()));
        bar.set_position(position);
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How many runs a search has made, for people. Nobody knows how many there will be, and they end on any thread.
#[derive(Debug)]
pub(crate) struct Runs {
    bar: Option<ProgressBar>,
}

impl Runs {
    /// `shows` says whether it is for anybody.
    pub(crate) fn new(shows: bool) -> Self {
        let bar = (shows && std::io::stderr().is_terminal())
            .then(|| ProgressBar::no_length().with_style(style("{spinner} {pos} runs, {elapsed}")));
        Self { bar }
    }

    /// One more is over.
    pub(crate) fn count(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far many runs are, for people.
#[derive(Debug)]
pub(crate) struct Trials {
    bar: Option<ProgressBar>,
}

impl Trials {
    /// Of so many; `shows` says whether it is for anybody.
    pub(crate) fn new(trials: u64, shows: bool) -> Self {
        let bar = (shows && std::io::stderr().is_terminal())
            .then(|| ProgressBar::new(trials).with_style(style("{wide_bar} {pos}/{len} trials  ETA {eta}")));
        Self { bar }
    }

    pub(crate) fn done(&mut self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    pub(crate) fn tick(&mut self) {
        if let Some(bar) = &self.bar {
            bar.tick();
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far the sending to a real server is, for people.
#[derive(Debug)]
pub(crate) struct Sending {
    bar: Option<ProgressBar>,
}

impl Sending {
    /// Of so many requests, where that is known.
    pub(crate) fn new(requests: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| match requests {
            Some(requests) => ProgressBar::new(requests).with_style(style("{wide_bar} {pos}/{len}  {msg}")),
            None => ProgressBar::no_length().with_style(style("{spinner} {pos} sent  {msg}")),
        });
        Self { bar }
    }

    pub(crate) fn show(&mut self, at: blis_live::observe::Progress) {
        let Some(bar) = &self.bar else { return };
        let (in_flight, failed) = (at.in_flight, at.failed);
        let late_ms = at.last_lateness.as_secs_f64() * 1e3;
        bar.set_message(format!(
            "{in_flight} in flight, {failed} failed, late by {late_ms:.2} ms, {:.0} s",
            at.elapsed.as_secs_f64()
        ));
        bar.set_position(at.sent);
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
