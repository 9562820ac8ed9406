//! What is kept of each folder that a walk is in: its entry, but not attributes that are long.

use crate::format::entry::Entry;
use crate::id::ChunkId;
use crate::repo::{self, DirEntry, Error, Trees};

/// Attributes, and names of owners, up to this many bytes of memory stay with a folder; longer ones
/// are read again.
const SHORT_MAX_BYTES: usize = 1 << 10;

/// The entry of a folder that the walk is in.
pub struct TrimmedDir {
    entry: Box<DirEntry>,
    /// The tree of the folder above.
    above: Option<ChunkId>,
    is_short: bool,
}

impl TrimmedDir {
    /// Keeps an entry that stands in the folder with the tree `above`.
    pub fn new(mut entry: Box<DirEntry>, above: Option<ChunkId>) -> Self {
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

    /// Returns the folder's name.
    pub fn name(&self) -> &[u8] {
        &self.entry.entry.name
    }

    /// Returns the tree that holds the whole entry, if something was left out.
    pub fn trimmed_from(&self) -> Option<ChunkId> {
        self.above.filter(|_| !self.is_short)
    }

    /// Returns the entry with all that belongs to it.
    pub fn into_full(self, trees: &Trees) -> repo::Result<DirEntry> {
        match self.above {
            Some(above) if !self.is_short => read_again(trees, &above, &self.entry.entry.name),
            _ => Ok(*self.entry),
        }
    }
}

fn read_again(trees: &Trees, above: &ChunkId, name: &[u8]) -> repo::Result<DirEntry> {
    trees.find(above, name)?.ok_or(Error::WrongChunk { id: *above })
}
