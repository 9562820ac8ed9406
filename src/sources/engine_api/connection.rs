//! Connection to the engine's socket, with limits of waiting.
//!
//! The socket never blocks: every wait is a `poll` that ends at a moment of the monotonic clock, or
//! when the user stops the operation. An engine that hangs therefore never hangs a backup.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::error::Fault;
use crate::monitor::Monitor;

/// Interval at which a waiting connection looks for the end of its patience.
const WAIT: Duration = Duration::from_millis(100);

/// Limits of waiting.
#[derive(Clone, Default)]
pub(super) struct Patience {
    /// The moment at which waiting ends, and the time that was given.
    pub deadline: Option<Deadline>,
    /// Ends waiting when it is cancelled.
    pub monitor: Option<Arc<Monitor>>,
    /// Ends waiting when it is set.
    pub stop: Arc<AtomicBool>,
}

/// A moment of the monotonic clock, and the time that led to it, for messages.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    moment: Instant,
    given: Duration,
}

impl Deadline {
    /// Returns the moment after a time from now.
    pub(super) fn after(given: Duration) -> Self {
        Self { moment: Instant::now() + given, given }
    }

    /// Returns whether the moment has passed.
    pub(super) fn has_passed(&self) -> bool {
        Instant::now() >= self.moment
    }
}

impl Patience {
    /// Returns a patience that ends at a moment.
    pub(super) fn until(deadline: Deadline) -> Self {
        Self { deadline: Some(deadline), ..Self::default() }
    }

    /// Fails if the time is up, or the user stopped the operation.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let is_cancelled = self.monitor.as_ref().is_some_and(|monitor| monitor.is_cancelled());
        if is_cancelled || self.stop.load(Ordering::Relaxed) {
            return Err(Fault::Interrupted);
        }
        match self.deadline {
            Some(deadline) if deadline.has_passed() => Err(Fault::Slow(deadline.given)),
            _ => Ok(()),
        }
    }
}

/// A connection to the engine.
pub(super) struct Connection {
    socket: UnixStream,
    /// Limits of all waiting from now on.
    pub patience: Patience,
}

impl Connection {
    /// Connects to a socket.
    ///
    /// The system lets a caller wait as long as the queue of the socket is full, which it is when
    /// an engine hangs: that is asked again until the patience ends.
    pub(super) fn open(path: &Path, patience: Patience) -> Result<Self, Fault> {
        let connect_fault = |errno: Errno| Fault::Connect(errno.into());
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(connect_fault)?;
        let address = SocketAddrUnix::new(path).map_err(connect_fault)?;
        loop {
            match connect(&socket, &address) {
                Ok(()) => return Ok(Self { socket: socket.into(), patience }),
                Err(Errno::AGAIN) => std::thread::sleep(WAIT),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(connect_fault(errno)),
            }
            patience.check()?;
        }
    }

    /// Waits until one of `flags` holds, or the other side has hung up; returns what holds.
    pub(super) fn wait(&self, flags: PollFlags) -> Result<PollFlags, Fault> {
        let step = Timespec::try_from(WAIT).expect("a tenth of a second fits");
        loop {
            // Before each look, so that an answer that comes byte by byte has the same limit.
            self.patience.check()?;
            let mut files = [PollFd::from_borrowed_fd(self.socket.as_fd(), flags)];
            match poll(&mut files, Some(&step)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(files[0].revents()),
                Err(errno) => return Err(Fault::Io(errno.into())),
            }
        }
    }

    /// Receives what is there now: `None` if that is nothing, 0 bytes at the end.
    pub(super) fn receive_some(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Fault> {
        would_block(self.socket.read(buffer))
    }

    /// Sends as much as the socket takes now: `None` if that is nothing.
    pub(super) fn send_some(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        would_block(self.socket.write(bytes))
    }

    /// Tells the other side that nothing more is sent.
    pub(super) fn close_writing(&self) -> Result<(), Fault> {
        self.socket.shutdown(Shutdown::Write).map_err(Fault::Io)
    }

    /// Ends the connection in both directions.
    pub(super) fn close(&self) {
        // It has been closed by the other side, if this fails.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait(PollFlags::IN)?;
            if let Some(len) = self.receive_some(buffer)? {
                return Ok(len);
            }
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.wait(PollFlags::OUT)?;
            if let Some(len) = self.send_some(bytes)? {
                return Ok(len);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns `None` where a call would have waited.
fn would_block(done: io::Result<usize>) -> Result<Option<usize>, Fault> {
    match done {
        Ok(len) => Ok(Some(len)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(None)
        }
        Err(error) => Err(Fault::Io(error)),
    }
}
