//! Nodes of directories and of long chunk lists.
//!
//! Spec: `format-spec/07-trees.md`.

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use super::entry::{Entry, Ref, check_refs};
use super::limits;
use crate::id::ChunkId;

/// Sums over everything below a node or entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Totals {
    /// Entries that are not directories.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Bytes of file content.
    pub bytes: u64,
}

impl Totals {
    /// Adds another sum; saturates, because a hostile node may claim anything.
    pub fn add(&mut self, other: Totals) {
        self.files = self.files.saturating_add(other.files);
        self.dirs = self.dirs.saturating_add(other.dirs);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A child of an inner directory node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TreeChild {
    /// The first name below it.
    pub first_name: Vec<u8>,
    /// Its node.
    pub id: ChunkId,
    /// Sums over everything below it, subdirectories included.
    pub totals: Totals,
}

/// A node of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TreeNode {
    /// Entries, sorted by name.
    Leaf {
        /// Names of users and groups, sorted, each once; entries refer to them by 1 + position.
        strings: Vec<String>,
        /// The entries.
        entries: Vec<Entry>,
        /// For each entry that is a directory, in order: sums over everything below it.
        dir_totals: Vec<Totals>,
    },
    /// Children in order of their names.
    Inner {
        /// Levels below this node (1: its children are leaves).
        level: u8,
        /// The children, at least one (a top node at least two).
        children: Vec<TreeChild>,
    },
}

impl TreeNode {
    /// Returns the node's bytes, which are a chunk of kind `Tree`.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Parses a node and checks order, limits and every entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let node: Self = codec::decode("tree node", bytes)?;
        node.check()?;
        Ok(node)
    }

    fn check(&self) -> Result<(), DecodeError> {
        let refuse = |why| Err(DecodeError::new("tree node", why));
        match self {
            Self::Leaf { strings, entries, dir_totals } => {
                if entries.len() > limits::NODE_ENTRIES_MAX {
                    return refuse("too many entries");
                }
                if !strings.is_sorted_by(|a, b| a < b) {
                    return refuse("strings are not sorted");
                }
                if !entries.is_sorted_by(|a, b| a.name < b.name) {
                    return refuse("names are not sorted");
                }
                let dirs = entries
                    .iter()
                    .filter(|entry| entry.kind == super::entry::EntryKind::Dir)
                    .count();
                if dirs != dir_totals.len() {
                    return refuse("sums do not fit the directories");
                }
                entries.iter().try_for_each(|entry| entry.check(strings.len()))
            }
            Self::Inner { level, children } => {
                if *level == 0 || usize::from(*level) > limits::TREE_LEVELS_MAX {
                    return refuse("impossible level");
                }
                if children.is_empty() || children.len() > limits::NODE_ENTRIES_MAX {
                    return refuse("impossible number of children");
                }
                if !children.is_sorted_by(|a, b| a.first_name < b.first_name) {
                    return refuse("names are not sorted");
                }
                Ok(())
            }
        }
    }
}

/// A child of an inner list node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ListChild {
    /// Its node.
    pub id: ChunkId,
    /// Bytes of the file that it covers.
    pub bytes: u64,
}

/// A node of a file's chunk list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ListNode {
    /// Pieces of the file, in order.
    Leaf {
        /// The pieces.
        refs: Vec<Ref>,
    },
    /// Children in order.
    Inner {
        /// Levels below this node (1: its children are leaves).
        level: u8,
        /// The children, at least one (a top node at least two).
        children: Vec<ListChild>,
    },
}

impl ListNode {
    /// Returns the node's bytes, which are a chunk of kind `List`.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Parses a node and checks its limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let node: Self = codec::decode("list node", bytes)?;
        if node.bytes().is_none() {
            return Err(DecodeError::new("list node", "impossible lengths"));
        }
        let (count, level) = match &node {
            Self::Leaf { refs } => (refs.len(), 1),
            Self::Inner { level, children } => (children.len(), usize::from(*level)),
        };
        if level == 0 || level > limits::TREE_LEVELS_MAX {
            return Err(DecodeError::new("list node", "impossible level"));
        }
        if count == 0 || count > limits::LIST_NODE_MAX {
            return Err(DecodeError::new("list node", "impossible number of children"));
        }
        Ok(node)
    }

    /// Returns the bytes of the file that the node covers, `None` if a piece is empty or the sum
    /// overflows.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Leaf { refs } => check_refs(refs),
            Self::Inner { children, .. } => children.iter().try_fold(0u64, |sum, child| {
                if child.bytes == 0 { None } else { sum.checked_add(child.bytes) }
            }),
        }
    }
}
