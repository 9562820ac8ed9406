//! Servers that keep what they get: one for HTTP and HTTPS, one for SMTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method and path.
    pub line: String,
    pub body: String,
}

/// An HTTP server.
pub struct HttpSink {
    pub port: u16,
    /// The certificate that it shows, in PEM; empty without TLS.
    pub pem: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// How an HTTP server answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Accepts,
    Refuses,
    Hangs,
}

impl HttpSink {
    pub fn start(manner: Manner) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), manner, None)
    }

    /// Starts a server at a port that was free.
    pub fn start_at(port: u16) -> Self {
        Self::serve(TcpListener::bind(("127.0.0.1", port)).unwrap(), Manner::Accepts, None)
    }

    /// Starts a server with a certificate that nobody else knows.
    pub fn start_with_tls() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sink = Self::serve(listener, Manner::Accepts, Some(Arc::new(config)));
        sink.pem = made.cert.pem();
        sink
    }

    fn serve(listener: TcpListener, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let (asked, port) = (Arc::<Mutex<Vec<Asked>>>::default(), listener.local_addr().unwrap());
        let theirs = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, tls) = (Arc::clone(&theirs), tls.clone());
                std::thread::spawn(move || match tls {
                    None => answer(stream, manner, &asked),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        answer(StreamOwned::new(connection, stream), manner, &asked)
                    }
                });
            }
        });
        Self { port: port.port(), pem: String::new(), asked }
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.pem.is_empty() { "http" } else { "https" };
        format!("{scheme}://localhost:{}{path}", self.port)
    }

    /// Returns what it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the method and path of each request.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// Returns the messages that it got as JSON.
    pub fn messages(&self) -> Vec<Value> {
        let bodies = self.asked().into_iter().map(|asked| asked.body);
        bodies.map(|body| serde_json::from_str(&body).unwrap()).collect()
    }

    /// Returns app and event of each message.
    pub fn events(&self) -> Vec<String> {
        let messages = self.messages();
        let name = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        messages.iter().map(|one| name(&one["app"]) + " " + &name(&one["event"])).collect()
    }
}

fn answer(
    mut wire: impl Read + Write,
    manner: Manner,
    asked: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut wire);
    let (mut line, mut field, mut len) = (String::new(), String::new(), 0);
    reader.read_line(&mut line)?;
    while reader.read_line(&mut field)? > 2 {
        let value = field.to_lowercase();
        if let Some(value) = value.strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        field.clear();
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let body = String::from_utf8(body).unwrap();
    asked.lock().unwrap().push(Asked { line, body });
    let status = match manner {
        Manner::Accepts => "204 No Content",
        Manner::Refuses => "503 Busy",
        Manner::Hangs => {
            while reader.read(&mut [0; 64])? > 0 {}
            return Ok(());
        }
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    wire.write_all(head.as_bytes())?;
    wire.flush()
}

/// An SMTP server without TLS.
pub struct SmtpSink {
    pub port: u16,
    letters: Arc<Mutex<Vec<String>>>,
}

impl SmtpSink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (letters, port) =
            (Arc::<Mutex<Vec<String>>>::default(), listener.local_addr().unwrap());
        let theirs = Arc::clone(&letters);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let letters = Arc::clone(&theirs);
                std::thread::spawn(move || talk(&stream, &letters));
            }
        });
        Self { port: port.port(), letters }
    }

    /// Returns the letters: recipients, then header and text.
    pub fn letters(&self) -> Vec<String> {
        self.letters.lock().unwrap().clone()
    }
}

fn talk(stream: &TcpStream, letters: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut to = String::new();
    let say = |words: &str| {
        let mut stream = stream;
        stream.write_all(format!("{words}\r\n").as_bytes())
    };
    say("220 test")?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => say("250-test\r\n250 8BITMIME")?,
            "DATA" => {
                say("354 go on")?;
                let mut letter = std::mem::take(&mut to);
                for line in lines.by_ref().map_while(Result::ok).take_while(|line| line != ".") {
                    letter += &(line + "\n");
                }
                letters.lock().unwrap().push(letter);
                say("250 ok")?;
            }
            "RCPT" => {
                to += &(line + "\n");
                say("250 ok")?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("250 ok")?,
        }
    }
    Ok(())
}

/// Waits until something is there.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
