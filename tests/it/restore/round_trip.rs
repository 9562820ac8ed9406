//! Equality of a restored tree with its source, for everything that a Unix file system holds.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use drumlin::restore::RestoreOptions;
use rustix::fs::{Mode, OFlags};

use super::{options, restore, restore_well, target};
use crate::support::fixture::{TestRepo, noise, write};
use crate::support::full_tree::{
    differences, listing, make_everything, modes, ordinary_things, run, set_mode,
};
use crate::support::needs::{as_nobody, can_run, is_root};

#[test]
fn a_tree_with_everything_comes_back_equal() {
    let repo = TestRepo::new();
    let source = repo.source();
    make_everything(&source);
    let snapshot = repo.backup("host").snapshot.unwrap();
    for (threads, low_memory) in [(1, true), (3, false)] {
        let target = repo.scratch.path().join(format!("target {threads}"));
        let options =
            RestoreOptions { threads, low_memory, verify: true, ..options(&repo, &target) };
        let report = restore_well(&repo, &snapshot, &options);
        assert_eq!(differences(&source, &target), "");
        assert_eq!(listing(&source), listing(&target));
        assert_eq!(report.verify_failed, 0);
        assert!(report.verified > 20 && report.files == report.verified, "{report:?}");
        let (is, was) = (
            |name: &str| fs::metadata(target.join(name)).unwrap(),
            |name: &str| fs::metadata(source.join(name)).unwrap(),
        );
        for name in ["sparse", "only a hole"] {
            assert!(
                is(name).blocks() <= was(name).blocks() + 64,
                "{name} takes {} blocks",
                is(name).blocks()
            );
        }
        assert_eq!(is("short").ino(), is("sub/short again").ino());
    }
}

#[test]
fn without_a_path_everything_appears_with_its_full_path() {
    let repo = TestRepo::new();
    ordinary_things(&repo.source());
    let snapshot = repo.backup("host").snapshot.unwrap();
    let options = RestoreOptions { path: None, ..options(&repo, &target(&repo)) };
    restore_well(&repo, &snapshot, &options);
    let below = target(&repo).join(repo.source().strip_prefix("/").unwrap());
    assert_eq!(differences(&repo.source(), &below), "");
}

#[test]
fn flags_come_last_and_go_first() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), &noise(1, 100_000));
    write(&source.join("folder/file"), b"x");
    fs::hard_link(source.join("file"), source.join("folder/linked")).unwrap();
    fs::create_dir(source.join("links")).unwrap();
    (0..40).for_each(|number| {
        fs::hard_link(source.join("file"), source.join(format!("links/{number}"))).unwrap()
    });
    let flags = |flag: &str, root: &Path| {
        for name in ["file", "folder"] {
            let done = Command::new("chattr").arg(flag).arg(root.join(name)).output().unwrap();
            if !done.status.success() {
                return false;
            }
        }
        true
    };
    let may_lock = is_root() && flags("+i", &source);
    if !can_run(may_lock, "root and a file system with the flags of chattr") {
        return;
    }
    let snapshot = repo.backup("host").snapshot.unwrap();
    let options = options(&repo, &target(&repo));
    restore_well(&repo, &snapshot, &options);
    let first = listing(&target(&repo));
    let equal = first == listing(&source);
    restore_well(&repo, &snapshot, &options);
    let again = listing(&target(&repo)) == first;
    // What stands in the way is immutable too.
    flags("-i", &source);
    write(&source.join("file"), &noise(2, 90_000));
    write(&source.join("folder/more"), b"y");
    let changed = repo.backup("host").snapshot.unwrap();
    restore_well(&repo, &changed, &options);
    let differences = differences(&source, &target(&repo));
    let is_cleared = fs::remove_dir_all(target(&repo)).is_ok();
    flags("-i", &target(&repo));
    assert!(equal && again && first.contains("-i"), "{first}");
    assert_eq!(differences, "");
    assert!(is_cleared);
}

/// Makes (or enters) a chain of folders whose path is far longer than the system allows, with a
/// file at its end.
fn deep(root: &Path, levels: usize, make: bool) -> OwnedFd {
    let name = "d".repeat(200);
    let mut dir: OwnedFd = File::open(root).unwrap().into();
    for _ in 0..levels {
        if make {
            rustix::fs::mkdirat(&dir, &name, Mode::from_raw_mode(0o755)).unwrap();
        }
        dir = rustix::fs::openat(
            &dir,
            &name,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .unwrap();
    }
    dir
}

#[test]
fn paths_longer_than_the_system_allows_come_back() {
    let repo = TestRepo::new();
    let levels = 600;
    let end = deep(&repo.source(), levels, true);
    let flags = OFlags::CREATE | OFlags::WRONLY;
    File::from(rustix::fs::openat(&end, "file", flags, Mode::RUSR).unwrap())
        .write_all_at(&noise(1, 5000), 0)
        .unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    restore_well(
        &repo,
        &snapshot,
        &RestoreOptions { verify: true, ..options(&repo, &target(&repo)) },
    );
    let end = deep(&target(&repo), levels, false);
    let file = File::from(rustix::fs::openat(&end, "file", OFlags::RDONLY, Mode::empty()).unwrap());
    let mut bytes = vec![0; 5000];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, noise(1, 5000));
    for folder in [repo.source(), target(&repo)] {
        // The test framework's own cleaning stops at the system's limit.
        run("rm", &["-rf".as_ref(), folder.as_os_str()]);
    }
}

#[test]
fn inherited_acls_and_groups_do_not_leak_into_what_is_restored() {
    if !can_run(is_root(), "root, to make files of others") {
        return;
    }
    let repo = TestRepo::new();
    let source = repo.source();
    ordinary_things(&source);
    modes(&source);
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    fs::create_dir(&target).unwrap();
    std::os::unix::fs::chown(&target, None, Some(4321)).unwrap();
    set_mode(&target, 0o2777);
    run(
        "setfacl",
        &["-d".as_ref(), "-m".as_ref(), "u:1234:rwx,m::rwx".as_ref(), target.as_os_str()],
    );
    write(&target.join("something"), b"so that the folder is not taken for a new one");
    restore_well(&repo, &snapshot, &options(&repo, &target));
    let differences = differences(&source, &target);
    // The folder itself is the user's: only what is in it must be equal.
    let inside: Vec<_> = differences
        .lines()
        .filter(|line| !line.ends_with(" ./") && !line.ends_with("something"))
        .collect();
    assert_eq!(inside, Vec::<&str>::new());
}

#[test]
fn in_a_folder_with_a_default_acl_of_base_entries_each_file_gets_its_mode() {
    let repo = TestRepo::new();
    let (source, target) = (repo.source(), target(&repo));
    for (name, mode) in
        [("a", 0o640), ("b", 0o644), ("c", 0o600), ("d", 0o755), ("e/f", 0o640), ("e/g", 0o664)]
    {
        write(&source.join(name), &noise(1, 5000));
        set_mode(&source.join(name), mode);
    }
    let snapshot = repo.backup("host").snapshot.unwrap();
    write(&target.join("something"), b"so that the folder is not taken for a new one");
    run("setfacl", &["-d".as_ref(), "-m".as_ref(), "o::---".as_ref(), target.as_os_str()]);
    restore_well(&repo, &snapshot, &RestoreOptions { threads: 1, ..options(&repo, &target) });
    for name in ["a", "b", "c", "d", "e/f", "e/g"] {
        let mode = |folder: &Path| fs::metadata(folder.join(name)).unwrap().mode();
        assert_eq!(mode(&target), mode(&source), "{name}");
    }
}

#[test]
fn ordinary_users_get_everything_but_owners_with_one_notice() {
    // Only the superuser can make files of others, and only others can show what they may not do.
    if !can_run(is_root(), "root, to make files of others") {
        return;
    }
    let repo = TestRepo::new();
    let source = repo.source();
    ordinary_things(&source);
    for (number, name) in ["short", "sub", "sub/copy", "twice/same"].iter().enumerate() {
        std::os::unix::fs::lchown(source.join(name), Some(1000 + number as u32), None).unwrap();
    }
    set_mode(&source.join("sub/copy"), 0o4755);
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    fs::create_dir(&target).unwrap();
    fs::set_permissions(repo.scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    run("chmod", &["-R".as_ref(), "a+rwX".as_ref(), repo.scratch.path().join("cache").as_os_str()]);
    std::os::unix::fs::chown(&target, Some(65_534), Some(65_534)).unwrap();
    let (report, monitor) = as_nobody(|| restore(&repo, &snapshot, &options(&repo, &target)));
    let problems = monitor.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(report.failed, 0);
    assert_eq!(fs::metadata(target.join("sub/copy")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(target.join("sub/copy")).unwrap(), noise(2, 3_000_000));
}

#[test]
fn folders_that_shut_their_owner_out_are_finished_whatever_links_lie_in_them() {
    if !can_run(is_root(), "root, to make files of others") {
        return;
    }
    let repo = TestRepo::new();
    let source = repo.source();
    for name in ["a/b/plain", "a/c/first", "d/e/f/first", "g/h"] {
        write(&source.join(name), &noise(name.len() as u64, 70_000));
    }
    fs::hard_link(source.join("a/c/first"), source.join("g/second")).unwrap();
    fs::hard_link(source.join("d/e/f/first"), source.join("g/third")).unwrap();
    fs::hard_link(source.join("g/h"), source.join("a/b/last")).unwrap();
    for (name, mode) in [
        ("a/b", 0o555),
        ("a/c", 0o500),
        ("a", 0o555),
        ("d/e/f", 0o055),
        ("d/e", 0o444),
        ("d", 0o100),
        ("g", 0o555),
    ] {
        set_mode(&source.join(name), mode);
    }
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    fs::create_dir(&target).unwrap();
    fs::set_permissions(repo.scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    run("chmod", &["-R".as_ref(), "a+rwX".as_ref(), repo.scratch.path().join("cache").as_os_str()]);
    std::os::unix::fs::chown(&target, Some(65_534), Some(65_534)).unwrap();
    // Into an empty folder, over what is there, and with everything read again.
    for verify in [false, false, true] {
        let options = RestoreOptions { verify, ..options(&repo, &target) };
        let (report, monitor) = as_nobody(|| restore(&repo, &snapshot, &options));
        assert_eq!((report.failed, report.verify_failed), (0, 0), "{:?}", monitor.problems());
        for name in
            ["a/b", "a/c", "a", "d/e/f", "d/e", "d", "g", "a/b/last", "g/second", "d/e/f/first"]
        {
            let of = |folder: &Path| {
                fs::metadata(folder.join(name))
                    .map(|stat| (stat.mode(), stat.nlink(), stat.mtime()))
                    .unwrap()
            };
            assert_eq!(of(&target), of(&source), "{name}");
        }
    }
}
