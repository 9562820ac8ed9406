//! Objects in archive classes and under locks: what only a bucket can do.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{GlacierJobParameters, ObjectLockRetention, ObjectLockRetentionMode, RestoreRequest, Tier};

use super::errors::Failure;
use super::operations::lock_end;
use super::transfer::Progress;
use super::{Bucket, S3Store};
use crate::store::{ErrorKind, Key, StoreError};

/// How quickly an object is thawed; quicker is dearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThawTier {
    /// Within minutes; not from every class.
    Expedited,
    /// Within hours.
    Standard,
    /// Within half a day or two days, the cheapest.
    Bulk,
}

/// Whether an object can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThawState {
    /// It can be read, now.
    Readable,
    /// It is in an archive class, and must be thawed first.
    Frozen,
    /// It is being thawed.
    Thawing,
}

impl S3Store {
    /// Orders an object of an archive class to be readable for some days; succeeds too if that is already being done.
    ///
    /// Fails with [`ErrorKind::NotPermitted`] without `s3:RestoreObject`, and with [`ErrorKind::Other`] for objects of other classes.
    pub fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), StoreError> {
        self.run("thaw", key, self.bucket.thaw(key, days, tier))
    }

    /// Returns whether an object can be read.
    pub fn thaw_state(&self, key: &Key) -> Result<ThawState, StoreError> {
        self.run("look at", key, self.bucket.thaw_state(key))
    }

    /// Locks an object against removal for as long from now as new objects are; does nothing without a lock in the options.
    ///
    /// A lock never becomes shorter. Fails with [`ErrorKind::NotPermitted`] without `s3:PutObjectRetention`.
    pub fn extend_lock(&self, key: &Key) -> Result<(), StoreError> {
        self.run("lock", key, self.bucket.extend_lock(key))
    }
}

impl Bucket {
    async fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), Failure> {
        let request = self.request("s3:RestoreObject", true);
        let tier = match tier {
            ThawTier::Expedited => Tier::Expedited,
            ThawTier::Standard => Tier::Standard,
            ThawTier::Bulk => Tier::Bulk,
        };
        let wrong = |error| Failure::new(ErrorKind::Other, "the request cannot be made").because(error);
        let job = GlacierJobParameters::builder().tier(tier).build().map_err(wrong)?;
        let order = RestoreRequest::builder().days(i32::try_from(days).unwrap_or(i32::MAX)).glacier_job_parameters(job).build();
        let thaw = self.client.restore_object().bucket(&self.name).key(self.path(key)?).restore_request(order);
        match Progress::new().watch(self.timeout, thaw.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.code() == Some("RestoreAlreadyInProgress") => Ok(()),
            Ok(Err(error)) => Err(request.explain(error, true)),
            Err(_) => Err(self.stalled(request.unanswered())),
        }
    }

    async fn thaw_state(&self, key: &Key) -> Result<ThawState, Failure> {
        let head = self.head(key).await?;
        let is_archive = head.storage_class.is_some_and(|class| matches!(&*class, "GLACIER" | "DEEP_ARCHIVE"));
        Ok(match head.restore {
            _ if !is_archive => ThawState::Readable,
            None => ThawState::Frozen,
            Some(restore) if restore.contains("ongoing-request=\"true\"") => ThawState::Thawing,
            Some(_) => ThawState::Readable,
        })
    }

    async fn extend_lock(&self, key: &Key) -> Result<(), Failure> {
        let Some(lock) = self.lock else { return Ok(()) };
        let request = self.request("s3:PutObjectRetention", true);
        let mode = if lock.is_compliance { ObjectLockRetentionMode::Compliance } else { ObjectLockRetentionMode::Governance };
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(lock_end(lock)).build();
        let extend = self.client.put_object_retention().bucket(&self.name).key(self.path(key)?).retention(retention);
        match Progress::new().watch(self.timeout, extend.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(request.explain(error, true)),
            Err(_) => Err(self.stalled(request.unanswered())),
        }
    }
}
