//! Inode numbers and their nodes.
//!
//! A number is a hash, so it is the same at each mount: for the root of a snapshot, of its id; for
//! hard links, of the snapshot's id and the group, so that all their names share it; for other
//! entries, of the parent's number and the name. Two inodes that the kernel references never share
//! a number: if hashes collide, the later one takes the next free number. Numbers of different
//! snapshots differ, because programs consider files with equal numbers as one file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::format::snapshot::Snapshot;
use crate::id::{ChunkId, SnapshotId};
use crate::sync::lock;

/// Number of the root.
pub(super) const ROOT: u64 = 1;
/// Smallest number of other inodes.
const FIRST: u64 = 16;

/// A file, directory or link that the kernel may request.
#[derive(Clone, Debug)]
pub(super) enum MountNode {
    /// A directory above the snapshots: its path, parts separated by slashes.
    Top(String),
    /// A link above the snapshots, and its target.
    Link(String),
    /// The root of a snapshot.
    Snapshot(Arc<Snapshot>),
    /// An entry of a directory of a snapshot.
    Entry(EntryNode),
}

/// The location of an entry.
#[derive(Clone, Debug)]
pub(super) struct EntryNode {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The tree of its directory.
    pub dir: ChunkId,
    /// The number of its directory.
    pub parent: u64,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its hard-link group.
    pub group: Option<u64>,
}

impl MountNode {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Top(one), Self::Top(other)) => one == other,
            (Self::Snapshot(one), Self::Snapshot(other)) => one.id == other.id,
            (Self::Entry(one), Self::Entry(other)) => {
                let is_one_name =
                    one.group.is_none() && (one.parent, &one.name) == (other.parent, &other.name);
                let is_linked = one.group.is_some() && one.snapshot.id == other.snapshot.id;
                one.group == other.group && (is_one_name || is_linked)
            }
            // Links at different paths have different numbers, so comparing targets is enough.
            (Self::Link(one), Self::Link(other)) => one == other,
            _ => false,
        }
    }

    /// Returns the preferred number; `parent` is that of the directory.
    pub(super) fn number(&self, parent: u64, name: &[u8]) -> u64 {
        match self {
            Self::Snapshot(snapshot) => number_of_root(&snapshot.id),
            Self::Link(target) => {
                hashed(&[b"link", &parent.to_le_bytes(), name, b"/", target.as_bytes()])
            }
            Self::Entry(EntryNode { group: Some(group), snapshot, .. }) => {
                number_of_group(&snapshot.id, *group)
            }
            _ => number_of_name(parent, name),
        }
    }
}

/// Returns the number of a name in a directory.
pub(super) fn number_of_name(parent: u64, name: &[u8]) -> u64 {
    hashed(&[b"name", &parent.to_le_bytes(), name])
}

/// Returns the number of a group of hard links.
pub(super) fn number_of_group(snapshot: &SnapshotId, group: u64) -> u64 {
    hashed(&[b"group", &snapshot.0, &group.to_le_bytes()])
}

/// Returns the number of a snapshot's root.
pub(super) fn number_of_root(snapshot: &SnapshotId) -> u64 {
    hashed(&[b"root", &snapshot.0])
}

fn hashed(parts: &[&[u8]]) -> u64 {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(part);
    }
    let number =
        u64::from_le_bytes(*hash.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes"));
    number.max(FIRST)
}

/// The inodes that the kernel references, by number.
pub(super) struct Inodes {
    known: Mutex<HashMap<u64, KnownInode>>,
}

struct KnownInode {
    node: Arc<MountNode>,
    /// Lookup count: the kernel's references.
    times: u64,
}

impl Inodes {
    /// Makes a table with the root only.
    pub(super) fn new(top: MountNode) -> Self {
        Self {
            known: Mutex::new(HashMap::from([(
                ROOT,
                KnownInode { node: Arc::new(top), times: 1 },
            )])),
        }
    }

    /// Returns the node of a number, if the kernel references it.
    pub(super) fn get(&self, number: u64) -> Option<Arc<MountNode>> {
        self.lock().get(&number).map(|known| known.node.clone())
    }

    /// Adds a reference of the kernel to a node; returns its number.
    pub(super) fn enter(&self, wanted: u64, node: MountNode) -> u64 {
        let mut known = self.lock();
        let mut number = wanted;
        loop {
            match known.get_mut(&number) {
                None => {
                    known.insert(number, KnownInode { node: Arc::new(node), times: 1 });
                    return number;
                }
                Some(same) if number != ROOT && same.node.is_same(&node) => {
                    same.times += 1;
                    // For hard links, only the directory of the latest name is known for certain.
                    if let MountNode::Entry(EntryNode { group: Some(_), .. }) = node {
                        same.node = Arc::new(node);
                    }
                    return number;
                }
                Some(_) => number = number.wrapping_add(1).max(FIRST),
            }
        }
    }

    /// Drops `times` references of the kernel.
    pub(super) fn forget(&self, number: u64, times: u64) {
        let mut known = self.lock();
        if number != ROOT
            && let Some(one) = known.get_mut(&number)
        {
            one.times = one.times.saturating_sub(times);
            if one.times == 0 {
                known.remove(&number);
            }
        }
    }

    /// Returns the path of a number below the mount, as far as it is known.
    pub(super) fn path(&self, number: u64) -> Vec<u8> {
        let known = self.lock();
        let (mut parts, mut next) = (Vec::new(), number);
        while let Some(KnownInode { node, .. }) = known.get(&next) {
            match &**node {
                MountNode::Entry(entry) => {
                    parts.push(entry.name.to_vec());
                    next = entry.parent;
                }
                MountNode::Snapshot(snapshot) => {
                    parts.push(format!("snapshot {}:", snapshot.id.short()).into_bytes());
                    break;
                }
                MountNode::Top(path) | MountNode::Link(path) => {
                    parts.push(path.clone().into_bytes());
                    break;
                }
            }
        }
        parts.reverse();
        parts.join(&b'/')
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, KnownInode>> {
        lock(&self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> MountNode {
        MountNode::Link(target.to_owned())
    }

    #[test]
    fn two_things_never_share_a_number() {
        let inodes = Inodes::new(MountNode::Top(String::new()));
        let (one, other, last) = (
            inodes.enter(77, link("a")),
            inodes.enter(77, link("b")),
            inodes.enter(ROOT, link("c")),
        );
        assert_eq!((one, other), (77, 78));
        assert!(last >= FIRST);
        assert_eq!(inodes.enter(77, link("b")), 78);
        inodes.forget(78, 1);
        assert!(inodes.get(78).is_some(), "it was told of twice");
        inodes.forget(78, 1);
        inodes.forget(ROOT, 9);
        assert!(inodes.get(78).is_none() && inodes.get(77).is_some() && inodes.get(ROOT).is_some());
    }
}
