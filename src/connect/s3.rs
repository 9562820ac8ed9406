//! Options of a bucket, from its URL, the configuration and the environment, in this order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::connector::Connector;
use super::credentials;
use super::error::{Error, Result};
use crate::os::bounded_read;
use crate::os::shell::OWN_SECRETS;
use crate::settings::location::Bucket;
use crate::settings::repository::RepositorySettings;
use crate::store::layers::lazy::OpenStore;
use crate::store::layers::rate_limit::RateLimiter;
use crate::store::s3::S3Store;
use crate::store::s3::options::{Lock, S3Options, ServerTrust};

/// Default number of transfers: enough to fill a line of 1 Gbit/s at 30 ms, and few enough for a
/// home router.
const CONNECTIONS: usize = 8;
/// Default time-out without progress.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Environment variable of AWS's tools that names a file of certificates.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Longest file of certificates; those of all public authorities take a quarter of a mebibyte.
const CA_FILE_LEN_MAX_BYTES: u64 = 8 << 20;

/// Collects the options; reads the secret of the access key if configured.
pub(super) fn options(
    connector: &Connector,
    part: &Bucket,
    settings: RepositorySettings,
    rate_limiter: Arc<RateLimiter>,
) -> Result<S3Options> {
    let RepositorySettings { connection, s3, .. } = settings;
    let credentials = match (s3.key_id, &s3.secret) {
        (Some(id), Some(origin)) => {
            Some((id, credentials::read_store_password(&*connector.operator, origin)?))
        }
        _ => None,
    };
    let trust = trust(connector, s3.ca_file, s3.certificate)?;
    Ok(S3Options {
        bucket: part.name.clone(),
        prefix: part.prefix.clone(),
        endpoint: part.endpoint.clone(),
        region: part.region.clone(),
        path_style: s3.path_style,
        allow_http: s3.allow_http,
        credentials,
        profile: s3.profile,
        without: OWN_SECRETS,
        storage_classes: s3.storage_classes,
        lock: s3.lock.map(|lock| Lock { is_compliance: lock.is_compliance, days: lock.days }),
        trust,
        connections: connector
            .options
            .connections
            .or(connection.connections)
            .unwrap_or(CONNECTIONS),
        timeout: connection.timeout.unwrap_or(TIMEOUT),
        rate_limiter,
    })
}

/// Returns the accepted certificates: from the configuration, else from the file of AWS's tools.
fn trust(
    connector: &Connector,
    file: Option<PathBuf>,
    pin: Option<[u8; 32]>,
) -> Result<Option<ServerTrust>> {
    if let Some(pin) = pin {
        return Ok(Some(ServerTrust::Pinned(pin)));
    }
    let what = if file.is_some() { "ca-file" } else { CA_BUNDLE };
    let Some(path) = file.or_else(|| connector.env.path(CA_BUNDLE)) else {
        return Ok(None);
    };
    let pem = bounded_read::read(&path, CA_FILE_LEN_MAX_BYTES)
        .map_err(|error| Error::file(&format!("read the {what}"), &path, error))?;
    Ok(Some(ServerTrust::File { pem, name: format!("the {what} {}", path.display()) }))
}

/// Returns a function that opens the store.
pub(super) fn opener(options: S3Options) -> OpenStore {
    Box::new(move || Ok(Arc::new(S3Store::open(options.clone())?)))
}
