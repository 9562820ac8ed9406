//! State of one directory: the parent's, and the one found on the host.

use std::sync::Arc;

use super::earlier_files::files_of;
use super::excludes::IgnoreChain;
use super::fingerprints::{KnownDirectory, PathHash};
use super::sources::SourceFilter;
use super::trust::EntryTrust;
use crate::format::entry::Content;
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::os::dir::{Dir, DirNames};
use crate::os::stat::Stat;
use crate::repo::DirEntry;

/// Which part of a directory is wanted.
#[derive(Default)]
pub(super) struct DirectoryScope {
    /// Only the sources below: the directory is above them, or rules leave out the rest.
    pub only_named: bool,
    /// Sources below it, which rules do not leave out.
    pub named: SourceFilter,
    /// Whether it is a source.
    pub is_source: bool,
    /// Whether to follow a symbolic link at its path.
    pub follows: bool,
    /// Whether it is below a source.
    pub is_inside: bool,
}

/// What the parent has of a directory.
#[expect(clippy::large_enum_variant, reason = "its owner is boxed, and most are the large variant")]
pub(super) enum ParentState {
    /// Nothing.
    Unknown,
    /// Its entry.
    Entry(Box<DirEntry>),
    /// Its tree, by the fingerprint of the directory above. That fingerprint proves that its own
    /// entry is unchanged, and was taken with this metadata just now.
    Fingerprinted(KnownDirectory, Stat),
}

/// A directory whose fingerprint is the parent's.
pub(super) struct FingerprintMatch {
    /// Its record.
    pub known: KnownDirectory,
    /// Its subdirectories.
    pub subdirectories: Vec<KnownSubdirectory>,
}

/// A subdirectory of such a directory.
pub(super) struct KnownSubdirectory {
    /// Its position among the entries.
    pub position: u32,
    /// Its name.
    pub name: Vec<u8>,
    /// Its record.
    pub known: KnownDirectory,
    /// Its metadata now.
    pub stat: Stat,
}

impl ParentState {
    /// Returns the entry.
    pub(super) fn entry(&self) -> Option<&DirEntry> {
        match self {
            Self::Entry(entry) => Some(entry),
            _ => None,
        }
    }

    /// Returns how many files the parent has at this path; 1 if it has a file there.
    pub(super) fn files(&self) -> u64 {
        match self {
            Self::Entry(entry) => files_of(entry),
            Self::Fingerprinted(known, _) => known.totals.files,
            Self::Unknown => 0,
        }
    }

    /// Returns the parent's tree and sums.
    pub(super) fn tree(&self) -> Option<(ChunkId, Totals)> {
        match self {
            Self::Entry(entry) => match entry.entry.content {
                Content::Tree(id) => Some((id, entry.totals.unwrap_or_default())),
                _ => None,
            },
            Self::Fingerprinted(known, _) => Some((known.tree, known.totals)),
            Self::Unknown => None,
        }
    }
}

/// A directory that was opened and listed.
pub(super) struct InspectedDirectory {
    /// Its absolute path.
    pub path: Vec<u8>,
    /// Its own entry: the parent's if the directory itself did not change, else one without
    /// content. `None` if the directory above proves that it is unchanged.
    pub own_entry: Option<Box<DirEntry>>,
    /// The open directory; `None` if it could not be opened or must not be entered.
    pub dir: Option<Dir>,
    /// Its device; `None` for directories above a source.
    pub device: Option<(u32, u32)>,
    /// The ignore files that apply in it.
    pub chain: Option<Arc<IgnoreChain>>,
    /// The one name to store of a directory whose content is left out.
    pub marker: Option<Vec<u8>>,
    /// Its names.
    pub names: DirNames,
    /// Whether only the sources below are wanted.
    pub only_named: bool,
    /// Its identity, and what that proves.
    pub identity: DirectoryIdentity,
}

/// Identity of a directory, and what it proves of the parent's entries.
#[derive(Clone, Copy)]
pub(super) struct DirectoryIdentity {
    /// Keyed hash of its path.
    pub path_hash: PathHash,
    /// Its inode number.
    pub inode: u64,
    /// The record of the directory that was at this path.
    pub known: Option<KnownDirectory>,
    /// Which of the parent's entries are of the same files.
    pub trust: EntryTrust,
    /// Whether its file system is trusted.
    pub is_trusted: bool,
}
