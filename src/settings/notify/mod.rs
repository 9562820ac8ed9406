//! Table `[notify]` of the configuration file, and the ping of an app.
//!
//! No error shows the URL of a webhook or a ping: it may hold a token.

mod values;

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::SettingsError;
use super::run::parse_schedule_line;
use super::section::{Section, is_plain_name};
use super::values::{parse_interval, parse_timeout};

pub use values::{
    Header, MailRoute, MailSettings, NotifySettings, PingSettings, PingStyle, Secret, SmtpRoute,
    SmtpSecurity, WebhookSettings, WebhookStyle, When,
};

/// Interval of reminders where the user gives none, in seconds: a day.
const REMIND_DEFAULT_S: i64 = 86_400;
/// Form of a webhook.
const WEBHOOK: &str = "a URL or a table, or a list of them";
/// Name of the channel for e-mail, which no webhook may have.
const MAIL: &str = "mail";

pub(super) fn read_notify(mut section: Section<'_>) -> Result<NotifySettings, SettingsError> {
    let when = section.parsed("when", parse_when)?.unwrap_or_default();
    let settings = NotifySettings {
        mail: read_mail(&mut section, when)?,
        webhooks: read_webhooks(&mut section, when)?,
        ping: read_ping(&mut section)?,
        remind_s: read_remind(&mut section)?,
        digest: section.each_parsed("digest", parse_schedule_line)?,
        ca_file: section.path("ca-file")?,
        timeout: section.parsed("timeout", parse_timeout)?,
    };
    section.finish()?;
    Ok(settings)
}

/// Reads `ping`: a URL, or a table of `url` and `style`.
pub(super) fn read_ping(section: &mut Section<'_>) -> Result<Option<PingSettings>, SettingsError> {
    if !is_table(section.value("ping")) {
        let url = section.parsed("ping", parse_url)?;
        return Ok(url.map(|url| PingSettings { url, style: PingStyle::default() }));
    }
    let mut table = section.section("ping")?.expect("the key is there");
    let url = required(table.parsed("url", parse_url)?, &table, "`url`")?;
    let style = table.parsed("style", |name| {
        let style = PingStyle::from_name(name);
        style.ok_or_else(|| format!("`{name}` is not one of healthchecks or uptime-kuma"))
    })?;
    table.finish()?;
    Ok(Some(PingSettings { url, style: style.unwrap_or_default() }))
}

fn read_mail(section: &mut Section<'_>, when: When) -> Result<Option<MailSettings>, SettingsError> {
    let to = section.strings("email")?;
    let from = section.string("from")?;
    let smtp = section.parsed("smtp", SmtpRoute::from_url)?;
    let user = section.string("smtp-user")?;
    let password_file = section.path("smtp-password-file")?;
    let sendmail = read_sendmail(section)?;
    let refuse = |section: &mut Section<'_>, key: &'static str, why: &str| {
        let value = section.value(key).expect("the key is there");
        section.refuse(key, value, why)
    };
    let of_smtp = [("smtp-user", user.is_some()), ("smtp-password-file", password_file.is_some())];
    match of_smtp {
        [(key, true), _] | [_, (key, true)] if smtp.is_none() => {
            return Err(refuse(section, key, "is of no use without `smtp`"));
        }
        [(key, true), (other, false)] | [(other, false), (key, true)] => {
            return Err(refuse(section, key, &format!("needs `{other}`, too")));
        }
        _ => {}
    }
    if to.is_empty() {
        for key in ["from", "smtp", "sendmail"] {
            if section.has(key) {
                return Err(refuse(section, key, "is of no use without `email`"));
            }
        }
        return Ok(None);
    }
    for address in &to {
        if !is_address(address) {
            let why = format!("`{address}` is not an address such as ada@example.org");
            return Err(refuse(section, "email", &why));
        }
    }
    let route = match (smtp, sendmail) {
        (Some(route), None) => MailRoute::Smtp(SmtpRoute { user, password_file, ..route }),
        (None, Some(program)) => MailRoute::Sendmail(program),
        (Some(_), Some(_)) => {
            return Err(refuse(section, "sendmail", "`smtp` is there, too: keep one of them"));
        }
        (None, None) => {
            let why = "needs `smtp = \"smtps://HOST\"` or `sendmail = \"/usr/sbin/sendmail\"`";
            return Err(refuse(section, "email", why));
        }
    };
    Ok(Some(MailSettings { to, from, route, when }))
}

/// Reads a program and its arguments: a list, or one string that is split at spaces.
fn read_sendmail(section: &mut Section<'_>) -> Result<Option<Vec<String>>, SettingsError> {
    let is_list =
        matches!(section.value("sendmail").map(Spanned::get_ref), Some(DeValue::Array(_)));
    let mut words = section.strings("sendmail")?;
    if !is_list {
        words = words.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
    }
    match section.value("sendmail") {
        Some(value) if words.is_empty() => {
            Err(section.refuse("sendmail", value, "names no program"))
        }
        _ => Ok(Some(words).filter(|words| !words.is_empty())),
    }
}

/// Returns whether a text has an `@` between two parts. What a mail server thinks of them is only
/// known when it is asked.
fn is_address(text: &str) -> bool {
    let address = text.strip_suffix('>').and_then(|text| text.rsplit('<').next()).unwrap_or(text);
    let is_good = |part: &str| !part.is_empty() && !part.contains([' ', ',', '\n', '\r']);
    address.rsplit_once('@').is_some_and(|(name, domain)| is_good(name) && is_good(domain))
}

fn read_webhooks(
    section: &mut Section<'_>,
    when: When,
) -> Result<Vec<WebhookSettings>, SettingsError> {
    let Some(value) = section.value("webhook") else {
        return Ok(Vec::new());
    };
    let items = match value.get_ref() {
        DeValue::Array(items) => &items[..],
        _ => std::slice::from_ref(value),
    };
    let mut names = BTreeSet::from([MAIL.to_owned()]);
    let mut webhooks = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let name = match at {
            0 => "webhook".to_owned(),
            at => format!("webhook-{}", at + 1),
        };
        let webhook = match section.table_of("webhook", item) {
            Some(table) => read_webhook(table, name, when)?,
            None => {
                let url = section.parse_item("webhook", item, WEBHOOK, parse_url)?;
                let style = WebhookStyle::Json;
                WebhookSettings { name, url, style, headers: Vec::new(), when }
            }
        };
        if !names.insert(webhook.name.clone()) {
            let why = format!("there is another channel with the name `{}`", webhook.name);
            return Err(section.refuse("webhook", item, why));
        }
        webhooks.push(webhook);
    }
    Ok(webhooks)
}

fn read_webhook(
    mut table: Section<'_>,
    name: String,
    when: When,
) -> Result<WebhookSettings, SettingsError> {
    let named = table.parsed("name", |name| match is_plain_name(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("`{name}` is not made of letters, digits, `.`, `-` and `_`")),
    })?;
    let url = required(table.parsed("url", parse_url)?, &table, "`url`")?;
    let template = table.string("template")?;
    let style = table.parsed("style", |style| {
        WebhookStyle::from_name(style, template.as_deref()).ok_or_else(|| match style {
            "template" => "needs `template`, the text to send".to_owned(),
            _ if template.is_some() => format!("`{style}` takes no `template`"),
            _ => format!(
                "`{style}` is not one of json, ntfy, gotify, slack, discord, apprise or template"
            ),
        })
    })?;
    let style = match (style, template) {
        (Some(style), _) => style,
        (None, Some(template)) => WebhookStyle::Template(template),
        (None, None) => WebhookStyle::Json,
    };
    let mut headers = Vec::new();
    if let Some(header) = table.section("header")? {
        for (name, value) in header.into_strings()? {
            headers.push(Header { name, value: Secret(value) });
        }
    }
    let when = table.parsed("when", parse_when)?.unwrap_or(when);
    table.finish()?;
    Ok(WebhookSettings { name: named.unwrap_or(name), url, style, headers, when })
}

fn read_remind(section: &mut Section<'_>) -> Result<Option<i64>, SettingsError> {
    if let Some(DeValue::Boolean(false)) = section.value("remind").map(Spanned::get_ref) {
        return Ok(None);
    }
    let span = section.parsed("remind", |text| match parse_interval(text)?.as_secs() {
        0 => Err("is too short: `false` is for no reminders".to_owned()),
        seconds => i64::try_from(seconds).map_err(|_| format!("`{text}` is too long")),
    })?;
    Ok(Some(span.unwrap_or(REMIND_DEFAULT_S)))
}

fn is_table(value: Option<&Spanned<DeValue<'_>>>) -> bool {
    matches!(value.map(Spanned::get_ref), Some(DeValue::Table(_)))
}

fn required<T>(value: Option<T>, table: &Section<'_>, what: &str) -> Result<T, SettingsError> {
    value.ok_or_else(|| table.refuse_table(format!("has no {what}")))
}

fn parse_when(text: &str) -> Result<When, String> {
    let when = When::from_name(text);
    when.ok_or_else(|| format!("`{text}` is not one of changed, failed or always"))
}

/// Checks a URL of HTTP. Errors do not show it.
fn parse_url(text: &str) -> Result<Secret, String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match host {
        Some(host) if !host.is_empty() && !text.contains(|c: char| c.is_control() || c == ' ') => {
            Ok(Secret(text.to_owned()))
        }
        _ => Err("must be a URL that begins with https:// or http:// and a host".to_owned()),
    }
}

/// Makes an error about a key that only its use showed, such as `notify`, `email`.
pub fn refuse_later(file: &Path, keys: &[&str], why: &str) -> SettingsError {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let (key, tables) = keys.split_last().expect("a key is named");
    SettingsError::Invalid {
        file: file.to_path_buf(),
        line: line_of(&text, key, tables).unwrap_or(1),
        message: format!("`{key}` in [{}]: {why}", tables.join(".")),
        hint: None,
    }
}

/// Returns the line of a key in a table, from 1.
fn line_of(text: &str, key: &str, tables: &[&str]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    for name in tables {
        table = table.get(*name)?.get_ref().as_table()?;
    }
    let at = table.get_key_value(key)?.0.span().start;
    Some(1 + text.get(..at)?.matches('\n').count())
}

#[cfg(test)]
mod tests;
