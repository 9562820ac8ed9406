//! Opening of a store by its location, with its layers: rate limit, counters, retries.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::connector::Connector;
#[cfg(not(all(feature = "s3", feature = "sftp")))]
use super::error::Error;
use super::error::Result;
use super::operator::Operator;
use super::place::{Purpose, RepositoryPlace};
#[cfg(feature = "s3")]
use super::s3;
#[cfg(feature = "sftp")]
use super::sftp;
use crate::monitor::in_words;
use crate::repo;
use crate::settings::location::{Bucket, Location, Remote};
use crate::settings::repository::{ConnectionSettings, RepositorySettings};
use crate::store::layers::clock::SystemClock;
use crate::store::layers::count::CountStore;
use crate::store::layers::lazy::{LazyStore, OpenStore};
use crate::store::layers::rate_limit::RateLimiter;
use crate::store::layers::retry::{OnRetry, RetryPolicy, RetryStore};
use crate::store::layers::throttle::ThrottleStore;
use crate::store::local::LocalStore;
use crate::store::{ErrorKind, Store, StoreError, StoreProperties};
use crate::text;

/// Number of transfers, and the function that opens the store.
type Opener = (usize, OpenStore);

impl Connector {
    /// Opens the store of a repository. Remote stores connect with the first request.
    ///
    /// Fails if its directory on this machine is missing, unless `purpose` is to make it.
    pub fn store(&self, place: &RepositoryPlace, purpose: Purpose) -> Result<Arc<dyn Store>> {
        let clock = Arc::new(SystemClock::new(self.is_stopping));
        let connection = place
            .settings
            .as_ref()
            .map_or_else(ConnectionSettings::default, |settings| settings.connection.clone());
        let limit = |own: Option<u64>, configured: Option<u64>| {
            own.or(configured).filter(|limit| *limit != u64::MAX)
        };
        let up = limit(self.options.limit_upload, connection.limit_upload);
        let rate_limiter = Arc::new(RateLimiter::new(
            clock.clone(),
            up,
            limit(self.options.limit_download, connection.limit_download),
        ));
        let store = self.bare_store(place, purpose, rate_limiter)?;
        let counted = Arc::new(CountStore::new(store));
        self.requests.add(counted.clone());
        let policy = connection.retry.map_or_else(RetryPolicy::default, RetryPolicy::of_total);
        Ok(Arc::new(RetryStore::new(
            counted,
            clock,
            policy,
            warn_of_trouble(Arc::clone(&self.operator)),
        )))
    }

    fn bare_store(
        &self,
        place: &RepositoryPlace,
        purpose: Purpose,
        rate_limiter: Arc<RateLimiter>,
    ) -> Result<Arc<dyn Store>> {
        let settings = place.settings.clone().unwrap_or_default();
        let (transfers, open) = match &place.location {
            Location::Local(path) => {
                let store = open_local(path, purpose, || self.witness(place).knows())?;
                return Ok(if rate_limiter.is_unlimited() {
                    store
                } else {
                    Arc::new(ThrottleStore::new(store, rate_limiter))
                });
            }
            Location::S3(part) => self.bucket(part, settings, rate_limiter)?,
            Location::Sftp(remote) => self.machine(remote, settings, purpose, rate_limiter)?,
        };
        let properties =
            StoreProperties { parallelism: transfers, is_local: false, can_run_full: true };
        Ok(Arc::new(LazyStore::new(place.shown(), properties, open)))
    }

    #[cfg(feature = "s3")]
    fn bucket(
        &self,
        part: &Bucket,
        settings: RepositorySettings,
        rate_limiter: Arc<RateLimiter>,
    ) -> Result<Opener> {
        let options = s3::options(self, part, settings, rate_limiter)?;
        Ok((options.connections, s3::opener(options)))
    }

    #[cfg(not(feature = "s3"))]
    fn bucket(&self, _: &Bucket, _: RepositorySettings, _: Arc<RateLimiter>) -> Result<Opener> {
        Err(Error::usage("this program was built without S3")
            .hint("build it with the feature `s3`, which is on by default"))
    }

    #[cfg(feature = "sftp")]
    fn machine(
        &self,
        remote: &Remote,
        settings: RepositorySettings,
        purpose: Purpose,
        rate_limiter: Arc<RateLimiter>,
    ) -> Result<Opener> {
        let options = sftp::options(self, remote, settings, purpose, rate_limiter)?;
        Ok((options.connections, sftp::opener(options, purpose == Purpose::Make)))
    }

    #[cfg(not(feature = "sftp"))]
    fn machine(
        &self,
        _: &Remote,
        _: RepositorySettings,
        _: Purpose,
        _: Arc<RateLimiter>,
    ) -> Result<Opener> {
        Err(Error::usage("this program was built without SFTP")
            .hint("build it with the feature `sftp`, which is on by default"))
    }
}

fn open_local(
    path: &Path,
    purpose: Purpose,
    is_known: impl FnOnce() -> bool,
) -> Result<Arc<dyn Store>> {
    let opened = match purpose {
        Purpose::Make => LocalStore::open_or_make(path),
        _ => LocalStore::open(path),
    };
    match opened {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) if error.kind == ErrorKind::NotFound => Err(repo::Error::NoRepository {
            location: path.display().to_string(),
            is_known: is_known(),
        }
        .into()),
        Err(error) => Err(error.into()),
    }
}

/// Returns a callback that warns about retries.
fn warn_of_trouble(operator: Arc<dyn Operator>) -> OnRetry {
    Box::new(move |error: &StoreError, limit: Duration| {
        operator.warn(&format!(
            "{}; trying again for up to {}",
            in_words(error),
            text::duration(limit)
        ));
    })
}
