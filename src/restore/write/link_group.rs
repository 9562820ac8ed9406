//! Hard-link group: the names of one file. The first one that can be created is, and the others are
//! linked to it.
//!
//! Only members with equal content and metadata belong together, because a snapshot may have been
//! made where two files had one inode number.

use std::sync::{Arc, Mutex};

use super::memory_load::Weight;
use crate::format::codec;
use crate::format::entry::{Content, Entry, EntryKind};
use crate::os::apply::Metadata;
use crate::restore::target::dir::{InodeId, TargetDir};

/// A hash of content and metadata, which all members of a group have in common.
pub(crate) type Likeness = [u8; 16];

/// A hard-link group.
pub(crate) struct LinkGroup {
    /// Kind of its members.
    pub kind: EntryKind,
    /// Hash of their content and metadata.
    pub likeness: Likeness,
    /// Its state.
    pub state: Mutex<LinkState>,
}

/// State of a hard-link group.
pub(crate) enum LinkState {
    /// The first member is in progress; these links wait for it.
    Pending(Box<EntrySpec>, Vec<Link>),
    /// No member could be created at its own path so far; these links wait for one that can.
    Orphaned(Box<EntrySpec>, Vec<Link>),
    /// A member is done.
    Done(FirstLink),
    /// The content cannot be read; the member that failed first.
    Failed(TargetName),
}

/// The content and metadata of an entry to be restored, or of all members of a group.
#[derive(Clone)]
pub(crate) struct EntrySpec {
    /// Length of the content in bytes.
    pub size: u64,
    /// The content.
    pub content: Content,
    /// The metadata.
    pub metadata: Metadata,
    /// Numbers of a device node.
    pub device: Option<(u32, u32)>,
    /// Its memory while it is in progress.
    pub weight: Option<Arc<Weight>>,
}

/// A name in a directory of the target.
#[derive(Clone)]
pub(crate) struct TargetName {
    /// The directory.
    pub dir: Arc<TargetDir>,
    /// The name.
    pub name: Box<[u8]>,
}

/// The member that the others are linked to.
#[derive(Clone)]
pub(crate) struct FirstLink {
    /// Where it is.
    pub name: TargetName,
    /// Its inode.
    pub identity: InodeId,
}

/// Another member of a group, to be linked to the first.
pub(crate) struct Link {
    /// Its directory, which is pending until the link is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Bytes of content, which count for each member.
    pub size: u64,
}

impl LinkGroup {
    /// Starts a group with a member that is about to be created.
    pub(crate) fn new(entry: &Entry, metadata: &Metadata) -> Self {
        let (content, metadata_of_all) = (entry.content.clone(), metadata.clone());
        let wanted = EntrySpec {
            size: entry.size,
            content,
            metadata: metadata_of_all,
            device: entry.device,
            weight: None,
        };
        let state = LinkState::Pending(Box::new(wanted), Vec::new()).into();
        Self { kind: entry.kind, likeness: likeness(entry, metadata), state }
    }

    /// Makes a group of which a member is done.
    pub(crate) fn done(kind: EntryKind, likeness: Likeness, first: FirstLink) -> Self {
        Self { kind, likeness, state: LinkState::Done(first).into() }
    }
}

/// Hashes content and metadata of an entry.
pub(crate) fn likeness(entry: &Entry, metadata: &Metadata) -> Likeness {
    let Metadata { uid, gid, mode, flags, mtime, xattrs, .. } = metadata;
    let mut hasher = blake3::Hasher::new();
    for number in
        [u64::from(*uid), u64::from(*gid), u64::from(*mode), u64::from(*flags), entry.size]
    {
        hasher.update(&number.to_le_bytes());
    }
    for part in [
        codec::encode(mtime),
        codec::encode(&entry.device),
        codec::encode(&entry.content),
        codec::encode(xattrs),
    ] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(&part);
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}
