//! Everybody who waits for an answer: what they are told and when, and the account of it.

use super::account::{Account, Reason};
use super::clock::Clock;
use super::engine::{Happened, News};
use super::exposition::Adapters;
use blis_cluster::Listener;
use blis_kernel::{InstanceId, Tick};
use blis_metrics::RequestEnding;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;
use std::time::{Instant, SystemTime};
use tokio::sync::mpsc::UnboundedSender;

/// How punctual the server was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Punctuality {
    /// Tokens that were sent.
    pub tokens: u64,
    /// Mean time by which they were late, seconds.
    pub mean_late_s: f64,
    /// The largest.
    pub max_late_s: f64,
}

/// A choice in flight.
pub(crate) struct Stream {
    pub(crate) ticket: u64,
    pub(crate) choice: u32,
    pub(crate) choices: u32,
    pub(crate) arrival: Tick,
    pub(crate) prompt_tokens: u32,
    pub(crate) max_tokens: u32,
    pub(crate) adapter: Option<usize>,
    pub(crate) reason: Reason,
    pub(crate) instance: usize,
    pub(crate) cached_tokens: u32,
    pub(crate) scheduled_at: Option<Tick>,
    pub(crate) first_token_at: Option<Tick>,
    pub(crate) last_token_at: Tick,
    pub(crate) tokens: u32,
    pub(crate) news: UnboundedSender<News>,
}

/// What is to be told, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Tick,
    /// Breaks ties in the order in which the cluster told it.
    sequence: u64,
    number: u64,
    /// The end, or a token.
    end: Option<EndingOrder>,
}

/// An ending that can lie in a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndingOrder(RequestEnding);

impl PartialOrd for EndingOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EndingOrder {
    /// Nothing is decided by it: sequences differ.
    fn cmp(&self, _other: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Everybody who waits for something, and what they got.
pub(crate) struct Desk {
    clock: Clock,
    pub(crate) streams: BTreeMap<u64, Stream>,
    /// Numbers of the choices of each request.
    pub(crate) tickets: BTreeMap<u64, Vec<u64>>,
    due: BinaryHeap<Reverse<Due>>,
    told: u64,
    accounts: Vec<Account>,
    max_model_len: u64,
    adapter_names: Vec<String>,
    pub(crate) punctuality: Punctuality,
}

impl Desk {
    /// Nobody waits, and nothing was served of a model with this longest length.
    pub(crate) fn new(clock: Clock, max_model_len: u64, adapter_names: Vec<String>) -> Self {
        Self {
            clock,
            streams: BTreeMap::new(),
            tickets: BTreeMap::new(),
            due: BinaryHeap::new(),
            told: 0,
            accounts: Vec::new(),
            max_model_len,
            adapter_names,
            punctuality: Punctuality::default(),
        }
    }

    pub(crate) fn account(&mut self, instance: usize) -> &mut Account {
        while self.accounts.len() <= instance {
            self.accounts.push(Account::new(self.max_model_len));
        }
        &mut self.accounts[instance]
    }

    fn plan(&mut self, at: Tick, number: u64, end: Option<EndingOrder>) {
        self.told += 1;
        self.due.push(Reverse(Due { at, sequence: self.told, number, end }));
    }

    /// When the next token or end is due.
    pub(crate) fn next_at(&self) -> Tick {
        self.due.peek().map_or(Tick::MAX, |Reverse(due)| due.at)
    }

    /// Tells everything that is due at `now`.
    pub(crate) fn deliver(&mut self, now: Tick) {
        while let Some(&Reverse(due)) = self.due.peek()
            && due.at <= now
        {
            self.due.pop();
            match due.end {
                None => self.token(due.number, due.at),
                Some(EndingOrder(ending)) => self.end(due.number, ending, due.at),
            }
        }
    }

    fn token(&mut self, number: u64, at: Tick) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        // Whoever went away hears no more; the cancellation is on its way.
        let _ = stream.news.send(News { choice: stream.choice, what: Happened::Token });
        stream.tokens += 1;
        let (instance, prompt_tokens, cached) = (stream.instance, stream.prompt_tokens, stream.cached_tokens);
        let is_first = stream.first_token_at.is_none();
        let before = if is_first { stream.arrival } else { stream.last_token_at };
        stream.first_token_at.get_or_insert(at);
        stream.last_token_at = at;
        let latency = self.clock.seconds(at - before);
        let late_s = self.clock.seconds(self.clock.tick(Instant::now()) - at).max(0.0);
        let punctuality = &mut self.punctuality;
        punctuality.tokens += 1;
        punctuality.mean_late_s += (late_s - punctuality.mean_late_s) / punctuality.tokens as f64;
        punctuality.max_late_s = punctuality.max_late_s.max(late_s);
        let account = self.account(instance);
        account.generation_tokens += 1;
        if is_first {
            account.time_to_first_token.observe(latency);
            account.prompt_tokens += u64::from(prompt_tokens);
            account.prompt_tokens_cached += u64::from(cached);
        } else {
            account.inter_token_latency.observe(latency);
        }
    }

    fn end(&mut self, number: u64, ending: RequestEnding, at: Tick) {
        let Some(stream) = self.streams.remove(&number) else { return };
        let _ = stream.news.send(News { choice: stream.choice, what: Happened::Ended(ending) });
        if let Some(numbers) = self.tickets.get_mut(&stream.ticket) {
            numbers.retain(|&other| other != number);
            if numbers.is_empty() {
                self.tickets.remove(&stream.ticket);
            }
        }
        let Some(scheduled_at) = stream.scheduled_at else { return };
        let reason = if ending == RequestEnding::Completed { stream.reason } else { Reason::Abort };
        let clock = self.clock;
        let span = |from: Tick, to: Tick| clock.seconds(to - from);
        let account = self.account(stream.instance);
        account.ended[reason as usize] += 1;
        account.e2e.observe(span(stream.arrival, at));
        account.queue.observe(span(stream.arrival, scheduled_at));
        account.inference.observe(span(scheduled_at, stream.last_token_at.max(scheduled_at)));
        if let Some(first) = stream.first_token_at {
            let decode = span(first, stream.last_token_at);
            account.prefill.observe(span(scheduled_at, first));
            account.decode.observe(decode);
            let intervals = f64::from(stream.tokens - 1);
            account.time_per_output_token.observe(if intervals > 0.0 { decode / intervals } else { 0.0 });
        }
        account.request_prompt_tokens.observe(f64::from(stream.prompt_tokens));
        account.request_generation_tokens.observe(f64::from(stream.tokens));
        account.request_max_tokens.observe(f64::from(stream.max_tokens));
        account.request_prefill_tokens.observe(f64::from(stream.prompt_tokens - stream.cached_tokens));
        account.request_n.observe(f64::from(stream.choices));
    }

    /// Which adapters requests in flight use.
    pub(crate) fn adapters(&self) -> Adapters {
        let names = |runs: bool| -> Vec<String> {
            let streams = self.streams.values().filter(|stream| stream.scheduled_at.is_some() == runs);
            let used: BTreeSet<_> = streams.filter_map(|stream| stream.adapter).collect();
            used.into_iter().map(|adapter| self.adapter_names[adapter].clone()).collect()
        };
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Adapters { running: names(true), waiting: names(false), at: since_1970.as_secs_f64() }
    }
}

/// Passes on what the cluster tells.
pub(crate) struct Ears(pub(crate) Rc<RefCell<Desk>>);

impl Listener for Ears {
    fn routed(&mut self, number: u64, instance: InstanceId, _at: Tick) {
        let desk = &mut *self.0.borrow_mut();
        let Some(stream) = desk.streams.get_mut(&number) else { return };
        stream.instance = instance.index();
        let what = Happened::Routed { cached_tokens: None };
        let _ = stream.news.send(News { choice: stream.choice, what });
    }

    fn scheduled(&mut self, number: u64, cached_tokens: u32, at: Tick) {
        let desk = &mut *self.0.borrow_mut();
        let Some(stream) = desk.streams.get_mut(&number) else { return };
        if stream.scheduled_at.is_some() {
            return;
        }
        stream.scheduled_at = Some(at);
        stream.cached_tokens = cached_tokens;
        let what = Happened::Routed { cached_tokens: Some(cached_tokens) };
        let _ = stream.news.send(News { choice: stream.choice, what });
        let (instance, prompt_tokens) = (stream.instance, stream.prompt_tokens);
        let account = desk.account(instance);
        account.prefix_queries += u64::from(prompt_tokens);
        account.prefix_hits += u64::from(cached_tokens);
    }

    fn token(&mut self, number: u64, _tokens: u32, at: Tick) {
        self.0.borrow_mut().plan(at, number, None);
    }

    fn ended(&mut self, number: u64, ending: RequestEnding, at: Tick) {
        self.0.borrow_mut().plan(at, number, Some(EndingOrder(ending)));
    }
}
