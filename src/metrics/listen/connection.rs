//! One connection of the listener: a request, its answer, the end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use crate::metrics::answer::{Answer, Page, answer};

/// Longest head of a request.
const HEAD_LEN_MAX_BYTES: usize = 8 << 10;
/// Most header fields of a request.
const HEADERS_MAX: usize = 64;
/// Bytes that are read at once.
const READ_LEN_BYTES: usize = 2 << 10;

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    state: State,
    /// When it is dropped, whatever its state.
    pub deadline: Instant,
}

enum State {
    /// The head of the request so far.
    Reading(Vec<u8>),
    /// The answer.
    Writing(Sending),
    /// The answer is sent, and the client has not closed the connection. Closing it while bytes of
    /// the client wait would take the answer back.
    Ending,
}

struct Sending {
    head: Vec<u8>,
    body: Arc<str>,
    /// Bytes of both that are sent.
    sent: usize,
}

impl Connection {
    /// Begins with a stream that does not block.
    pub(super) fn new(stream: TcpStream, deadline: Instant) -> Self {
        Self { stream, state: State::Reading(Vec::new()), deadline }
    }

    /// Returns what it waits for.
    pub(super) fn awaited(&self) -> PollFd<'_> {
        let flags = match self.state {
            State::Writing(_) => PollFlags::OUT,
            State::Reading(_) | State::Ending => PollFlags::IN,
        };
        PollFd::new(&self.stream, flags)
    }

    /// Does what is possible without waiting; returns whether there is more to do later.
    pub(super) fn go_on(&mut self, page: impl FnOnce() -> Page) -> bool {
        let mut answered = None;
        let end = match &mut self.state {
            State::Reading(head) => read(&mut self.stream, head).map(|has_ended| {
                answered = Sending::of(head, page);
                // A client may close its side as soon as it has asked.
                has_ended && answered.is_none()
            }),
            State::Ending => read(&mut self.stream, &mut Vec::new()),
            State::Writing(_) => Ok(false),
        };
        if let Some(sending) = answered {
            self.state = State::Writing(sending);
        }
        let end = end.and_then(|has_ended| Ok(has_ended | self.send()?));
        match end {
            Ok(has_ended) => !has_ended,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Sends what the client takes; returns whether it never will take the rest.
    fn send(&mut self) -> io::Result<bool> {
        let State::Writing(sending) = &mut self.state else { return Ok(false) };
        while !sending.rest().is_empty() {
            match self.stream.write(sending.rest()) {
                Ok(0) => return Ok(true),
                Ok(len) => sending.sent += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.state = State::Ending;
        Ok(false)
    }
}

/// Reads once; returns whether the client has closed its side.
///
/// Only once, so that a client that never stops sending keeps no other waiting.
fn read(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; READ_LEN_BYTES];
    match stream.read(&mut buffer) {
        Ok(len) => {
            into.extend_from_slice(&buffer[..len]);
            Ok(len == 0)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

impl Sending {
    /// Returns the answer to a request; `None` if its head has not ended yet.
    fn of(request: &[u8], page: impl FnOnce() -> Page) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let (method, answer) = match parsed.parse(request) {
            Ok(httparse::Status::Complete(_)) => {
                let (method, target) = (parsed.method?, parsed.path?);
                (method, answer(method, target, &page()))
            }
            Ok(httparse::Status::Partial) if request.len() < HEAD_LEN_MAX_BYTES => return None,
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                ("", Answer::plain(431, "the head of the request is too long"))
            }
            Err(_) => ("", Answer::plain(400, "this is no request of HTTP/1.1")),
        };
        let body = if method == "HEAD" { Arc::default() } else { Arc::clone(&answer.body) };
        Some(Self { head: head_of(&answer), body, sent: 0 })
    }

    fn rest(&self) -> &[u8] {
        match self.head.get(self.sent..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => &self.body.as_bytes()[self.sent - self.head.len()..],
        }
    }
}

fn head_of(answer: &Answer) -> Vec<u8> {
    let reason = match answer.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed\r\nAllow: GET, HEAD",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let Answer { status, content_type, body } = answer;
    let len = body.len();
    // A browser must not take the names of apps for anything but text.
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}
