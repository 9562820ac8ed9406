//! Changes between two trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use drumlin::browse::{self, Change, ChangeKind, Diff, ResolvedPath, TreeWalk, WindowLimits};
use drumlin::format::entry::{Content, Entry, EntryKind};
use drumlin::format::node::TreeChild;
use drumlin::format::snapshot::Snapshot;
use drumlin::monitor::Monitor;
use drumlin::repo::Trees;
use proptest::prelude::*;

use super::{Folder, Forest, Thing, folder, root_of};
use crate::support::fixture::{TestRepo, noise, write};

fn diff_with(
    trees: &Trees,
    left: &ResolvedPath,
    right: &ResolvedPath,
    limits: WindowLimits,
) -> Vec<Change> {
    let monitor = Monitor::default();
    Diff::new(trees, [left, right], limits, &monitor)
        .map(|change| change.map_err(|(_, error)| error).unwrap())
        .collect()
}

fn diff(trees: &Trees, left: &ResolvedPath, right: &ResolvedPath) -> Vec<Change> {
    diff_with(trees, left, right, WindowLimits::default())
}

/// Returns changes as `drumlin diff` would show them, with paths behind a prefix.
fn lines(changes: &[Change], prefix: &str) -> Vec<String> {
    let short = |path: &[u8]| {
        String::from_utf8_lossy(path).strip_prefix(prefix).unwrap().replace('\n', "\\n")
    };
    let line = |change: &Change| {
        let path = short(&change.path);
        match &change.kind {
            ChangeKind::Added => format!("+ {path}"),
            ChangeKind::Removed => format!("- {path}"),
            ChangeKind::Modified => format!("M {path}"),
            ChangeKind::Metadata => format!("U {path} {}", change.fields.names().join(" ")),
            ChangeKind::Type => format!("T {path}"),
            ChangeKind::Renamed { from } => format!("R {} {path}", short(from)),
        }
    };
    changes.iter().map(line).collect()
}

/// Forgets what two entries may differ in without a change being told.
fn plain(entry: &Entry) -> Entry {
    let mut entry = Entry { name: Vec::new(), ctime: entry.mtime, ..entry.clone() };
    if let Content::Tree(_) = entry.content {
        entry.content = Content::None;
    }
    entry
}

type Listed = BTreeMap<Vec<u8>, Entry>;

fn listing(trees: &Trees, place: &ResolvedPath) -> Listed {
    let walk = TreeWalk::new(trees, &place.tree.unwrap(), &place.path, true);
    walk.map(|(path, found)| (path, plain(&found.unwrap().entry))).collect()
}

/// Does to a listing what the changes say; every one of them must fit it.
fn apply(mut listed: Listed, changes: &[Change]) -> Listed {
    let mut moved = Vec::new();
    for change in changes {
        if let ChangeKind::Renamed { from } = &change.kind {
            let inside = [from, &b"/"[..]].concat();
            let paths: Vec<Vec<u8>> = listed
                .keys()
                .filter(|path| *path == from || path.starts_with(&inside))
                .cloned()
                .collect();
            assert!(!paths.is_empty(), "nothing was there");
            for path in paths {
                let entry = listed.remove(&path).unwrap();
                moved.push(([&change.path, &path[from.len()..]].concat(), entry));
            }
        }
    }
    for change in changes.iter().filter(|change| change.kind == ChangeKind::Removed) {
        assert!(listed.remove(&change.path).is_some(), "removed, but not there");
    }
    for (path, entry) in moved {
        assert!(listed.insert(path, entry).is_none(), "moved to where something is");
    }
    for change in changes.iter().filter(|change| change.kind != ChangeKind::Removed) {
        let before =
            listed.insert(change.path.clone(), plain(&change.after.as_ref().unwrap().entry));
        match change.kind {
            ChangeKind::Added => assert!(before.is_none(), "added, but there"),
            ChangeKind::Renamed { .. } => assert!(before.is_some()),
            _ => assert_eq!(before, change.before.as_ref().map(|found| plain(&found.entry))),
        }
    }
    listed
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u8..40).prop_map(|number| format!("n{number:02}").into_bytes()),
        1 => prop::sample::select(vec![b"\xff\xfe".to_vec(), b"line\nbreak".to_vec(), b"-rf *".to_vec(), b"n1".to_vec()]),
    ]
}

fn thing() -> impl Strategy<Value = Thing> {
    let file = (0u8..30, 0u16..3, 0i64..4)
        .prop_map(|(content, mode, mtime)| Thing::File(content, 0o600 + mode, mtime));
    let leaf = prop_oneof![6 => file, 1 => (0u8..5, 0i64..3).prop_map(|(target, mtime)| Thing::Link(target, mtime))];
    leaf.prop_recursive(3, 60, 12, |inner| {
        (0u16..2, prop::collection::btree_map(name(), inner, 0..12))
            .prop_map(|(mode, folder)| Thing::Dir(0o700 + mode, folder))
    })
}

fn top() -> impl Strategy<Value = Folder> {
    prop::collection::btree_map(name(), thing(), 0..40)
}

/// Something that is done to a tree: where, by a number, and what.
type Edit = (u16, Option<Thing>, Vec<u8>, u8);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((any::<u16>(), prop::option::of(thing()), name(), 0u8..4), 0..8)
}

/// Puts, removes or moves something somewhere in a tree.
fn edit(top: &mut Folder, (pick, thing, name, what): Edit) {
    let mut at = top;
    let mut pick = usize::from(pick);
    loop {
        let below: Vec<Vec<u8>> = at
            .iter()
            .filter(|(_, thing)| matches!(thing, Thing::Dir(..)))
            .map(|(name, _)| name.clone())
            .collect();
        let choice = pick % (below.len() + 1);
        pick /= below.len() + 1;
        if choice == below.len() {
            break;
        }
        let Some(Thing::Dir(_, inner)) = at.get_mut(&below[choice]) else { unreachable!() };
        at = inner;
    }
    let victim = at.keys().nth(pick % at.len().max(1)).cloned();
    match (what, thing, victim) {
        (0, Some(thing), _) => {
            at.insert(name, thing);
        }
        (1, _, Some(victim)) => {
            at.remove(&victim);
        }
        (2, _, Some(victim)) => {
            let thing = at.remove(&victim).unwrap();
            at.insert(name, thing);
        }
        (3, Some(thing), Some(victim)) => {
            let old = at.insert(victim, thing).unwrap();
            at.insert(name, Thing::Dir(0o755, folder([("moved", old)])));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_leads_from_one_tree_to_the_other(before in top(), edits in edits(), other in top()) {
        let repo = TestRepo::new();
        let forest = Forest::new(&repo);
        let mut after = before.clone();
        edits.into_iter().for_each(|one| edit(&mut after, one));
        let places = [&before, &after, &other].map(|folder| root_of(forest.plant(folder)));
        let trees = forest.finish();
        for (left, right) in [(0, 1), (1, 2), (2, 0)] {
            let (left, right) = (&places[left], &places[right]);
            for paths in [usize::MAX, 6, 1] {
                let limits = WindowLimits { paths, bytes: 64 << 20 };
                let changes = diff_with(&trees, left, right, limits);
                let told: BTreeSet<_> = changes.iter().map(|change| (&change.path, change.kind == ChangeKind::Removed)).collect();
                prop_assert_eq!(told.len(), changes.len(), "a path was told twice");
                prop_assert_eq!(apply(listing(&trees, left), &changes), listing(&trees, right));
            }
        }
        prop_assert!(diff(&trees, &places[0], &places[0]).is_empty());
    }
}

fn source_of(repo: &TestRepo, trees: &Trees, snapshot: &Snapshot) -> ResolvedPath {
    browse::find(trees, snapshot, &repo.stored_path("")).unwrap()
}

/// Takes a snapshot, changes the source, takes another, and returns what changed.
fn changes_of(repo: &TestRepo, act: impl FnOnce(&Path)) -> Vec<String> {
    let before = repo.snapshot();
    act(&repo.source());
    let after = repo.snapshot();
    let trees = repo.trees();
    let (left, right) = (source_of(repo, &trees, &before), source_of(repo, &trees, &after));
    let mut changes = diff(&trees, &left, &right);
    // The folder that was backed up is no part of its own listing.
    changes.retain(|change| change.path != right.path);
    let paths = |listed: Listed| -> Vec<Vec<u8>> { listed.into_keys().collect() };
    assert_eq!(paths(apply(listing(&trees, &left), &changes)), paths(listing(&trees, &right)));
    let is_dir = |change: &Change| {
        change.after.as_ref().is_some_and(|found| found.entry.kind == EntryKind::Dir)
    };
    let is_time = |change: &Change| change.fields.names() == ["mtime"] && is_dir(change);
    let told: Vec<Change> = changes.into_iter().filter(|change| !is_time(change)).collect();
    lines(&told, &String::from_utf8(right.path).unwrap())
}

#[test]
fn few_changes_in_many_files_cost_few_reads() {
    let repo = TestRepo::new();
    for index in 0..6000 {
        repo.write(&format!("huge/file-{index:05}"), format!("content {index}").as_bytes());
    }
    for index in 0..100 {
        repo.write(&format!("dir-{index:03}/sub/one"), &noise(index, 40));
    }
    let before = repo.snapshot();
    for index in [7, 2000, 4321] {
        repo.write(&format!("huge/file-{index:05}"), b"changed");
    }
    fs::remove_file(repo.source().join("huge/file-03000")).unwrap();
    repo.write("huge/file-03000-and-a-half", b"new");
    for index in [3, 50] {
        repo.write(&format!("dir-{index:03}/sub/one"), b"changed");
    }
    fs::remove_dir_all(repo.source().join("dir-020/sub")).unwrap();
    fs::rename(repo.source().join("dir-030"), repo.source().join("other")).unwrap();
    fs::set_permissions(repo.source().join("dir-040/sub/one"), fs::Permissions::from_mode(0o604))
        .unwrap();
    let after = repo.snapshot();
    let trees = repo.trees();
    let (left, right) = (source_of(&repo, &trees, &before), source_of(&repo, &trees, &after));
    let already = trees.nodes_read();
    let changes = diff(&trees, &left, &right);
    let read = trees.nodes_read() - already;
    let whole = repo.trees();
    assert_eq!(listing(&whole, &left).len() + listing(&whole, &right).len(), 6301 + 6299);
    assert!(
        read <= 60 && whole.nodes_read() >= 200,
        "{read} nodes were read, {} there are",
        whole.nodes_read()
    );
    let told: Vec<Change> =
        changes.into_iter().filter(|change| change.fields.names() != ["mtime"]).collect();
    let prefix = String::from_utf8(right.path).unwrap();
    let expected = [
        "M /dir-003/sub/one",
        "- /dir-020/sub",
        "- /dir-020/sub/one",
        "U /dir-040/sub/one mode",
        "M /dir-050/sub/one",
        "M /huge/file-00007",
        "M /huge/file-02000",
        "- /huge/file-03000",
        "+ /huge/file-03000-and-a-half",
        "M /huge/file-04321",
        "R /dir-030 /other",
    ];
    assert_eq!(lines(&told, &prefix), expected);
}

#[test]
fn everything_that_can_happen_to_a_path() {
    let repo = TestRepo::new();
    let source = repo.source();
    let odd = |bytes: &[u8]| source.join(std::ffi::OsStr::from_bytes(bytes));
    let deep = (0..60).fold(source.join("deep"), |path, level| path.join(format!("level-{level}")));
    write(&deep.join("bottom"), b"bottom");
    write(&odd(b"caf\xe9"), b"not UTF-8");
    write(&odd(b"two\nlines"), b"a line's end");
    for name in ["becomes-dir", "becomes-link", "moves", "same", "touched", "hard"] {
        write(&source.join(name), &noise(name.len() as u64, 3000 + name.len()));
    }
    for name in ["folder/one", "folder/two", "becomes-file/in it", "kept/inner/file"] {
        write(&source.join(name), &noise(name.len() as u64, 2000 + name.len()));
    }
    fs::hard_link(source.join("hard"), source.join("hard2")).unwrap();
    std::os::unix::fs::symlink("same", source.join("link")).unwrap();
    std::os::unix::fs::symlink("a/long/target", source.join("link-that-moves")).unwrap();
    let told = changes_of(&repo, |source| {
        write(&deep.join("bottom"), b"rock bottom");
        write(&odd(b"two\nlines"), b"changed");
        fs::remove_file(odd(b"caf\xe9")).unwrap();
        fs::remove_file(source.join("becomes-dir")).unwrap();
        write(&source.join("becomes-dir/new"), &noise(77, 5000));
        fs::remove_file(source.join("becomes-link")).unwrap();
        std::os::unix::fs::symlink("same", source.join("becomes-link")).unwrap();
        fs::remove_dir_all(source.join("becomes-file")).unwrap();
        write(&source.join("becomes-file"), b"file");
        fs::rename(source.join("moves"), source.join("kept/moved")).unwrap();
        fs::rename(source.join("folder"), source.join("renamed")).unwrap();
        fs::rename(source.join("link-that-moves"), source.join("moved-link")).unwrap();
        fs::remove_file(source.join("hard2")).unwrap();
        fs::remove_file(source.join("link")).unwrap();
        std::os::unix::fs::symlink("touched", source.join("link")).unwrap();
        fs::File::options()
            .write(true)
            .open(source.join("touched"))
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        write(&source.join("empty"), b"");
    });
    let bottom = (0..60)
        .fold(String::from("M /deep"), |path, level| format!("{path}/level-{level}"))
        + "/bottom";
    let expected = [
        "T /becomes-dir",
        "+ /becomes-dir/new",
        "T /becomes-file",
        "- /becomes-file/in it",
        "T /becomes-link",
        "- /caf\u{fffd}",
        &bottom,
        "+ /empty",
        "U /hard links",
        "- /hard2",
        "R /moves /kept/moved",
        "M /link",
        "R /link-that-moves /moved-link",
        "R /folder /renamed",
        "U /touched mtime",
        "M /two\\nlines",
    ];
    assert_eq!(told, expected);
    assert_eq!(changes_of(&repo, |_| ()), [""; 0], "nothing happened");
}

#[test]
fn a_folder_that_moved_below_a_new_one_is_one_change() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let file = |content: u8| Thing::File(content, 0o644, 1);
    let album = Thing::Dir(
        0o755,
        folder([
            ("p1", file(1)),
            ("p2", file(2)),
            ("in", Thing::Dir(0o755, folder([("p3", file(3))]))),
        ]),
    );
    let before = folder([
        ("a", Thing::Dir(0o755, folder([("album", album.clone()), ("x", file(8))]))),
        ("b", file(9)),
    ]);
    let after = folder([
        ("a", Thing::Dir(0o755, folder([("x", file(8))]))),
        (
            "new",
            Thing::Dir(
                0o755,
                folder([("sub", Thing::Dir(0o755, folder([("album", album)]))), ("c", file(9))]),
            ),
        ),
    ]);
    let (left, right) = (root_of(forest.plant(&before)), root_of(forest.plant(&after)));
    let trees = forest.finish();
    let told = lines(&diff(&trees, &left, &right), "");
    assert_eq!(told, ["+ /new", "R /b /new/c", "+ /new/sub", "R /a/album /new/sub/album"]);
}

#[test]
fn damage_on_one_side_hides_one_folder_and_nothing_else() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let file = |content: u8| Thing::File(content, 0o644, 1);
    let sound = Thing::Dir(0o755, folder([("x", file(1))]));
    let before = folder([("a", file(1)), ("d", sound), ("z", file(1))]);
    let after =
        folder([("a", file(2)), ("d", Thing::LostDir), ("gone", Thing::LostDir), ("z", file(2))]);
    let (left, right) = (root_of(forest.plant(&before)), root_of(forest.plant(&after)));
    let trees = forest.finish();
    let monitor = Monitor::default();
    for paths in [usize::MAX, 1] {
        let limits = WindowLimits { paths, bytes: 64 << 20 };
        let steps: Vec<_> = Diff::new(&trees, [&left, &right], limits, &monitor).collect();
        let good: Vec<Change> =
            steps.iter().filter_map(|step| step.as_ref().ok().cloned()).collect();
        let (bad, errors): (Vec<_>, Vec<_>) = steps.into_iter().filter_map(Result::err).unzip();
        assert!(
            lines(&good, "")
                .iter()
                .all(|line| ["M /a", "U /d mode", "+ /gone", "M /z"].contains(&line.as_str()))
        );
        assert_eq!(good.len(), 4);
        assert_eq!(bad, [b"/d".to_vec(), b"/gone".to_vec()]);
        assert!(errors.iter().all(drumlin::repo::Error::is_damage), "{errors:?}");
    }
}

#[test]
fn a_comparison_can_be_stopped() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let empty = root_of(forest.plant(&Folder::new()));
    let full = root_of(forest.plant(&folder([("a", Thing::File(1, 0o644, 1))])));
    let trees = forest.finish();
    let monitor = Monitor::default();
    monitor.cancel();
    let steps: Vec<_> =
        Diff::new(&trees, [&empty, &full], WindowLimits::default(), &monitor).collect();
    assert!(matches!(steps[..], [Err((_, drumlin::repo::Error::Cancelled))]));
}

#[test]
fn forged_nodes_end_their_folder_and_are_told() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let leaf = |names: &[&str], content: u8| {
        let entries =
            names.iter().map(|name| forest.entry(name.as_bytes(), &Thing::File(content, 0o644, 1)));
        forest.leaf(entries.collect())
    };
    let sound = forest.inner(1, vec![leaf(&["a", "b"], 1), leaf(&["c"], 1)]);
    let other_name = TreeChild { first_name: b"bb".to_vec(), ..leaf(&["c"], 2) };
    let later = TreeChild { first_name: b"b".to_vec(), ..leaf(&["b"], 2) };
    let forged = [
        forest.inner(1, vec![leaf(&["a", "b"], 2), other_name]),
        forest.inner(1, vec![leaf(&["a", "x"], 2), later]),
        forest.inner(2, vec![leaf(&["a", "b"], 2), leaf(&["c"], 2)]),
        forest.inner(
            1,
            vec![forest.inner(1, vec![leaf(&["a"], 2), leaf(&["b"], 2)]), leaf(&["c"], 2)],
        ),
    ];
    let sound = root_of((sound.id, sound.totals));
    let forged = forged.map(|node| root_of((node.id, node.totals)));
    let trees = forest.finish();
    let monitor = Monitor::default();
    for (number, place) in forged.iter().enumerate() {
        for places in [[&sound, place], [place, &sound]] {
            let steps: Vec<_> =
                Diff::new(&trees, places, WindowLimits::default(), &monitor).collect();
            let errors: Vec<_> = steps.iter().filter_map(|step| step.as_ref().err()).collect();
            assert!(
                matches!(errors[..], [(path, drumlin::repo::Error::Malformed { .. })] if path == b"/"),
                "{number}: {errors:?}"
            );
        }
    }
}
