//! E-mail by an SMTP server or a local program.
//!
//! `smtps` is TLS from the first byte; `smtp` demands STARTTLS, and without it neither a password
//! nor a message leaves; plain text goes to this machine only.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, SmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use super::clean;
use super::message::Message;
use super::outbox::{Channel, SendError};
use super::reach::Reach;
use super::sendmail;
use crate::settings::notify::{MailRoute, MailSettings, SmtpRoute, SmtpSecurity, When};
use crate::sync::lock;

/// Most bytes of a password file.
const PASSWORD_MAX_BYTES: u64 = 4 << 10;
/// Most bytes of an error of a server.
const ERROR_MAX_BYTES: usize = 300;
/// Time after which a try without an answer is forgotten.
const LATE_MAX: Duration = Duration::from_secs(3_600);
/// Messages that were accepted late and are remembered.
const ACCEPTED_MAX: usize = 16;

/// The channel for e-mail.
#[derive(Debug)]
pub struct MailChannel {
    settings: MailSettings,
    from: Mailbox,
    to: Vec<Mailbox>,
    host: String,
    reach: Reach,
    late: Mutex<Late>,
}

/// Tries that the channel did not wait for.
#[derive(Debug, Default)]
struct Late {
    waiting: Option<Waiting>,
    /// Ids of messages that a server accepted after their time.
    accepted: VecDeque<String>,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    since: Instant,
    result: Receiver<Result<(), SendError>>,
}

impl MailChannel {
    /// Returns the channel. `host` is the name of this machine.
    ///
    /// Fails with a message for the user if an address or an authority cannot be used.
    pub fn new(settings: MailSettings, host: &str, reach: &Reach) -> Result<Self, String> {
        let parse = |address: &str| {
            let shown = clean::line(address, 100);
            address.parse::<Mailbox>().map_err(|error| format!("`{shown}` is no address: {error}"))
        };
        let host = domain_of(host);
        let from = match &settings.from {
            Some(from) => parse(from)?,
            None => parse(&format!("drumlin@{host}"))?,
        };
        let to: Vec<Mailbox> =
            settings.to.iter().map(|to| parse(to)).collect::<Result<_, String>>()?;
        if to.is_empty() {
            return Err("a recipient is missing".to_owned());
        }
        if let MailRoute::Smtp(route) = &settings.route {
            if route.user.is_some() != route.password_file.is_some() {
                return Err("a user needs a password file, and the other way round".to_owned());
            }
            tls_of(route, reach)?;
        }
        let (reach, late) = (reach.clone(), Mutex::default());
        Ok(Self { settings, from, to, host, reach, late })
    }

    fn letter(&self, message: &Message) -> Result<Letter, SendError> {
        let time = u64::try_from(message.time_s).unwrap_or(0);
        let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time));
        let mut builder = MessageBuilder::new()
            // The same for each try, so that a mailbox can show a repeated message once.
            .message_id(Some(format!("<{}@{}>", message.id, self.host)))
            .date(date.unwrap_or(SystemTime::UNIX_EPOCH))
            .from(self.from.clone())
            .subject(format!("[drumlin] {}", message.subject))
            .header(ContentType::TEXT_PLAIN)
            // So that nobody's out-of-office note answers.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let letter = builder
            .body(message.body.clone())
            .map_err(|error| SendError(clean::line(&error.to_string(), ERROR_MAX_BYTES)))?;
        Ok(Letter { envelope: letter.envelope().clone(), content: letter.formatted() })
    }

    /// Delivers a letter to a server in a thread of its own: a server that sends a byte now and
    /// then would hold the outbox up for hours.
    fn send_by_smtp(&self, route: &SmtpRoute, message: &Message) -> Result<(), SendError> {
        let mut late = lock(&self.late);
        if late.took(&message.id)? {
            return Ok(());
        }
        let letter = self.letter(message)?;
        let (route, reach) = (route.clone(), self.reach.clone());
        let (outcome, result) = channel();
        let talk = move || {
            // Nobody listens any more if it was forgotten.
            let _ = outcome.send(deliver(&letter, &route, &reach));
        };
        std::thread::Builder::new()
            .name("mail".to_owned())
            .spawn(talk)
            .map_err(|error| SendError(format!("cannot start a thread: {error}")))?;
        match result.recv_timeout(self.reach.timeout) {
            Ok(sent) => sent,
            Err(RecvTimeoutError::Disconnected) => Err(SendError("the try broke off".to_owned())),
            Err(RecvTimeoutError::Timeout) => {
                let (id, since) = (message.id.clone(), Instant::now());
                late.waiting = Some(Waiting { id, since, result });
                Err(SendError("no answer in time".to_owned()))
            }
        }
    }
}

impl Channel for MailChannel {
    fn name(&self) -> &str {
        "mail"
    }

    fn when(&self) -> When {
        self.settings.when
    }

    fn send(&self, message: &Message) -> Result<(), SendError> {
        match &self.settings.route {
            MailRoute::Smtp(route) => self.send_by_smtp(route, message),
            MailRoute::Sendmail(program) => {
                let letter = self.letter(message)?;
                sendmail::send(program, &letter.envelope, &letter.content, self.reach.timeout)
            }
        }
    }
}

impl Late {
    /// Returns whether a server accepted a message after its time. Fails while a try is still under
    /// way: two at once could both arrive.
    fn took(&mut self, id: &str) -> Result<bool, SendError> {
        if let Some(waiting) = self.waiting.take() {
            match waiting.result.try_recv() {
                Ok(Ok(())) => self.accepted.push_back(waiting.id),
                Err(TryRecvError::Empty) if waiting.since.elapsed() < LATE_MAX => {
                    self.waiting = Some(waiting);
                    return Err(SendError("the server still owes an answer".to_owned()));
                }
                _ => {}
            }
        }
        while self.accepted.len() > ACCEPTED_MAX {
            self.accepted.pop_front();
        }
        Ok(self.accepted.iter().any(|accepted| accepted == id))
    }
}

/// A message with its addresses, as bytes.
struct Letter {
    envelope: Envelope,
    content: Vec<u8>,
}

fn deliver(letter: &Letter, route: &SmtpRoute, reach: &Reach) -> Result<(), SendError> {
    let say = |error: lettre::transport::smtp::Error| SendError(words_of(&error, &route.host));
    let tls = tls_of(route, reach).map_err(SendError)?;
    let (host, hello) = (address_of(route)?, ClientId::default());
    let wrapper = tls.as_ref().filter(|_| route.security == SmtpSecurity::Tls);
    let server = (host.as_str(), route.port);
    let mut connection =
        SmtpConnection::connect(server, Some(reach.timeout), &hello, wrapper, None).map_err(say)?;
    if let Some(tls) = tls.as_ref().filter(|_| route.security == SmtpSecurity::StartTls) {
        connection.starttls(tls, &hello).map_err(say)?;
    }
    let is_protected = connection.is_encrypted() || route.security == SmtpSecurity::PlainLoopback;
    if !is_protected {
        return Err(SendError(format!("{}: the connection is not encrypted", route.host)));
    }
    if let (Some(user), Some(file)) = (&route.user, &route.password_file) {
        let credentials = Credentials::new(user.clone(), password(file)?);
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        connection.auth(&mechanisms, &credentials).map_err(say)?;
    }
    connection.send(&letter.envelope, &letter.content).map_err(say)?;
    // It has the message: how the connection ends does not matter.
    connection.abort();
    Ok(())
}

fn tls_of(route: &SmtpRoute, reach: &Reach) -> Result<Option<TlsParameters>, String> {
    if route.security == SmtpSecurity::PlainLoopback {
        return Ok(None);
    }
    let mut builder = TlsParameters::builder(route.host.clone());
    if !reach.authorities_pem.is_empty() {
        let authority = Certificate::from_pem(&reach.authorities_pem)
            .map_err(|_| "an authority is not a certificate in PEM".to_owned())?;
        builder = builder.add_root_certificate(authority);
    }
    builder.build_rustls().map(Some).map_err(|error| words_of(&error, &route.host))
}

/// Returns the host to connect to. A plain connection goes to an address of this machine, whatever
/// the name of the host leads to.
fn address_of(route: &SmtpRoute) -> Result<String, SendError> {
    if route.security != SmtpSecurity::PlainLoopback {
        return Ok(route.host.clone());
    }
    let say = |why: &str| SendError(format!("{}: {why}", clean::line(&route.host, 100)));
    let addresses =
        (&*route.host, route.port).to_socket_addrs().map_err(|error| say(&error.to_string()))?;
    addresses
        .map(|address| address.ip())
        .find(|address| address.is_loopback())
        .map(|address| address.to_string())
        .ok_or_else(|| say("it is not this machine, so plain text is refused"))
}

fn password(file: &Path) -> Result<String, SendError> {
    let say = |why: String| {
        SendError(format!("cannot read the password in {}: {why}", crate::text::path(file)))
    };
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(PASSWORD_MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| say(error.to_string()))?;
    if text.len() as u64 > PASSWORD_MAX_BYTES {
        return Err(say("it is too long".to_owned()));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

/// Returns an error and its causes in one line.
fn words_of(error: &dyn std::error::Error, host: &str) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        next = cause.source();
    }
    clean::line(&format!("{host}: {words}"), ERROR_MAX_BYTES)
}

/// Returns the name of a machine as a domain of addresses.
fn domain_of(host: &str) -> String {
    let is_good = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let domain: String = host.chars().filter(is_good).take(200).collect();
    let domain = domain.trim_matches(['.', '-']);
    if domain.is_empty() { "localhost".to_owned() } else { domain.to_owned() }
}

#[cfg(test)]
mod tests;
