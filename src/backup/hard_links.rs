//! Content of hard-linked files, kept until all their names were seen.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::format::entry::{Content, Timestamp};
use crate::os::stat::Stat;
use crate::sync::lock;

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
