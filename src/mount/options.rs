//! Options of a mount.

use super::attributes::Owner;
use super::report::OnReport;
use super::views::NameOfTime;
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;

/// Options of a mount.
pub struct MountOptions {
    /// Memory for caches in bytes.
    pub cache_len_bytes: usize,
    /// Owner of the directories above the snapshots.
    pub owner: Owner,
    /// Whether other users have access, as far as the permissions of files allow.
    pub allow_other: bool,
    /// Time of the directories above the snapshots.
    pub now: Timestamp,
    /// Formats the time of a snapshot as a name.
    pub name_of_time: NameOfTime,
    /// Environment variables with secrets, which the unmount helper does not get.
    pub without: &'static [&'static str],
    /// Called with each path that cannot be read.
    pub tell: OnReport,
}

/// The part of a repository to mount.
pub enum MountSource {
    /// All snapshots, by id, time, app and host.
    All,
    /// One path of one snapshot.
    One(Box<Snapshot>, Vec<u8>),
}
