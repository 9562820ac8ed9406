//! Dumps as files of a snapshot: one or many files each, in place of files of the host, unchanged
//! ones, and those that fail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use drumlin::backup::{Dump, DumpSource, Error, FileSink};
use drumlin::chunker::Cutting;
use drumlin::format::entry::Content;
use drumlin::monitor::{Monitor, ProblemKind};
use drumlin::repo::snapshots;

use crate::support::fixture::{TestRepo, let_time_pass, noise, options, write};

/// A dump that is what a function does.
struct Does<F>(F);

impl<F: FnOnce(&mut dyn FileSink) -> io::Result<()> + Send> Dump for Does<F> {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        (self.0)(sink)
    }
}

/// Returns a dump that is what a function does.
pub fn dump(
    path: &str,
    run: impl FnOnce(&mut dyn FileSink) -> io::Result<()> + Send + 'static,
) -> DumpSource {
    DumpSource {
        path: path.as_bytes().to_vec(),
        open: Box::new(move || Ok(Box::new(Does(run)))),
        known: None,
        cutting: None,
        original: None,
        may_fail: false,
    }
}

/// Returns a dump of one file.
pub fn file(path: &str, bytes: impl Into<Vec<u8>>) -> DumpSource {
    let bytes = bytes.into();
    dump(path, move |sink| fill(sink, b"", &bytes))
}

/// Fills a file.
pub fn fill(sink: &mut dyn FileSink, path: &[u8], bytes: &[u8]) -> io::Result<()> {
    let file = sink.begin(path)?;
    bytes.chunks(70_000).try_for_each(|piece| sink.write(file, piece))?;
    sink.end(file)
}

/// Returns lines that differ, as a dump of rows has them.
pub fn rows(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|n| format!("INSERT INTO t VALUES ({n},'{}');\n", n * n).into_bytes())
        .collect()
}

#[test]
fn a_dump_may_lie_in_a_folder_that_the_host_does_not_have() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), b"file");
    let beside = format!("{}/no/such/dump.sql", source.parent().unwrap().display());
    for paths in [vec![], vec![source.clone()]] {
        let mut options = options(&paths, "host");
        options.dumps =
            vec![file("/no-such-folder/db/dump.sql", "select 1;"), file(&beside, "select 2;")];
        let (report, monitor) = repo.backup_with(options).unwrap();
        assert_eq!(monitor.problem_count(), 0, "{:?}", monitor.problems());
        let snapshot = report.snapshot.unwrap();
        for (path, bytes) in
            [("/no-such-folder/db/dump.sql", b"select 1;"), (beside.as_str(), b"select 2;")]
        {
            assert_eq!(repo.content(&repo.lookup(&snapshot, path).unwrap()), bytes);
        }
        assert_eq!(repo.lookup(&snapshot, "/no-such-folder/db").unwrap().entry.mode, 0o700);
        assert_eq!(snapshot.stats.totals.files, 2 + paths.len() as u64);
    }
}

#[test]
fn a_dump_that_would_push_another_source_out_is_refused() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("sub/file"), b"file");
    let inside = format!("{}/dump.sql", source.display());
    let above = source.parent().unwrap().display().to_string();
    let below = |name: &'static [u8]| dump("/dump", move |sink| fill(sink, name, b"x"));
    let twice = dump("/dump", |sink| {
        fill(sink, b"a", b"x")?;
        fill(sink, b"a", b"x")
    });
    let under_itself = dump("/dump", |sink| {
        fill(sink, b"a", b"x")?;
        fill(sink, b"a/b", b"x")
    });
    for dumps in [
        vec![file(&inside, "x")],
        vec![file(&above, "x")],
        vec![file("/same", "x"), file("/same", "y")],
        vec![file("/dump/a", "x"), file("/dump", "y")],
        vec![file("/dump/../a", "x")],
        vec![below(b"..")],
        vec![below(b"a//b")],
        vec![below(b"/a")],
        vec![twice],
        vec![under_itself],
        vec![dump("/dump", |_| Ok(()))],
        vec![dump("/dump", |sink| sink.begin(b"a").map(drop))],
    ] {
        let mut options = options(std::slice::from_ref(&source), "host");
        options.dumps = dumps;
        assert!(matches!(repo.backup_with(options), Err(Error::Stream { .. })));
    }
    assert!(snapshots::list(&repo.repository).unwrap().is_empty());
}

#[test]
fn one_dump_fills_several_files_at_the_same_time() {
    let repo = TestRepo::new();
    let (left, right) = (noise(1, 5_000_001), rows(100_000));
    let (of_left, of_right) = (left.clone(), right.clone());
    let mut options = options(&[], "host");
    options.dumps = vec![dump("/@app/db", move |sink| {
        let (a, b) = (sink.begin(b"data/left")?, sink.begin(b"right")?);
        let mut pieces = of_right.chunks(12_345);
        for piece in of_left.chunks(54_321) {
            sink.write(a, piece)?;
            pieces.next().map_or(Ok(()), |piece| sink.write(b, piece))?;
        }
        pieces.try_for_each(|piece| sink.write(b, piece))?;
        fill(sink, b"small", b"few")?;
        fill(sink, b"zeros", &[0; 3_000_000])?;
        sink.end(b)?;
        sink.end(a)?;
        assert!(sink.write(a, b"more").is_err() && sink.end(b).is_err());
        Ok(())
    })];
    let snapshot = repo.backup_with(options).unwrap().0.snapshot.unwrap();
    let entry = |path: &str| repo.lookup(&snapshot, format!("/@app/db/{path}")).unwrap();
    assert!(repo.content(&entry("data/left")) == left && repo.content(&entry("right")) == right);
    assert!(matches!(entry("small").entry.content, Content::Inline(_)));
    assert_eq!(repo.content(&entry("zeros")), [0; 3_000_000]);
    assert_eq!((entry("zeros").entry.size, snapshot.stats.totals.files), (3_000_000, 4));
    assert_eq!(snapshot.sources, [b"/@app".to_vec()]);
}

#[test]
fn dumps_are_opened_one_after_another() {
    let repo = TestRepo::new();
    let open = Arc::new(AtomicUsize::new(0));
    let mut options = options(&[], "host");
    for n in 0..3 {
        let open = open.clone();
        options.dumps.push(DumpSource {
            path: format!("/dump-{n}").into_bytes(),
            open: Box::new(move || {
                assert_eq!(open.fetch_add(1, Ordering::SeqCst), 0, "another is open");
                let run = move |sink: &mut dyn FileSink| {
                    fill(sink, b"", &noise(n, 3 << 20))?;
                    open.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                Ok(Box::new(Does(run)))
            }),
            known: None,
            cutting: None,
            original: None,
            may_fail: false,
        });
    }
    assert_eq!(repo.backup_with(options).unwrap().0.snapshot.unwrap().stats.totals.files, 3);
}

#[test]
fn a_dump_takes_the_place_and_the_metadata_of_a_file() {
    let repo = TestRepo::new();
    let source = repo.source();
    let live = source.join("vault/a.db");
    write(&live, b"live and half written");
    write(&source.join("vault/a.db-wal"), b"journal");
    write(&source.join("vault/other"), b"other");
    std::fs::set_permissions(&live, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let copy = rows(20_000);
    let with_copy = |paths: &[PathBuf], place: &Path| {
        let mut options = options(paths, "host");
        options.dumps = vec![DumpSource {
            original: Some(place.to_owned()),
            ..file(place.to_str().unwrap(), copy.clone())
        }];
        options.left_out = vec![repo.stored_path("vault/a.db-wal")];
        options.always_snapshot = true;
        options
    };
    for paths in [vec![source.clone()], vec![source.clone(), live.clone()], vec![live.clone()]] {
        let (report, monitor) = repo.backup_with(with_copy(&paths, &live)).unwrap();
        assert_eq!(monitor.problem_count(), 0, "{:?}", monitor.problems());
        let snapshot = report.snapshot.unwrap();
        let entry = repo.lookup(&snapshot, &live).unwrap();
        assert!(repo.content(&entry) == copy);
        let metadata = std::fs::metadata(&live).unwrap();
        assert_eq!(entry.entry.mode, 0o640);
        assert_eq!(entry.entry.mtime.seconds, std::os::unix::fs::MetadataExt::mtime(&metadata));
        assert!(repo.lookup(&snapshot, source.join("vault/a.db-wal")).is_none());
        let has_other = repo.lookup(&snapshot, source.join("vault/other")).is_some();
        assert_eq!(has_other, paths.contains(&source));
    }
    // Twice the same place is refused, and so is a copy of what is not there.
    let mut options = with_copy(std::slice::from_ref(&source), &live);
    options.dumps.extend(with_copy(&[], &live).dumps);
    assert!(matches!(repo.backup_with(options), Err(Error::Stream { .. })));
    let missing = with_copy(std::slice::from_ref(&source), &source.join("missing"));
    assert!(matches!(repo.backup_with(missing), Err(Error::Stream { .. })));
}

#[test]
fn a_copy_below_a_link_is_reported() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("real/a.db"), b"live");
    std::os::unix::fs::symlink("real", source.join("link")).unwrap();
    let mut options = options(std::slice::from_ref(&source), "host");
    let place = source.join("link/a.db");
    options.dumps =
        vec![DumpSource { original: Some(place.clone()), ..file(place.to_str().unwrap(), "copy") }];
    let (_, monitor) = repo.backup_with(options).unwrap();
    let problems = monitor.problems();
    assert!(
        problems.iter().any(|problem| problem.kind == ProblemKind::Unreadable
            && problem.path == repo.stored_path("link")),
        "{problems:?}"
    );
}

#[test]
fn an_unchanged_dump_makes_no_snapshot_and_no_request() {
    let mut repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), b"file");
    let dumped = Arc::new(Mutex::new(rows(200_000)));
    let again = |repo: &TestRepo| {
        let mut options = options(std::slice::from_ref(&source), "host");
        let bytes = dumped.lock().unwrap().clone();
        let many = DumpSource {
            cutting: Some(Cutting::Rows),
            ..dump("/@app/db", move |sink| {
                for (n, table) in bytes.chunks(1 << 20).enumerate() {
                    fill(sink, format!("table-{n}.sql").as_bytes(), table)?;
                }
                Ok(())
            })
        };
        options.dumps = vec![file("/@app/manifest.json", "{}"), many];
        repo.backup_with(options).unwrap().0
    };
    let first = again(&repo).snapshot.unwrap();
    for _ in 0..2 {
        let_time_pass();
        repo.reopen();
        let before = repo.store.counts();
        let report = again(&repo);
        assert_eq!((repo.store.counts() - before).total().calls, 0);
        assert_eq!((report.snapshot.is_none(), report.unchanged_since), (true, Some(first.id)));
    }
    // One row differs: its chunk, the folders above it, nothing else.
    dumped.lock().unwrap()[3_000_000] ^= 1;
    repo.reopen();
    let report = again(&repo);
    let second = report.snapshot.unwrap();
    assert_eq!((second.stats.files_changed, second.stats.files_new), (1, 0));
    assert!(second.stats.bytes_new_raw < 100_000, "{:?}", second.stats);
    let of = |snapshot, name: &str| repo.lookup(snapshot, format!("/@app/db/{name}")).unwrap();
    assert_eq!(of(&first, "table-0.sql").entry, of(&second, "table-0.sql").entry);
    assert_ne!(of(&first, "table-2.sql").entry.mtime, of(&second, "table-2.sql").entry.mtime);
    // A table that is gone is gone.
    dumped.lock().unwrap().truncate(1 << 20);
    let third = again(&repo).snapshot.unwrap();
    assert!(repo.lookup(&third, "/@app/db/table-1.sql").is_none());
}

#[test]
fn a_dump_that_fails_makes_no_snapshot_unless_it_may() {
    let repo = TestRepo::new();
    let source = repo.source();
    write(&source.join("file"), b"file");
    let broken = || {
        dump("/dump", |sink| {
            fill(sink, b"a", b"whole")?;
            fill(sink, b"b", &noise(3, 4 << 20))?;
            Err(io::Error::other("server has gone away"))
        })
    };
    let mut failing = options(std::slice::from_ref(&source), "host");
    failing.dumps = vec![broken(), file("/never", "x")];
    let error = repo.backup_with(failing).map(drop).unwrap_err();
    assert!(matches!(error, Error::Stream { .. }), "{error:?}");
    assert!(snapshots::list(&repo.repository).unwrap().is_empty());

    let mut tolerant = options(std::slice::from_ref(&source), "host");
    tolerant.dumps = vec![DumpSource { may_fail: true, ..broken() }, file("/other", "x")];
    let (report, monitor) = repo.backup_with(tolerant).unwrap();
    let snapshot = report.snapshot.unwrap();
    assert!(
        repo.lookup(&snapshot, "/dump").is_none() && repo.lookup(&snapshot, "/other").is_some()
    );
    assert!(monitor.problems()[0].message.contains("gone away"), "{:?}", monitor.problems());
}

#[test]
fn a_dump_ends_when_the_backup_is_cancelled() {
    let repo = TestRepo::new();
    let monitor = Arc::new(Monitor::default());
    let cancels = monitor.clone();
    let mut options = options(&[], "host");
    options.dumps = vec![dump("/endless", move |sink| {
        let file = sink.begin(b"")?;
        loop {
            sink.write(file, &[7; 100_000])?;
            cancels.cancel();
        }
    })];
    let error = drumlin::backup::run(&repo.repository, options, &monitor).map(drop).unwrap_err();
    assert!(matches!(error, Error::Repository(drumlin::repo::Error::Cancelled)), "{error:?}");
}

#[test]
fn sources_below_another_root_are_recorded_without_it() {
    let repo = TestRepo::new();
    let host = repo.source();
    write(&host.join("data/wiki/page"), b"page");
    write(&host.join("data/wiki/old.tmp"), b"left out");
    write(&host.join("etc/motd"), b"of the host");
    // Absolute links mean the host's paths, on the way to a source and as one.
    std::os::unix::fs::symlink("/data", host.join("srv")).unwrap();
    std::os::unix::fs::symlink("/etc/motd", host.join("motd")).unwrap();
    let paths: Vec<PathBuf> = ["/srv/wiki", "/motd/"].map(PathBuf::from).to_vec();
    let below = |root: &Path| {
        let mut options = options(&paths, "host");
        options.root = Some(root.to_owned());
        options.excludes.patterns = vec!["/srv/wiki/*.tmp".into()];
        options
    };
    let (report, monitor) = repo.backup_with(below(&host)).unwrap();
    assert_eq!(monitor.problem_count(), 0, "{:?}", monitor.problems());
    let snapshot = report.snapshot.unwrap();
    let content = |path: &str| Some(repo.content(&repo.lookup(&snapshot, path)?));
    assert_eq!(content("/srv/wiki/page").as_deref(), Some(&b"page"[..]));
    assert_eq!(content("/motd").as_deref(), Some(&b"of the host"[..]));
    assert!(repo.lookup(&snapshot, "/srv/wiki/old.tmp").is_none());
    assert!(repo.lookup(&snapshot, host.join("data")).is_none());
    assert_eq!(snapshot.sources, [b"/motd".to_vec(), b"/srv/wiki".to_vec()]);
    let_time_pass();
    assert!(repo.backup_with(below(&host)).unwrap().0.unchanged_since.is_some());
    // What is not there below the root is missing, even if this machine has it.
    let mut outside = below(&host);
    outside.paths = vec![PathBuf::from("/etc/hostname"), PathBuf::from("/srv/wiki")];
    let (_, monitor) = repo.backup_with(outside).unwrap();
    assert_eq!(monitor.count_of(ProblemKind::Unreadable), 1, "{:?}", monitor.problems());
    let mut relative = below(&host);
    relative.paths = vec![PathBuf::from("srv/wiki")];
    assert!(matches!(repo.backup_with(relative), Err(Error::Source { .. })));
}
