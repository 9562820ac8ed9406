//! Every version of a path over many snapshots.

use std::collections::HashSet;

use drumlin::browse::{History, VersionStep, history};
use drumlin::format::node::TreeNode;
use drumlin::format::snapshot::Snapshot;
use drumlin::id::ChunkId;
use drumlin::monitor::Monitor;
use drumlin::repo::Trees;

use super::{Folder, Forest, Thing, folder};
use crate::support::fixture::TestRepo;

fn file(content: u8) -> Thing {
    Thing::File(content, 0o644, 1)
}

fn dir(folder: Folder) -> Thing {
    Thing::Dir(0o755, folder)
}

/// Returns a folder of 40 files that stay as they are, and these.
fn crowd<const N: usize>(things: [(&str, Thing); N]) -> Folder {
    let mut all: Folder =
        (0..40).map(|number| (format!("other-{number:02}").into_bytes(), file(number))).collect();
    all.extend(folder(things));
    all
}

/// Returns snapshots with these trees, which only exist in memory.
fn snapshots(repo: &TestRepo, roots: &[ChunkId]) -> Vec<Snapshot> {
    let model = Snapshot { sources: vec![b"/srv".to_vec()], ..repo.snapshot() };
    roots.iter().map(|root| Snapshot { root: *root, ..model.clone() }).collect()
}

fn look(trees: &Trees, snapshots: &[Snapshot], path: &str) -> History {
    history(trees, snapshots, path.as_bytes(), &Monitor::default()).unwrap()
}

/// Returns steps with the first and the last snapshot and their number.
fn told(history: &History) -> Vec<(VersionStep, usize, usize, u64)> {
    let [series] = &history.series[..] else { panic!("{} series", history.series.len()) };
    series.versions.iter().map(|one| (one.step, one.first, one.last, one.snapshots)).collect()
}

/// Adds the nodes on the way to a path; returns the tree of a directory that is found.
fn nodes_on_the_way(trees: &Trees, root: ChunkId, path: &[&[u8]], nodes: &mut HashSet<ChunkId>) {
    let Some((name, rest)) = path.split_first() else { return };
    let mut id = root;
    loop {
        nodes.insert(id);
        match trees.node(&id).unwrap() {
            TreeNode::Inner { children, .. } => {
                let at = children.partition_point(|child| child.first_name.as_slice() <= *name);
                let Some(at) = at.checked_sub(1) else { return };
                id = children[at].id;
            }
            TreeNode::Leaf { entries, .. } => {
                let found = entries.iter().find(|entry| entry.name == *name);
                if let Some(drumlin::format::entry::Content::Tree(tree)) =
                    found.map(|entry| &entry.content)
                {
                    nodes_on_the_way(trees, *tree, rest, nodes);
                }
                return;
            }
        }
    }
}

#[test]
fn a_hundred_snapshots_cost_each_node_on_the_way_once() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let roots: Vec<ChunkId> = (0..100u8)
        .map(|number| {
            // What is looked for changes every 25 snapshots and is away from 60 to 79; what is
            // beside it changes every second one.
            let inner = if (60..80).contains(&number) {
                crowd([])
            } else {
                crowd([("wanted", file(200 + number / 25))])
            };
            let app = crowd([("app", dir(inner)), ("log", file(number / 2))]);
            forest.plant(&crowd([("srv", dir(app)), ("var", file(number / 4))])).0
        })
        .collect();
    let trees = forest.finish();
    let snapshots = snapshots(&repo, &roots);
    let before = trees.nodes_read();
    let found = look(&trees, &snapshots, "/srv/app/wanted");
    let read = trees.nodes_read() - before;
    assert_eq!(
        told(&found),
        [
            (VersionStep::Appeared, 0, 24, 25),
            (VersionStep::Modified, 25, 49, 25),
            (VersionStep::Modified, 50, 59, 10),
            (VersionStep::Vanished, 60, 79, 20),
            (VersionStep::Appeared, 80, 99, 20),
        ]
    );
    let mut nodes = HashSet::new();
    for root in &roots {
        nodes_on_the_way(&trees, *root, &[b"srv", b"app", b"wanted"], &mut nodes);
    }
    assert_eq!(read, nodes.len() as u64);
    assert!(read < 100 * 6, "{read}");
}

#[test]
fn metadata_kinds_folders_and_silence() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let states = [
        crowd([]),
        crowd([("x", file(1))]),
        crowd([("x", Thing::File(1, 0o600, 1))]),
        crowd([("x", Thing::Link(1, 1))]),
        crowd([("x", dir(crowd([("in", file(1))])))]),
        crowd([("x", dir(crowd([("in", file(2))])))]),
        crowd([("x", Thing::LostDir)]),
    ];
    let roots: Vec<ChunkId> =
        states.iter().map(|state| forest.plant(&folder([("srv", dir(state.clone()))])).0).collect();
    let elsewhere = forest.plant(&folder([("etc", dir(crowd([])))])).0;
    let trees = forest.finish();
    let mut list = snapshots(&repo, &roots);
    let found = look(&trees, &list, "/srv/x");
    let steps: Vec<VersionStep> = told(&found).into_iter().map(|one| one.0).collect();
    let expected = [
        VersionStep::Appeared,
        VersionStep::Metadata,
        VersionStep::Type,
        VersionStep::Type,
        VersionStep::Modified,
        VersionStep::Modified,
    ];
    assert_eq!(steps, expected);
    assert_eq!(found.series[0].versions[1].fields.names(), ["mode"]);
    // What cannot be read below it may be another, and is told; the snapshot is not left out.
    assert_eq!(found.uncompared.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [6]);
    assert!(found.unread.is_empty());
    // What cannot be read on the way says nothing, and is told.
    let below = look(&trees, &list, "/srv/x/in");
    assert_eq!(told(&below), [(VersionStep::Appeared, 4, 4, 1), (VersionStep::Modified, 5, 5, 1)]);
    assert_eq!(below.unread.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [6]);
    // A snapshot of other sources says nothing about the path.
    let other = Snapshot {
        root: elsewhere,
        sources: vec![b"/etc".to_vec(), b"/srv/x-files".to_vec()],
        ..list[0].clone()
    };
    list.insert(3, other);
    assert_eq!(look(&trees, &list, "/srv/x").series[0].versions.len(), 6);
    list[3].sources = vec![b"/".to_vec()];
    assert_eq!(look(&trees, &list, "/srv/x").series[0].versions[2].step, VersionStep::Vanished);
    assert!(look(&trees, &list, "/srv/none").series.is_empty());
    // Hosts and apps are told apart, in their order.
    list.truncate(3);
    list[1].host = "aaa".to_owned();
    list[2].app = "wiki".to_owned();
    let found = look(&trees, &list, "/srv/x");
    let series: Vec<_> = found
        .series
        .iter()
        .map(|one| (one.host.as_str(), one.app.as_str(), one.versions.len()))
        .collect();
    assert_eq!(series, [("aaa", "", 1), ("host", "wiki", 1)]);
}
