//! HTTP client for servers whose certificates the user configured; the SDK makes all others itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

/// Idle time after which a connection is not reused: servers close idle ones after about a minute,
/// and a request at that moment is lost.
pub(super) const IDLE: Duration = Duration::from_secs(10);
/// Time-out of connection setup, TLS included.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Returns a client for an endpoint, through the proxy that the environment names for it.
pub(super) fn http_client(
    endpoint: &str,
    connections: usize,
    config: ClientConfig,
) -> SharedHttpClient {
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    let proxy = endpoint.parse().ok().and_then(|endpoint| Matcher::from_env().intercept(&endpoint));
    let config = Arc::new(config);
    let connector = match proxy {
        Some(proxy) => {
            let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
            let tunnel = match proxy.basic_auth() {
                Some(auth) => tunnel.with_auth(auth.clone()),
                None => tunnel,
            };
            UserTrustConnector::shared(
                &builder(connections).build(HttpsConnector::from((tunnel, config))),
            )
        }
        None => UserTrustConnector::shared(
            &builder(connections).build(HttpsConnector::from((tcp, config))),
        ),
    };
    http_client_fn(move |_, _| connector.clone())
}

fn builder(connections: usize) -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(connections);
    builder
}

/// Sends a request.
type Send = dyn Fn(HttpRequest) -> HttpConnectorFuture + std::marker::Send + Sync;

struct UserTrustConnector(Box<Send>);

impl UserTrustConnector {
    fn shared<C>(client: &Client<C, SdkBody>) -> SharedHttpConnector
    where
        C: hyper_util::client::legacy::connect::Connect
            + Clone
            + std::marker::Send
            + Sync
            + 'static,
    {
        let client = client.clone();
        SharedHttpConnector::new(Self(Box::new(move |request| {
            let client = client.clone();
            HttpConnectorFuture::new(async move {
                let request = request
                    .try_into_http1x()
                    .map_err(|error| ConnectorError::user(error.into()))?;
                let response = client
                    .request(request)
                    .await
                    .map_err(|error: Error| ConnectorError::io(error.into()))?;
                let response = HttpResponse::try_from(response.map(SdkBody::from_body_1_x));
                response.map_err(|error| ConnectorError::other(error.into(), None))
            })
        })))
    }
}

impl fmt::Debug for UserTrustConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserTrustConnector")
    }
}

impl HttpConnector for UserTrustConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        (self.0)(request)
    }
}
