//! Trees sealed by hand with the real keys: names, kinds, links and sizes that no backup makes.

use std::sync::Arc;

use drumlin::compress::Compression;
use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, Entry, EntryKind, Ref, Timestamp};
use drumlin::format::node::{Totals, TreeNode};
use drumlin::format::snapshot::{Consistency, Snapshot, SnapshotStats};
use drumlin::id::ChunkId;
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots::prepare::{self, NewTree, Prepared};
use drumlin::repo::write::{Checkpoints, SessionIdentity};
use drumlin::repo::{Lane, Reader, Session, SessionOptions, Trees, snapshots};

use super::fixture::{TestRepo, bare_entry, now};

/// Seals what it is given, whatever that is.
pub struct Forger<'a> {
    repo: &'a TestRepo,
    session: Session,
}

impl<'a> Forger<'a> {
    pub fn new(repo: &'a TestRepo) -> Self {
        let (compression, checkpoints) = (Compression::DEFAULT, Checkpoints::default());
        let options = SessionOptions {
            compression,
            threads: 1,
            low_memory: true,
            dry_run: false,
            checkpoints,
        };
        let identity =
            SessionIdentity { host: "attacker".to_owned(), parent: None, clock: Arc::new(now) };
        Self {
            repo,
            session: Session::new(
                Reader::new(&repo.repository).unwrap().chunk_index().clone(),
                options,
                identity,
            ),
        }
    }

    /// Seals a chunk.
    pub fn put(&self, kind: ChunkKind, bytes: &[u8]) -> ChunkId {
        let id = self.repo.repository.ids().chunk_id(kind, bytes);
        self.put_as(kind, &id, bytes);
        id
    }

    /// Seals bytes under an id that may be wrong.
    pub fn put_as(&self, kind: ChunkKind, id: &ChunkId, bytes: &[u8]) {
        Lane::new(&self.session).put(kind, id, bytes).unwrap();
    }

    /// Seals a node of entries.
    pub fn leaf(&self, entries: Vec<Entry>) -> ChunkId {
        let dir_totals = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Dir)
            .map(|_| Totals::default())
            .collect();
        self.put(
            ChunkKind::Tree,
            &TreeNode::Leaf { strings: Vec::new(), entries, dir_totals }.encode(),
        )
    }

    /// Seals a directory and returns its entry.
    pub fn dir(&self, name: &[u8], entries: Vec<Entry>) -> Entry {
        entry(name, EntryKind::Dir, Content::Tree(self.leaf(entries)))
    }

    /// Ends without a snapshot, and returns the trees with everything that was put.
    pub fn trees(self) -> Trees {
        self.session.finish().unwrap();
        Trees::new(Reader::new(&self.repo.repository).unwrap())
    }

    /// Commits a snapshot.
    pub fn finish(self, root: ChunkId) -> Snapshot {
        self.finish_with(root, Totals::default())
    }

    /// Stores everything, so that a snapshot of these sums can be committed.
    pub fn prepare(self, root: ChunkId, totals: Totals) -> Prepared {
        let tree = NewTree { root, totals, parent: None };
        prepare::prepare(self.session.finish().unwrap(), tree, &Monitor::default()).unwrap()
    }

    /// Commits a snapshot that says these sums.
    pub fn finish_with(self, root: ChunkId, totals: Totals) -> Snapshot {
        let repository = &self.repo.repository;
        let secured = self.prepare(root, totals);
        let snapshot = Snapshot {
            id: secured.session(),
            repository: repository.config().repository,
            host: "attacker".to_owned(),
            user: String::new(),
            app: String::new(),
            sequence: 1,
            previous: None,
            parent: None,
            started: now(),
            ended: now(),
            program: String::new(),
            sources: vec![b"/".to_vec()],
            tags: Vec::new(),
            root,
            consistency: Consistency::Live,
            stats: SnapshotStats { totals, ..SnapshotStats::default() },
            problem_count: 0,
            problems: Vec::new(),
            extensions: Vec::new(),
            writer: repository.writer(),
        };
        snapshots::commit(repository, &snapshot, secured).unwrap();
        snapshot
    }
}

/// Returns an entry, as an attacker would write it.
pub fn entry(name: &[u8], kind: EntryKind, content: Content) -> Entry {
    let size = match &content {
        Content::Inline(bytes) => bytes.len() as u64,
        Content::Refs(refs) => refs.iter().map(Ref::len).sum(),
        _ => 0,
    };
    let mtime = Timestamp { seconds: 1_700_000_000, nanos: 0 };
    Entry { mode: 0o777, mtime, size, ..bare_entry(name, kind, content) }
}

/// Returns a small file.
pub fn file(name: &[u8]) -> Entry {
    entry(name, EntryKind::File, Content::Inline(b"attack".to_vec()))
}
