//! Content of hard-linked files, kept until all their names were seen.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::format::entry::{Content, Timestamp};
use crate::os::stat::Stat;
use crate::sync::lock;

/// Most memory for content of files with unseen names; about 300 bytes each.
const LINKS_MAX_BYTES: usize = 16 << 20;
/// Memory of a group without its content: its slot in the map, which may be half empty, and the
/// allocator's overhead.
const GROUP_LEN_BYTES: usize = 2 * size_of::<(InodeState, KeptGroup)>() + 32;

/// Content of inodes with several names, each kept until all its names were seen.
#[derive(Default)]
pub(super) struct HardLinks(Mutex<KeptGroups>);

#[derive(Default)]
struct KeptGroups {
    groups: HashMap<InodeState, KeptGroup>,
    len_bytes: usize,
}

/// One state of one inode. If a file changes, or another gets its inode number, the times differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct InodeState {
    dev: (u32, u32),
    inode: u64,
    size: u64,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl InodeState {
    /// Returns the state of an open file.
    pub(super) fn of(stat: &Stat) -> Self {
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
    /// Returns content and size of a file that was read under another name.
    pub(super) fn get(&self, group: &InodeState) -> Option<(Content, u64)> {
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

    /// Keeps the content of a file with `names` names. If another thread was faster, returns that
    /// thread's content.
    ///
    /// With [`LINKS_MAX_BYTES`] in use nothing is kept: the file is read again under its next name.
    pub(super) fn keep(
        &self,
        group: InodeState,
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
