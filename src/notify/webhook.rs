//! Webhooks: a message as one HTTP request, in the form that a service understands.

use std::fmt;

use serde_json::{Value, json};
use ureq::http::{HeaderName, HeaderValue, Method, Request, Uri};

use super::clean;
use super::http::{Http, parse_url, with_path};
use super::message::Message;
use super::outbox::{Channel, SendError};
use super::reach::Reach;
use super::trouble::Severity;
use crate::settings::notify::{WebhookSettings, WebhookStyle, When};

/// Most bytes of a text and its subject for Discord, which takes 2,000 characters.
const DISCORD_MAX_BYTES: usize = 1_900;
/// Most bytes that ntfy takes as a message.
const NTFY_MAX_BYTES: usize = 3_900;
/// Header fields that the program sets itself.
const OWN_HEADERS: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

/// A webhook.
#[derive(Clone)]
pub struct WebhookChannel {
    http: Http,
    settings: WebhookSettings,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for WebhookChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebhookChannel").field(&self.settings.name).finish()
    }
}

impl WebhookChannel {
    /// Returns the webhook of its settings.
    ///
    /// Fails with a message for the user, without secrets, if URL, header, template or authority
    /// cannot be used.
    pub fn new(settings: WebhookSettings, reach: &Reach) -> Result<Self, String> {
        let mut url = parse_url(&settings.url.0)?;
        if settings.style == WebhookStyle::Gotify && !url.path().ends_with("/message") {
            url = with_path(&url, "message", None).map_err(|error| error.0)?;
        }
        if settings.style == WebhookStyle::Ntfy {
            topic_of(&url).ok_or("the URL must end with the topic")?;
        }
        let mut headers = Vec::new();
        for header in &settings.headers {
            let name: HeaderName = header.name.parse().map_err(|_| {
                format!("`{}` is no name of a header", clean::line(&header.name, 80))
            })?;
            if OWN_HEADERS.contains(&name.as_str()) {
                return Err(format!("the header `{name}` is set by the program"));
            }
            let mut value = HeaderValue::from_str(&header.value.0)
                .map_err(|_| format!("the value of the header `{name}` holds other characters"))?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        let webhook = Self { http: Http::new(reach)?, settings, url, headers };
        webhook.check_template()?;
        Ok(webhook)
    }

    /// Refuses a template that is no JSON once it is filled, unless it is said to be another type.
    fn check_template(&self) -> Result<(), String> {
        let WebhookStyle::Template(template) = &self.settings.style else { return Ok(()) };
        if self.headers.iter().any(|(name, _)| name == "content-type") {
            return Ok(());
        }
        let filled = fill(template, &|_| Some("\"\\\n".to_owned()));
        serde_json::from_str::<Value>(&filled).map(drop).map_err(|error| {
            format!(
                "the template is no JSON ({error}): put fields such as \"{{app}}\" between \
                 quotes, or say the type by a header `content-type`"
            )
        })
    }

    fn request(&self, message: &Message) -> Result<Request<Vec<u8>>, SendError> {
        let url = match self.settings.style {
            WebhookStyle::Ntfy => ntfy_url(&self.url)?,
            _ => self.url.clone(),
        };
        let mut request =
            Request::builder().method(Method::POST).uri(url).header("Idempotency-Key", &message.id);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if self.headers.iter().all(|(name, _)| name != "content-type") {
            request = request.header("Content-Type", "application/json");
        }
        request
            .body(self.content(message).into_bytes())
            .map_err(|_| SendError("the request cannot be made".to_owned()))
    }

    fn content(&self, message: &Message) -> String {
        let cut = |max_bytes: usize| {
            let mut text = message.body.clone();
            clean::cut(&mut text, max_bytes);
            text
        };
        let severity = message.event.severity();
        let content = match &self.settings.style {
            WebhookStyle::Json => {
                let mut all = serde_json::to_value(message).unwrap_or_default();
                all["severity"] = json!(severity_name(severity));
                all
            }
            WebhookStyle::Ntfy => json!({
                "topic": topic_of(&self.url).unwrap_or_default(),
                "title": message.subject,
                "message": cut(NTFY_MAX_BYTES),
                "priority": rank(severity, [5, 4, 3, 2]),
                "tags": [rank(severity, ["rotating_light", "warning", "white_check_mark", "memo"])],
            }),
            WebhookStyle::Gotify => json!({
                "title": message.subject,
                "message": message.body,
                "priority": rank(severity, [8, 5, 2, 2]),
            }),
            WebhookStyle::Slack => {
                let escaped = |text: &str| {
                    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
                };
                let (subject, body) = (escaped(&message.subject), escaped(&message.body));
                json!({ "text": format!("*{subject}*\n```{}```", body.replace("```", "'''")) })
            }
            WebhookStyle::Discord => {
                let body = cut(DISCORD_MAX_BYTES - message.subject.len()).replace("```", "'''");
                json!({
                    "content": format!("**{}**\n```\n{body}\n```", message.subject),
                    // A name in a message must not call people.
                    "allowed_mentions": { "parse": [] },
                })
            }
            WebhookStyle::Apprise => json!({
                "title": message.subject,
                "body": message.body,
                "type": rank(severity, ["failure", "warning", "success", "info"]),
                "format": "text",
            }),
            WebhookStyle::Template(template) => {
                return fill(template, &|field| value_of(field, message));
            }
        };
        content.to_string()
    }
}

impl Channel for WebhookChannel {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn when(&self) -> When {
        self.settings.when
    }

    fn send(&self, message: &Message) -> Result<(), SendError> {
        self.http.send(self.request(message)?)
    }
}

/// Returns the topic: the last part of the path.
fn topic_of(url: &Uri) -> Option<&str> {
    url.path().rsplit('/').next().filter(|topic| !topic.is_empty())
}

/// Returns the address that takes JSON: the path without the topic.
fn ntfy_url(url: &Uri) -> Result<Uri, SendError> {
    let path = url.path();
    let mut parts = url.clone().into_parts();
    let base = &path[..=path.rfind('/').unwrap_or(0)];
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let unusable = || SendError("the URL cannot be used".to_owned());
    parts.path_and_query = Some(format!("{base}{query}").parse().map_err(|_| unusable())?);
    Uri::from_parts(parts).map_err(|_| unusable())
}

/// Returns the value of a list that is sorted from error to information.
fn rank<T: Copy>(severity: Severity, of: [T; 4]) -> T {
    match severity {
        Severity::Error => of[0],
        Severity::Warning => of[1],
        Severity::Good => of[2],
        Severity::Info => of[3],
    }
}

fn severity_name(severity: Severity) -> &'static str {
    rank(severity, ["error", "warning", "good", "info"])
}

/// Returns a field of a template, or `None` if there is no such field.
fn value_of(field: &str, message: &Message) -> Option<String> {
    let facts = &message.facts;
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let time = |time_s: Option<i64>| {
        let time = time_s.and_then(|time_s| jiff::Timestamp::from_second(time_s).ok());
        time.map(|time| time.to_string()).unwrap_or_default()
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(match field {
        "id" => message.id.clone(),
        "event" => message.event.name().to_owned(),
        "severity" => severity_name(message.event.severity()).to_owned(),
        "app" => text(&message.app),
        "host" => message.host.clone(),
        "target" => text(&message.target),
        "subject" => message.subject.clone(),
        "body" => message.body.clone(),
        "time" => time(Some(message.time_s)),
        "since" => time(message.since_s),
        "status" => text(&facts.status),
        "run" => text(&facts.run),
        "slot" => time(facts.slot_s),
        "snapshot" => text(&facts.snapshot),
        "seconds" => number(facts.seconds),
        "source-bytes" => number(facts.source_bytes),
        "added-bytes" => number(facts.added_bytes),
        "error" => facts.errors.join(": "),
        "hint" => text(&facts.hint),
        _ => return None,
    })
}

/// Fills fields such as `{app}` with values, escaped for JSON. Other braces stay, and values are
/// not filled again.
fn fill(template: &str, value_of: &dyn Fn(&str) -> Option<String>) -> String {
    let (mut filled, mut rest) = (String::with_capacity(template.len()), template);
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let is_name = |name: &&str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        };
        let field = rest.find('}').map(|close| &rest[1..close]).filter(is_name);
        match field.and_then(|field| Some((field, value_of(field)?))) {
            Some((field, value)) => {
                let quoted = Value::String(value).to_string();
                filled.push_str(&quoted[1..quoted.len() - 1]);
                rest = &rest[field.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests;
