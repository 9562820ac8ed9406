//! Listener for `/metrics` and `/healthz`: one thread, small and deaf to most of HTTP.
//!
//! A client may be slow or hostile, and the daemon must not notice. So nothing is kept open: one
//! request a connection, within a time limit; the request has a limit in bytes; of too many
//! connections the oldest is dropped. All connections are served by one thread that never waits for
//! a single one of them, and they share the text that they are sent. A framework would bring seven
//! crates and a runtime, and leave these limits to us.

mod connection;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::connection::Connection;
use super::answer::Page;
use crate::sync::lock;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 16;
/// Time from a connection to its end.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Time for which no connections are accepted after that failed, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The slot between the loop that gathers values and the listener.
#[derive(Default)]
pub struct Shared(Mutex<Page>);

impl Shared {
    /// Replaces what is answered from now on.
    pub fn set(&self, page: Page) {
        *lock(&self.0) = page;
    }

    fn get(&self) -> Page {
        lock(&self.0).clone()
    }
}

/// A listener that runs. Dropping it ends it and all its connections.
pub struct Handle {
    address: SocketAddr,
    /// Its end of file wakes the thread and ends it.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Returns the address, with the port that the system chose if it was asked to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Listens at an address and answers from the slot; before the first page there is an empty one.
///
/// Fails if the address cannot be had: it is another machine's, taken, or below 1024 for a user.
pub fn start(address: SocketAddr, shared: Arc<Shared>) -> io::Result<Handle> {
    start_within(address, shared, TIME_MAX)
}

fn start_within(
    address: SocketAddr,
    shared: Arc<Shared>,
    time_max: Duration,
) -> io::Result<Handle> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (wake, end) = UnixStream::pair()?;
    let server = Server { listener, end, shared, time_max, connections: Vec::new() };
    let builder = std::thread::Builder::new().name("metrics".to_owned());
    let thread = builder.spawn(move || server.serve())?;
    Ok(Handle { address, wake: Some(wake), thread: Some(thread) })
}

struct Server {
    listener: TcpListener,
    /// Readable when the handle is dropped.
    end: UnixStream,
    shared: Arc<Shared>,
    time_max: Duration,
    /// The oldest first.
    connections: Vec<Connection>,
}

impl Server {
    fn serve(mut self) {
        let mut paused_until = None;
        loop {
            let now = Instant::now();
            paused_until = paused_until.filter(|until| *until > now);
            self.connections.retain(|connection| connection.deadline > now);
            match self.wait(paused_until) {
                Ok(true) => return,
                Ok(false) => {}
                // Of poll these are passing: no memory.
                Err(_) => std::thread::sleep(ACCEPT_PAUSE),
            }
            let shared = &self.shared;
            self.connections.retain_mut(|connection| connection.go_on(|| shared.get()));
            if paused_until.is_none() {
                paused_until = self.accept().err().map(|_| Instant::now() + ACCEPT_PAUSE);
            }
        }
    }

    /// Waits until something can go on; returns whether the handle was dropped.
    fn wait(&self, paused_until: Option<Instant>) -> io::Result<bool> {
        let mut files = vec![PollFd::new(&self.end, PollFlags::IN)];
        files.extend(self.connections.iter().map(Connection::awaited));
        if paused_until.is_none() {
            files.push(PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN));
        }
        let ends = self.connections.iter().map(|connection| connection.deadline);
        let next = ends.chain(paused_until).min();
        let timeout = next.map(|next| {
            // Rounded up, or the last moment would be spent in a loop.
            let left = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec::try_from(left).expect("some seconds fit")
        });
        match poll(&mut files, timeout.as_ref()) {
            Ok(_) => Ok(!files[0].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Accepts all that wait.
    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.add(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // That client has left already.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, stream: TcpStream) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            // Prometheus is served at once, so the oldest is slow or does nothing.
            self.connections.remove(0);
        }
        self.connections.push(Connection::new(stream, Instant::now() + self.time_max));
    }
}

#[cfg(test)]
mod tests;
