//! Goal: a command that reads trees and single files of a remote repository fetches little of a
//! long index run, and never gets less or anything else because of that.
//!
//! Method: a small repository whose index is one run of some megabytes, most of whose records name
//! chunks that nobody has; a store that says it is far away, and counts. The places of ids are
//! random, so counts are bounds where that matters.

mod damage; // damaged tails of runs

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drumlin::format::run::{PackClass, PackRef, RECORDS_PER_BLOCK, RunRecord, RunToc};
use drumlin::format::snapshot::Snapshot;
use drumlin::id::{ChunkId, ObjectId};
use drumlin::repo::index::{Run, RunMerge, merge_runs, seal_run};
use drumlin::repo::{Reader, Repository, Trees};
use drumlin::store::layers::count::{CallCount, CountStore};
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::layers::lazy::LazyStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Store, StoreProperties};

use crate::support::fixture::{TestRepo, fast_folder, noise};
use crate::support::sound::{Contents, read_all};

/// Bytes of a full block in a run.
const BLOCK_LEN_BYTES: u64 = 16_432;
/// Chunks of file content that nobody has: 2.6 MB of records in 162 blocks.
const CONTENT: u32 = 60_000;
/// How many of these blocks are read one by one: an eighth.
const BLOCKS_MAX: usize = 20;

/// What a run names that nobody has: chunks of file content, of trees, and packs without any.
#[derive(Clone, Copy)]
struct Planted {
    content: u32,
    trees: u32,
    packs: u32,
}

const LONG: Planted = Planted { content: CONTENT, trees: 0, packs: 0 };

/// A repository with a few files and one long run.
struct Long {
    repo: TestRepo,
    snapshot: Snapshot,
    contents: Contents,
    run: Key,
    len_bytes: u64,
    toc: RunToc,
    /// All records of file content, as they stand in the run.
    records: Vec<RunRecord>,
}

impl Long {
    fn new(planted: Planted) -> Self {
        let repo = TestRepo::new();
        (0..4).for_each(|at| repo.write(&format!("dir-{}/file-{at}", at % 2), &noise(at, 10_000)));
        let snapshot = repo.snapshot();
        let contents = read_all(&repo.trees(), &snapshot);
        assert!(contents.len() >= 6, "{} paths", contents.len());
        let (run, toc, records) = plant(&repo, planted);
        let len_bytes = repo.memory.stat(&run).unwrap();
        Self { repo, snapshot, contents, run, len_bytes, toc, records }
    }

    /// Returns an id in the block at this position, and in no other that may be sought.
    fn id_in(&self, block: usize) -> ChunkId {
        self.records[block * RECORDS_PER_BLOCK + 5].id
    }

    /// Opens the repository from far away.
    fn open(&self, cache: &Path) -> (Arc<CountStore>, Arc<Repository>) {
        self.open_over(self.repo.memory.clone(), cache)
    }

    fn open_over(&self, store: Arc<dyn Store>, cache: &Path) -> (Arc<CountStore>, Arc<Repository>) {
        let counted = Arc::new(CountStore::new(store));
        let far = counted.clone();
        let store = LazyStore::new(
            "far away".to_owned(),
            StoreProperties { parallelism: 4, ..StoreProperties::default() },
            Box::new(move || Ok(far.clone() as Arc<dyn Store>)),
        );
        (counted, self.repo.open_in(Arc::new(store), cache).unwrap())
    }

    /// Returns the place of a record's chunk as a reader has to say it.
    fn is_at(&self, reader: &Reader, id: &ChunkId) -> bool {
        let record = self.records.iter().find(|record| record.id == *id).unwrap();
        let found = reader.locate(id).unwrap().unwrap();
        (found.offset, found.pack.name)
            == (record.offset, self.toc.packs[record.pack as usize].name)
    }
}

/// Puts one run in the place of all that there are, with all that they name, and more.
fn plant(repo: &TestRepo, planted: Planted) -> (Key, RunToc, Vec<RunRecord>) {
    let repository = repo.open();
    let (mut toc, mut records) = (RunToc::default(), Vec::new());
    for run in Reader::new(&repository).unwrap().index().runs() {
        let before = toc.packs.len() as u32;
        toc.packs.extend(&run.toc().packs);
        toc.replaces.push(run.name());
        for block in 0..run.block_count() {
            let there = run.read_block(block).unwrap();
            records.extend(
                there.iter().map(|record| RunRecord { pack: record.pack + before, ..*record }),
            );
        }
    }
    let packs = [(PackClass::Data, planted.content), (PackClass::Meta, planted.trees)];
    for (class, count) in packs.into_iter().chain((0..planted.packs).map(|_| (PackClass::Data, 0)))
    {
        let pack = toc.packs.len() as u32;
        let name = ObjectId(*blake3::hash(&pack.to_le_bytes()).as_bytes());
        toc.packs.push(PackRef { class, name, len: 1 << 20, salt: name.0 });
        let id = |n: u32| {
            ChunkId(*blake3::hash(&[[class as u8; 4], n.to_le_bytes()].concat()).as_bytes())
        };
        records.extend((0..count).map(|n| RunRecord {
            id: id(n),
            pack,
            offset: 128 + n,
            stored_len: 100,
            chunk: 0,
        }));
    }
    let class = |record: &RunRecord| toc.packs[record.pack as usize].class;
    records.sort_by_key(|record| (class(record), record.id));
    records.dedup_by_key(|record| record.id);
    let sealed = seal_run(&repository, toc.clone(), &records).unwrap();
    records.retain(|record| class(record) == PackClass::Data);
    for old in repo.memory.list(Class::Index, "").unwrap() {
        repo.memory.remove(&Key::new(Class::Index, old.name)).unwrap();
    }
    let key = Key::new(Class::Index, format!("0/{}", sealed.name));
    repo.memory.create(&key, &sealed.bytes).unwrap();
    (key, toc, records)
}

fn index_reads(store: &CountStore) -> CallCount {
    store.counts().of(Action::Read, Class::Index)
}

/// Returns the local copies of a group.
fn copies(cache: &Path, group: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(cache).unwrap().map(|folder| folder.unwrap().path().join(group));
    folders
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .map(|file| file.unwrap().path())
        .collect()
}

fn only_run(reader: &Reader) -> Arc<Run> {
    let runs = reader.index().runs();
    assert_eq!(runs.len(), 1);
    runs[0].clone()
}

/// Reads all nodes of trees by their ids, and no file.
fn list(reader: &Arc<Reader>, snapshot: &Snapshot) -> usize {
    drumlin::browse::TreeWalk::new(&Trees::new(reader.clone()), &snapshot.root, b"", true)
        .inspect(|(path, entry)| assert!(entry.is_ok(), "{path:?}"))
        .count()
}

#[test]
fn trees_take_the_end_of_a_run_and_a_file_one_block_more() {
    let long = Long::new(LONG);
    let cache = fast_folder();
    let (store, repository) = long.open(cache.path());
    let reader = Reader::for_lookup(&repository).unwrap();
    assert_eq!(list(&reader, &long.snapshot), long.contents.len());
    let for_trees = index_reads(&store);
    println!("{for_trees:?} of {} bytes", long.len_bytes);
    assert_eq!(for_trees.calls, 2, "header and end");
    assert!(for_trees.bytes < long.len_bytes / 8);
    assert_eq!(
        reader.index().record_count(),
        only_run(&Reader::new(&long.repo.open()).unwrap()).toc().record_count()
    );
    let path = long.contents.keys().find(|path| path.ends_with(b"file-0")).unwrap();
    let entry = Trees::new(reader.clone()).lookup(&long.snapshot.root, path).unwrap().unwrap();
    let drumlin::format::entry::Content::Refs(refs) = entry.entry.content else {
        panic!("it is one piece")
    };
    let [drumlin::format::entry::Ref::Data { id, .. }] = refs[..] else {
        panic!("it is one piece")
    };
    assert!(long.is_at(&reader, &id));
    let for_file = index_reads(&store);
    // Two if the chunk is the first of its block.
    assert!(
        (3..=4).contains(&for_file.calls)
            && for_file.bytes - for_trees.bytes <= 2 * BLOCK_LEN_BYTES,
        "{for_file:?}"
    );
    assert!(for_file.bytes < long.len_bytes / 4);
    assert!(long.is_at(&reader, &id));
    assert_eq!(index_reads(&store), for_file, "the block is in memory");

    // The next command.
    let (store, repository) = long.open(cache.path());
    let reader = Reader::for_lookup(&repository).unwrap();
    assert_eq!(list(&reader, &long.snapshot), long.contents.len());
    assert_eq!(index_reads(&store), CallCount::default());
    assert_eq!(read_all(&Trees::new(reader), &long.snapshot), long.contents);

    // Who needs all of the index gets it, and the end is part of that.
    let (store, repository) = long.open(cache.path());
    let whole = only_run(&Reader::new(&repository).unwrap());
    assert_eq!(index_reads(&store), CallCount { calls: 1, bytes: long.len_bytes });
    (0..whole.block_count()).for_each(|block| drop(whole.read_block(block).unwrap()));
    assert_eq!((copies(cache.path(), "tail").len(), copies(cache.path(), "index").len()), (0, 1));
    let (store, repository) = long.open(cache.path());
    assert_eq!(
        read_all(&Trees::new(Reader::for_lookup(&repository).unwrap()), &long.snapshot),
        long.contents
    );
    assert_eq!(index_reads(&store), CallCount::default());
}

#[test]
fn short_runs_and_those_of_a_store_at_hand_are_fetched_whole() {
    let long = Long::new(LONG);
    let cache = fast_folder();
    let counted = Arc::new(CountStore::new(long.repo.memory.clone()));
    let repository = long.repo.open_in(counted.clone(), cache.path()).unwrap();
    Reader::for_lookup(&repository).unwrap();
    assert_eq!(index_reads(&counted), CallCount { calls: 1, bytes: long.len_bytes });
    let short = Long::new(Planted { content: CONTENT / 2, ..LONG });
    let cache = fast_folder();
    let (store, repository) = short.open(cache.path());
    Reader::for_lookup(&repository).unwrap();
    assert_eq!(index_reads(&store), CallCount { calls: 1, bytes: short.len_bytes });
}

#[test]
fn an_end_that_is_longer_than_guessed_is_fetched_to_its_beginning() {
    // Records of trees that begin earlier, and a table that does, too.
    for (planted, reads) in
        [(Planted { trees: 10_000, ..LONG }, 3), (Planted { trees: 400, packs: 4_000, ..LONG }, 4)]
    {
        let long = Long::new(planted);
        let cache = fast_folder();
        let (store, repository) = long.open(cache.path());
        let reader = Reader::for_lookup(&repository).unwrap();
        assert_eq!(list(&reader, &long.snapshot), long.contents.len());
        let read = index_reads(&store);
        assert!(
            read.calls == reads && read.bytes < long.len_bytes / 3,
            "{read:?} of {}",
            long.len_bytes
        );
        assert!(only_run(&reader).is_sound_here());
        assert_eq!(read_all(&Trees::new(reader), &long.snapshot), long.contents);
    }
}

#[test]
fn merged_runs_have_both_parts_in_order() {
    let mut long = Long::new(Planted { content: 1_000, trees: 500, packs: 0 });
    long.repo.write("more", &noise(9, 10_000));
    let second = long.repo.snapshot();
    let repository = long.repo.open();
    let runs = Reader::new(&repository).unwrap().index().runs();
    let counts = |runs: &[Arc<Run>]| {
        let sum = |count: fn(&RunToc) -> u64| runs.iter().map(|run| count(run.toc())).sum::<u64>();
        (sum(|toc| toc.data_records), sum(|toc| toc.meta_records))
    };
    assert_eq!(runs.len(), 2);
    let mut made = Vec::new();
    let merge = RunMerge { runs: &runs, hidden: &[], dead: &HashSet::new(), generation: 0 };
    merge_runs(&repository, &merge, &mut |sealed| {
        made.push(sealed);
        Ok(())
    })
    .unwrap();
    assert_eq!(made.len(), 1);
    for sealed in made {
        long.run = Key::new(Class::Index, format!("1/{}", sealed.name));
        long.repo.memory.create(&long.run, &sealed.bytes).unwrap();
    }
    let reader = Reader::new(&long.repo.open()).unwrap();
    let merged = only_run(&reader);
    assert_eq!(counts(std::slice::from_ref(&merged)), counts(&runs), "no chunk is in two places");
    assert!(
        merged.toc().data_records > 1_000
            && merged.toc().meta_records > 500
            && merged.is_sound_here()
    );
    assert_eq!(read_all(&Trees::new(reader.clone()), &long.snapshot), long.contents);
    assert!(read_all(&Trees::new(reader), &second).len() > long.contents.len());
}

#[test]
fn a_run_that_is_wanted_again_and_again_is_fetched_whole_once() {
    let long = Long::new(LONG);
    let cache = fast_folder();
    let (store, repository) = long.open(cache.path());
    let reader = Reader::for_lookup(&repository).unwrap();
    let before = index_reads(&store);
    for block in 0..BLOCKS_MAX {
        assert!(long.is_at(&reader, &long.id_in(block)));
    }
    let blocks = index_reads(&store);
    assert_eq!(
        (blocks.calls - before.calls, blocks.bytes - before.bytes),
        (20, 20 * BLOCK_LEN_BYTES)
    );
    assert!(long.is_at(&reader, &long.id_in(BLOCKS_MAX)));
    let whole = index_reads(&store);
    assert_eq!((whole.calls - blocks.calls, whole.bytes - blocks.bytes), (1, long.len_bytes));
    for block in 0..160 {
        assert!(long.is_at(&reader, &long.id_in(block)));
    }
    assert_eq!(list(&reader, &long.snapshot), long.contents.len());
    assert_eq!(index_reads(&store), whole);
    assert_eq!((copies(cache.path(), "tail").len(), copies(cache.path(), "index").len()), (0, 1));
}

#[test]
fn threads_that_look_at_once_find_everything_and_fetch_the_run_once() {
    let long = Long::new(LONG);
    let cache = fast_folder();
    let (store, repository) = long.open(cache.path());
    let reader = Reader::for_lookup(&repository).unwrap();
    let before = index_reads(&store);
    std::thread::scope(|scope| {
        for first in 0..8 {
            let (long, reader) = (&long, &reader);
            scope.spawn(move || {
                (0..40)
                    .for_each(|at| assert!(long.is_at(reader, &long.id_in((first * 5 + at) % 160))))
            });
        }
    });
    let spent = index_reads(&store);
    let (calls, bytes) = (spent.calls - before.calls, spent.bytes - before.bytes);
    assert!(calls <= BLOCKS_MAX as u64 + 1, "{spent:?} after {before:?}");
    assert!(
        bytes <= BLOCKS_MAX as u64 * BLOCK_LEN_BYTES + long.len_bytes,
        "{spent:?} after {before:?}"
    );
    assert!(only_run(&reader).remote().is_none());
}

#[test]
fn a_run_that_goes_away_is_looked_for_again() {
    let long = Long::new(LONG);
    let cache = fast_folder();
    let (store, repository) = long.open(cache.path());
    let reader = Reader::for_lookup(&repository).unwrap();
    list(&reader, &long.snapshot);
    let (run, ..) = plant(&long.repo, Planted { content: CONTENT + 1, ..LONG });
    assert!(run != long.run && long.is_at(&reader, &long.id_in(3)), "another run names it now");
    assert_eq!(read_all(&Trees::new(reader.clone()), &long.snapshot), long.contents);
    let name = only_run(&reader).name().to_hex();
    assert!(run.name.ends_with(&name));
    assert_eq!(
        copies(cache.path(), "tail")
            .iter()
            .map(|path| path.file_name().unwrap())
            .collect::<Vec<_>>(),
        [&name[..]]
    );
    // No block of it is in the memory of another reader.
    let reader = Reader::for_lookup(&repository).unwrap();
    long.repo.memory.remove(&run).unwrap();
    assert_eq!(reader.locate(&long.id_in(4)).unwrap(), None, "no run names it any more");
    assert!(
        copies(cache.path(), "tail").is_empty() && index_reads(&store).bytes < long.len_bytes / 4
    );
}

#[test]
fn a_run_that_is_listed_and_never_there_is_not_looked_for_for_ever() {
    let long = Long::new(LONG);
    let cache = fast_folder();
    let gone = |call| Fault {
        action: Some(Action::Read),
        class: Some(Class::Index),
        call,
        effect: Effect::Before(ErrorKind::NotFound),
        then_dead: false,
    };
    let (store, repository) = long.open_over(
        Arc::new(FaultStore::new(long.repo.memory.clone(), (2..50).map(gone).collect())),
        cache.path(),
    );
    let reader = Reader::for_lookup(&repository).unwrap();
    let error = reader.locate(&long.id_in(0)).unwrap_err();
    assert!(
        error.is_not_found() && long.run.name.contains(&only_run(&reader).name().to_hex()),
        "{error:?}"
    );
    assert!(index_reads(&store).calls <= 12);
    assert!(reader.locate(&long.snapshot.root).unwrap().is_some());
}

#[cfg(feature = "s3")]
#[test]
fn the_program_asks_a_bucket_for_little_of_a_long_run() {
    let long = Long::new(LONG);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = crate::support::servers::moto::start_logging(&log);
    let options = server.options();
    let home = crate::support::home::Home::with_bucket(
        server.port(),
        &format!("{}/a/b", options.bucket),
        "",
    );
    let bucket = drumlin::store::s3::S3Store::open(options).unwrap();
    long.repo
        .memory
        .keys()
        .iter()
        .for_each(|key| bucket.create(key, &long.repo.memory.read(key).unwrap()).unwrap());
    home.write("key", drumlin::crypto::phrase::words_of(&[7; 32].into()).as_bytes());
    let asked = || {
        fs::read_to_string(&log)
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("GET ") && line.contains("/index/0/"))
            .count()
    };
    let file = long.contents.keys().find(|path| path.ends_with(b"file-0")).unwrap();
    let file = String::from_utf8(file.clone()).unwrap();

    let before = asked();
    home.run(["ls", "-R", "latest"]).ok();
    assert_eq!(asked() - before, 2, "header and end");
    let before = asked();
    home.run(["ls", "-R", "latest"]).ok();
    home.run(["find", "file-*"]).ok();
    home.run(["history", &file]).ok();
    assert_eq!(asked(), before);
    assert!(
        home.run(["cat", &format!("latest:{file}")]).ok().out
            == String::from_utf8_lossy(&noise(0, 10_000))
    );
    assert!((1..=2).contains(&(asked() - before)), "a block, or two neighbours");
    let report = home.json([
        "restore",
        &format!("latest:{file}"),
        "--target",
        "back",
        "--cache-dir",
        "empty",
    ]);
    let down = report["requests"]["bytes_down"].as_u64().unwrap();
    println!("{} requests, {down} bytes", report["requests"]["calls"]);
    assert!(down < long.len_bytes / 4);
    assert_eq!(fs::read(home.path("back/file-0")).unwrap(), noise(0, 10_000));
}
