//! Unit tests of the traversal, on small trees whose nodes are made one by one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::compress::Compression;
use crate::crypto::slot::Secret;
use crate::format::config::Profile;
use crate::format::entry::Timestamp;
use crate::format::node::{ListChild, TreeChild};
use crate::format::slot::SlotKdf;
use crate::repo::write::{Checkpoints, SessionIdentity};
use crate::repo::{InitOptions, Lane, Reader, Repository, Session, SessionOptions};
use crate::store::memory::MemoryStore;

/// Chunks to store in a new repository in memory.
struct Chunks {
    repository: Arc<Repository>,
    chunks: Vec<(ChunkKind, ChunkId, Vec<u8>)>,
}

impl Chunks {
    fn new() -> Self {
        let options = InitOptions {
            profile: Profile::Standard,
            secret: Secret::KeyFile(zeroize::Zeroizing::new([1; 32])),
            kdf: SlotKdf::KeyFile,
            label: String::new(),
            now: Timestamp::default(),
            program: String::new(),
            cache_dir: std::path::PathBuf::new(),
        };
        let repository = Repository::init(Arc::new(MemoryStore::default()), &options).unwrap();
        Self { repository, chunks: Vec::new() }
    }

    fn id(&self, kind: ChunkKind, bytes: &[u8]) -> ChunkId {
        self.repository.ids().chunk_id(kind, bytes)
    }

    fn add(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> ChunkId {
        let id = self.id(kind, &bytes);
        self.chunks.push((kind, id, bytes));
        id
    }

    fn data(&mut self, text: &str) -> ChunkId {
        self.add(ChunkKind::Data, text.into())
    }

    fn list(&mut self, node: &ListNode) -> ListChild {
        let id = self.add(ChunkKind::List, node.encode());
        ListChild { id, bytes: node.bytes().unwrap() }
    }

    /// Adds a node of a directory, and returns it as a root with its sums.
    fn tree(&mut self, node: &TreeNode) -> (ChunkId, Totals) {
        (self.add(ChunkKind::Tree, node.encode()), totals_of(node))
    }

    fn store(self) -> Trees {
        let options = SessionOptions {
            compression: Compression::FAST,
            threads: 1,
            low_memory: true,
            dry_run: false,
            checkpoints: Checkpoints::default(),
        };
        let clock = Arc::new(Timestamp::default);
        let identity = SessionIdentity { host: String::new(), parent: None, clock };
        let index = Reader::new(&self.repository).unwrap().chunk_index().clone();
        let session = Session::new(index, options, identity);
        let mut lane = Lane::new(&session);
        for (kind, id, bytes) in &self.chunks {
            lane.put(*kind, id, bytes).unwrap();
        }
        drop(lane);
        session.finish().unwrap();
        Trees::new(Reader::new(&self.repository).unwrap())
    }
}

fn data(id: ChunkId, len: u32) -> Ref {
    Ref::Data { id, len }
}

fn entry(name: &str, kind: EntryKind, size: u64, content: Content) -> Entry {
    Entry {
        name: name.into(),
        kind,
        mode: 0o700,
        uid: 0,
        gid: 0,
        user: 0,
        group: 0,
        mtime: Timestamp::default(),
        ctime: Timestamp::default(),
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

fn file(name: &str, refs: Vec<Ref>) -> Entry {
    let size = refs.iter().map(Ref::len).sum();
    entry(name, EntryKind::File, size, Content::Refs(refs))
}

fn long_file(name: &str, list: ListChild) -> Entry {
    entry(name, EntryKind::File, list.bytes, Content::List(list.id))
}

/// Makes a leaf of entries, each directory with the sums over it.
fn leaf(entries: Vec<(Entry, Option<Totals>)>) -> TreeNode {
    let dir_totals = entries.iter().filter_map(|(_, totals)| *totals).collect();
    let entries = entries.into_iter().map(|(entry, _)| entry).collect();
    TreeNode::Leaf { strings: Vec::new(), entries, dir_totals }
}

fn dir(name: &str, (tree, totals): (ChunkId, Totals)) -> (Entry, Option<Totals>) {
    (entry(name, EntryKind::Dir, 0, Content::Tree(tree)), Some(totals))
}

/// Records all calls.
#[derive(Default)]
struct Recorder {
    reached: Mutex<Vec<ChunkId>>,
    referred: AtomicU64,
    inline: AtomicU64,
    missing: Mutex<HashSet<(ChunkKind, ChunkId)>>,
    faults: Mutex<Vec<(ChunkKind, ChunkId)>>,
    misstated: Mutex<Vec<(ChunkId, u64)>>,
    notes: Option<Notes>,
    /// A node that is not to be read.
    closed: Option<ChunkId>,
}

impl Visitor for Recorder {
    fn reached(
        &self,
        _kind: ChunkKind,
        id: &ChunkId,
        _len_bytes: Option<u32>,
        _place: &ChunkPlace,
    ) -> bool {
        lock(&self.reached).push(*id);
        self.closed != Some(*id)
    }

    fn inline(&self, len_bytes: u64) {
        self.inline.fetch_add(len_bytes, Ordering::Relaxed);
    }

    fn missing(&self, kind: ChunkKind, id: &ChunkId) {
        lock(&self.missing).insert((kind, *id));
    }

    fn fault(&self, kind: ChunkKind, id: &ChunkId, _error: Error) {
        lock(&self.faults).push((kind, *id));
    }

    fn misstated(&self, id: &ChunkId, bytes: u64, _error: Error) {
        lock(&self.misstated).push((*id, bytes));
    }

    fn referred(&self, _id: &ChunkId, _len_bytes: u32, _place: &ChunkPlace) {
        self.referred.fetch_add(1, Ordering::Relaxed);
    }

    fn notes(&self) -> Option<&Notes> {
        self.notes.as_ref()
    }
}

impl Recorder {
    /// Returns the reached chunks, in the order of their ids.
    fn all_reached(&self) -> Vec<ChunkId> {
        sorted(lock(&self.reached).clone())
    }

    fn is_clean(&self) -> bool {
        lock(&self.missing).is_empty()
            && lock(&self.faults).is_empty()
            && lock(&self.misstated).is_empty()
    }
}

fn sorted(mut ids: Vec<ChunkId>) -> Vec<ChunkId> {
    ids.sort_unstable();
    ids
}

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

fn visit(trees: &Trees, roots: &[(ChunkId, Totals)], recorder: &Recorder) {
    visit_reachable(trees, roots, recorder, &pool(), &Monitor::default()).unwrap();
}

#[test]
fn shared_subtrees_and_chunks_are_visited_once() {
    let mut chunks = Chunks::new();
    let (one, two) = (chunks.data("one"), chunks.data("two"));
    let shared =
        chunks.tree(&leaf(vec![(file("f", vec![data(one, 3), data(two, 3), data(one, 3)]), None)]));
    let root = chunks.tree(&leaf(vec![dir("a", shared), dir("b", shared)]));
    let later = chunks.tree(&leaf(vec![dir("c", shared), (file("d", vec![data(two, 3)]), None)]));
    let trees = chunks.store();
    let recorder = Recorder::default();
    visit(&trees, &[root, later, root], &recorder);
    assert_eq!(recorder.all_reached(), sorted(vec![one, two, shared.0, root.0, later.0]));
    assert_eq!(trees.nodes_read(), 3);
    // Each reference is shown, but those of a shared node only once.
    assert_eq!(recorder.referred.into_inner(), 4);
}

#[test]
fn missing_chunks_are_named_and_the_others_visited() {
    let mut chunks = Chunks::new();
    let one = chunks.data("one");
    let [no_data, no_list, no_tree] = [ChunkKind::Data, ChunkKind::List, ChunkKind::Tree]
        .map(|kind| (kind, chunks.id(kind, b"not stored")));
    let root = chunks.tree(&leaf(vec![
        dir("a", (no_tree.1, Totals::default())),
        (file("b", vec![data(no_data.1, 10), data(one, 3)]), None),
        (long_file("c", ListChild { id: no_list.1, bytes: 7 }), None),
    ]));
    let recorder = Recorder::default();
    visit(&chunks.store(), &[root], &recorder);
    assert_eq!(*lock(&recorder.missing), HashSet::from([no_data, no_list, no_tree]));
    assert_eq!(recorder.all_reached(), sorted(vec![one, root.0]));
    assert!(lock(&recorder.faults).is_empty());
}

#[test]
fn lists_are_followed_and_inline_content_is_counted() {
    let mut chunks = Chunks::new();
    let (one, two) = (chunks.data("one"), chunks.data("two"));
    let parts = [
        ListNode::Leaf { refs: vec![data(one, 3), Ref::Hole { len: 5 }] },
        ListNode::Leaf { refs: vec![data(two, 3)] },
    ]
    .map(|part| chunks.list(&part));
    let list = chunks.list(&ListNode::Inner { level: 1, children: parts.to_vec() });
    let small = Content::Inline(b"small".to_vec());
    let target = Content::Inline(b"target".to_vec());
    let root = chunks.tree(&leaf(vec![
        (long_file("a", list), None),
        (entry("b", EntryKind::File, 5, small), None),
        (entry("c", EntryKind::Symlink, 6, target), None),
        (entry("d", EntryKind::Fifo, 0, Content::None), None),
    ]));
    let recorder = Recorder::default();
    visit(&chunks.store(), &[root], &recorder);
    let expected = vec![one, two, parts[0].id, parts[1].id, list.id, root.0];
    assert_eq!(recorder.all_reached(), sorted(expected));
    assert!(recorder.is_clean());
    assert_eq!(recorder.inline.into_inner(), 5, "the target of a link is no content");
}

#[test]
fn nodes_that_the_visitor_closes_are_not_read() {
    let mut chunks = Chunks::new();
    let one = chunks.data("one");
    let inside = chunks.tree(&leaf(vec![(file("f", vec![data(one, 3)]), None)]));
    let root = chunks.tree(&leaf(vec![dir("a", inside)]));
    let trees = chunks.store();
    let recorder = Recorder { closed: Some(inside.0), ..Recorder::default() };
    visit(&trees, &[root], &recorder);
    assert_eq!(recorder.all_reached(), sorted(vec![inside.0, root.0]));
    assert_eq!(trees.nodes_read(), 1);
}

#[test]
fn marks_of_an_earlier_traversal_count() {
    let mut chunks = Chunks::new();
    let (one, two) = (chunks.data("one"), chunks.data("two"));
    let shared = chunks.tree(&leaf(vec![(file("f", vec![data(one, 3)]), None)]));
    let first = chunks.tree(&leaf(vec![dir("a", shared)]));
    let new = file("b", vec![data(one, 3), data(two, 3)]);
    let second = chunks.tree(&leaf(vec![dir("a", shared), (new, None)]));
    let trees = chunks.store();
    let marks = MarkBits::new(trees.reader().index().record_count());
    let (pool, monitor) = (pool(), Monitor::default());
    let walkers = Walkers { pool: &pool, monitor: &monitor };
    for (root, expected) in
        [(first, vec![one, shared.0, first.0]), (second, vec![two, second.0]), (second, vec![])]
    {
        let recorder = Recorder::default();
        visit_unmarked(&trees, &[root], &recorder, &marks, &walkers).unwrap();
        assert_eq!(recorder.all_reached(), sorted(expected));
    }
}

/// A wrong statement is a fault of the node that makes it; a wrong sum, which may come from further
/// below, of the node itself. In both cases the traversal goes on.
#[test]
fn wrong_statements_about_nodes_are_faults() {
    let mut chunks = Chunks::new();
    let (one, two) = (chunks.data("one"), chunks.data("two"));
    let left = chunks.tree(&leaf(vec![(file("a", vec![data(one, 3)]), None)]));
    let right = chunks.tree(&leaf(vec![(file("c", vec![data(two, 3)]), None)]));
    let child = |name: &str, (id, totals): (ChunkId, Totals)| TreeChild {
        first_name: name.into(),
        id,
        totals,
    };
    let inner = |names: [&str; 2], right: (ChunkId, Totals)| TreeNode::Inner {
        level: 1,
        children: vec![child(names[0], left), child(names[1], right)],
    };
    let good = chunks.tree(&inner(["a", "c"], right));
    let wrong_name = chunks.tree(&inner(["a", "b"], right));
    let more = Totals { bytes: right.1.bytes + 1, ..right.1 };
    let wrong_totals = chunks.tree(&inner(["a", "c"], (right.0, more)));
    let garbage = (chunks.add(ChunkKind::Tree, b"no node".to_vec()), Totals::default());
    let trees = chunks.store();
    for (root, fault) in [
        (good, None),
        (wrong_name, Some(wrong_name.0)),
        (wrong_totals, Some(right.0)),
        (garbage, Some(garbage.0)),
    ] {
        let recorder = Recorder::default();
        visit(&trees, &[root], &recorder);
        let expected: Vec<_> = fault.into_iter().map(|id| (ChunkKind::Tree, id)).collect();
        assert_eq!(*lock(&recorder.faults), expected);
        let has_two = lock(&recorder.reached).contains(&two);
        assert_eq!(has_two, root != garbage);
    }
}

#[test]
fn wrong_lengths_of_lists_are_noticed_again_only_with_notes() {
    let mut chunks = Chunks::new();
    let one = chunks.data("one");
    let list = chunks.list(&ListNode::Leaf { refs: vec![data(one, 3)] });
    let longer = ListChild { bytes: 10, ..list };
    let alone = chunks.tree(&leaf(vec![(long_file("a", longer), None)]));
    let both =
        chunks.tree(&leaf(vec![(long_file("a", list), None), (long_file("b", longer), None)]));
    let trees = chunks.store();
    let records = trees.reader().index().record_count();
    for (root, notes, expected) in [
        (alone, None, vec![(list.id, 10)]),
        (both, None, Vec::new()),
        (both, Some(Notes::new(records)), vec![(list.id, 10)]),
    ] {
        let recorder = Recorder { notes, ..Recorder::default() };
        visit(&trees, &[root], &recorder);
        assert_eq!(*lock(&recorder.misstated), expected);
        assert_eq!(recorder.all_reached(), sorted(vec![one, list.id, root.0]));
    }
}

#[test]
fn a_cancelled_traversal_reads_nothing_more() {
    let mut chunks = Chunks::new();
    let root = chunks.tree(&leaf(Vec::new()));
    let (trees, monitor) = (chunks.store(), Monitor::default());
    monitor.cancel();
    let stopped = visit_reachable(&trees, &[root], &Recorder::default(), &pool(), &monitor);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(trees.nodes_read(), 0);
}
