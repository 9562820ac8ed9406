//! Damaged repositories: damaged files are named and not left looking whole, and all others come
//! back.

use std::fs;

use drumlin::monitor::{Monitor, ProblemKind};
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Class, Store};

use super::{options, restore, target};
use crate::support::fixture::{TestRepo, noise, write};
use crate::support::needs::{can_run, holds_xattrs};

/// A repository of two hosts: some files are in the packs of the one, some in those of the other.
pub fn two_packs() -> TestRepo {
    let repo = TestRepo::new();
    let source = repo.source();
    (0..50).for_each(|n| write(&source.join(format!("first/{n}")), &noise(n, 9_000)));
    write(&source.join("first/large"), &noise(1000, 600_000));
    repo.backup("host").snapshot.unwrap();
    (0..50).for_each(|n| write(&source.join(format!("second/{n}")), &noise(100 + n, 9_000)));
    // Its first chunks are in the first pack, its last ones in the second.
    write(&source.join("first/large"), &[noise(1000, 600_000), noise(2000, 600_000)].concat());
    repo
}

pub fn data_keys(store: &MemoryStore) -> Vec<drumlin::store::Key> {
    store.keys().into_iter().filter(|key| key.class == Class::Data).collect()
}

#[test]
fn of_a_damaged_pack_every_file_is_named_and_no_other() {
    for (name, damage) in [("removed", 0), ("cut", 1), ("flipped", 2)] {
        let repo = two_packs();
        let store = repo.memory.clone();
        let before = data_keys(&store);
        fs::hard_link(repo.source().join("second/7"), repo.source().join("second/7 too")).unwrap();
        let snapshot = repo.backup("host").snapshot.unwrap();
        let second: Vec<_> =
            data_keys(&store).into_iter().filter(|key| !before.contains(key)).collect();
        for key in &second {
            let mut bytes = store.read(key).unwrap();
            match damage {
                0 => store.remove(key).unwrap(),
                1 => store.overwrite(key, &bytes[..300]),
                _ => {
                    bytes.iter_mut().skip(200).step_by(1000).for_each(|byte| *byte ^= 1);
                    store.overwrite(key, &bytes);
                }
            }
        }
        let (report, monitor) = restore(&repo, &snapshot, &options(&repo, &target(&repo)));
        let damaged: Vec<_> = monitor
            .problems()
            .into_iter()
            .filter(|problem| problem.kind == ProblemKind::Damaged)
            .collect();
        assert_eq!((report.damaged, damaged.len()), (51, 51), "{name}: {damaged:?}");
        assert_eq!(report.failed, 1, "{name}: the link to a damaged file");
        for n in 0..50 {
            assert_eq!(
                fs::read(target(&repo).join(format!("first/{n}"))).ok(),
                Some(noise(n, 9_000)),
                "{name}: {n} {damaged:?}"
            );
            assert!(!target(&repo).join(format!("second/{n}")).exists());
        }
        assert!(!target(&repo).join("first/large").exists(), "{name}: it must not look whole");
        let kept = fs::read(target(&repo).join("first/large.drumlin-damaged")).unwrap();
        assert_eq!(kept.len(), 1_200_000);
        // Chunks have at most 256 KiB, so no new one begins before this.
        assert_eq!(
            kept[..300_000],
            noise(1000, 300_000)[..],
            "{name}: what there is of it is kept"
        );
        assert!(damaged.iter().any(|problem| problem.path.ends_with(b"first/large")));
    }
}

#[test]
fn what_was_there_is_not_lost_where_the_wanted_cannot_be_had() {
    let repo = two_packs();
    let store = repo.memory.clone();
    let before = data_keys(&store);
    fs::hard_link(repo.source().join("second/5"), repo.source().join("second/5 too")).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    data_keys(&store)
        .iter()
        .filter(|key| !before.contains(key))
        .for_each(|key| store.remove(key).unwrap());
    let target = target(&repo);
    let half = [noise(1000, 600_000), noise(3000, 800_000)].concat();
    let linked = noise(5000, 9_000);
    let there = [
        ("second/3", noise(7, 20_000)),
        ("second/4", noise(8, 10)),
        ("second/5", noise(9, 9_000)),
        ("second/6", half),
        ("second/8", linked),
    ];
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for (name, bytes) in &there {
        write(&target.join(name), bytes);
        fs::File::options()
            .write(true)
            .open(target.join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    // It has another name: it cannot be changed in place, and would have to go.
    fs::hard_link(target.join("second/8"), target.join("another name")).unwrap();
    // Flags that were in the way come back; not every file system, and not every user, has them.
    let chattr = |how: &str| {
        std::process::Command::new("chattr").arg(how).arg(target.join("second/5")).output().unwrap()
    };
    let is_locked = chattr("+i").status.success();
    // The first part of this one is wrong and can be had: the file is neither the old one nor the
    // new one then.
    write(&target.join("first/large"), &noise(4000, 1_300_000));
    let (report, monitor) = restore(&repo, &snapshot, &options(&repo, &target));
    assert_eq!((report.damaged, report.failed), (51, 1), "{:?}", monitor.problems());
    for (name, bytes) in &there {
        assert!(fs::read(target.join(name)).unwrap() == *bytes, "{name}");
        assert_eq!(fs::metadata(target.join(name)).unwrap().modified().unwrap(), time, "{name}");
    }
    assert!(!target.join("first/large").exists());
    let kept = fs::read(target.join("first/large.drumlin-damaged")).unwrap();
    let wrong =
        kept.iter().zip(noise(1000, 600_000)).take(400_000).position(|(is, wanted)| *is != wanted);
    assert_eq!((kept.len(), wrong), (1_300_000, None), "{:?}", monitor.problems());
    assert!(
        kept[1_200_000..] == noise(4000, 1_300_000)[1_200_000..],
        "what is too long is cut only when all is right"
    );
    let notices = monitor
        .problems()
        .into_iter()
        .filter(|problem| problem.kind == ProblemKind::Notice)
        .count();
    assert_eq!(notices, 6);
    let is_still = fs::File::options().write(true).open(target.join("second/5")).is_err();
    assert_eq!(is_still, is_locked);
    // Once more: nothing else happens to it.
    restore(&repo, &snapshot, &options(&repo, &target));
    assert!(there.iter().all(|(name, bytes)| fs::read(target.join(name)).unwrap() == *bytes));
    chattr("-i");
}

/// A run that was stopped has made the file at its full length; the next one finds the rest
/// damaged.
#[test]
fn what_an_interrupted_run_had_begun_is_not_left_looking_whole() {
    let repo = two_packs();
    let store = repo.memory.clone();
    let before = data_keys(&store);
    let snapshot = repo.backup("host").snapshot.unwrap();
    data_keys(&store)
        .iter()
        .filter(|key| !before.contains(key))
        .for_each(|key| store.remove(key).unwrap());
    let target = target(&repo);
    let begun = [noise(1000, 400_000), vec![0; 800_000]].concat();
    write(&target.join("first/large"), &begun);
    if !can_run(holds_xattrs(&target), "a file system with attributes") {
        return;
    }
    rustix::fs::setxattr(
        &target,
        "user.drumlin.restoring",
        b"0123-another-boot new",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let (report, monitor) = restore(&repo, &snapshot, &options(&repo, &target));
    assert_eq!(report.damaged, 51, "{:?}", monitor.problems());
    assert!(!target.join("first/large").exists(), "{:?}", monitor.problems());
    assert_eq!(fs::metadata(target.join("first/large.drumlin-damaged")).unwrap().len(), 1_200_000);
}

#[test]
fn a_damaged_tree_loses_its_folder_and_no_other() {
    let repo = two_packs();
    let store = repo.memory.clone();
    let known = store.keys();
    // A snapshot with one more folder, whose node is in a pack of its own.
    repo.backup("host");
    write(&repo.source().join("lost/file"), &noise(7, 5000));
    let before = store.keys();
    let snapshot = repo.backup("host").snapshot.unwrap();
    assert!(before.len() > known.len());
    let scratch = tempfile::tempdir().unwrap();
    let fresh =
        drumlin::repo::OpenOptions { cache_dir: scratch.path().to_owned(), prefer_cached: false };
    let new_packs =
        store.keys().into_iter().filter(|key| key.class == Class::Meta && !before.contains(key));
    for key in new_packs {
        store.remove(&key).unwrap();
    }
    // Nodes are read from local copies: only who has none notices. Then nothing of the snapshot can
    // be reached.
    let repository = drumlin::repo::Repository::open(
        repo.store.clone(),
        &crate::support::fixture::secret(),
        &fresh,
    )
    .unwrap();
    let monitor = Monitor::default();
    let all = drumlin::restore::RestoreOptions { path: None, ..options(&repo, &target(&repo)) };
    let report = drumlin::restore::run(&repository, &snapshot, &all, &monitor).unwrap();
    assert_eq!((report.damaged, report.files), (1, 0));
    assert_eq!(monitor.problems()[0].kind, ProblemKind::Damaged);
    assert_eq!(restore(&repo, &snapshot, &options(&repo, &target(&repo))).0.files, 102);
}
