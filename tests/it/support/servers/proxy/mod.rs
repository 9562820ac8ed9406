//! A TCP proxy on 127.0.0.1 between a client and a real server that delays, throttles, cuts and
//! swallows what passes through it.
//!
//! Each connection has four threads: in each direction one takes bytes and notes when they are due,
//! the other passes them on then. So a delay is one of the line and not one of each piece. Whatever
//! is set holds at once, for connections that are open already, too.

mod pair;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use self::pair::{Pair, end_with_reset};

/// How soon a thread that waits notices that something was set.
const NOTICE: Duration = Duration::from_millis(10);
/// Bytes that are passed on at once at most.
const PIECE_LEN_MAX_BYTES: usize = 16 << 10;
/// Bytes on their way in one direction of a connection at most; fewer where bandwidth is limited,
/// so that the sender feels it.
const QUEUE_LEN_MAX_BYTES: u64 = 64 << 20;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    Server,
    Client,
}

/// What happens after a number of bytes, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The connection that carries the next byte is reset.
    Reset,
    /// As [`Proxy::black_hole`].
    Silence,
    /// All connections are reset, and then as [`Proxy::refuse`].
    Refusal,
}

/// A running proxy; dropping it resets all its connections.
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

/// What all connections share.
struct Line {
    upstream: SocketAddr,
    delay_us: AtomicU64,
    jitter_us: AtomicU64,
    /// 0 stands for no limit.
    bytes_per_second: AtomicU64,
    is_black_hole: AtomicBool,
    is_refusing: AtomicBool,
    is_over: AtomicBool,
    ways: [Way; 2],
    connections: AtomicU64,
    rounds: AtomicU64,
    /// The round whose answer ends its connection instead of being passed on; 0 for none.
    lost_round: AtomicU64,
    open: Mutex<Vec<std::sync::Weak<Pair>>>,
}

/// One direction of the line.
#[derive(Default)]
struct Way {
    bytes: AtomicU64,
    /// Bytes that may still pass before something happens.
    until: Mutex<Option<(u64, Then)>>,
    /// When the line has sent what it was given so far.
    free_at: Mutex<Option<Instant>>,
}

/// Bytes and when they are due; none for the end.
type Piece = (Instant, Vec<u8>);

impl Proxy {
    /// Starts a proxy to a server, which changes nothing at first.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(Line {
            upstream,
            delay_us: AtomicU64::new(0),
            jitter_us: AtomicU64::new(0),
            bytes_per_second: AtomicU64::new(0),
            is_black_hole: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            ways: [Way::default(), Way::default()],
            connections: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
            lost_round: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let shared = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener
                .incoming()
                .map_while(|client| (!shared.is_over.load(SeqCst)).then_some(client))
            {
                shared.accept(client.unwrap());
            }
        });
        Self { port, line }
    }

    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays everything in each direction, so that a round trip takes twice as long. Bandwidth
    /// stays as it is.
    pub fn delay(&self, each_way: Duration) {
        self.line.delay_us.store(u64::try_from(each_way.as_micros()).unwrap(), SeqCst);
    }

    /// Delays every piece by up to so much more, by chance.
    pub fn jitter(&self, each_way_max: Duration) {
        self.line.jitter_us.store(u64::try_from(each_way_max.as_micros()).unwrap(), SeqCst);
    }

    /// Limits what all connections together pass in each direction; 0 for no limit.
    pub fn bandwidth(&self, bytes_per_second: u64) {
        self.line.bytes_per_second.store(bytes_per_second, SeqCst);
    }

    /// Passes so many bytes more in one direction, and then resets the connection that carries the
    /// next one, once.
    pub fn reset_after(&self, toward: Toward, bytes: u64) {
        self.after(toward, bytes, Then::Reset);
    }

    /// Passes so many bytes more in one direction, and then does something, once.
    pub fn after(&self, toward: Toward, bytes: u64, then: Then) {
        *self.line.way(toward).until.lock().unwrap() = Some((bytes, then));
    }

    /// Returns whether a reset, or something else that was asked for, is still to come.
    pub fn is_reset_due(&self, toward: Toward) -> bool {
        self.line.way(toward).until.lock().unwrap().is_some()
    }

    /// Returns whether nothing passes now, or nobody can connect.
    pub fn is_harmed(&self) -> bool {
        self.line.is_black_hole.load(SeqCst) || self.line.is_refusing.load(SeqCst)
    }

    /// Forgets what is still to come, and lets everything pass again.
    pub fn heal(&self) {
        for toward in [Toward::Server, Toward::Client] {
            *self.line.way(toward).until.lock().unwrap() = None;
        }
        self.black_hole(false);
        self.refuse(false);
    }

    /// Holds everything back without a word, in both directions, or lets it go on.
    pub fn black_hole(&self, on: bool) {
        self.line.is_black_hole.store(on, SeqCst);
    }

    /// Resets new connections at once, as if nobody listened, or takes them again.
    pub fn refuse(&self, on: bool) {
        self.line.is_refusing.store(on, SeqCst);
    }

    /// Ends all open connections, as servers do with idle ones.
    pub fn close_connections(&self) {
        for pair in self.line.open_pairs() {
            let _ = pair.client.shutdown(Shutdown::Both);
            let _ = pair.server.shutdown(Shutdown::Both);
            pair.is_dead.store(true, SeqCst);
        }
    }

    /// Returns how often a client of any connection sent something after it had got something:
    /// round trips that it waited for, if the line is so slow that what it sends at once is sent
    /// before an answer comes.
    pub fn rounds(&self) -> u64 {
        self.line.rounds.load(SeqCst)
    }

    /// Resets the connection instead of passing on the answer to the so-manieth thing from now on
    /// that a client waits for.
    pub fn lose_answer(&self, rounds: u64) {
        self.line.lost_round.store(self.rounds() + rounds, SeqCst);
    }

    /// Returns how many connections were made, those that were refused left out.
    pub fn connections(&self) -> u64 {
        self.line.connections.load(SeqCst)
    }

    /// Returns how many connections are open.
    pub fn open_connections(&self) -> usize {
        self.line.open_pairs().iter().filter(|pair| !pair.is_dead.load(SeqCst)).count()
    }

    /// Returns how many bytes were passed on in one direction.
    pub fn bytes(&self, toward: Toward) -> u64 {
        self.line.way(toward).bytes.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.is_over.store(true, SeqCst);
        self.line.open_pairs().iter().for_each(|pair| pair.reset());
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Line {
    fn way(&self, toward: Toward) -> &Way {
        &self.ways[toward as usize]
    }

    fn open_pairs(&self) -> Vec<Arc<Pair>> {
        let mut open = self.open.lock().unwrap();
        open.retain(|pair| pair.strong_count() > 0);
        open.iter().filter_map(std::sync::Weak::upgrade).collect()
    }

    fn accept(self: &Arc<Self>, client: TcpStream) {
        let server = if self.is_refusing.load(SeqCst) {
            Err(io::ErrorKind::Other.into())
        } else {
            TcpStream::connect(self.upstream)
        };
        let Ok(server) = server else {
            end_with_reset(&client);
            return;
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(NOTICE)).unwrap();
            stream.set_write_timeout(Some(NOTICE)).unwrap();
        }
        let pair = Arc::new(Pair {
            client,
            server,
            is_dead: AtomicBool::new(false),
            is_answered: AtomicBool::new(true),
        });
        self.open.lock().unwrap().push(Arc::downgrade(&pair));
        self.connections.fetch_add(1, SeqCst);
        for toward in [Toward::Server, Toward::Client] {
            let (sender, receiver) = mpsc::channel();
            let queued = Arc::new(AtomicU64::new(0));
            let (line, ends, waiting) = (Arc::clone(self), Arc::clone(&pair), Arc::clone(&queued));
            thread::spawn(move || line.take(&ends, toward, &sender, &waiting));
            let (line, ends) = (Arc::clone(self), Arc::clone(&pair));
            thread::spawn(move || line.pass_all(&ends, toward, &receiver, &queued));
        }
    }

    /// Takes bytes from one end until it ends.
    fn take(&self, pair: &Pair, toward: Toward, sender: &Sender<Piece>, queued: &AtomicU64) {
        let mut from = pair.end(toward, false);
        let mut buffer = vec![0; PIECE_LEN_MAX_BYTES];
        let mut last_due = Instant::now();
        while !pair.is_dead.load(SeqCst) {
            if queued.load(SeqCst) >= self.queue_len_max_bytes() {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            let len = match from.read(&mut buffer) {
                Err(error) if is_only_late(&error) => continue,
                Err(_) => return pair.reset(),
                Ok(len) => len,
            };
            if toward == Toward::Server && len > 0 && pair.is_answered.swap(false, SeqCst) {
                self.rounds.fetch_add(1, SeqCst);
            }
            queued.fetch_add(len as u64, SeqCst);
            // Nothing overtakes what was sent before.
            last_due = last_due.max(Instant::now() + self.delay());
            if sender.send((last_due, buffer[..len].to_vec())).is_err() || len == 0 {
                return;
            }
        }
    }

    fn delay(&self) -> Duration {
        let jitter_us = match self.jitter_us.load(SeqCst) {
            0 => 0,
            most => rand::random::<u64>() % most,
        };
        Duration::from_micros(self.delay_us.load(SeqCst) + jitter_us)
    }

    fn queue_len_max_bytes(&self) -> u64 {
        match self.bytes_per_second.load(SeqCst) {
            0 => QUEUE_LEN_MAX_BYTES,
            rate => (64 << 10) + rate * self.delay_us.load(SeqCst) / 1_000_000,
        }
    }

    /// Passes bytes on to the other end when they are due.
    fn pass_all(
        &self,
        pair: &Pair,
        toward: Toward,
        receiver: &Receiver<Piece>,
        queued: &AtomicU64,
    ) {
        while !pair.is_dead.load(SeqCst) {
            let (due, bytes) = match receiver.recv_timeout(NOTICE) {
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(piece) => piece,
            };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.wait_for_bandwidth(toward, bytes.len() as u64);
            self.wait_for_silence_to_end(pair);
            if bytes.is_empty() {
                let _ = pair.end(toward, true).shutdown(Shutdown::Write);
                return;
            }
            self.pass(pair, toward, &bytes);
            queued.fetch_sub(bytes.len() as u64, SeqCst);
        }
    }

    /// The line is shared: who comes later waits until those before are through.
    fn wait_for_bandwidth(&self, toward: Toward, bytes: u64) {
        let rate = self.bytes_per_second.load(SeqCst);
        if rate == 0 {
            return;
        }
        let until = {
            let mut free_at = self.way(toward).free_at.lock().unwrap();
            let now = Instant::now();
            let start = free_at.filter(|at| *at > now).unwrap_or(now);
            *free_at.insert(start + Duration::from_secs_f64(bytes as f64 / rate as f64))
        };
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    fn wait_for_silence_to_end(&self, pair: &Pair) {
        while self.is_black_hole.load(SeqCst) && !pair.is_dead.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Passes bytes on, and does what was asked for behind one of them.
    fn pass(&self, pair: &Pair, toward: Toward, bytes: &[u8]) {
        let lost_round = self.lost_round.load(SeqCst);
        if toward == Toward::Client && lost_round > 0 && self.rounds.load(SeqCst) >= lost_round {
            self.lost_round.store(0, SeqCst);
            return pair.reset();
        }
        let (allowed, then) = self.take_until(toward, bytes.len());
        self.send(pair, toward, &bytes[..allowed]);
        match then {
            None => {}
            Some(Then::Reset) => pair.reset(),
            Some(Then::Silence) => {
                self.is_black_hole.store(true, SeqCst);
                self.wait_for_silence_to_end(pair);
                self.send(pair, toward, &bytes[allowed..]);
            }
            Some(Then::Refusal) => {
                self.is_refusing.store(true, SeqCst);
                self.open_pairs().iter().for_each(|pair| pair.reset());
            }
        }
    }

    /// Returns how many of so many bytes pass before something happens, and what that is.
    fn take_until(&self, toward: Toward, len: usize) -> (usize, Option<Then>) {
        let mut until = self.way(toward).until.lock().unwrap();
        match *until {
            Some((left, then)) if (left as usize) < len => {
                *until = None;
                (left as usize, Some(then))
            }
            Some((left, then)) => {
                *until = Some((left - len as u64, then));
                (len, None)
            }
            None => (len, None),
        }
    }

    fn send(&self, pair: &Pair, toward: Toward, bytes: &[u8]) {
        // Before they are passed on: who has received them all finds them counted.
        self.way(toward).bytes.fetch_add(bytes.len() as u64, SeqCst);
        if toward == Toward::Client {
            pair.is_answered.store(true, SeqCst);
        }
        let mut rest = bytes;
        while !rest.is_empty() && !pair.is_dead.load(SeqCst) {
            match pair.end(toward, true).write(rest) {
                Err(error) if is_only_late(&error) => {}
                Err(_) => return pair.reset(),
                Ok(len) => rest = &rest[len..],
            }
        }
    }
}

fn is_only_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
