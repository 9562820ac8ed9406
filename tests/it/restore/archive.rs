//! Goal: archives hold what a restore gives back, and never other bytes. Method: a tree with
//! make_everything, and programs of others (GNU tar, Python) that read what was written.

use std::fs;
use std::path::Path;

use drumlin::monitor::ProblemKind;
use drumlin::restore::archive::ArchiveFormat;
use drumlin::restore::{Error, RestoreOptions};
use drumlin::store::Store;

use super::damage::{data_keys, two_packs};
use super::{options, target};
use crate::support::archives::{archive, extract, run};
use crate::support::fixture::{TestRepo, noise, write};
use crate::support::full_tree::{differences, make_everything};
use crate::support::needs::is_root;

#[test]
fn gnu_tar_gives_back_a_tree_with_everything() {
    let repo = TestRepo::new();
    let source = repo.source();
    make_everything(&source);
    let deep = source.join("d".repeat(120)).join("e".repeat(150)).join("f".repeat(60));
    write(&deep.join("far"), b"a path that no old header holds");
    fs::hard_link(deep.join("far"), source.join("near")).unwrap();
    std::os::unix::fs::symlink("x".repeat(300), source.join("a link to far away")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let (report, monitor, path) =
        archive(&repo, &snapshot, &options(&repo, &target(&repo)), ArchiveFormat::Tar);
    let report = report.unwrap();
    extract(&path, &target(&repo));
    // The folder itself is not in the archive, and sockets are in none.
    let is_known = |line: &&str| line.ends_with(" ./") || line.ends_with(" socket");
    let differences = differences(&source, &target(&repo));
    let unknown: Vec<&str> = differences.lines().filter(|line| !is_known(line)).collect();
    assert!(unknown.is_empty(), "{differences}");
    for name in ["sparse", "only a hole"] {
        let blocks = |folder: &Path| {
            std::os::unix::fs::MetadataExt::blocks(&fs::metadata(folder.join(name)).unwrap())
        };
        assert!(
            blocks(&target(&repo)) <= blocks(&source) + 64,
            "{name} takes {} blocks",
            blocks(&target(&repo))
        );
    }
    let len_bytes = fs::metadata(&path).unwrap().len();
    assert!(
        report.archive_bytes == len_bytes && len_bytes < 20 << 20 && len_bytes % 512 == 0,
        "{report:?}, {len_bytes}"
    );
    assert!(
        report.hard_links >= 3 && (report.damaged, report.left_out, report.partial) == (0, 0, 0),
        "{report:?}"
    );
    assert!(
        monitor.problems().iter().all(|problem| problem.kind == ProblemKind::Notice),
        "{:?}",
        monitor.problems()
    );
    // Times to the nanosecond, and an attribute of a link, as Python reads it.
    let script = "import sys, tarfile\nfor m in tarfile.open(sys.argv[1]):\n  if m.name in ('dangling', 'sub', 'older than 1970'): print(m.name, m.pax_headers)";
    let headers = run("python3", &["-c", script, path.to_str().unwrap()]);
    assert!(
        headers.contains("'mtime': '1000000000.123456789'")
            && headers.contains("'mtime': '1234567890.987654321'"),
        "{headers}"
    );
    assert!(headers.contains("'mtime': '-999999.000000001'"), "{headers}");
    if is_root() {
        assert!(headers.contains("'SCHILY.xattr.trusted.of a link': 'link'"), "{headers}");
    }
}

/// What is selected is what a restore would select; folders on the way are there, and the first of
/// several names that is there holds the content.
#[test]
fn parts_of_a_snapshot() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("a/one.txt"), b"one");
    write(&source.join("a/two.log"), &noise(2, 20_000));
    fs::create_dir(source.join("b")).unwrap();
    fs::hard_link(source.join("a/two.log"), source.join("b/three.txt")).unwrap();
    fs::hard_link(source.join("a/two.log"), source.join("b/four.txt")).unwrap();
    write(&source.join("c/five.log"), b"five");
    let snapshot = repo.backup("host").snapshot.unwrap();
    let all = options(&repo, &target(&repo));
    let list = |options: &RestoreOptions| {
        let (report, monitor, path) = archive(&repo, &snapshot, options, ArchiveFormat::Tar);
        assert!(report.is_ok() && monitor.problems().is_empty(), "{:?}", monitor.problems());
        run("tar", &["-tf", path.to_str().unwrap()]).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        list(&all),
        ["a/", "a/one.txt", "a/two.log", "b/", "b/four.txt", "b/three.txt", "c/", "c/five.log"]
    );
    let some = RestoreOptions { includes: vec!["*.txt".into()], ..all.clone() };
    assert_eq!(list(&some), ["a/", "a/one.txt", "b/", "b/four.txt", "b/three.txt"]);
    extract(&repo.scratch.path().join("archive"), &target(&repo));
    for name in ["b/four.txt", "b/three.txt"] {
        assert_eq!(fs::read(target(&repo).join(name)).unwrap(), noise(2, 20_000));
    }
    let file = [repo.source().as_os_str().as_encoded_bytes(), b"/a/one.txt"].concat();
    assert_eq!(list(&RestoreOptions { path: Some(file), ..all.clone() }), ["one.txt"]);
    let whole = list(&RestoreOptions { path: None, ..all });
    assert!(
        whole.last().unwrap().ends_with("source/c/five.log") && !whole[0].starts_with('/'),
        "{whole:?}"
    );
}

/// Short files that are damaged are named and left out; a long one ends the archive, so that no
/// entry holds other bytes.
#[test]
fn damage_is_never_archived() {
    for format in [ArchiveFormat::Tar, ArchiveFormat::Zip] {
        let repo = two_packs();
        let before = data_keys(&repo.memory);
        write(
            &repo.source().join("second/long"),
            &[noise(3000, 2_000_000), noise(1, 100)].concat(),
        );
        let snapshot = repo.backup("host").snapshot.unwrap();
        for key in data_keys(&repo.memory).iter().filter(|key| !before.contains(key)) {
            repo.memory.remove(key).unwrap();
        }
        let all = options(&repo, &target(&repo));
        let (report, _, _) = archive(&repo, &snapshot, &all, format);
        assert!(
            matches!(&report, Err(Error::Torn { path, .. }) if path.ends_with("/large")),
            "{format:?}: {report:?}"
        );
        let without = RestoreOptions { excludes: vec!["large".into(), "long".into()], ..all };
        let (report, monitor, path) = archive(&repo, &snapshot, &without, format);
        let report = report.unwrap();
        assert_eq!(
            (report.damaged, report.files, monitor.problem_count()),
            (50, 50, 50),
            "{format:?}: {report:?}"
        );
        assert!(monitor.problems().iter().all(|problem| problem.kind == ProblemKind::Damaged));
        if format == ArchiveFormat::Tar {
            extract(&path, &target(&repo));
            assert!(
                (0..50).all(|n| fs::read(target(&repo).join(format!("first/{n}"))).unwrap()
                    == noise(n, 9_000))
            );
            assert_eq!(fs::read_dir(target(&repo).join("second")).unwrap().count(), 0);
        }
    }
}

/// Zip files hold less, and what they do not hold is named.
#[test]
fn python_reads_a_zip_file() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("short.txt"), b"inline");
    write(&source.join("empty"), b"");
    write(&source.join("f\u{fc}nf/long \u{2603}"), &noise(1, 3_000_000));
    write(&source.join("f\u{fc}nf/zeros"), &vec![0; 2_000_000]);
    std::os::unix::fs::symlink("../short.txt", source.join("f\u{fc}nf/link")).unwrap();
    let time = rustix::fs::Timespec { tv_sec: 1_234_567_890, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        source.join("short.txt"),
        &times,
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    fs::set_permissions(
        source.join("short.txt"),
        std::os::unix::fs::PermissionsExt::from_mode(0o4751),
    )
    .unwrap();
    fs::hard_link(source.join("short.txt"), source.join("again.txt")).unwrap();
    for odd in [&b"\xff"[..], b"back\\slash", b"co:lon"] {
        write(
            &source.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(odd)),
            b"odd",
        );
    }
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, source.join("fifo"), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    rustix::fs::lsetxattr(source.join("empty"), "user.x", b"y", rustix::fs::XattrFlags::empty())
        .unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let (report, monitor, path) =
        archive(&repo, &snapshot, &options(&repo, &target(&repo)), ArchiveFormat::Zip);
    let report = report.unwrap();
    assert_eq!(
        (report.files, report.dirs, report.left_out, report.partial, report.hard_links),
        (6, 1, 4, 3, 0),
        "{report:?}"
    );
    let named: Vec<String> = monitor
        .problems()
        .iter()
        .map(|problem| {
            String::from_utf8_lossy(&problem.path).rsplit('/').next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        named,
        ["again.txt", "back\\slash", "co:lon", "empty", "fifo", "short.txt", "\u{fffd}"]
    );
    let script = "
import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
for i in z.infolist():
    print(i.filename, oct(i.external_attr >> 16), i.file_size, i.is_dir())
i = z.getinfo('short.txt')
assert i.date_time == (2009, 2, 13, 23, 31, 30), i.date_time
assert z.read('f\\u00fcnf/link') == b'../short.txt'
z.extractall(sys.argv[2])
";
    fs::create_dir(target(&repo)).unwrap();
    let listed =
        run("python3", &["-c", script, path.to_str().unwrap(), target(&repo).to_str().unwrap()]);
    let expected = [
        "again.txt 0o104751 6 False",
        "empty 0o100644 0 False",
        "f\u{fc}nf/ 0o40755 0 True",
        "f\u{fc}nf/link 0o120777 12 False",
        "f\u{fc}nf/long \u{2603} 0o100644 3000000 False",
        "f\u{fc}nf/zeros 0o100644 2000000 False",
        "short.txt 0o104751 6 False",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
    for name in ["again.txt", "f\u{fc}nf/long \u{2603}", "f\u{fc}nf/zeros", "short.txt", "empty"] {
        assert!(
            fs::read(target(&repo).join(name)).unwrap() == fs::read(source.join(name)).unwrap(),
            "{name}"
        );
    }
    assert!(
        report.archive_bytes == fs::metadata(&path).unwrap().len()
            && report.archive_bytes < 3_200_000,
        "{report:?}"
    );
}

/// More entries than the old format counts.
#[test]
fn zip_files_have_room_for_many_entries() {
    let repo = TestRepo::new();
    (0..70_000).for_each(|n| write(&repo.source().join(format!("{}/{n}", n % 70)), b""));
    let snapshot = repo.backup("host").snapshot.unwrap();
    let (report, _, path) =
        archive(&repo, &snapshot, &options(&repo, &target(&repo)), ArchiveFormat::Zip);
    assert_eq!(report.unwrap().files, 70_000);
    let script = "import sys, zipfile\nprint(len(zipfile.ZipFile(sys.argv[1]).infolist()))";
    assert_eq!(run("python3", &["-c", script, path.to_str().unwrap()]), "70070\n");
}
