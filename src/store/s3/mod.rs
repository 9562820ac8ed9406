//! Store in a bucket of an S3 server. Spec: `format-spec/12-store.md`, section 6.
//!
//! The SDK is asynchronous; its runtime is private to this module.

mod archive;
mod certificate;
mod client;
mod complete_listing;
mod connector;
mod credential_process;
mod credentials;
mod errors;
mod failure;
mod list;
mod operations;
pub mod options;
mod reject_html;
mod response_limit;
mod signed_hash;
mod transfer;
mod trust;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_sdk_s3::Client;
use tokio::runtime::Runtime;

use self::credentials::RenewingCredentials;
use self::failure::{Again, S3Failure};
use self::options::{Lock, S3Options};
use self::transfer::Gate;
use super::layers::rate_limit::RateLimiter;
use super::{
    Action, Archive, Class, ErrorKind, Key, Listed, OBJECT_LEN_MAX_BYTES, Store, StoreError,
    StoreProperties,
};

/// Repetitions of a request that the server says it cannot do, and the pause between them.
const REFUSALS_MAX: u32 = 2;
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);
/// Renewals of credentials for one request: some programs return new ones each time, and a server
/// may accept none of them.
const RENEWALS_MAX: u32 = 3;

/// A store in a bucket. Each request is sent once, except a few that the server refused and that
/// may succeed at once; a retry layer adds the rest.
pub struct S3Store {
    bucket: BucketClient,
    location: String,
    gate: Gate,
    transfers: usize,
    /// `Some` until the store is dropped.
    runtime: Option<Runtime>,
}

/// A bucket and its client.
struct BucketClient {
    client: Client,
    credentials: Arc<RenewingCredentials>,
    name: String,
    prefix: String,
    storage_classes: BTreeMap<Class, String>,
    lock: Option<Lock>,
    timeout: Duration,
    rate_limiter: Arc<RateLimiter>,
    /// Whether the connection is.
    is_encrypted: bool,
    /// Whether an object was created: from then on what the server knows is known.
    has_created: AtomicBool,
    /// Whether the server refuses the condition of `create`; then objects are made without, and may
    /// be replaced.
    knows_no_conditions: AtomicBool,
}

impl S3Store {
    /// Opens the store; the bucket is not asked for anything yet, so whether it is there turns out
    /// with the first request.
    ///
    /// Loads credentials, for which other services may be asked, in at most a few seconds, unless a
    /// program gives them out. Fails with [`ErrorKind::Other`] if there are none or the options
    /// make no sense, and with [`ErrorKind::Unavailable`] if what gives out credentials does not
    /// answer.
    pub fn open(options: S3Options) -> Result<Self, StoreError> {
        let separator = if options.prefix.is_empty() { "" } else { "/" };
        let location = format!("s3://{}{separator}{}", options.bucket, options.prefix);
        let opened = client::runtime().and_then(|runtime| {
            let client = runtime.block_on(client::client(&options));
            client.map(|client| (runtime, client))
        });
        let (runtime, (client, credentials)) =
            opened.map_err(|failure| store_error("open", &location, String::new(), failure))?;
        let is_encrypted =
            !options.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let transfers = options.connections.max(1);
        let gate = Gate::new(transfers);
        let S3Options {
            bucket: name, prefix, storage_classes, lock, timeout, rate_limiter, ..
        } = options;
        let (has_created, knows_no_conditions) = (AtomicBool::new(false), AtomicBool::new(false));
        let bucket = BucketClient {
            client,
            credentials,
            name,
            prefix,
            storage_classes,
            lock,
            timeout,
            rate_limiter,
            is_encrypted,
            has_created,
            knows_no_conditions,
        };
        Ok(Self { bucket, location, gate, transfers, runtime: Some(runtime) })
    }

    /// Waits for its turn, and then for a request.
    fn run<T>(
        &self,
        action: &'static str,
        object: &dyn ToString,
        request: impl AsyncFnMut() -> Result<T, S3Failure>,
    ) -> Result<T, StoreError> {
        let _pass = self.gate.enter();
        self.run_at_once(action, object, request)
    }

    /// Waits for a request, which is made again where the server did nothing and may think
    /// otherwise the next time.
    fn run_at_once<T>(
        &self,
        action: &'static str,
        object: &dyn ToString,
        mut request: impl AsyncFnMut() -> Result<T, S3Failure>,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().expect("it is there until the store is dropped");
        let asked = runtime.block_on(async {
            let (mut refusals, mut renewals) = (0, 0);
            loop {
                let credentials = self.bucket.credentials.number();
                let failure = match request().await {
                    Err(failure) => failure,
                    done => return done,
                };
                match failure.again {
                    Again::AFewTimes if refusals < REFUSALS_MAX => {
                        refusals += 1;
                        tokio::time::sleep(REFUSAL_PAUSE).await;
                    }
                    Again::Renewed
                        if renewals < RENEWALS_MAX
                            && self.bucket.credentials.renew(credentials).await =>
                    {
                        renewals += 1
                    }
                    _ => return Err(failure),
                }
            }
        });
        asked.map_err(|failure| store_error(action, &self.location, object.to_string(), failure))
    }
}

impl Drop for S3Store {
    fn drop(&mut self) {
        // Without waiting: a host name lookup can take long and cannot be stopped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Store for S3Store {
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.run(Action::List.name(), &class.dir_name(), async || {
            self.bucket.list(class, prefix).await
        })
    }

    fn stat(&self, key: &Key) -> Result<u64, StoreError> {
        self.run(Action::Stat.name(), key, async || Ok(self.bucket.head(key).await?.len_bytes))
    }

    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let before = out.len();
        self.run(Action::Read.name(), key, async || {
            out.truncate(before);
            self.bucket.get(key, Some(range.clone()), out).await
        })
    }

    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::new();
        self.run(Action::Read.name(), key, async || {
            out.clear();
            self.bucket.get(key, None, &mut out).await
        })?;
        Ok(out)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError> {
        let put = async || {
            if bytes.len() as u64 > OBJECT_LEN_MAX_BYTES {
                return Err(S3Failure::new(ErrorKind::Other, "longer than any object may be"));
            }
            self.bucket.put(key, bytes).await
        };
        match key.class {
            // A probe's requests must race each other: one after the other they would prove
            // nothing.
            Class::Probe => self.run_at_once(Action::Create.name(), key, put),
            _ => self.run(Action::Create.name(), key, put),
        }
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.run(Action::Remove.name(), key, async || self.bucket.delete(key).await)
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn archive(&self) -> Option<&dyn Archive> {
        Some(self)
    }

    fn properties(&self) -> StoreProperties {
        // A bucket may have a quota, which no request reveals.
        StoreProperties { parallelism: self.transfers, is_local: false, can_run_full: true }
    }
}

fn store_error(
    action: &'static str,
    location: &str,
    object: String,
    failure: S3Failure,
) -> StoreError {
    StoreError {
        kind: failure.kind,
        action,
        location: location.to_owned(),
        object,
        source: Box::new(failure),
    }
}
