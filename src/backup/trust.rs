//! Proof that a name is still the same file as in the parent.
//!
//! Equal times prove that a file did not change, not that it is the same file: two files that were
//! made in one tick of the clock can swap names. The proofs, in this order:
//!
//! 1. this machine's notes (`fingerprints`): the inode number of the directory and, on file systems
//!    that are not trusted, of each name;
//! 2. the times of the directory, if it is the same directory: they change when a name in it is
//!    added, removed or replaced;
//! 3. on trusted file systems (`os::filesystem`), in the same directory: the change time of the
//!    file, which changes when it is renamed. So only files below a renamed directory can be
//!    mistaken for others.
//!
//! Without notes, a directory is the same one if the directory above proves it by 2 or 3. Files
//! without a proof are read.

use super::context::TargetContext;
use super::fingerprints::{KnownDirectory, PathHash};
use crate::format::entry::Entry;
use crate::os::stat::Stat;

/// Which of the parent's entries in a directory are of the same files.
#[derive(Clone, Copy)]
pub(super) enum EntryTrust {
    /// All: no name was replaced.
    All,
    /// Those with the same change time.
    Times,
    /// Those whose tags are in the notes.
    NameTags(KnownDirectory),
    /// None.
    Nothing,
}

impl EntryTrust {
    /// Decides for a directory.
    ///
    /// `is_same` says whether it is the parent's directory, as far as the one above can prove;
    /// `is_unmoved` whether its times are the parent's; `is_trusted` whether its file system is.
    pub(super) fn of(
        target: &TargetContext,
        known: Option<&KnownDirectory>,
        is_same: bool,
        is_unmoved: bool,
        is_trusted: bool,
    ) -> Self {
        match known.filter(|known| target.directories.tags(known).is_some()) {
            Some(known) => Self::NameTags(*known),
            None if is_same && is_unmoved => Self::All,
            None if is_same && is_trusted => Self::Times,
            None => Self::Nothing,
        }
    }

    /// Returns whether the parent's entry of `name` is of the same file.
    pub(super) fn vouches(
        &self,
        target: &TargetContext,
        name: &[u8],
        before: &Entry,
        stat: &Stat,
    ) -> bool {
        match self {
            Self::All => true,
            Self::Times => before.ctime == stat.ctime,
            Self::NameTags(known) => {
                let tag = target.directories.tag_of(&known.path_hash, name, stat.inode);
                target.directories.tags(known).is_some_and(|tags| tags.binary_search(&tag).is_ok())
            }
            Self::Nothing => false,
        }
    }
}

/// Returns whether a directory's times are the parent's and settled; `is_trusted` says whether its
/// file system is.
pub(super) fn is_unmoved(
    target: &TargetContext,
    before: &Entry,
    stat: &Stat,
    is_trusted: bool,
) -> bool {
    (before.mtime, before.ctime) == (stat.mtime, stat.ctime)
        && target.parent.as_ref().is_some_and(|parent| parent.is_settled(stat, is_trusted))
}

/// The tags of a directory's names.
pub(super) struct NameTags {
    path_hash: PathHash,
    tags: Vec<u64>,
}

impl NameTags {
    /// Starts without names, for the directory at the hashed path.
    pub(super) fn new(path_hash: PathHash) -> Self {
        Self { path_hash, tags: Vec::new() }
    }

    /// Adds a name.
    pub(super) fn add(&mut self, target: &TargetContext, name: &[u8], stat: &Stat) {
        self.tags.push(target.directories.tag_of(&self.path_hash, name, stat.inode));
    }

    /// Returns the tags, sorted.
    pub(super) fn finish(mut self) -> Vec<u64> {
        self.tags.sort_unstable();
        self.tags
    }
}
