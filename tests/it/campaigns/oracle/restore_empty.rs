//! `restore` into an empty folder: all of a snapshot, a folder of it, one file, what patterns
//! choose, and what a kill left undone.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use super::disk::{Tree, differences, lost_holes, walk};
use super::history::{History, Shot, snap_path};
use super::listing::any_folder;
use super::rules::Pattern;

/// Returns what is below a path of a snapshot, by its path from there, with the folder itself if it
/// is one of the source.
pub fn below(shot: &Shot, path: &[u8]) -> Tree {
    let rest = |name: &Vec<u8>| match name.strip_prefix(path)? {
        [] if !path.is_empty() => Some(Vec::new()),
        [b'/', rest @ ..] => Some(rest.to_vec()),
        _ => None,
    };
    shot.tree.iter().filter_map(|(name, node)| Some((rest(name)?, node.clone()))).collect()
}

/// Takes out of what was found what only leads to what is wanted.
pub fn without_ways(shot: &Shot, path: &[u8], mut found: Tree) -> Tree {
    for way in shot.ways.keys() {
        if let Some(rest) = way.strip_prefix(path) {
            found.remove(rest.strip_prefix(b"/").unwrap_or(rest));
        }
    }
    if path.is_empty() {
        found.remove(&b""[..]);
    }
    found
}

/// Restores something into a new folder.
pub fn check(history: &mut History) {
    let at = history.any_shot();
    match history.dice.below(10) {
        0 | 1 => one_file(history, at),
        2 | 3 => chosen(history, at),
        _ => folder(history, at),
    }
    fs::remove_dir_all(history.home.path("target")).unwrap();
}

fn restore(history: &mut History, what: OsString, more: &[OsString]) {
    let mut arguments = vec!["restore".into(), what, "--target".into(), "target".into()];
    arguments.extend_from_slice(more);
    for option in ["--verify", "--low-memory", "--numeric-ids"] {
        arguments.extend(history.dice.chance(15).then(|| option.into()));
    }
    if history.dice.chance(15) {
        history.kill_one(&arguments);
    }
    history.json(&arguments);
}

#[track_caller]
fn compare(wanted: &Tree, found: &Tree) {
    let lines = differences(wanted, found);
    assert!(lines.is_empty(), "restored otherwise than it was: {lines:#?}");
    let lines = lost_holes(wanted, found);
    assert!(lines.is_empty(), "{lines:#?}");
}

fn folder(history: &mut History, at: usize) {
    let path = any_folder(history, at);
    let what = snap_path(&history.shots[at].id, &path);
    restore(history, what, &[]);
    let (shot, found) = (&history.shots[at], walk(&history.home.path("target")));
    compare(&below(shot, &path), &without_ways(shot, &path, found));
}

fn one_file(history: &mut History, at: usize) {
    let files: Vec<Vec<u8>> = history.shots[at]
        .tree
        .iter()
        .filter(|(path, node)| !node.is_dir() && !path.contains(&b'\\'))
        .map(|(path, _)| path.clone())
        .collect();
    if files.is_empty() {
        return folder(history, at);
    }
    let path = history.dice.pick(&files).clone();
    restore(history, snap_path(&history.shots[at].id.clone(), &path), &[]);
    let name = path[path.iter().rposition(|byte| *byte == b'/').unwrap() + 1..].to_vec();
    let wanted = Tree::from([(name, history.shots[at].tree[&path].clone())]);
    let mut found = walk(&history.home.path("target"));
    found.remove(&b""[..]);
    compare(&wanted, &found);
}

/// Returns whether a pattern fits a path or a folder above it.
pub fn fits(pattern: &Pattern, path: &[u8], tree: &Tree) -> bool {
    let ends = path
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    ends.filter(|end| *end > 0).any(|end| {
        let here = &path[..end];
        pattern.verdict(
            &[b"/", here].concat(),
            tree.get(here).is_none_or(super::disk::Node::is_dir),
            &[],
        ) == Some(true)
    })
}

/// Restores what a pattern chooses, or all but that.
fn chosen(history: &mut History, at: usize) {
    let path = any_folder(history, at);
    let pattern = match history.dice.below(4) {
        0 => Pattern::Name("skip", false),
        1 => Pattern::Name("a", history.dice.chance(50)),
        2 => Pattern::End(".tmp"),
        _ => Pattern::Name("sub", true),
    };
    let is_include = history.dice.chance(60);
    let option = if is_include { "--include=" } else { "--exclude=" };
    let option =
        OsString::from_vec([option.as_bytes(), pattern.text().as_encoded_bytes()].concat());
    let what = snap_path(&history.shots[at].id, &path);
    restore(history, what, &[option]);
    let shot = &history.shots[at];
    let all = below(shot, &path);
    let is_chosen = |name: &Vec<u8>| !name.is_empty() && fits(&pattern, name, &all) == is_include;
    let is_above = |name: &[u8]| {
        all.keys().any(|other| {
            is_chosen(other)
                && other.starts_with(name)
                && (name.is_empty() || other.get(name.len()) == Some(&b'/'))
        })
    };
    let wanted: Tree = all
        .iter()
        .filter(|(name, _)| is_chosen(name) || name.is_empty() || is_above(name))
        .map(|(name, node)| (name.clone(), node.clone()))
        .collect();
    compare(&wanted, &without_ways(shot, &path, walk(&history.home.path("target"))));
}
