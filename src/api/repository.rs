//! An open repository.

use std::sync::Arc;

use super::error::{Error, ErrorKind, Result};
use super::snapshot::Snapshot;
use super::warnings::Warnings;
use crate::connect::{Connector, RepositoryPlace};
use crate::id::encode_hex;
use crate::repo::{self, snapshots};

/// An open repository.
///
/// ```no_run
/// use drumlin::{Credentials, Repository};
///
/// let repository = Repository::open("/mnt/disk/backups", Credentials::password_file("pw"))?;
/// for snapshot in repository.snapshots()? {
///     println!("{} {} {:?}", snapshot.short_id(), snapshot.host(), snapshot.sources());
/// }
/// # Ok::<(), drumlin::Error>(())
/// ```
pub struct Repository {
    pub(super) inner: Arc<repo::Repository>,
    pub(super) connector: Connector,
    pub(super) place: RepositoryPlace,
    warnings: Arc<Warnings>,
}

impl Repository {
    pub(super) fn new(
        inner: Arc<repo::Repository>,
        connector: Connector,
        place: RepositoryPlace,
        warnings: Arc<Warnings>,
    ) -> Self {
        Self { inner, connector, place, warnings }
    }

    /// Returns where it is.
    pub fn location(&self) -> &str {
        self.inner.location()
    }

    /// Returns its id in hex.
    pub fn id(&self) -> String {
        self.inner.id().to_hex()
    }

    /// Returns the fingerprint of its keys in hex, by which people know it.
    pub fn fingerprint(&self) -> String {
        encode_hex(&self.inner.fingerprint())
    }

    /// Returns what should be told to the user: what this machine cannot remember, and objects that
    /// were left out because they are damaged or nobody with a key made them.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.all()
    }

    /// Returns all snapshots that are not in the trash, oldest first.
    ///
    /// Fails with [`ErrorKind::Damaged`] if one of them cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let listed = snapshots::list(&self.inner)?;
        Ok(listed.into_iter().map(|data| Snapshot::new(self.inner.clone(), data)).collect())
    }

    /// Returns the newest snapshot (`latest`), or the one whose id begins so.
    ///
    /// Fails with [`ErrorKind::NotFound`] if there is none, and with [`ErrorKind::InvalidInput`] if
    /// several ids begin so.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let mut all = self.snapshots()?;
        if name == "latest" {
            return all
                .pop()
                .ok_or_else(|| Error::not_found("the repository holds no snapshot".to_owned()));
        }
        let mut fitting = all.into_iter().filter(|snapshot| snapshot.id().starts_with(name));
        match (fitting.next(), fitting.next()) {
            (Some(snapshot), None) => Ok(snapshot),
            (None, _) => Err(Error::not_found(format!("there is no snapshot {name}"))),
            (Some(_), Some(_)) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the ids of several snapshots begin with {name}"),
            )),
        }
    }
}
