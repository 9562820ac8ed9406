//! `ls -R`: every name with all that is said about it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::disk::{Node, Tree, order};
use super::history::{History, Shot, path_in, snap_path, time_in};
use super::sums::totals_below;

/// Lists a snapshot, or a part of it.
pub fn check(history: &mut History) {
    let at = history.any_shot();
    let (id, path) = (history.shots[at].id.clone(), any_folder(history, at));
    let listed = history.json(&["ls".into(), "-R".into(), snap_path(&id, &path)]);
    let shot = &history.shots[at];
    let is_below = |name: &Vec<u8>| {
        name.strip_prefix(path.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
    };
    let mut wanted: Vec<&Vec<u8>> =
        shot.tree.keys().chain(shot.ways.keys()).filter(|name| is_below(name)).collect();
    wanted.sort_by_key(|name| order(name));
    let entries = listed["entries"].as_array().unwrap();
    let found: Vec<Vec<u8>> = entries.iter().map(|entry| path_in(entry, "path")).collect();
    let shown = |names: &[Vec<u8>]| {
        names.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    let wanted: Vec<Vec<u8>> = wanted.into_iter().cloned().collect();
    assert!(wanted == found, "listed {:#?}\nbut there were {:#?}", shown(&found), shown(&wanted));
    for (name, entry) in found.iter().zip(entries) {
        match shot.tree.get(name) {
            Some(node) => check_entry(node, entry),
            None => check_way(&shot.ways[name], entry),
        }
        if entry["kind"] == "dir" {
            let (files, dirs, bytes) = totals_below(shot, name);
            assert_eq!(
                entry["totals"],
                serde_json::json!({ "files": files, "dirs": dirs, "bytes": bytes }),
                "{entry}"
            );
        }
    }
    check_links(shot, &found, entries);
}

/// Returns the path of a folder of a snapshot, or nothing, which is all of it.
pub fn any_folder(history: &mut History, at: usize) -> Vec<u8> {
    if history.dice.chance(50) {
        return Vec::new();
    }
    let can_be_typed = |path: &[u8]| !path.contains(&b'\\');
    let folders: Vec<&Vec<u8>> = history.shots[at]
        .tree
        .iter()
        .filter(|(path, node)| node.is_dir() && can_be_typed(path))
        .map(|(path, _)| path)
        .collect();
    if folders.is_empty() { Vec::new() } else { (*history.dice.pick(&folders)).clone() }
}

fn check_entry(node: &Node, entry: &Value) {
    let size = if matches!(node.kind, "file" | "symlink") { node.bytes.len() } else { 0 };
    let told = (
        entry["kind"].as_str().unwrap(),
        entry["size"].as_u64().unwrap(),
        time_in(&entry["mtime"]),
    );
    assert_eq!(told, (node.kind, size as u64, node.mtime), "{entry}");
    if node.kind == "symlink" {
        assert_eq!(path_in(entry, "target"), *node.bytes, "{entry}");
    }
    assert_eq!(entry["hard_link"].is_number(), node.is_linked(), "{entry}");
    check_way(node, entry);
}

/// Of a folder that only leads to a source, times do not count.
fn check_way(node: &Node, entry: &Value) {
    let told = (entry["mode"].as_str().unwrap(), entry["uid"].as_u64(), entry["gid"].as_u64());
    assert_eq!(
        told,
        (format!("{:04o}", node.mode).as_str(), Some(node.uid.into()), Some(node.gid.into())),
        "{entry}"
    );
    let names: Vec<_> = node.xattrs.keys().map(|name| String::from_utf8_lossy(name)).collect();
    assert_eq!(entry["xattrs"], serde_json::json!(names), "{entry}");
    assert_eq!(entry["flags"], serde_json::json!([]), "{entry}");
}

/// Entries have one number where they are one file, and different ones where they are not.
fn check_links(shot: &Shot, found: &[Vec<u8>], entries: &[Value]) {
    let (mut numbers, mut inodes) = (BTreeMap::new(), BTreeMap::new());
    let node = |tree: &Tree, name: &Vec<u8>| tree.get(name).map(|node| node.inode);
    for (name, entry) in found.iter().zip(entries) {
        let (Some(number), Some(inode)) = (entry["hard_link"].as_u64(), node(&shot.tree, name))
        else {
            continue;
        };
        assert_eq!(
            *numbers.entry(inode).or_insert(number),
            number,
            "one file has two numbers: {entry}"
        );
        assert_eq!(
            *inodes.entry(number).or_insert(inode),
            inode,
            "two files have one number: {entry}"
        );
    }
}
