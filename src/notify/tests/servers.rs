//! SMTP and HTTP servers of the tests, on 127.0.0.1, with and without TLS.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::reach::Reach;
use crate::sync::lock;

/// The certificate of all servers, for `localhost` and `127.0.0.1`.
struct Identity {
    pem: String,
    config: Arc<ServerConfig>,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("the names are good");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a good key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has all ciphers")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(made.cert.der().to_vec())], key)
        .expect("key and certificate belong together");
    Identity { pem: made.cert.pem(), config: Arc::new(config) }
});

/// Returns how the servers are reached: their certificate is trusted.
pub(crate) fn reach(timeout: Duration) -> Reach {
    Reach { timeout, authorities_pem: IDENTITY.pem.clone().into_bytes() }
}

/// A connection with or without TLS.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

impl Wire {
    fn start_tls(&mut self) -> io::Result<()> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Gone) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let server = ServerConnection::new(Arc::clone(&IDENTITY.config));
        let server = server.map_err(io::Error::other)?;
        *self = Self::Tls(Box::new(StreamOwned::new(server, stream)));
        Ok(())
    }

    /// Returns a line without its end, or `None` at the end.
    fn line(&mut self) -> io::Result<Option<String>> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while self.read(&mut byte)? == 1 {
            match byte[0] {
                b'\n' => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                b'\r' => {}
                byte => line.push(byte),
            }
        }
        Ok(None)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.write_all(format!("{line}\r\n").as_bytes())?;
        self.flush()
    }

    /// Waits until the other side gives up.
    fn hang(&mut self) {
        while matches!(self.read(&mut [0; 64]), Ok(1..)) {}
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
            Self::Gone => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Gone => Ok(()),
        }
    }
}

/// Serves each connection in a thread, and returns the port.
fn serve(answer: impl Fn(Wire) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer(Wire::Plain(stream)));
        }
    });
    port
}

/// How an SMTP server behaves.
#[derive(Clone, Default)]
pub(crate) struct SmtpRules {
    /// TLS from the first byte.
    pub is_wrapped: bool,
    /// Whether it offers STARTTLS.
    pub has_starttls: bool,
    /// What `AUTH PLAIN` must send, in base64; none is offered without it.
    pub login: Option<&'static str>,
    /// Replies in place of its own, by the first word of a command; `.` is the end of a letter.
    pub replies: Vec<(&'static str, &'static str)>,
    /// The command that it never answers; `greeting` for none at all.
    pub hangs_at: Option<&'static str>,
    /// Whether the greeting comes byte by byte.
    pub is_dripping: bool,
}

/// What an SMTP server got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailbox {
    /// Letters that it accepted: recipients and content.
    pub letters: Vec<Letter>,
    /// Commands, those without TLS with a `plain ` in front.
    pub commands: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    pub to: Vec<String>,
    pub content: String,
}

/// An SMTP server.
pub(crate) struct SmtpServer {
    pub port: u16,
    mailbox: Arc<Mutex<Mailbox>>,
}

impl SmtpServer {
    pub(crate) fn start(rules: SmtpRules) -> Self {
        let mailbox = Arc::<Mutex<Mailbox>>::default();
        let theirs = Arc::clone(&mailbox);
        let port = serve(move |wire| Talk { wire, rules: &rules, mailbox: &theirs }.run());
        Self { port, mailbox }
    }

    /// Returns a copy of what it got.
    pub(crate) fn mailbox(&self) -> Mailbox {
        lock(&self.mailbox).clone()
    }
}

struct Talk<'a> {
    wire: Wire,
    rules: &'a SmtpRules,
    mailbox: &'a Mutex<Mailbox>,
}

impl Talk<'_> {
    fn run(mut self) -> io::Result<()> {
        if self.rules.is_wrapped {
            self.wire.start_tls()?;
        }
        if self.rules.hangs_at == Some("greeting") {
            self.wire.hang();
            return Ok(());
        }
        while self.rules.is_dripping {
            self.wire.write_all(b"2")?;
            std::thread::sleep(Duration::from_millis(20));
        }
        self.wire.say("220 test")?;
        let mut to = Vec::new();
        while let Some(line) = self.wire.line()? {
            let mark = if matches!(self.wire, Wire::Plain(_)) { "plain " } else { "" };
            lock(self.mailbox).commands.push(format!("{mark}{line}"));
            let word = line.split([' ', ':']).next().unwrap_or("").to_uppercase();
            if let Some(address) = line.strip_prefix("RCPT TO:") {
                to.push(address.split('>').next().unwrap_or("").replace('<', ""));
            }
            if !self.reply(&word, &line)? {
                return Ok(());
            }
            if word == "DATA" && self.own_reply("DATA").is_none() && !self.take(&mut to)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn own_reply(&self, word: &str) -> Option<&'static str> {
        self.rules.replies.iter().find(|(name, _)| *name == word).map(|(_, reply)| *reply)
    }

    /// Answers a command, and returns whether to go on.
    fn reply(&mut self, word: &str, line: &str) -> io::Result<bool> {
        if self.rules.hangs_at == Some(word) {
            self.wire.hang();
            return Ok(false);
        }
        if let Some(reply) = self.own_reply(word) {
            self.wire.say(reply)?;
            return Ok(true);
        }
        match word {
            "EHLO" => {
                self.wire.say("250-test")?;
                if self.rules.has_starttls && matches!(self.wire, Wire::Plain(_)) {
                    self.wire.say("250-STARTTLS")?;
                }
                if self.rules.login.is_some() {
                    self.wire.say("250-AUTH PLAIN LOGIN")?;
                }
                self.wire.say("250 8BITMIME")?;
            }
            "STARTTLS" => {
                self.wire.say("220 go")?;
                self.wire.start_tls()?;
            }
            "AUTH" => {
                let is_right = self.rules.login.is_some_and(|login| line.ends_with(login));
                self.wire.say(if is_right { "235 welcome" } else { "535 wrong password" })?;
            }
            "DATA" => self.wire.say("354 go on")?,
            "QUIT" => {
                self.wire.say("221 bye")?;
                return Ok(false);
            }
            _ => self.wire.say("250 ok")?,
        }
        Ok(true)
    }

    /// Takes a letter, and returns whether to go on.
    fn take(&mut self, to: &mut Vec<String>) -> io::Result<bool> {
        let mut content = String::new();
        while let Some(line) = self.wire.line()? {
            if line == "." {
                let is_refused = self.own_reply(".").is_some();
                if !is_refused {
                    let letter = Letter { to: std::mem::take(to), content };
                    lock(self.mailbox).letters.push(letter);
                }
                return self.reply(".", "");
            }
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push('\n');
        }
        Ok(false)
    }
}

/// A request that an HTTP server got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Method and path.
    pub line: String,
    /// Fields of the header, names in lower case.
    pub header: Vec<String>,
    /// The body.
    pub body: String,
}

impl Asked {
    /// Returns the value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.header.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// How an HTTP server behaves.
#[derive(Clone, Default)]
pub(crate) struct HttpRules {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The answer, without the protocol and the length; `204 No Content` if it is empty.
    pub answer: String,
    /// Whether it never answers.
    pub is_hanging: bool,
    /// Whether its answer has no end.
    pub is_endless: bool,
}

/// An HTTP server.
pub(crate) struct HttpServer {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl HttpServer {
    pub(crate) fn start(rules: HttpRules) -> Self {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let theirs = Arc::clone(&asked);
        let port = serve(move |wire| answer(wire, &rules, &theirs));
        Self { port, asked }
    }

    /// Returns the URL of a path.
    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.port)
    }

    /// Returns a copy of what it was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

fn answer(mut wire: Wire, rules: &HttpRules, asked: &Mutex<Vec<Asked>>) -> io::Result<()> {
    if rules.is_tls {
        wire.start_tls()?;
    }
    let mut request = Asked { line: wire.line()?.unwrap_or_default(), ..Asked::default() };
    while let Some(line) = wire.line()?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        request.header.push(format!("{}: {value}", name.to_lowercase()));
    }
    let len = request.field("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    wire.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    request.line = request.line.trim_end_matches(" HTTP/1.1").to_owned();
    lock(asked).push(request);
    if rules.is_hanging {
        wire.hang();
        return Ok(());
    }
    let (head, text) = rules.answer.split_once("\n\n").unwrap_or((&rules.answer, ""));
    let head = if head.is_empty() { "204 No Content" } else { head };
    let head = head.replace('\n', "\r\n");
    let len = if rules.is_endless { usize::MAX / 2 } else { text.len() };
    wire.say(&format!("HTTP/1.1 {head}\r\nContent-Length: {len}\r\nConnection: close\r\n"))?;
    wire.write_all(text.as_bytes())?;
    if rules.is_endless {
        loop {
            wire.write_all(&[b'x'; 4_096])?;
        }
    }
    wire.flush()
}
