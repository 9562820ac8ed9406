//! Goal: looking into snapshots tells what is there, and reads no more than it must. Method: trees
//! that are sealed by hand, with small nodes so that few entries make several levels; and snapshots
//! of real folders.

mod diff; // changes between two trees
mod history; // versions of a path
mod search; // searches and sums

use std::collections::BTreeMap;

use drumlin::browse::ResolvedPath;
use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, Entry, EntryKind, Ref, Timestamp};
use drumlin::format::node::{Totals, TreeChild, TreeNode};
use drumlin::id::ChunkId;
use drumlin::repo::Trees;

use crate::support::fixture::{TestRepo, bare_entry};
use crate::support::forger::Forger;

/// What a test says about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A file: content, mode, time.
    File(u8, u16, i64),
    /// A symbolic link: target, time.
    Link(u8, i64),
    /// A directory: mode, and what is in it.
    Dir(u16, Folder),
    /// A directory whose tree is not in the repository.
    LostDir,
}

pub type Folder = BTreeMap<Vec<u8>, Thing>;

/// Makes a folder of names and things.
pub fn folder<const N: usize>(things: [(&str, Thing); N]) -> Folder {
    things.into_iter().map(|(name, thing)| (name.as_bytes().to_vec(), thing)).collect()
}

/// Puts trees into a repository, with small nodes.
pub struct Forest<'a>(Forger<'a>);

impl<'a> Forest<'a> {
    pub fn new(repo: &'a TestRepo) -> Self {
        Self(Forger::new(repo))
    }

    /// Returns the trees with everything that was put.
    pub fn finish(self) -> Trees {
        self.0.trees()
    }

    fn put(&self, node: &TreeNode) -> ChunkId {
        self.0.put(ChunkKind::Tree, &node.encode())
    }

    /// Puts a folder and returns its top node; leaves and inner nodes end at a third of all names,
    /// whatever else is in them.
    pub fn plant(&self, folder: &Folder) -> (ChunkId, Totals) {
        let mut leaves = vec![Vec::new()];
        for (name, thing) in folder {
            leaves.last_mut().unwrap().push(self.entry(name, thing));
            if ends_node(name, 0) {
                leaves.push(Vec::new());
            }
        }
        if leaves.len() > 1 && leaves.last().unwrap().is_empty() {
            leaves.pop();
        }
        let mut level: Vec<TreeChild> =
            leaves.into_iter().map(|entries| self.leaf(entries)).collect();
        for height in 1.. {
            if level.len() == 1 {
                break;
            }
            let mut parents = vec![Vec::new()];
            for child in level {
                let ends =
                    ends_node(&child.first_name, height) && !parents.last().unwrap().is_empty();
                parents.last_mut().unwrap().push(child);
                if ends {
                    parents.push(Vec::new());
                }
            }
            // Eight levels are allowed; above the third everything goes into one node.
            let parents: Vec<_> = if height < 3 { parents } else { vec![parents.concat()] };
            level = parents
                .into_iter()
                .filter(|children| !children.is_empty())
                .map(|children| self.inner(height, children))
                .collect();
        }
        (level[0].id, level[0].totals)
    }

    fn leaf(&self, entries: Vec<(Entry, Option<Totals>)>) -> TreeChild {
        let mut totals = Totals::default();
        for (entry, below) in &entries {
            let own = Totals {
                files: u64::from(below.is_none()),
                dirs: u64::from(below.is_some()),
                bytes: entry.size,
            };
            totals.add(own);
            totals.add(below.unwrap_or_default());
        }
        let first_name = entries.first().map(|(entry, _)| entry.name.clone()).unwrap_or_default();
        let dir_totals = entries.iter().filter_map(|(_, below)| *below).collect();
        let entries = entries.into_iter().map(|(entry, _)| entry).collect();
        let id = self.put(&TreeNode::Leaf { strings: Vec::new(), entries, dir_totals });
        TreeChild { first_name, id, totals }
    }

    fn inner(&self, level: u8, children: Vec<TreeChild>) -> TreeChild {
        let mut totals = Totals::default();
        children.iter().for_each(|child| totals.add(child.totals));
        let first_name = children[0].first_name.clone();
        TreeChild { first_name, id: self.put(&TreeNode::Inner { level, children }), totals }
    }

    fn entry(&self, name: &[u8], thing: &Thing) -> (Entry, Option<Totals>) {
        let (kind, content, mode, mtime, size, below) = match thing {
            Thing::File(content, mode, mtime) => {
                let len = 600 + u32::from(*content);
                let refs = vec![Ref::Data { id: ChunkId([*content; 32]), len }];
                (EntryKind::File, Content::Refs(refs), *mode, *mtime, u64::from(len), None)
            }
            Thing::Link(target, mtime) => (
                EntryKind::Symlink,
                Content::Inline(vec![b'a' + target % 26]),
                0o777,
                *mtime,
                1,
                None,
            ),
            Thing::Dir(mode, folder) => {
                let (id, totals) = self.plant(folder);
                (EntryKind::Dir, Content::Tree(id), *mode, 0, 0, Some(totals))
            }
            Thing::LostDir => (
                EntryKind::Dir,
                Content::Tree(ChunkId([9; 32])),
                0o700,
                0,
                0,
                Some(Totals::default()),
            ),
        };
        let mtime = Timestamp { seconds: mtime, nanos: 0 };
        let entry = Entry { mode, mtime, size, ..bare_entry(name, kind, content) };
        (entry, below)
    }
}

fn ends_node(name: &[u8], level: u8) -> bool {
    blake3::Hasher::new().update(&[level]).update(name).finalize().as_bytes()[0].is_multiple_of(3)
}

/// Returns a tree as the root of a snapshot.
pub fn root_of((tree, totals): (ChunkId, Totals)) -> ResolvedPath {
    ResolvedPath { path: Vec::new(), entry: None, tree: Some(tree), totals }
}
