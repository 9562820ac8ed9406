//! Restores over existing files: right content is used again, wrong content is changed, and no file
//! of another user is touched.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::process::Command;

use drumlin::monitor::ProblemKind;
use drumlin::restore::{Overwrite, RestoreOptions, RestoreReport};
use drumlin::store::{Action, Class};

use super::{options, restore, restore_well, target};
use crate::support::fixture::{TestRepo, noise, write};
use crate::support::full_tree::differences;

const MIB: usize = 1 << 20;

#[test]
fn a_second_restore_reads_no_data_and_changes_nothing() {
    let repo = TestRepo::new();
    let source = repo.source();
    (0..300).for_each(|n| write(&source.join(format!("d{}/f{n}", n % 7)), &noise(n, 3000)));
    write(&source.join("large"), &noise(1000, 3 * MIB));
    symlink("large", source.join("link")).unwrap();
    fs::hard_link(source.join("large"), source.join("linked")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let options = options(&repo, &target(&repo));
    restore_well(&repo, &snapshot, &options);
    let changed = |name: &str| {
        fs::symlink_metadata(target(&repo).join(name))
            .map(|m| (m.ctime(), m.ctime_nsec(), m.ino()))
            .unwrap()
    };
    let names = ["large", "link", "d3/f3", "d3"];
    let before = names.map(changed);
    let counts = repo.store.counts();
    let report = restore_well(&repo, &snapshot, &options);
    assert_eq!((repo.store.counts() - counts).of(Action::Read, Class::Data).calls, 0);
    // The folder's own attributes are looked at, nothing is set.
    assert_eq!(names.map(changed), before);
    assert_eq!((report.files_kept, report.bytes_written, report.bytes_fetched), (303, 0, 0));
    assert_eq!(
        (report.bytes, report.bytes_kept),
        (snapshot.stats.totals.bytes, snapshot.stats.totals.bytes)
    );
}

#[test]
fn of_a_changed_file_only_the_changed_chunks_are_fetched() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("image"), &noise(1, 24 * MIB));
    let snapshot = repo.backup("host").snapshot.unwrap();
    let options = options(&repo, &target(&repo));
    restore_well(&repo, &snapshot, &options);
    let image = fs::File::options().write(true).open(target(&repo).join("image")).unwrap();
    image.write_all_at(b"scribble", 5 * MIB as u64).unwrap();
    image.set_len(30 * MIB as u64).unwrap();
    let inode = image.metadata().unwrap().ino();
    let report = restore_well(&repo, &snapshot, &options);
    assert_eq!(differences(&source, &target(&repo)), "");
    assert_eq!(
        fs::metadata(target(&repo).join("image")).unwrap().ino(),
        inode,
        "it is changed in place"
    );
    assert!(report.bytes_written < 600_000 && report.bytes_kept > 23 * MIB as u64, "{report:?}");
    assert!(report.bytes_fetched < 5 * MIB as u64, "{report:?}");
}

#[test]
fn content_is_compared_unless_size_and_time_are_to_be_believed() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), &noise(1, 200_000));
    write(&source.join("short"), b"right");
    crate::support::fixture::let_time_pass();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let compared = options(&repo, &target);
    let if_changed = RestoreOptions { overwrite: Overwrite::IfChanged, ..compared.clone() };
    restore_well(&repo, &snapshot, &if_changed);
    let spoil = || {
        for (name, wrong) in [("file", &noise(2, 200_000)[..]), ("short", b"wrong")] {
            let times = fs::FileTimes::new()
                .set_modified(fs::metadata(target.join(name)).unwrap().modified().unwrap());
            fs::write(target.join(name), wrong).unwrap();
            fs::File::options()
                .write(true)
                .open(target.join(name))
                .unwrap()
                .set_times(times)
                .unwrap();
        }
    };
    spoil();
    let report = restore_well(&repo, &snapshot, &if_changed);
    assert_eq!((report.bytes_written, report.files_kept), (0, 2));
    let (report, monitor) =
        restore(&repo, &snapshot, &RestoreOptions { verify: true, ..if_changed.clone() });
    assert_eq!(
        (report.verify_failed, monitor.problems().len()),
        (2, 2),
        "what is believed wrongly is found by reading it"
    );
    for overwrite in [Overwrite::Always, Overwrite::IfDifferent] {
        spoil();
        let report = restore_well(
            &repo,
            &snapshot,
            &RestoreOptions { overwrite, verify: true, ..compared.clone() },
        );
        assert_eq!((report.bytes_written, report.files_kept), (200_005, 0));
        assert_eq!(differences(&source, &target), "");
    }
}

#[test]
fn never_leaves_alone_what_is_there_and_fills_in_the_rest() {
    let repo = TestRepo::new();
    let source = repo.source();
    for name in ["a/missing", "a/there", "b/below", "linked"] {
        write(&source.join(name), &noise(name.len() as u64, 5000));
    }
    fs::hard_link(source.join("linked"), source.join("linked too")).unwrap();
    symlink("x", source.join("link")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    write(&target.join("a/there"), b"mine");
    write(&target.join("b"), b"a file where a folder would be");
    write(&target.join("linked"), b"mine too");
    write(&target.join("link"), b"no link");
    let options =
        RestoreOptions { overwrite: Overwrite::Never, verify: true, ..options(&repo, &target) };
    let (report, monitor) = restore(&repo, &snapshot, &options);
    assert!(
        monitor.problems().iter().all(|problem| problem.kind == ProblemKind::Notice),
        "{:?}",
        monitor.problems()
    );
    assert_eq!((report.left_alone, report.failed, report.verify_failed), (4, 0, 0), "{report:?}");
    assert_eq!(fs::read(target.join("a/there")).unwrap(), b"mine");
    assert_eq!(
        fs::read(target.join("a/missing")).unwrap(),
        fs::read(source.join("a/missing")).unwrap()
    );
    assert_eq!(
        fs::read(target.join("linked too")).unwrap(),
        fs::read(source.join("linked")).unwrap(),
        "not linked to what is left alone"
    );
    assert_eq!(fs::read(target.join("linked")).unwrap(), b"mine too");
    assert!(target.join("b").is_file() && target.join("link").is_file());
}

#[test]
fn other_kinds_in_the_way_are_replaced_but_no_folder_with_content() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), &noise(1, 5000));
    write(&source.join("folder/inside"), b"x");
    write(&source.join("full"), &noise(2, 5000));
    symlink("file", source.join("link")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    fs::create_dir_all(target.join("file")).unwrap();
    fs::create_dir_all(target.join("link")).unwrap();
    write(&target.join("full/precious"), b"data");
    symlink("full", target.join("folder")).unwrap();
    let options = options(&repo, &target);
    let (report, monitor) = restore(&repo, &snapshot, &options);
    assert_eq!((report.failed, monitor.problem_count()), (1, 1), "{:?}", monitor.problems());
    assert_eq!(
        monitor.problems()[0].path,
        source.join("full").into_os_string().into_encoded_bytes()
    );
    assert_eq!(fs::read(target.join("full/precious")).unwrap(), b"data");
    assert!(!target.join("full/inside").exists(), "the link was not followed");
    let report = restore_well(&repo, &snapshot, &RestoreOptions { delete: true, ..options });
    assert_eq!(report.deleted, 2);
    let differences = differences(&source, &target);
    assert!(differences.lines().all(|line| line.ends_with(" ./")), "{differences}");
}

#[test]
fn delete_removes_what_the_snapshot_does_not_have_and_only_there() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("a/file"), b"x");
    write(&source.join("z"), b"x");
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let outside = repo.scratch.path().join("outside");
    write(&outside.join("precious"), b"data");
    let options = RestoreOptions { delete: true, path: None, ..options(&repo, &target) };
    restore_well(&repo, &snapshot, &options);
    let below = target.join(source.strip_prefix("/").unwrap());
    write(&below.join("a/extra/deep/er"), b"x");
    write(&below.join("extra.log"), b"x");
    write(&below.join("zz"), b"x");
    write(&below.join("zz extra/deep/only.log"), b"x");
    write(&below.join("zz extra/x"), b"x");
    let chattr = |how: &str| {
        Command::new("chattr")
            .arg(how)
            .arg(below.join("zz extra/deep"))
            .status()
            .is_ok_and(|status| status.success())
    };
    let is_locked = chattr("+i");
    symlink(&outside, below.join("a/link")).unwrap();
    write(&target.join("beside"), b"above what was backed up: the snapshot says nothing about it");
    let dry = RestoreOptions { dry_run: true, ..options.clone() };
    assert_eq!(restore_well(&repo, &snapshot, &dry).deleted, 10);
    let but_logs = RestoreOptions { excludes: vec!["*.log".into()], ..options.clone() };
    let dry = RestoreOptions { dry_run: true, ..but_logs.clone() };
    assert_eq!(restore_well(&repo, &snapshot, &dry).deleted, 6);
    assert_eq!(restore_well(&repo, &snapshot, &but_logs).deleted, 6);
    assert!(below.join("extra.log").exists() && !below.join("zz").exists());
    let kept = below.join("zz extra/deep/only.log");
    assert!(
        kept.exists() && !below.join("zz extra/x").exists(),
        "what is excluded stays, with the folders that it lies in"
    );
    assert_eq!(
        fs::write(below.join("zz extra/deep/new"), b"x").is_err(),
        is_locked,
        "it is as immutable as it was"
    );
    assert_eq!(restore_well(&repo, &snapshot, &options).deleted, 4 + u64::from(!is_locked));
    assert_eq!(differences(&source, &below), "");
    assert!(target.join("beside").exists());
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"data");
}

#[test]
fn a_folder_in_the_way_keeps_what_is_excluded() {
    let repo = TestRepo::new();
    write(&repo.source().join("file"), b"x");
    write(&repo.source().join("other"), b"x");
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    write(&target.join("file/deep/precious.log"), b"data");
    write(&target.join("file/deep/extra"), b"x");
    write(&target.join("other/extra"), b"x");
    let options =
        RestoreOptions { delete: true, excludes: vec!["*.log".into()], ..options(&repo, &target) };
    let counted = |report: &RestoreReport| (report.deleted, report.failed, report.files);
    let (dry, _) = restore(&repo, &snapshot, &RestoreOptions { dry_run: true, ..options.clone() });
    let (report, monitor) = restore(&repo, &snapshot, &options);
    assert_eq!(counted(&dry), counted(&report));
    assert_eq!((report.deleted, report.failed), (3, 1), "{:?}", monitor.problems());
    assert!(
        monitor.problems()[0].message.contains("what is not selected"),
        "{:?}",
        monitor.problems()
    );
    assert_eq!(fs::read(target.join("file/deep/precious.log")).unwrap(), b"data");
    assert!(
        !target.join("file/deep/extra").exists() && fs::read(target.join("other")).unwrap() == b"x"
    );
}

#[test]
fn a_file_with_names_elsewhere_is_replaced_not_changed() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), &noise(1, 100_000));
    write(&source.join("short"), b"right");
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let outside = repo.scratch.path().join("outside");
    for name in ["file", "short"] {
        write(&outside.join(name), b"precious");
        fs::create_dir_all(&target).unwrap();
        fs::hard_link(outside.join(name), target.join(name)).unwrap();
    }
    let before = fs::metadata(outside.join("file")).unwrap();
    restore_well(&repo, &snapshot, &options(&repo, &target));
    for name in ["file", "short"] {
        assert_eq!(fs::read(outside.join(name)).unwrap(), b"precious");
    }
    let after = fs::metadata(outside.join("file")).unwrap();
    assert_eq!(
        (after.mtime(), after.mode(), after.uid()),
        (before.mtime(), before.mode(), before.uid())
    );
    assert_eq!(fs::read(target.join("file")).unwrap(), noise(1, 100_000));
}

#[test]
fn hard_links_are_made_again_where_they_are_missing_or_wrong() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("a"), &noise(1, 100_000));
    for name in ["b", "c", "d"] {
        fs::hard_link(source.join("a"), source.join(name)).unwrap();
    }
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let options = options(&repo, &target);
    restore_well(&repo, &snapshot, &options);
    fs::remove_file(target.join("b")).unwrap();
    fs::remove_file(target.join("c")).unwrap();
    write(&target.join("c"), b"no link");
    restore_well(&repo, &snapshot, &options);
    assert_eq!(differences(&source, &target), "");
    assert_eq!(fs::metadata(target.join("a")).unwrap().nlink(), 4);
    // A later snapshot in which only the content differs.
    fs::write(source.join("a"), noise(2, 100_000)).unwrap();
    let later = repo.backup("host").snapshot.unwrap();
    restore_well(&repo, &later, &options);
    assert_eq!(differences(&source, &target), "");
}
