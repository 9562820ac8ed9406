//! Existing files that a restore must not lose: names that the snapshot knows to be missing from
//! it, other names of files, folders that are in the way. A dry run counts what the restore then
//! does.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use drumlin::format::snapshot::{Snapshot, SnapshotProblem};
use drumlin::monitor::{Monitor, ProblemKind};
use drumlin::restore::{Overwrite, RestoreOptions, RestoreReport};

use super::{options, restore, restore_well, target};
use crate::support::fixture::{TestRepo, noise, write};
use crate::support::full_tree::differences;
use crate::support::needs::{can_run, holds_xattrs};

fn with_problems(snapshot: &Snapshot, paths: &[&Path]) -> Snapshot {
    let problem = |path: &&Path| SnapshotProblem {
        path: path.as_os_str().as_encoded_bytes().to_vec(),
        kind: 1,
        message: "it could not be read".to_owned(),
    };
    let problems: Vec<_> = paths.iter().map(problem).collect();
    Snapshot { problem_count: problems.len() as u64, problems, ..snapshot.clone() }
}

#[test]
fn delete_spares_what_the_snapshot_lists_as_not_read() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("a/file"), b"x");
    write(&source.join("swapped"), b"x");
    fs::create_dir(source.join("unread")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let options = RestoreOptions { delete: true, ..options(&repo, &target) };
    restore_well(&repo, &snapshot, &options);
    let kept = [
        "a/secret",
        "unread/x",
        "unread/deep/y",
        "around/deep/secret",
        "around/beside",
        "swapped/secret",
    ];
    fs::remove_file(target.join("swapped")).unwrap();
    for name in kept.iter().chain(&["a/gone", "a/secret2", "gone/x"]) {
        write(&target.join(name), b"precious");
    }
    let unread = ["a/secret", "unread", "around/deep/secret", "swapped/secret"]
        .map(|name| source.join(name));
    let known = with_problems(&snapshot, &unread.each_ref().map(|path| &**path));
    let planned = counts(&repo, &known, &RestoreOptions { dry_run: true, ..options.clone() });
    let (report, monitor) = restore(&repo, &known, &options);
    assert_eq!(planned, counted(&report));
    // The folder that stands where a file should be holds what was not read: it stays, and that is
    // an error.
    assert_eq!((report.deleted, report.failed), (4, 1), "{:?}", monitor.problems());
    for name in kept {
        assert_eq!(fs::read(target.join(name)).unwrap(), b"precious", "{name}");
    }
    assert!(["a/gone", "a/secret2", "gone"].iter().all(|name| !target.join(name).exists()));
    // More than is listed: nobody knows which.
    write(&target.join("a/gone"), b"precious");
    let cut = Snapshot { problem_count: 5, ..with_problems(&snapshot, &[]) };
    fs::remove_dir_all(target.join("swapped")).unwrap();
    let (report, monitor) = restore(&repo, &cut, &options);
    assert_eq!((report.deleted, report.failed, monitor.problem_count()), (0, 0, 1));
    assert!(
        monitor.problems()[0].message.contains("nothing is removed"),
        "{:?}",
        monitor.problems()
    );
    assert!(target.join("a/gone").exists());
}

#[test]
fn delete_on_the_way_to_a_single_file_removes_nothing() {
    let repo = TestRepo::new();
    write(&repo.source().join("file"), &noise(1, 5000));
    write(&repo.source().join("other"), b"x");
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    write(&target.join("precious/deep"), b"data");
    write(&target.join("another"), b"data");
    let path = Some(repo.stored_path("file"));
    let options = RestoreOptions { delete: true, path, ..options(&repo, &target) };
    let planned = counts(&repo, &snapshot, &RestoreOptions { dry_run: true, ..options.clone() });
    let report = restore_well(&repo, &snapshot, &options);
    assert_eq!((planned, report.deleted, report.files), (counted(&report), 0, 1));
    assert_eq!(fs::read(target.join("file")).unwrap(), noise(1, 5000));
    assert!(target.join("precious/deep").exists() && target.join("another").exists());
}

/// The numbers that a dry run must know.
fn counted(report: &RestoreReport) -> [u64; 8] {
    let RestoreReport {
        files,
        dirs,
        bytes,
        files_kept,
        bytes_kept,
        left_alone,
        deleted,
        failed,
        ..
    } = *report;
    [files, dirs, bytes, files_kept, bytes_kept, left_alone, deleted, failed]
}

fn counts(repo: &TestRepo, snapshot: &Snapshot, options: &RestoreOptions) -> [u64; 8] {
    counted(
        &restore::list(&repo.repository, snapshot, options, &Monitor::default(), &mut |_| {})
            .unwrap(),
    )
}

/// Writes zeros into a hole and gives the file its time again.
fn set_zeros(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(&vec![0; 300_000], 400_000).unwrap();
    file.set_modified(time).unwrap();
}

#[test]
fn a_dry_run_counts_what_the_restore_then_does() {
    let repo = TestRepo::new();
    let source = repo.source();
    for name in ["a", "b", "deep/er/c", "full", "long", "spoilt"] {
        write(&source.join(name), &noise(name.len() as u64, 40_000));
    }
    write(&source.join("short"), b"short");
    // Its hole begins and ends within blocks.
    write(
        &source.join("zeros"),
        &[noise(5, 40_001), vec![0; 2_000_000], noise(6, 40_000)].concat(),
    );
    fs::hard_link(source.join("long"), source.join("linked")).unwrap();
    fs::hard_link(source.join("full"), source.join("full too")).unwrap();
    symlink("a", source.join("link")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    for delete in [false, true] {
        for overwrite in
            [Overwrite::Always, Overwrite::IfDifferent, Overwrite::IfChanged, Overwrite::Never]
        {
            let target = repo.scratch.path().join(format!("{delete} {overwrite:?}"));
            let options = RestoreOptions { delete, overwrite, ..options(&repo, &target) };
            assert_eq!(
                counts(&repo, &snapshot, &options),
                counted(&restore_well(&repo, &snapshot, &options))
            );
            fs::remove_file(target.join("linked")).unwrap();
            fs::remove_file(target.join("full")).unwrap();
            fs::remove_file(target.join("link")).unwrap();
            symlink("b", target.join("link")).unwrap();
            write(&target.join("full/mine"), b"in the way");
            write(&target.join("spoilt"), &noise(77, 40_000));
            write(&target.join("extra/deep/er"), b"x");
            write(&target.join("deep/extra"), b"x");
            set_zeros(&target.join("zeros"));
            if !delete {
                // What is of another name's file, which stays, is not changed in place.
                fs::hard_link(target.join("b"), target.join("extra/b too")).unwrap();
                fs::set_permissions(target.join("b"), fs::Permissions::from_mode(0o600)).unwrap();
            }
            for _ in 0..2 {
                let planned = counts(&repo, &snapshot, &options);
                let (report, monitor) = restore(&repo, &snapshot, &options);
                assert_eq!(
                    planned,
                    counted(&report),
                    "{delete} {overwrite:?} {:?}",
                    monitor.problems()
                );
                assert_eq!(
                    report.failed,
                    u64::from(!delete && overwrite != Overwrite::Never),
                    "{:?}",
                    monitor.problems()
                );
            }
        }
    }
}

#[test]
fn a_folder_in_the_way_of_one_name_costs_that_name_alone() {
    let repo = TestRepo::new();
    let source = repo.source();
    for (group, len) in [("short", 100), ("one piece", 5000), ("pieces", 3 << 20)] {
        write(&source.join(group).join("a"), &noise(len as u64, len));
        for name in ["b", "c", "z/d"] {
            fs::create_dir_all(source.join(group).join("z")).unwrap();
            fs::hard_link(source.join(group).join("a"), source.join(group).join(name)).unwrap();
        }
    }
    symlink("x", source.join("link a")).unwrap();
    fs::hard_link(source.join("link a"), source.join("link b")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    for in_the_way in [&["a"][..], &["a", "b"], &["a", "b", "c"], &["c"]] {
        let target = repo.scratch.path().join(in_the_way.concat());
        write(&target.join("link a/mine"), b"mine");
        for group in ["short", "one piece", "pieces"] {
            in_the_way
                .iter()
                .for_each(|name| write(&target.join(group).join(name).join("mine"), b"mine"));
        }
        for _ in 0..2 {
            let (report, monitor) = restore(&repo, &snapshot, &options(&repo, &target));
            assert_eq!(report.failed, 3 * in_the_way.len() as u64 + 1, "{:?}", monitor.problems());
            for group in ["short", "one piece", "pieces"] {
                let at = |name: &str| target.join(group).join(name);
                let first = fs::metadata(at("z/d")).unwrap().ino();
                for name in ["a", "b", "c"] {
                    if in_the_way.contains(&name) {
                        assert_eq!(fs::read(at(name).join("mine")).unwrap(), b"mine");
                    } else {
                        assert_eq!(fs::metadata(at(name)).unwrap().ino(), first, "{group} {name}");
                    }
                }
                assert_eq!(
                    fs::read(at("z/d")).unwrap(),
                    fs::read(source.join(group).join("a")).unwrap()
                );
                // The folders are finished all the same.
                let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
                assert_eq!(modified(&at("z")), modified(&source.join(group).join("z")));
            }
            assert!(target.join("link b").is_symlink());
        }
    }
}

#[test]
fn names_of_a_right_file_stay_and_a_missing_one_is_not_linked_to_a_wrong_file() {
    let repo = TestRepo::new();
    let source = repo.source();
    for (name, len) in [("short", 100), ("long", 2 << 20)] {
        write(&source.join(name), &noise(len as u64, len));
        fs::hard_link(source.join(name), source.join(format!("{name} too"))).unwrap();
    }
    crate::support::fixture::let_time_pass();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    restore_well(&repo, &snapshot, &options(&repo, &target));
    let inodes = || {
        ["short", "short too", "long", "long too"]
            .map(|name| fs::metadata(target.join(name)).unwrap().ino())
    };
    let before = inodes();
    for overwrite in [Overwrite::Always, Overwrite::IfDifferent, Overwrite::IfChanged] {
        let options = RestoreOptions { overwrite, ..options(&repo, &target) };
        let report = restore_well(&repo, &snapshot, &options);
        assert_eq!(
            (report.bytes_written, report.files_kept, inodes()),
            (0, 4, before),
            "{overwrite:?}"
        );
        // The right size and time, another content, and the other name is missing.
        for name in ["short", "long"] {
            fs::remove_file(target.join(format!("{name} too"))).unwrap();
            let time = fs::metadata(target.join(name)).unwrap().modified().unwrap();
            fs::write(
                target.join(name),
                noise(9, fs::metadata(target.join(name)).unwrap().len() as usize),
            )
            .unwrap();
            fs::File::options()
                .write(true)
                .open(target.join(name))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        restore_well(&repo, &snapshot, &options);
        assert_eq!(differences(&source, &target), "", "{overwrite:?}");
        assert_eq!(inodes(), before);
    }
}

#[test]
fn folders_above_what_was_backed_up_keep_what_they_have() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), b"x");
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let below = target.join(source.strip_prefix("/").unwrap());
    let above = below.parent().unwrap();
    fs::create_dir_all(above).unwrap();
    fs::set_permissions(above, fs::Permissions::from_mode(0o751)).unwrap();
    let options = RestoreOptions { path: None, ..options(&repo, &target) };
    let about = |path: &Path| {
        fs::metadata(path)
            .map(|about| (about.mode(), about.uid(), about.mtime(), about.ino()))
            .unwrap()
    };
    write(&above.join("mine"), b"x");
    let before = about(above);
    for delete in [false, true] {
        restore_well(&repo, &snapshot, &RestoreOptions { delete, ..options.clone() });
        assert_eq!(about(above).0, before.0);
        assert_eq!(differences(&source, &below), "");
        assert!(above.join("mine").exists());
    }
    // Where they are made, they become what they were.
    let made = repo.scratch.path().join("made");
    restore_well(
        &repo,
        &snapshot,
        &RestoreOptions { path: None, target: made.clone(), ..options.clone() },
    );
    let made_above = made.join(above.strip_prefix(&target).unwrap());
    let original = about(source.parent().unwrap());
    assert_eq!((about(&made_above).0, about(&made_above).1), (original.0, original.1));
    // A link there leads out of this target, which is not where things came from: it is not
    // followed.
    let (linked, outside) =
        (repo.scratch.path().join("linked"), repo.scratch.path().join("outside"));
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&linked).unwrap();
    let first = source.strip_prefix("/").unwrap().components().next().unwrap();
    symlink(&outside, linked.join(first)).unwrap();
    restore(&repo, &snapshot, &RestoreOptions { path: None, target: linked, ..options });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn what_lost_its_attributes_in_the_backup_keeps_those_that_are_there() {
    let repo = TestRepo::new();
    let source = repo.source();
    for name in ["listed", "other"] {
        write(&source.join(name), b"x");
    }
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    restore_well(&repo, &snapshot, &options(&repo, &target));
    let set = |name: &str| {
        rustix::fs::setxattr(target.join(name), "user.mine", b"1", rustix::fs::XattrFlags::empty())
    };
    if !can_run(holds_xattrs(&target), "a file system with attributes") {
        return;
    }
    set("listed").and(set("other")).unwrap();
    let known = with_problems(&snapshot, &[&source.join("listed")]);
    let (report, monitor) = restore(&repo, &known, &options(&repo, &target));
    assert_eq!((report.failed, monitor.problem_count()), (0, 0));
    let has =
        |name: &str| rustix::fs::getxattr(target.join(name), "user.mine", &mut [0; 8]).is_ok();
    assert_eq!((has("listed"), has("other")), (true, false));
    assert!(monitor.problems().iter().all(|problem| problem.kind == ProblemKind::Notice));
}
