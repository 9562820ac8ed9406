//! What all threads of one backup share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::excludes::Excludes;
use super::known::KnownFolders;
use crate::format::entry::{Content, Timestamp};
use crate::monitor::Monitor;
use crate::os::owners::OwnerNames;
use crate::repo::{Session, Trees};

/// Shared by all threads of one backup.
pub struct Context<'a> {
    /// Where chunks go.
    pub session: &'a Session,
    /// Reads the parent's trees.
    pub trees: Trees,
    /// What is left out.
    pub excludes: Excludes,
    /// Names of owners.
    pub owners: OwnerNames,
    /// Content of files with several names.
    pub links: HardLinks,
    /// Counters and problems.
    pub monitor: &'a Monitor,
    /// Files are compared with the parent only if they changed before this time.
    pub trust_before: Timestamp,
    /// When the backup began.
    pub started: Timestamp,
    /// Folders by their fingerprints.
    pub known: KnownFolders,
    /// What was found.
    pub counts: Counts,
}

/// How files compare with the parent's.
#[derive(Default)]
pub struct Counts {
    /// Not in the parent.
    pub new: AtomicU64,
    /// Different from the parent's.
    pub changed: AtomicU64,
    /// Taken over from the parent.
    pub unchanged: AtomicU64,
    /// Bytes of content that were read.
    pub bytes_read: AtomicU64,
}

impl Counts {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}

/// Groups of names whose content is kept until all of them were seen (about 150 bytes each).
const LINK_GROUPS_MAX: usize = 100_000;

/// The content of each inode with several names that was read, until all its names were seen.
#[derive(Default)]
pub struct HardLinks(Mutex<HashMap<u64, (Content, u64, u64)>>);

impl HardLinks {
    /// Returns content and size of a group that was read before.
    pub fn get(&self, group: u64) -> Option<(Content, u64)> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (content, size, names_left) = groups.get_mut(&group)?;
        *names_left -= 1;
        let found = (content.clone(), *size);
        if *names_left == 0 {
            groups.remove(&group);
        }
        Some(found)
    }

    /// Keeps the content of a group with `names` names; if another thread was quicker, its content is returned and counts.
    ///
    /// With [`LINK_GROUPS_MAX`] groups waiting, another is not kept: its next name is read again and found to be stored.
    pub fn keep(&self, group: u64, names: u64, content: Content, size: u64) -> (Content, u64) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= LINK_GROUPS_MAX && !groups.contains_key(&group) {
            return (content, size);
        }
        let (content, size, _) = groups.entry(group).or_insert((content, size, names.saturating_sub(1).max(1)));
        (content.clone(), *size)
    }
}
