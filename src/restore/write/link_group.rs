//! A hard-link group: names of one file, of which the first that can be made is made, and the
//! others linked to it.
//!
//! Only members that agree in everything belong together: a snapshot may have been made where two
//! files had one inode number.

use std::sync::{Arc, Mutex};

use super::memory_load::Weight;
use crate::format::codec;
use crate::format::entry::{Content, Entry, EntryKind};
use crate::os::apply::Metadata;
use crate::restore::target::dir::{InodeId, TargetDir};

/// A hash of everything that the members of a group have in common, but for their kind.
pub type Likeness = [u8; 16];

/// A hard-link group.
pub struct LinkGroup {
    /// What its members are.
    pub kind: EntryKind,
    /// What they have in common.
    pub likeness: Likeness,
    /// What became of it.
    pub state: Mutex<LinkState>,
}

/// State of a hard-link group.
pub enum LinkState {
    /// The first member is not done; these are waiting for it.
    Pending(Box<EntrySpec>, Vec<Link>),
    /// No member could be made where it belongs so far; these wait for one that can.
    Orphaned(Box<EntrySpec>, Vec<Link>),
    /// A member is done.
    Done(FirstLink),
    /// Their content cannot be had; the first that showed this.
    Failed(TargetName),
}

/// What all members of a group are to be, until one of them is.
#[derive(Clone)]
pub struct EntrySpec {
    /// Length of the content in bytes.
    pub size: u64,
    /// The content.
    pub content: Content,
    /// The metadata.
    pub metadata: Metadata,
    /// Numbers of a device node.
    pub device: Option<(u32, u32)>,
    /// What all this weighs while it is under way.
    pub weight: Option<Arc<Weight>>,
}

/// A name in a folder.
#[derive(Clone)]
pub struct TargetName {
    /// The folder.
    pub dir: Arc<TargetDir>,
    /// The name.
    pub name: Box<[u8]>,
}

/// The member that the others are linked to.
#[derive(Clone)]
pub struct FirstLink {
    /// Where it is.
    pub name: TargetName,
    /// Which inode it is.
    pub identity: InodeId,
}

/// Another member of a group, to be linked to the first.
pub struct Link {
    /// The folder it goes into, kept pending until it is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Bytes of content, which each member counts.
    pub size: u64,
}

impl LinkGroup {
    /// Starts a group with a member that is about to be made.
    pub fn new(entry: &Entry, metadata: &Metadata) -> Self {
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

    /// Takes a group of which a member is done.
    pub fn done(kind: EntryKind, likeness: Likeness, first: FirstLink) -> Self {
        Self { kind, likeness, state: LinkState::Done(first).into() }
    }
}

/// Hashes all that members of one group have in common.
pub fn likeness(entry: &Entry, metadata: &Metadata) -> Likeness {
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
