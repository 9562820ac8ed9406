//! Backups compared with what they should be, by the one property that ties everything together: a
//! backup that takes over from its parent what did not change must come to the same tree as one
//! that reads everything.

use std::os::unix::fs::symlink;
use std::path::Path;

use drumlin::backup::{BackupOptions, Error};
use drumlin::format::entry::{Content, EntryKind, Ref};
use drumlin::format::snapshot::Snapshot;
use drumlin::monitor::ProblemKind;
use drumlin::repo::snapshots;
use drumlin::store::Store;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::fixture::{TestRepo, let_time_pass, noise, options, write};
use crate::support::needs::{as_nobody, can_run, is_root};

/// Changes a tree at random: files and folders come, change, go and are renamed.
fn mutate(root: &Path, random: &mut SmallRng, steps: usize) {
    for _ in 0..steps {
        let dir = root.join(format!("d{}", random.random_range(0..6)));
        let file = dir.join(format!("f{}", random.random_range(0..700)));
        match random.random_range(0..13) {
            10 => drop(std::fs::set_permissions(
                &file,
                std::os::unix::fs::PermissionsExt::from_mode(random.random_range(0o600..0o640)),
            )),
            11 => drop(std::fs::set_permissions(
                &dir,
                std::os::unix::fs::PermissionsExt::from_mode(random.random_range(0o700..0o740)),
            )),
            12 => drop(symlink(
                random.random_range(0..9).to_string(),
                dir.join(format!("sub/l{}", random.random_range(0..9))),
            )),
            0 => drop(std::fs::remove_file(&file)),
            1 => drop(std::fs::remove_dir_all(dir.join("sub"))),
            2 => drop(std::fs::rename(&file, dir.join(format!("r{}", random.random_range(0..50))))),
            3 => write(
                &dir.join(format!("sub/deep{}/x", random.random_range(0..3))),
                &noise(random.random(), 700),
            ),
            4 => write(&file, &noise(random.random(), random.random_range(0..200_000))),
            _ => write(&file, &noise(random.random(), random.random_range(0..900))),
        }
    }
}

#[test]
fn taking_over_from_the_parent_gives_the_same_tree_as_reading_everything() {
    let seed =
        std::env::var("DRUMLIN_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    println!("seed {seed} (set DRUMLIN_TEST_SEED for another)");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut repo = TestRepo::new();
    let source = repo.source();
    mutate(&source, &mut random, 2500);
    let_time_pass();
    repo.backup("incremental");
    for round in 0..12 {
        let_time_pass();
        let steps = [0, 1, 2, 30, 200][round % 5];
        mutate(&source, &mut random, steps);
        let_time_pass();
        repo.reopen();
        let mut always = options(std::slice::from_ref(&source), "incremental");
        always.always_snapshot = true;
        let incremental = repo.backup_with(always).unwrap().0.snapshot.unwrap();
        let full = repo.backup(&format!("full-{round}")).snapshot.unwrap();
        // The folders on the way may differ: their times are only taken anew when the sources
        // changed.
        let tree = |snapshot: &Snapshot| repo.lookup(snapshot, &source).unwrap().entry.content;
        assert_eq!(tree(&incremental), tree(&full), "round {round} of seed {seed}");
        assert_eq!(incremental.stats.totals, full.stats.totals);
        assert!(round % 5 > 1 || incremental.stats.bytes_read < 450_000, "{:?}", incremental.stats);
    }
}

#[test]
fn large_files_holes_and_small_ones_come_back() {
    let repo = TestRepo::new();
    let source = repo.source();
    let large = noise(1, 9 << 20);
    write(&source.join("large"), &large);
    write(&source.join("tiny"), b"tiny");
    write(&source.join("empty"), b"");
    let mut sparse = vec![0; 3 << 20];
    sparse[1 << 20..(1 << 20) + 5000].copy_from_slice(&large[..5000]);
    write(&source.join("sparse"), b"");
    let file = std::fs::OpenOptions::new().write(true).open(source.join("sparse")).unwrap();
    file.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &large[..5000], 1 << 20).unwrap();
    let snapshot = repo.backup("host").snapshot.unwrap();
    for (name, expected) in
        [("large", &large[..]), ("tiny", b"tiny"), ("empty", b""), ("sparse", &sparse)]
    {
        let entry = repo.lookup(&snapshot, source.join(name)).unwrap();
        assert!(repo.content(&entry) == expected, "{name}");
    }
    assert!(matches!(
        repo.lookup(&snapshot, source.join("large")).unwrap().entry.content,
        Content::List(_)
    ));
    assert!(
        snapshot.stats.bytes_new_raw < (9 << 20) + 100_000,
        "holes are not stored: {:?}",
        snapshot.stats
    );
}

#[test]
fn small_files_keep_their_holes() {
    let repo = TestRepo::new();
    let source = repo.source();
    for (name, len, at) in
        [("a", 1 << 20, 5000), ("b", 300_000, 200_000), ("c", 100_000, 0), ("d", 40_000, 39_000)]
    {
        write(&source.join(name), b"");
        let file = std::fs::OpenOptions::new().write(true).open(source.join(name)).unwrap();
        file.set_len(len).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &noise(at, 700), at).unwrap();
    }
    let snapshot = repo.backup("host").snapshot.unwrap();
    for name in ["a", "b", "c", "d"] {
        let entry = repo.lookup(&snapshot, source.join(name)).unwrap();
        assert!(repo.content(&entry) == std::fs::read(source.join(name)).unwrap(), "{name}");
        let Content::Refs(refs) = &entry.entry.content else {
            panic!("{name}: {:?}", entry.entry.content)
        };
        let data: u64 =
            refs.iter().filter(|piece| matches!(piece, Ref::Data { .. })).map(Ref::len).sum();
        assert!(data <= 16_384, "{name}: {data} bytes of {refs:?}");
    }
}

/// Makes two folders with equally long files in them, all with the same stamps; false if the clock
/// is too fine for that.
fn make_twins(source: &Path) -> bool {
    let stamps_of = |path: &Path| {
        let found = std::fs::metadata(path).unwrap();
        (
            std::os::unix::fs::MetadataExt::ctime_nsec(&found),
            found.modified().unwrap(),
            found.created().ok(),
        )
    };
    let stamps = |path: &Path| ["", "in", "in/f"].map(|below| stamps_of(&path.join(below)));
    for _ in 0..300 {
        let _ = std::fs::remove_dir_all(source.join("a"));
        let _ = std::fs::remove_dir_all(source.join("b"));
        ["a/in", "b/in"]
            .iter()
            .for_each(|path| std::fs::create_dir_all(source.join(path)).unwrap());
        std::fs::write(source.join("a/in/f"), "version 1").unwrap();
        std::fs::write(source.join("b/in/f"), "version 2").unwrap();
        if stamps(&source.join("a")) == stamps(&source.join("b")) {
            return true;
        }
    }
    false
}

#[test]
fn folders_that_change_places_are_seen_with_and_without_notes() {
    for has_notes in [true, false] {
        let mut repo = TestRepo::new();
        let source = repo.source();
        if !can_run(make_twins(&source), "a file system with a coarse clock") {
            return;
        }
        write(&source.join("untouched/in/f"), b"somewhere else");
        let_time_pass();
        repo.backup("host");
        let swap = |one: &str, other: &str| {
            std::fs::rename(source.join(one), source.join("t")).unwrap();
            std::fs::rename(source.join(other), source.join(one)).unwrap();
            std::fs::rename(source.join("t"), source.join(other)).unwrap();
        };
        for (one, other, in_a) in [
            ("a", "b", "version 2"),
            ("a/in", "b/in", "version 1"),
            ("a/in/f", "b/in/f", "version 2"),
        ] {
            swap(one, other);
            let_time_pass();
            if !has_notes {
                std::fs::remove_dir_all(repo.copies()).unwrap();
            }
            repo.reopen();
            let snapshot = repo.backup("host").snapshot.expect("something changed");
            let read =
                |path: &str| repo.content(&repo.lookup(&snapshot, source.join(path)).unwrap());
            let in_b = if in_a == "version 1" { "version 2" } else { "version 1" };
            assert_eq!(
                (read("a/in/f"), read("b/in/f")),
                (in_a.into(), in_b.into()),
                "{one} and {other}, {has_notes}"
            );
            assert!(
                !has_notes || snapshot.stats.bytes_read == 18,
                "only those two are read: {:?}",
                snapshot.stats
            );
        }
    }
}

#[test]
fn without_notes_only_what_may_have_been_moved_is_read() {
    let mut repo = TestRepo::new();
    let source = repo.source();
    for path in ["a/1", "a/in/2", "b/3", "b/in/4", "5"] {
        write(&source.join(path), path.as_bytes());
    }
    let_time_pass();
    repo.backup("host");
    std::fs::remove_dir_all(repo.copies()).unwrap();
    repo.reopen();
    let report = repo.backup("host");
    assert!(report.snapshot.is_none() && report.stats.bytes_read == 0, "{:?}", report.stats);
    // A change in one folder does not make the others doubtful, nor what lies further down.
    write(&source.join("a/new"), b"n");
    let_time_pass();
    std::fs::remove_dir_all(repo.copies()).unwrap();
    repo.reopen();
    assert_eq!(repo.backup("host").stats.bytes_read, 1);
    let_time_pass();
    write(&source.join("b/new"), b"n");
    let_time_pass();
    repo.reopen();
    assert_eq!(repo.backup("host").stats.bytes_read, 1, "with notes likewise");
}

#[test]
fn hard_links_share_a_group_and_are_read_once() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("a"), &noise(1, 100_000));
    std::fs::hard_link(source.join("a"), source.join("b")).unwrap();
    write(&source.join("c"), b"alone");
    let snapshot = repo.backup("host").snapshot.unwrap();
    let entry = |name: &str| repo.lookup(&snapshot, source.join(name)).unwrap().entry;
    assert!(entry("a").hard_link.is_some() && entry("a").hard_link == entry("b").hard_link);
    assert_eq!(entry("a").content, entry("b").content);
    assert_eq!(entry("c").hard_link, None);
    assert_eq!(snapshot.stats.bytes_read, 100_005);
}

#[test]
fn excludes_mean_what_gitignore_says() {
    let repo = TestRepo::new();
    let source = repo.source();
    for path in [
        "keep.txt",
        "drop.o",
        "build/x",
        "sub/build",
        "sub/.skip",
        "cache/big",
        "rules/a.log",
        "rules/b.log",
        "rules/in/a.log",
    ] {
        write(&source.join(path), b"x");
    }
    write(&source.join("cache/CACHEDIR.TAG"), b"Signature: 8a477f597d28d172789f06886806bc55\n");
    write(&source.join("rules/.myignore"), b"*.log\n!b.log\n");
    write(&source.join("large"), &noise(1, 5000));
    let mut options = options(std::slice::from_ref(&source), "host");
    options.excludes.patterns = vec!["*.o".into(), "build/".into()];
    options.excludes.caches = true;
    options.excludes.if_present = vec![".skip".to_owned()];
    options.excludes.ignore_files = vec![".myignore".to_owned()];
    options.excludes.larger_than = Some(4000);
    let snapshot = repo.backup_with(options).unwrap().0.snapshot.unwrap();
    let has = |path: &str| repo.lookup(&snapshot, source.join(path)).is_some();
    for path in ["keep.txt", "sub/.skip", "cache/CACHEDIR.TAG", "rules/b.log", "rules/.myignore"] {
        assert!(has(path), "{path} is missing");
    }
    for path in
        ["drop.o", "build", "sub/build", "cache/big", "rules/a.log", "rules/in/a.log", "large"]
    {
        assert!(!has(path), "{path} is there");
    }
}

#[test]
fn several_sources_overlap_without_harm() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("a/one"), b"1");
    write(&source.join("b/two"), b"2");
    write(&source.join("c/three"), b"3");
    let paths =
        [source.join("a"), source.join("b/two"), source.join("a/one"), source.join("b/../b")];
    let snapshot = repo.backup_with(options(&paths, "host")).unwrap().0.snapshot.unwrap();
    assert!(repo.lookup(&snapshot, source.join("a/one")).is_some());
    assert!(repo.lookup(&snapshot, source.join("b/two")).is_some());
    assert!(repo.lookup(&snapshot, source.join("c")).is_none());
    assert_eq!(snapshot.stats.totals.files, 2);
}

#[test]
fn a_folder_with_a_cache_tag_on_the_way_to_a_source_hides_nothing() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("CACHEDIR.TAG"), b"Signature: 8a477f597d28d172789f06886806bc55\n");
    write(&source.join("wanted/file"), b"file");
    let mut options = options(&[source.join("wanted")], "host");
    options.excludes.caches = true;
    options.excludes.own_folders = vec![source.clone()];
    let snapshot = repo.backup_with(options).unwrap().0.snapshot.unwrap();
    assert!(repo.lookup(&snapshot, source.join("wanted/file")).is_some());
}

#[test]
fn a_missing_source_is_an_error_and_an_unreadable_file_is_not() {
    let repo = TestRepo::new();
    let source = repo.source();
    let missing = repo.backup_with(options(&[source.join("nothing")], "host"));
    assert!(matches!(missing, Err(Error::Source { .. })));
    write(&source.join("good"), b"good");
    symlink("good", source.join("link")).unwrap();
    let (report, monitor) =
        repo.backup_with(options(&[source.clone(), source.join("link")], "host")).unwrap();
    let snapshot = report.snapshot.unwrap();
    assert_eq!(repo.lookup(&snapshot, source.join("link")).unwrap().entry.kind, EntryKind::Symlink);
    assert_eq!(
        monitor.problems().iter().filter(|problem| problem.kind == ProblemKind::Unreadable).count(),
        0
    );
}

#[test]
fn a_dry_run_stores_nothing_and_says_what_it_would() {
    let repo = TestRepo::new();
    write(&repo.source().join("file"), &noise(1, 50_000));
    let mut dry = options(&[repo.source()], "host");
    dry.dry_run = true;
    let before = repo.store.counts();
    let report = repo.backup_with(dry).unwrap().0;
    let spent = repo.store.counts() - before;
    assert_eq!(spent.of_action(drumlin::store::Action::Create).calls, 0);
    assert!(report.snapshot.is_none() && report.stats.bytes_new_raw > 50_000);
    assert!(snapshots::list(&repo.repository).unwrap().is_empty());
}

#[test]
fn an_interrupted_backup_leaves_no_snapshot_and_the_next_continues() {
    let repo = TestRepo::new();
    for index in 0..60 {
        write(&repo.source().join(format!("f{index}")), &noise(index, 400_000));
    }
    let monitor = std::sync::Arc::new(drumlin::monitor::Monitor::default());
    let watcher = monitor.clone();
    std::thread::spawn(move || {
        while watcher.bytes_done.load(std::sync::atomic::Ordering::Relaxed) < 8 << 20 {
            std::thread::yield_now();
        }
        watcher.cancel();
    });
    let stopped =
        drumlin::backup::run(&repo.repository, options(&[repo.source()], "host"), &monitor);
    assert!(
        matches!(stopped, Err(Error::Repository(drumlin::repo::Error::Cancelled))),
        "{stopped:?}"
    );
    assert!(snapshots::list(&repo.repository).unwrap().is_empty());
    let next = repo.backup("host").snapshot.unwrap();
    assert!(
        next.stats.bytes_new_raw < 60 * 400_000 - (4 << 20),
        "nothing was taken over: {:?}",
        next.stats
    );
}

#[test]
fn a_store_that_lost_a_snapshot_is_noticed() {
    let mut repo = TestRepo::new();
    write(&repo.source().join("file"), b"1");
    let first = repo.backup("host").snapshot.unwrap();
    let_time_pass();
    write(&repo.source().join("file"), b"2");
    repo.store.remove(&drumlin::repo::objects::layout::snapshot_key(&first.id)).unwrap();
    repo.reopen();
    let lost = repo.backup_with(options(&[repo.source()], "host"));
    assert!(matches!(lost, Err(Error::Repository(drumlin::repo::Error::RolledBack { .. }))));
}

#[test]
fn a_removed_key_does_not_go_on_working_from_the_cache() {
    let mut repo = TestRepo::new();
    write(&repo.source().join("file"), b"1");
    repo.backup("host");
    let info = drumlin::format::slot::SlotInfo {
        label: "second".to_owned(),
        created: crate::support::fixture::now(),
    };
    let second = drumlin::crypto::slot::Secret::KeyFile(zeroize::Zeroizing::new([9; 32]));
    drumlin::repo::open::keys::add(
        &repo.repository,
        &info,
        &second,
        drumlin::format::slot::SlotKdf::KeyFile,
    )
    .unwrap();
    let first = drumlin::repo::open::keys::list(&repo.repository)
        .unwrap()
        .into_iter()
        .find(|slot| slot.in_use)
        .unwrap();
    repo.reopen();
    repo.store.remove(&drumlin::store::Key::new(drumlin::store::Class::Keys, first.name)).unwrap();
    let_time_pass();
    write(&repo.source().join("file"), b"2");
    let refused = repo.backup_with(options(&[repo.source()], "host"));
    assert!(matches!(refused, Err(Error::Repository(drumlin::repo::Error::WrongSecret { .. }))));
}

/// What an ordinary user may not open has attributes nevertheless, and what of them he may not read
/// is there for who may.
#[test]
fn attributes_of_a_folder_that_nobody_may_open_are_in_the_next_backup_of_root() {
    use std::os::unix::fs::PermissionsExt;
    if !can_run(is_root(), "root, to be another user") {
        return;
    }
    let repo = TestRepo::new();
    let shut = repo.source().join("shut");
    write(&shut.join("file"), b"secret");
    std::fs::set_permissions(&shut, PermissionsExt::from_mode(0o700)).unwrap();
    rustix::fs::setxattr(&shut, "user.a", b"value", rustix::fs::XattrFlags::empty()).unwrap();
    let acl = std::process::Command::new("setfacl").args(["-m", "u:1234:rx"]).arg(&shut).status();
    assert!(acl.unwrap().success());
    let open_cache = || {
        let all =
            std::process::Command::new("chmod").args(["-R", "a+rwX"]).arg(repo.cache()).status();
        assert!(all.unwrap().success());
    };
    std::fs::set_permissions(repo.scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
    open_cache();
    let_time_pass();
    let xattrs = |snapshot: &Snapshot| {
        let names = repo.lookup(snapshot, &shut).unwrap().entry.xattrs;
        names.into_iter().map(|xattr| String::from_utf8(xattr.name).unwrap()).collect::<Vec<_>>()
    };
    let mine = as_nobody(|| repo.backup("host")).snapshot.unwrap();
    assert_eq!(xattrs(&mine), ["system.posix_acl_access"]);
    assert!(repo.lookup(&mine, shut.join("file")).is_none());
    let whole = repo.backup("host").snapshot.unwrap();
    assert_eq!(xattrs(&whole), ["system.posix_acl_access", "user.a"]);
    assert!(repo.lookup(&whole, shut.join("file")).is_some());
}

#[test]
fn a_folder_that_is_renamed_during_a_backup_is_told() {
    use drumlin::store::memory::MemoryStore;
    use drumlin::store::{Action, Class};
    let memory = std::sync::Arc::new(MemoryStore::default());
    let store = std::sync::Arc::new(crate::support::fixture::Meanwhile::new(
        memory.clone(),
        (Action::Create, Class::Data),
    ));
    let repo = TestRepo::with_store(memory, store.clone());
    let source = repo.source();
    write(&source.join("a"), &noise(1, 60 << 20));
    (0..50)
        .for_each(|number| write(&source.join(format!("b/{number}/file")), &noise(number, 2_000)));
    let around = source.join("b");
    store.plan(move || {
        (0..50).for_each(|number| {
            std::fs::rename(around.join(number.to_string()), around.join(format!("new {number}")))
                .unwrap()
        });
    });
    let options = BackupOptions {
        low_memory: true,
        threads: 1,
        ..options(std::slice::from_ref(&source), "host")
    };
    let (report, monitor) = repo.backup_with(options).unwrap();
    let snapshot = report.snapshot.unwrap();
    for number in 0..50 {
        let is_there = [number.to_string(), format!("new {number}")]
            .iter()
            .any(|name| repo.lookup(&snapshot, source.join("b").join(name).join("file")).is_some());
        let path = repo.stored_path(&format!("b/{number}"));
        let is_told = monitor
            .problems()
            .iter()
            .any(|problem| problem.path == path && problem.kind == ProblemKind::Unreadable);
        assert!(is_there || is_told, "{number}: {:?}", monitor.problems());
    }
}

/// Their lengths are more than a sum can hold; folders that did not change are summed up by each
/// backup.
#[test]
fn sparse_files_of_any_length_stop_no_later_backup() {
    let repo = TestRepo::new();
    let folder = crate::support::fixture::fast_folder();
    for name in ["a", "b", "c"] {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        if !can_run(file.set_len(i64::MAX as u64).is_ok(), "a file system with files of 8 EiB") {
            return;
        }
    }
    for number in 0..4 {
        let_time_pass();
        let (report, monitor) =
            repo.backup_with(options(&[folder.path().to_owned()], "host")).unwrap();
        assert_eq!(
            (report.snapshot.is_some(), monitor.problems()),
            (number == 0, Vec::new()),
            "{number}"
        );
    }
}
