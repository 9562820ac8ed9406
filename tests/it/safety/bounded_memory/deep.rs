//! The program as a child, on folders that are deep and on trees that were forged.

use std::os::fd::OwnedFd;
use std::path::Path;

use drumlin::crypto::phrase::secret_of_words;
use drumlin::crypto::slot::Secret;
use drumlin::format::entry::{Content, Entry, EntryKind, Xattr};
use drumlin::format::node::{Totals, TreeNode};
use drumlin::repo::{OpenOptions, Repository};
use drumlin::store::local::LocalStore;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use super::PEAK_MAX_MIB;
use super::structure::{Forger, entry};
use crate::support::home::{Home, Ran};

const MEASURE: &str = "\
import os, sys
out, err = os.open('measured', os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.open('/dev/null', os.O_WRONLY)
moves = [(os.POSIX_SPAWN_DUP2, err, 1)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=moves)
_, status, usage = os.wait4(pid, 0)
os.write(out, str(usage.ru_maxrss).encode())
sys.exit(os.waitstatus_to_exitcode(status))
";

/// Runs a command, checks its exit code and its memory.
fn measured(home: &Home, args: &[&str], codes: &[i32]) {
    let ran = Ran::of(&home.wrapped(&["python3", "-c", MEASURE], args).output().unwrap());
    let peak_mib = home.read("measured").trim().parse::<u64>().unwrap() / 1024;
    println!("{args:?}: {peak_mib} MiB, exit code {}", ran.code);
    assert!(codes.contains(&ran.code), "{args:?}: {}: {}", ran.code, ran.err);
    assert!((5..=PEAK_MAX_MIB).contains(&peak_mib), "{args:?}: {peak_mib} MiB");
}

/// Makes folders one in the other and returns the deepest.
fn nest(top: &Path, levels: usize, name: &str) -> OwnedFd {
    std::fs::create_dir_all(top).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut dir = openat(CWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        match mkdirat(&dir, name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => panic!("{error}"),
        }
        dir = openat(&dir, name, flags, Mode::empty()).unwrap();
    }
    dir
}

fn touch(dir: &OwnedFd, name: &str) {
    openat(dir, name, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR).unwrap();
}

/// What no single path reaches, removed at the end.
struct Deep(std::path::PathBuf);

impl Drop for Deep {
    fn drop(&mut self) {
        let _ = std::process::Command::new("rm").arg("-rf").arg(&self.0).status();
    }
}

/// `DRUMLIN_LEVELS=50000` with a release build is the long form.
#[test]
fn deep_folders_take_little_memory_in_every_command() {
    let levels = std::env::var("DRUMLIN_LEVELS").map_or(1_500, |text| text.parse().unwrap());
    // Paths are written out once for each level: they are short where there are many.
    let name_len = if levels > 10_000 { 2 } else { 250 };
    let home = Home::with_repository();
    let name = "n".repeat(name_len);
    let _deep = ["src", "o"].map(|folder| Deep(home.path(folder)));
    let deepest = nest(&home.path("src"), levels, &name);
    touch(&deepest, "one");
    measured(&home, &["backup", "src"], &[0]);
    touch(&deepest, "two");
    measured(&home, &["backup", "src"], &[0]);
    for command in [
        &["find", "nosuch"][..],
        &["ls", "-R", "latest"],
        &["diff", "latest~1", "latest"],
        &["du", "latest"],
        &["du", "latest", "--depth", "60000"],
        &["stats"],
        &["check"],
        &["prune"],
        &["restore", "latest", "--to-tar", "x.tar"],
        &["restore", "latest", "--include", "two", "--target", "o", "--dry-run"],
        &["restore", "latest", "--target", "o", "--verify"],
    ] {
        measured(&home, command, &[0]);
    }
    // Of the paths that a zip can hold there are few here.
    measured(&home, &["restore", "latest", "--to-zip", "x.zip"], &[0, 3]);
}

/// Opens the repository of a home past the program.
pub fn forged(home: &Home) -> std::sync::Arc<Repository> {
    let store = std::sync::Arc::new(LocalStore::open(&home.path("repo")).unwrap());
    let options = OpenOptions { cache_dir: home.path("forger"), prefer_cached: false };
    let secret = Secret::KeyFile(secret_of_words(&home.read("test.key")).unwrap());
    Repository::open(store, &secret, &options).unwrap()
}

/// A leaf in each of 400 levels of folders has a megabyte of attributes, which compress to nothing.
#[test]
fn attributes_that_compress_to_nothing_take_little_memory() {
    let home = Home::with_repository();
    let repository = forged(&home);
    let forger = Forger::new(&repository);
    let long = |mut entry: Entry| {
        entry.xattrs = vec![Xattr { name: b"user.long".to_vec(), value: vec![0; 1 << 19] }];
        entry
    };
    let leaf = |entries: Vec<Entry>| {
        let dir_totals = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Dir)
            .map(|_| Totals::default())
            .collect();
        forger.tree(&TreeNode::Leaf { strings: Vec::new(), entries, dir_totals }).unwrap()
    };
    let mut dir = leaf(Vec::new());
    for _ in 0..400 {
        let below = long(entry(b"a".to_vec(), EntryKind::Dir, Content::Tree(dir)));
        let others = (0..1).map(|at| long(entry(vec![b'b' + at], EntryKind::Fifo, Content::None)));
        dir = leaf([below].into_iter().chain(others).collect());
    }
    let snapshot = forger.finish(dir, Totals::default(), 1);
    let stored: u64 = walk_len(&home.path("repo"));
    println!("snapshot {}, {stored} bytes stored", snapshot.id);
    assert!(stored < 2 << 20);
    for command in [
        &["find", "nosuch"][..],
        &["ls", "-R", "latest"],
        &["restore", "latest", "--target", "o", "--dry-run"],
        &["restore", "latest", "--to-tar", "/dev/null"],
    ] {
        measured(&home, command, &[0]);
    }
    // No usual file system holds attributes of that length, which is told.
    measured(&home, &["restore", "latest", "--target", "o"], &[1]);
}

fn walk_len(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            if entry.file_type().unwrap().is_dir() {
                walk_len(&entry.path())
            } else {
                entry.metadata().unwrap().len()
            }
        })
        .sum()
}

/// A hole of two gibibytes costs nobody anything to make, nor do half a million rules.
#[test]
fn ignore_files_of_others_take_little_memory() {
    let home = Home::with_repository();
    home.write("src/hole/kept.tmp", "x");
    std::fs::File::create(home.path("src/hole/.gitignore")).unwrap().set_len(2 << 30).unwrap();
    home.write("src/many/.gitignore", "a\n".repeat(500_000));
    home.write("src/line/.gitignore", format!("{}\n*.tmp\n", "x".repeat(5_000)));
    home.write("src/line/left-out.tmp", "x");
    measured(&home, &["backup", "src", "--ignore-file", ".gitignore"], &[3]);
    let listed = home.run(["ls", "-R", "latest"]).ok().out;
    assert!(listed.contains("hole/kept.tmp") && !listed.contains("left-out"), "{listed}");
    let again = home.run(["backup", "src", "--ignore-file", ".gitignore"]).code(3);
    for (file, what) in [
        ("hole/.gitignore", "longer than 1024 KiB"),
        ("many/.gitignore", "lines"),
        ("line/.gitignore", "longer than 4 KiB"),
    ] {
        assert!(
            again.err.lines().any(|line| line.contains(file) && line.contains(what)),
            "{file}: {}",
            again.err
        );
    }
}
