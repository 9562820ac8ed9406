//! Goal: what people really have below their files (disks of other systems, unions, views of other
//! folders) gives back what was put there, or names what it could not. Method: each kind of file
//! system is made and mounted here, and a backup and its restore run with it as source, as
//! repository and as target; what comes back is compared, byte by byte.
//!
//! This needs root, loop devices and programs that make the file systems. What a machine lacks is
//! said. The long form (`make odd-long`) has more and larger files, and changes them between
//! backups.

mod places; // file systems, made and mounted

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use self::places::{KINDS, Kind, Mounted};

use crate::support::fixture::{let_time_pass, noise};
use crate::support::home::{Home, Ran};
use crate::support::needs::can_run;

/// A tree by relative path: what a file holds, where a link leads, nothing for folders.
type Found = BTreeMap<PathBuf, Vec<u8>>;

fn is_long() -> bool {
    std::env::var_os("DRUMLIN_ODD_LONG").is_some()
}

/// Puts files of every form into a folder; links where it can have them.
fn fill(dir: &Path, round: u64) {
    let len_max = if is_long() { 40 << 20 } else { 3 << 20 };
    for (name, len) in [("empty", 0), ("tiny", 5), ("middle", 100_000), ("large", len_max)] {
        write(&dir.join(name), &noise(round + len as u64, len));
    }
    for name in ["with spaces and ünïcödé", "UPPER", "a.b.c", "-dash"] {
        write(&dir.join("names").join(name), name.as_bytes());
    }
    let count = if is_long() { 500 } else { 20 };
    (0..count)
        .for_each(|at| write(&dir.join(format!("many/{}/{at}", at % 5)), &noise(round ^ at, 3000)));
    for (name, len) in [("sparse", 4 << 20), ("small and sparse", 500_000)] {
        let file = fs::File::create(dir.join(name)).unwrap();
        file.set_len(len).unwrap();
        file.write_all_at(&noise(round, 9000), len / 2).unwrap();
        file.write_all_at(b"end", len - 3).unwrap();
    }
    // Some file systems have no links.
    let _ = fs::hard_link(dir.join("middle"), dir.join("names/another name"));
    let _ = symlink("tiny", dir.join("link"));
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn look(dir: &Path) -> Found {
    fn below(dir: &Path, at: &Path, found: &mut Found) {
        for entry in fs::read_dir(dir.join(at)).unwrap().map(Result::unwrap) {
            let path = at.join(entry.file_name());
            let kind = entry.file_type().unwrap();
            let what = if kind.is_dir() {
                Vec::new()
            } else if kind.is_symlink() {
                fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(entry.path()).unwrap()
            };
            found.insert(path.clone(), what);
            if kind.is_dir() {
                below(dir, &path, found);
            }
        }
    }
    let mut found = Found::new();
    below(dir, Path::new(""), &mut found);
    found
}

/// Returns whether a text contains a path, and not only a longer one that contains it.
fn names(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        before.is_none_or(|one| "/ '`".contains(one))
            && after.is_none_or(|one| " :,;'`)\n".contains(one))
    })
}

/// Demands that everything is there as it was, or named.
fn compare(source: &Path, target: &Path, ran: &Ran, what: &str) {
    let (expected, found) = (look(source), look(target));
    assert!(expected.len() > 30, "{what}: {} files", expected.len());
    for (path, bytes) in &expected {
        let is_right = found.get(path) == Some(bytes);
        let is_named = names(&ran.err, &path.to_string_lossy()) && ran.code != 0;
        assert!(
            is_right || is_named,
            "{what}: {} is other than it was, and not named: {ran:?}",
            path.display()
        );
    }
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{what}: {more:?}");
}

/// What a file system is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Source,
    Repository,
    Target,
    /// All three.
    All,
}

/// Backs up and restores, in the long form thrice with changes between; false if `init` makes no
/// repository there, and says why.
fn round_trip(mounted: &Mounted, role: Role) -> bool {
    let what = format!("{} as {role:?}", mounted.kind().name);
    let is_there = |wanted: Role| role == wanted || role == Role::All;
    let dir = |home: &Home, role: Role, name: &str| {
        if is_there(role) { mounted.dir().join(name) } else { home.path(name) }
    };
    let home = Home::new().with("DRUMLIN_KEY_FILE", "test.key");
    let (source, repository, target) = (
        dir(&home, Role::Source, "source"),
        dir(&home, Role::Repository, "repo"),
        dir(&home, Role::Target, "target"),
    );
    let run = |arguments: &[&str]| {
        let place = ["--repo", repository.to_str().unwrap()];
        home.run([&arguments[..1], &place, &arguments[1..]].concat())
    };
    let said = run(&["init"]);
    if is_there(Role::Repository) && said.code != 0 {
        assert!(said.err.contains("caused by:") && said.err.contains("hint:"), "{what}: {said:?}");
        return false;
    }
    assert_eq!(said.code, 0, "{what}: {said:?}");
    for round in 0..if is_long() { 3 } else { 1 } {
        fill(&source, round);
        let_time_pass();
        let said = run(&["backup", source.to_str().unwrap()]);
        assert!([0, 3].contains(&said.code), "{what}: {said:?}");
        let from = format!("latest:{}", source.display());
        let restored =
            run(&["restore", &from, "--target", target.join(round.to_string()).to_str().unwrap()]);
        // What a target cannot hold, such as a link, is named.
        assert!([0, 1, 3].contains(&restored.code), "{what}: {restored:?}");
        let both = Ran {
            code: said.code.max(restored.code),
            out: String::new(),
            err: said.err + &restored.err,
        };
        compare(&source, &target.join(round.to_string()), &both, &what);
    }
    let said = run(&["check", "--level", "full"]);
    assert_eq!(said.code, 0, "{what}: {said:?}");
    true
}

/// Tries one kind in every role, and says what the machine lacks for it.
fn try_kind(kind: &'static Kind) {
    let each = [Role::Source, Role::Target, Role::Repository];
    let mut roles = if is_long() { each.to_vec() } else { Vec::new() };
    roles.push(Role::All);
    while let Some(role) = roles.pop() {
        let scratch = tempfile::tempdir().unwrap();
        match Mounted::new(kind, scratch.path()) {
            Ok(mounted) => {
                if !round_trip(&mounted, role) && roles.is_empty() {
                    roles.extend([Role::Source, Role::Target]);
                }
            }
            Err(lacks) => {
                assert!(!can_run(false, &format!("{} (here: {lacks})", kind.name)));
                return;
            }
        }
    }
}

#[test]
fn what_is_put_on_the_kernels_file_systems_comes_back() {
    KINDS.iter().filter(|kind| !kind.is_fuse).for_each(try_kind);
}

#[test]
fn what_is_put_on_file_systems_of_programs_comes_back() {
    KINDS.iter().filter(|kind| kind.is_fuse).for_each(try_kind);
}

/// A number of a device is another after each mount; a backup that reads everything again for that
/// takes days.
#[test]
fn a_file_system_with_another_device_number_is_not_read_again() {
    let scratch = tempfile::tempdir().unwrap();
    let home = Home::with_repository();
    let source = home.path("source");
    fs::create_dir_all(&source).unwrap();
    // Each snapshot of btrfs has a number of its own, and all that was in it.
    let mounted = match Mounted::new(places::kind("btrfs"), scratch.path()) {
        Ok(mounted) => mounted,
        Err(lacks) => {
            assert!(!can_run(false, &format!("btrfs (here: {lacks})")));
            return;
        }
    };
    fill(mounted.dir(), 1);
    places::run("btrfs", &["filesystem", "sync", mounted.dir().to_str().unwrap()]).unwrap();
    let snapshot = |name: &str| {
        let path = mounted.dir().join(name);
        places::run(
            "btrfs",
            &[
                "subvolume",
                "snapshot",
                "-r",
                mounted.dir().to_str().unwrap(),
                path.to_str().unwrap(),
            ],
        )
        .unwrap();
        path
    };
    let backup = |of: &Path| {
        let bound = places::bind(of, &source).unwrap();
        let_time_pass();
        let said = home.run(["backup", "--json", "source"]).ok();
        drop(bound);
        serde_json::from_str::<serde_json::Value>(&said.out).unwrap()
    };
    let (one, other) = (snapshot("one"), snapshot("other"));
    assert_ne!(fs::metadata(&one).unwrap().dev(), fs::metadata(&other).unwrap().dev());
    backup(&one);
    let again = backup(&other);
    let text = again.to_string();
    assert!(text.contains("\"bytes_read\":0"), "{text}");
}
