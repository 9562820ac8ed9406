//! What all threads of one backup share.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::devices::Devices;
use super::doubts::Doubts;
use super::excludes::Excludes;
use super::gone::Listings;
use super::known::KnownFolders;
use super::losses::Losses;
use crate::format::entry::{Content, Timestamp};
use crate::monitor::Monitor;
use crate::os::owners::OwnerNames;
use crate::os::stat::Stat;
use crate::repo::{Session, Trees};
use crate::sync::lock;

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
    /// Devices by labels that last.
    pub devices: Devices,
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
    /// What became of the files of each source.
    pub losses: Losses,
    /// Whether nothing at all is fine where something was expected.
    pub allows_empty: bool,
    /// What the parent may not have wholly.
    pub doubts: Doubts,
    /// How many names may be listed again.
    pub listings: Listings,
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

/// Memory for the content of groups whose other names were not seen yet, about 300 bytes each.
const LINKS_MAX_BYTES: usize = 16 << 20;
/// What a group takes beside its content: its place in the map, which is half empty at worst, and
/// the allocator's.
const GROUP_LEN_BYTES: usize = 2 * size_of::<(Linked, KeptGroup)>() + 32;

/// The content of each inode with several names that was read, until all its names were seen.
#[derive(Default)]
pub struct HardLinks(Mutex<KeptGroups>);

#[derive(Default)]
struct KeptGroups {
    groups: HashMap<Linked, KeptGroup>,
    len_bytes: usize,
}

/// One state of one file with several names: another file with its number has other stamps.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Linked {
    dev: (u32, u32),
    inode: u64,
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl Linked {
    /// Returns what an open file is.
    pub fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.dev,
            inode: stat.inode,
            size: stat.size,
            mtime: stat.mtime,
            ctime: stat.ctime,
        }
    }
}

struct KeptGroup {
    content: Content,
    size: u64,
    names_left: u64,
}

impl KeptGroup {
    fn len_bytes(&self) -> usize {
        GROUP_LEN_BYTES
            + match &self.content {
                Content::Inline(bytes) => bytes.len(),
                Content::Refs(refs) => size_of_val(&refs[..]),
                Content::None | Content::List(_) | Content::Tree(_) => 0,
            }
    }
}

impl HardLinks {
    /// Returns content and size of a group that was read before.
    pub fn get(&self, group: &Linked) -> Option<(Content, u64)> {
        let mut kept = lock(&self.0);
        let found = kept.groups.get_mut(group)?;
        found.names_left -= 1;
        if found.names_left > 0 {
            return Some((found.content.clone(), found.size));
        }
        let found = kept.groups.remove(group)?;
        kept.len_bytes -= found.len_bytes();
        Some((found.content, found.size))
    }

    /// Keeps the content of a group with `names` names; if another thread was quicker, its content
    /// is returned and counts.
    ///
    /// With [`LINKS_MAX_BYTES`] in use another is not kept: its next name is read again and found
    /// to be stored.
    pub fn keep(
        &self,
        group: Linked,
        names: u64,
        mut content: Content,
        size: u64,
    ) -> (Content, u64) {
        let mut kept = lock(&self.0);
        if let Some(first) = kept.groups.get(&group) {
            return (first.content.clone(), first.size);
        }
        if kept.len_bytes < LINKS_MAX_BYTES {
            if let Content::Refs(refs) = &mut content {
                refs.shrink_to_fit();
            }
            let new = KeptGroup {
                content: content.clone(),
                size,
                names_left: names.saturating_sub(1).max(1),
            };
            kept.len_bytes += new.len_bytes();
            kept.groups.insert(group, new);
        }
        (content, size)
    }
}
