//! Goal: a full check finds every tree that a restore refuses, names what is not whole, and nothing
//! else.
//!
//! Method: trees whose nodes are valid one by one, sealed with the real keys by hand; each has one
//! place where a node says of another what is not so. A restore must not refuse more than the check
//! names.

use std::collections::BTreeSet;

use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, Entry, EntryKind, Ref};
use drumlin::format::node::{ListChild, ListNode, Totals, TreeChild, TreeNode};
use drumlin::format::snapshot::Snapshot;
use drumlin::id::ChunkId;
use drumlin::maintain::check::Level;
use drumlin::monitor::{Monitor, ProblemKind};
use drumlin::restore::{self, RestoreOptions};

use crate::support::fixture::{TestRepo, noise, run_check};
use crate::support::forger::{Forger, entry, file};

/// A node with the sums of what is below it.
#[derive(Clone)]
struct Part {
    id: ChunkId,
    totals: Totals,
}

/// Makes a leaf of entries, and of folders with what they hold.
fn leaf(forger: &Forger, entries: Vec<(Entry, Totals)>) -> Part {
    let mut totals = Totals::default();
    let mut dir_totals = Vec::new();
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
    let id = forger.put(
        ChunkKind::Tree,
        &TreeNode::Leaf { strings: Vec::new(), entries, dir_totals }.encode(),
    );
    Part { id, totals }
}

fn files(forger: &Forger, names: &[&str]) -> Part {
    leaf(forger, names.iter().map(|name| (file(name.as_bytes()), Totals::default())).collect())
}

fn inner(forger: &Forger, level: u8, children: &[(&str, &Part)]) -> Part {
    let mut totals = Totals::default();
    children.iter().for_each(|(_, part)| totals.add(part.totals));
    let child = |(name, part): &(&str, &Part)| TreeChild {
        first_name: name.as_bytes().to_vec(),
        id: part.id,
        totals: part.totals,
    };
    let children = children.iter().map(child).collect();
    Part { id: forger.put(ChunkKind::Tree, &TreeNode::Inner { level, children }.encode()), totals }
}

fn folder(name: &str, part: &Part) -> (Entry, Totals) {
    (entry(name.as_bytes(), EntryKind::Dir, Content::Tree(part.id)), part.totals)
}

fn of_refs(name: &str, refs: Vec<Ref>) -> (Entry, Totals) {
    (entry(name.as_bytes(), EntryKind::File, Content::Refs(refs)), Totals::default())
}

fn of_list(name: &str, list: ChunkId, size: u64) -> (Entry, Totals) {
    (
        Entry { size, ..entry(name.as_bytes(), EntryKind::File, Content::List(list)) },
        Totals::default(),
    )
}

/// Makes the root's entries.
type Make = fn(&Forger) -> Vec<(Entry, Totals)>;

/// Returns the paths that a check names, and those that a restore could not give back.
fn judge(make: Make) -> (BTreeSet<String>, BTreeSet<String>) {
    let repo = TestRepo::new();
    let forger = Forger::new(&repo);
    let entries = make(&forger);
    let root = leaf(&forger, entries);
    let snapshot = forger.finish_with(root.id, root.totals);
    let report = run_check(&repo.open(), Level::Full);
    assert_eq!(report.is_sound(), report.affected.is_empty(), "{report:#?}");
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let named = report.affected.items.iter().map(|affected| text(&affected.path)).collect();
    (named, refused_by_restore(&repo, &snapshot))
}

fn refused_by_restore(repo: &TestRepo, snapshot: &Snapshot) -> BTreeSet<String> {
    let options = RestoreOptions {
        target: repo.scratch.path().join("target"),
        threads: 1,
        ..Default::default()
    };
    let monitor = Monitor::default();
    restore::run(&repo.repository, snapshot, &options, &monitor).unwrap();
    let damaged =
        monitor.problems().into_iter().filter(|problem| problem.kind == ProblemKind::Damaged);
    damaged.map(|problem| String::from_utf8_lossy(&problem.path).into_owned()).collect()
}

fn assert_named(what: &str, make: Make, expected: &[&str]) {
    let (named, refused) = judge(make);
    let expected: BTreeSet<String> = expected.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(named, expected, "{what}: named by the check");
    assert!(
        refused.len() <= expected.len(),
        "{what}: the restore refused {refused:?}, and the check names less"
    );
}

#[test]
fn what_is_right_is_found_right() {
    assert_named(
        "all right",
        |forger| {
            let data = forger.put(ChunkKind::Data, &noise(1, 5_000));
            let (first, second) = (files(forger, &["a", "b"]), files(forger, &["m", "n"]));
            let third = files(forger, &["x"]);
            let tree = inner(forger, 1, &[("a", &first), ("m", &second)]);
            // The same leaf under two nodes, and before another neighbour.
            let other = inner(forger, 1, &[("a", &first), ("x", &third)]);
            vec![
                of_refs(
                    "file",
                    vec![
                        Ref::Data { id: data, len: 5_000 },
                        Ref::Hole { len: 3 },
                        Ref::Data { id: data, len: 5_000 },
                    ],
                ),
                folder("other", &other),
                folder("tree", &tree),
            ]
        },
        &[],
    );
}

#[test]
fn lengths_are_compared_with_what_is_stored() {
    assert_named(
        "a piece",
        |forger| {
            let data = forger.put(ChunkKind::Data, &noise(1, 5_000));
            let piece = |len| vec![Ref::Data { id: data, len }];
            vec![
                of_refs("good", piece(5_000)),
                of_refs("long", piece(5_001)),
                of_refs("short", piece(4_999)),
            ]
        },
        &["/long", "/short"],
    );
    assert_named(
        "a list",
        |forger| {
            let data = forger.put(ChunkKind::Data, &noise(1, 5_000));
            let node = ListNode::Leaf { refs: vec![Ref::Data { id: data, len: 5_000 }; 20] };
            let list = forger.put(ChunkKind::List, &node.encode());
            vec![
                of_list("good", list, 100_000),
                of_list("long", list, 100_001),
                of_list("short", list, 99_999),
            ]
        },
        &["/long", "/short"],
    );
    assert_named(
        "a node of a list",
        |forger| {
            let data = forger.put(ChunkKind::Data, &noise(1, 5_000));
            let node = ListNode::Leaf { refs: vec![Ref::Data { id: data, len: 5_000 }; 20] };
            let id = forger.put(ChunkKind::List, &node.encode());
            let above = |bytes: u64| {
                let children = vec![ListChild { id, bytes }, ListChild { id, bytes: 100_000 }];
                forger.put(ChunkKind::List, &ListNode::Inner { level: 1, children }.encode())
            };
            vec![of_list("good", above(100_000), 200_000), of_list("wrong", above(99_000), 199_000)]
        },
        &["/wrong"],
    );
}

#[test]
fn a_node_is_what_each_node_above_says() {
    assert_named(
        "another first name",
        |forger| {
            let (first, second) = (files(forger, &["b"]), files(forger, &["m"]));
            vec![
                folder("bad", &inner(forger, 1, &[("a", &first), ("m", &second)])),
                (file(b"good"), Totals::default()),
            ]
        },
        &["/bad"],
    );
    assert_named(
        "an empty leaf",
        |forger| {
            let (first, empty) = (files(forger, &["a"]), files(forger, &[]));
            vec![
                folder("bad", &inner(forger, 1, &[("a", &first), ("b", &empty)])),
                (file(b"good"), Totals::default()),
            ]
        },
        &["/bad"],
    );
    assert_named(
        "another level",
        |forger| {
            let (first, second) = (files(forger, &["a"]), files(forger, &["m"]));
            vec![
                folder("bad", &inner(forger, 2, &[("a", &first), ("m", &second)])),
                (file(b"good"), Totals::default()),
            ]
        },
        &["/bad"],
    );
    assert_named(
        "names beyond the next node",
        |forger| {
            let (first, second) = (files(forger, &["a", "z"]), files(forger, &["m"]));
            vec![
                folder("bad", &inner(forger, 1, &[("a", &first), ("m", &second)])),
                (file(b"good"), Totals::default()),
            ]
        },
        &["/bad"],
    );
    // In whatever order the two are met, the one that is right is not named.
    for is_first in [true, false] {
        let make: Make = if is_first {
            |forger| {
                let (first, second) = (files(forger, &["b"]), files(forger, &["m"]));
                let bad = inner(forger, 1, &[("a", &first), ("m", &second)]);
                vec![
                    folder("bad", &bad),
                    folder("good", &inner(forger, 1, &[("b", &first), ("m", &second)])),
                ]
            }
        } else {
            |forger| {
                let (first, second) = (files(forger, &["b"]), files(forger, &["m"]));
                let bad = inner(forger, 1, &[("a", &first), ("m", &second)]);
                vec![
                    folder("also good", &inner(forger, 1, &[("b", &first), ("m", &second)])),
                    folder("bad", &bad),
                ]
            }
        };
        assert_named("shared with one that is right", make, &["/bad"]);
    }
}

#[test]
fn impossible_links_and_sources_are_refused() {
    let empty = entry(b"link", EntryKind::Symlink, Content::Inline(Vec::new()));
    let node = TreeNode::Leaf { strings: Vec::new(), entries: vec![empty], dir_totals: Vec::new() };
    TreeNode::decode(&node.encode()).unwrap_err();
    let repo = TestRepo::new();
    repo.write("file", b"content");
    let good = repo.snapshot();
    for sources in [vec!["/b", "/a"], vec!["/a", "/a"], vec!["a"], vec!["", "/a"]] {
        let sources = sources.iter().map(|source| source.as_bytes().to_vec()).collect();
        Snapshot::decode(&Snapshot { sources, ..good.clone() }.encode()).unwrap_err();
    }
    Snapshot::decode(&good.encode()).unwrap();
}
