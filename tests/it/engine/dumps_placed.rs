//! Dumps that choose at their end which files they have, or begin again, and dumps that need not be
//! made because the parent has their file. Method: dumps of the test's own, which count.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drumlin::backup::{DumpSource, Error, FileSink, KnownFile, PlacedFile};
use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;

use super::dumps::{dump, file, fill, rows};
use crate::support::fixture::{TestRepo, let_time_pass, noise, options};

fn placed(file: drumlin::backup::FileNumber, path: &str) -> PlacedFile {
    PlacedFile { file, path: path.as_bytes().to_vec() }
}

/// Begins a file, fills it and ends it; returns its number.
fn add(
    sink: &mut dyn FileSink,
    path: &str,
    bytes: &[u8],
) -> io::Result<drumlin::backup::FileNumber> {
    let file = sink.begin(path.as_bytes())?;
    sink.write(file, bytes)?;
    sink.end(file)?;
    Ok(file)
}

#[test]
fn files_that_are_replaced_renamed_or_removed_are_as_in_the_end() {
    let repo = TestRepo::new();
    let large = rows(60_000);
    let of_dump = large.clone();
    let mut options = options(&[], "host");
    options.dumps = vec![dump("/@app/copy", move |sink| {
        add(sink, "data/t", b"old")?;
        let renamed = add(sink, "data/was", &of_dump)?;
        let left = sink.begin(b"data/never-ends")?;
        let new = add(sink, "data/t", b"new")?;
        add(sink, "data/removed", &noise(5, 3 << 20))?;
        add(sink, "data/was", b"another of that name")?;
        let empty = sink.begin(b"data/empty")?;
        sink.end(empty)?;
        sink.write(left, b"x")?;
        sink.keep(vec![placed(new, "data/t"), placed(renamed, "is"), placed(empty, "data/empty")])
    })];
    let (report, monitor) = repo.backup_with(options).unwrap();
    assert_eq!(monitor.problem_count(), 0, "an empty file among others: {:?}", monitor.problems());
    let snapshot = report.snapshot.unwrap();
    let content = |path: &str| {
        repo.lookup(&snapshot, format!("/@app/copy/{path}")).map(|entry| repo.content(&entry))
    };
    assert_eq!(content("data/t").unwrap(), b"new");
    assert!(content("is").unwrap() == large);
    assert_eq!(content("data/empty").unwrap(), b"");
    for gone in ["data/was", "data/removed", "data/never-ends"] {
        assert_eq!(content(gone), None, "{gone}");
    }
    assert_eq!(snapshot.stats.totals.files, 3);
}

#[test]
fn a_dump_that_begins_again_has_only_what_came_then() {
    let repo = TestRepo::new();
    let mut options = options(&[], "host");
    options.dumps = vec![dump("/@app/db", |sink| {
        fill(sink, b"a", b"first")?;
        fill(sink, b"gone", &noise(1, 1 << 20))?;
        let half = sink.begin(b"b")?;
        sink.write(half, b"half")?;
        sink.keep(Vec::new())?;
        assert!(sink.write(half, b"more").is_err() && sink.end(half).is_err());
        fill(sink, b"a", b"second")?;
        fill(sink, b"b", b"whole")
    })];
    let snapshot = repo.backup_with(options).unwrap().0.snapshot.unwrap();
    let content = |path: &str| repo.content(&repo.lookup(&snapshot, path).unwrap());
    assert_eq!((content("/@app/db/a"), content("/@app/db/b")), (b"second".into(), b"whole".into()));
    assert!(repo.lookup(&snapshot, "/@app/db/gone").is_none());
}

#[test]
fn a_choice_that_cannot_be_is_refused() {
    let repo = TestRepo::new();
    let with = |choose: fn(&mut dyn FileSink) -> io::Result<()>| {
        let mut options = options(&[], "host");
        options.dumps = vec![dump("/@app/copy", choose)];
        repo.backup_with(options).map(drop)
    };
    let refused = [
        with(|sink| {
            let open = sink.begin(b"a")?;
            sink.keep(vec![placed(open, "a")])
        }),
        with(|sink| {
            let a = add(sink, "a", b"x")?;
            sink.keep(vec![placed(a, "a"), placed(a, "b")])
        }),
        with(|sink| {
            let (a, b) = (add(sink, "a", b"x")?, add(sink, "b", b"x")?);
            sink.keep(vec![placed(a, "c"), placed(b, "c")])
        }),
        with(|sink| {
            let a = add(sink, "a", b"x")?;
            sink.keep(vec![placed(a, "../../etc")])
        }),
        with(|sink| {
            add(sink, "a", b"x")?;
            sink.keep(Vec::new())
        }),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::Stream { .. })), "{result:?}");
    }
}

/// Backs up a dump that says what it knows; returns the new or unchanged snapshot's id, and whether
/// the dump was made.
struct Knowing {
    repo: TestRepo,
    made: Arc<AtomicUsize>,
}

impl Knowing {
    fn backup(&self, known: Option<KnownFile>, reads_all: bool) -> (Option<Snapshot>, usize) {
        let before = self.made.load(Ordering::SeqCst);
        let mut options = options(&[], "host");
        options.read_all = reads_all;
        let made = self.made.clone();
        let whole = file("/@app/ranges/0", rows(50_000));
        let open = Box::new(move || {
            made.fetch_add(1, Ordering::SeqCst);
            (whole.open)()
        });
        let range = DumpSource { open, known, ..file("/@app/ranges/0", "") };
        options.dumps = vec![range, file("/@app/manifest.json", "{}")];
        let report = self.repo.backup_with(options).unwrap().0;
        (report.snapshot, self.made.load(Ordering::SeqCst) - before)
    }
}

#[test]
fn a_dump_that_the_parent_has_is_not_made_and_any_doubt_makes_it() {
    let mut knowing = Knowing { repo: TestRepo::new(), made: Arc::default() };
    let len_bytes = rows(50_000).len() as u64;
    let nobody = KnownFile { snapshot: SnapshotId([7; 16]), len_bytes };
    let (first, made) = knowing.backup(Some(nobody), false);
    let first = first.unwrap();
    assert_eq!(made, 1, "there is no parent");
    let known = KnownFile { snapshot: first.id, len_bytes };
    let_time_pass();
    knowing.repo.reopen();
    let before = knowing.repo.store.counts();
    let (second, made) = knowing.backup(Some(known), false);
    assert_eq!((second.is_none(), made), (true, 0));
    assert_eq!((knowing.repo.store.counts() - before).total().calls, 0);
    for doubtful in [nobody, KnownFile { len_bytes: len_bytes - 1, ..known }] {
        let (snapshot, made) = knowing.backup(Some(doubtful), false);
        assert_eq!((snapshot.is_none(), made), (true, 1), "{doubtful:?}");
    }
    let (snapshot, made) = knowing.backup(Some(known), true);
    assert_eq!(made, 1, "`--read-all` has no parent");
    // The parent is that one now, and has the same file.
    let parent = snapshot.unwrap_or_else(|| first.clone());
    assert_eq!(knowing.backup(Some(KnownFile { snapshot: parent.id, len_bytes }), false).1, 0);
    // What was taken over is whole, and is no more than an entry.
    let entry = knowing.repo.lookup(&parent, "/@app/ranges/0").unwrap();
    assert!(knowing.repo.content(&entry) == rows(50_000));
}

#[test]
fn a_parent_without_the_file_makes_the_dump() {
    let knowing = Knowing { repo: TestRepo::new(), made: Arc::default() };
    let mut without = options(&[], "host");
    without.dumps = vec![file("/@app/manifest.json", "{}")];
    let parent = knowing.repo.backup_with(without).unwrap().0.snapshot.unwrap();
    let len_bytes = rows(50_000).len() as u64;
    let known = KnownFile { snapshot: parent.id, len_bytes };
    let (snapshot, made) = knowing.backup(Some(known), false);
    assert_eq!(made, 1);
    let entry = knowing.repo.lookup(&snapshot.unwrap(), "/@app/ranges/0").unwrap();
    assert!(knowing.repo.content(&entry) == rows(50_000));
}
