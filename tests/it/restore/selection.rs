//! Parts of a snapshot: one path at any depth, patterns, dry runs; what is not wanted is not read.

use std::fs;
use std::path::Path;

use drumlin::monitor::{Monitor, ProblemKind};
use drumlin::restore::{self, EntryAction, Error, RestoreOptions};
use drumlin::store::{Action as Call, Class};

use super::{options, restore as run, restore_well, target};
use crate::support::fixture::{TestRepo, noise, write};
use crate::support::full_tree::differences;

/// Returns all names below `root`, sorted.
fn names(root: &Path) -> Vec<String> {
    let output = std::process::Command::new("find")
        .arg(root)
        .args(["-mindepth", "1", "-printf", "%P\n"])
        .output()
        .unwrap();
    let mut names: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn a_single_file_is_restored_without_reading_other_data() {
    let repo = TestRepo::new();
    let source = repo.source();
    (0..40).for_each(|n| write(&source.join(format!("big/{n}")), &noise(n, 1_000_000)));
    write(&source.join("a/b/c/d/wanted"), &noise(100, 50_000));
    let snapshot = repo.backup("host").snapshot.unwrap();
    let path = Some(source.join("a/b/c/d/wanted").into_os_string().into_encoded_bytes());
    let counts = repo.store.counts();
    let report =
        restore_well(&repo, &snapshot, &RestoreOptions { path, ..options(&repo, &target(&repo)) });
    let read = (repo.store.counts() - counts).of(Call::Read, Class::Data);
    assert_eq!(names(&target(&repo)), ["wanted"]);
    assert_eq!(fs::read(target(&repo).join("wanted")).unwrap(), noise(100, 50_000));
    assert_eq!((report.files, read.calls), (1, 1));
    assert!(read.bytes < 3_000_000, "{read:?}");
}

#[test]
fn includes_and_excludes_mean_what_gitignore_means() {
    let repo = TestRepo::new();
    let source = repo.source();
    for name in [
        "docs/a.txt",
        "docs/b.md",
        "docs/old/c.txt",
        "src/main.rs",
        "src/gen/out.rs",
        "tmp/x.txt",
        "top.txt",
    ] {
        write(&source.join(name), name.as_bytes());
    }
    fs::create_dir(source.join("empty")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let cases: [(&[&str], &[&str], &[&str]); 5] = [
        (&["*.txt"], &["tmp/"], &["docs", "docs/a.txt", "docs/old", "docs/old/c.txt", "top.txt"]),
        (&["/docs/old"], &[], &["docs", "docs/old", "docs/old/c.txt"]),
        (&["src", "!gen"], &[], &["src", "src/main.rs"]),
        (&[], &["*.txt", "/src", "empty"], &["docs", "docs/b.md", "docs/old", "tmp"]),
        (&["docs/"], &["old"], &["docs", "docs/a.txt", "docs/b.md"]),
    ];
    for (number, (includes, excludes, expected)) in cases.into_iter().enumerate() {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).into()).collect();
        let target = repo.scratch.path().join(format!("target {number}"));
        let options = RestoreOptions {
            includes: owned(includes),
            excludes: owned(excludes),
            verify: true,
            ..options(&repo, &target)
        };
        restore_well(&repo, &snapshot, &options);
        assert_eq!(names(&target), expected, "{includes:?} {excludes:?}");
    }
    let nothing =
        RestoreOptions { includes: vec!["/nothing".into()], ..options(&repo, &target(&repo)) };
    let (report, monitor) = run(&repo, &snapshot, &nothing);
    let problems = monitor.problems();
    assert_eq!(
        (report.files, problems[0].path.as_slice(), problems[0].kind),
        (0, &b"/nothing"[..], ProblemKind::NotRestored)
    );
    let bad = RestoreOptions { includes: vec!["a[z".into()], ..options(&repo, &target(&repo)) };
    let refused = restore::run(&repo.repository, &snapshot, &bad, &Monitor::default());
    assert!(matches!(refused, Err(Error::Pattern { .. })), "{refused:?}");
}

#[test]
fn a_dry_run_tells_what_would_happen_and_changes_nothing() {
    let repo = TestRepo::new();
    let source = repo.source();
    for name in ["changed", "folder/new", "kept", "linked"] {
        write(&source.join(name), &noise(1, 2000));
    }
    crate::support::fixture::let_time_pass();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let target = target(&repo);
    let options = RestoreOptions { delete: true, ..options(&repo, &target) };
    let dry = RestoreOptions { dry_run: true, ..options.clone() };
    let list = || {
        let mut lines = Vec::new();
        let each = &mut |planned: restore::PlannedEntry<'_>| {
            lines.push((planned.action, String::from_utf8(planned.path.to_vec()).unwrap()));
        };
        let report =
            restore::list(&repo.repository, &snapshot, &dry, &Monitor::default(), each).unwrap();
        (report, lines)
    };
    let (report, lines) = list();
    assert!(!target.exists() && lines.iter().all(|(action, _)| *action == EntryAction::Create));
    assert_eq!((report.files, report.dirs, report.bytes, lines.len()), (4, 2, 8000, 5));
    restore_well(&repo, &snapshot, &options);
    fs::remove_dir_all(target.join("folder")).unwrap();
    write(&target.join("changed"), b"x");
    write(&target.join("extra/below"), b"x");
    let before = names(&target);
    let expected = [
        (EntryAction::Update, "changed"),
        (EntryAction::Delete, "extra/below"),
        (EntryAction::Delete, "extra"),
        (EntryAction::Create, "folder"),
        (EntryAction::Create, "folder/new"),
        (EntryAction::Keep, "kept"),
        (EntryAction::Keep, "linked"),
    ];
    let (report, lines) = list();
    assert_eq!(lines, expected.map(|(action, path)| (action, path.to_owned())));
    assert_eq!((report.deleted, report.files_kept), (2, 2));
    assert_eq!(names(&target), before);
    let done = restore_well(&repo, &snapshot, &options);
    let counted = |report: &restore::RestoreReport| {
        (report.files, report.dirs, report.bytes, report.deleted, report.files_kept)
    };
    assert_eq!(counted(&done), counted(&report));
    assert_eq!(differences(&source, &target), "");
}

#[test]
fn a_path_that_is_not_there_is_an_error_and_makes_no_target() {
    let repo = TestRepo::new();
    write(&repo.source().join("file"), b"x");
    let snapshot = repo.backup("host").snapshot.unwrap();
    for path in ["/no/such", "relative", "/etc"] {
        let options = RestoreOptions { path: Some(path.into()), ..options(&repo, &target(&repo)) };
        let refused = restore::run(&repo.repository, &snapshot, &options, &Monitor::default());
        assert!(matches!(refused, Err(Error::NoSuchPath { .. })), "{refused:?}");
        assert!(!target(&repo).exists());
    }
    let file = RestoreOptions { path: None, ..options(&repo, &repo.source().join("file")) };
    let refused = restore::run(&repo.repository, &snapshot, &file, &Monitor::default());
    assert!(matches!(refused, Err(Error::Target { .. })), "{refused:?}");
}

#[test]
fn a_folder_that_the_restore_made_gets_the_metadata_and_one_with_content_keeps_its_own() {
    let repo = TestRepo::new();
    write(&repo.source().join("file"), b"x");
    fs::set_permissions(repo.source(), std::os::unix::fs::PermissionsExt::from_mode(0o750))
        .unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o7777
    };
    let made = repo.scratch.path().join("made/below");
    restore_well(&repo, &snapshot, &options(&repo, &made));
    assert_eq!((mode(&made), differences(&repo.source(), &made)), (0o750, String::new()));
    let used = repo.scratch.path().join("used");
    write(&used.join("mine"), b"x");
    fs::set_permissions(&used, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    restore_well(&repo, &snapshot, &options(&repo, &used));
    assert_eq!(mode(&used), 0o1777);
}
