//! An S3 server that a test started, the stores in it, and what its owner can do that no store
//! does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use drumlin::store::layers::rate_limit::RateLimiter;
use drumlin::store::s3::S3Store;
use drumlin::store::s3::options::S3Options;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::process::Process;

/// A running server; it ends when this is dropped.
pub struct S3Server {
    port: u16,
    credentials: (String, String),
    processes: Vec<Process>,
    folder: Option<TempDir>,
    buckets: AtomicU32,
    runtime: Runtime,
    owner: Client,
}

impl S3Server {
    /// Describes a server that listens on a port, with its owner's key id and secret.
    pub fn new(
        port: u16,
        credentials: (String, String),
        processes: Vec<Process>,
        folder: Option<TempDir>,
    ) -> Self {
        let owner = client(port, &credentials.0, &credentials.1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { port, credentials, processes, folder, buckets: AtomicU32::new(0), runtime, owner }
    }

    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its owner's key id and secret.
    pub fn credentials(&self) -> (&str, &str) {
        (&self.credentials.0, &self.credentials.1)
    }

    /// Returns its scratch folder.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Returns how much processor time it has used so far.
    pub fn processor_time(&self) -> Duration {
        self.processes.iter().map(|process| super::processor_time(process.0.id()).0).sum()
    }

    /// Returns whether all its processes run.
    pub fn is_running(&mut self) -> bool {
        self.processes.iter_mut().all(Process::is_running)
    }

    /// Lets the owner do something.
    pub fn as_owner<T, E, F>(&self, act: impl FnOnce(&Client) -> F) -> T
    where
        E: std::error::Error,
        F: Future<Output = Result<T, E>>,
    {
        let done = self.runtime.block_on(act(&self.owner));
        done.unwrap_or_else(|error| panic!("{}", aws_sdk_s3::error::DisplayErrorContext(error)))
    }

    /// Returns a client of somebody's, for what no store does.
    pub fn client(&self, id: &str, secret: &str) -> Client {
        client(self.port, id, secret)
    }

    /// Waits for an answer.
    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// Makes a new bucket and returns its name.
    pub fn bucket(&self) -> String {
        let name = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        self.as_owner(|owner| owner.create_bucket().bucket(&name).send());
        name
    }

    /// Returns the options of a store in a new bucket.
    pub fn options(&self) -> S3Options {
        self.options_of(self.bucket())
    }

    /// Returns the options of a store in a bucket.
    pub fn options_of(&self, bucket: String) -> S3Options {
        options(bucket, self.port, self.credentials())
    }

    /// Opens a store in a new bucket.
    pub fn store(&self) -> Arc<S3Store> {
        Arc::new(S3Store::open(self.options()).unwrap())
    }
}

fn client(port: u16, id: &str, secret: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new(id, secret, None, None, "test"));
    Client::from_conf(config.build())
}

/// Returns the options of a store behind a port of this machine.
pub fn options(bucket: String, port: u16, (id, secret): (&str, &str)) -> S3Options {
    S3Options {
        bucket,
        prefix: "a/b".to_owned(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        region: Some("us-east-1".to_owned()),
        path_style: None,
        allow_http: false,
        credentials: Some((id.to_owned(), secret.to_owned().into())),
        profile: None,
        without: &["DRUMLIN_TEST_SECRET"],
        storage_classes: BTreeMap::new(),
        lock: None,
        connections: 8,
        timeout: Duration::from_secs(60),
        trust: None,
        rate_limiter: Arc::new(RateLimiter::unlimited()),
    }
}
