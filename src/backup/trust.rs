//! Whether a name still leads to the file that the parent snapshot describes under it, or to
//! another with the same stamps.
//!
//! Equal stamps prove that a file did not change, not that it is the same file: two that were made
//! in one tick of the clock can change places. What proves that, in this order:
//!
//! 1. this machine's notes (`known`): the inode number of the folder, and of each name where file
//!    systems are not trusted;
//! 2. the stamps of the folder, if it is the same one: they move when a name in it comes, goes or
//!    leads elsewhere;
//! 3. on file systems that are trusted (`os::filesystem`), in a folder that is the same one: the
//!    change stamp of the file, which moves when it is renamed. So only what lies below a renamed
//!    folder can be mistaken for something else.
//!
//! Without notes a folder is the same one if the folder above vouches for it by 2 or 3. What
//! nothing speaks for is read.

use super::context::TargetContext;
use super::known::{KnownFolder, Print};
use crate::format::entry::Entry;
use crate::os::stat::Stat;

/// Which entries of the parent's folder are of the files that are there now.
#[derive(Clone, Copy)]
pub enum Trust {
    /// All: no name of the folder leads elsewhere than it did.
    All,
    /// Those whose change stamps are the same.
    Stamps,
    /// Those whose tags are remembered.
    Tags(KnownFolder),
    /// None.
    Nothing,
}

impl Trust {
    /// Decides about a folder.
    ///
    /// `is_same` says whether the folder is the parent's, as far as the one above can tell;
    /// `is_unmoved` whether its own stamps are the parent's, and `is_trusted` whether its file
    /// system is.
    pub fn of(
        target: &TargetContext,
        known: Option<&KnownFolder>,
        is_same: bool,
        is_unmoved: bool,
        is_trusted: bool,
    ) -> Self {
        match known.filter(|known| target.known.tags(known).is_some()) {
            Some(known) => Self::Tags(*known),
            None if is_same && is_unmoved => Self::All,
            None if is_same && is_trusted => Self::Stamps,
            None => Self::Nothing,
        }
    }

    /// Returns whether the parent's entry of `name` is of the file that is there now.
    pub fn vouches(
        &self,
        target: &TargetContext,
        name: &[u8],
        before: &Entry,
        stat: &Stat,
    ) -> bool {
        match self {
            Self::All => true,
            Self::Stamps => before.ctime == stat.ctime,
            Self::Tags(known) => {
                let tag = target.known.tag_of(&known.place, name, stat.inode);
                target.known.tags(known).is_some_and(|tags| tags.binary_search(&tag).is_ok())
            }
            Self::Nothing => false,
        }
    }
}

/// Returns whether a folder's own stamps are those of the parent, and prove it; `is_trusted` says
/// whether its file system is.
pub fn is_unmoved(target: &TargetContext, before: &Entry, stat: &Stat, is_trusted: bool) -> bool {
    (before.mtime, before.ctime) == (stat.mtime, stat.ctime)
        && target.parent.as_ref().is_some_and(|parent| parent.is_settled(stat, is_trusted))
}

/// The tags of a folder's names, as they are looked at.
pub struct Tags {
    place: Print,
    tags: Vec<u64>,
}

impl Tags {
    /// Begins with the folder that `place` stands for.
    pub fn new(place: Print) -> Self {
        Self { place, tags: Vec::new() }
    }

    /// Adds a name.
    pub fn add(&mut self, target: &TargetContext, name: &[u8], stat: &Stat) {
        self.tags.push(target.known.tag_of(&self.place, name, stat.inode));
    }

    /// Returns all, sorted.
    pub fn finish(mut self) -> Vec<u64> {
        self.tags.sort_unstable();
        self.tags
    }
}
