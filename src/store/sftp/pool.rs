//! A few connections to one server, opened when all others are busy.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::SftpError;
use super::options::SftpOptions;

/// For how long no more connections are asked for once a server has taken no more.
const LIMIT_TIME: Duration = Duration::from_secs(30);

/// The connections to one server.
pub struct Pool {
    options: SftpOptions,
    state: Mutex<State>,
    changed: Condvar,
    is_racy: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Connections that nobody uses, and since when.
    idle: Vec<(Connection, Instant)>,
    /// Connections that there are or are about to be.
    open: usize,
    /// How many the server took when it took no more, and when that was.
    limit: Option<(usize, Instant)>,
}

impl State {
    fn may_open(&self, connections_max: usize) -> bool {
        let limit = self.limit.filter(|(_, since)| since.elapsed() < LIMIT_TIME).map_or(usize::MAX, |(limit, _)| limit);
        self.open < limit.min(connections_max).max(1)
    }
}

/// What to do for a connection.
enum Next {
    /// Take this one, which nobody has used since then.
    Idle(Connection, Instant),
    /// Make one, which is counted already.
    Open,
}

/// A connection in use; dropping it gives it back.
pub struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Pool {
    /// Makes a pool without connections.
    pub fn new(options: SftpOptions) -> Self {
        Self { options, state: Mutex::default(), changed: Condvar::new(), is_racy: AtomicBool::new(false) }
    }

    /// Returns how many connections there may be at once.
    pub fn connections_max(&self) -> usize {
        self.options.connections.max(1)
    }

    /// Returns whether the server, as far as it was spoken to, lets several creators succeed now and then.
    pub fn is_racy(&self) -> bool {
        self.is_racy.load(Ordering::Relaxed)
    }

    /// Returns a connection that works, as far as one can know: an idle one, else a new one, else the first that is given back.
    ///
    /// Fails if there is none and none can be made. While there is one, a server that takes no more is no failure.
    pub fn lease(&self) -> Result<Lease<'_>, SftpError> {
        let mut failed = None;
        loop {
            match self.next(&mut failed)? {
                Next::Idle(connection, since) => {
                    if connection.still_works(since.elapsed(), self.options.keep_alive) {
                        return Ok(self.lend(connection));
                    }
                    drop(connection);
                    drop(self.forget_one());
                }
                Next::Open => match Connection::open(&self.options) {
                    Ok(connection) => {
                        self.is_racy.fetch_or(connection.is_racy(), Ordering::Relaxed);
                        return Ok(self.lend(connection));
                    }
                    Err(error) => {
                        let mut state = self.forget_one();
                        if error.is_about_the_host_key() {
                            return Err(error);
                        }
                        state.limit = Some((state.open, Instant::now()));
                        failed = Some(error);
                    }
                },
            }
        }
    }

    /// Waits until there is something to do for a connection. Who has `failed` to make one does so only while there are others.
    fn next(&self, failed: &mut Option<SftpError>) -> Result<Next, SftpError> {
        let mut state = self.state();
        loop {
            if let Some((connection, since)) = state.idle.pop() {
                return Ok(Next::Idle(connection, since));
            }
            if state.open == 0
                && let Some(error) = failed.take()
            {
                return Err(error);
            }
            if state.may_open(self.connections_max()) {
                state.open += 1;
                return Ok(Next::Open);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lend(&self, connection: Connection) -> Lease<'_> {
        Lease { pool: self, connection: Some(connection) }
    }

    fn forget_one(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.open -= 1;
        self.changed.notify_all();
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is taken only when the lease is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        match self.connection.take() {
            Some(connection) if !connection.is_broken() => {
                self.pool.state().idle.push((connection, Instant::now()));
                self.pool.changed.notify_one();
            }
            broken => {
                drop(broken);
                drop(self.pool.forget_one());
            }
        }
    }
}
