//! State of the connection pool: who uses which connection, and whether one may be opened.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::sftp::connection::Connection;
use crate::store::sftp::error::SftpError;

/// Time without new attempts after the server refused a further connection.
const LIMIT_TIME: Duration = Duration::from_secs(30);

/// The pool's view of a connection; tests have their own.
pub(crate) trait Pooled: Send + Sync + 'static {
    /// Returns whether the connection is broken.
    fn is_broken(&self) -> bool;

    /// Returns whether a connection that was idle for `idle` still works; asks the server only if
    /// that is at least `trusted`.
    fn still_works(&self, idle: Duration, trusted: Duration) -> bool;

    /// Returns whether it has this file open.
    fn has_open(&self, path: &Path) -> bool;

    /// Returns whether its server is known to let several creators of one name succeed.
    fn has_create_race(&self) -> bool;
}

impl Pooled for Connection {
    fn is_broken(&self) -> bool {
        Connection::is_broken(self)
    }

    fn still_works(&self, idle: Duration, trusted: Duration) -> bool {
        Connection::still_works(self, idle, trusted)
    }

    fn has_open(&self, path: &Path) -> bool {
        self.open_files().is_some_and(|open_files| open_files.has(path))
    }

    fn has_create_race(&self) -> bool {
        Connection::has_create_race(self)
    }
}

/// State of a pool.
pub(super) struct PoolState<C> {
    /// Open connections.
    pub open: Vec<PooledConnection<C>>,
    /// Connections that are being opened.
    pub opening: usize,
    /// Connections that the server had accepted when it refused one more, and when it did.
    limit: Option<(usize, Instant)>,
    /// Callers that wait for an idle connection.
    pub waiting: usize,
    /// The server showed another key to a connection that was opened in the background.
    pub wrong_key: Option<SftpError>,
    /// The pool was dropped.
    pub is_closed: bool,
}

/// A connection of the pool, and its users.
pub(super) struct PooledConnection<C> {
    /// The connection.
    pub connection: Arc<C>,
    /// Current users.
    pub users: usize,
    /// When the last user left.
    pub since: Instant,
}

impl<C> Default for PoolState<C> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            opening: 0,
            limit: None,
            waiting: 0,
            wrong_key: None,
            is_closed: false,
        }
    }
}

impl<C: Pooled> PoolState<C> {
    /// Returns whether one more connection may be opened.
    pub(super) fn may_open(&self, connections_max: usize) -> bool {
        let limit = self
            .limit
            .filter(|(_, since)| since.elapsed() < LIMIT_TIME)
            .map_or(usize::MAX, |(limit, _)| limit);
        self.count() < limit.min(connections_max).max(1)
    }

    /// Records that the server refused one more connection.
    pub(super) fn note_refusal(&mut self) {
        self.limit = Some((self.count(), Instant::now()));
    }

    /// Returns the number of connections, including those that are being opened.
    pub(super) fn count(&self) -> usize {
        self.open.len() + self.opening
    }

    /// Returns the entry of a connection.
    pub(super) fn pooled(&mut self, connection: &Arc<C>) -> Option<&mut PooledConnection<C>> {
        self.open.iter_mut().find(|pooled| Arc::ptr_eq(&pooled.connection, connection))
    }

    /// Drops a connection.
    pub(super) fn forget(&mut self, connection: &Arc<C>) {
        self.open.retain(|pooled| !Arc::ptr_eq(&pooled.connection, connection));
    }

    /// Takes the idle connection that was used last; returns when its last user left, too.
    pub(super) fn take_idle(&mut self) -> Option<(Arc<C>, Instant)> {
        let idle = self
            .open
            .iter_mut()
            .filter(|pooled| pooled.users == 0 && !pooled.connection.is_broken());
        let pooled = idle.max_by_key(|pooled| pooled.since)?;
        pooled.users = 1;
        Some((pooled.connection.clone(), pooled.since))
    }

    /// Joins a connection that has the file open.
    pub(super) fn join_open(&mut self, path: &Path) -> Option<Arc<C>> {
        let has_it = |connection: &C| !connection.is_broken() && connection.has_open(path);
        let pooled = self.open.iter_mut().find(|pooled| has_it(&pooled.connection))?;
        pooled.users += 1;
        Some(pooled.connection.clone())
    }

    /// Joins the connection with the fewest users, unless a caller waits for an idle one; returns
    /// its number of users, too.
    pub(super) fn join(&mut self) -> Option<(Arc<C>, usize)> {
        if self.waiting > 0 {
            return None;
        }
        let pooled = self
            .open
            .iter_mut()
            .filter(|pooled| !pooled.connection.is_broken())
            .min_by_key(|pooled| pooled.users)?;
        pooled.users += 1;
        Some((pooled.connection.clone(), pooled.users))
    }
}
