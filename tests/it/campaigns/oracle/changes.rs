//! `diff`: what changed between two snapshots, or between folders in them.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::Value;

use super::disk::{Node, Tree, order};
use super::history::{History, Shot, path_in, snap_path};
use super::listing::any_folder;

/// What happened to a path, and in what both sides differ.
type Change = (&'static str, Vec<String>);

/// Returns whether it may be that two files with the same bytes are stored in two ways, because
/// their holes differ.
pub fn is_unsure(left: &Node, right: &Node) -> bool {
    left.is_file() && right.is_file() && left.bytes == right.bytes && left.holes != right.holes
}

/// Compares two snapshots.
pub fn check(history: &mut History) {
    let (left, right) = (history.any_shot(), history.dice.below(history.shots.len()));
    let mut path = any_folder(history, left);
    if !history.shots[right].tree.get(&path).is_some_and(Node::is_dir) {
        path = Vec::new();
    }
    let [a, b] = [left, right].map(|at| snap_path(&history.shots[at].id, &path));
    let told = history.json(&[OsString::from("diff"), a, b]);
    let [left, right] = [&history.shots[left], &history.shots[right]];
    let is_inside = |name: &Vec<u8>| {
        name.strip_prefix(path.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let is_way = |name: &Vec<u8>| left.ways.contains_key(name) || right.ways.contains_key(name);
    let mut names: Vec<&Vec<u8>> = left
        .tree
        .keys()
        .chain(right.tree.keys())
        .filter(|name| is_inside(name) && !is_way(name))
        .collect();
    names.sort();
    names.dedup();
    if names.iter().any(|name| {
        left.tree.get(*name).zip(right.tree.get(*name)).is_some_and(|(a, b)| is_unsure(a, b))
    }) {
        return;
    }
    let wanted: BTreeMap<Vec<u8>, Change> = names
        .into_iter()
        .filter_map(|name| Some((name.clone(), change(left, right, name)?)))
        .collect();
    let changes = told["changes"].as_array().unwrap();
    let mut found = told_changes(changes, [left, right]);
    found.retain(|name, _| !is_way(name));
    let odd: Vec<_> = wanted
        .keys()
        .chain(found.keys())
        .filter(|name| wanted.get(*name) != found.get(*name))
        .collect();
    let lines = odd.iter().map(|name| {
        format!("{}: {:?}, not {:?}", name.escape_ascii(), wanted.get(*name), found.get(*name))
    });
    assert!(odd.is_empty(), "what changed is {:#?}\nin {told:#}", lines.collect::<Vec<_>>());
    let order: Vec<Vec<u8>> =
        changes.iter().map(|change| order(&path_in(change, "path"))).collect();
    assert!(order.is_sorted(), "not in the order of paths: {told:#}");
    check_summary(&told);
}

/// Returns what happened to a path, if anything did.
fn change(left: &Shot, right: &Shot, name: &[u8]) -> Option<Change> {
    match (left.tree.get(name), right.tree.get(name)) {
        (None, None) => None,
        (Some(_), None) => Some(("removed", Vec::new())),
        (None, Some(_)) => Some(("added", Vec::new())),
        (Some(a), Some(b)) => {
            let fields: Vec<String> = a.differs(b).into_iter().map(str::to_owned).collect();
            let has = |name: &str| fields.iter().any(|field| field == name);
            let what = if has("kind") {
                "type"
            } else if has("content") {
                "modified"
            } else {
                "metadata"
            };
            (!fields.is_empty()).then_some((what, fields))
        }
    }
}

/// Returns what is told of each path; what was moved was removed in one place and added in another,
/// with the same content.
fn told_changes(changes: &[Value], shots: [&Shot; 2]) -> BTreeMap<Vec<u8>, Change> {
    // A folder on the way to a source may have the same in it as one that is in a source, and be
    // told as moved.
    let [left, right] = shots
        .map(|shot| -> Tree { shot.tree.clone().into_iter().chain(shot.ways.clone()).collect() });
    let mut found = BTreeMap::new();
    let mut tell = |name: Vec<u8>, change: Change| {
        let before = found.insert(name.clone(), change);
        assert!(before.is_none(), "{} is told twice", name.escape_ascii());
    };
    for one in changes {
        let path = path_in(one, "path");
        let fields: Vec<String> = one["differs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field.as_str().unwrap().to_owned())
            .collect();
        let what = one["change"].as_str().unwrap();
        let Some(what) = ["added", "removed", "modified", "metadata", "type"]
            .into_iter()
            .find(|name| *name == what)
        else {
            let from = path_in(one, "from");
            assert_eq!(what, "renamed");
            check_moved((&left, &from), (&right, &path));
            with_all(&left, &from).for_each(|name| tell(name, ("removed", Vec::new())));
            with_all(&right, &path).for_each(|name| tell(name, ("added", Vec::new())));
            continue;
        };
        tell(path, (what, fields));
    }
    found
}

/// Returns a path and all below it.
fn with_all<'a>(tree: &'a Tree, path: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
    tree.keys()
        .filter(move |name| {
            name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
        .cloned()
}

fn check_moved((left, from): (&Tree, &[u8]), (right, to): (&Tree, &[u8])) {
    let rests = |tree: &Tree, path: &[u8]| {
        with_all(tree, path).map(|name| name[path.len()..].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(
        rests(left, from),
        rests(right, to),
        "{} was not moved to {}",
        from.escape_ascii(),
        to.escape_ascii()
    );
    for rest in rests(left, from) {
        let (a, b) = (&left[&[from, &rest].concat()], &right[&[to, &rest].concat()]);
        assert!(
            a.kind == b.kind && a.bytes == b.bytes,
            "{} was not moved to {}",
            from.escape_ascii(),
            to.escape_ascii()
        );
    }
}

/// The summary is the sum of the list.
fn check_summary(told: &Value) {
    let changes = told["changes"].as_array().unwrap();
    let is_time_of_folder = |one: &Value| {
        one["after"]["kind"] == "dir" && one["differs"] == serde_json::json!(["mtime"])
    };
    let count = |name: &str| {
        changes
            .iter()
            .filter(|one| one["change"] == name && !(name == "metadata" && is_time_of_folder(one)))
            .count() as u64
    };
    let bytes = |name: &str, side: &str| {
        let of = |one: &Value| {
            if one[side]["kind"] == "file" { one[side]["size"].as_u64().unwrap() } else { 0 }
        };
        changes.iter().filter(|one| one["change"] == name).map(of).sum::<u64>()
    };
    let wanted = serde_json::json!({
        "added": count("added"), "removed": count("removed"), "modified": count("modified"), "metadata": count("metadata"),
        "type_changed": count("type"), "renamed": count("renamed"), "added_bytes": bytes("added", "after"),
        "removed_bytes": bytes("removed", "before"), "modified_bytes_before": bytes("modified", "before"),
        "modified_bytes": bytes("modified", "after"),
    });
    assert_eq!(told["summary"], wanted, "{told:#}");
}
