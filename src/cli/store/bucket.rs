//! What is to be known about a bucket: its URL, the configuration, the environment, in this order.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::secret;
use crate::settings::location::Bucket;
use crate::settings::repository::RepositorySettings;
use crate::store::lazy::OpenStore;
use crate::store::pace::Pace;
use crate::store::s3::S3Store;
use crate::store::s3::options::{Lock, S3Options};

/// Transfers at once: enough to fill a line of 1 Gbit/s at 30 ms, and few enough for a home's router.
const CONNECTIONS: usize = 8;
/// After how much time without progress a request has failed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Puts together what is known; reads the secret of the access key if the configuration says where it is.
pub fn options(ctx: &Context, part: &Bucket, settings: RepositorySettings, pace: Arc<Pace>) -> Result<S3Options, Failure> {
    let RepositorySettings { line, s3, .. } = settings;
    let credentials = match (s3.key_id, &s3.secret) {
        (Some(id), Some(origin)) => Some((id, secret::read_store_password(&ctx.ui, origin)?)),
        _ => None,
    };
    Ok(S3Options {
        bucket: part.name.clone(),
        prefix: part.prefix.clone(),
        endpoint: part.endpoint.clone(),
        region: part.region.clone(),
        path_style: s3.path_style,
        allow_http: s3.allow_http,
        credentials,
        profile: s3.profile,
        storage_classes: s3.storage_classes,
        lock: s3.lock.map(|lock| Lock { is_compliance: lock.is_compliance, days: lock.days }),
        connections: ctx.global.connections.or(line.connections).unwrap_or(CONNECTIONS),
        timeout: line.timeout.unwrap_or(TIMEOUT),
        pace,
    })
}

/// Returns what opens the store.
pub fn opener(options: S3Options) -> OpenStore {
    Box::new(move || Ok(Arc::new(S3Store::open(options.clone())?)))
}
