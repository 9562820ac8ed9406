//! Builder of directories as search trees, in which one change touches one leaf and its path.
//!
//! Where a node ends depends on names alone, so a changed file never moves a boundary.
//!
//! Spec: `format-spec/07-trees.md`, section "Splitting directories".

use std::sync::Arc;

use crate::crypto::id_keys::IdKeys;
use crate::format::container::ChunkKind;
use crate::format::entry::{Entry, EntryKind};
use crate::format::limits::{
    NODE_BULK_BYTES, NODE_ENTRIES_MAX, NODE_ENTRIES_MIN, TREE_SPLIT_BELOW,
};
use crate::format::node::{Totals, TreeChild, TreeNode};
use crate::id::ChunkId;
use crate::repo::{DirEntry, Lane, Result};

/// Builds one directory, entry by entry in the order of their names.
#[derive(Default)]
pub struct TreeBuilder {
    leaf: Vec<DirEntry>,
    /// Bytes of the leaf's names, attributes and inline content.
    bulk: usize,
    /// Whether the directory is larger than one node, so that leaves are cut as soon as the rule
    /// allows it.
    is_split: bool,
    levels: Vec<Vec<TreeChild>>,
    totals: Totals,
}

impl TreeBuilder {
    /// Adds the next entry.
    pub fn push(&mut self, lane: &mut Lane, entry: DirEntry) -> Result<()> {
        self.totals.add(entry_totals(&entry));
        if self.is_split {
            return self.push_split(lane, entry);
        }
        self.bulk += entry.entry.bulk_len();
        self.leaf.push(entry);
        if self.leaf.len() <= NODE_ENTRIES_MAX && self.bulk < NODE_BULK_BYTES {
            return Ok(());
        }
        (self.is_split, self.bulk) = (true, 0);
        std::mem::take(&mut self.leaf)
            .into_iter()
            .try_for_each(|entry| self.push_split(lane, entry))
    }

    fn push_split(&mut self, lane: &mut Lane, entry: DirEntry) -> Result<()> {
        self.bulk += entry.entry.bulk_len();
        self.leaf.push(entry);
        let count = self.leaf.len();
        // The hash is computed only where it can decide.
        let name = &self.leaf[count - 1].entry.name;
        let ends = self.bulk >= NODE_BULK_BYTES
            || (count >= NODE_ENTRIES_MIN && ends_node(count, split_hash(lane, name)));
        if ends { self.close_leaf(lane) } else { Ok(()) }
    }

    /// Stores what is left and returns the id of the directory's top node, and its sums.
    pub fn finish(mut self, lane: &mut Lane) -> Result<(ChunkId, Totals)> {
        if !self.is_split {
            let node = leaf_node(std::mem::take(&mut self.leaf));
            return Ok((put_tree(lane, &node)?, self.totals));
        }
        if !self.leaf.is_empty() {
            self.close_leaf(lane)?;
        }
        let mut level = 0;
        loop {
            let children = std::mem::take(&mut self.levels[level]);
            let is_top = level + 1 == self.levels.len();
            if is_top && children.len() == 1 {
                return Ok((children[0].id, self.totals));
            }
            if is_top && children.len() <= NODE_ENTRIES_MAX {
                let node = TreeNode::Inner { level: node_level(level), children };
                return Ok((put_tree(lane, &node)?, self.totals));
            }
            self.close_level(lane, level, children)?;
            level += 1;
        }
    }

    fn close_leaf(&mut self, lane: &mut Lane) -> Result<()> {
        let entries = std::mem::take(&mut self.leaf);
        self.bulk = 0;
        let first_name = entries[0].entry.name.clone();
        let mut totals = Totals::default();
        entries.iter().for_each(|entry| totals.add(entry_totals(entry)));
        let id = put_tree(lane, &leaf_node(entries))?;
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        self.levels[0].push(TreeChild { first_name, id, totals });
        Ok(())
    }

    /// Cuts one level of children into nodes of the level above, by the same rule as leaves.
    fn close_level(
        &mut self,
        lane: &mut Lane,
        level: usize,
        children: Vec<TreeChild>,
    ) -> Result<()> {
        if self.levels.len() == level + 1 {
            self.levels.push(Vec::new());
        }
        let prefix = [node_level(level)];
        let mut open: Vec<TreeChild> = Vec::new();
        let count = children.len();
        for (at, child) in children.into_iter().enumerate() {
            let hash = split_hash(lane, &[&prefix, child.first_name.as_slice()].concat());
            open.push(child);
            let left = count - at - 1;
            if ends_node(open.len(), hash) || left == 0 {
                let children = std::mem::take(&mut open);
                let first_name = children[0].first_name.clone();
                let mut totals = Totals::default();
                children.iter().for_each(|child| totals.add(child.totals));
                let id = put_tree(lane, &TreeNode::Inner { level: node_level(level), children })?;
                self.levels[level + 1].push(TreeChild { first_name, id, totals });
            }
        }
        Ok(())
    }
}

fn node_level(level: usize) -> u8 {
    u8::try_from(level + 1).expect("trees have at most 8 levels")
}

fn ends_node(count: usize, hash: u32) -> bool {
    count >= NODE_ENTRIES_MAX || (count >= NODE_ENTRIES_MIN && hash < TREE_SPLIT_BELOW)
}

fn split_hash(lane: &Lane, bytes: &[u8]) -> u32 {
    ids_of(lane).split_hash(bytes)
}

fn ids_of<'s>(lane: &Lane<'s>) -> &'s IdKeys {
    lane.session().ids()
}

fn put_tree(lane: &mut Lane, node: &TreeNode) -> Result<ChunkId> {
    let bytes = node.encode();
    let id = ids_of(lane).chunk_id(ChunkKind::Tree, &bytes);
    lane.put(ChunkKind::Tree, &id, &bytes)?;
    Ok(id)
}

/// Returns what an entry adds to the sums of its directory.
pub fn entry_totals(entry: &DirEntry) -> Totals {
    let mut totals = entry.totals.unwrap_or_default();
    match entry.entry.kind {
        EntryKind::Dir => totals.dirs = totals.dirs.saturating_add(1),
        EntryKind::File => totals.add(Totals { files: 1, dirs: 0, bytes: entry.entry.size }),
        _ => totals.files = totals.files.saturating_add(1),
    }
    totals
}

/// Makes a leaf with a table of the owners' names in it.
fn leaf_node(mut entries: Vec<DirEntry>) -> TreeNode {
    let names = entries.iter().flat_map(|entry| [&entry.user, &entry.group]).flatten();
    let mut strings: Vec<Arc<str>> = names.cloned().collect();
    strings.sort_unstable();
    strings.dedup();
    let position = |name: &Option<Arc<str>>| match name {
        Some(name) => {
            u32::try_from(1 + strings.binary_search(name).expect("it was just put there"))
                .expect("leaves are small")
        }
        None => 0,
    };
    for entry in &mut entries {
        entry.entry.user = position(&entry.user);
        entry.entry.group = position(&entry.group);
    }
    let dirs = entries.iter().filter(|entry| entry.entry.kind == EntryKind::Dir);
    let dir_totals = dirs.map(|entry| entry.totals.unwrap_or_default()).collect();
    let entries: Vec<Entry> = entries.into_iter().map(|entry| entry.entry).collect();
    TreeNode::Leaf {
        strings: strings.iter().map(|name| name.to_string()).collect(),
        entries,
        dir_totals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Compression;
    use crate::crypto::slot::Secret;
    use crate::format::config::Profile;
    use crate::format::entry::{Content, Timestamp, Xattr};
    use crate::format::slot::SlotKdf;
    use crate::repo::write::{Checkpoints, SessionIdentity};
    use crate::repo::{InitOptions, Reader, Repository, Session, SessionOptions, Trees};
    use crate::store::memory::MemoryStore;

    fn repository(cache: &std::path::Path) -> Arc<Repository> {
        let options = InitOptions {
            profile: Profile::Standard,
            secret: Secret::KeyFile(zeroize::Zeroizing::new([1; 32])),
            kdf: SlotKdf::KeyFile,
            label: String::new(),
            now: Timestamp::default(),
            program: String::new(),
            cache_dir: cache.to_owned(),
        };
        Repository::init(Arc::new(MemoryStore::default()), &options).unwrap()
    }

    fn entry(number: u32, xattr_len: usize) -> DirEntry {
        let entry = Entry {
            name: format!("{number:06}").into_bytes(),
            kind: EntryKind::File,
            mode: 0o600,
            uid: 0,
            gid: 0,
            user: 0,
            group: 0,
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            btime: None,
            size: 0,
            device: None,
            hard_link: None,
            content: Content::Inline(Vec::new()),
            xattrs: vec![Xattr { name: b"user.x".to_vec(), value: vec![7; xattr_len] }],
            flags: 0,
            extensions: Vec::new(),
        };
        DirEntry { entry, user: None, group: None, totals: None }
    }

    /// Goal: the nodes of any directory can be read again. Method: few and many entries, small and
    /// huge ones.
    #[test]
    fn every_directory_has_nodes_that_fit_into_segments() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path());
        for (count, xattr_len) in
            [(0, 0), (512, 10), (513, 10), (20_000, 1), (400, 60_000), (20, 1_000_000)]
        {
            let (compression, checkpoints) = (Compression::FAST, Checkpoints::default());
            let options = SessionOptions {
                compression,
                threads: 1,
                low_memory: true,
                dry_run: false,
                checkpoints,
            };
            let identity = SessionIdentity {
                host: String::new(),
                parent: None,
                clock: Arc::new(Timestamp::default),
            };
            let reader = Reader::new(&repository).unwrap();
            let session = Session::new(reader.chunk_index().clone(), options, identity);
            let mut lane = Lane::new(&session);
            let mut builder = TreeBuilder::default();
            for number in 0..count {
                builder.push(&mut lane, entry(number, xattr_len)).unwrap();
            }
            let (tree, totals) = builder.finish(&mut lane).unwrap();
            assert_eq!(totals.files, u64::from(count));
            drop(lane);
            session.finish().unwrap();
            let trees = Trees::new(Reader::new(&repository).unwrap());
            let names: Vec<_> =
                trees.entries(&tree).map(|entry| entry.unwrap().entry.name).collect();
            let expected: Vec<_> =
                (0..count).map(|number| format!("{number:06}").into_bytes()).collect();
            assert_eq!(names, expected, "{count} entries of {xattr_len} bytes");
        }
    }
}
