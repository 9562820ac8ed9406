//! Connection to a server, and the time-out of its requests.
//!
//! libssh2 moves bytes without blocking. The time-out limits each wait for the socket, so a slow
//! transfer that moves does not fail. Many requests may be in flight, from several threads.
//!
//! One of the waiting threads, the *watcher*, polls the socket and wakes the others when bytes have
//! come. A thread that reads replies wakes the watcher, too, whose own reply may be among them:
//! otherwise it would wait for bytes that never come.
//!
//! Spec: `format-spec/12-store.md`, section 5.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use ssh2::{BlockDirections, DisconnectCode, Session};

use super::dial::{self, Carrier};
use super::error::SftpError;
use super::multiplexer::{Multiplexer, Sent};
use super::open_files::OpenFileCache;
use super::options::SftpOptions;
use super::preopened::{PreopenedScratch, PreopenedSlot};
use super::wire::{self, Answer, Attributes, Handle, Request};
use crate::store::layers::rate_limit::RateLimiter;
use crate::sync::lock;

/// Longest wait for an answer to the question whether an idle connection still works.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest wait before sending is tried again when the server had no room: a window update may have
/// come together with other bytes.
const NO_ROOM_WAIT: Duration = Duration::from_millis(5);

/// A connection that is logged in. Any failure other than the server's refusal of a request breaks
/// it for good.
pub(super) struct Connection {
    state: Mutex<ConnectionState>,
    /// Bytes have come, the watcher has left, or the connection is broken.
    changed: Condvar,
    /// Wakes the watcher: another thread has moved bytes.
    moved: OwnedFd,
    session: Session,
    carrier: Carrier,
    timeout: Duration,
    is_broken: AtomicBool,
    rate_limiter: Arc<RateLimiter>,
    preopened: PreopenedSlot,
    open_files: Option<OpenFileCache>,
}

struct ConnectionState {
    multiplexer: Multiplexer,
    /// When bytes moved last.
    moved: Instant,
    /// A thread polls the socket.
    is_watched: bool,
}

impl Connection {
    /// Connects, checks the server's key, logs in. Each step takes at most the time-out of
    /// `options`.
    pub(super) fn open(options: &SftpOptions) -> Result<Self, SftpError> {
        let (session, carrier, channel) = dial::reach(options)?;
        let moved = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|errno| SftpError::Lost(errno.to_string()))?;
        let connection = Self {
            state: Mutex::new(ConnectionState {
                multiplexer: Multiplexer::new(channel),
                moved: Instant::now(),
                is_watched: false,
            }),
            changed: Condvar::new(),
            moved,
            session,
            carrier,
            timeout: options.timeout,
            is_broken: AtomicBool::new(false),
            rate_limiter: options.rate_limiter.clone(),
            preopened: PreopenedSlot::default(),
            open_files: options.keeps_files.then(OpenFileCache::default),
        };
        match connection.greet() {
            Ok(()) => Ok(connection),
            Err(error) => {
                let error = connection.refusal(options, &error);
                Err(connection.carrier.explain(error))
            }
        }
    }

    /// Agrees on the protocol version.
    fn greet(&self) -> Result<(), SftpError> {
        let began = Instant::now();
        let mut state = self.state();
        state.multiplexer.greet();
        loop {
            match state.multiplexer.version() {
                Some(wire::VERSION) => return Ok(()),
                Some(other) => {
                    return Err(self.lost(&format!(
                        "the server speaks version {other} of SFTP, and not {}",
                        wire::VERSION
                    )));
                }
                None => state = self.advance(state, began, self.timeout)?,
            }
        }
    }

    /// Returns why no greeting came: the program that answers does not speak SFTP, which another
    /// try would not change, or the connection broke.
    fn refusal(&self, options: &SftpOptions, error: &SftpError) -> SftpError {
        match self.state().multiplexer.foreign() {
            Some(came) => SftpError::NotSftp {
                host: options.host.clone(),
                user: options.user.clone(),
                came: came.to_owned(),
            },
            None => dial::refused_hand(options, &error.to_string()),
        }
    }

    /// Returns whether the server is ProFTPD, which checks the target of a rename first and renames
    /// in a second step.
    pub(super) fn has_create_race(&self) -> bool {
        self.session.banner().is_some_and(|banner| banner.contains("mod_sftp"))
    }

    /// Returns the rate limiter.
    pub(super) fn rate_limiter(&self) -> &RateLimiter {
        &self.rate_limiter
    }

    /// Returns the cache of open files, if there is one.
    pub(super) fn open_files(&self) -> Option<&OpenFileCache> {
        self.open_files.as_ref()
    }

    /// Returns the slot of the preopened scratch file. An unused file is removed when the
    /// connection is dropped.
    pub(super) fn preopened(&self) -> &PreopenedSlot {
        &self.preopened
    }

    /// Returns whether the connection is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Returns whether a connection that was idle for `idle` still works; asks the server only if
    /// that is at least `trusted`.
    pub(super) fn still_works(&self, idle: Duration, trusted: Duration) -> bool {
        let works = match self.carrier.socket.peek(&mut [0]) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(len) => len > 0 && self.take_stray().is_ok(),
        };
        if !works {
            self.break_off();
            return false;
        }
        if idle < trusted {
            return true;
        }
        let sent = self.send(&Request::RealPath(Path::new(".")));
        self.answer_within(&sent, self.timeout.min(CHECK_TIME_MAX)).is_ok() || !self.is_broken()
    }

    /// Queues a request. It is sent when any thread waits for a reply.
    pub(super) fn send(&self, request: &Request<'_>) -> Sent {
        self.state().multiplexer.send(request)
    }

    /// Queues a request whose reply is ignored.
    pub(super) fn send_ignoring_reply(&self, request: &Request<'_>) {
        self.decline(self.send(request));
    }

    /// Ignores the reply when it comes.
    pub(super) fn decline(&self, sent: Sent) {
        self.state().multiplexer.decline(&sent);
    }

    /// Waits for a reply as long as bytes move.
    ///
    /// Fails with [`SftpError::Status`] if the server refuses the request; after any other failure
    /// the connection is broken.
    pub(super) fn answer(&self, sent: Sent) -> Result<Answer, SftpError> {
        self.answer_within(&sent, self.timeout)
    }

    fn answer_within(&self, sent: &Sent, wait_max: Duration) -> Result<Answer, SftpError> {
        let began = Instant::now();
        let mut state = self.state();
        loop {
            match state.multiplexer.take_answer(sent) {
                Some(Answer::Status(code)) if code != 0 => return Err(SftpError::status(code)),
                Some(answer) => return Ok(answer),
                None => state = self.advance(state, began, wait_max)?,
            }
        }
    }

    /// Makes one request and waits for its answer.
    pub(super) fn ask(&self, request: &Request<'_>) -> Result<Answer, SftpError> {
        self.answer(self.send(request))
    }

    /// Waits for a reply of success.
    pub(super) fn done(&self, sent: Sent) -> Result<(), SftpError> {
        match self.answer(sent)? {
            Answer::Status(_) => Ok(()),
            _ => Err(self.protocol_error()),
        }
    }

    /// Waits for the handle of a file or directory.
    pub(super) fn opened(&self, sent: Sent) -> Result<Handle, SftpError> {
        match self.answer(sent)? {
            Answer::Handle(handle) => Ok(handle),
            _ => Err(self.protocol_error()),
        }
    }

    /// Waits for attributes.
    pub(super) fn attributes(&self, sent: Sent) -> Result<Attributes, SftpError> {
        match self.answer(sent)? {
            Answer::Attributes(attributes) => Ok(attributes),
            _ => Err(self.protocol_error()),
        }
    }

    /// Breaks the connection because the server violated the protocol.
    pub(super) fn protocol_error(&self) -> SftpError {
        self.lost("the server's answer breaks the protocol")
    }

    /// Takes the preopened scratch file and waits until it is open; removes it instead if it is too
    /// old.
    pub(super) fn take_preopened(&self) -> Option<(String, Result<Handle, SftpError>)> {
        let preopened = self.preopened.take()?;
        if preopened.is_old() {
            self.remove_preopened(preopened);
            return None;
        }
        Some((preopened.below, self.opened(preopened.sent)))
    }

    fn remove_preopened(&self, preopened: PreopenedScratch) {
        if let Ok(handle) = self.opened(preopened.sent) {
            self.send_ignoring_reply(&Request::Close(&handle));
            // The reply is awaited: a server may not process requests of a client that hangs up.
            let _ = self.ask(&Request::Remove(&preopened.path));
        }
    }

    /// Sends all queued requests.
    pub(super) fn flush(&self) -> Result<(), SftpError> {
        let began = Instant::now();
        let mut state = self.state();
        while !state.multiplexer.is_sent() {
            state = self.advance(state, began, self.timeout)?;
        }
        Ok(())
    }

    /// Sends and receives as much as possible without blocking; waits if nothing can move. Returns
    /// when something may have changed, so callers check again in a loop.
    ///
    /// Fails if nothing has moved for `wait_max`, counted from `began` at the earliest.
    fn advance<'a>(
        &'a self,
        mut state: MutexGuard<'a, ConnectionState>,
        began: Instant,
        wait_max: Duration,
    ) -> Result<MutexGuard<'a, ConnectionState>, SftpError> {
        if self.is_broken() {
            return Err(SftpError::Lost("it was closed after an earlier error".to_owned()));
        }
        if self.step(&mut state.multiplexer).map_err(|error| self.lost(&error))? {
            self.wake_all(&mut state);
            return Ok(state);
        }
        let left = wait_max.saturating_sub(state.moved.max(began).elapsed());
        if left.is_zero() {
            self.break_off();
            return Err(SftpError::Silent(wait_max.as_secs()));
        }
        let is_half_sent = self.wants_to_send();
        // Half an SSH packet needs only room in the socket; a whole one needs a window update of
        // the server.
        let at_most = if state.multiplexer.is_sent() || (is_half_sent && !state.is_watched) {
            left
        } else {
            left.min(NO_ROOM_WAIT)
        };
        if state.is_watched {
            let woken =
                self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner);
            return Ok(woken.0);
        }
        state.is_watched = true;
        drop(state);
        let watched =
            self.watch(if is_half_sent { PollFlags::OUT } else { PollFlags::IN }, at_most);
        let mut state = self.state();
        state.is_watched = false;
        // The watcher may have its reply now and leave: another thread must become the watcher.
        self.changed.notify_all();
        watched.map(|()| state)
    }

    /// Wakes all waiting threads, the watcher included, because bytes have moved.
    fn wake_all(&self, state: &mut ConnectionState) {
        state.moved = Instant::now();
        self.changed.notify_all();
        if state.is_watched {
            // The counter is full only if the watcher is awake already.
            let _ = rustix::io::write(&self.moved, &1u64.to_ne_bytes());
        }
    }

    /// Receives bytes that no request waits for: late replies to ignored requests, or keep-alive
    /// messages of the server.
    fn take_stray(&self) -> Result<(), String> {
        let mut state = self.state();
        let taken = state.multiplexer.take_some();
        // Another thread may have begun to wait meanwhile.
        self.wake_all(&mut state);
        taken.map(drop)
    }

    /// Moves bytes without blocking; returns whether any moved.
    fn step(&self, multiplexer: &mut Multiplexer) -> Result<bool, String> {
        let is_sent = multiplexer.send_some()?;
        // libssh2 demands that a half-sent SSH packet is completed before anything else.
        let may_take = multiplexer.is_sent() || !self.wants_to_send();
        Ok((may_take && multiplexer.take_some()?) || is_sent)
    }

    fn wants_to_send(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// Waits for the socket, or until another thread has moved something.
    fn watch(&self, wanted: PollFlags, at_most: Duration) -> Result<(), SftpError> {
        let at_most = Timespec::try_from(at_most).ok();
        let mut watched =
            [PollFd::new(&self.carrier.socket, wanted), PollFd::new(&self.moved, PollFlags::IN)];
        let polled = poll(&mut watched, at_most.as_ref());
        // Empty if no thread has signalled.
        let _ = rustix::io::read(&self.moved, &mut [0; 8]);
        match polled {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(self.lost(&errno.to_string())),
        }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        lock(&self.state)
    }

    fn lost(&self, why: &str) -> SftpError {
        let why = self.carrier.explain_break(why);
        self.break_off();
        SftpError::Lost(why)
    }

    /// Shuts the connection down: nothing is sent or awaited from now on.
    fn break_off(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
        self.carrier.shut_down();
        self.changed.notify_all();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let preopened = self.preopened.take();
        preopened.into_iter().for_each(|preopened| self.remove_preopened(preopened));
        if !self.is_broken() {
            let _ = self.session.disconnect(Some(DisconnectCode::ByApplication), "done", None);
        }
        self.break_off();
    }
}
