//! Requests to a bucket, each sent once. Spec: `format-spec/12-store.md`, section 6.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ObjectLockMode, StorageClass};
use base64::prelude::{BASE64_STANDARD, Engine};
use md5::{Digest, Md5};

use super::BucketClient;
use super::errors::RequestContext;
use super::failure::S3Failure;
use super::options::Lock;
use super::signed_hash::SignedHash;
use super::transfer::RequestProgress;
use crate::store::layers::rate_limit::PIECE_LEN_MAX_BYTES;
use crate::store::{Class, ErrorKind, Key, OBJECT_LEN_MAX_BYTES, is_valid_name};

/// Attempts of a `create` that the server refused because of a conflict, and the first pause
/// between them.
const CONFLICTS_MAX: u32 = 5;
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);
/// Refusals of conditional requests before the server is believed: one of several servers of an
/// address may refuse by mistake.
const REFUSALS_MIN: u32 = 2;

impl BucketClient {
    /// Stores an object.
    pub(super) async fn put(&self, key: &Key, bytes: &[u8]) -> Result<(), S3Failure> {
        let mut pause = CONFLICT_PAUSE;
        let mut refusals = 0;
        for _ in 0..CONFLICTS_MAX {
            let is_conditional =
                !self.knows_no_conditions.load(Ordering::Relaxed) && refusals < REFUSALS_MIN;
            // Unless it returns `Done`, the server did nothing. So sending again repeats nothing,
            // which matters in `snapshots/`.
            match self.put_once(key, bytes, is_conditional).await? {
                PutResult::Done => {
                    self.knows_no_conditions.fetch_or(!is_conditional, Ordering::Relaxed);
                    return Ok(());
                }
                PutResult::NoConditions => refusals += 1,
                PutResult::Conflict => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let says = format!(
            "other requests were changing the object {CONFLICTS_MAX} times (409 \
                ConditionalRequestConflict)"
        );
        Err(S3Failure::new(ErrorKind::Unavailable, says))
    }

    async fn put_once(
        &self,
        key: &Key,
        bytes: &[u8],
        is_conditional: bool,
    ) -> Result<PutResult, S3Failure> {
        let request = self.request("s3:PutObject", true);
        let progress = RequestProgress::new();
        let mut put = self.client.put_object().bucket(&self.name).key(self.path(key)?);
        if is_conditional {
            put = put.if_none_match("*");
        }
        let (body, feeder) = progress.body(bytes.len(), &self.rate_limiter);
        put = put.body(ByteStream::new(body));
        if let Some(class) = self.storage_classes.get(&key.class) {
            put = put.storage_class(StorageClass::from(class.as_str()));
        }
        if let Some(lock) = self.lock.filter(|_| is_locked(key.class)) {
            put =
                put.object_lock_mode(lock_mode(lock)).object_lock_retain_until_date(lock_end(lock));
            // AWS demands a checksum for locked objects, and all servers know this one.
            put = put.content_md5(BASE64_STANDARD.encode(Md5::digest(bytes)));
        }
        let put = put.customize();
        // TLS protects the body already; without TLS the server compares its hash.
        let put = if self.is_encrypted {
            put.disable_payload_signing()
        } else {
            put.interceptor(SignedHash::of(bytes))
        };
        let sent = feeder.feed_while(bytes, put.send());
        // An empty body makes no progress, so it counts as sent.
        let was_sent = || bytes.is_empty() || progress.has_begun();
        match progress.watch(self.timeout, sent).await {
            Ok(Ok(done)) if has_tag(done.e_tag()) => {
                self.has_created.store(true, Ordering::Relaxed);
                Ok(PutResult::Done)
            }
            Ok(Ok(_)) => Err(no_tag(request.unanswered())),
            Ok(Err(error)) => match error.code() {
                Some("ConditionalRequestConflict") => Ok(PutResult::Conflict),
                Some("NotImplemented")
                    if is_conditional && !self.has_created.load(Ordering::Relaxed) =>
                {
                    Ok(PutResult::NoConditions)
                }
                _ => Err(request.explain(error, was_sent())),
            },
            Err(_) if was_sent() => Err(self.stalled(request.unanswered())),
            Err(_) => Err(self.stalled(ErrorKind::Unavailable)),
        }
    }

    /// Appends an object, or a range of it, to `out`.
    pub(super) async fn get(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
        out: &mut Vec<u8>,
    ) -> Result<(), S3Failure> {
        let short = || S3Failure::new(ErrorKind::Short, "the object ends before the range");
        let mut get = self.client.get_object().bucket(&self.name).key(self.path(key)?);
        if let Some(range) = &range {
            if range.is_empty() {
                return if range.end <= self.head(key).await?.len_bytes {
                    Ok(())
                } else {
                    Err(short())
                };
            }
            // No object is longer; some servers fail on larger numbers.
            let last = (range.end - 1).min(range.start.saturating_add(OBJECT_LEN_MAX_BYTES));
            get = get.range(format!("bytes={}-{last}", range.start));
        }
        let request = self.request("s3:GetObject", false);
        let progress = RequestProgress::new();
        let answer = match progress.watch(self.timeout, get.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Err(archived(error.as_service_error())
                    .unwrap_or_else(|| request.explain(error, true)));
            }
            Err(_) => return Err(self.stalled(ErrorKind::Unavailable)),
        };
        progress.note();
        if !has_tag(answer.e_tag()) {
            return Err(no_tag(ErrorKind::Unavailable));
        }
        let len = u64::try_from(answer.content_length().unwrap_or(-1)).map_err(|_| {
            S3Failure::new(ErrorKind::Other, "the server does not say how long its answer is")
        })?;
        if let Some(range) = &range {
            let is_asked =
                |text: &str| text.trim_start().starts_with(&format!("bytes {}-", range.start));
            if len > range.end - range.start
                || range.start > 0 && !answer.content_range().is_some_and(is_asked)
            {
                return Err(S3Failure::new(
                    ErrorKind::Other,
                    "the server sends another part than the one that was asked for",
                ));
            }
            if len < range.end - range.start {
                return Err(short());
            }
        } else if len > OBJECT_LEN_MAX_BYTES {
            return Err(S3Failure::new(ErrorKind::Unreadable, "longer than any object may be"));
        }
        self.receive(answer, len, &progress, out).await
    }

    async fn receive(
        &self,
        answer: GetObjectOutput,
        len: u64,
        progress: &RequestProgress,
        out: &mut Vec<u8>,
    ) -> Result<(), S3Failure> {
        let broken = |error: &str| {
            S3Failure::new(
                ErrorKind::Unavailable,
                format!("the connection broke while reading{error}"),
            )
        };
        let mut missing = usize::try_from(len).map_err(|_| broken(""))?;
        out.reserve_exact(missing);
        let mut body = answer.body;
        while let Some(step) = progress
            .watch(self.timeout, body.next())
            .await
            .map_err(|_| self.stalled(ErrorKind::Unavailable))?
        {
            let step = step.map_err(|error| broken("").because(error))?;
            missing = missing
                .checked_sub(step.len())
                .ok_or_else(|| broken(": more bytes came than were announced"))?;
            out.extend_from_slice(&step);
            for piece in step.chunks(PIECE_LEN_MAX_BYTES) {
                let delay = self.rate_limiter.download_delay(piece.len());
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
            }
            progress.note();
        }
        if missing == 0 { Ok(()) } else { Err(broken(": fewer bytes came than were announced")) }
    }

    /// Returns what a `HeadObject` says.
    ///
    /// Its response has no body, so a 404 may come from a proxy. It is believed only if a
    /// `GetObject` confirms it with an S3 error code.
    pub(super) async fn head(&self, key: &Key) -> Result<ObjectHead, S3Failure> {
        let failure = match self.head_once(key).await {
            Err(failure) if failure.kind == ErrorKind::NotFound => failure,
            head => return head,
        };
        match Box::pin(self.get(key, Some(0..1), &mut Vec::new())).await {
            // An empty object exists, too.
            Ok(()) | Err(S3Failure { kind: ErrorKind::Short, .. }) => {
                let says =
                    "one answer says that there is no such object, and the next one that there is";
                Err(S3Failure::new(ErrorKind::Unavailable, says))
            }
            Err(other) if other.kind != ErrorKind::NotFound => Err(other),
            Err(_) => Err(failure),
        }
    }

    async fn head_once(&self, key: &Key) -> Result<ObjectHead, S3Failure> {
        let request = RequestContext { is_head: true, ..self.request("s3:GetObject", false) };
        let head = self.client.head_object().bucket(&self.name).key(self.path(key)?);
        match RequestProgress::new().watch(self.timeout, head.send()).await {
            Ok(Ok(head)) if !has_tag(head.e_tag()) => Err(no_tag(ErrorKind::Unavailable)),
            Ok(Ok(head)) => Ok(ObjectHead {
                len_bytes: u64::try_from(head.content_length().unwrap_or(-1)).map_err(|_| {
                    S3Failure::new(
                        ErrorKind::Other,
                        "the server does not say how long the object is",
                    )
                })?,
                storage_class: head.storage_class().map(|class| class.as_str().to_owned()),
                restore: head.restore().map(str::to_owned),
                lock: head.object_lock_retain_until_date().map(|until| ObjectLockState {
                    is_compliance: head.object_lock_mode() == Some(&ObjectLockMode::Compliance),
                    until_s: until.secs(),
                }),
            }),
            Ok(Err(error)) => Err(request.explain(error, true)),
            Err(_) => Err(self.stalled(ErrorKind::Unavailable)),
        }
    }

    /// Removes an object.
    pub(super) async fn delete(&self, key: &Key) -> Result<(), S3Failure> {
        let request = self.request("s3:DeleteObject", true);
        let delete = self.client.delete_object().bucket(&self.name).key(self.path(key)?);
        match RequestProgress::new().watch(self.timeout, delete.send()).await {
            Ok(Ok(_)) => Ok(()),
            // Some servers answer like this if there is nothing to remove.
            Ok(Err(error)) if error.code() == Some("NoSuchKey") => Ok(()),
            Ok(Err(error)) => Err(request.explain(error, true)),
            Err(_) => Err(self.stalled(request.unanswered())),
        }
    }

    /// Describes a request, for the text of its failure.
    pub(super) fn request(&self, permission: &'static str, changes: bool) -> RequestContext<'_> {
        RequestContext { bucket: &self.name, permission, changes, is_head: false }
    }

    /// Returns the failure of a request without progress.
    pub(super) fn stalled(&self, kind: ErrorKind) -> S3Failure {
        S3Failure::new(
            kind,
            format!("nothing was sent or received for {} s", self.timeout.as_secs_f32()),
        )
    }

    /// Returns the key of an object in the bucket.
    pub(super) fn path(&self, key: &Key) -> Result<String, S3Failure> {
        if key.name.split('/').all(is_valid_name) {
            Ok(self.path_of(&key.to_string()))
        } else {
            Err(S3Failure::new(ErrorKind::Other, "not a valid object name"))
        }
    }

    /// Returns a name with the bucket's prefix.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }
}

/// Returns whether a response has an ETag, which every S3 server sends with an object.
fn has_tag(tag: Option<&str>) -> bool {
    tag.is_some_and(|tag| !tag.is_empty())
}

fn no_tag(kind: ErrorKind) -> S3Failure {
    S3Failure::new(
        kind,
        "the answer has no ETag, so it does not come from an S3 server: something in between has \
            answered",
    )
}

/// Result of a `PutObject`.
enum PutResult {
    Done,
    /// Another client changed the same name at the same time.
    Conflict,
    /// The server does not support conditional requests.
    NoConditions,
}

/// Metadata of an object.
pub(super) struct ObjectHead {
    /// Length in bytes.
    pub len_bytes: u64,
    /// Storage class, unless it is the server's default.
    pub storage_class: Option<String>,
    /// State of its thawing, as the server writes it.
    pub restore: Option<String>,
    /// Object lock, if there is one and the credential may see it.
    pub lock: Option<ObjectLockState>,
}

/// An object's lock.
#[derive(Clone, Copy)]
pub(super) struct ObjectLockState {
    /// Whether it is a compliance lock, which nobody can shorten.
    pub is_compliance: bool,
    /// When it ends, in seconds since 1970.
    pub until_s: i64,
}

/// Returns whether objects of a class are locked: the others are short-lived.
pub(super) fn is_locked(class: Class) -> bool {
    !matches!(class, Class::Intents | Class::Collector | Class::Probe)
}

/// Returns a lock's mode as the SDK's type.
pub(super) fn lock_mode(lock: Lock) -> ObjectLockMode {
    if lock.is_compliance { ObjectLockMode::Compliance } else { ObjectLockMode::Governance }
}

/// Returns when a lock that begins now ends.
pub(super) fn lock_end(lock: Lock) -> DateTime {
    DateTime::from(SystemTime::now() + Duration::from_secs(u64::from(lock.days) * 24 * 3600))
}

fn archived(error: Option<&GetObjectError>) -> Option<S3Failure> {
    let GetObjectError::InvalidObjectState(state) = error? else { return None };
    let class = state.storage_class().map_or("an archive class", StorageClass::as_str);
    let says = format!(
        "the object is in the storage class {class}, which cannot be read at once: it must be \
            thawed first (`drumlin restore --thaw`)"
    );
    Some(S3Failure::new(ErrorKind::Other, says))
}
