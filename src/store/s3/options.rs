//! Options of a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::store::Class;
use crate::store::layers::rate_limit::RateLimiter;

/// A bucket and how to reach it. The caller has read the configuration and the environment.
#[derive(Clone)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// What all names in it begin with, without slashes at either end; empty for the whole bucket.
    pub prefix: String,
    /// The server, such as `https://fsn1.your-objectstorage.com`; `None` for AWS.
    pub endpoint: Option<String>,
    /// The region; `None` for what the AWS configuration says, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket's name is in the path and not in the host's name; `None` decides by
    /// the endpoint.
    pub path_style: Option<bool>,
    /// Whether a server that is not on this machine may be spoken to without encryption.
    pub allow_http: bool,
    /// Key id and secret; `None` for AWS's chain: environment, profile, files, container and
    /// instance roles.
    pub credentials: Option<(String, zeroize::Zeroizing<String>)>,
    /// The profile of the AWS configuration that the chain uses; `None` for the usual one.
    pub profile: Option<String>,
    /// Variables that a program which gives out credentials shall not have: secrets of this
    /// program.
    pub without: &'static [&'static str],
    /// The storage class of objects, by their class here; the server's default where there is none.
    pub storage_classes: BTreeMap<Class, String>,
    /// For how long new objects are locked against removal, and how strictly; `None` for not at
    /// all.
    pub lock: Option<Lock>,
    /// Which certificates the server may show; `None` for those that an authority has signed which
    /// the system trusts.
    pub trust: Option<ServerTrust>,
    /// Transfers at once.
    pub connections: usize,
    /// After how much time without progress a request has failed.
    pub timeout: Duration,
    /// How quickly bytes may go up and come down.
    pub rate_limiter: Arc<RateLimiter>,
}

/// Which certificates a server may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerTrust {
    /// Those in a file, and those that one of them has signed.
    File {
        /// What the file holds.
        pem: Vec<u8>,
        /// What names the file, for errors.
        name: String,
    },
    /// The one with this SHA-256, as `openssl x509 -fingerprint -sha256` prints it.
    Pinned([u8; 32]),
}

/// Retention of objects that the server enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Whether nobody at all can shorten it (`COMPLIANCE`), or some can (`GOVERNANCE`).
    pub is_compliance: bool,
    /// Days from when an object is made or the lock extended.
    pub days: u32,
}
