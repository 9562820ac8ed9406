//! Goal: whatever a Unix file system holds comes back through the program, snapshot after snapshot,
//! and files that change while they are read are recorded as such.
//!
//! Method: hand-made and random trees, backed up and restored by the real program, with the tools
//! of others as judges: `rsync -n -i -c -aHAX --delete` and listings by `find`, `getfattr`,
//! `getfacl`, `getcap` and `lsattr`. Files change at a known moment: while the first pack is being
//! stored, when the reader is stopped by full buffers in the middle of a file.
//!
//! `DRUMLIN_ROUNDTRIP_SEED` repeats a run of random trees. What needs root is left out for others.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use drumlin::format::entry::entry_flag;
use drumlin::monitor::ProblemKind;
use drumlin::repo::{Reader, Trees};
use drumlin::restore::{self, RestoreOptions};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::support::fixture::{Meanwhile, TestRepo, noise, options, write};
use crate::support::full_tree::{differences, listing};
use crate::support::home::Home;
use crate::support::needs::is_root;

fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a tool; whether it succeeds depends on the file system.
fn try_tool(tool: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(tool)
        .args(arguments)
        .arg(path)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Backs up a folder with the real program and restores the new snapshot into another.
fn there_and_back(home: &Home, source: &Path, target: &Path) {
    home.run(["backup".as_ref(), source.as_os_str()]).ok();
    let snapshot = [b"latest:", source.as_os_str().as_bytes()].concat();
    home.run([
        "restore".as_ref(),
        OsStr::from_bytes(&snapshot),
        "--target".as_ref(),
        target.as_os_str(),
    ])
    .ok();
}

#[track_caller]
fn assert_equal(source: &Path, target: &Path, what: &str) {
    assert_eq!(differences(source, target), "", "{what}");
    let (was, is) = (listing(source), listing(target));
    let odd: Vec<_> = was.lines().zip(is.lines()).filter(|(was, is)| was != is).take(5).collect();
    assert!(was == is, "{what}: {odd:#?}");
}

/// Everything that a list can name, each thing once, through the real program.
#[test]
fn everything_by_hand() {
    let home = Home::with_repository();
    let source = home.path("src");
    let path = |name: &str| source.join(name);
    write(&path("folder/file"), &noise(1, 700_000));
    for (name, seconds) in [
        ("1900", -2_208_988_800),
        ("1969", -1),
        ("2038", 1 << 31),
        ("2106", 1 << 32),
        ("2400", 13_569_465_600),
    ] {
        write(&path(name), name.as_bytes());
        symlink(name, path(&format!("link {name}"))).unwrap();
        set_time(&path(name), seconds, 999_999_999);
        set_time(&path(&format!("link {name}")), seconds, 1);
    }
    let vast = File::create(path("5 GiB")).unwrap();
    vast.set_len(5 << 30).unwrap();
    for at in [0, 1 << 20, 4 << 30, (5 << 30) - 4096] {
        vast.write_all_at(&noise(at, 4096), at).unwrap();
    }
    vast.sync_all().unwrap();
    let zeros = vec![0; 3_000_000];
    write(&path("zeros that take room"), &zeros);
    fs::create_dir_all(path("empty/emptier/emptiest")).unwrap();
    write(&path("empty file"), b"");
    for byte in (1..=255u8).filter(|byte| *byte != b'/') {
        write(&path("bytes").join(OsStr::from_bytes(&[byte, b'x', byte])), &[byte]);
    }
    for number in 0..1_200 {
        write(&path(&format!("many/{number:05}")), &noise(number, number as usize));
    }
    symlink("x".repeat(4_000), path("long link")).unwrap();
    fs::hard_link(path("folder/file"), path("bytes/other name")).unwrap();
    fs::hard_link(path("empty file"), path("folder/also empty")).unwrap();
    let attribute = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path(name), key, value, XattrFlags::empty()).unwrap();
    };
    attribute("folder", "user.folder", b"value");
    attribute("folder/file", "user.binary", &noise(9, 1_500));
    (0..40).for_each(|number| {
        attribute("1969", &format!("user.number {number}"), format!("{number}").as_bytes())
    });
    set_mode(&path("bytes"), 0o3771);
    set_mode(&path("1969"), 0o000);
    set_mode(&path("empty"), 0o111);
    if is_root() {
        by_root(&source);
    }
    set_time(&path("folder"), 1, 2);
    set_time(&source, 3, 4);
    let target = home.path("target");
    there_and_back(&home, &source, &target);
    assert_equal(&source, &target, "by hand");
    let blocks = |path: PathBuf| fs::metadata(path).unwrap().blocks();
    assert!(blocks(target.join("5 GiB")) <= blocks(path("5 GiB")) + 1024, "holes are holes again");
    for folder in [&source, &target] {
        try_tool("chattr", &["-R", "-i", "-a"], folder);
    }
}

/// What only the superuser may make.
fn by_root(source: &Path) {
    let path = |name: &str| source.join(name);
    let special = |name: &str, kind, mode, (major, minor)| {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(CWD, path(name), kind, Mode::from_raw_mode(mode), device).unwrap();
    };
    special("fifo", FileType::Fifo, 0o622, (0, 0));
    special("socket", FileType::Socket, 0o777, (0, 0));
    special("null", FileType::CharacterDevice, 0o666, (1, 3));
    special("disk", FileType::BlockDevice, 0o640, (259, 1_048_575));
    std::os::unix::fs::lchown(path("link 1969"), Some(12_345), Some(54_321)).unwrap();
    std::os::unix::fs::chown(path("many/00007"), Some(u32::MAX - 2), Some(1)).unwrap();
    std::os::unix::fs::chown(path("disk"), Some(1), Some(6)).unwrap();
    write(&path("program"), &noise(3, 10_000));
    assert!(try_tool("setcap", &["cap_net_raw,cap_setuid+eip"], &path("program")));
    write(&path("setuid"), b"#!");
    std::os::unix::fs::chown(path("setuid"), Some(99), Some(98)).unwrap();
    set_mode(&path("setuid"), 0o6755);
    assert!(try_tool("setfacl", &["-m", "u:77:rw,g:88:x,m::rwx"], &path("many/00008")));
    assert!(try_tool(
        "setfacl",
        &["-m", "u:77:rwx", "-m", "d:u:78:rx,d:g:89:-"],
        &path("empty/emptier")
    ));
    rustix::fs::lsetxattr(path("link 1969"), "trusted.link", b"x", XattrFlags::empty()).unwrap();
    rustix::fs::lsetxattr(path("socket"), "trusted.socket", b"y", XattrFlags::empty()).unwrap();
    // Not every file system has these flags; where it does not, there is nothing to compare.
    for (flag, name) in [
        ("+i", "many/00009"),
        ("+a", "many/00010"),
        ("+d", "many/00011"),
        ("+i", "empty/emptier/emptiest"),
    ] {
        try_tool("chattr", &[flag], &path(name));
    }
}

/// A tree that grows and changes at random, and the snapshots of it.
struct Forest {
    random: SmallRng,
    root: PathBuf,
}

impl Forest {
    fn name(&mut self) -> Vec<u8> {
        let len = if self.random.random_bool(0.02) { 255 } else { self.random.random_range(1..20) };
        let byte = |random: &mut SmallRng| loop {
            match random.random::<u8>() {
                0 | b'/' => {}
                byte => return byte,
            }
        };
        let name: Vec<u8> = (0..len).map(|_| byte(&mut self.random)).collect();
        if name == b"." || name == b".." { b"dots".to_vec() } else { name }
    }

    /// Returns a random folder of the tree.
    fn folder(&mut self) -> PathBuf {
        let mut folder = self.root.clone();
        while self.random.random_bool(0.7) {
            let children = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
            let mut below: Vec<_> =
                children.filter(|e| e.file_type().unwrap().is_dir()).map(|e| e.path()).collect();
            below.sort();
            if below.is_empty() {
                break;
            }
            folder = below.swap_remove(self.random.random_range(0..below.len()));
        }
        folder
    }

    /// Returns a random entry of a random folder.
    fn entry(&mut self) -> Option<PathBuf> {
        let folder = self.folder();
        let mut entries: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        (!entries.is_empty())
            .then(|| entries.swap_remove(self.random.random_range(0..entries.len())))
    }

    fn content(&mut self) -> Vec<u8> {
        let len = match self.random.random_range(0..10) {
            0 => 0,
            1..5 => self.random.random_range(1..600),
            5..9 => self.random.random_range(600..100_000),
            _ => self.random.random_range(100_000..4_000_000),
        };
        let seed = self.random.random_range(0..30);
        if self.random.random_bool(0.3) {
            format!("line {seed}\n").repeat(len / 8).into_bytes()
        } else {
            noise(seed, len)
        }
    }

    fn add(&mut self) {
        let path = self.folder().join(OsStr::from_bytes(&self.name()));
        if path.symlink_metadata().is_ok() {
            return;
        }
        match self.random.random_range(0..20) {
            0..4 => fs::create_dir(&path).unwrap(),
            4..6 => symlink(OsStr::from_bytes(&self.name()), &path).unwrap(),
            6 => self.add_sparse(&path),
            7 => {
                if let Some(other) =
                    self.entry().filter(|other| !other.symlink_metadata().unwrap().is_dir())
                {
                    fs::hard_link(other, &path).unwrap();
                }
            }
            8 if is_root() => {
                let kinds = [
                    FileType::Fifo,
                    FileType::Socket,
                    FileType::CharacterDevice,
                    FileType::BlockDevice,
                ];
                let kind = kinds[self.random.random_range(0..4)];
                let device = rustix::fs::makedev(
                    self.random.random_range(0..4096),
                    self.random.random_range(0..1 << 20),
                );
                rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o600), device).unwrap();
            }
            _ => fs::write(&path, self.content()).unwrap(),
        }
        if path.symlink_metadata().is_ok() {
            self.dress(&path);
        }
    }

    fn add_sparse(&mut self, path: &Path) {
        let file = File::create(path).unwrap();
        let len = self.random.random_range(1..20_000_000);
        file.set_len(len).unwrap();
        for _ in 0..self.random.random_range(0..4) {
            let at = self.random.random_range(0..len);
            file.write_all_at(&noise(at, 5_000.min(len - at) as usize), at).unwrap();
        }
        file.sync_all().unwrap();
    }

    /// Changes owner, mode, attributes, ACL and time of an entry, in the order in which they
    /// survive each other.
    fn dress(&mut self, path: &Path) {
        let meta = path.symlink_metadata().unwrap();
        let random = &mut self.random;
        if is_root() && random.random_bool(0.5) {
            let (uid, gid) = (random.random_range(0..3000), random.random_range(0..3000));
            std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
        }
        if !meta.is_symlink() {
            let owner = if meta.is_dir() && !is_root() { 0o700 } else { 0 };
            set_mode(path, random.random_range(0..0o10000) | owner);
        }
        if random.random_bool(0.3) {
            let space = if is_root() { "trusted" } else { "user" };
            let key = format!("{space}.{}", random.random_range(0..5));
            let value = noise(random.random_range(0..9), random.random_range(0..300));
            // Links and special files take no user attributes.
            let _ = rustix::fs::lsetxattr(path, key, &value, XattrFlags::empty());
        }
        if random.random_bool(0.1) && (meta.is_dir() || meta.is_file()) {
            let acl = format!(
                "u:{}:r,g:{}:wx",
                random.random_range(1..3000),
                random.random_range(1..3000)
            );
            try_tool("setfacl", &["-m", &acl], path);
        }
        set_time(
            path,
            random.random_range(-1 << 31..1 << 33),
            random.random_range(0..1_000_000_000),
        );
    }

    fn change(&mut self) {
        let Some(path) = self.entry() else { return };
        let meta = path.symlink_metadata().unwrap();
        match self.random.random_range(0..6) {
            0 if meta.is_dir() => fs::remove_dir_all(&path).unwrap(),
            0 => fs::remove_file(&path).unwrap(),
            1 => {
                let to = path.with_file_name(OsStr::from_bytes(&self.name()));
                if to.symlink_metadata().is_err() {
                    fs::rename(&path, to).unwrap();
                }
            }
            2 | 3 if meta.is_file() => {
                let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                file.write_all(b"more").unwrap();
                file.set_len(meta.len() / 2 + 3).unwrap();
            }
            _ => self.dress(&path),
        }
    }
}

/// Random trees change at random; every snapshot of them comes back as it was, also those taken
/// over from the one before.
#[test]
fn random_trees() {
    let seed = std::env::var("DRUMLIN_ROUNDTRIP_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("DRUMLIN_ROUNDTRIP_SEED={seed}");
    let home = Home::with_repository();
    let root = home.path("src");
    fs::create_dir(&root).unwrap();
    let mut forest = Forest { random: SmallRng::seed_from_u64(seed), root: root.clone() };
    (0..150).for_each(|_| forest.add());
    let mut kept = Vec::new();
    for round in 0..4usize {
        let target = home.path(&format!("target {round}"));
        there_and_back(&home, &root, &target);
        assert_equal(&root, &target, &format!("seed {seed}, round {round}"));
        kept.push(target);
        // A restore into the tree of the round before changes what changed, and removes what is
        // gone.
        if let Some(before) = round.checked_sub(1).map(|before| &kept[before]) {
            let snapshot = [b"latest:", root.as_os_str().as_bytes()].concat();
            let arguments = ["--delete".as_ref(), "--target".as_ref(), before.as_os_str()];
            home.run(
                ["restore".as_ref(), OsStr::from_bytes(&snapshot)].into_iter().chain(arguments),
            )
            .ok();
            // A target that was there already keeps its own time.
            let meta = fs::metadata(&root).unwrap();
            set_time(before, meta.mtime(), meta.mtime_nsec());
            assert_equal(&root, before, &format!("seed {seed}, round {round} over the one before"));
        }
        (0..40).for_each(|_| forest.add());
        (0..40).for_each(|_| forest.change());
    }
    home.run(["check", "--level", "full"]).ok();
}

/// Longer than everything that is in memory at once in a small backup.
const LARGE_LEN_BYTES: usize = 90_000_000;

/// Backs up a large file that `act` changes in the middle, and small ones; returns what came back
/// of the large one.
///
/// The small files must be right, the large one must be marked and named as changed, and the next
/// backup must get it right.
#[track_caller]
fn changed_while_read(act: impl FnOnce(&Path) + Send + 'static) -> Vec<u8> {
    let memory = Arc::new(MemoryStore::default());
    let store = Arc::new(Meanwhile::new(memory.clone(), (Action::Create, Class::Data)));
    let repo = TestRepo::with_store(memory, store.clone());
    let source = repo.source();
    let large = source.join("large");
    write(&large, &noise(1, LARGE_LEN_BYTES));
    write(&source.join("before"), &noise(2, 5_000));
    write(&source.join("too"), &noise(3, 5_000));
    let acting_on = large.clone();
    store.plan(move || act(&acting_on));
    let small = || drumlin::backup::BackupOptions {
        low_memory: true,
        threads: 1,
        ..options(&[repo.source()], "host")
    };
    let (report, monitor) = repo.backup_with(small()).unwrap();
    assert!(store.is_done(), "nothing was stored");
    let snapshot = report.snapshot.unwrap();
    let problems = monitor.problems();
    let kinds: Vec<_> = problems
        .iter()
        .map(|problem| (problem.kind, PathBuf::from(OsStr::from_bytes(&problem.path))))
        .collect();
    assert_eq!(kinds, [(ProblemKind::Changed, large.clone())]);
    assert_eq!((snapshot.problem_count, snapshot.problems[0].kind), (1, 3));
    let trees = Trees::new(Reader::new(&repo.repository).unwrap());
    let entry = trees.lookup(&snapshot.root, large.as_os_str().as_bytes()).unwrap().unwrap().entry;
    assert_ne!(entry.flags & entry_flag::CHANGED_WHILE_READ, 0);
    let target = repo.scratch.path().join("target");
    let path = Some(source.as_os_str().as_bytes().to_vec());
    let mut restore_options =
        RestoreOptions { path, target: target.clone(), threads: 2, ..RestoreOptions::default() };
    restore::run(&repo.repository, &snapshot, &restore_options, &Default::default()).unwrap();
    for name in ["before", "too"] {
        assert_eq!(fs::read(target.join(name)).unwrap(), fs::read(source.join(name)).unwrap());
    }
    let restored = fs::read(target.join("large")).unwrap();
    assert_eq!(restored.len() as u64, entry.size);
    // Nothing that was torn is taken over: the next backup reads the file again, and it is right
    // and unmarked.
    let (report, monitor) = repo.backup_with(small()).unwrap();
    assert_eq!(monitor.problems(), []);
    restore_options.target = repo.scratch.path().join("target of the next");
    restore::run(
        &repo.repository,
        &report.snapshot.unwrap(),
        &restore_options,
        &Default::default(),
    )
    .unwrap();
    assert_eq!(differences(&source, &restore_options.target), "");
    restored
}

#[test]
fn a_file_that_shrinks_while_it_is_read() {
    let restored = changed_while_read(|large| {
        File::options().write(true).open(large).unwrap().set_len(1_000_000).unwrap()
    });
    assert!(restored.len() < LARGE_LEN_BYTES, "what was cut off is not made up");
    assert!(restored[..] == noise(1, LARGE_LEN_BYTES)[..restored.len()]);
}

#[test]
fn a_file_that_grows_while_it_is_read() {
    let restored = changed_while_read(|large| {
        let mut file = File::options().append(true).open(large).unwrap();
        file.write_all(&noise(9, 5_000_000)).unwrap();
    });
    assert!(restored[..LARGE_LEN_BYTES] == noise(1, LARGE_LEN_BYTES)[..]);
    assert!(noise(9, 5_000_000).starts_with(&restored[LARGE_LEN_BYTES..]));
}

#[test]
fn a_file_that_is_overwritten_in_place_with_its_time_set_back() {
    let restored = changed_while_read(|large| {
        let before = fs::metadata(large).unwrap();
        let file = File::options().write(true).open(large).unwrap();
        file.write_all_at(b"changed", LARGE_LEN_BYTES as u64 - 100).unwrap();
        file.write_all_at(b"changed", 100).unwrap();
        set_time(large, before.mtime(), before.mtime_nsec());
    });
    assert_eq!(restored.len(), LARGE_LEN_BYTES);
}

#[test]
fn a_file_that_is_replaced_while_it_is_read() {
    let restored = changed_while_read(|large| {
        let other = large.with_file_name("other");
        fs::write(&other, noise(7, 3_000_000)).unwrap();
        fs::rename(other, large).unwrap();
    });
    assert!(restored == noise(1, LARGE_LEN_BYTES), "one state or the other, not both");
}

#[test]
fn a_file_that_vanishes_while_it_is_read() {
    let restored = changed_while_read(|large| fs::remove_file(large).unwrap());
    assert!(restored == noise(1, LARGE_LEN_BYTES), "it was open, so it was read to its end");
}

/// Files and folders that go away before they are read are named or absent, never a reason to fail.
#[test]
fn things_that_vanish_before_they_are_read() {
    let memory = Arc::new(MemoryStore::default());
    let store = Arc::new(Meanwhile::new(memory.clone(), (Action::Create, Class::Data)));
    let repo = TestRepo::with_store(memory, store.clone());
    let source = repo.source();
    write(&source.join("a/large"), &noise(1, LARGE_LEN_BYTES));
    for number in 0..300 {
        write(&source.join(format!("b/{number}/file")), &noise(number, 2_000));
    }
    write(&source.join("c"), b"stays");
    let gone = source.join("b");
    store.plan(move || fs::remove_dir_all(gone).unwrap());
    let backup = drumlin::backup::BackupOptions {
        low_memory: true,
        threads: 1,
        ..options(std::slice::from_ref(&source), "host")
    };
    let (report, monitor) = repo.backup_with(backup).unwrap();
    let snapshot = report.snapshot.unwrap();
    for problem in monitor.problems() {
        assert!(
            matches!(problem.kind, ProblemKind::Vanished | ProblemKind::Changed),
            "{problem:?}"
        );
        assert!(problem.path.starts_with(source.join("b").as_os_str().as_bytes()), "{problem:?}");
    }
    let trees = Trees::new(Reader::new(&repo.repository).unwrap());
    for name in ["a/large", "c"] {
        assert!(
            trees
                .lookup(&snapshot.root, source.join(name).as_os_str().as_bytes())
                .unwrap()
                .is_some()
        );
    }
}
