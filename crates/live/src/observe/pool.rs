//! Open connections that wait for their next request, so that measured times hold no connection set-up.

use super::connection::{Connection, Connector};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A connection that waited longer is not used: servers close idle ones, some after two seconds, and a request that
/// meets the closing would fail for no fault of the server.
const MAX_IDLE: Duration = Duration::from_millis(1_500);

/// The connections to one server.
pub(super) struct Pool {
    connector: Connector,
    idle: Mutex<Vec<Connection>>,
    opening: AtomicUsize,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, idle: Mutex::default(), opening: AtomicUsize::new(0) }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that waited for the shortest time, if one can be used.
    pub(super) fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.retain(|connection| is_fresh(connection, now));
        idle.pop()
    }

    /// A connection that waits, or a new one.
    pub(super) async fn get(&self) -> io::Result<Connection> {
        match self.take() {
            Some(connection) => Ok(connection),
            None => self.connector.open().await,
        }
    }

    pub(super) fn put(&self, mut connection: Connection) {
        connection.idle_since = Instant::now();
        self.idle().push(connection);
    }

    /// Lets so many connections wait, opening what is missing; within a runtime. A failure shows when a request needs one.
    pub(super) fn prepare(self: &Arc<Self>, count: usize) {
        let now = Instant::now();
        let waiting = self.idle().iter().filter(|connection| is_fresh(connection, now)).count();
        for _ in waiting + self.opening.load(Ordering::Relaxed)..count {
            self.opening.fetch_add(1, Ordering::Relaxed);
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(connection) = pool.connector.open().await {
                    pool.put(connection);
                }
                pool.opening.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

fn is_fresh(connection: &Connection, now: Instant) -> bool {
    connection.is_open() && now.saturating_duration_since(connection.idle_since) < MAX_IDLE
}
