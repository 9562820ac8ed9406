//! Sources that have lost their files: `backup` reports them until the user accepts it, whatever
//! happens in between. A disk that is not mounted looks like a folder without files, like nothing
//! at all, or like something else.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::home::{Home, Ran};

const NONE_NOW: &str = "disk: this source had 10 files in an earlier snapshot and has none now";

/// Makes `disk`, with ten files, and `src` with one.
fn home_with_disk() -> Home {
    let home = Home::with_repository();
    (0..10).for_each(|number| drop(home.write(&format!("disk/f{number}"), "x")));
    home.write("src/f", "x");
    home
}

fn empty(home: &Home) {
    fs::remove_dir_all(home.path("disk")).unwrap();
    fs::create_dir(home.path("disk")).unwrap();
}

#[track_caller]
fn lost(home: &Home, args: &[&str], words: &str) {
    let ran = home.run([&["-q", "backup"], args].concat()).code(3);
    assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
}

#[test]
fn a_source_that_is_missing_and_then_empty_has_lost_its_files() {
    let home = home_with_disk();
    home.run(["backup", "disk", "src"]).ok();
    fs::rename(home.path("disk"), home.path("away")).unwrap();
    for _ in 0..2 {
        lost(
            &home,
            &["disk", "src"],
            "disk: this source had 10 files in an earlier snapshot and was not read: No such file",
        );
    }
    fs::create_dir(home.path("disk")).unwrap();
    for _ in 0..2 {
        lost(&home, &["disk", "src"], NONE_NOW);
    }
    // It is missing again, and somebody accepts that.
    fs::remove_dir(home.path("disk")).unwrap();
    lost(&home, &["disk", "src"], "disk: this source had 10 files");
    lost(&home, &["disk", "src", "--allow-empty"], "disk: this source was not read: No such file");
    fs::create_dir(home.path("disk")).unwrap();
    home.run(["backup", "disk", "src"]).ok();
}

#[test]
fn losses_are_known_without_a_parent() {
    let home = home_with_disk();
    home.run(["backup", "disk", "src"]).ok();
    empty(&home);
    // It takes over nothing, and knows what was.
    for _ in 0..2 {
        lost(&home, &["disk", "src", "--read-all"], NONE_NOW);
    }
    lost(&home, &["disk", "src"], NONE_NOW);
    // Other sources beside it are another series.
    home.write("new/f", "x");
    for _ in 0..2 {
        lost(&home, &["disk", "src", "new"], NONE_NOW);
    }
    lost(&home, &["disk"], NONE_NOW);
    home.run(["backup", "disk", "new", "--allow-empty"]).ok();
    // The newest snapshot that names it is what counts.
    home.run(["backup", "disk", "new", "src/f"]).ok();
    // Neither another host nor another app had the files.
    home.run(["backup", "disk", "--host", "other"]).ok();
    // Nor does a cache that was deleted make anything forgotten.
    fs::remove_dir_all(home.path(".cache")).unwrap();
    lost(&home, &["disk", "src"], NONE_NOW);
}

#[test]
fn a_snapshot_that_lacks_something_is_no_parent_and_still_compared_with() {
    use drumlin::repo::snapshots::incomplete;

    let repo = crate::support::fixture::TestRepo::new();
    (0..10).for_each(|number| repo.write(&format!("f{number}"), b"x"));
    let before = repo.backup("host").snapshot.unwrap();
    incomplete::add(&repo.repository, before.id).unwrap();
    fs::remove_dir_all(repo.source()).unwrap();
    let options = drumlin::backup::BackupOptions {
        allow_empty: false,
        ..crate::support::fixture::options(&[repo.source()], "host")
    };
    let (report, monitor) = repo.backup_with(options).unwrap();
    assert!(
        monitor.problems()[0].message.starts_with("this source had 10 files"),
        "{:?}",
        monitor.problems()
    );
    assert_eq!(report.snapshot.unwrap().parent, None);
}

#[test]
fn a_file_is_lost_whatever_takes_its_place() {
    let home = Home::with_repository();
    home.write("src/f", "x");
    let make_folder = |home: &Home| fs::create_dir(home.path("db")).unwrap();
    let make_link = |home: &Home| symlink("nowhere", home.path("db")).unwrap();
    for make in [make_folder, make_link] {
        let _ = (fs::remove_file(home.path("db")), fs::remove_dir(home.path("db")));
        home.write("db", "data");
        home.run(["backup", "db", "src"]).ok();
        fs::remove_file(home.path("db")).unwrap();
        make(&home);
        for _ in 0..2 {
            lost(
                &home,
                &["db", "src"],
                "db: this source had 1 file in an earlier snapshot and has none now",
            );
        }
    }
}

#[test]
fn a_loss_is_remembered_beside_any_number_of_unreadable_files() {
    let home = home_with_disk();
    for number in 0..1_100 {
        home.write(&format!("many/f{number}"), "");
    }
    let backup =
        || Ran::of(&home.without_capabilities(["backup", "disk", "many"]).output().unwrap());
    backup().ok();
    home.script(&[], "chmod 000 many/*").ok();
    empty(&home);
    let told = backup().code(3);
    assert!(told.err.contains(NONE_NOW) && told.err.contains("more"), "{}", told.err);
    home.script(&[], "chmod 644 many/*").ok();
    for _ in 0..2 {
        assert!(backup().code(3).err.contains(NONE_NOW));
    }
}
