//! Connection to a server, and the time-out of its requests.
//!
//! libssh2 moves bytes without blocking; what is limited is each wait for the socket, so whatever
//! moves is progress, however long it takes. Many requests may be under way: a distant server is
//! asked what can be asked at once. Several threads may have requests under way too: one of those
//! that wait for answers watches the socket, and wakes the others when something has come. A thread
//! that takes in what came meanwhile, perhaps the answer for the one that watches, wakes that one:
//! nothing else may come.
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
/// How soon it is tried again to send when the server had no room and something else came: the word
/// that there is room may have come with it.
const NO_ROOM_WAIT: Duration = Duration::from_millis(5);

/// A connection that is logged in. After a failure that is not the server's plain answer it is
/// broken and of no more use.
pub struct Connection {
    state: Mutex<ConnectionState>,
    /// Something has come, nobody watches the socket any more, or the connection is broken.
    changed: Condvar,
    /// Something has moved, for the one who watches the socket.
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
    /// A thread waits for the socket.
    is_watched: bool,
}

impl Connection {
    /// Connects, checks the server's key, logs in. Each step takes at most the time-out of
    /// `options`.
    pub fn open(options: &SftpOptions) -> Result<Self, SftpError> {
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

    /// Agrees with the server upon the version.
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

    /// Says why no greeting came: because the program that answers does not speak SFTP, which
    /// another try would not change, or because the line broke.
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

    /// Returns whether the server says that it is ProFTPD, which looks for the target of a rename
    /// first and renames then.
    pub fn has_create_race(&self) -> bool {
        self.session.banner().is_some_and(|banner| banner.contains("mod_sftp"))
    }

    /// Returns how quickly bytes may go.
    pub fn rate_limiter(&self) -> &RateLimiter {
        &self.rate_limiter
    }

    /// Returns the cache of open files, if there is one.
    pub fn open_files(&self) -> Option<&OpenFileCache> {
        self.open_files.as_ref()
    }

    /// Returns where a scratch file is kept that was asked for ahead; it is removed with the
    /// connection if nobody takes it.
    pub fn preopened(&self) -> &PreopenedSlot {
        &self.preopened
    }

    /// Returns whether it is of no more use.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// Returns whether a connection that was not used for `idle` still works; only after `trusted`
    /// the server is asked.
    pub fn still_works(&self, idle: Duration, trusted: Duration) -> bool {
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

    /// Puts a request after those that are to be sent. It is on its way when an answer is waited
    /// for, of this one or another.
    pub fn send(&self, request: &Request<'_>) -> Sent {
        self.state().multiplexer.send(request)
    }

    /// Sends a request whose answer nobody wants, with the next one whose answer is wanted.
    pub fn tell(&self, request: &Request<'_>) {
        self.decline(self.send(request));
    }

    /// Says that nobody wants the answer.
    pub fn decline(&self, sent: Sent) {
        self.state().multiplexer.decline(&sent);
    }

    /// Waits for an answer as long as anything moves.
    ///
    /// Fails with [`SftpError::Status`] if the server refuses the request; after any other failure
    /// the connection is broken.
    pub fn answer(&self, sent: Sent) -> Result<Answer, SftpError> {
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
    pub fn ask(&self, request: &Request<'_>) -> Result<Answer, SftpError> {
        self.answer(self.send(request))
    }

    /// Waits for the answer that all is well.
    pub fn done(&self, sent: Sent) -> Result<(), SftpError> {
        match self.answer(sent)? {
            Answer::Status(_) => Ok(()),
            _ => Err(self.protocol_error()),
        }
    }

    /// Waits for a file or folder to be open.
    pub fn opened(&self, sent: Sent) -> Result<Handle, SftpError> {
        match self.answer(sent)? {
            Answer::Handle(handle) => Ok(handle),
            _ => Err(self.protocol_error()),
        }
    }

    /// Waits for what something is.
    pub fn attributes(&self, sent: Sent) -> Result<Attributes, SftpError> {
        match self.answer(sent)? {
            Answer::Attributes(attributes) => Ok(attributes),
            _ => Err(self.protocol_error()),
        }
    }

    /// Gives up a server whose answer makes no sense.
    pub fn protocol_error(&self) -> SftpError {
        self.lost("the server's answer makes no sense")
    }

    /// Takes the scratch file that was asked for ahead, if one was, once it is open; not if it is
    /// so old that another process can have taken it for a dead one's.
    pub fn take_preopened(&self) -> Option<(String, Result<Handle, SftpError>)> {
        let preopened = self.preopened.take()?;
        if preopened.is_old() {
            self.remove_preopened(preopened);
            return None;
        }
        Some((preopened.below, self.opened(preopened.sent)))
    }

    fn remove_preopened(&self, preopened: PreopenedScratch) {
        if let Ok(handle) = self.opened(preopened.sent) {
            self.tell(&Request::Close(&handle));
            // A client that hangs up before the answer does not know whether the server came to
            // it.
            let _ = self.ask(&Request::Remove(&preopened.path));
        }
    }

    /// Sends what is to be sent, so that it does not pile up.
    pub fn push(&self) -> Result<(), SftpError> {
        let began = Instant::now();
        let mut state = self.state();
        while !state.multiplexer.is_sent() {
            state = self.advance(state, began, self.timeout)?;
        }
        Ok(())
    }

    /// Sends what is to be sent, as far as it goes, and takes what has come; waits if neither is
    /// possible. Returns when something has changed, or may have: a caller that waits for something
    /// looks for it again.
    ///
    /// Fails when nothing has moved for `wait_max` since the caller `began`.
    fn advance<'a>(
        &'a self,
        mut state: MutexGuard<'a, ConnectionState>,
        began: Instant,
        wait_max: Duration,
    ) -> Result<MutexGuard<'a, ConnectionState>, SftpError> {
        if self.is_broken() {
            return Err(SftpError::Lost("it was given up".to_owned()));
        }
        if self.step(&mut state.multiplexer).map_err(|error| self.lost(&error))? {
            self.tell_all(&mut state);
            return Ok(state);
        }
        let left = wait_max.saturating_sub(state.moved.max(began).elapsed());
        if left.is_zero() {
            self.break_off();
            return Err(SftpError::Silent(wait_max.as_secs()));
        }
        let is_half_sent = self.wants_to_send();
        // Half a packet of SSH needs room in the socket alone; a whole one needs the server's word
        // that there is room.
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
        // Who watches may have what it wants now, and leave: another one must go on.
        self.changed.notify_all();
        watched.map(|()| state)
    }

    /// Tells all who wait, at the socket too, that something has moved.
    fn tell_all(&self, state: &mut ConnectionState) {
        state.moved = Instant::now();
        self.changed.notify_all();
        if state.is_watched {
            // It is full only if the one who watches is awake already.
            let _ = rustix::io::write(&self.moved, &1u64.to_ne_bytes());
        }
    }

    /// Takes what has come without being asked for: answers that nobody waited for, or a question
    /// whether we are there, as some servers ask.
    fn take_stray(&self) -> Result<(), String> {
        let mut state = self.state();
        let taken = state.multiplexer.take_some();
        // Another thread may have begun to wait meanwhile.
        self.tell_all(&mut state);
        taken.map(drop)
    }

    /// Moves what can be moved at once; returns whether that was anything.
    fn step(&self, multiplexer: &mut Multiplexer) -> Result<bool, String> {
        let is_sent = multiplexer.send_some()?;
        // While a packet of SSH is half sent nothing else may be done.
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
        // There is nothing in it if nobody has.
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

    /// Nothing is sent or awaited any more, not even when handles are dropped.
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
