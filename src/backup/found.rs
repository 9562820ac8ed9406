//! What is found out about a folder, and what the last snapshot knows of it.

use std::sync::Arc;

use super::earlier::files_of;
use super::excludes::IgnoreChain;
use super::known::{KnownFolder, Print};
use super::sources::Named;
use super::trust::Trust;
use crate::format::entry::Content;
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::os::dir::{Dir, DirNames};
use crate::os::stat::Stat;
use crate::repo::DirEntry;

/// What of a folder is wanted.
#[derive(Default)]
pub struct Scope {
    /// Nothing but what was asked for by name: the folder lies on the way to it, or rules leave the
    /// rest out.
    pub only_named: bool,
    /// What was asked for below it by name, whatever rules say.
    pub named: Named,
    /// Whether it begins a source.
    pub is_source: bool,
    /// Whether a symbolic link in its place stands for it.
    pub follows: bool,
    /// Whether it lies below a source.
    pub is_inside: bool,
}

/// What the last snapshot knows of a folder.
#[expect(clippy::large_enum_variant, reason = "its owner is boxed, and most are the large variant")]
pub enum Was {
    /// Nothing.
    Unknown,
    /// Its entry there.
    Entry(Box<DirEntry>),
    /// Its tree there; its own entry is still the same, the folder above vouches for that and
    /// looked at it just now.
    Covered(KnownFolder, Stat),
}

/// A folder whose names and stats are exactly the parent's.
pub struct Covered {
    /// What is remembered of it.
    pub known: KnownFolder,
    /// Its subfolders.
    pub subfolders: Vec<CoveredChild>,
}

/// A subfolder of such a folder.
pub struct CoveredChild {
    /// Its position among the entries.
    pub position: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// What is remembered of it.
    pub known: KnownFolder,
    /// What it is now.
    pub stat: Stat,
}

impl Was {
    /// Returns the entry.
    pub fn entry(&self) -> Option<&DirEntry> {
        match self {
            Self::Entry(entry) => Some(entry),
            _ => None,
        }
    }

    /// Returns how many files were there: 1 if it was itself one.
    pub fn files(&self) -> u64 {
        match self {
            Self::Entry(entry) => files_of(entry),
            Self::Covered(known, _) => known.totals.files,
            Self::Unknown => 0,
        }
    }

    /// Returns the folder's tree and sums there.
    pub fn tree(&self) -> Option<(ChunkId, Totals)> {
        match self {
            Self::Entry(entry) => match entry.entry.content {
                Content::Tree(id) => Some((id, entry.totals.unwrap_or_default())),
                _ => None,
            },
            Self::Covered(known, _) => Some((known.tree, known.totals)),
            Self::Unknown => None,
        }
    }
}

/// What entering a folder found out about it.
pub struct Found {
    /// Its absolute path.
    pub path: Vec<u8>,
    /// Its own entry: without content, or the parent's where nothing about the folder itself
    /// changed; `None` if the folder above vouches for it.
    pub own: Option<Box<DirEntry>>,
    /// The open folder, where it may be entered.
    pub dir: Option<Dir>,
    /// The file system it lies on; `None` for folders on the way to a source.
    pub device: Option<(u32, u32)>,
    /// The ignore files that count in it.
    pub chain: Option<Arc<IgnoreChain>>,
    /// The one name to keep of a folder whose content is left out.
    pub marker: Option<Vec<u8>>,
    /// Its names.
    pub names: DirNames,
    /// Whether nothing counts but what was asked for by name.
    pub only_named: bool,
    /// Its identity.
    pub identity: Identity,
}

/// Which folder it is, and what that proves.
#[derive(Clone, Copy)]
pub struct Identity {
    /// Stands for its path.
    pub place: Print,
    /// Its inode number.
    pub inode: u64,
    /// What is remembered of the folder that was here.
    pub known: Option<KnownFolder>,
    /// Which of the parent's entries are of the files that are there.
    pub trust: Trust,
    /// Whether its file system is trusted.
    pub is_trusted: bool,
}
