//! Sums: of a backup's report, of `du`, of `stats`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::disk::{Node, Tree, order};
use super::history::{History, Shot, path_in, snap_path};
use super::listing::any_folder;

/// Files (of any kind but folders), folders, bytes of file content.
type Sum = (u64, u64, u64);

/// Longest content that stands in trees, in bytes.
const INLINE_MAX: usize = 512;
/// Longest content that is never cut, in bytes: the least length of a chunk.
const WHOLE_MAX: usize = 32 << 10;

fn add(sum: Sum, node: &Node) -> Sum {
    (
        sum.0 + u64::from(!node.is_dir()),
        sum.1 + u64::from(node.is_dir()),
        sum.2 + node.content_len(),
    )
}

fn all(tree: &Tree, ways: &Tree) -> Sum {
    tree.values().chain(ways.values()).fold((0, 0, 0), add)
}

/// Returns the sums over what is below a path of a snapshot; everything below the root, which is
/// the empty path.
pub fn totals_below(shot: &Shot, path: &[u8]) -> Sum {
    let is_below = |name: &[u8]| name.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"));
    let below = shot.tree.iter().chain(&shot.ways).filter(|(name, _)| is_below(name));
    below.fold((0, 0, 0), |sum, (_, node)| add(sum, node))
}

fn in_json(value: &Value) -> Sum {
    let field = |name: &str| value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"));
    (field("files"), field("dirs"), field("bytes"))
}

/// Checks what a backup says about what it found.
pub fn check_totals(stats: &Value, tree: &Tree, ways: &Tree) {
    assert_eq!(in_json(stats), all(tree, ways), "{stats:#}");
    let count = |name: &str| stats[name].as_u64().unwrap();
    let compared = count("files_new") + count("files_changed") + count("files_unchanged");
    assert_eq!(compared, all(tree, ways).0, "each file is new, changed or unchanged: {stats:#}");
}

/// Asks `du` or `stats`.
pub fn check(history: &mut History) {
    match history.dice.below(3) {
        0 => check_stats(history),
        1 => check_stats_of_one(history),
        _ => check_du(history),
    }
}

fn check_du(history: &mut History) {
    let at = history.any_shot();
    let (id, path) = (history.shots[at].id.clone(), any_folder(history, at));
    let (depth, with_files) = (1 + history.dice.below(12), history.dice.chance(60));
    let mut arguments = vec![
        "du".into(),
        snap_path(&id, &path),
        "--sort=name".into(),
        format!("--depth={depth}").into(),
    ];
    arguments.extend(with_files.then(|| "--all".into()));
    let told = history.json(&arguments);
    let shot = &history.shots[at];
    let is_shown = |(name, node): &(&Vec<u8>, &Node)| {
        let rest = name.strip_prefix(path.as_slice()).filter(|rest| rest.starts_with(b"/"));
        let steps = rest.map_or(0, |rest| rest.iter().filter(|byte| **byte == b'/').count());
        (1..=depth).contains(&steps) && (with_files || node.is_dir())
    };
    let sum_of = |name: &[u8], node: &Node| {
        if node.is_dir() { totals_below(shot, name) } else { add((0, 0, 0), node) }
    };
    let mut wanted: Vec<(Vec<u8>, Sum)> = shot
        .tree
        .iter()
        .chain(&shot.ways)
        .filter(is_shown)
        .map(|(name, node)| (name.clone(), sum_of(name, node)))
        .collect();
    wanted.sort_by_key(|(name, _)| order(name));
    let top = if path.is_empty() { b"/".to_vec() } else { path.clone() };
    wanted.insert(0, (top, totals_below(shot, &path)));
    let found: Vec<_> = told["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (path_in(entry, "path"), in_json(entry)))
        .collect();
    assert!(wanted == found, "{told:#}\nbut it should be {wanted:#?}");
}

fn check_stats_of_one(history: &mut History) {
    let at = history.any_shot();
    let id = history.shots[at].id.clone();
    let told = history.json(&["stats", &id]);
    let shot = &history.shots[at];
    assert_eq!(in_json(&told["snapshot"]["stats"]), all(&shot.tree, &shot.ways), "{told:#}");
    let inline: u64 = folders(&[shot]).into_values().sum();
    assert_eq!(told["inline_bytes"].as_u64(), Some(inline), "{told:#}");
    check_unique(&told, &[shot], inline);
}

fn check_stats(history: &mut History) {
    let told = history.json(&["stats"]);
    let shots: Vec<&Shot> = history.shots.iter().collect();
    assert_eq!(told["snapshots"].as_u64(), Some(shots.len() as u64), "{told:#}");
    let sums = shots
        .iter()
        .map(|shot| all(&shot.tree, &shot.ways))
        .fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    assert_eq!(in_json(&told), sums, "{told:#}");
    let unseen = told["unique_bytes"].as_u64().unwrap() - told["inline_bytes"].as_u64().unwrap();
    check_unique(&told, &shots, told["unique_bytes"].as_u64().unwrap() - unseen);
    let on_disk: u64 = history.home.tree("repo").iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert_eq!(told["stored_bytes"].as_u64(), Some(on_disk), "{told:#}");
    for usage in told["usage"].as_array().unwrap() {
        let class = format!("repo/{}", usage["class"].as_str().unwrap());
        let objects =
            if history.home.path(&class).exists() { history.home.tree(&class) } else { Vec::new() };
        let bytes: usize = objects.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(
            (usage["objects"].as_u64(), usage["bytes"].as_u64()),
            (Some(objects.len() as u64), Some(bytes as u64)),
            "{usage}"
        );
    }
}

/// Returns whether a file has content outside of trees; nothing but zeros is a hole, wherever it
/// comes from.
fn is_stored(node: &Node) -> bool {
    node.is_file() && node.bytes.len() > INLINE_MAX && node.bytes.iter().any(|byte| *byte != 0)
}

/// Content that is stored once, however often it is there: files that are not cut exactly, others
/// within bounds.
fn check_unique(told: &Value, shots: &[&Shot], inline: u64) {
    let mut contents = BTreeSet::new();
    for node in shots.iter().flat_map(|shot| shot.tree.values()).filter(|node| is_stored(node)) {
        // Blocks of zeros become holes.
        let has_zeros =
            node.bytes.chunks_exact(4096).any(|block| block.iter().all(|byte| *byte == 0));
        contents.insert((&*node.bytes, node.holes[0] > 0 || has_zeros));
    }
    let whole: u64 = contents
        .iter()
        .filter(|(bytes, has_holes)| bytes.len() <= WHOLE_MAX && !has_holes)
        .map(|(bytes, _)| bytes.len() as u64)
        .sum();
    let most: u64 = contents.iter().map(|(bytes, _)| bytes.len() as u64).sum();
    let unique = told["unique_bytes"].as_u64().unwrap() - inline;
    let are_all_whole =
        contents.iter().all(|(bytes, has_holes)| bytes.len() <= WHOLE_MAX && !has_holes);
    assert!(
        (whole..=most).contains(&unique) && (!are_all_whole || unique == whole),
        "{unique} of {whole} to {most} B: {told:#}"
    );
}

/// What a node of a tree holds that tells it from another: names, entries, and what is in folders.
type Key = Vec<(Vec<u8>, Entry, Option<usize>)>;
/// All that an entry says: two files that were made alike in one tick of the clock are told apart
/// by nothing, unless they have other names.
type Entry = (&'static str, Stamps, (u32, u32, u32), Arc<Vec<u8>>, BTreeMap<Vec<u8>, Vec<u8>>);
/// The inode number of what has several names, and the times of the last changes.
type Stamps = (Option<(u64, u64)>, (i64, i64), (i64, i64));

fn entry(node: &Node) -> Entry {
    let stamps = (node.is_linked().then_some(node.inode), node.ctime, node.mtime);
    (node.kind, stamps, (node.mode, node.uid, node.gid), node.bytes.clone(), node.xattrs.clone())
}

/// Returns each different folder of snapshots with the bytes of small files that stand right in it.
fn folders(shots: &[&Shot]) -> BTreeMap<Key, u64> {
    let (mut numbers, mut sums) = (BTreeMap::new(), BTreeMap::new());
    for shot in shots {
        let nodes: Tree = shot
            .tree
            .iter()
            .chain(&shot.ways)
            .map(|(name, node)| (name.clone(), node.clone()))
            .collect();
        number(&nodes, b"", &mut numbers, &mut sums);
    }
    sums
}

fn number(
    nodes: &Tree,
    folder: &[u8],
    numbers: &mut BTreeMap<Key, usize>,
    sums: &mut BTreeMap<Key, u64>,
) -> usize {
    let inside = nodes.iter().filter(|(name, _)| {
        name.strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix(b"/"))
            .is_some_and(|name| !name.contains(&b'/'))
    });
    let (mut key, mut sum) = (Key::new(), 0);
    for (name, node) in inside {
        let below = node.is_dir().then(|| number(nodes, name, numbers, sums));
        key.push((name[folder.len()..].to_vec(), entry(node), below));
        sum += if node.bytes.len() <= INLINE_MAX { node.content_len() } else { 0 };
    }
    let next = numbers.len();
    sums.insert(key.clone(), sum);
    *numbers.entry(key).or_insert(next)
}
