//! Metrics pushed to a Pushgateway, for runs that have ended before anything could scrape them.
//!
//! A group for each app of a machine, always replaced as a whole (`PUT`): what an app does not
//! report any more must not stay there. Nothing is tried again, because the next run pushes its own
//! values.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::answer::CONTENT_TYPE;
use crate::text::harmless;

/// Longest time of a push, from looking up the name to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read for the message.
const ANSWER_LEN_MAX_BYTES: u64 = 1000;

/// The place of an app's metrics in a Pushgateway.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    /// URL of the Pushgateway, with or without `/metrics` at its end; may have a user and password.
    pub url: &'a str,
    /// Name of the machine.
    pub host: &'a str,
    /// Name of the app.
    pub app: &'a str,
}

/// A failed push. Messages name the place without user and password.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The URL cannot be that of a Pushgateway; correct the configuration.
    #[error("not the URL of a Pushgateway: {0}")]
    Url(&'static str),
    /// There is nothing on this machine that could verify the place's certificate.
    #[error("no certificate authorities were found on this machine, and {place} needs them")]
    NoAuthorities {
        /// The place.
        place: String,
    },
    /// The place could not be reached, or did not answer in time.
    #[error("cannot push metrics to {place}")]
    Send {
        /// The place.
        place: String,
        /// The cause.
        source: Box<ureq::Error>,
    },
    /// The place has moved. That is not followed, because metrics show names.
    #[error("{place} redirects to another place: put that into the configuration")]
    Redirected {
        /// The place.
        place: String,
    },
    /// The place does not take the metrics.
    #[error("{place} refuses the metrics with status {status}: {says}")]
    Refused {
        /// The place.
        place: String,
        /// The status of its answer.
        status: u16,
        /// The beginning of its answer.
        says: String,
    },
}

/// Replaces the metrics of a group by `text`.
///
/// Takes at most 15 s. The system's certificate authorities are trusted.
pub fn push(group: &Group<'_>, text: &str) -> Result<(), PushError> {
    push_within(group, text, TIMEOUT)
}

fn push_within(group: &Group<'_>, text: &str, timeout: Duration) -> Result<(), PushError> {
    let place = Place::of(group.url)?;
    let url = place.url_of(group);
    let failed = |error| PushError::Send { place: place.shown.clone(), source: Box::new(error) };
    let mut request = agent(&place, timeout)?.put(&url).content_type(CONTENT_TYPE);
    if let Some(user) = &place.user {
        request = request.header("Authorization", format!("Basic {}", STANDARD.encode(user)));
    }
    let mut response = request.send(text).map_err(failed)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        return Err(PushError::Redirected { place: place.shown });
    }
    let mut answer = Vec::new();
    // The status is known: as much as can be read explains it.
    let _ = response.body_mut().as_reader().take(ANSWER_LEN_MAX_BYTES).read_to_end(&mut answer);
    let says = harmless(String::from_utf8_lossy(&answer).trim());
    Err(PushError::Refused { place: place.shown, status: status.as_u16(), says })
}

/// Returns the URL of a group, without user and password. Fails if `url` cannot be used.
pub fn group_url(group: &Group<'_>) -> Result<String, PushError> {
    Ok(Place::of(group.url)?.url_of(group))
}

/// A Pushgateway.
struct Place {
    /// Its URL without user and password, as messages show it too.
    shown: String,
    /// User and password, separated by a colon.
    user: Option<String>,
    is_https: bool,
}

impl Place {
    fn of(url: &str) -> Result<Self, PushError> {
        let uri: Uri = url.parse().map_err(|_| PushError::Url("it cannot be read"))?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(PushError::Url("it must begin with http:// or https://")),
        };
        // The crate drops a fragment.
        if uri.query().is_some() || url.contains('#') {
            return Err(PushError::Url("it must not have a query or a fragment"));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(plain(user)?), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with(':') {
            return Err(PushError::Url("it names no host"));
        }
        let scheme = if is_https { "https" } else { "http" };
        let shown = format!("{scheme}://{host}{}", uri.path().trim_end_matches('/'));
        Ok(Self { shown, user, is_https })
    }

    fn url_of(&self, group: &Group<'_>) -> String {
        let base = self.shown.trim_end_matches("/metrics");
        let (host, app) = (segment("host", group.host), segment("app", group.app));
        format!("{base}/metrics/job/drumlin{host}{app}")
    }
}

/// Returns a label of a group as part of a URL's path.
///
/// Anything but letters, digits and a few signs is written in base64, a form that the Pushgateway
/// has for this: percent signs would be undone before it looks for slashes, and clients and
/// proxies remove dots.
fn segment(label: &str, value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let is_dots = value.bytes().all(|byte| byte == b'.');
    if !is_dots && value.bytes().all(is_plain) {
        return format!("/{label}/{value}");
    }
    // Nothing at all would be an empty segment, which is removed too: one sign of padding says it.
    let encoded = if value.is_empty() { "=".to_owned() } else { URL_SAFE_NO_PAD.encode(value) };
    format!("/{label}@base64/{encoded}")
}

/// Undoes the percent signs of a user and password.
fn plain(text: &str) -> Result<String, PushError> {
    let bytes = percent_encoding::percent_decode_str(text).decode_utf8();
    Ok(bytes.map_err(|_| PushError::Url("its user is not UTF-8"))?.into_owned())
}

/// Returns a client that follows no redirect. Proxies are those of the environment.
fn agent(place: &Place, timeout: Duration) -> Result<Agent, PushError> {
    let mut tls = TlsConfig::builder();
    if place.is_https {
        let found = rustls_native_certs::load_native_certs().certs;
        if found.is_empty() {
            return Err(PushError::NoAuthorities { place: place.shown.clone() });
        }
        let roots = found.iter().map(|root| Certificate::from_der(root).to_owned());
        tls = tls
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    }
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("drumlin/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build();
    Ok(config.into())
}

#[cfg(test)]
mod tests;
