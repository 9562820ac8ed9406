//! One connection to a server: TCP, its key checked, logged in, SFTP started; and how long its requests may stand still.
//!
//! libssh2 moves bytes without blocking; what is limited is each wait for the socket, so whatever moves is progress, however long it takes.
//! Many requests may be under way: a distant server is asked what can be asked at once.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libssh2_sys as raw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use ssh2::{BlockDirections, Channel, DisconnectCode, Error, ErrorCode, ExtendedData, Session};

use super::error::SftpError;
use super::host_key::KnownKeys;
use super::line::{Line, Sent};
use super::login::{has_ended, log_in};
use super::options::SftpOptions;
use super::wire::{self, Answer, Attributes, Handle, Request};
use crate::store::pace::Pace;

/// Longest wait for an answer to the question whether an idle connection still works.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes that a server may send before we have taken any: what a fast line holds.
const WINDOW_LEN_BYTES: u32 = 4 << 20;
/// Longest packet of SSH that is taken.
const PACKET_LEN_MAX_BYTES: u32 = 32 << 10;
/// Scratch files are left alone for a day.
const SPARE_AGE_MAX: Duration = Duration::from_secs(3600);
/// How soon it is tried again to send when the server had no room and something else came: the word that there is room may have come with it.
const NO_ROOM_WAIT: Duration = Duration::from_millis(5);

/// A connection that is logged in. After a failure that is not the server's plain answer it is broken and of no more use.
pub struct Connection {
    line: Box<RefCell<Line>>,
    session: Session,
    socket: TcpStream,
    wait_max: Cell<Duration>,
    is_broken: Cell<bool>,
    pace: Arc<Pace>,
    spare: RefCell<Option<Spare>>,
    spare_since: Cell<Instant>,
}

/// A scratch file that was asked for ahead.
pub struct Spare {
    /// Its name in the repository's folder.
    pub below: String,
    /// Its path on the server.
    pub path: PathBuf,
    /// The request that opens it.
    pub sent: Sent,
}

impl Connection {
    /// Connects, checks the server's key, logs in. Each step takes at most the time-out of `options`.
    pub fn open(options: &SftpOptions) -> Result<Self, SftpError> {
        let failed = |error: Error| SftpError::Handshake {
            host: options.host.clone(),
            port: options.port,
            message: error.message().to_owned(),
        };
        let socket = dial(options)?;
        let unreachable = |source| SftpError::Unreachable { host: options.host.clone(), port: options.port, source };
        let mut session = Session::new().map_err(failed)?;
        session.set_tcp_stream(socket.try_clone().map_err(unreachable)?);
        session.set_timeout(u32::try_from(options.timeout.as_millis()).unwrap_or(u32::MAX).max(1));
        let known = KnownKeys::read(&session, options)?;
        known.prefer(&session).map_err(failed)?;
        let ready = session.handshake().map_err(failed).and_then(|()| {
            known.check(&session, options)?;
            log_in(&session, &socket, options)?;
            start_sftp(&session).map_err(|error| match error.code() {
                ErrorCode::Session(raw::LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED) if !has_ended(&socket) => {
                    SftpError::NoSftp { host: options.host.clone(), user: options.user.clone() }
                }
                // Some servers count connections only after the login, and hang up then.
                _ => failed(error),
            })
        });
        let channel = ready.inspect_err(|_| {
            // Else freeing the session would wait for a server that is silent.
            let _ = socket.shutdown(Shutdown::Both);
        })?;
        session.set_blocking(false);
        let connection = Self {
            line: Box::new(RefCell::new(Line::new(channel))),
            session,
            socket,
            wait_max: Cell::new(options.timeout),
            is_broken: Cell::new(false),
            pace: options.pace.clone(),
            spare: RefCell::default(),
            spare_since: Cell::new(Instant::now()),
        };
        connection.greet().map_err(|error| SftpError::Handshake {
            host: options.host.clone(),
            port: options.port,
            message: error.to_string(),
        })?;
        Ok(connection)
    }

    /// Agrees with the server upon the version.
    fn greet(&self) -> Result<(), SftpError> {
        self.line.borrow_mut().greet();
        loop {
            let version = self.line.borrow().version();
            match version {
                Some(wire::VERSION) => return Ok(()),
                Some(other) => {
                    return Err(self.lost(&format!("the server speaks version {other} of SFTP, and not {}", wire::VERSION)));
                }
                None => {}
            }
            self.move_bytes()?;
        }
    }

    /// Returns whether the server says that it is ProFTPD, which looks for the target of a rename first and renames then.
    pub fn is_racy(&self) -> bool {
        self.session.banner().is_some_and(|banner| banner.contains("mod_sftp"))
    }

    /// Returns how quickly bytes may go.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Returns whether it is of no more use.
    pub fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// Returns whether a connection that was not used for `idle` still works; only after `trusted` the server is asked.
    pub fn still_works(&self, idle: Duration, trusted: Duration) -> bool {
        let works = match self.socket.peek(&mut [0]) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            // Answers that nobody waited for, or a question whether we are there, as some servers ask.
            Ok(len) => len > 0 && self.line.borrow_mut().take_some().is_ok(),
        };
        if !works {
            self.break_off();
            return false;
        }
        if idle < trusted {
            return true;
        }
        let wait_max = self.wait_max.replace(self.wait_max.get().min(CHECK_TIME_MAX));
        let answer = self.ask(&Request::RealPath(Path::new(".")));
        self.wait_max.set(wait_max);
        answer.is_ok() || !self.is_broken()
    }

    /// Puts a request behind those that are to be sent. It is on its way when an answer is waited for, of this one or another.
    pub fn send(&self, request: &Request<'_>) -> Sent {
        self.line.borrow_mut().send(request)
    }

    /// Sends a request whose answer nobody wants, with the next one whose answer somebody wants.
    pub fn tell(&self, request: &Request<'_>) {
        self.decline(self.send(request));
    }

    /// Says that nobody wants the answer.
    pub fn decline(&self, sent: Sent) {
        self.line.borrow_mut().decline(&sent);
    }

    /// Waits for an answer as long as anything moves.
    ///
    /// Fails with [`SftpError::Status`] if the server refuses the request; after any other failure the connection is broken.
    pub fn answer(&self, sent: Sent) -> Result<Answer, SftpError> {
        loop {
            match self.line.borrow_mut().take_answer(&sent) {
                Some(Answer::Status(code)) if code != 0 => return Err(SftpError::status(code)),
                Some(answer) => return Ok(answer),
                None => {}
            }
            self.move_bytes()?;
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
            _ => Err(self.misunderstood()),
        }
    }

    /// Waits for a file or folder to be open.
    pub fn opened(&self, sent: Sent) -> Result<Handle, SftpError> {
        match self.answer(sent)? {
            Answer::Handle(handle) => Ok(handle),
            _ => Err(self.misunderstood()),
        }
    }

    /// Waits for what something is.
    pub fn attributes(&self, sent: Sent) -> Result<Attributes, SftpError> {
        match self.answer(sent)? {
            Answer::Attributes(attributes) => Ok(attributes),
            _ => Err(self.misunderstood()),
        }
    }

    /// Gives up a server whose answer makes no sense.
    pub fn misunderstood(&self) -> SftpError {
        self.lost("the server's answer makes no sense")
    }

    /// Takes the scratch file that was asked for ahead, if one was, once it is open; not if somebody can have taken it for a dead one's.
    pub fn take_spare(&self) -> Option<(String, Result<Handle, SftpError>)> {
        if self.spare_since.get().elapsed() > SPARE_AGE_MAX {
            self.drop_spare();
        }
        self.spare.take().map(|spare| (spare.below, self.opened(spare.sent)))
    }

    /// Keeps a scratch file that was asked for; it is removed if nobody takes it.
    pub fn keep_spare(&self, spare: Spare) {
        self.spare_since.set(Instant::now());
        self.spare.replace(Some(spare));
    }

    fn drop_spare(&self) {
        if let Some(Spare { path, sent, .. }) = self.spare.take()
            && let Ok(handle) = self.opened(sent)
        {
            self.tell(&Request::Close(&handle));
            // Who hangs up before the answer does not know whether the server came to it.
            let _ = self.ask(&Request::Remove(&path));
        }
    }

    /// Sends what is to be sent, so that it does not pile up.
    pub fn push(&self) -> Result<(), SftpError> {
        while !self.line.borrow().is_sent() {
            self.move_bytes_until(true)?;
        }
        Ok(())
    }

    fn move_bytes(&self) -> Result<(), SftpError> {
        self.move_bytes_until(false)
    }

    /// Sends what is to be sent, as far as it goes, and takes what has come; waits if neither is possible.
    fn move_bytes_until(&self, all_is_sent: bool) -> Result<(), SftpError> {
        if self.is_broken() {
            return Err(SftpError::Lost("it was given up".to_owned()));
        }
        let line = &mut *self.line.borrow_mut();
        let mut last = Instant::now();
        loop {
            if line.send_some().map_err(|error| self.lost(&error))? {
                last = Instant::now();
            }
            if all_is_sent && line.is_sent() {
                return Ok(());
            }
            if !line.is_sent() && self.wants_to_send() {
                // A packet of SSH is half sent: nothing else may be done before.
                if self.wait(PollFlags::OUT, last, None)? {
                    last = Instant::now();
                }
                continue;
            }
            if line.take_some().map_err(|error| self.lost(&error))? {
                return Ok(());
            }
            let wanted = if self.wants_to_send() { PollFlags::OUT } else { PollFlags::IN };
            if self.wait(wanted, last, (!line.is_sent()).then_some(NO_ROOM_WAIT))? {
                last = Instant::now();
            }
        }
    }

    fn wants_to_send(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// Waits for the socket, but at most for `at_most`, and until the server has been silent for too long since `last`; returns whether it is ready.
    fn wait(&self, wanted: PollFlags, last: Instant, at_most: Option<Duration>) -> Result<bool, SftpError> {
        let left = self.wait_max.get().saturating_sub(last.elapsed());
        let wait_max = Timespec::try_from(at_most.map_or(left, |at_most| at_most.min(left))).ok();
        loop {
            match poll(&mut [PollFd::new(&self.socket, wanted)], wait_max.as_ref()) {
                Err(Errno::INTR) => {}
                Ok(0) if last.elapsed() >= self.wait_max.get() => {
                    self.break_off();
                    return Err(SftpError::Silent(self.wait_max.get().as_secs()));
                }
                Ok(ready) => return Ok(ready > 0),
                Err(errno) => return Err(self.lost(&errno.to_string())),
            }
        }
    }

    fn lost(&self, why: &str) -> SftpError {
        self.break_off();
        SftpError::Lost(why.to_owned())
    }

    /// Nothing is sent or awaited any more, not even when handles are dropped.
    fn break_off(&self) {
        self.is_broken.set(true);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.drop_spare();
        if !self.is_broken() {
            let _ = self.session.disconnect(Some(DisconnectCode::ByApplication), "done", None);
        }
        self.break_off();
    }
}

/// Starts SFTP in a session that is logged in.
fn start_sftp(session: &Session) -> Result<Channel, Error> {
    let mut channel = session.channel_open("session", WINDOW_LEN_BYTES, PACKET_LEN_MAX_BYTES, None)?;
    channel.handle_extended_data(ExtendedData::Ignore)?;
    channel.subsystem("sftp")?;
    Ok(channel)
}

fn dial(options: &SftpOptions) -> Result<TcpStream, SftpError> {
    let unreachable = |source| SftpError::Unreachable { host: options.host.clone(), port: options.port, source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (options.host.as_str(), options.port).to_socket_addrs().map_err(unreachable)? {
        let socket = TcpStream::connect_timeout(&address, options.timeout);
        match socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}
