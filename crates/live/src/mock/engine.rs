//! The thread that plays the cluster in real time.
//!
//! It alone knows the cluster. Requests come in through a channel; what is due goes out through the channels of the
//! requests. There is one timer: that of the thread, set to whatever comes first.

use super::account::Reason;
use super::clock::Clock;
use super::desk::{Desk, Ears, Punctuality, Stream};
use super::exposition::{Gauges, Snapshot};
use blis_cluster::{LiveCluster, Plan};
use blis_kernel::{RequestName, Tick};
use blis_metrics::RequestEnding;
use blis_workload::{Content, LabelsId, RequestSpec};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// One choice of a request, as the engine gets it.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) prompt_tokens: u32,
    /// Tokens that it will have.
    pub(crate) output_tokens: u32,
    /// Most tokens that it may have.
    pub(crate) max_tokens: u32,
    /// Keys of the full blocks of prompt and answer.
    pub(crate) keys: Arc<[u64]>,
    pub(crate) labels: LabelsId,
    pub(crate) adapter: Option<usize>,
    /// How it will end.
    pub(crate) reason: Reason,
}

/// What the engine is told.
pub(crate) enum Command {
    /// A request has come.
    Submit {
        /// Names it among all that ever came.
        ticket: u64,
        at: Instant,
        choices: Vec<Choice>,
        news: UnboundedSender<News>,
    },
    /// The client of a request has gone away.
    Cancel { ticket: u64 },
    /// Somebody wants to see the account.
    Scrape(oneshot::Sender<Snapshot>),
    /// The end.
    Stop,
}

/// What a request hears of its choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) choice: u32,
    pub(crate) what: Happened,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// An instance has it.
    Routed { cached_tokens: Option<u32> },
    /// It has another token.
    Token,
    /// It is over.
    Ended(RequestEnding),
}

/// Plays the cluster until it is told to stop or nobody is left who could. Returns how punctual it was.
pub(crate) fn play(
    plan: &Plan,
    max_model_len: u64,
    clock: Clock,
    commands: &Receiver<Command>,
) -> Punctuality {
    let adapters = plan.instance.adapters.iter().flat_map(|adapters| &adapters.adapters);
    let adapter_names = adapters.map(|adapter| adapter.name.clone()).collect();
    let desk = Rc::new(RefCell::new(Desk::new(clock, max_model_len, adapter_names)));
    let mut ears = Ears(Rc::clone(&desk));
    let mut live = LiveCluster::new(plan, &mut ears);
    let mut played_to = Tick::ZERO;
    loop {
        loop {
            match commands.try_recv() {
                Ok(command) => {
                    if !obey(command, &mut live, &desk, clock, &mut played_to) {
                        return desk.borrow().punctuality;
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return desk.borrow().punctuality,
            }
        }
        let now = clock.tick(Instant::now()).max(played_to);
        live.advance_to(now);
        played_to = now;
        desk.borrow_mut().deliver(now);
        let next = (live.next_event_at() + Tick::ONE).min(desk.borrow().next_at());
        let command = match clock.until(next) {
            Duration::ZERO => continue,
            wait if next < Tick::MAX => commands.recv_timeout(wait),
            _ => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match command {
            Ok(command) => {
                if !obey(command, &mut live, &desk, clock, &mut played_to) {
                    return desk.borrow().punctuality;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return desk.borrow().punctuality,
        }
    }
}

/// Does what it is told; false when that is to stop.
fn obey(
    command: Command,
    live: &mut LiveCluster<'_>,
    desk: &Rc<RefCell<Desk>>,
    clock: Clock,
    played_to: &mut Tick,
) -> bool {
    match command {
        Command::Submit { ticket, at, choices, news } => {
            let arrival = clock.tick(at).max(*played_to);
            // Whatever comes later arrives later.
            *played_to = arrival;
            let count = choices.len() as u32;
            let mut numbers = Vec::new();
            for (choice, asked) in choices.into_iter().enumerate() {
                let desk = &mut *desk.borrow_mut();
                let number = live.inject(RequestSpec {
                    arrival,
                    name: RequestName::Indexed(ticket),
                    input_tokens: asked.prompt_tokens,
                    output_tokens: asked.output_tokens,
                    max_output_tokens: asked.max_tokens,
                    deadline: None,
                    content: Content::Known { uid: ticket, keys: asked.keys },
                    labels: asked.labels,
                    session: None,
                    composition: None,
                });
                numbers.push(number);
                let stream = Stream {
                    ticket,
                    choice: choice as u32,
                    choices: count,
                    arrival,
                    prompt_tokens: asked.prompt_tokens,
                    max_tokens: asked.max_tokens,
                    adapter: asked.adapter,
                    reason: asked.reason,
                    instance: 0,
                    cached_tokens: 0,
                    scheduled_at: None,
                    first_token_at: None,
                    last_token_at: arrival,
                    tokens: 0,
                    news: news.clone(),
                };
                desk.streams.insert(number, stream);
            }
            desk.borrow_mut().tickets.insert(ticket, numbers);
        }
        Command::Cancel { ticket } => {
            let numbers = desk.borrow_mut().tickets.remove(&ticket).unwrap_or_default();
            for number in numbers {
                live.cancel(number);
            }
        }
        Command::Scrape(answer) => {
            let desk = &mut *desk.borrow_mut();
            let instances = live.instances().iter().enumerate().map(|(index, instance)| Gauges {
                running: instance.batch_size(),
                waiting: instance.queue_depth(),
                kv_usage: instance.kv_utilization(),
                preemptions: instance.counters().preemptions,
                kv_blocks: instance.kv_blocks(),
                account: desk.account(index).clone(),
            });
            let snapshot = Snapshot { instances: instances.collect(), adapters: desk.adapters() };
            // Whoever asked may have gone away.
            let _ = answer.send(snapshot);
        }
        Command::Stop => return false,
    }
    true
}
