//! A server that answers what a test wrote down, for answers that no real one can be brought to
//! give.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use drumlin::store::s3::S3Store;
use drumlin::store::s3::options::S3Options;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::servers::s3::options;

/// An answer: the status line's rest, headers with their ends of line, the body, and how much of it
/// is sent before the connection ends.
#[derive(Clone)]
pub struct Answer {
    status: &'static str,
    headers: String,
    body: String,
    cut: Option<usize>,
    /// Whether it says how long its body is.
    is_measured: bool,
}

/// Returns an answer with a body, and with an ETag if it is a success.
pub fn answer(status: &'static str, body: &str) -> Answer {
    let answer = untagged(status, body);
    if status.starts_with('2') { answer.with("ETag: \"0123\"") } else { answer }
}

/// Returns an answer as no S3 server gives it: without an ETag.
pub fn untagged(status: &'static str, body: &str) -> Answer {
    Answer { status, headers: String::new(), body: body.to_owned(), cut: None, is_measured: true }
}

/// Returns an error as S3 servers write it.
pub fn error(status: &'static str, code: &str) -> Answer {
    answer(
        status,
        &format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words of the server</Message></Error>"
        ),
    )
}

impl Answer {
    /// Adds a header.
    pub fn with(mut self, header: &str) -> Self {
        self.headers += &format!("{header}\r\n");
        self
    }

    /// Does not say how long the body is: it ends with the connection.
    pub fn unmeasured(self) -> Self {
        Self { is_measured: false, cut: self.cut.or(Some(self.body.len())), ..self }
    }

    /// Ends the connection after so many bytes of the body.
    pub fn cut(mut self, len: usize) -> Self {
        self.cut = Some(len);
        self
    }
}

/// A store whose server gives the next of its answers to each request, and what was asked of it:
/// the first lines.
pub struct Canned {
    pub store: S3Store,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// All lines of each request's head.
    asked: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Canned {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// Opens the store with other options.
    pub fn with(change: impl FnOnce(&mut S3Options)) -> Self {
        Self::start(change, |stream| Ok(Box::new(stream)))
    }

    /// Starts the server behind TLS, under the name `localhost`.
    pub fn over_tls(config: Arc<ServerConfig>, change: impl FnOnce(&mut S3Options)) -> Self {
        let secure = move |stream| {
            let connection =
                ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
            Ok(Box::new(StreamOwned::new(connection, stream)) as Box<dyn Line>)
        };
        let change = |options: &mut S3Options| {
            options.endpoint = options
                .endpoint
                .take()
                .map(|at| at.replace("http://127.0.0.1", "https://localhost"));
            change(options);
        };
        Self::start(change, secure)
    }

    fn start(
        change: impl FnOnce(&mut S3Options),
        wrap: impl Fn(TcpStream) -> std::io::Result<Box<dyn Line>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answers, asked) =
            (Arc::new(Mutex::new(VecDeque::new())), Arc::new(Mutex::new(Vec::new())));
        let (next, log, wrap) = (Arc::clone(&answers), Arc::clone(&asked), Arc::new(wrap));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (next, log, wrap) = (Arc::clone(&next), Arc::clone(&log), Arc::clone(&wrap));
                // A client that goes away in the middle is no concern of the server's.
                thread::spawn(move || {
                    let _ = wrap(stream).and_then(|stream| serve(stream, &next, &log));
                });
            }
        });
        let mut options = options("bucket".to_owned(), port, ("id", "very-secret"));
        options.timeout = Duration::from_secs(60);
        change(&mut options);
        Self { store: S3Store::open(options).unwrap(), answers, asked }
    }

    /// Gives these answers from now on, and forgets what was asked.
    pub fn plan(&self, answers: &[Answer]) {
        *self.answers.lock().unwrap() = answers.iter().cloned().collect();
        self.asked.lock().unwrap().clear();
    }

    /// Returns the first lines of the requests since the last plan.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|lines| lines[0].clone()).collect()
    }

    /// Returns the ids of the keys that the requests since the last plan were signed with.
    pub fn signed_by(&self) -> Vec<String> {
        let id = |lines: &Vec<String>| {
            let line = lines
                .iter()
                .find(|line| line.to_ascii_lowercase().starts_with("authorization:"))
                .unwrap();
            line.split_once("Credential=").unwrap().1.split('/').next().unwrap().to_owned()
        };
        self.asked.lock().unwrap().iter().map(id).collect()
    }

    /// Returns how many of them had the condition that no object exists.
    pub fn conditions(&self) -> usize {
        let has_it = |lines: &&Vec<String>| {
            lines.iter().any(|line| line.eq_ignore_ascii_case("if-none-match: *"))
        };
        self.asked.lock().unwrap().iter().filter(has_it).count()
    }
}

/// A connection, encrypted or not.
trait Line: Read + Write {}

impl<T: Read + Write> Line for T {}

fn serve(
    stream: Box<dyn Line>,
    next: &Mutex<VecDeque<Answer>>,
    log: &Mutex<Vec<Vec<String>>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let lengths = lines.iter().filter_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<u64>().ok()
        });
        let len = lengths.sum::<u64>();
        std::io::copy(&mut (&mut reader).take(len), &mut std::io::sink())?;
        log.lock().unwrap().push(lines.clone());
        let Some(answer) = next.lock().unwrap().pop_front() else { return Ok(()) };
        let Answer { status, headers, body, cut, is_measured } = answer;
        let measure = if is_measured {
            format!("Content-Length: {}", body.len())
        } else {
            "Connection: close".to_owned()
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nDate: Sat, 21 Nov 2020 12:00:00 GMT\r\n{headers}{measure}\r\n\r\n"
        );
        // To a HEAD there is no body.
        let body =
            if lines[0].starts_with("HEAD") { "" } else { &body[..cut.unwrap_or(body.len())] };
        reader.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        if cut.is_some() {
            return Ok(());
        }
    }
}
