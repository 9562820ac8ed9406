//! Settings of notifications, as plain values, and the words of the user's file for them.
//!
//! What sends the messages is compiled with the program only; the file is read without it, too.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// All of `[notify]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifySettings {
    /// E-mail, if it is wanted.
    pub mail: Option<MailSettings>,
    /// Webhooks, each with a name of its own.
    pub webhooks: Vec<WebhookSettings>,
    /// The heartbeat.
    pub ping: Option<PingSettings>,
    /// Interval of reminders in seconds; none are sent if it is missing.
    pub remind_s: Option<i64>,
    /// Lines of the schedule of digests; empty: none are sent.
    pub digest: Vec<String>,
    /// File with certificates of authorities that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Time for one delivery.
    pub timeout: Option<Duration>,
}

/// The messages that a channel wants. Each includes those before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// The beginning and the end of a trouble, reminders, and digests.
    #[default]
    Changed,
    /// Also each further slot that failed.
    Failed,
    /// Also each run that ended well.
    Always,
}

impl When {
    /// Returns the value with a name of the user's file.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "changed" => Some(Self::Changed),
            "failed" => Some(Self::Failed),
            "always" => Some(Self::Always),
            _ => None,
        }
    }
}

/// Settings of e-mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// Recipients, each as `ada@example.org` or `Ada <ada@example.org>`.
    pub to: Vec<String>,
    /// Sender; `drumlin@HOST` if it is missing.
    pub from: Option<String>,
    /// The way of a message.
    pub route: MailRoute,
    /// The messages that are wanted.
    pub when: When,
}

/// The way of e-mail out of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailRoute {
    /// An SMTP server.
    Smtp(SmtpRoute),
    /// A program and its arguments. It reads the message from its standard input; no shell is
    /// involved.
    Sendmail(Vec<String>),
}

/// An SMTP server and how to log in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpRoute {
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name to log in with; nobody logs in without one.
    pub user: Option<String>,
    /// File with the password. It is read for each message, so that it can be replaced.
    pub password_file: Option<PathBuf>,
}

/// Protection of a connection to an SMTP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS; a server that does not offer it gets nothing.
    StartTls,
    /// None: for servers of this machine only.
    PlainLoopback,
}

impl SmtpRoute {
    /// Parses `smtps://HOST`, `smtp://HOST` or `smtp+plain://localhost`, each with an optional port
    /// (465, 587 and 25 otherwise).
    ///
    /// Fails with a message for the user, which never holds the URL: it may hold a password.
    pub fn from_url(url: &str) -> Result<Self, String> {
        let (security, port, rest) = match url.split_once("://") {
            Some(("smtps", rest)) => (SmtpSecurity::Tls, 465, rest),
            Some(("smtp", rest)) => (SmtpSecurity::StartTls, 587, rest),
            Some(("smtp+plain", rest)) => (SmtpSecurity::PlainLoopback, 25, rest),
            _ => {
                return Err("begin it with smtps://, smtp:// (STARTTLS) or, for this machine \
                            only, smtp+plain://"
                    .to_owned());
            }
        };
        if rest.contains('@') {
            return Err("leave user and password out: `smtp-user` and `smtp-password-file` are \
                        for them"
                .to_owned());
        }
        let place = rest.strip_suffix('/').unwrap_or(rest);
        if place.contains(['/', '?', '#']) {
            return Err("leave out everything after the port".to_owned());
        }
        let (host, own_port) = split_port(place)?;
        if security == SmtpSecurity::PlainLoopback && !is_loopback_name(host) {
            return Err(format!("smtp+plain:// is for this machine only, not for {host}"));
        }
        let (host, port) = (host.to_owned(), own_port.unwrap_or(port));
        Ok(Self { security, host, port, user: None, password_file: None })
    }
}

/// Returns host and port of `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn split_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let is_of_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(is_of_host) {
        return Err("a host is missing".to_owned());
    }
    let port = port.map(str::parse::<u16>).transpose();
    Ok((host, port.map_err(|_| "the port is not a number".to_owned())?))
}

/// Returns whether a name or address means this machine. Addresses of a name are checked again when
/// it is used.
fn is_loopback_name(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A text of the settings that is not shown: the address of a webhook may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Settings of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Name in reports, metrics and the outbox: it must stay the same, and hold no secret.
    pub name: String,
    /// Address.
    pub url: Secret,
    /// Form of the request.
    pub style: WebhookStyle,
    /// Further header fields.
    pub headers: Vec<Header>,
    /// The messages that are wanted.
    pub when: When,
}

/// A field of an HTTP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Secret,
}

/// Form of a webhook's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookStyle {
    /// All fields of the message.
    Json,
    /// ntfy; the last part of the URL's path is the topic.
    Ntfy,
    /// Gotify; the URL ends with `/message?token=…`, or a header holds the token.
    Gotify,
    /// Slack and what understands its format.
    Slack,
    /// Discord.
    Discord,
    /// The API of Apprise.
    Apprise,
    /// A text of the user's with fields such as `{app}`.
    Template(String),
}

impl WebhookStyle {
    /// Returns the style with a name of the user's file. `template` is the text for the style of
    /// that name, which no other takes.
    pub fn from_name(name: &str, template: Option<&str>) -> Option<Self> {
        match (name, template) {
            ("json", None) => Some(Self::Json),
            ("ntfy", None) => Some(Self::Ntfy),
            ("gotify", None) => Some(Self::Gotify),
            ("slack", None) => Some(Self::Slack),
            ("discord", None) => Some(Self::Discord),
            ("apprise", None) => Some(Self::Apprise),
            ("template", Some(text)) => Some(Self::Template(text.to_owned())),
            _ => None,
        }
    }
}

/// Settings of a ping: a request that another service waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingSettings {
    /// Address.
    pub url: Secret,
    /// Form of the request.
    pub style: PingStyle,
}

/// Form of a ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PingStyle {
    /// That of healthchecks.io: `/start`, nothing, or `/fail` after the URL.
    #[default]
    Healthchecks,
    /// That of a push monitor of Uptime Kuma: `status` and `msg` in the query.
    UptimeKuma,
}

impl PingStyle {
    /// Returns the style with a name of the user's file.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "healthchecks" => Some(Self::Healthchecks),
            "uptime-kuma" => Some(Self::UptimeKuma),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_smtp_servers() {
        let route = |url: &str| {
            let route = SmtpRoute::from_url(url).unwrap();
            (route.security, route.host, route.port)
        };
        assert_eq!(
            route("smtps://mail.example.org"),
            (SmtpSecurity::Tls, "mail.example.org".into(), 465)
        );
        assert_eq!(route("smtp://m:2525/"), (SmtpSecurity::StartTls, "m".into(), 2525));
        assert_eq!(
            route("smtp+plain://localhost"),
            (SmtpSecurity::PlainLoopback, "localhost".into(), 25)
        );
        assert_eq!(route("smtp+plain://[::1]:26").1, "::1");
        assert_eq!(route("smtp+plain://127.8.0.1").1, "127.8.0.1");
    }

    #[test]
    fn other_urls_are_refused_without_saying_what_they_hold() {
        for url in [
            "mail.example.org",
            "http://secret.example.org",
            "smtp+plain://192.168.0.1",
            "smtp+plain://localhost.example.org",
            "smtps://u:secret@mail.example.org",
            "smtps://mail.example.org/?secret",
            "smtps://mail.example.org/secret",
            "smtps://",
            "smtps://h:secret",
        ] {
            let error = SmtpRoute::from_url(url).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = Secret("https://hc.example.org/ping/uuid".to_owned());
        let settings = PingSettings { url, style: PingStyle::Healthchecks };
        assert!(!format!("{settings:?}").contains("uuid"));
    }

    #[test]
    fn names_of_the_users_file() {
        assert_eq!(When::from_name("failed"), Some(When::Failed));
        assert_eq!(When::from_name("Failed"), None);
        assert!(When::Changed < When::Failed && When::Failed < When::Always);
        assert_eq!(WebhookStyle::from_name("ntfy", None), Some(WebhookStyle::Ntfy));
        assert_eq!(WebhookStyle::from_name("ntfy", Some("x")), None);
        assert_eq!(WebhookStyle::from_name("template", None), None);
        assert_eq!(PingStyle::from_name("uptime-kuma"), Some(PingStyle::UptimeKuma));
        assert_eq!(PingStyle::from_name("kuma"), None);
    }
}
