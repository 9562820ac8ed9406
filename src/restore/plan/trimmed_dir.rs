//! Directory entries that a walk holds, without long attributes, so that memory stays small in deep
//! trees.

use crate::format::entry::Entry;
use crate::id::ChunkId;
use crate::repo::{self, DirEntry, Error, Trees};

/// Attributes and names of owners of up to this many bytes of memory are held; longer ones are read
/// again.
const SHORT_MAX_BYTES: usize = 1 << 10;

/// The entry of a directory that the walk is in.
pub(crate) struct TrimmedDir {
    entry: Box<DirEntry>,
    /// The tree of the parent directory.
    above: Option<ChunkId>,
    is_short: bool,
}

impl TrimmedDir {
    /// Trims an entry of the directory with the tree `above`.
    pub(crate) fn new(mut entry: Box<DirEntry>, above: Option<ChunkId>) -> Self {
        let bytes =
            entry.entry.parts_memory_bytes() - entry.entry.name.len() + entry.owner_names_len();
        let is_short = bytes <= SHORT_MAX_BYTES || above.is_none();
        if !is_short {
            (entry.user, entry.group) = (None, None);
            let Entry { xattrs, extensions, .. } = &mut entry.entry;
            (*xattrs, *extensions) = (Vec::new(), Vec::new());
        }
        Self { entry, above, is_short }
    }

    /// Returns the directory's name.
    pub(crate) fn name(&self) -> &[u8] {
        &self.entry.entry.name
    }

    /// Returns the tree with the full entry, if the entry was trimmed.
    pub(crate) fn trimmed_from(&self) -> Option<ChunkId> {
        self.above.filter(|_| !self.is_short)
    }

    /// Returns the full entry; reads it again if it was trimmed.
    pub(crate) fn into_full(self, trees: &Trees) -> repo::Result<DirEntry> {
        match self.above {
            Some(above) if !self.is_short => read_again(trees, &above, &self.entry.entry.name),
            _ => Ok(*self.entry),
        }
    }
}

fn read_again(trees: &Trees, above: &ChunkId, name: &[u8]) -> repo::Result<DirEntry> {
    trees.find(above, name)?.ok_or(Error::WrongChunk { id: *above })
}
