//! Requests per command, counted: they are money on S3 and time over a wire.
//!
//! Method: a counting store around a memory store; each command runs as a process of its own would,
//! with a warm cache.

use drumlin::store::{Action, Class, Key, Store};

use crate::support::fixture::{TestRepo, let_time_pass, noise, write};

fn repo_with_a_tree() -> TestRepo {
    let repo = TestRepo::new();
    for index in 0..40 {
        write(
            &repo.source().join(format!("dir-{}/file-{index}", index % 4)),
            &noise(index, 300 + 2000 * index as usize),
        );
    }
    repo
}

#[test]
fn an_unchanged_backup_asks_the_store_for_nothing() {
    let mut repo = repo_with_a_tree();
    repo.backup("host");
    for _ in 0..2 {
        let_time_pass();
        let before = repo.store.counts();
        repo.reopen();
        let report = repo.backup("host");
        assert_eq!((repo.store.counts() - before).total().calls, 0);
        // The first repetition may read again what was written right before the first snapshot, and
        // still find no change.
        assert!(report.snapshot.is_none() && report.unchanged_since.is_some());
    }
}

#[test]
fn a_huge_folder_without_changes_asks_for_nothing_either() {
    let mut repo = TestRepo::new();
    for index in 0..3000 {
        write(
            &repo.source().join(format!("file-{index:05}")),
            format!("content {index}").as_bytes(),
        );
    }
    let_time_pass();
    let first = repo.backup("host").snapshot.unwrap();
    assert_eq!(first.stats.totals.files, 3000);
    repo.reopen();
    let before = repo.store.counts();
    let report = repo.backup("host");
    assert_eq!((repo.store.counts() - before).total().calls, 0);
    assert_eq!((report.unchanged_since, report.stats.files_unchanged), (Some(first.id), 3000));
}

#[test]
fn a_minimal_change_takes_few_requests() {
    let mut repo = repo_with_a_tree();
    repo.backup("host");
    let_time_pass();
    write(&repo.source().join("dir-1/file-1"), b"changed");
    repo.reopen();
    let before = repo.store.counts();
    let report = repo.backup("host");
    assert!(report.snapshot.is_some());
    let spent = repo.store.counts() - before;
    assert!(spent.total().calls <= 8, "{} requests", spent.total().calls);
    assert_eq!(spent.of_action(Action::Remove).calls, 0, "a writer never removes");
    assert_eq!(
        spent.of(Action::Create, Class::Data).calls,
        0,
        "a small file lives in its folder's node"
    );
    assert_eq!(spent.of(Action::Create, Class::Snapshots).calls, 1);
}

#[test]
fn known_folders_are_neither_read_nor_compared() {
    let mut repo = repo_with_a_tree();
    let_time_pass();
    repo.backup("host");
    let old: Vec<_> = repo.memory.list(Class::Meta, "").unwrap();
    write(&repo.source().join("new"), b"new");
    let_time_pass();
    repo.reopen();
    let second = repo.backup("host").snapshot.unwrap();
    // The trees of all folders in the source are gone now, those of the folders on the way to it
    // are not.
    for object in old {
        let name = object.name.rsplit('/').next().unwrap().to_owned();
        repo.memory.remove(&Key::new(Class::Meta, object.name)).unwrap();
        let copies = std::fs::read_dir(repo.cache())
            .unwrap()
            .map(|folder| folder.unwrap().path().join("meta").join(&name));
        copies.filter(|copy| copy.exists()).for_each(|copy| std::fs::remove_file(copy).unwrap());
    }
    repo.reopen();
    let report = repo.backup("host");
    assert_eq!((report.unchanged_since, report.stats.files_unchanged), (Some(second.id), 41));
}

#[test]
fn losing_the_cache_costs_requests_and_nothing_else() {
    let mut repo = repo_with_a_tree();
    let_time_pass();
    let first = repo.backup("host").snapshot.unwrap();
    std::fs::remove_dir_all(repo.scratch.path().join("cache")).unwrap();
    repo.reopen();
    let report = repo.backup("host");
    assert_eq!(report.unchanged_since, Some(first.id));
    assert_eq!(report.stats.files_unchanged, 40);
}
