//! HTTP requests of webhooks and pings.
//!
//! A URL is a secret here (it holds a token or a topic), so errors name the host only. Redirects
//! are not followed: they would carry header and text to another place.

use std::io::Read;
use std::sync::Arc;

use ureq::http::uri::Authority;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body, Error};

use super::clean;
use super::outbox::SendError;
use super::reach::Reach;

/// Most bytes of an answer that are read.
const ANSWER_MAX_BYTES: u64 = 4 << 10;
/// Most bytes of an answer that are quoted in an error.
const QUOTED_MAX_BYTES: usize = 200;
/// Most bytes of an answer's header.
const HEADER_MAX_BYTES: usize = 16 << 10;
/// Size of each of the two buffers of a connection.
const BUFFER_BYTES: usize = 16 << 10;

/// A client for short requests.
#[derive(Clone, Debug)]
pub(super) struct Http {
    agent: Agent,
}

impl Http {
    /// Returns a client that trusts the system's authorities and those of the settings.
    ///
    /// Fails with a message for the user if an authority of the settings is no certificate.
    pub(super) fn new(reach: &Reach) -> Result<Self, String> {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(roots(reach)?)
            .build();
        let config = Agent::config_builder()
            .timeout_global(Some(reach.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEADER_MAX_BYTES)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            // A connection is used once in hours.
            .max_idle_connections(0)
            .user_agent(concat!("drumlin/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self { agent: config.into() })
    }

    /// Makes a request. Only an answer of 200 to 299 is a success.
    pub(super) fn send(&self, request: Request<Vec<u8>>) -> Result<(), SendError> {
        let host = host_of(request.uri());
        match self.agent.run(request) {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(SendError(refusal(&host, answer))),
            Err(error) => Err(SendError(format!("{host}: {}", cause(&error)))),
        }
    }
}

/// Returns a URL of the settings.
///
/// Fails with a message for the user, without the URL.
pub(super) fn parse_url(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|_| "this is not a URL".to_owned())?;
    if uri.authority().is_some_and(has_odd_port) {
        return Err("the port is not a number".to_owned());
    }
    match uri.scheme_str() {
        Some("https" | "http") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err("the URL must begin with https:// or http:// and a host".to_owned()),
    }
}

/// Returns the URL with parts added to its path, and without a query if there is a new one.
pub(super) fn with_path(url: &Uri, path: &str, query: Option<&str>) -> Result<Uri, SendError> {
    let query = query.or(url.query()).map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = url.clone().into_parts();
    let whole = format!("{}{query}", join(url.path(), path));
    parts.path_and_query = Some(whole.parse().map_err(|_| unusable())?);
    Uri::from_parts(parts).map_err(|_| unusable())
}

/// Returns whether the host is followed by something that is no port.
fn has_odd_port(authority: &Authority) -> bool {
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    authority.port_u16().is_none() && place.len() != authority.host().len()
}

fn join(path: &str, more: &str) -> String {
    if more.is_empty() { path.to_owned() } else { format!("{}/{more}", path.trim_end_matches('/')) }
}

fn unusable() -> SendError {
    SendError("the URL cannot be used".to_owned())
}

/// Returns the host of a URL, for errors.
pub(super) fn host_of(url: &Uri) -> String {
    clean::line(url.host().unwrap_or("?"), QUOTED_MAX_BYTES)
}

fn refusal(host: &str, mut answer: Response<Body>) -> String {
    let status = answer.status();
    if status.is_redirection() {
        let place = answer.headers().get("location").and_then(|place| place.to_str().ok());
        let place = place.and_then(|place| place.parse::<Uri>().ok());
        let place = place
            .as_ref()
            .and_then(Uri::host)
            .map_or(host.to_owned(), |place| clean::line(place, QUOTED_MAX_BYTES));
        return format!("{host}: {status}: it redirects to {place}, which is not followed");
    }
    let mut text = Vec::new();
    // What could be read is quoted; an answer that breaks off is a refusal all the same.
    let _ = answer.body_mut().as_reader().take(ANSWER_MAX_BYTES).read_to_end(&mut text);
    let text = clean::line(&String::from_utf8_lossy(&text), QUOTED_MAX_BYTES);
    if text.is_empty() { format!("{host}: {status}") } else { format!("{host}: {status}: {text}") }
}

/// Returns the cause of an error, without its URL.
fn cause(error: &Error) -> String {
    match error {
        Error::BadUri(_) | Error::Http(_) => "the URL cannot be used".to_owned(),
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "the host is not known".to_owned(),
        error => clean::line(&error.to_string(), QUOTED_MAX_BYTES),
    }
}

fn roots(reach: &Reach) -> Result<RootCerts, String> {
    // Certificates that the system has and that cannot be read are left out: what they signed is
    // refused.
    let system = rustls_native_certs::load_native_certs().certs;
    let mut all: Vec<Certificate<'static>> =
        system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    for item in parse_pem(&reach.authorities_pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => all.push(certificate),
            _ => return Err("an authority is not a certificate in PEM".to_owned()),
        }
    }
    Ok(RootCerts::new_with_certs(&all))
}
