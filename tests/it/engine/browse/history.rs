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

/// One version of a path: how it came to be, and the snapshots that have it, by their places in
/// the list.
#[derive(Debug, PartialEq)]
struct Told {
    step: VersionStep,
    first: usize,
    last: usize,
    snapshots: u64,
}

/// Returns the versions of a path that only one series has.
fn told(history: &History) -> Vec<Told> {
    let [series] = &history.series[..] else { panic!("{} series", history.series.len()) };
    let versions = series.versions.iter();
    versions
        .map(|one| Told {
            step: one.step,
            first: one.first,
            last: one.last,
            snapshots: one.snapshots,
        })
        .collect()
}

/// Returns the steps of a path that only one series has.
fn steps(history: &History) -> Vec<VersionStep> {
    told(history).into_iter().map(|one| one.step).collect()
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
            Told { step: VersionStep::Appeared, first: 0, last: 24, snapshots: 25 },
            Told { step: VersionStep::Modified, first: 25, last: 49, snapshots: 25 },
            Told { step: VersionStep::Modified, first: 50, last: 59, snapshots: 10 },
            Told { step: VersionStep::Vanished, first: 60, last: 79, snapshots: 20 },
            Told { step: VersionStep::Appeared, first: 80, last: 99, snapshots: 20 },
        ]
    );
    let mut nodes = HashSet::new();
    for root in &roots {
        nodes_on_the_way(&trees, *root, &[b"srv", b"app", b"wanted"], &mut nodes);
    }
    assert_eq!(read, nodes.len() as u64);
    assert!(read < 100 * 6, "{read}");
}

/// `/srv` in seven snapshots, in which `/srv/x` is something else each time.
struct Changing {
    trees: Trees,
    snapshots: Vec<Snapshot>,
    /// The root of a tree without `/srv`.
    elsewhere: ChunkId,
    _repo: TestRepo,
}

/// Number of the snapshot in which `/srv/x` is a directory whose tree is lost.
const LOST: usize = 6;

impl Changing {
    fn new() -> Self {
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
        let roots = states.map(|state| forest.plant(&folder([("srv", dir(state))])).0);
        let elsewhere = forest.plant(&folder([("etc", dir(crowd([])))])).0;
        let trees = forest.finish();
        Self { trees, snapshots: snapshots(&repo, &roots), elsewhere, _repo: repo }
    }

    fn look(&self, path: &str) -> History {
        look(&self.trees, &self.snapshots, path)
    }
}

#[test]
fn each_change_of_a_path_is_a_version_and_says_what_changed() {
    let found = Changing::new().look("/srv/x");
    let expected = [
        VersionStep::Appeared,
        // Another mode.
        VersionStep::Metadata,
        // A link, then a directory.
        VersionStep::Type,
        VersionStep::Type,
        // What is in the directory changed, then was lost.
        VersionStep::Modified,
        VersionStep::Modified,
    ];
    assert_eq!(steps(&found), expected);
    assert_eq!(found.series[0].versions[1].fields.names(), ["mode"]);
}

#[test]
fn what_never_was_has_no_history() {
    assert!(Changing::new().look("/srv/none").series.is_empty());
}

/// The directory itself can be read, so that its snapshot is not left out; whether what is below it
/// changed cannot be known.
#[test]
fn a_folder_whose_content_is_lost_is_a_version_that_was_not_compared() {
    let found = Changing::new().look("/srv/x");
    assert_eq!(found.uncompared.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [LOST]);
    assert!(found.unread.is_empty());
}

#[test]
fn what_lies_below_a_lost_folder_has_no_version_there() {
    let found = Changing::new().look("/srv/x/in");
    let expected = [
        Told { step: VersionStep::Appeared, first: 4, last: 4, snapshots: 1 },
        Told { step: VersionStep::Modified, first: 5, last: 5, snapshots: 1 },
    ];
    assert_eq!(told(&found), expected);
    assert_eq!(found.unread.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [LOST]);
}

#[test]
fn only_a_snapshot_of_sources_that_hold_the_path_says_that_it_vanished() {
    let mut changing = Changing::new();
    let before = steps(&changing.look("/srv/x"));
    let other = Snapshot {
        root: changing.elsewhere,
        sources: vec![b"/etc".to_vec(), b"/srv/x-files".to_vec()],
        ..changing.snapshots[0].clone()
    };
    changing.snapshots.insert(3, other);
    assert_eq!(steps(&changing.look("/srv/x")), before);
    changing.snapshots[3].sources = vec![b"/".to_vec()];
    let expected = [VersionStep::Appeared, VersionStep::Metadata, VersionStep::Vanished];
    assert_eq!(steps(&changing.look("/srv/x"))[..3], expected);
}

#[test]
fn hosts_and_apps_are_told_apart_in_their_order() {
    let mut changing = Changing::new();
    changing.snapshots.truncate(3);
    changing.snapshots[1].host = "aaa".to_owned();
    changing.snapshots[2].app = "wiki".to_owned();
    let found = changing.look("/srv/x");
    let series: Vec<_> = found
        .series
        .iter()
        .map(|one| (one.host.as_str(), one.app.as_str(), one.versions.len()))
        .collect();
    assert_eq!(series, [("aaa", "", 1), ("host", "wiki", 1)]);
}
