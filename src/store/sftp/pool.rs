//! Connection pool of one server.
//!
//! A caller gets an idle connection. If there is none, it shares one that is in use, while another
//! is opened in the background: a login takes nine round trips, and one connection serves many
//! small requests.

mod state;

use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

pub(super) use self::state::Pooled;
use self::state::{PoolState, PooledConnection};
use super::connection::Connection;
use super::error::SftpError;
use super::options::SftpOptions;

use crate::sync::{self, lock};

/// Transfers of more bytes are [`Sharing::Bulk`].
const SMALL_LEN_MAX_BYTES: u64 = 1 << 20;
/// Users with [`Sharing::Small`] per connection before another one is opened.
const SMALL_USERS_MAX: usize = 4;

/// Options of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolOptions {
    /// Maximum number of connections, at least one.
    pub connections_max: usize,
    /// Idle time after which a connection is checked before its next use.
    pub keep_alive: Duration,
    /// Whether connections cache open files.
    pub keeps_files: bool,
}

impl From<&SftpOptions> for PoolOptions {
    fn from(options: &SftpOptions) -> Self {
        Self {
            connections_max: options.connections.max(1),
            keep_alive: options.keep_alive,
            keeps_files: options.keeps_files,
        }
    }
}

/// Opens a connection.
type OpenConnection<C> = Box<dyn Fn() -> Result<C, SftpError> + Send + Sync>;

/// The connections to one server.
pub(super) struct Pool<C: Pooled = Connection>(Arc<Shared<C>>);

/// Shared with the threads that open connections in the background.
struct Shared<C> {
    options: PoolOptions,
    open: OpenConnection<C>,
    state: Mutex<PoolState<C>>,
    changed: Condvar,
    has_create_race: AtomicBool,
}

/// Next step on the way to a lease.
enum LeaseStep<C> {
    /// Use this connection, idle since then, if it still works.
    Idle(Arc<C>, Instant),
    /// Use this connection, together with others.
    Joined(Arc<C>),
    /// Open a connection; it is already counted in `opening`.
    Open,
}

/// How a caller shares a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Not at all. For races, which must run over several connections.
    Exclusive,
    /// With others while a further connection is opened in the background. At the maximum the
    /// caller waits for an idle one.
    Bulk,
    /// With others. If they are many, another connection is opened in the background.
    Small,
}

impl Sharing {
    /// Returns the sharing for a transfer of this length.
    pub(super) fn of_len(len_bytes: u64) -> Self {
        if len_bytes > SMALL_LEN_MAX_BYTES { Self::Bulk } else { Self::Small }
    }
}

/// State of one call of [`Pool::lease`].
struct LeaseRequest {
    sharing: Sharing,
    /// Wait for the first connection if another thread is opening it. Only once, since that may
    /// fail.
    is_patient: bool,
    /// Why this call could not open a connection. It matters only if there is no other one.
    failed: Option<SftpError>,
}

/// A connection in use; dropping the lease returns it to the pool.
pub(super) struct Lease<'a, C: Pooled = Connection> {
    shared: &'a Shared<C>,
    connection: Arc<C>,
}

impl<C: Pooled> Pool<C> {
    /// Makes an empty pool, whose connections `open` opens.
    pub(super) fn new(
        options: PoolOptions,
        open: impl Fn() -> Result<C, SftpError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            options,
            open: Box::new(open),
            state: Mutex::default(),
            changed: Condvar::new(),
            has_create_race: AtomicBool::new(false),
        }))
    }

    /// Returns the maximum number of connections.
    pub(super) fn connections_max(&self) -> usize {
        self.0.options.connections_max
    }

    /// Returns whether connections cache open files.
    pub(super) fn keeps_files(&self) -> bool {
        self.0.options.keeps_files
    }

    /// Returns whether a server that was connected to is known to let several creators of one name
    /// succeed.
    pub(super) fn has_create_race(&self) -> bool {
        self.0.has_create_race.load(Ordering::Relaxed)
    }

    /// Returns the connection that has this file open, for a small read; else one as
    /// [`lease`](Self::lease) does.
    ///
    /// It is not checked first: a connection with an open file was used a moment ago.
    pub(super) fn lease_for(
        &self,
        path: &Path,
        sharing: Sharing,
    ) -> Result<Lease<'_, C>, SftpError> {
        let shared = &*self.0;
        let has_open = (shared.options.keeps_files && sharing == Sharing::Small)
            .then(|| shared.state().join_open(path))
            .flatten();
        has_open.map_or_else(|| self.lease(sharing), |connection| Ok(Lease { shared, connection }))
    }

    /// Returns, in this order: an idle connection; one in use, if `sharing` allows it; a new one;
    /// the first that becomes idle.
    ///
    /// Fails only if there is no connection at all and none can be opened. A server that refuses a
    /// further connection is no failure.
    pub(super) fn lease(&self, sharing: Sharing) -> Result<Lease<'_, C>, SftpError> {
        let shared = &*self.0;
        let lend = |connection| Ok(Lease { shared, connection });
        let mut request =
            LeaseRequest { sharing, is_patient: sharing != Sharing::Exclusive, failed: None };
        loop {
            match self.next(&mut request)? {
                LeaseStep::Idle(connection, since) => {
                    if connection.still_works(since.elapsed(), shared.options.keep_alive) {
                        return lend(connection);
                    }
                    shared.state().forget(&connection);
                    shared.changed.notify_all();
                }
                LeaseStep::Joined(connection) => return lend(connection),
                LeaseStep::Open => match shared.open(1) {
                    Ok(connection) => return lend(connection),
                    Err(error) if error.is_about_the_host_key() => return Err(error),
                    Err(error) => request.failed = Some(error),
                },
            }
        }
    }

    /// Waits until the caller can take a step.
    fn next(&self, request: &mut LeaseRequest) -> Result<LeaseStep<C>, SftpError> {
        let mut state = self.0.state();
        loop {
            if let Some(error) = state.wrong_key.take() {
                return Err(error);
            }
            if let Some((connection, since)) = state.take_idle() {
                return Ok(LeaseStep::Idle(connection, since));
            }
            if state.count() == 0
                && let Some(error) = request.failed.take()
            {
                return Err(error);
            }
            let may_open = state.may_open(self.connections_max());
            if request.is_patient && state.open.is_empty() && state.opening > 0 {
                request.is_patient = false;
                state = self.0.wait(state);
                continue;
            }
            let may_join = match request.sharing {
                Sharing::Exclusive => false,
                Sharing::Bulk => may_open || state.opening > 0,
                Sharing::Small => true,
            };
            if let Some((connection, users)) = may_join.then(|| state.join()).flatten() {
                if may_open && (request.sharing == Sharing::Bulk || users > SMALL_USERS_MAX) {
                    self.open_in_background(&mut state);
                }
                return Ok(LeaseStep::Joined(connection));
            }
            if may_open {
                state.opening += 1;
                return Ok(LeaseStep::Open);
            }
            let for_idle = usize::from(!may_join);
            state.waiting += for_idle;
            state = self.0.wait(state);
            state.waiting -= for_idle;
        }
    }

    /// Opens one more connection in a thread of its own.
    fn open_in_background(&self, state: &mut PoolState<C>) {
        let shared = self.0.clone();
        let open = move || {
            if let Err(error) = shared.open(0)
                && error.is_about_the_host_key()
            {
                shared.state().wrong_key = Some(error);
            }
        };
        if thread::Builder::new().name("sftp login".to_owned()).spawn(open).is_ok() {
            state.opening += 1;
        }
    }
}

impl<C: Pooled> Drop for Pool<C> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_closed = true;
        // Threads that still open a connection keep `Shared` alive. The others are dropped here,
        // which logs them out.
        let open = std::mem::take(&mut state.open);
        drop(state);
        drop(open);
    }
}

impl<C: Pooled> Shared<C> {
    /// Opens a connection that `opening` already counts, with this number of users.
    fn open(&self, users: usize) -> Result<Arc<C>, SftpError> {
        let opened = (self.open)().map(Arc::new);
        let mut state = self.state();
        state.opening -= 1;
        match &opened {
            Ok(connection) => {
                self.has_create_race.fetch_or(connection.has_create_race(), Ordering::Relaxed);
                if !state.is_closed {
                    state.open.push(PooledConnection {
                        connection: connection.clone(),
                        users,
                        since: Instant::now(),
                    });
                }
            }
            Err(error) if error.is_about_the_host_key() => {}
            Err(_) => state.note_refusal(),
        }
        self.changed.notify_all();
        opened
    }

    fn wait<'a>(&self, state: MutexGuard<'a, PoolState<C>>) -> MutexGuard<'a, PoolState<C>> {
        sync::wait(&self.changed, state)
    }

    fn state(&self) -> MutexGuard<'_, PoolState<C>> {
        lock(&self.state)
    }
}

impl<C: Pooled> Deref for Lease<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C: Pooled> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if self.connection.is_broken() {
            state.forget(&self.connection);
        } else if let Some(pooled) = state.pooled(&self.connection) {
            pooled.users -= 1;
            pooled.since = Instant::now();
        }
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
