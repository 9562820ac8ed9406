//! Pings: requests that another service waits for, so that it notices when nothing comes.
//!
//! They do not go through the outbox: a ping that comes late says the wrong thing.

use ureq::http::{Method, Request, Uri};

use super::clean;
use super::http::{Http, parse_url, with_path};
use super::outbox::SendError;
use super::reach::Reach;
use crate::settings::notify::{PingSettings, PingStyle};

/// Most bytes of a ping's text.
const TEXT_MAX_BYTES: usize = 10 << 10;
/// Most bytes of the text of a style that takes it in the URL.
const MSG_MAX_BYTES: usize = 200;
/// Interval of the heartbeat, in seconds.
pub const HEARTBEAT_S: i64 = 3_600;

/// The meaning of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A run begins.
    Start,
    /// It ended well, or the heart beats.
    Success,
    /// It ended otherwise.
    Failure,
}

/// The sender of pings to one address.
#[derive(Clone)]
pub struct Pinger {
    http: Http,
    url: Uri,
    style: PingStyle,
}

impl Pinger {
    /// Returns the sender.
    ///
    /// Fails with a message for the user if its URL or an authority cannot be used.
    pub fn new(settings: &PingSettings, reach: &Reach) -> Result<Self, String> {
        Ok(Self {
            http: Http::new(reach)?,
            url: parse_url(&settings.url.0)?,
            style: settings.style,
        })
    }

    /// Sends a ping with a text of at most 10 KiB; more is cut. `run` is the id of the run, by
    /// which the service measures its time.
    pub fn ping(&self, signal: Signal, run: Option<&str>, text: &str) -> Result<(), SendError> {
        match self.request(signal, run, text)? {
            Some(request) => self.http.send(request),
            None => Ok(()),
        }
    }

    fn request(
        &self,
        signal: Signal,
        run: Option<&str>,
        text: &str,
    ) -> Result<Option<Request<Vec<u8>>>, SendError> {
        let (method, url, body) = match self.style {
            PingStyle::Healthchecks => {
                let path = match signal {
                    Signal::Start => "start",
                    Signal::Success => "",
                    Signal::Failure => "fail",
                };
                let rid = run.map(|run| format!("rid={}", uuid_of(run)));
                let query = match (self.url.query(), rid) {
                    (Some(own), Some(rid)) => Some(format!("{own}&{rid}")),
                    (_, rid) => rid,
                };
                let url = with_path(&self.url, path, query.as_deref())?;
                (Method::POST, url, clean_text(text).into_bytes())
            }
            // It knows no beginning: `up` at that time would hide a run that hangs.
            PingStyle::UptimeKuma if signal == Signal::Start => return Ok(None),
            PingStyle::UptimeKuma => {
                let status = if signal == Signal::Failure { "down" } else { "up" };
                let msg = encoded(&clean::line(text, MSG_MAX_BYTES));
                let query = format!("status={status}&msg={msg}&ping=");
                (Method::GET, with_path(&self.url, "", Some(&query))?, Vec::new())
            }
        };
        let mut request = Request::builder().method(method).uri(url);
        if !body.is_empty() {
            request = request.header("Content-Type", "text/plain; charset=utf-8");
        }
        let request = request.body(body);
        request.map(Some).map_err(|_| SendError("the ping cannot be made".to_owned()))
    }
}

/// Returns whether the heartbeat is due: each hour while the daemon looks and no app is overdue.
///
/// A time of the last one that is later than now comes from a clock that was set back.
pub fn is_heartbeat_due(last_s: Option<i64>, now_s: i64, has_overdue: bool) -> bool {
    let is_time = |last_s: i64| last_s > now_s || now_s.saturating_sub(last_s) >= HEARTBEAT_S;
    !has_overdue && last_s.is_none_or(is_time)
}

/// Returns the id of a run as a UUID (version 8), which services ask for.
fn uuid_of(run: &str) -> String {
    let hash = blake3::hash(run.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn clean_text(text: &str) -> String {
    let mut text = crate::text::harmless_lines(&clean::without_secrets(text));
    clean::cut(&mut text, TEXT_MAX_BYTES);
    text
}

/// Returns a text as the value of a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
