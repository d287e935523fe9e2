//! Connections, and the server's life.

use super::Settings;
use super::clock::Clock;
use super::desk::Punctuality;
use super::engine::{self, Command};
use super::exposition::Identity;
use super::request::Served;
use super::service::{LabelTable, Service, seconds_since_1970};
use blis_cluster::{Plan, live_workload};
use blis_kernel::Semantics;
use blis_policy::scheduling::SchedulerKind;
use blis_workload::Labels;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 16_384;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What a server did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Generation requests that it took.
    pub requests: u64,
    /// How punctual it was.
    pub punctuality: Punctuality,
}

/// A running server. Dropped without [`Handle::stop`] it stops at once.
pub struct Handle {
    address: SocketAddr,
    runtime: Runtime,
    commands: Sender<Command>,
    service: Arc<Service>,
    engine: JoinHandle<Punctuality>,
    stop: watch::Sender<bool>,
    shutdown_timeout: Duration,
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs something on the threads of the server, as a wait for a signal.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Accepts nothing more, lets what is in flight end until the time is up or `hurry` is done, and stops.
    pub fn stop(self, hurry: impl Future<Output = ()>) -> Summary {
        let Self { runtime, commands, service, engine, stop, shutdown_timeout, .. } = self;
        runtime.block_on(async {
            stop.send_replace(true);
            // Every connection holds a receiver.
            tokio::select! {
                () = stop.closed() => {}
                () = tokio::time::sleep(shutdown_timeout) => {}
                () = hurry => {}
            }
        });
        // An engine that is gone already needs no telling.
        let _ = commands.send(Command::Stop);
        let punctuality = engine.join().expect("the engine runs until it is stopped");
        // Whoever is still connected sees its answer end, and goes.
        runtime.shutdown_timeout(Duration::from_millis(100));
        let requests = service.tickets.load(std::sync::atomic::Ordering::Relaxed);
        Summary { requests, punctuality }
    }
}

/// Starts a server on threads of its own.
///
/// # Errors
/// When it cannot listen, or threads are not to be had.
///
/// # Panics
/// When the plan has another reading than the corrected one.
pub fn start(settings: Settings) -> io::Result<Handle> {
    let Settings { plan, address, served_names, speedup, api_key, tenants, shutdown_timeout } = settings;
    assert_eq!(plan.semantics, Semantics::CORRECTED, "a server follows the corrected reading");
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(async { listen(address) })?;
    let address = listener.local_addr()?;

    let adapters = plan.instance.adapters.iter().flat_map(|adapters| &adapters.adapters);
    let adapters: Vec<_> = adapters.map(|adapter| adapter.name.clone()).collect();
    let served = Served {
        max_model_len: max_model_len(&plan),
        has_priorities: plan.instance.scheduler == SchedulerKind::PriorityFcfs,
        names: served_names,
        adapters,
    };
    let labels = label_table(&plan, &tenants, served.adapters.len());
    let lengths = Mutex::new(plan.workload.stream());
    let workload = live_workload(
        labels
            .combinations()
            .map(|(class, tenant, adapter)| Labels {
                slo_class: class.to_owned(),
                tenant: tenant.to_owned(),
                adapter: adapter.map(|adapter| served.adapters[adapter].clone()).unwrap_or_default(),
                streaming: true,
                ..Labels::default()
            })
            .collect(),
    );
    let (commands, receiver) = channel();
    let service = Arc::new(Service {
        identity: Identity {
            model: served.names[0].clone(),
            block_tokens: plan.instance.block_tokens,
            max_lora: plan.instance.adapters.as_ref().map(|adapters| adapters.capacity),
        },
        block_tokens: plan.instance.block_tokens,
        labels,
        api_key,
        commands: commands.clone(),
        lengths,
        created: seconds_since_1970(),
        tickets: AtomicU64::new(0),
        nonce: u64::from(address.port()) << 32 ^ seconds_since_1970().wrapping_mul(0x9e37_79b9_7f4a_7c15),
        served,
    });
    let longest = u64::from(service.served.max_model_len);
    let plan = Plan { workload, ..plan };
    let clock = Clock::new(speedup);
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine::play(&plan, longest, clock, &receiver))?;
    let (stop, stopped) = watch::channel(false);
    runtime.spawn(accept(listener, Arc::clone(&service), stopped));
    Ok(Handle { address, runtime, commands, service, engine, stop, shutdown_timeout })
}

/// Lets this process have as many connections as the system allows. Returns how many files it may have open.
///
/// # Errors
/// As the system refuses.
pub fn raise_open_files() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}

/// Waits until this process is asked to end: SIGINT, or SIGTERM where there is one.
///
/// # Errors
/// When signals are not to be had.
pub async fn signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The longest prompt plus answer: what the model allows and the cache of an instance holds.
fn max_model_len(plan: &Plan) -> u32 {
    let capacity = u64::from(plan.instance.kv_blocks) * u64::from(plan.instance.block_tokens);
    let longest = match plan.instance.max_model_len {
        0 => capacity,
        longest => longest.min(capacity),
    };
    u32::try_from(longest).unwrap_or(u32::MAX)
}

fn label_table(plan: &Plan, tenants: &[String], adapters: usize) -> LabelTable {
    let classes: Vec<_> = std::iter::once("").chain(plan.priorities.classes()).map(str::to_owned).collect();
    let named: BTreeSet<_> = plan.admission.tenant_budgets.keys().chain(tenants).cloned().collect();
    LabelTable {
        priorities: classes.iter().map(|class| i64::from(plan.priorities.priority(class))).collect(),
        classes,
        tenants: std::iter::once(String::new()).chain(named).collect(),
        adapters,
    }
}

async fn accept(listener: TcpListener, service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|&stopped| stopped) => return,
        };
        match accepted {
            Ok((connection, _)) => {
                tokio::spawn(serve(connection, Arc::clone(&service), stopped.clone()));
            }
            // The client is gone again, or there are too many: either passes.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(connection: TcpStream, service: Arc<Service>, mut stopped: watch::Receiver<bool>) {
    // Tokens leave one by one.
    let _ = connection.set_nodelay(true);
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(connection), answer);
    let mut connection = std::pin::pin!(connection);
    // A connection that breaks is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|&stopped| stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
