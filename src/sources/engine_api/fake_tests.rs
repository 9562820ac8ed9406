//! Container engine of the tests' own: replies as it is told, also what no engine would.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::sources::engine_api::Engine;
use crate::sync::lock;

/// Head of the answer to a start.
pub(super) const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\n\
    Content-Type: application/vnd.docker.multiplexed-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// What is sent, and what happens then.
#[derive(Clone)]
pub(super) enum Reply {
    /// The connection is closed.
    Close(Vec<u8>),
    /// So many bytes more are read, and the connection is closed.
    CloseAfter(Vec<u8>, usize),
    /// It stays open until the other side closes it.
    Hold(Vec<u8>),
    /// The byte is sent again and again.
    Drip(Vec<u8>, u8),
}

/// Returns a reply with a body.
pub(super) fn json(status: &str, body: &str) -> Reply {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    Reply::Close((head + body).into_bytes())
}

/// Returns the reply to who waits for the end of a container that lives.
pub(super) fn witness() -> Reply {
    Reply::Hold(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into())
}

/// Returns a frame of a stream.
pub(super) fn frame(channel: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[channel, 0, 0, 0], &len[..], payload].concat()
}

/// A running engine.
pub(super) struct Fake {
    dir: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
    is_ending: Arc<AtomicBool>,
}

impl Fake {
    /// Starts an engine that answers each request, head and body, with what `reply` returns.
    pub(super) fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_ending = Arc::new(AtomicBool::new(false));
        let fake = Self { dir, requests: Arc::clone(&requests), is_ending: Arc::clone(&is_ending) };
        let reply = Arc::new(reply);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_ending.load(Ordering::SeqCst) {
                    return;
                }
                let (reply, requests) = (Arc::clone(&reply), Arc::clone(&requests));
                thread::spawn(move || serve(stream.unwrap(), &*reply, &requests));
            }
        });
        fake
    }

    /// Returns a client.
    pub(super) fn engine(&self) -> Engine {
        Engine::new(self.dir.path().join("engine.sock"))
    }

    /// Returns all requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::SeqCst);
        // The listener wakes up and sees it.
        let _ = UnixStream::connect(self.dir.path().join("engine.sock"));
    }
}

fn serve(mut stream: UnixStream, reply: &dyn Fn(&str) -> Reply, requests: &Mutex<Vec<String>>) {
    let Some(request) = read_request(&mut stream) else { return };
    lock(requests).push(request.clone());
    match reply(&request) {
        Reply::Close(bytes) => drop(stream.write_all(&bytes)),
        Reply::CloseAfter(bytes, len) => {
            let _ = stream.write_all(&bytes);
            let _ = stream.read_exact(&mut vec![0; len]);
            // An end without a reset, as if the rest had been read.
            let _ = stream.shutdown(Shutdown::Both);
            thread::sleep(Duration::from_millis(50));
        }
        Reply::Hold(bytes) => {
            let _ = stream.write_all(&bytes);
            let _ = stream.read(&mut [0]);
        }
        Reply::Drip(bytes, byte) => {
            let _ = stream.write_all(&bytes);
            while stream.write_all(&[byte]).is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Reads a request to the end that its head tells; `None` if the client went away.
fn read_request(stream: &mut UnixStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).unwrap();
    let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; len.parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}
