//! Results of one directory's names, put in order and written as its tree.
//!
//! Threads deliver results in any order; a tree is written in the order of names. An unchanged
//! directory is not written: it keeps the parent's tree.

use std::collections::{BTreeMap, VecDeque};

use super::context::FileCounts;
use super::fingerprints::KnownDirectory;
use super::target_writer::TargetWriter;
use crate::format::entry::{Content, Entry};
use crate::format::node::Totals;
use crate::id::ChunkId;
use crate::repo::write::tree_builder::TreeBuilder;
use crate::repo::{DirEntry, Result};

/// Result of one name.
pub(super) enum EntryResult {
    /// The name is not in the snapshot.
    Skipped {
        /// Whether the parent has this name, or names before it that were deleted.
        deleted: bool,
    },
    /// The name has an entry.
    Entry {
        /// The entry.
        entry: Box<DirEntry>,
        /// Whether it is the parent's next entry: equal, and no name before it was deleted.
        is_unchanged: bool,
    },
    /// The entry is the parent's. Only in directories whose fingerprint is the parent's.
    Unchanged,
    /// The entry is the parent's, with another tree. Only in such directories, too.
    SubtreeChanged {
        /// The new tree.
        tree: ChunkId,
        /// Sums over everything in it.
        totals: Totals,
    },
}

/// The parent's side of one name.
pub(super) struct ParentEntry {
    /// The parent's entry, if it has one.
    pub entry: Option<Box<DirEntry>>,
    /// Whether names between the last one and this one were deleted.
    pub deleted_before: bool,
}

impl EntryResult {
    /// Compares the entry of a file that a dump made with the parent's, and counts it.
    ///
    /// If the content is the same, the parent's entry is kept, times included: an unchanged dump
    /// makes no snapshot.
    pub(super) fn of_made(counts: &FileCounts, made: Box<DirEntry>, parent: ParentEntry) -> Self {
        match parent.entry {
            Some(before) if is_same_dump(&before, &made) => {
                FileCounts::add(&counts.unchanged, 1);
                Self::Entry { entry: before, is_unchanged: !parent.deleted_before }
            }
            before => {
                let counter = if before.is_some() { &counts.changed } else { &counts.new };
                FileCounts::add(counter, 1);
                Self::Entry { entry: made, is_unchanged: false }
            }
        }
    }

    /// Compares the new entry of a file with the parent's, and counts it.
    ///
    /// A file that was read because its times are not trusted may turn out to be unchanged.
    pub(super) fn of_read(
        counts: &FileCounts,
        entry: Option<DirEntry>,
        parent: ParentEntry,
    ) -> Self {
        let Some(entry) = entry else {
            return Self::Skipped { deleted: parent.deleted_before || parent.entry.is_some() };
        };
        let is_unchanged = parent.entry.as_ref().is_some_and(|parent| {
            parent.entry.content == entry.entry.content && is_equal_but_for_content(parent, &entry)
        });
        let counter = match (&parent.entry, is_unchanged) {
            (None, _) => &counts.new,
            (Some(_), false) => &counts.changed,
            (Some(_), true) => &counts.unchanged,
        };
        FileCounts::add(counter, 1);
        Self::Entry { entry: Box::new(entry), is_unchanged: is_unchanged && !parent.deleted_before }
    }
}

/// Returns whether the content of a dump is what the parent has, under the same owner and mode.
fn is_same_dump(parent: &DirEntry, now: &DirEntry) -> bool {
    let (before, after) = (&parent.entry, &now.entry);
    let owned = |entry: &Entry| (entry.kind, entry.mode, entry.uid, entry.gid, entry.size);
    before.content == after.content && owned(before) == owned(after)
}

/// Compares all but content. Ignores the positions of owners' names, which depend on other entries.
pub(super) fn is_equal_but_for_content(parent: &DirEntry, now: &DirEntry) -> bool {
    let content = parent.entry.content.clone();
    let positioned =
        Entry { user: parent.entry.user, group: parent.entry.group, content, ..now.entry.clone() };
    parent.entry == positioned && (&parent.user, &parent.group) == (&now.user, &now.group)
}

/// The results of neighbouring names.
struct Batch {
    slots: Vec<Option<EntryResult>>,
    missing: usize,
}

/// Batches of results in the order of names. A batch is written to the tree as soon as it and all
/// before it are complete.
pub(super) struct OrderedResults {
    /// Batches that are not written yet, the one with the number `next` first.
    batches: VecDeque<Batch>,
    next: usize,
    batch_count: Option<usize>,
    sink: ResultSink,
}

impl OrderedResults {
    /// Starts without results; `parent_tree` is the directory's tree in the parent.
    pub(super) fn new(parent_tree: Option<(ChunkId, Totals)>) -> Self {
        let sink = ComparedTree {
            parent_tree,
            unchanged: parent_tree.map(|_| 0),
            kept: 0,
            builder: TreeBuilder::default(),
        };
        Self {
            batches: VecDeque::new(),
            next: 0,
            batch_count: None,
            sink: ResultSink::Compare(sink),
        }
    }

    /// Starts with the parent's tree, in which only the subdirectories at these positions can
    /// differ.
    ///
    /// They are one batch, in this order.
    pub(super) fn of_fingerprinted(known: KnownDirectory, positions: Vec<u32>) -> Self {
        let mut results = Self::new(None);
        results.open(0, positions.len());
        results.close(1);
        results.sink = ResultSink::Patch(PatchedTree {
            parent_tree: (known.tree, known.totals),
            positions,
            taken: 0,
            changed: BTreeMap::new(),
        });
        results
    }

    /// Returns how many entries were written or found unchanged.
    pub(super) fn kept(&self) -> u64 {
        match &self.sink {
            ResultSink::Compare(sink) => sink.kept,
            ResultSink::Patch(_) => 0,
        }
    }

    /// Returns how many batches are not written yet.
    pub(super) fn open_batches(&self) -> usize {
        self.batches.len()
    }

    /// Opens a batch of `len` names; batches are opened in order.
    pub(super) fn open(&mut self, batch: usize, len: usize) {
        debug_assert_eq!(batch, self.next + self.batches.len());
        self.batches.push_back(Batch { slots: (0..len).map(|_| None).collect(), missing: len });
    }

    /// Takes one result.
    pub(super) fn fill(&mut self, batch: usize, position: usize, result: EntryResult) {
        let batch = self
            .batches
            .get_mut(batch - self.next)
            .expect("a batch is open until all its slots are filled");
        batch.slots[position] = Some(result);
        batch.missing -= 1;
    }

    /// Ends the directory: there are no more batches than these.
    pub(super) fn close(&mut self, batch_count: usize) {
        self.batch_count = Some(batch_count);
    }

    /// Writes complete batches, in order; returns whether the directory is complete.
    pub(super) fn advance(&mut self, writer: &mut TargetWriter) -> Result<bool> {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.missing == 0) {
            self.next += 1;
            for result in batch.slots.into_iter().flatten() {
                self.sink.push(writer, result)?;
            }
        }
        Ok(self.batch_count == Some(self.next))
    }

    /// Returns the directory's tree and sums; `deleted_before` says whether names after the last
    /// one were deleted.
    pub(super) fn finish(
        &mut self,
        writer: &mut TargetWriter,
        deleted_before: bool,
    ) -> Result<(ChunkId, Totals)> {
        self.sink.finish(writer, deleted_before)
    }
}

/// Writes results as a tree.
enum ResultSink {
    Compare(ComparedTree),
    Patch(PatchedTree),
}

impl ResultSink {
    fn push(&mut self, writer: &mut TargetWriter, result: EntryResult) -> Result<()> {
        match self {
            Self::Compare(sink) => sink.push(writer, result),
            Self::Patch(sink) => {
                sink.push(result);
                Ok(())
            }
        }
    }

    fn finish(
        &mut self,
        writer: &mut TargetWriter,
        deleted_before: bool,
    ) -> Result<(ChunkId, Totals)> {
        match self {
            Self::Compare(sink) => sink.finish(writer, deleted_before),
            Self::Patch(sink) => sink.finish(writer),
        }
    }
}

/// A tree that may be the parent's.
///
/// As long as every entry is the parent's next one, they are only counted. At the first difference
/// the parent's entries up to there are read again and written. So an unchanged directory costs no
/// writing and no memory.
struct ComparedTree {
    parent_tree: Option<(ChunkId, Totals)>,
    /// Number of entries, as long as all are the parent's.
    unchanged: Option<u64>,
    kept: u64,
    builder: TreeBuilder,
}

impl ComparedTree {
    fn push(&mut self, writer: &mut TargetWriter, result: EntryResult) -> Result<()> {
        match (result, &mut self.unchanged) {
            (EntryResult::Entry { is_unchanged: true, .. }, Some(count)) => {
                *count += 1;
                self.kept += 1;
                Ok(())
            }
            (EntryResult::Entry { entry, .. }, _) => {
                self.build_unchanged(writer)?;
                self.kept += 1;
                self.builder.push(&mut writer.lane, *entry)
            }
            (EntryResult::Unchanged | EntryResult::SubtreeChanged { .. }, _) => {
                unreachable!("only a directory with the parent's fingerprint has such children")
            }
            (EntryResult::Skipped { deleted: true }, _) => self.build_unchanged(writer),
            (EntryResult::Skipped { deleted: false }, _) => Ok(()),
        }
    }

    fn build_unchanged(&mut self, writer: &mut TargetWriter) -> Result<()> {
        let (Some(count), Some((tree, _))) = (self.unchanged.take(), self.parent_tree) else {
            return Ok(());
        };
        let entries = writer.parent_tree_entries(&tree);
        for entry in entries.take(usize::try_from(count).expect("entries were counted one by one"))
        {
            self.builder.push(&mut writer.lane, entry?)?;
        }
        Ok(())
    }

    fn finish(
        &mut self,
        writer: &mut TargetWriter,
        deleted_before: bool,
    ) -> Result<(ChunkId, Totals)> {
        if let (Some(_), Some(parent_tree), false) =
            (self.unchanged, self.parent_tree, deleted_before)
        {
            return Ok(parent_tree);
        }
        self.build_unchanged(writer)?;
        std::mem::take(&mut self.builder).finish(&mut writer.lane)
    }
}

/// The parent's tree with changed subdirectories.
struct PatchedTree {
    parent_tree: (ChunkId, Totals),
    positions: Vec<u32>,
    taken: usize,
    changed: BTreeMap<u32, EntryResult>,
}

impl PatchedTree {
    fn push(&mut self, result: EntryResult) {
        if !matches!(result, EntryResult::Unchanged) {
            self.changed.insert(self.positions[self.taken], result);
        }
        self.taken += 1;
    }

    fn finish(&mut self, writer: &mut TargetWriter) -> Result<(ChunkId, Totals)> {
        if self.changed.is_empty() {
            return Ok(self.parent_tree);
        }
        let mut builder = TreeBuilder::default();
        for (position, entry) in (0u32..).zip(writer.parent_tree_entries(&self.parent_tree.0)) {
            let mut entry = entry?;
            match self.changed.remove(&position) {
                None | Some(EntryResult::Unchanged) => {}
                Some(EntryResult::Skipped { .. }) => continue,
                Some(EntryResult::Entry { entry: now, .. }) => entry = *now,
                Some(EntryResult::SubtreeChanged { tree, totals }) => {
                    entry.entry.content = Content::Tree(tree);
                    entry.totals = Some(totals);
                }
            }
            builder.push(&mut writer.lane, entry)?;
        }
        builder.finish(&mut writer.lane)
    }
}

#[cfg(test)]
mod tests {
    use crate::id::SnapshotId;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::backup::context::{ParentTrees, TargetContext};
    use crate::backup::doubts::Doubts;
    use crate::backup::fingerprints::{KnownDirectories, NewKnownDirectory};
    use crate::backup::hard_links::HardLinks;
    use crate::chunker::Cutting;
    use crate::compress::Compression;
    use crate::crypto::slot::Secret;
    use crate::format::config::Profile;
    use crate::format::entry::{EntryKind, Timestamp};
    use crate::format::slot::SlotKdf;
    use crate::repo::write::{Checkpoints, SessionIdentity};
    use crate::repo::{
        Error, InitOptions, Lane, Reader, Repository, Session, SessionOptions, Trees,
    };
    use crate::store::memory::MemoryStore;

    const MISSING: (ChunkId, Totals) = (ChunkId([9; 32]), Totals { files: 4, dirs: 0, bytes: 0 });

    /// A repository with one tree, that of the parent.
    struct Fixture {
        repository: Arc<Repository>,
        parent_tree: (ChunkId, Totals),
        _cache: tempfile::TempDir,
    }

    impl Fixture {
        fn new(entries: Vec<DirEntry>) -> Self {
            let cache = tempfile::tempdir().unwrap();
            let options = InitOptions {
                profile: Profile::Standard,
                secret: Secret::KeyFile(zeroize::Zeroizing::new([1; 32])),
                kdf: SlotKdf::KeyFile,
                label: String::new(),
                now: Timestamp::default(),
                program: String::new(),
                cache_dir: cache.path().to_owned(),
            };
            let repository = Repository::init(Arc::new(MemoryStore::default()), &options).unwrap();
            let session = session(&repository);
            let mut lane = Lane::new(&session);
            let mut builder = TreeBuilder::default();
            entries.into_iter().for_each(|entry| builder.push(&mut lane, entry).unwrap());
            let parent_tree = builder.finish(&mut lane).unwrap();
            drop(lane);
            session.finish().unwrap();
            Self { repository, parent_tree, _cache: cache }
        }

        /// Writes a tree; returns it, and the number of new chunks.
        fn write(
            &self,
            write: impl FnOnce(&mut TargetWriter) -> Result<(ChunkId, Totals)>,
        ) -> Result<((ChunkId, Totals), u64)> {
            let session = session(&self.repository);
            let written = {
                let trees = Trees::new(Reader::new(&self.repository).unwrap());
                let (trust_before, doubts) = (Timestamp::default(), Doubts::default());
                let (snapshot, root) = (SnapshotId([0; 16]), self.parent_tree.0);
                let target = TargetContext {
                    session: &session,
                    parent: Some(ParentTrees { snapshot, root, trees, trust_before, doubts }),
                    links: HardLinks::default(),
                    directories: KnownDirectories::load(&self.repository, "", None, true),
                    counts: FileCounts::default(),
                };
                let cutting = Cutting::Profile(Profile::Standard);
                write(&mut TargetWriter::new(&target, cutting, false))
            };
            let chunks_new = session.finish().unwrap().stats().chunks_new;
            written.map(|written| (written, chunks_new))
        }

        /// Delivers results in order, and returns the names and versions in the tree.
        fn names_after(&self, delivered: Vec<EntryResult>, deleted_after: bool) -> Vec<String> {
            let results = one_batch(OrderedResults::new(Some(self.parent_tree)), delivered.len());
            let written = self.write(|writer| deliver(writer, results, delivered, deleted_after));
            self.names(&written.unwrap().0.0)
        }

        fn names(&self, tree: &ChunkId) -> Vec<String> {
            let trees = Trees::new(Reader::new(&self.repository).unwrap());
            let name = |entry: Result<DirEntry>| {
                let DirEntry { entry, .. } = entry.unwrap();
                format!("{}{}", String::from_utf8(entry.name).unwrap(), entry.mtime.seconds)
            };
            trees.entries(tree).map(name).collect()
        }
    }

    fn session(repository: &Arc<Repository>) -> Session {
        let options = SessionOptions {
            compression: Compression::FAST,
            threads: 1,
            low_memory: true,
            dry_run: false,
            checkpoints: Checkpoints::default(),
        };
        let (host, clock) = (String::new(), Arc::new(Timestamp::default));
        let identity = SessionIdentity { host, parent: None, clock };
        Session::new(Reader::new(repository).unwrap().chunk_index().clone(), options, identity)
    }

    /// Returns an empty file; `version` is its time.
    fn file(name: &str, version: i64) -> DirEntry {
        let mtime = Timestamp { seconds: version, nanos: 0 };
        let entry = Entry {
            name: name.as_bytes().to_vec(),
            kind: EntryKind::File,
            mode: 0o600,
            uid: 0,
            gid: 0,
            user: 0,
            group: 0,
            mtime,
            ctime: mtime,
            btime: None,
            size: 0,
            device: None,
            hard_link: None,
            content: Content::Inline(Vec::new()),
            xattrs: Vec::new(),
            flags: 0,
            extensions: Vec::new(),
        };
        DirEntry { entry, user: None, group: None, totals: None }
    }

    fn directory(name: &str, tree: ChunkId) -> DirEntry {
        let mut directory = file(name, 1);
        (directory.entry.kind, directory.entry.content) = (EntryKind::Dir, Content::Tree(tree));
        directory.totals = Some(Totals { files: 1, dirs: 0, bytes: 0 });
        directory
    }

    fn files(names: &[&str]) -> Vec<DirEntry> {
        names.iter().map(|name| file(name, 1)).collect()
    }

    fn unchanged(name: &str) -> EntryResult {
        EntryResult::Entry { entry: Box::new(file(name, 1)), is_unchanged: true }
    }

    fn changed(name: &str) -> EntryResult {
        EntryResult::Entry { entry: Box::new(file(name, 2)), is_unchanged: false }
    }

    fn one_batch(mut results: OrderedResults, len: usize) -> OrderedResults {
        results.open(0, len);
        results.close(1);
        results
    }

    fn deliver(
        writer: &mut TargetWriter,
        mut results: OrderedResults,
        delivered: Vec<EntryResult>,
        deleted_after: bool,
    ) -> Result<(ChunkId, Totals)> {
        for (position, result) in delivered.into_iter().enumerate() {
            results.fill(0, position, result);
        }
        assert!(results.advance(writer)?);
        results.finish(writer, deleted_after)
    }

    /// Goal: the tree has the order of names. Method: all orders of arrival of four results in
    /// three batches.
    #[test]
    fn results_are_written_in_order_whatever_the_order_of_arrival() {
        let fixture = Fixture::new(Vec::new());
        let slots = [("a", (0, 0)), ("b", (1, 0)), ("c", (1, 1)), ("d", (2, 0))];
        for order in 0..24 {
            let mut left = slots.to_vec();
            let mut arrival = Vec::new();
            let mut code = order;
            while !left.is_empty() {
                arrival.push(left.remove(code % left.len()));
                code /= left.len() + 1;
            }
            let mut results = OrderedResults::new(None);
            for (batch, len) in [1, 2, 1].into_iter().enumerate() {
                results.open(batch, len);
            }
            results.close(3);
            let written = fixture.write(|writer| {
                for (at, (name, (batch, position))) in arrival.iter().enumerate() {
                    results.fill(*batch, *position, changed(name));
                    assert_eq!(results.advance(writer)?, at == 3, "{arrival:?}");
                }
                assert_eq!((results.kept(), results.open_batches()), (4, 0));
                results.finish(writer, false)
            });
            let (tree, totals) = written.unwrap().0;
            assert_eq!(fixture.names(&tree), ["a2", "b2", "c2", "d2"], "{arrival:?}");
            assert_eq!(totals.files, 4);
        }
    }

    #[test]
    fn incomplete_batches_wait_and_more_may_be_opened() {
        let fixture = Fixture::new(Vec::new());
        let written = fixture.write(|writer| {
            let mut results = OrderedResults::new(None);
            results.open(0, 1);
            results.fill(0, 0, changed("a"));
            assert!(!results.advance(writer)?, "more batches may follow");
            assert_eq!((results.kept(), results.open_batches()), (1, 0));
            results.open(1, 1);
            results.open(2, 1);
            results.fill(2, 0, changed("c"));
            assert!(!results.advance(writer)?);
            assert_eq!((results.kept(), results.open_batches()), (1, 2));
            results.fill(1, 0, changed("b"));
            results.close(3);
            assert!(results.advance(writer)?);
            results.finish(writer, false)
        });
        assert_eq!(fixture.names(&written.unwrap().0.0), ["a2", "b2", "c2"]);
    }

    #[test]
    fn unchanged_directories_keep_the_parents_tree_and_write_nothing() {
        let names = ["a", "b", "c"];
        let fixture = Fixture::new(files(&names));
        let left_out = || EntryResult::Skipped { deleted: false };
        let delivered = names.into_iter().map(unchanged).chain([left_out()]).collect();
        let results = one_batch(OrderedResults::new(Some(fixture.parent_tree)), 4);
        let written = fixture.write(|writer| deliver(writer, results, delivered, false)).unwrap();
        assert_eq!(written, (fixture.parent_tree, 0));
        // The parent's tree is not even read.
        let results = one_batch(OrderedResults::new(Some(MISSING)), 2);
        let delivered = vec![unchanged("a"), left_out()];
        let written = fixture.write(|writer| deliver(writer, results, delivered, false)).unwrap();
        assert_eq!(written, (MISSING, 0));
    }

    #[test]
    fn a_change_at_any_position_keeps_the_entries_around_it() {
        let names = ["a", "b", "c", "d"];
        let fixture = Fixture::new(files(&names));
        for position in 0..names.len() {
            let result = |(at, name)| if at == position { changed(name) } else { unchanged(name) };
            let delivered = names.into_iter().enumerate().map(result).collect();
            let expected = names.iter().enumerate();
            let expected: Vec<String> = expected
                .map(|(at, name)| format!("{name}{}", if at == position { 2 } else { 1 }))
                .collect();
            assert_eq!(fixture.names_after(delivered, false), expected);
        }
    }

    #[test]
    fn names_that_the_parent_had_are_left_out_when_they_are_gone() {
        let fixture = Fixture::new(files(&["a", "b", "c"]));
        let deleted = || EntryResult::Skipped { deleted: true };
        let after = |delivered, deleted_after| fixture.names_after(delivered, deleted_after);
        assert_eq!(after(vec![deleted(), unchanged("b"), unchanged("c")], false), ["b1", "c1"]);
        assert_eq!(after(vec![unchanged("a"), deleted(), unchanged("c")], false), ["a1", "c1"]);
        assert_eq!(after(vec![unchanged("a"), unchanged("b"), deleted()], false), ["a1", "b1"]);
        assert_eq!(after(vec![unchanged("a"), unchanged("b")], true), ["a1", "b1"]);
        assert!(after(vec![deleted(), deleted(), deleted()], false).is_empty());
    }

    #[test]
    fn subdirectories_of_a_fingerprinted_directory_are_patched() {
        let tree = ChunkId([7; 32]);
        let children = [file("a", 1), directory("b", tree), directory("c", tree), file("d", 1)];
        let fixture = Fixture::new(children.to_vec());
        let (id, totals) = fixture.parent_tree;
        let known = NewKnownDirectory::new([0; 16], 1, None, id, totals).directory;
        let write = |delivered| {
            let results = OrderedResults::of_fingerprinted(known, vec![1, 2]);
            fixture.write(|writer| deliver(writer, results, delivered, false)).unwrap()
        };
        let same = write(vec![EntryResult::Unchanged, EntryResult::Unchanged]);
        assert_eq!(same, (fixture.parent_tree, 0));
        let new_tree = ChunkId([8; 32]);
        let new_totals = Totals { files: 5, dirs: 0, bytes: 0 };
        let subtree = EntryResult::SubtreeChanged { tree: new_tree, totals: new_totals };
        let ((id, totals), _) = write(vec![EntryResult::Unchanged, subtree]);
        assert_eq!(fixture.names(&id), ["a1", "b1", "c1", "d1"]);
        assert_eq!((totals.files, totals.dirs), (8, 2));
        let trees = Trees::new(Reader::new(&fixture.repository).unwrap());
        let found = trees.entries(&id).map(|entry| entry.unwrap().entry.content);
        let found: Vec<Content> = found.skip(1).take(2).collect();
        assert_eq!(found, [Content::Tree(tree), Content::Tree(new_tree)]);
        let replaced = EntryResult::Entry { entry: Box::new(file("b", 3)), is_unchanged: false };
        let ((id, _), _) = write(vec![replaced, EntryResult::Skipped { deleted: true }]);
        assert_eq!(fixture.names(&id), ["a1", "b3", "d1"]);
    }

    #[test]
    fn a_parent_that_cannot_be_read_is_an_error_as_soon_as_it_is_needed() {
        let fixture = Fixture::new(Vec::new());
        let is_missing = |written: Result<_>| matches!(written, Err(Error::MissingChunk { .. }));
        for (delivered, deleted_after) in [
            (vec![unchanged("a"), changed("b")], false),
            (vec![unchanged("a"), EntryResult::Skipped { deleted: true }], false),
            (vec![unchanged("a"), unchanged("b")], true),
        ] {
            let results = one_batch(OrderedResults::new(Some(MISSING)), 2);
            assert!(is_missing(fixture.write(|writer| deliver(
                writer,
                results,
                delivered,
                deleted_after
            ))));
        }
        let known = NewKnownDirectory::new([0; 16], 1, None, MISSING.0, MISSING.1).directory;
        let results = OrderedResults::of_fingerprinted(known, vec![0]);
        let delivered = vec![EntryResult::Skipped { deleted: true }];
        assert!(is_missing(fixture.write(|writer| deliver(writer, results, delivered, false))));
    }

    #[test]
    fn files_are_counted_by_how_they_compare_with_the_parent() {
        let counts = FileCounts::default();
        let parent = |version: Option<i64>, deleted_before| ParentEntry {
            entry: version.map(|version| Box::new(file("a", version))),
            deleted_before,
        };
        let read = |parent| EntryResult::of_read(&counts, Some(file("a", 1)), parent);
        let is_unchanged = |result| matches!(result, EntryResult::Entry { is_unchanged: true, .. });
        assert!(!is_unchanged(read(parent(None, false))));
        assert!(!is_unchanged(read(parent(Some(2), false))));
        assert!(!is_unchanged(read(parent(Some(3), true))));
        assert!(is_unchanged(read(parent(Some(1), false))));
        // Equal, but not the parent's next entry.
        assert!(!is_unchanged(read(parent(Some(1), true))));
        let get = [&counts.new, &counts.changed, &counts.unchanged];
        assert_eq!(get.map(|counter| counter.load(Ordering::Relaxed)), [1, 2, 2]);
        for (version, deleted_before) in [(None, false), (Some(1), false), (None, true)] {
            let result = EntryResult::of_read(&counts, None, parent(version, deleted_before));
            let expected = version.is_some() || deleted_before;
            assert!(matches!(result, EntryResult::Skipped { deleted } if deleted == expected));
        }
        assert_eq!(get.map(|counter| counter.load(Ordering::Relaxed)), [1, 2, 2]);
    }
}
