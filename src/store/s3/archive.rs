//! Archive classes and object locks of a bucket.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    GlacierJobParameters, ObjectLockRetention, ObjectLockRetentionMode, RestoreRequest, Tier,
};

use super::failure::S3Failure;
use super::operations::ObjectLockState;
use super::transfer::RequestProgress;
use super::{BucketClient, S3Store};
use crate::store::{Archive, ErrorKind, Key, Readiness, StoreError, ThawTier};

impl Archive for S3Store {
    fn readiness(&self, key: &Key) -> Result<Readiness, StoreError> {
        self.run("look at", key, async || self.bucket.readiness(key).await)
    }

    /// Fails with [`ErrorKind::NotPermitted`] without `s3:RestoreObject`, and with
    /// [`ErrorKind::Other`] for objects of other classes.
    fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), StoreError> {
        self.run("thaw", key, async || self.bucket.thaw(key, days, tier).await)
    }

    fn lock_days(&self) -> Option<u32> {
        self.bucket.lock.map(|lock| lock.days)
    }

    /// Locks are invisible without `s3:GetObjectRetention`.
    fn locked_until(&self, key: &Key) -> Result<Option<i64>, StoreError> {
        self.run("look at", key, async || {
            Ok(self.bucket.head(key).await?.lock.map(|held| held.until_s))
        })
    }

    /// Fails with [`ErrorKind::NotPermitted`] without `s3:PutObjectRetention`, and with
    /// [`ErrorKind::Other`] if no mode is configured.
    fn extend_lock(&self, key: &Key, until_s: i64) -> Result<bool, StoreError> {
        self.run("lock", key, async || self.bucket.extend_lock(key, until_s).await)
    }
}

impl BucketClient {
    async fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), S3Failure> {
        let request = self.request("s3:RestoreObject", true);
        let tier = match tier {
            ThawTier::Expedited => Tier::Expedited,
            ThawTier::Standard => Tier::Standard,
            ThawTier::Bulk => Tier::Bulk,
        };
        let wrong =
            |error| S3Failure::new(ErrorKind::Other, "the request cannot be made").because(error);
        let job = GlacierJobParameters::builder().tier(tier).build().map_err(wrong)?;
        let order = RestoreRequest::builder()
            .days(i32::try_from(days).unwrap_or(i32::MAX))
            .glacier_job_parameters(job)
            .build();
        let thaw = self
            .client
            .restore_object()
            .bucket(&self.name)
            .key(self.path(key)?)
            .restore_request(order);
        match RequestProgress::new().watch(self.timeout, thaw.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.code() == Some("RestoreAlreadyInProgress") => Ok(()),
            Ok(Err(error)) => Err(request.explain(error, true)),
            Err(_) => Err(self.stalled(request.unanswered())),
        }
    }

    async fn readiness(&self, key: &Key) -> Result<Readiness, S3Failure> {
        let head = self.head(key).await?;
        let class =
            head.storage_class.filter(|class| matches!(&**class, "GLACIER" | "DEEP_ARCHIVE"));
        Ok(match (class, head.restore) {
            (None, _) => Readiness::Ready,
            (Some(class), None) => Readiness::Frozen(class),
            (Some(_), Some(restore)) if restore.contains("ongoing-request=\"true\"") => {
                Readiness::Thawing
            }
            (Some(_), Some(_)) => Readiness::Ready,
        })
    }

    async fn extend_lock(&self, key: &Key, until_s: i64) -> Result<bool, S3Failure> {
        let Some(lock) = self.lock else {
            return Err(S3Failure::new(ErrorKind::Other, "no mode of locks is configured"));
        };
        let held = self.head(key).await?.lock;
        let is_long_enough =
            |held: Option<ObjectLockState>| held.is_some_and(|held| held.until_s >= until_s);
        if is_long_enough(held) {
            return Ok(false);
        }
        let request = self.request("s3:PutObjectRetention", true);
        // A compliance lock cannot become a governance lock.
        let is_compliance = lock.is_compliance || held.is_some_and(|held| held.is_compliance);
        let mode = if is_compliance {
            ObjectLockRetentionMode::Compliance
        } else {
            ObjectLockRetentionMode::Governance
        };
        let retention = ObjectLockRetention::builder()
            .mode(mode)
            .retain_until_date(DateTime::from_secs(until_s))
            .build();
        let extend = self
            .client
            .put_object_retention()
            .bucket(&self.name)
            .key(self.path(key)?)
            .retention(retention);
        let failure = match RequestProgress::new().watch(self.timeout, extend.send()).await {
            Ok(Ok(_)) => return Ok(true),
            Ok(Err(error)) => request.explain(error, true),
            Err(_) => self.stalled(request.unanswered()),
        };
        // The server refuses to shorten a lock: another process may have extended it further.
        if failure.kind == ErrorKind::NotPermitted && is_long_enough(self.head(key).await?.lock) {
            return Ok(false);
        }
        Err(failure)
    }
}
