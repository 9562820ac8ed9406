//! Options of a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::store::Class;
use crate::store::layers::rate_limit::RateLimiter;

/// A bucket and how to reach it. The caller merges configuration and environment.
#[derive(Clone)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// Prefix of all names, without slashes at either end; empty for the whole bucket.
    pub prefix: String,
    /// The server, such as `https://fsn1.your-objectstorage.com`; `None` for AWS.
    pub endpoint: Option<String>,
    /// The region; `None` for what the AWS configuration says, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket's name is in the path instead of the host name; `None` decides by the
    /// endpoint.
    pub path_style: Option<bool>,
    /// Whether a server on another machine may be used without encryption.
    pub allow_http: bool,
    /// Key id and secret; `None` for AWS's chain: environment, profile, files, container and
    /// instance roles.
    pub credentials: Option<(String, zeroize::Zeroizing<String>)>,
    /// The profile of the AWS configuration that the chain uses; `None` for the default one.
    pub profile: Option<String>,
    /// Environment variables that credential programs do not get: secrets of this program.
    pub without: &'static [&'static str],
    /// Storage class of each class of objects; the server's default if there is none.
    pub storage_classes: BTreeMap<Class, String>,
    /// Object lock of new objects; `None` for no lock.
    pub lock: Option<Lock>,
    /// Accepted certificates; `None` for those signed by an authority that the system trusts.
    pub trust: Option<ServerTrust>,
    /// Maximum number of concurrent requests.
    pub connections: usize,
    /// Time without progress after which a request fails.
    pub timeout: Duration,
    /// Limits of upload and download.
    pub rate_limiter: Arc<RateLimiter>,
}

/// Accepted certificates of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerTrust {
    /// Those in a file, and those signed by one of them.
    File {
        /// The file's content.
        pem: Vec<u8>,
        /// Name of the file, for errors.
        name: String,
    },
    /// The one with this SHA-256, as `openssl x509 -fingerprint -sha256` prints it.
    Pinned([u8; 32]),
}

/// Retention of objects that the server enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// `COMPLIANCE`, which nobody can shorten, or `GOVERNANCE`, which some users can.
    pub is_compliance: bool,
    /// Days from the creation of the object or the extension of the lock.
    pub days: u32,
}
