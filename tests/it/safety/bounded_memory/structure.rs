//! Small repositories in memory from arbitrary bytes: every node is valid by itself, and what they
//! say of each other is as it comes.
//!
//! Also compiled into the fuzz target `structure`, so it knows nothing of the tests around it.

use std::path::Path;
use std::sync::Arc;

use drumlin::compress::Compression;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Profile;
use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, Entry, EntryKind, Ref, Timestamp, Xattr};
use drumlin::format::node::{ListChild, ListNode, Totals, TreeChild, TreeNode};
use drumlin::format::slot::SlotKdf;
use drumlin::format::snapshot::{Consistency, Snapshot, SnapshotStats};
use drumlin::id::ChunkId;
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots::prepare::{self, NewTree};
use drumlin::repo::write::{Checkpoints, SessionIdentity};
use drumlin::repo::{InitOptions, Lane, Reader, Repository, Session, SessionOptions, snapshots};
use drumlin::store::memory::MemoryStore;

const NOW: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 0 };

/// Makes an empty repository in memory.
pub fn repository(cache_dir: &Path) -> Arc<Repository> {
    let options = InitOptions {
        profile: Profile::Small,
        secret: Secret::KeyFile([7; 32].into()),
        kdf: SlotKdf::KeyFile,
        label: "structure".to_owned(),
        now: NOW,
        program: "structure".to_owned(),
        cache_dir: cache_dir.to_owned(),
    };
    Repository::init(Arc::new(MemoryStore::default()), &options).unwrap()
}

/// Stores whatever it is given.
pub struct Forger {
    repository: Arc<Repository>,
    session: Session,
}

impl Forger {
    /// Begins a session.
    pub fn new(repository: &Arc<Repository>) -> Self {
        let (compression, checkpoints) = (Compression::DEFAULT, Checkpoints::default());
        let options = SessionOptions {
            compression,
            threads: 1,
            low_memory: true,
            dry_run: false,
            checkpoints,
        };
        let identity =
            SessionIdentity { host: "attacker".to_owned(), parent: None, clock: Arc::new(|| NOW) };
        let session =
            Session::new(Reader::new(repository).unwrap().chunk_index().clone(), options, identity);
        Self { repository: repository.clone(), session }
    }

    /// Stores one chunk.
    pub fn put(&self, kind: ChunkKind, bytes: &[u8]) -> ChunkId {
        let id = self.repository.ids().chunk_id(kind, bytes);
        Lane::new(&self.session).put(kind, &id, bytes).unwrap();
        id
    }

    /// Stores a node of a directory; one that no reader takes is left out.
    pub fn tree(&self, node: &TreeNode) -> Option<ChunkId> {
        let bytes = node.encode();
        TreeNode::decode(&bytes).ok()?;
        Some(self.put(ChunkKind::Tree, &bytes))
    }

    /// Stores a node of a chunk list likewise.
    pub fn list(&self, node: &ListNode) -> Option<ChunkId> {
        let bytes = node.encode();
        ListNode::decode(&bytes).ok()?;
        Some(self.put(ChunkKind::List, &bytes))
    }

    /// Commits a snapshot of a root.
    pub fn finish(self, root: ChunkId, totals: Totals, sequence: u64) -> Snapshot {
        let tree = NewTree { root, totals, parent: None };
        let secured =
            prepare::prepare(self.session.finish().unwrap(), tree, &Monitor::default()).unwrap();
        let snapshot = Snapshot {
            id: secured.session(),
            repository: self.repository.config().repository,
            host: format!("attacker-{sequence}"),
            user: String::new(),
            app: String::new(),
            sequence: 1,
            previous: None,
            parent: None,
            started: NOW,
            ended: NOW,
            program: String::new(),
            sources: vec![b"/".to_vec()],
            tags: Vec::new(),
            root,
            consistency: Consistency::Live,
            stats: SnapshotStats { totals, ..SnapshotStats::default() },
            problem_count: 0,
            problems: Vec::new(),
            extensions: Vec::new(),
            writer: self.repository.writer(),
        };
        snapshots::commit(&self.repository, &snapshot, secured).unwrap();
        snapshot
    }
}

/// Returns an entry with nothing but a name and what it is.
pub fn entry(name: Vec<u8>, kind: EntryKind, content: Content) -> Entry {
    let size = match (&content, kind) {
        (Content::Inline(bytes), _) => bytes.len() as u64,
        (Content::Refs(refs), _) => refs.iter().map(Ref::len).sum(),
        _ => 0,
    };
    Entry {
        name,
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        user: 0,
        group: 0,
        mtime: NOW,
        ctime: NOW,
        btime: None,
        size,
        device: None,
        hard_link: None,
        content,
        xattrs: Vec::new(),
        flags: 0,
        extensions: Vec::new(),
    }
}

/// A directory or a part of one, with what inner nodes say of it.
#[derive(Clone)]
struct Part {
    id: ChunkId,
    level: u8,
    first_name: Vec<u8>,
    totals: Totals,
}

/// Builds what the bytes say, the deepest first, so that all that is there can be used by what
/// comes later, any number of times.
pub struct Builder<'a> {
    forger: &'a Forger,
    bytes: std::slice::Iter<'a, u8>,
    parts: Vec<Part>,
    lists: Vec<(ChunkId, u64, u8)>,
    data: ChunkId,
}

const DATA_LEN_BYTES: u32 = 700;
/// Nodes of one repository.
const NODES_MAX: usize = 400;

impl<'a> Builder<'a> {
    /// Builds everything and returns the root with the sums that it claims.
    pub fn build(forger: &'a Forger, bytes: &'a [u8]) -> (ChunkId, Totals) {
        let data = forger.put(ChunkKind::Data, &[1; DATA_LEN_BYTES as usize]);
        let mut builder =
            Builder { forger, bytes: bytes.iter(), parts: Vec::new(), lists: Vec::new(), data };
        for _ in 0..NODES_MAX {
            let Some(what) = builder.bytes.next() else { break };
            match what % 8 {
                0 => builder.add_list_leaf(),
                1 => builder.add_list_inner(),
                2 | 3 => builder.add_inner(),
                _ => builder.add_leaf(),
            }
        }
        let root = builder.parts.last().map(|part| (part.id, part.totals));
        root.unwrap_or_else(|| {
            let empty =
                TreeNode::Leaf { strings: Vec::new(), entries: Vec::new(), dir_totals: Vec::new() };
            (forger.tree(&empty).unwrap(), Totals::default())
        })
    }

    fn byte(&mut self) -> usize {
        self.bytes.next().copied().unwrap_or(0).into()
    }

    /// Picks one of the last, mostly the very last: so trees get deep.
    fn pick<T: Clone>(from: &[T], byte: usize) -> Option<T> {
        let back = if byte < 160 { 0 } else { byte % 16 };
        from.iter().nth_back(back).or(from.first()).cloned()
    }

    fn add_list_leaf(&mut self) {
        let refs: Vec<Ref> = (0..=self.byte() % 4)
            .map(|_| match self.byte() {
                byte if byte < 100 => Ref::Data { id: self.data, len: DATA_LEN_BYTES },
                byte if byte < 180 => Ref::Hole { len: byte as u64 },
                byte => Ref::Hole { len: 1 << (byte % 60) },
            })
            .collect();
        let bytes = refs.iter().fold(0u64, |sum, piece| sum.saturating_add(piece.len()));
        if let Some(id) = self.forger.list(&ListNode::Leaf { refs }) {
            self.lists.push((id, bytes, 0));
        }
    }

    fn add_list_inner(&mut self) {
        let byte = self.byte();
        let Some((id, bytes, level)) = Self::pick(&self.lists, byte) else { return };
        // Many times the same: a list without end from a few nodes.
        let count = if byte.is_multiple_of(3) { 1_000 } else { 2 + byte % 5 };
        let children = vec![ListChild { id, bytes }; count];
        let total = bytes.saturating_mul(count as u64);
        if let Some(id) = self.forger.list(&ListNode::Inner { level: level + 1, children }) {
            self.lists.push((id, total, level + 1));
        }
    }

    fn add_inner(&mut self) {
        let (count, lie) = (2 + self.byte() % 6, self.byte());
        let mut children: Vec<TreeChild> = Vec::new();
        let mut level = 1;
        for at in 0..count {
            let byte = self.byte();
            let Some(part) = Self::pick(&self.parts, byte) else { return };
            level = part.level + 1;
            let first_name = if lie.is_multiple_of(4) {
                format!("n{at:03}").into_bytes()
            } else {
                part.first_name.clone()
            };
            children.push(TreeChild { first_name, id: part.id, totals: part.totals });
        }
        children.sort_by(|a, b| a.first_name.cmp(&b.first_name));
        children.dedup_by(|a, b| a.first_name == b.first_name);
        let mut totals = Totals::default();
        children.iter().for_each(|child| totals.add(child.totals));
        let first_name = children[0].first_name.clone();
        if let Some(id) = self.forger.tree(&TreeNode::Inner { level, children }) {
            self.parts.push(Part { id, level, first_name, totals });
        }
    }

    fn add_leaf(&mut self) {
        let (shape, prefix) = (self.byte(), self.byte());
        let count = match shape {
            0..20 => 0,
            20..40 => 200,
            shape => 1 + shape % 6,
        };
        let (mut entries, mut dir_totals, mut totals) = (Vec::new(), Vec::new(), Totals::default());
        for at in 0..count {
            let name = format!("{:02x}{at:04}", prefix % 8).into_bytes();
            let (mut new, below) = self.entry(name);
            if shape.is_multiple_of(7) {
                // Compresses to nothing.
                new.xattrs = vec![Xattr { name: b"user.long".to_vec(), value: vec![0; 60 << 10] }];
            }
            match below {
                Some(below) => {
                    totals.add(below);
                    totals.dirs = totals.dirs.saturating_add(1);
                    dir_totals.push(below);
                }
                None => totals.add(Totals { files: 1, dirs: 0, bytes: new.size }),
            }
            entries.push(new);
        }
        let first_name = entries.first().map_or_else(
            || format!("n{prefix:03}").into_bytes(),
            |first: &Entry| first.name.clone(),
        );
        if let Some(id) =
            self.forger.tree(&TreeNode::Leaf { strings: Vec::new(), entries, dir_totals })
        {
            self.parts.push(Part { id, level: 0, first_name, totals });
        }
    }

    fn entry(&mut self, name: Vec<u8>) -> (Entry, Option<Totals>) {
        let (kind, byte) = (self.byte(), self.byte());
        let new = match kind % 8 {
            0 => entry(name, EntryKind::Symlink, Content::Inline(b"elsewhere".to_vec())),
            1 => entry(name, EntryKind::Fifo, Content::None),
            2 => {
                let refs = vec![
                    Ref::Data { id: self.data, len: DATA_LEN_BYTES },
                    Ref::Hole { len: 1 + byte as u64 },
                ];
                Entry {
                    hard_link: byte.is_multiple_of(2).then_some(byte as u64 % 4),
                    ..entry(name, EntryKind::File, Content::Refs(refs))
                }
            }
            3 => match Self::pick(&self.lists, byte) {
                Some((id, size, _)) if size <= i64::MAX as u64 => {
                    Entry { size, ..entry(name, EntryKind::File, Content::List(id)) }
                }
                _ => entry(name, EntryKind::File, Content::Inline(vec![7; byte])),
            },
            4 | 5 => entry(name, EntryKind::File, Content::Inline(vec![7; byte])),
            _ => match Self::pick(&self.parts, byte) {
                Some(part) => {
                    return (
                        entry(name, EntryKind::Dir, Content::Tree(part.id)),
                        Some(part.totals),
                    );
                }
                None => entry(name, EntryKind::Socket, Content::None),
            },
        };
        (new, None)
    }
}
