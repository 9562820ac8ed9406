//! Goal: at any time the file is there as a whole, with the newest values, and everybody may read
//! it. Method: readers and writers at the same time, files that a dead writer has left, folders
//! that cannot be used. Real deaths are in `tests/it/apps/metrics.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_file_is_replaced_and_readable_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drumlin.prom");
    update(&path, || "a 1\n".to_owned()).unwrap();
    let old = fs::metadata(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    update(&path, || "b 2\n".to_owned()).unwrap();
    let new = fs::metadata(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "b 2\n");
    assert_eq!((old.mode() & 0o7777, new.mode() & 0o7777), (0o644, 0o644));
    assert_eq!(names_in(folder.path()), BTreeSet::from(["drumlin.prom".to_owned()]));
}

#[test]
fn readers_see_whole_files_and_never_an_older_one() {
    const WRITERS: u64 = 3;
    const UPDATES: u64 = 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drumlin.prom");
    let (count, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    // Long and short ones in turn, each with its number at both ends.
    let view = || {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let len = if number.is_multiple_of(2) { 300_000 } else { 10 };
        format!("{number} {} {number}", "x".repeat(len))
    };
    let read = || {
        let (mut newest, mut reads) = (0, 0_u64);
        while !is_done.load(Ordering::SeqCst) {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let words: Vec<&str> = text.split(' ').collect();
            let number: u64 = words[0].parse().unwrap();
            assert_eq!((words.len(), words[2]), (3, words[0]));
            let len = if number.is_multiple_of(2) { 300_000 } else { 10 };
            assert!(words[1].len() == len && number >= newest, "{number} after {newest}");
            (newest, reads) = (number, reads + 1);
            let shown = names_in(folder.path());
            let seen: Vec<_> = shown.iter().filter(|name| name.ends_with(".prom")).collect();
            assert_eq!(seen, ["drumlin.prom"]);
        }
        reads
    };
    thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        let write = || (0..UPDATES).for_each(|_| update(&path, view).unwrap());
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_done.store(true, Ordering::SeqCst);
        ended.into_iter().for_each(|ended| ended.unwrap());
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
    });
    let last = fs::read_to_string(&path).unwrap();
    assert!(last.starts_with(&format!("{} ", WRITERS * UPDATES)), "the newest view is there");
    assert_eq!(names_in(folder.path()).len(), 1);
}

#[test]
fn what_a_dead_writer_left_is_removed_and_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, victim) = (folder.path().join("a.prom"), folder.path().join("victim"));
    fs::write(&victim, "precious").unwrap();
    let scratch = folder.path().join(".a.prom.new");
    fs::write(&scratch, "half a fi").unwrap();
    update(&path, || "a 1\n".to_owned()).unwrap();
    assert!(!scratch.exists());
    symlink(&victim, &scratch).unwrap();
    update(&path, || "a 2\n".to_owned()).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a 2\n");
    // A link in the place of the file is replaced, not followed.
    fs::remove_file(&path).unwrap();
    symlink(&victim, &path).unwrap();
    update(&path, || "a 3\n".to_owned()).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(names_in(folder.path()).len(), 2);
}

#[test]
fn a_writer_that_hangs_is_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.prom");
    update(&path, || "a 1\n".to_owned()).unwrap();
    let other = File::open(folder.path()).unwrap();
    other.lock().unwrap();
    let wait_max = Duration::from_millis(100);
    let error = update_within(&path, wait_max, || unreachable!("it is locked")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a 1\n");
    drop(other);
    update_within(&path, wait_max, || "a 2\n".to_owned()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "a 2\n");
}

#[test]
fn a_panic_while_gathering_leaves_the_old_file_and_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.prom");
    update(&path, || "a 1\n".to_owned()).unwrap();
    let ended = std::panic::catch_unwind(|| update(&path, || panic!("on purpose")));
    assert!(ended.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "a 1\n");
    update_within(&path, Duration::ZERO, || "a 2\n".to_owned()).unwrap();
    assert_eq!(names_in(folder.path()).len(), 1);
}

#[test]
fn places_that_cannot_be_used_are_errors_that_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path: &Path| update(path, || "a 1\n".to_owned()).unwrap_err().kind();
    assert_eq!(kind(&folder.path().join("none/a.prom")), ErrorKind::NotFound);
    assert_eq!(kind(Path::new("/")), ErrorKind::InvalidInput);
    assert_eq!(kind(Path::new("..")), ErrorKind::InvalidInput);
    let taken = folder.path().join("taken.prom");
    fs::create_dir(&taken).unwrap();
    assert_eq!(kind(&taken), ErrorKind::IsADirectory);
    assert_eq!(names_in(folder.path()), BTreeSet::from(["taken.prom".to_owned()]));
    assert_eq!(folder_of(Path::new("a.prom")), Path::new("."));
}
