//! Goal: a holder of a key can write any tree, and a user who may write to the target can swap
//! anything in it; a restore still never touches anything outside of its target, never hangs, and
//! says what it refused. Method: trees sealed with the real keys by hand (names, kinds, links and
//! sizes that no backup makes), and a thread that swaps folders for links while a restore runs.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, Entry, EntryKind, Ref, Timestamp, Xattr};
use drumlin::format::node::{ListNode, Totals, TreeChild, TreeNode};
use drumlin::format::snapshot::Snapshot;
use drumlin::id::ChunkId;
use drumlin::monitor::{Monitor, ProblemKind};
use drumlin::restore::archive::ArchiveFormat;
use drumlin::restore::{self, Overwrite, RestoreOptions, RestoreReport};

use crate::support::archives::{archive, extract};
use crate::support::fixture::{TestRepo, noise, write};
use crate::support::forger::{Forger, entry, file};

fn link(name: &[u8], to: &Path) -> Entry {
    entry(name, EntryKind::Symlink, Content::Inline(to.as_os_str().as_encoded_bytes().to_vec()))
}

/// The target, and a folder beside it in which nothing may ever change.
struct Ground {
    target: PathBuf,
    outside: PathBuf,
}

impl Ground {
    fn new(repo: &TestRepo) -> Self {
        let outside = repo.scratch.path().join("outside");
        write(&outside.join("precious"), b"data");
        write(&outside.join("folder/precious"), b"data");
        Self { target: repo.scratch.path().join("target"), outside }
    }

    fn restore(&self, repo: &TestRepo, snapshot: &Snapshot) -> (RestoreReport, Monitor) {
        let options = RestoreOptions {
            target: self.target.clone(),
            threads: 2,
            overwrite: Overwrite::Always,
            ..Default::default()
        };
        let monitor = Monitor::default();
        let report = restore::run(&repo.repository, snapshot, &options, &monitor).unwrap();
        self.check();
        (report, monitor)
    }

    /// Checks that nothing outside was made, changed, given another mode, or opened wider.
    fn check(&self) {
        let mut found = Vec::new();
        list(&self.outside, &mut found);
        assert_eq!(found, ["folder", "precious", "precious"], "something appeared outside");
        for name in ["precious", "folder/precious"] {
            assert_eq!(fs::read(self.outside.join(name)).unwrap(), b"data");
            assert_eq!(fs::metadata(self.outside.join(name)).unwrap().mode() & 0o7777, 0o644);
        }
        let beside = fs::read_dir(self.outside.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>();
        let known = ["target", "outside", "cache", "source", "swap"];
        assert!(beside.iter().all(|name| known.iter().any(|known| name == known)), "{beside:?}");
    }
}

fn list(folder: &Path, into: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        into.push(entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), into);
        }
    }
}

#[test]
fn impossible_names_are_refused() {
    let names: [&[u8]; 9] = [
        b"..",
        b".",
        b"",
        b"/tmp/x",
        b"../outside/x",
        b"a/../../outside/x",
        b"a/b",
        b"nul\0",
        b"/",
    ];
    for name in names {
        let repo = TestRepo::new();
        let ground = Ground::new(&repo);
        let forger = Forger::new(&repo);
        let bad = forger.dir(b"bad", vec![file(name)]);
        let folder = forger.dir(
            b"folder",
            vec![entry(name, EntryKind::Dir, Content::Tree(forger.leaf(vec![file(b"x")])))],
        );
        let root = forger.leaf(vec![bad, folder, file(b"good")]);
        let snapshot = forger.finish(root);
        let (report, monitor) = ground.restore(&repo, &snapshot);
        assert_eq!((report.damaged, report.files), (2, 1), "{name:?}: {:?}", monitor.problems());
        assert!(monitor.problems().iter().all(|problem| problem.kind == ProblemKind::Damaged));
        let mut found = Vec::new();
        list(&ground.target, &mut found);
        assert_eq!(found, ["bad", "folder", "good"], "{name:?}");
    }
}

#[test]
fn one_name_twice_is_refused_so_that_no_link_is_descended() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let folder = || forger.dir(b"x", vec![file(b"planted")]);
    let in_one_leaf = forger.dir(b"a", vec![link(b"x", &ground.outside), folder()]);
    let leaf = |entries: Vec<Entry>| (entries[0].name.clone(), forger.leaf(entries));
    let leaves =
        [leaf(vec![file(b"w"), link(b"x", &ground.outside)]), leaf(vec![folder(), file(b"y")])];
    let children = leaves
        .map(|(first_name, id)| TreeChild { first_name, id, totals: Totals::default() })
        .to_vec();
    let inner = forger.put(ChunkKind::Tree, &TreeNode::Inner { level: 1, children }.encode());
    let in_two_leaves = entry(b"b", EntryKind::Dir, Content::Tree(inner));
    let root = forger.leaf(vec![in_one_leaf, in_two_leaves]);
    let snapshot = forger.finish(root);
    let (report, _) = ground.restore(&repo, &snapshot);
    assert_eq!(report.damaged, 2);
    // Of two leaves that do not fit the first is refused already: it reaches into what the node
    // above promises of the second.
    assert!(["a/x", "b/x"].iter().all(|path| ground.target.join(path).symlink_metadata().is_err()));
}

#[test]
fn hard_links_to_other_kinds_are_refused() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let grouped = |mut entry: Entry| {
        entry.hard_link = Some(7);
        entry
    };
    let first = grouped(link(b"a", &ground.outside.join("precious")));
    let second = grouped(file(b"b"));
    let long = Content::Refs(vec![Ref::Data {
        id: forger.put(ChunkKind::Data, &noise(1, 5000)),
        len: 5000,
    }]);
    let third = grouped(entry(b"c", EntryKind::File, long));
    let root = forger.leaf(vec![first, second, third]);
    let snapshot = forger.finish(root);
    for _ in 0..2 {
        let (report, monitor) = ground.restore(&repo, &snapshot);
        assert_eq!((report.failed, report.files), (2, 1), "{:?}", monitor.problems());
        assert!(ground.target.join("a").is_symlink());
    }
}

/// So do honest snapshots of file systems that give two files one number.
#[test]
fn names_that_differ_are_no_links_of_each_other() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let long = |seed: u64| {
        Content::Refs(vec![Ref::Data {
            id: forger.put(ChunkKind::Data, &noise(seed, 5000)),
            len: 5000,
        }])
    };
    let grouped = |name: &[u8], content: Content, mode: u16| {
        let mut entry = entry(name, EntryKind::File, content);
        (entry.hard_link, entry.mode) = (Some(7), mode);
        entry
    };
    let root = forger.leaf(vec![
        grouped(b"a", long(1), 0o600),
        grouped(b"b", long(2), 0o600),
        grouped(b"c", Content::Inline(b"short".to_vec()), 0o600),
        grouped(b"d", long(1), 0o640),
        grouped(b"e", long(1), 0o600),
    ]);
    let snapshot = forger.finish(root);
    for _ in 0..2 {
        let (report, monitor) = ground.restore(&repo, &snapshot);
        let apart = monitor
            .problems()
            .iter()
            .filter(|problem| problem.message.contains("a file of its own"))
            .count();
        assert_eq!((report.failed, report.files, apart), (0, 5, 3), "{:?}", monitor.problems());
        let at = |name: &str| ground.target.join(name);
        assert_eq!(fs::read(at("a")).unwrap(), noise(1, 5000));
        assert_eq!(fs::read(at("b")).unwrap(), noise(2, 5000));
        assert_eq!(fs::read(at("c")).unwrap(), b"short");
        let about = |name: &str| {
            fs::metadata(at(name))
                .map(|about| (about.ino(), about.mode() & 0o777, about.nlink()))
                .unwrap()
        };
        assert_eq!(about("d").1, 0o640);
        assert_eq!((about("a"), about("d").2), (about("e"), 1));
        assert_eq!(about("a").2, 2);
    }
    // An archive tells them apart, too.
    let options = RestoreOptions { target: ground.target.clone(), ..RestoreOptions::default() };
    let (report, monitor, path) = archive(&repo, &snapshot, &options, ArchiveFormat::Tar);
    assert_eq!(
        (report.unwrap().hard_links, monitor.problem_count()),
        (1, 0),
        "{:?}",
        monitor.problems()
    );
    let unpacked = repo.scratch.path().join("unpacked");
    extract(&path, &unpacked);
    let content = |name: &str| fs::read(unpacked.join(name)).unwrap();
    assert!(
        content("a") == noise(1, 5000)
            && content("b") == noise(2, 5000)
            && content("c") == b"short"
    );
    let about = |name: &str| {
        fs::metadata(unpacked.join(name)).map(|about| (about.ino(), about.mode() & 0o777)).unwrap()
    };
    assert_eq!((about("a"), about("d").1), (about("e"), 0o640));
}

#[test]
fn links_planted_in_the_target_are_not_followed() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let long = || {
        Content::Refs(vec![Ref::Data {
            id: forger.put(ChunkKind::Data, &noise(1, 5000)),
            len: 5000,
        }])
    };
    let inside =
        forger.dir(b"inside", vec![entry(b"long", EntryKind::File, long()), file(b"precious")]);
    let root = forger.leaf(vec![
        forger.dir(b"folder", vec![inside, file(b"precious")]),
        entry(b"long", EntryKind::File, long()),
        file(b"precious"),
        entry(b"sub", EntryKind::Symlink, Content::Inline(b"elsewhere".to_vec())),
    ]);
    let snapshot = forger.finish(root);
    fs::create_dir(&ground.target).unwrap();
    for (name, to) in
        [("folder", "folder"), ("long", "precious"), ("precious", "precious"), ("sub", "folder")]
    {
        symlink(ground.outside.join(to), ground.target.join(name)).unwrap();
    }
    let (report, monitor) = ground.restore(&repo, &snapshot);
    assert_eq!((report.files, monitor.problem_count()), (6, 0), "{:?}", monitor.problems());
    assert!(ground.target.join("folder").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read(ground.target.join("long")).unwrap(), noise(1, 5000));
}

#[test]
fn things_in_the_way_that_block_or_act_are_not_opened() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let long = Content::Refs(vec![Ref::Data {
        id: forger.put(ChunkKind::Data, &noise(1, 5000)),
        len: 5000,
    }]);
    let root =
        forger.leaf(vec![file(b"fifo"), entry(b"fifo2", EntryKind::File, long), file(b"socket")]);
    let snapshot = forger.finish(root);
    fs::create_dir(&ground.target).unwrap();
    use rustix::fs::{CWD, FileType, Mode};
    for (name, kind) in
        [("fifo", FileType::Fifo), ("fifo2", FileType::Fifo), ("socket", FileType::Socket)]
    {
        rustix::fs::mknodat(CWD, ground.target.join(name), kind, Mode::RWXU, 0).unwrap();
    }
    let started = Instant::now();
    let (report, monitor) = ground.restore(&repo, &snapshot);
    assert_eq!((report.files, monitor.problem_count()), (3, 0), "{:?}", monitor.problems());
    assert!(ground.target.join("fifo2").is_file() && started.elapsed() < Duration::from_secs(20));
}

#[test]
fn content_that_lies_about_itself_is_refused() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let honest = forger.put(ChunkKind::Data, &noise(1, 5000));
    let forged = ChunkId([3; 32]);
    forger.put_as(ChunkKind::Data, &forged, &noise(2, 5000));
    let refs = |id: ChunkId, len: u32| Content::Refs(vec![Ref::Data { id, len }]);
    let list = |refs: Vec<Ref>| {
        Content::List(forger.put(ChunkKind::List, &ListNode::Leaf { refs }.encode()))
    };
    let sized = |mut entry: Entry, size: u64| {
        entry.size = size;
        entry
    };
    let long = list(vec![Ref::Data { id: honest, len: 5000 }, Ref::Hole { len: 9000 }]);
    let tree = forger.leaf(Vec::new());
    let root = forger.leaf(vec![
        entry(b"absent chunk", EntryKind::File, refs(ChunkId([9; 32]), 5000)),
        entry(b"forged chunk", EntryKind::File, refs(forged, 5000)),
        sized(entry(b"longer than it says", EntryKind::File, long.clone()), 13_999),
        entry(b"other length", EntryKind::File, refs(honest, 5001)),
        sized(entry(b"shorter than it says", EntryKind::File, long.clone()), 14_001),
        entry(b"tree for content", EntryKind::File, refs(tree, 100)),
        sized(entry(b"whole", EntryKind::File, long), 14_000),
    ]);
    let snapshot = forger.finish(root);
    let (report, monitor) = ground.restore(&repo, &snapshot);
    assert_eq!((report.damaged, report.files), (6, 1), "{:?}", monitor.problems());
    for name in [
        "absent chunk",
        "forged chunk",
        "longer than it says",
        "other length",
        "shorter than it says",
        "tree for content",
    ] {
        assert!(!ground.target.join(name).exists(), "{name} looks whole");
    }
    assert_eq!(
        fs::read(ground.target.join("whole")).unwrap(),
        [noise(1, 5000), vec![0; 9000]].concat()
    );
}

#[test]
fn absurd_sizes_and_attributes_are_reported_and_the_rest_is_restored() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let mut absurd = entry(
        b"absurd hole",
        EntryKind::File,
        Content::Refs(vec![Ref::Hole { len: i64::MAX as u64 }]),
    );
    absurd.mtime = Timestamp { seconds: i64::MAX, nanos: 999_999_999 };
    let mut odd = file(b"odd attributes");
    odd.xattrs = vec![
        Xattr { name: b"no.such.namespace".to_vec(), value: b"x".to_vec() },
        Xattr { name: [b"user.", &[b'n'; 300][..]].concat(), value: b"x".to_vec() },
        Xattr { name: b"user.too long".to_vec(), value: vec![0; 200_000] },
    ];
    (odd.uid, odd.gid) = (u32::MAX, u32::MAX);
    let mut device = entry(b"device", EntryKind::CharDevice, Content::None);
    device.device = Some((u32::MAX, u32::MAX));
    let long_name = file(&[b'n'; 4000]);
    let root = forger.leaf(vec![absurd, device, file(b"good"), long_name, odd]);
    let snapshot = forger.finish(root);
    let (report, monitor) = ground.restore(&repo, &snapshot);
    assert!(report.failed >= 2, "{:?}", monitor.problems());
    assert_eq!(fs::read(ground.target.join("good")).unwrap(), b"attack");
    assert_eq!(fs::read(ground.target.join("odd attributes")).unwrap(), b"attack");
}

#[test]
fn a_tree_that_unfolds_without_end_is_stopped_within_a_second() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let forger = Forger::new(&repo);
    let mut tree = forger.leaf(vec![file(b"f")]);
    for _ in 0..40 {
        let twice = [b"a", b"b"].map(|name| entry(name, EntryKind::Dir, Content::Tree(tree)));
        tree = forger.leaf(twice.to_vec());
    }
    let snapshot = forger.finish(tree);
    let monitor = Arc::new(Monitor::default());
    let stopper = monitor.clone();
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stopper.cancel();
        Instant::now()
    });
    let options =
        RestoreOptions { target: ground.target.clone(), threads: 2, ..Default::default() };
    let stopped = restore::run(&repo.repository, &snapshot, &options, &monitor);
    let took = stopping.join().unwrap().elapsed();
    assert!(matches!(stopped, Err(restore::Error::Cancelled)), "{stopped:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn folders_swapped_for_links_while_it_runs_lead_nowhere() {
    let repo = TestRepo::new();
    let ground = Ground::new(&repo);
    let source = repo.source();
    (0..400).for_each(|n| write(&source.join(format!("d{}/sub/f{n}", n % 40)), &noise(n, 2000)));
    (0..40).for_each(|n| write(&source.join(format!("d{n}/precious")), b"attack"));
    let snapshot = repo.backup("host").snapshot.unwrap();
    let is_done = AtomicBool::new(false);
    let swap = repo.scratch.path().join("swap");
    fs::create_dir(&swap).unwrap();
    symlink(&ground.outside, swap.join("link")).unwrap();
    std::thread::scope(|scope| {
        // The attacker may rename in the target: a folder goes away, a link comes in its place, and
        // back again.
        scope.spawn(|| {
            let mut round = 0;
            while !is_done.load(Ordering::Relaxed) {
                round += 1;
                let at = ground.target.join(format!("d{}", round % 40));
                let aside = swap.join(format!("{round}"));
                if fs::rename(&at, &aside).is_ok() {
                    let _ = fs::rename(swap.join("link"), &at);
                    std::thread::yield_now();
                    let _ = fs::rename(&at, swap.join("link"));
                    let _ = fs::remove_file(swap.join("link"));
                    let _ = symlink(&ground.outside, swap.join("link"));
                    let _ = fs::rename(&aside, &at);
                }
            }
        });
        for overwrite in
            [Overwrite::Always, Overwrite::IfChanged, Overwrite::Always, Overwrite::IfChanged]
        {
            let path = Some(source.clone().into_os_string().into_encoded_bytes());
            let delete = overwrite == Overwrite::Always;
            let options = RestoreOptions {
                path,
                target: ground.target.clone(),
                threads: 2,
                overwrite,
                delete,
                ..Default::default()
            };
            let finished = restore::run(&repo.repository, &snapshot, &options, &Monitor::default());
            assert!(finished.is_ok(), "{finished:?}");
            ground.check();
        }
        is_done.store(true, Ordering::Relaxed);
    });
    ground.check();
}
