//! One connection to a server: TCP, its key checked, logged in, SFTP started; and how long its requests may stand still.
//!
//! libssh2 limits the time of a whole call, which says nothing about 28 MiB on a slow line. So requests are made without blocking, and what is
//! limited is each wait for the socket: whatever moves is progress.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libssh2_sys as raw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use ssh2::{BlockDirections, DisconnectCode, Error, ErrorCode, File, FileStat, Session, Sftp};

use super::error::SftpError;
use super::host_key::KnownKeys;
use super::login::{has_ended, log_in};
use super::options::SftpOptions;
use crate::store::pace::Pace;

/// Longest wait for an answer to the question whether an idle connection still works.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);
/// What libssh2 says if a server refuses SFTP itself. Its code is that of all failures on the way there.
const NO_SUBSYSTEM: &str = "Unable to request SFTP subsystem";
/// Codes of the protocol that have a text; higher ones are not known to libssh2.
const STATUS_CODES: std::ops::RangeInclusive<i32> = 1..=21;

/// A connection that is logged in. After a failure that is not the server's plain answer it is broken and of no more use.
pub struct Connection {
    sftp: Sftp,
    session: Session,
    socket: TcpStream,
    wait_max: Cell<Duration>,
    is_broken: Cell<bool>,
    pace: Arc<Pace>,
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
            session.sftp().map_err(|error| match error.message() {
                NO_SUBSYSTEM if !has_ended(&socket) => {
                    SftpError::NoSftp { host: options.host.clone(), user: options.user.clone() }
                }
                // Some servers count connections only after the login, and hang up then.
                _ => failed(error),
            })
        });
        let sftp = ready.inspect_err(|_| {
            // Else freeing the session would wait for a server that is silent.
            let _ = socket.shutdown(Shutdown::Both);
        })?;
        session.set_blocking(false);
        Ok(Self {
            sftp,
            session,
            socket,
            wait_max: Cell::new(options.timeout),
            is_broken: Cell::new(false),
            pace: options.pace.clone(),
        })
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
        let is_quiet = match self.socket.peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            // Some servers ask now and then whether we are there.
            Ok(len) if len > 0 => false,
            _ => {
                self.break_off();
                return false;
            }
        };
        if is_quiet && idle < trusted {
            return true;
        }
        let wait_max = self.wait_max.replace(self.wait_max.get().min(CHECK_TIME_MAX));
        let answer = self.call(|sftp| sftp.realpath(Path::new(".")));
        self.wait_max.set(wait_max);
        answer.is_ok() || !self.is_broken()
    }

    /// Makes one request, and waits for its answer as long as anything moves.
    ///
    /// Fails with [`SftpError::Status`] if the server refuses it; after any other failure the connection is broken.
    pub fn call<T>(&self, mut request: impl FnMut(&Sftp) -> Result<T, Error>) -> Result<T, SftpError> {
        loop {
            match request(&self.sftp) {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait_or_fail(&error)?,
            }
        }
    }

    /// Makes one request about an open file, as [`call`](Self::call) does.
    pub fn call_file<T>(&self, file: &mut File, mut request: impl FnMut(&mut File) -> Result<T, Error>) -> Result<T, SftpError> {
        self.call(|_| request(file))
    }

    /// Returns the next entry of an open folder: its name, and what is known of it.
    pub fn read_folder(&self, folder: &mut File) -> Result<Option<(std::path::PathBuf, FileStat)>, SftpError> {
        self.call(|_| match folder.readdir() {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.code() == ErrorCode::Session(raw::LIBSSH2_ERROR_FILE) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Reads into a buffer as much as has come; nothing means the end of the file.
    pub fn read(&self, file: &mut File, buffer: &mut [u8]) -> Result<usize, SftpError> {
        self.transfer(|| file.read(buffer))
    }

    /// Sends bytes; returns how many of them the server has confirmed, maybe none yet. The next call must go on behind these.
    pub fn write(&self, file: &mut File, bytes: &[u8]) -> Result<usize, SftpError> {
        self.transfer(|| file.write(bytes))
    }

    fn transfer(&self, mut once: impl FnMut() -> io::Result<usize>) -> Result<usize, SftpError> {
        self.call(|_| {
            once().map_err(|error| {
                let known = Error::last_session_error(&self.session);
                let code = known.map_or(ErrorCode::Session(raw::LIBSSH2_ERROR_SOCKET_RECV), |known| known.code());
                if error.kind() == io::ErrorKind::WouldBlock {
                    return Error::from_errno(ErrorCode::Session(raw::LIBSSH2_ERROR_EAGAIN));
                }
                if code != ErrorCode::Session(raw::LIBSSH2_ERROR_SFTP_PROTOCOL) {
                    return Error::from_errno(code);
                }
                // The code is lost on the way through `io::Error`, but not its text.
                let text = error.to_string();
                let status = STATUS_CODES.map(ErrorCode::SFTP).find(|status| Error::from_errno(*status).message() == text);
                Error::from_errno(status.unwrap_or(code))
            })
        })
    }

    fn wait_or_fail(&self, error: &Error) -> Result<(), SftpError> {
        match error.code() {
            ErrorCode::Session(raw::LIBSSH2_ERROR_EAGAIN) => self.wait(),
            ErrorCode::SFTP(code) if code > 0 => Err(SftpError::Status { code, text: error.message().to_owned() }),
            _ => {
                self.break_off();
                Err(SftpError::Lost(error.message().to_owned()))
            }
        }
    }

    /// Waits until the socket can do what libssh2 wants of it.
    fn wait(&self) -> Result<(), SftpError> {
        let wanted = match self.session.block_directions() {
            BlockDirections::Outbound => PollFlags::OUT,
            BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
            BlockDirections::Inbound | BlockDirections::None => PollFlags::IN,
        };
        let wait_max = Timespec::try_from(self.wait_max.get()).ok();
        loop {
            match poll(&mut [PollFd::new(&self.socket, wanted)], wait_max.as_ref()) {
                Err(Errno::INTR) => {}
                Ok(0) => {
                    self.break_off();
                    return Err(SftpError::Silent(self.wait_max.get().as_secs()));
                }
                Ok(_) => return Ok(()),
                Err(errno) => {
                    self.break_off();
                    return Err(SftpError::Lost(errno.to_string()));
                }
            }
        }
    }

    /// Nothing is sent or awaited any more, not even when handles are dropped.
    fn break_off(&self) {
        self.is_broken.set(true);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_broken() {
            let _ = self.session.disconnect(Some(DisconnectCode::ByApplication), "done", None);
        }
        self.break_off();
    }
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
