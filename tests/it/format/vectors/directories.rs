//! Directories whose nodes are sound one by one, and of which a node says of another what is not
//! so.
//!
//! A vector is a raw segment with all chunks of a directory and of what is below it; the last one
//! is the top node. The program takes it as a snapshot and restores it. Spec:
//! `format-spec/07-trees.md`, sections 1, 4 and 5.

use std::sync::Arc;

use drumlin::container::{Segment, seal_single};
use drumlin::format::codec;
use drumlin::format::container::{ChunkKind, ContainerKind, SegmentTable};
use drumlin::format::entry::{Content, Entry, EntryKind, Ref};
use drumlin::format::node::{ListChild, ListNode, Totals, TreeChild, TreeNode};
use drumlin::id::ChunkId;
use drumlin::monitor::Monitor;
use drumlin::repo::objects::layout;
use drumlin::repo::{OpenOptions, Repository};
use drumlin::restore::{self, RestoreOptions};
use drumlin::store::Store;
use drumlin::store::layers::count::CountStore;
use drumlin::store::memory::MemoryStore;

use super::codec::{config, plain_entry};
use super::containers::slots;
use super::decoders::text;
use super::faults::Fault;
use crate::support::fixture::TestRepo;
use crate::support::forger::Forger;

/// Collects the chunks of a vector.
#[derive(Default)]
struct Chunks {
    kinds: Vec<(ChunkKind, u32)>,
    bytes: Vec<u8>,
}

/// A node with the sums of what is below it.
#[derive(Clone, Copy)]
struct Part {
    id: ChunkId,
    totals: Totals,
}

impl Chunks {
    fn put(&mut self, kind: ChunkKind, bytes: &[u8]) -> ChunkId {
        self.kinds.push((kind, bytes.len() as u32));
        self.bytes.extend_from_slice(bytes);
        super::keyring().ids().chunk_id(kind, bytes)
    }

    /// Returns the raw segment.
    fn finish(mut self) -> Vec<u8> {
        let table = codec::encode(&SegmentTable { chunks: self.kinds });
        self.bytes.extend_from_slice(&table);
        self.bytes.extend_from_slice(&(table.len() as u32).to_le_bytes());
        self.bytes
    }

    /// A piece of a file, of 100 bytes.
    fn data(&mut self) -> ChunkId {
        self.put(ChunkKind::Data, &[b'd'; 100])
    }

    fn list(&mut self, node: &ListNode) -> ChunkId {
        self.put(ChunkKind::List, &node.encode())
    }

    fn leaf(&mut self, entries: Vec<(Entry, Totals)>) -> Part {
        let (mut totals, mut dir_totals) = (Totals::default(), Vec::new());
        for (entry, below) in &entries {
            if entry.kind == EntryKind::Dir {
                dir_totals.push(*below);
                totals.add(Totals { dirs: 1, ..Totals::default() });
                totals.add(*below);
            } else {
                totals.add(Totals { files: 1, dirs: 0, bytes: entry.size });
            }
        }
        let entries = entries.into_iter().map(|(entry, _)| entry).collect();
        let id = self.put(
            ChunkKind::Tree,
            &TreeNode::Leaf { strings: Vec::new(), entries, dir_totals }.encode(),
        );
        Part { id, totals }
    }

    /// A leaf of empty files.
    fn files(&mut self, names: &[&str]) -> Part {
        self.leaf(names.iter().map(|name| file(name, Content::Inline(Vec::new()), 0)).collect())
    }

    fn inner(&mut self, level: u8, children: &[(&str, Part)]) -> Part {
        let mut totals = Totals::default();
        children.iter().for_each(|(_, part)| totals.add(part.totals));
        let child = |(name, part): &(&str, Part)| TreeChild {
            first_name: name.as_bytes().to_vec(),
            id: part.id,
            totals: part.totals,
        };
        let children = children.iter().map(child).collect();
        Part {
            id: self.put(ChunkKind::Tree, &TreeNode::Inner { level, children }.encode()),
            totals,
        }
    }
}

fn file(name: &str, content: Content, size: u64) -> (Entry, Totals) {
    (Entry { size, ..plain_entry(name.as_bytes(), EntryKind::File, content) }, Totals::default())
}

fn folder(name: &str, part: Part) -> (Entry, Totals) {
    (
        Entry {
            mode: 0o755,
            ..plain_entry(name.as_bytes(), EntryKind::Dir, Content::Tree(part.id))
        },
        part.totals,
    )
}

/// A directory with what `make` puts into it.
fn directory(make: impl FnOnce(&mut Chunks) -> Vec<(Entry, Totals)>) -> Vec<u8> {
    let mut chunks = Chunks::default();
    let entries = make(&mut chunks);
    chunks.leaf(entries);
    chunks.finish()
}

/// Returns directories that every reader must take.
pub fn sound() -> Vec<(&'static str, Vec<u8>)> {
    let shared = directory(|chunks| {
        let (first, second, third) =
            (chunks.files(&["a", "b"]), chunks.files(&["m", "n"]), chunks.files(&["x"]));
        let left = chunks.inner(1, &[("a", first), ("m", second)]);
        let right = chunks.inner(1, &[("x", third)]);
        // One leaf before different neighbours, and nodes of two levels.
        let (two, short) = (
            chunks.inner(2, &[("a", left), ("x", right)]),
            chunks.inner(1, &[("a", first), ("x", third)]),
        );
        let empty = chunks.files(&[]);
        vec![
            folder("empty", empty),
            folder("left", left),
            folder("short", short),
            folder("two", two),
        ]
    });
    let one_child = directory(|chunks| {
        let leaf = chunks.files(&["a", "b"]);
        let (tree, data) = (chunks.inner(1, &[("a", leaf)]), chunks.data());
        let below = chunks.list(&ListNode::Leaf { refs: vec![Ref::Data { id: data, len: 100 }] });
        let list = chunks.list(&ListNode::Inner {
            level: 1,
            children: vec![ListChild { id: below, bytes: 100 }],
        });
        vec![file("list", Content::List(list), 100), folder("tree", tree)]
    });
    let pieces = directory(|chunks| {
        let piece = Ref::Data { id: chunks.data(), len: 100 };
        let refs = vec![piece, Ref::Hole { len: 5 }, piece];
        let leaf = chunks.list(&ListNode::Leaf { refs: refs.clone() });
        let list = chunks.list(&ListNode::Inner {
            level: 1,
            children: vec![ListChild { id: leaf, bytes: 205 }; 2],
        });
        vec![file("list", Content::List(list), 410), file("refs", Content::Refs(refs), 205)]
    });
    vec![
        ("directory_nodes_shared", shared),
        ("directory_tops_with_one_child", one_child),
        ("directory_pieces_and_holes", pieces),
    ]
}

/// Returns directories that every reader must refuse.
pub fn faults() -> Vec<Fault> {
    let directories = [trees(), lists()].concat();
    directories.into_iter().map(|(name, bytes)| (name, "directory", bytes)).collect()
}

fn trees() -> Vec<(&'static str, Vec<u8>)> {
    let two = |level, first: &'static [&'static str], second: &'static [&'static str]| {
        directory(|chunks| {
            let (first, second) = (chunks.files(first), chunks.files(second));
            let top = chunks.inner(level, &[("a", first), ("m", second)]);
            vec![folder("d", top)]
        })
    };
    let reaching = directory(|chunks| {
        let (first, second) = (chunks.files(&["a", "z"]), chunks.files(&["m"]));
        let (left, right) = (chunks.inner(1, &[("a", first)]), chunks.inner(1, &[("m", second)]));
        let top = chunks.inner(2, &[("a", left), ("m", right)]);
        vec![folder("d", top)]
    });
    vec![
        ("directory_first_name_differs", two(1, &["b"], &["m"])),
        ("directory_names_reach_next_node", two(1, &["a", "z"], &["m"])),
        ("directory_name_is_first_of_next_node", two(1, &["a", "m"], &["m"])),
        ("directory_names_reach_next_of_parent", reaching),
        ("directory_empty_leaf_below_a_node", two(1, &["a"], &[])),
        ("directory_level_differs", two(2, &["a"], &["m"])),
    ]
}

fn lists() -> Vec<(&'static str, Vec<u8>)> {
    let piece = |len| {
        directory(|chunks| {
            let id = chunks.data();
            vec![file("f", Content::Refs(vec![Ref::Data { id, len }]), u64::from(len))]
        })
    };
    // Two leaves of 105 bytes below a node.
    let list = |level, stated: [u64; 2], size| {
        directory(|chunks| {
            let id = chunks.data();
            let id = chunks.list(&ListNode::Leaf {
                refs: vec![Ref::Data { id, len: 100 }, Ref::Hole { len: 5 }],
            });
            let children = stated.iter().map(|bytes| ListChild { id, bytes: *bytes }).collect();
            let top = chunks.list(&ListNode::Inner { level, children });
            vec![file("f", Content::List(top), size)]
        })
    };
    vec![
        ("directory_piece_longer_than_its_chunk", piece(101)),
        ("directory_piece_shorter_than_its_chunk", piece(99)),
        ("directory_list_node_longer_than_stated", list(1, [105, 104], 209)),
        ("directory_list_node_shorter_than_stated", list(1, [105, 106], 211)),
        ("directory_list_longer_than_its_file", list(1, [105, 105], 209)),
        ("directory_list_shorter_than_its_file", list(1, [105, 105], 211)),
        ("directory_list_level_differs", list(2, [105, 105], 210)),
    ]
}

/// Makes a repository in memory with the keys of the vectors.
fn repository() -> TestRepo {
    let memory = Arc::new(MemoryStore::default());
    let [_, (_, slot)] = slots();
    memory
        .create(&layout::slot_key(&drumlin::crypto::slot::slot_id(&slot)), &slot.encode())
        .unwrap();
    let sealed = seal_single(
        super::keyring().records().seal(),
        ContainerKind::Config,
        &[7; 32],
        &config().encode(),
    );
    memory.create(&layout::config_key(1), &sealed.bytes).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let options = OpenOptions { cache_dir: scratch.path().join("cache"), prefer_cached: false };
    let secret = drumlin::crypto::slot::Secret::KeyFile(super::master().into());
    let repository = Repository::open(memory.clone(), &secret, &options).unwrap();
    let store = Arc::new(CountStore::new(memory.clone()));
    // With names and salts that are always the same, as errors name objects.
    TestRepo { scratch, repository: repository.in_simulation(store.clone(), 1), memory, store }
}

/// Returns why a restore refuses a directory, or a part of it.
pub fn judge_directory(bytes: &[u8]) -> Result<(), String> {
    let segment = Segment::parse(bytes.to_vec()).map_err(text)?;
    let repo = repository();
    let forger = Forger::new(&repo);
    let top = segment.chunks().map(|(kind, plaintext)| forger.put(kind, plaintext)).last().unwrap();
    let snapshot = forger.finish_with(top, Totals::default());
    let options = RestoreOptions {
        target: repo.scratch.path().join("target"),
        threads: 1,
        ..Default::default()
    };
    let monitor = Monitor::default();
    let report = restore::run(&repo.repository, &snapshot, &options, &monitor).unwrap();
    assert_eq!(report.failed, 0, "{:?}", monitor.problems());
    match monitor.problems().first() {
        Some(problem) => Err(format!("{}: {}", problem.path.escape_ascii(), problem.message)),
        None => Ok(()),
    }
}
