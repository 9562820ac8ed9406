//! Multiplexer of a connection: queued requests, received bytes, and the reply of each request.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::error::printable;
use super::wire::{self, Answer, Packet, Request};

/// Bytes that are read from a connection at once.
const TAKE_LEN_BYTES: usize = 64 << 10;

/// Bytes that are kept of output that is not SFTP.
const FOREIGN_LEN_MAX_BYTES: usize = 1 << 10;
/// How long more of that output is awaited.
const FOREIGN_TIME: Duration = Duration::from_millis(200);

/// A channel that carries SFTP. Never blocks.
pub(super) struct Multiplexer {
    channel: Channel,
    /// Bytes to send.
    out: Vec<u8>,
    /// Received bytes that are not a whole packet yet.
    come: Vec<u8>,
    last_number: u32,
    version: Option<u32>,
    /// Output of a peer that does not speak SFTP.
    foreign: Option<String>,
    under_way: HashMap<u32, RequestState>,
}

/// State of a request in flight.
enum RequestState {
    Awaited,
    /// The reply will be ignored.
    Unwanted,
    Come(Answer),
}

/// A request in flight. Its reply must be taken or declined.
#[derive(Debug)]
#[must_use]
pub(super) struct Sent(u32);

impl Multiplexer {
    /// Wraps a channel on which SFTP was started.
    pub(super) fn new(channel: Channel) -> Self {
        let under_way = HashMap::new();
        Self {
            channel,
            out: Vec::new(),
            come: Vec::new(),
            last_number: 0,
            version: None,
            foreign: None,
            under_way,
        }
    }

    /// Queues the greeting.
    pub(super) fn greet(&mut self) {
        wire::encode_greeting(&mut self.out);
    }

    /// Returns what came instead of a greeting: the output of a shell, or the end of the program.
    pub(super) fn foreign(&self) -> Option<&str> {
        self.foreign.as_deref()
    }

    /// Returns the version that the server speaks, once it has said so.
    pub(super) fn version(&self) -> Option<u32> {
        self.version
    }

    /// Queues a request.
    pub(super) fn send(&mut self, request: &Request<'_>) -> Sent {
        self.last_number = self.last_number.wrapping_add(1);
        request.encode(self.last_number, &mut self.out);
        self.under_way.insert(self.last_number, RequestState::Awaited);
        Sent(self.last_number)
    }

    /// Ignores the reply when it comes.
    pub(super) fn decline(&mut self, sent: &Sent) {
        if let Some(RequestState::Come(_)) = self.under_way.insert(sent.0, RequestState::Unwanted) {
            self.under_way.remove(&sent.0);
        }
    }

    /// Returns the answer, if it has come.
    pub(super) fn take_answer(&mut self, sent: &Sent) -> Option<Answer> {
        match self.under_way.remove(&sent.0)? {
            RequestState::Come(answer) => Some(answer),
            other => {
                self.under_way.insert(sent.0, other);
                None
            }
        }
    }

    /// Returns whether nothing is left to be sent.
    pub(super) fn is_sent(&self) -> bool {
        self.out.is_empty()
    }

    /// Sends as much as the server has room for; returns whether bytes moved.
    pub(super) fn send_some(&mut self) -> Result<bool, String> {
        let mut sent = 0;
        let mut is_blocked = false;
        let mut result = Ok(());
        while sent < self.out.len() {
            match self.channel.write(&self.out[sent..]) {
                Ok(0) => break,
                Ok(len) => sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_blocked = true;
                    break;
                }
                Err(error) => {
                    result = Err(error.to_string());
                    break;
                }
            }
        }
        self.out.drain(..sent);
        result?;
        // Sending may be blocked by a window update that receiving has half sent; only receiving
        // completes it. If our own packet is half sent, receiving does no harm.
        Ok((is_blocked && self.take_some()?) || sent > 0)
    }

    /// Receives what has come; returns whether bytes moved.
    pub(super) fn take_some(&mut self) -> Result<bool, String> {
        let before = self.come.len();
        self.come.resize(before + TAKE_LEN_BYTES, 0);
        let read = self.channel.read(&mut self.come[before..]);
        self.come.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) if self.channel.eof() => {
                self.note_foreign();
                Err("the server has ended it".to_owned())
            }
            Ok(0) => Ok(false),
            Ok(_) => self.sort().map(|()| true).inspect_err(|_| self.note_foreign()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Keeps what came instead of a greeting, and what comes shortly after: a shell may print it
    /// piece by piece.
    fn note_foreign(&mut self) {
        if self.version.is_some() {
            return;
        }
        let since = Instant::now();
        let is_ended = |channel: &Channel| {
            channel.eof()
                && (channel.exit_status().is_ok_and(|status| status != 0)
                    || signal_of(channel).is_some())
        };
        while since.elapsed() < FOREIGN_TIME && self.come.len() < FOREIGN_LEN_MAX_BYTES {
            let mut more = [0; 512];
            match self.channel.read(&mut more) {
                Ok(len) => self.come.extend_from_slice(&more[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            // The exit status comes after the end of the output, and reading does not receive it.
            let is_closed = self.channel.eof() && self.channel.wait_close().is_ok();
            if is_closed || is_ended(&self.channel) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if signal_of(&self.channel).is_some() {
            // It was killed: the next attempt may succeed.
            return;
        }
        let end = match (self.channel.eof(), self.channel.exit_status().unwrap_or(0)) {
            (false, _) => None,
            (true, 0) => Some("it ended at once".to_owned()),
            (true, status) => Some(format!("it ended at once, with status {status}")),
        };
        let said = printable(&self.come[..self.come.len().min(FOREIGN_LEN_MAX_BYTES)]);
        let said = (!said.is_empty()).then(|| format!("it says \"{said}\""));
        let all: Vec<String> = [end, said].into_iter().flatten().collect();
        self.foreign = Some(all.join("; "));
    }

    /// Assigns whole packets to their requests.
    fn sort(&mut self) -> Result<(), String> {
        let mut taken = 0;
        // The length of a greeting begins with a zero, and no text does.
        if self.version.is_none() && self.come.first().is_some_and(|byte| *byte != 0) {
            return Err("what came is not SFTP".to_owned());
        }
        while let Some((len, rest)) = self.come[taken..].split_first_chunk() {
            let len = u32::from_be_bytes(*len) as usize;
            if len > wire::ANSWER_LEN_MAX_BYTES {
                return Err("the server's answer is longer than any may be".to_owned());
            }
            let Some(packet) = rest.get(..len) else { break };
            match wire::decode(packet) {
                Some(Packet::Version(version)) if self.version.is_none() => {
                    self.version = Some(version)
                }
                Some(Packet::Answer(number, answer)) => match self.under_way.remove(&number) {
                    Some(RequestState::Awaited) => {
                        drop(self.under_way.insert(number, RequestState::Come(answer)))
                    }
                    Some(RequestState::Unwanted) => {}
                    _ => return Err("the server answers a request that was not made".to_owned()),
                },
                _ => return Err("the server's answer breaks the protocol".to_owned()),
            }
            taken += 4 + len;
        }
        self.come.drain(..taken);
        Ok(())
    }
}

/// Returns the signal that has ended the program of a channel.
fn signal_of(channel: &Channel) -> Option<String> {
    channel.exit_signal().ok()?.exit_signal
}
