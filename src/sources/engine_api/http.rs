//! HTTP/1.1 as the engine speaks it.
//!
//! One request a connection. A reader refuses what it need not understand: bodies of unknown
//! length, two lengths, trailers, interim answers, bytes after the body. Head and body have limits
//! before memory is taken.

use std::io::{Read, Write};

use zeroize::Zeroizing;

use super::error::Fault;

/// Longest head of an answer, in bytes.
const HEAD_MAX_BYTES: usize = 32 << 10;
/// Most header fields of an answer.
const HEADERS_MAX: usize = 64;
/// Longest body of an answer, in bytes: a list of 5,000 containers has about 10 MiB.
pub(super) const BODY_MAX_BYTES: usize = 32 << 20;
/// Longest line with the size of a chunk, in bytes.
const CHUNK_LINE_MAX_BYTES: usize = 256;
/// Bytes asked for at once.
const READ_LEN_BYTES: usize = 16 << 10;

/// A request; its path and query are encoded already.
pub(super) struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path and query.
    pub target: &'a str,
    /// JSON, empty for none.
    pub body: &'a [u8],
    /// Whether the connection becomes a stream of frames.
    pub is_upgrade: bool,
}

impl Request<'_> {
    /// Sends the request.
    pub(super) fn send(&self, connection: &mut impl Write) -> Result<(), Fault> {
        let Self { method, target, body, is_upgrade } = self;
        let connection_is = if *is_upgrade { "Upgrade\r\nUpgrade: tcp" } else { "close" };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drumlin\r\n\
             Connection: {connection_is}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        // A body may hold a password: it leaves no copy.
        let bytes = Zeroizing::new([head.as_bytes(), body].concat());
        Ok(connection.write_all(&bytes)?)
    }
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Status.
    pub status: u16,
    /// Whether the engine calls itself Docker.
    pub is_docker: bool,
    length: Length,
}

/// Length of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Not told.
    Unknown,
    /// Told in the head, in bytes.
    Known(u64),
    /// In chunks.
    Chunked,
}

/// A reader of one answer.
pub(super) struct AnswerReader<'a> {
    input: &'a mut dyn Read,
    buffered: Vec<u8>,
    /// Bytes of the buffer that have been used.
    used: usize,
}

impl<'a> AnswerReader<'a> {
    /// Makes a reader of the answer that begins at the next byte.
    pub(super) fn new(input: &'a mut dyn Read) -> Self {
        Self { input, buffered: Vec::new(), used: 0 }
    }

    /// Reads the head.
    pub(super) fn read_head(&mut self) -> Result<Head, Fault> {
        loop {
            if let Some((len, head)) = parse_head(self.rest())? {
                self.used += len;
                return Ok(head);
            }
            if self.rest().len() >= HEAD_MAX_BYTES {
                return Err(Fault::answer("the head of the answer does not end"));
            }
            self.fill()?;
        }
    }

    /// Reads the body, after the head.
    pub(super) fn read_body(mut self, head: &Head) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        match head.length {
            // These have no body, by definition.
            _ if matches!(head.status, 204 | 304) => {}
            Length::Known(len) => self.take(len, &mut body)?,
            Length::Chunked => self.read_chunks(&mut body)?,
            Length::Unknown => return Err(Fault::answer("the answer has no length")),
        }
        if self.rest().is_empty() {
            Ok(body)
        } else {
            Err(Fault::answer("the answer is longer than it says"))
        }
    }

    /// Returns the bytes that came with the head: the begin of the stream after an upgrade.
    pub(super) fn into_buffered(self) -> Vec<u8> {
        self.rest().to_vec()
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> Result<(), Fault> {
        loop {
            let len = self.read_chunk_len()?;
            self.take(len, body)?;
            let mut end = Vec::new();
            self.take(2, &mut end)?;
            if end != b"\r\n" {
                return Err(Fault::answer("a chunk of the answer does not end where it should"));
            }
            if len == 0 {
                return Ok(());
            }
        }
    }

    fn read_chunk_len(&mut self) -> Result<u64, Fault> {
        loop {
            match httparse::parse_chunk_size(self.rest()) {
                Ok(httparse::Status::Complete((line_len, len))) => {
                    self.used += line_len;
                    return Ok(len);
                }
                Ok(httparse::Status::Partial) if self.rest().len() < CHUNK_LINE_MAX_BYTES => {
                    self.fill()?;
                }
                _ => return Err(Fault::answer("a chunk of the answer has no size")),
            }
        }
    }

    /// Appends the next `len` bytes to `body`, which must not become too long to be held in memory.
    fn take(&mut self, len: u64, body: &mut Vec<u8>) -> Result<(), Fault> {
        let room = BODY_MAX_BYTES.saturating_sub(body.len());
        let Some(mut left) = usize::try_from(len).ok().filter(|len| *len <= room) else {
            let max_mib = BODY_MAX_BYTES >> 20;
            return Err(Fault::answer(format!("the answer is longer than {max_mib} MiB")));
        };
        while left > 0 {
            if self.rest().is_empty() {
                self.fill()?;
            }
            let len = left.min(self.rest().len());
            body.extend_from_slice(&self.rest()[..len]);
            self.used += len;
            left -= len;
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        &self.buffered[self.used..]
    }

    /// Reads what is there, at most [`READ_LEN_BYTES`].
    fn fill(&mut self) -> Result<(), Fault> {
        self.buffered.drain(..std::mem::take(&mut self.used));
        let len = self.buffered.len();
        self.buffered.resize(len + READ_LEN_BYTES, 0);
        let read = self.input.read(&mut self.buffered[len..]);
        self.buffered.truncate(len + read.as_ref().map_or(0, |read| *read));
        match read? {
            0 => Err(Fault::answer("the answer was cut off")),
            _ => Ok(()),
        }
    }
}

/// Returns the head and its length in bytes, or `None` if it is not complete.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let not_http = |_| Fault::answer("the answer is not HTTP/1.1");
    let httparse::Status::Complete(len) = answer.parse(bytes).map_err(not_http)? else {
        return Ok(None);
    };
    let (Some(1), Some(status)) = (answer.version, answer.code) else {
        return Err(Fault::answer("the answer is not HTTP/1.1"));
    };
    if status < 200 && status != 101 {
        return Err(Fault::answer(format!("the answer has status {status}")));
    }
    let length = length_of(answer.headers)?;
    let is_docker = answer.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("server") && field.value.starts_with(b"Docker/")
    });
    Ok(Some((len, Head { status, is_docker, length })))
}

/// Returns the length that the header fields tell; two of them are refused, because two programs
/// would understand them differently.
fn length_of(fields: &[httparse::Header]) -> Result<Length, Fault> {
    let mut length = Length::Unknown;
    for field in fields {
        let told = if field.name.eq_ignore_ascii_case("content-length") {
            let is_number = !field.value.is_empty() && field.value.iter().all(u8::is_ascii_digit);
            let number = str::from_utf8(field.value).ok().filter(|_| is_number);
            Length::Known(
                number
                    .and_then(|number| number.parse().ok())
                    .ok_or_else(|| Fault::answer("the length of the answer is not a number"))?,
            )
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::answer("the answer has an unknown encoding"));
            }
            Length::Chunked
        } else {
            continue;
        };
        if length != Length::Unknown {
            return Err(Fault::answer("the answer has two lengths"));
        }
        length = told;
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
