//! The SDK's client and the runtime that it runs on.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Config, IdentityCache, ProvideCredentials, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector};
use tokio::runtime::Runtime;

use super::complete_listing::CompleteListing;
use super::connector::{self, CONNECT_MAX, IDLE};
use super::credentials::{self, RenewingCredentials};
use super::failure::S3Failure;
use super::options::S3Options;
use super::reject_html::RejectHtml;
use super::response_limit::ResponseLimit;
use super::trust;
use crate::store::ErrorKind;

/// Runtime threads: encryption takes less than one core per gigabyte a second.
const WORKERS: usize = 2;

/// Returns the runtime that the SDK needs.
pub(super) fn runtime() -> Result<Runtime, S3Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(WORKERS).thread_name("s3").enable_all().build();
    built.map_err(|error| {
        S3Failure::new(ErrorKind::Other, "its threads cannot be started").because(error)
    })
}

/// Returns a client that sends each request once.
///
/// Must be called in a runtime. Sends no request to the bucket's server, but may ask others for
/// credentials.
pub(super) async fn client(
    options: &S3Options,
) -> Result<(Client, Arc<RenewingCredentials>), S3Failure> {
    check_names(options)?;
    let endpoint = options
        .endpoint
        .as_deref()
        .map(|text| check_endpoint(text, options.allow_http))
        .transpose()?;
    let is_local = endpoint.is_some_and(|endpoint| is_loopback(host_of(endpoint)));
    let connections = options.connections.max(1);
    let usual = http_client(connections, is_local);
    let region = credentials::region(options).await;
    let credentials = Arc::new(RenewingCredentials::load(options, &usual, region.clone()).await?);
    let http = match &options.trust {
        Some(trust) => {
            let of_aws = || format!("https://{}.s3.{region}.amazonaws.com", options.bucket);
            // Servers on this machine are reached without a proxy.
            let address =
                if is_local { String::new() } else { endpoint.map_or_else(of_aws, str::to_owned) };
            connector::http_client(&address, connections, trust::tls_config(trust)?)
        }
        None => usual,
    };
    let provider: Arc<dyn ProvideCredentials> = Arc::clone(&credentials) as _;
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_MAX.min(options.timeout / 2)).build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .region(region)
        .force_path_style(options.path_style.unwrap_or(endpoint.is_some()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        // `transfer` has the time-outs, because it knows the progress of a request.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Otherwise a wrong clock would fail only the first request of each process.
        .disable_clock_skew_correction(true)
        // Many servers do not understand bodies with the SDK's checksums; everything stored is
        // authenticated anyway.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // `RenewingCredentials` caches them, so that they can be dropped before they expire.
        .identity_cache(IdentityCache::no_cache())
        .interceptor(RejectHtml)
        .interceptor(ResponseLimit)
        .interceptor(CompleteListing)
        .credentials_provider(SharedCredentialsProvider::new(provider));
    let config = match endpoint {
        Some(endpoint) => config.endpoint_url(endpoint),
        None => config,
    };
    Ok((Client::from_conf(config.build()), credentials))
}

fn http_client(connections: usize, is_local: bool) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, _| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_pool_idle_timeout(Some(Some(IDLE)));
        connector.set_pool_max_idle_per_host(Some(connections));
        connector.set_proxy_config(Some(if is_local {
            ProxyConfig::disabled()
        } else {
            ProxyConfig::from_env()
        }));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}

/// Refuses names that a server or proxy may interpret as other names.
fn check_names(options: &S3Options) -> Result<(), S3Failure> {
    let bucket = &options.bucket;
    let is_bucket = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || bucket.starts_with('.') || !bucket.bytes().all(is_bucket) {
        let says = format!(
            "`{bucket}` is not the name of a bucket: letters, digits, dots and hyphens are allowed"
        );
        return Err(S3Failure::new(ErrorKind::Other, says));
    }
    let is_part =
        |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    if !options.prefix.is_empty() && !options.prefix.split('/').all(is_part) {
        let says = format!(
            "`{}` cannot be the prefix: no part between slashes may be empty, `.` or `..`",
            options.prefix.escape_debug()
        );
        return Err(S3Failure::new(ErrorKind::Other, says));
    }
    Ok(())
}

/// Returns the endpoint without a slash at its end.
fn check_endpoint(text: &str, allow_http: bool) -> Result<&str, S3Failure> {
    let endpoint = text.trim_end_matches('/');
    let wrong = |says: String| Err(S3Failure::new(ErrorKind::Other, says));
    let is_http = endpoint.starts_with("http://");
    let host = host_of(endpoint);
    if !is_http && !endpoint.starts_with("https://")
        || host.is_empty()
        || endpoint.contains(['@', '?', '#', ' '])
    {
        return wrong(
            "the endpoint must look like https://s3.example.org or https://s3.example.org:9000"
                .to_owned(),
        );
    }
    if is_http && !allow_http && !is_loopback(host) {
        let says = format!(
            "the endpoint {endpoint} is not encrypted: use https://, or allow http if the way to \
                it is safe"
        );
        return wrong(says);
    }
    Ok(endpoint)
}

/// Returns the host of an address, without its port.
fn host_of(endpoint: &str) -> &str {
    let after = endpoint.split_once("://").map_or("", |(_, after)| after);
    let authority = after.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
