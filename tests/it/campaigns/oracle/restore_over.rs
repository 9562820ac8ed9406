//! `restore` into a folder in which something else was done meanwhile: what the dry run tells, what
//! the restore tells, and what the disk shows are one thing; what is right already is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;

use serde_json::Value;

use super::disk::{Node, Tree, about, walk};
use super::history::{History, path_in, snap_path};
use super::restore_empty::{below, fits};
use super::rules::Pattern;

/// How files that are there are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Usual,
    Always,
    IfChanged,
    Never,
}

/// One restore over something.
struct Case {
    mode: Mode,
    deletes: bool,
    wanted: Tree,
    before: Tree,
    after: Tree,
    /// What this fits is neither restored nor removed.
    excluded: Option<Pattern>,
}

/// What should come of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is as in the snapshot.
    Wanted,
    /// As in the snapshot, but for content that looks right by size and time.
    Believed,
    /// It stays as it is, because existing names are left alone.
    Left,
    /// It stays as it is, because a folder with content is in the way.
    Blocked,
    /// Nothing is made of it: what should be a folder above it is none.
    Skipped,
}

/// Restores a folder of a snapshot over a changed copy of it, or of that of another snapshot.
pub fn check(history: &mut History) {
    let (at, from) = (history.any_shot(), history.any_shot());
    let path =
        history.shots[at].tree.iter().find(|(_, node)| node.is_dir()).map(|(path, _)| path.clone());
    // What only leads to a source below is no folder that was backed up whole.
    let is_whole = |path: &Vec<u8>| !history.shots[at].ways.keys().any(|way| way.starts_with(path));
    let is_there = |path: &Vec<u8>| history.shots[from].tree.get(path).is_some_and(Node::is_dir);
    let Some(path) = path.filter(|path| is_whole(path) && is_there(path)) else { return };
    let source = snap_path(&history.shots[from].id, &path);
    history.json(&[OsString::from("restore"), source, "--target".into(), "target".into()]);
    for _ in 0..history.dice.below(7) {
        history.act("target");
    }
    let modes = [
        (Mode::Usual, None),
        (Mode::Always, Some("always")),
        (Mode::IfChanged, Some("if-changed")),
        (Mode::Never, Some("never")),
    ];
    let (mode, word) = *history.dice.pick(&modes);
    let deletes = history.dice.chance(50);
    let mut arguments: Vec<OsString> = vec![
        "restore".into(),
        snap_path(&history.shots[at].id, &path),
        "--target".into(),
        "target".into(),
    ];
    arguments.extend(word.map(|word| format!("--overwrite={word}").into()));
    arguments.extend(deletes.then(|| "--delete".into()));
    let pattern =
        if history.dice.chance(50) { Pattern::Name("skip", false) } else { Pattern::End(".tmp") };
    let excluded = history.dice.chance(25).then_some(pattern);
    arguments.extend(excluded.iter().flat_map(|pattern| ["--exclude".into(), pattern.text()]));
    let target = history.home.path("target");
    let before = walk(&target);
    let plan = history
        .run_any(&[&arguments[..], &["--dry-run".into(), "--json".into()]].concat(), &[0, 1]);
    assert_untouched(&before, &walk(&target), "a dry run");
    let ran = history.run_any(&[&arguments[..], &["--json".into()]].concat(), &[0, 1]);
    assert_eq!(plan.code, ran.code, "the dry run ends otherwise than the restore: {ran:?}");
    let (planned, told) = (plan.json(), ran.json());
    let mut wanted = below(&history.shots[at], &path);
    wanted.retain(|path, _| {
        path.is_empty()
            || !excluded.as_ref().is_some_and(|pattern| fits(pattern, path, &Tree::new()))
    });
    let case = Case { mode, deletes, wanted, before, after: walk(&target), excluded };
    case.check(&planned, &told, ran.code);
    if told["failed"] == 0 && mode != Mode::Never && mode != Mode::IfChanged {
        again(history, &arguments, &case.after);
    }
    fs::remove_dir_all(target).unwrap();
}

/// What is right is not touched by restoring it once more.
fn again(history: &mut History, arguments: &[OsString], after: &Tree) {
    let told = history.json(arguments);
    assert!(
        told["bytes_written"] == 0 && told["files_kept"] == told["files"],
        "what is right was restored again: {told:#}"
    );
    assert_untouched(after, &walk(&history.home.path("target")), "a second restore");
}

fn stamps(node: &Node) -> ((u64, u64), (i64, i64)) {
    (node.inode, node.ctime)
}

/// Nothing changed, not even a stamp; that of the folder itself does, which is marked while a
/// restore runs.
#[track_caller]
fn assert_untouched(before: &Tree, after: &Tree, what: &str) {
    // A folder that is another's, or shut, is opened while something is restored into it, and given
    // back.
    let stamps = |node: &Node| if node.is_dir() { (node.inode, node.mtime) } else { stamps(node) };
    let is_odd = |path: &&Vec<u8>| {
        !path.is_empty() && before.get(*path).map(stamps) != after.get(*path).map(stamps)
    };
    let shown = |path: &Vec<u8>| {
        let [was, is] = [before, after]
            .map(|tree| tree.get(path).map(|node| (node.inode.1, node.ctime, about(node))));
        format!("{}: {was:?} is {is:?}", path.escape_ascii())
    };
    let odd: Vec<_> = before.keys().chain(after.keys()).filter(is_odd).map(shown).collect();
    assert!(odd.is_empty(), "{what} changed {odd:#?}");
}

/// Returns whether nothing about a name changed, but for what changes when others come or go.
fn is_alike(before: &Node, after: &Node) -> bool {
    after
        .differs(before)
        .iter()
        .all(|field| *field == "links" || before.is_dir() && *field == "mtime")
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

fn above(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)]
}

impl Case {
    fn check(&self, planned: &Value, told: &Value, code: i32) {
        let fates = self.fates();
        for (path, fate) in &fates {
            self.check_fate(path, *fate);
        }
        self.check_links(&fates);
        let gone = self.check_extras(&fates);
        self.check_counts(told, &fates, gone, code);
        self.check_plan(planned, told);
    }

    /// Decides about each wanted path from the top down.
    fn fates(&self) -> BTreeMap<&Vec<u8>, Fate> {
        let mut fates: BTreeMap<&Vec<u8>, Fate> = BTreeMap::new();
        for (path, node) in self.wanted.iter().filter(|(path, _)| !path.is_empty()) {
            let folder = above(path).to_vec();
            let is_open = folder.is_empty() || fates.get(&folder) == Some(&Fate::Wanted);
            let is_there = is_open && self.keeps_folder(&folder);
            let fate = match self.before.get(path).filter(|_| is_there) {
                _ if !is_open => Fate::Skipped,
                None => Fate::Wanted,
                Some(old) if node.is_dir() => {
                    if old.is_dir() || self.mode != Mode::Never {
                        Fate::Wanted
                    } else {
                        Fate::Left
                    }
                }
                Some(_) if self.mode == Mode::Never => Fate::Left,
                Some(old) if old.is_dir() => {
                    // What is excluded stays, and so does the folder in which it lies.
                    if self.deletes && !self.holds_excluded(path) || self.is_empty(path) {
                        Fate::Wanted
                    } else {
                        Fate::Blocked
                    }
                }
                Some(old) => {
                    if self.is_believed(node, old) {
                        Fate::Believed
                    } else {
                        Fate::Wanted
                    }
                }
            };
            fates.insert(path, fate);
        }
        fates
    }

    /// Returns whether a folder, and each above it, was a folder before.
    fn keeps_folder(&self, folder: &[u8]) -> bool {
        folder.is_empty()
            || self.before.get(folder).is_some_and(Node::is_dir) && self.keeps_folder(above(folder))
    }

    fn holds_excluded(&self, folder: &[u8]) -> bool {
        self.before.keys().any(|other| is_below(other, folder) && self.excludes(other))
    }

    fn is_empty(&self, folder: &[u8]) -> bool {
        !self.before.keys().any(|path| {
            path.len() > folder.len() && path.starts_with(folder) && path[folder.len()] == b'/'
        })
    }

    fn is_believed(&self, wanted: &Node, old: &Node) -> bool {
        let looks_right = (wanted.bytes.len(), wanted.mtime) == (old.bytes.len(), old.mtime);
        let is_believable = old.uid == wanted.uid || old.uid == rustix::process::geteuid().as_raw();
        // A name that others are linked to must be sure.
        self.mode == Mode::IfChanged
            && !wanted.is_linked()
            && wanted.is_file()
            && old.is_file()
            && looks_right
            && is_believable
    }

    fn check_fate(&self, path: &[u8], fate: Fate) {
        let (wanted, before, after) =
            (&self.wanted[path], self.before.get(path), self.after.get(path));
        let shown = path.escape_ascii();
        let found = after.map_or_else(|| "missing".to_owned(), about);
        match (fate, after) {
            (Fate::Wanted, Some(after)) if self.is_old_folder(path) => {
                let before = before.unwrap();
                let differs: Vec<_> =
                    before.differs(after).into_iter().filter(|field| *field != "mtime").collect();
                assert!(
                    differs.is_empty(),
                    "{shown} is {found}, and was to be left as {}",
                    about(before)
                );
            }
            (Fate::Wanted, Some(after)) => {
                let differs: Vec<_> =
                    wanted.differs(after).into_iter().filter(|field| *field != "links").collect();
                assert!(
                    differs.is_empty(),
                    "{shown} is {found}, not {} ({differs:?})",
                    about(wanted)
                );
            }
            (Fate::Believed, Some(after)) => {
                let is_either = after.bytes == wanted.bytes
                    || before.is_some_and(|before| before.bytes == after.bytes);
                let differs: Vec<_> = wanted
                    .differs(after)
                    .into_iter()
                    .filter(|field| !["links", "content"].contains(field))
                    .collect();
                assert!(
                    is_either && differs.is_empty(),
                    "{shown} is {found}, not {} ({differs:?})",
                    about(wanted)
                );
            }
            (Fate::Left | Fate::Blocked, after) if after.is_some() => {
                let before = before.unwrap();
                // Its other names may have come or gone.
                let is_same = after
                    .is_some_and(|after| after.inode == before.inode && is_alike(before, after));
                assert!(is_same, "{shown} is {found}, and was to be left as {}", about(before));
            }
            (Fate::Skipped, _) => {}
            (_, _) => panic!("{shown} is missing, it should be {}", about(wanted)),
        }
        if let Some(before) = before.filter(|_| fate == Fate::Wanted && self.is_right(path)) {
            let after = after.unwrap();
            assert!(
                wanted.is_dir() || stamps(before) == stamps(after),
                "{shown} was right and was changed: {}",
                about(after)
            );
        }
    }

    /// Returns whether it is a folder that stays what it is, and only gets what is missing in it.
    fn is_old_folder(&self, path: &[u8]) -> bool {
        let is_folder =
            self.wanted[path].is_dir() && self.before.get(path).is_some_and(Node::is_dir);
        self.mode == Mode::Never && is_folder && self.keeps_folder(above(path))
    }

    /// Returns whether nothing is to be done about a path: it is as wanted, and so are all its
    /// other names.
    fn is_right(&self, path: &[u8]) -> bool {
        let wanted = &self.wanted[path];
        let Some(before) = self.before.get(path) else { return false };
        let names = |tree: &Tree, node: &Node| -> BTreeSet<Vec<u8>> {
            tree.iter()
                .filter(|(_, other)| other.inode == node.inode)
                .map(|(name, _)| name.clone())
                .collect()
        };
        self.keeps_folder(above(path))
            && wanted.differs(before).iter().all(|field| *field == "links")
            && names(&self.wanted, wanted) == names(&self.before, before)
            && before.holes == wanted.holes
            && !before.has_full_zeros
    }

    /// Names of one file are names of one file again, as far as they were restored.
    fn check_links(&self, fates: &BTreeMap<&Vec<u8>, Fate>) {
        let (mut there, mut back) = (BTreeMap::new(), BTreeMap::new());
        for (path, _) in fates.iter().filter(|(_, fate)| **fate == Fate::Wanted) {
            let (wanted, after) = (&self.wanted[*path], &self.after[*path]);
            if wanted.is_dir() {
                continue;
            }
            let (one, two) = (
                *there.entry(wanted.inode).or_insert(after.inode),
                *back.entry(after.inode).or_insert(wanted.inode),
            );
            assert!(
                (one, two) == (after.inode, wanted.inode),
                "{} is linked otherwise",
                path.escape_ascii()
            );
        }
    }

    fn excludes(&self, path: &[u8]) -> bool {
        self.excluded.as_ref().is_some_and(|pattern| fits(pattern, path, &Tree::new()))
    }

    /// What the snapshot does not have is gone if that was asked for, and else untouched; returns
    /// how many went.
    fn check_extras(&self, fates: &BTreeMap<&Vec<u8>, Fate>) -> u64 {
        // Extra folders that stay because something in them is left alone.
        let (mut gone, mut kept): (BTreeSet<&[u8]>, BTreeSet<&[u8]>) = Default::default();
        for (path, node) in self.before.iter().filter(|(path, _)| !path.is_empty()) {
            let folder = above(path);
            let fate = fates.get(path).copied();
            let is_in_restored = folder.is_empty()
                || fates.get(&folder.to_vec()) == Some(&Fate::Wanted)
                    && self.wanted[folder].is_dir();
            let is_cleared =
                node.is_dir() && fate == Some(Fate::Wanted) && !self.wanted[path].is_dir();
            let is_excluded = self.excludes(path);
            let is_extra = (is_in_restored || kept.contains(folder))
                && !self.wanted.contains_key(path)
                && !is_excluded;
            let is_blocked = self.deletes && fate == Some(Fate::Blocked);
            if is_blocked || is_extra && node.is_dir() && self.holds_excluded(path) {
                kept.insert(path);
            }
            let is_going = is_cleared || is_extra && !kept.contains(path.as_slice());
            if gone.contains(folder) || self.deletes && is_going {
                gone.insert(path);
            } else if fate.is_none() || fate == Some(Fate::Skipped) {
                let is_same = self
                    .after
                    .get(path)
                    .is_some_and(|after| after.inode == node.inode && is_alike(node, after));
                assert!(is_same, "{} is not in the snapshot and was changed", path.escape_ascii());
            }
        }
        for path in &gone {
            let is_gone = !self.after.contains_key(*path) || self.wanted.contains_key(*path);
            assert!(is_gone, "{} should have been deleted", path.escape_ascii());
        }
        gone.len() as u64
    }

    fn check_counts(&self, told: &Value, fates: &BTreeMap<&Vec<u8>, Fate>, gone: u64, code: i32) {
        let number = |name: &str| told[name].as_u64().unwrap();
        let count = |fate: Fate| fates.values().filter(|other| **other == fate).count() as u64;
        let done: Vec<_> = fates
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::Wanted | Fate::Believed))
            .map(|(path, _)| *path)
            .collect();
        let files: Vec<_> = done.iter().filter(|path| !self.wanted[**path].is_dir()).collect();
        let bytes: u64 = files.iter().map(|path| self.wanted[**path].content_len()).sum();
        assert_eq!(number("files"), files.len() as u64, "files: {told:#}");
        assert_eq!(number("dirs"), (done.len() - files.len()) as u64 + 1, "dirs: {told:#}");
        assert_eq!(number("bytes"), bytes, "bytes: {told:#}");
        assert_eq!(
            (number("left_alone"), number("failed")),
            (count(Fate::Left), count(Fate::Blocked)),
            "{told:#}"
        );
        assert_eq!(number("deleted"), gone, "deleted: {told:#}");
        assert_eq!(code, i32::from(number("failed") > 0), "{told:#}");
        let least = files
            .iter()
            .filter(|path| fates[**path] == Fate::Wanted && self.is_right(path))
            .count() as u64;
        let is_alike = |path: &Vec<u8>| {
            let (old, wanted) = (self.before.get(path), &self.wanted[path]);
            let is_right = |old: &Node| {
                old.kind == wanted.kind
                    && (old.bytes == wanted.bytes || fates[path] == Fate::Believed)
            };
            old.is_some_and(is_right)
        };
        let most = files.iter().filter(|path| is_alike(path)).count() as u64;
        assert!(
            (least..=most).contains(&number("files_kept")),
            "files kept are {least} to {most}: {told:#}"
        );
        assert!(number("bytes_written") + number("bytes_kept") <= bytes, "{told:#}");
    }

    /// Returns how many files have another name that goes while they are looked at: whether they
    /// can stay depends on who is first.
    fn unsure(&self) -> u64 {
        let goes = |(path, node): (&Vec<u8>, &Node)| {
            self.after.get(path).is_none_or(|after| after.inode != node.inode)
        };
        let going: Vec<_> =
            self.before.iter().filter(|one| one.1.is_linked() && goes(*one)).collect();
        let is_unsure = |path: &&Vec<u8>| {
            let node = self.before.get(*path);
            node.is_some_and(|node| {
                going.iter().any(|(other, gone)| other != path && gone.inode == node.inode)
            })
        };
        self.wanted.keys().filter(is_unsure).count() as u64
    }

    /// What was planned is what was done.
    fn check_plan(&self, planned: &Value, told: &Value) {
        for name in ["files", "dirs", "bytes", "left_alone", "deleted", "failed"] {
            assert_eq!(
                planned["report"][name], told[name],
                "{name}: planned {:#}, done {told:#}",
                planned["report"]
            );
        }
        let [before, after] =
            [&planned["report"], told].map(|told| told["files_kept"].as_u64().unwrap());
        assert!(
            before.abs_diff(after) <= self.unsure(),
            "files kept: planned {:#}, done {told:#}",
            planned["report"]
        );
        let mut deleted = 0;
        for one in planned["planned"].as_array().unwrap() {
            let path = path_in(one, "path");
            let (before, after) = (self.before.get(&path), self.after.get(&path));
            let is_untouched = || {
                before.zip(after).is_some_and(|(before, after)| {
                    before.inode == after.inode && before.bytes == after.bytes
                })
            };
            let is_so = match one["action"].as_str().unwrap() {
                "create" => {
                    after.is_some() && (before.is_none() || !self.keeps_folder(above(&path)))
                }
                "update" => before.is_some() && after.is_some(),
                "keep" | "leave-alone" => is_untouched(),
                "delete" => {
                    deleted += 1;
                    before.is_some() && (after.is_none() || self.wanted.contains_key(&path))
                }
                _ => false,
            };
            assert!(is_so, "planned, but not so: {one}");
        }
        assert_eq!(Some(deleted), told["deleted"].as_u64(), "planned {planned:#}, done {told:#}");
    }
}
