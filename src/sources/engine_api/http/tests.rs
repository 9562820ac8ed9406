//! Goal: answers are understood in full or refused, with bounded memory. Method: honest answers cut
//! into pieces of every length, hostile ones, and bytes that chance made.

use std::io::{self, Read};

use proptest::prelude::*;

use super::{AnswerReader, BODY_MAX_BYTES, HEAD_MAX_BYTES, Request};
use crate::sources::engine_api::Fault;

/// Input in pieces of at most so many bytes, which counts how many were read.
struct Pieces<'a> {
    rest: &'a [u8],
    piece_len: usize,
    read_bytes: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.piece_len.min(self.rest.len()).min(buffer.len());
        buffer[..len].copy_from_slice(&self.rest[..len]);
        self.rest = &self.rest[len..];
        self.read_bytes += len;
        Ok(len)
    }
}

/// Input that repeats a text without end.
struct Endless {
    text: &'static [u8],
    at: usize,
    read_bytes: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.text[self.at % self.text.len()];
            self.at += 1;
        }
        self.read_bytes += buffer.len();
        Ok(buffer.len())
    }
}

fn read(input: &mut dyn Read) -> Result<(u16, Vec<u8>), Fault> {
    let mut reader = AnswerReader::new(input);
    let head = reader.read_head()?;
    let body = reader.read_body(&head)?;
    Ok((head.status, body))
}

fn read_in_pieces(answer: &[u8], piece_len: usize) -> Result<(u16, Vec<u8>), Fault> {
    read(&mut Pieces { rest: answer, piece_len, read_bytes: 0 })
}

const HONEST: [(&[u8], u16, &[u8]); 6] = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello", 200, b"hello"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nA\r\nlo, world!\r\n0\r\n\r\n",
        200,
        b"hello, world!",
    ),
    (b"HTTP/1.1 500 Oh\r\ntransfer-encoding: Chunked\r\n\r\n1;x=y\r\nz\r\n0\r\n\r\n", 500, b"z"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
];

#[test]
fn honest_answers_are_read_whatever_the_pieces() {
    for (answer, status, body) in HONEST {
        for piece_len in 1..=answer.len() {
            let (read_status, read_body) = read_in_pieces(answer, piece_len).unwrap();
            assert_eq!((read_status, &read_body[..]), (status, body));
        }
    }
}

#[test]
fn an_answer_that_is_cut_anywhere_is_refused() {
    for (answer, _, _) in HONEST {
        for len in 0..answer.len() {
            assert!(matches!(read_in_pieces(&answer[..len], 7), Err(Fault::Answer(_))), "{len}");
        }
        let longer = [answer, b"x"].concat();
        assert!(matches!(read_in_pieces(&longer, longer.len()), Err(Fault::Answer(_))));
    }
}

#[test]
fn hostile_answers_are_refused() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for answer in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nbody without length",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 33554433\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        &format!("{chunked}zz\r\n"),
        &format!("{chunked}-1\r\nx\r\n"),
        &format!("{chunked}2\r\nabc\r\n0\r\n\r\n"),
        &format!("{chunked}ffffffffffffffff\r\nx"),
        &format!("{chunked}fffffffffffffffff\r\nx"),
        &format!("{chunked}2000001\r\nx"),
        &format!("{chunked}1\r\na\r\n2000000\r\nx"),
        &format!("{chunked}1;{}\r\nx\r\n0\r\n\r\n", "y".repeat(20_000)),
        &format!("{chunked}0\r\nTrailer: x\r\n\r\n"),
        &format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(65)),
    ] {
        let refused = read_in_pieces(answer.as_bytes(), usize::MAX);
        assert!(matches!(refused, Err(Fault::Answer(_))), "{answer:.80}: {refused:?}");
    }
}

#[test]
fn an_answer_without_end_takes_little_memory() {
    for (begin, text, read_max_bytes) in [
        ("HTTP/1.1 200 OK\r\nA: ", &b"b"[..], 2 * HEAD_MAX_BYTES),
        ("HTTP/1.1 200 OK\r\n", b"A: b\r\n", 2 * HEAD_MAX_BYTES),
        ("", b"\r\n", 2 * HEAD_MAX_BYTES),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", 64 << 10),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\na\r\n",
            7 * BODY_MAX_BYTES,
        ),
    ] {
        let mut endless = Endless { text, at: 0, read_bytes: 0 };
        let mut input = begin.as_bytes().chain(&mut endless);
        assert!(matches!(read(&mut input), Err(Fault::Answer(_))), "{begin}");
        let read_bytes = endless.read_bytes;
        assert!(read_bytes <= read_max_bytes, "{begin}: {read_bytes} bytes");
    }
}

#[test]
fn a_request_tells_the_length_of_its_body() {
    let mut sent = Vec::new();
    let request =
        Request { method: "POST", target: "/exec/1/start", body: b"{}", is_upgrade: true };
    request.send(&mut sent).unwrap();
    assert_eq!(
        String::from_utf8(sent).unwrap(),
        "POST /exec/1/start HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drumlin\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{}"
    );
}

#[test]
fn bytes_after_an_upgrade_are_kept() {
    let mut answer = &b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n\x01\0\0\0"[..];
    let mut reader = AnswerReader::new(&mut answer);
    assert_eq!(reader.read_head().unwrap().status, 101);
    assert_eq!(reader.into_buffered(), b"\x01\0\0\0");
}

proptest! {
    #[test]
    fn random_bytes_end_in_an_answer_or_a_refusal(
        begin in prop::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        piece_len in 1usize..50,
    ) {
        let answer = [begin.as_bytes(), &bytes].concat();
        let whole = read_in_pieces(&answer, usize::MAX).ok();
        let _ = read_in_pieces(&answer, piece_len);
        if let Some((_, body)) = whole {
            prop_assert!(body.len() <= bytes.len());
        }
    }

    #[test]
    fn bodies_in_chunks_come_back(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..2000), 0..20),
        piece_len in 1usize..5000,
    ) {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            answer.extend_from_slice(chunk);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        let (status, body) = read_in_pieces(&answer, piece_len).unwrap();
        prop_assert_eq!(status, 200);
        prop_assert_eq!(body, chunks.concat());
    }
}
