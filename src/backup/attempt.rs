//! One attempt at a backup, from the list of sources to the snapshot.
//!
//! A backup may need several: if a concurrent prune deletes packs that one depends on, the next
//! begins with its own sources, parent and session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock;
use super::commit::{commit_tree, problems_of};
use super::context::{Contexts, FileCounts, ParentTrees, SourceContext, TargetContext};
use super::devices::Devices;
use super::doubts::Doubts;
use super::dump::DumpSource;
use super::earlier_files::EarlierFiles;
use super::excludes::Excludes;
use super::fingerprints::KnownDirectories;
use super::gone::Listings;
use super::hard_links::HardLinks;
use super::losses::{self, Losses};
use super::options::{BackupOptions, BackupReport, Error};
use super::parent::{self, Parent};
use super::source_root::SourceRoot;
use super::start::{Sources, root_directory, source_tree};
use super::task::NewDirectory;
use super::timestamps::trust_before;
use super::walk;
use crate::chunker::Cutting;
use crate::format::entry::{Content, Timestamp};
use crate::format::node::Totals;
use crate::format::snapshot::{Snapshot, SnapshotStats};
use crate::id::{ChunkId, SnapshotId};
use crate::monitor::{Monitor, ProblemKind};
use crate::os::owners::OwnerNames;
use crate::repo::snapshots;
use crate::repo::snapshots::prepare::{self, NewTree, Prepared};
use crate::repo::write::{SessionIdentity, SessionStats};
use crate::repo::{self, DirEntry, Reader, Repository, Session, SessionOptions, Trees};

/// What all steps of one attempt share.
pub(super) struct BackupAttempt<'a> {
    repository: &'a Arc<Repository>,
    reader: Arc<Reader>,
    options: &'a BackupOptions,
    monitor: &'a Monitor,
    started: Timestamp,
    /// Paths of all sources, dumps included, sorted.
    sources: Vec<Vec<u8>>,
    /// Name of this machine's notes about the series.
    series: String,
    parent: Parent,
}

/// Result of the walk.
struct WalkResult {
    root: ChunkId,
    totals: Totals,
    /// Whether the root is the parent's.
    is_same: bool,
    counts: FileCounts,
    directories: KnownDirectories,
}

impl<'a> BackupAttempt<'a> {
    /// Takes a snapshot, unless nothing changed or this is a dry run.
    pub(super) fn run(
        repository: &'a Arc<Repository>,
        options: &'a BackupOptions,
        dumps: Vec<DumpSource>,
        use_parent: bool,
        monitor: &'a Monitor,
    ) -> Result<BackupReport, Error> {
        let started = (options.clock)();
        let root = SourceRoot::open(options.root.as_deref())?;
        let sources = Sources::of(&root, options, &dumps)?;
        let reader = Reader::offline(repository)?;
        let (parent, mut earlier) = find_parent(&reader, options, &sources, use_parent)?;
        let Sources { all, readable, losses, .. } = sources;
        let series = parent::series_name(options, &all);
        let attempt =
            Self { repository, reader, options, monitor, started, sources: all, series, parent };
        let session = attempt.session();
        let source = attempt.source_context(root, losses)?;
        let target = attempt.target_context(&session);
        let contexts = Contexts { source: &source, target: &target };
        let cutting = Cutting::Profile(options.chunker.unwrap_or(repository.config().profile));
        let mut tree = source_tree(contexts, cutting, &readable, dumps)?;
        options.left_out.iter().for_each(|path| tree.leave_out(path));
        let root = root_directory(contexts, tree, attempt.parent.snapshot.as_ref())?;
        let lanes = session_options(options).lanes();
        let walked = walk_and_report(contexts, root, cutting, lanes, &mut earlier);
        let (counts, directories) = (target.counts, target.directories);
        match walked {
            Ok((entry, is_same)) => {
                let (root, totals) = (tree_id(&entry), entry.totals.unwrap_or_default());
                attempt.conclude(session, WalkResult { root, totals, is_same, counts, directories })
            }
            Err(error) => {
                // Packs that are stored so far are indexed, so that the next backup does not send
                // them again. The first error is the one to report.
                let _ = session.abandon();
                Err(error)
            }
        }
    }

    fn parent_id(&self) -> Option<SnapshotId> {
        self.parent.snapshot.as_ref().map(|parent| parent.id)
    }

    /// Begins the session that stores new chunks.
    fn session(&self) -> Session {
        let identity = SessionIdentity {
            host: self.options.host.clone(),
            parent: self.parent_id(),
            clock: self.options.clock.clone(),
        };
        Session::new(self.reader.chunk_index().clone(), session_options(self.options), identity)
    }

    /// Prepares what all threads share of the sources.
    fn source_context(&self, root: SourceRoot, losses: Losses) -> Result<SourceContext<'a>, Error> {
        let options = self.options;
        Ok(SourceContext {
            excludes: Excludes::new(options.excludes.clone(), &self.sources)?,
            owners: OwnerNames::new(),
            devices: Devices::of_sources(&root, &self.sources, options.ignore_inodes),
            root,
            monitor: self.monitor,
            started: self.started,
            losses,
            allows_empty: options.allow_empty,
            listings: Listings::default(),
        })
    }

    /// Prepares what all threads share of the repository.
    fn target_context<'s>(&self, session: &'s Session) -> TargetContext<'s> {
        let parent = self.parent.snapshot.as_ref();
        let directories = KnownDirectories::load(
            self.repository,
            &self.series,
            self.parent_id(),
            self.options.low_memory,
        );
        TargetContext {
            session,
            parent: parent.map(|parent| ParentTrees {
                snapshot: parent.id,
                root: parent.root,
                trees: Trees::new(self.reader.clone()),
                trust_before: trust_before(parent.started),
                doubts: Doubts::of(parent),
            }),
            links: HardLinks::default(),
            directories,
            counts: FileCounts::default(),
        }
    }

    /// Commits the tree, unless this is a dry run or the tree is the parent's.
    fn conclude(&self, session: Session, walked: WalkResult) -> Result<BackupReport, Error> {
        if self.options.dry_run {
            let stats = walked.stats(session.stats());
            return Ok(BackupReport { snapshot: None, unchanged_since: None, stats });
        }
        match self.parent.snapshot.as_ref().filter(|_| walked.is_same && !self.must_commit()) {
            Some(parent) => self.keep_parent(parent, &session, walked),
            None => self.commit(session, walked),
        }
    }

    /// Returns whether to commit a snapshot even if nothing changed.
    fn must_commit(&self) -> bool {
        // Only a new snapshot stops the parent's report of a loss that the user accepts now.
        let accepts_loss = self.options.allow_empty
            && self.parent.snapshot.as_ref().is_some_and(losses::is_reported_in);
        self.options.always_snapshot || accepts_loss
    }

    /// Ends without a snapshot, after making sure that the parent still exists.
    fn keep_parent(
        &self,
        parent: &Snapshot,
        session: &Session,
        walked: WalkResult,
    ) -> Result<BackupReport, Error> {
        prepare::confirm_unchanged(&self.reader, parent, self.options.threads, self.monitor)?;
        let stats = walked.stats(session.stats());
        self.note(walked.directories.save(self.repository, &self.series, parent.id, true));
        Ok(BackupReport { snapshot: None, unchanged_since: Some(parent.id), stats })
    }

    /// Finishes the session and commits the snapshot.
    fn commit(&self, session: Session, walked: WalkResult) -> Result<BackupReport, Error> {
        let stored = session.finish()?;
        let stats = walked.stats(stored.stats());
        let (root, totals) = (walked.root, walked.totals);
        let tree = NewTree { root, totals, parent: self.parent_id() };
        let describe = |secured: &Prepared| self.describe(secured, root, stats);
        let snapshot = commit_tree(self.repository, stored, tree, describe, self.monitor)?;
        clock::check(self.repository, &snapshot, self.parent.snapshot.as_ref(), self.monitor);
        self.note(walked.directories.save(self.repository, &self.series, snapshot.id, false));
        self.note(parent::remember(self.repository, self.options, &snapshot));
        Ok(BackupReport { snapshot: Some(snapshot), unchanged_since: None, stats })
    }

    fn describe(
        &self,
        secured: &Prepared,
        root: ChunkId,
        stats: SnapshotStats,
    ) -> Result<Snapshot, Error> {
        let options = self.options;
        let previous = self.parent.check_still_there(self.repository, secured.slots())?;
        let (sequence, previous) = snapshots::place_after(previous.as_ref());
        let mut tags = options.tags.clone();
        tags.sort();
        tags.dedup();
        let (problem_count, problems) = problems_of(self.monitor);
        Ok(Snapshot {
            id: secured.session(),
            repository: self.repository.config().repository,
            host: options.host.clone(),
            user: options.user.clone(),
            app: options.app.clone(),
            sequence,
            previous,
            parent: self.parent_id(),
            started: self.started,
            ended: (options.clock)(),
            program: options.program.clone(),
            sources: self.sources.clone(),
            tags,
            root,
            consistency: options.consistency,
            stats,
            problem_count,
            problems,
            extensions: Vec::new(),
            writer: self.repository.writer(),
        })
    }

    /// Reports a note that could not be written. Notes are hints for the next backup, so the
    /// snapshot is still good.
    fn note(&self, noted: repo::Result<()>) {
        if let Err(error) = noted {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            let what = format!(
                "the next backup will be slower, its notes could not be written: {error}{cause}"
            );
            self.monitor.problem(ProblemKind::Notice, b"", what);
        }
    }
}

impl WalkResult {
    fn stats(&self, session: SessionStats) -> SnapshotStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SnapshotStats {
            totals: self.totals,
            files_new: get(&self.counts.new),
            files_changed: get(&self.counts.changed),
            files_unchanged: get(&self.counts.unchanged),
            bytes_read: get(&self.counts.bytes_read),
            chunks_new: session.chunks_new,
            bytes_new_raw: session.bytes_new_raw,
            bytes_stored: session.bytes_stored,
        }
    }
}

/// Finds the parent, unless none is to be used, and the file counts with which losses are
/// compared; these exist without a parent, too.
fn find_parent(
    reader: &Arc<Reader>,
    options: &BackupOptions,
    sources: &Sources,
    use_parent: bool,
) -> Result<(Parent, EarlierFiles), Error> {
    let mut parent = match use_parent && !options.read_all {
        true => Parent::find(reader, options, &sources.all)?,
        false => Parent::none(reader, options, &sources.paths)?,
    };
    let others = std::mem::take(&mut parent.others);
    let earlier = EarlierFiles::of(
        &Trees::new(reader.clone()),
        parent.snapshot.as_ref(),
        &others,
        &sources.paths,
    )?;
    Ok((parent, earlier))
}

fn session_options(options: &BackupOptions) -> SessionOptions {
    SessionOptions {
        compression: options.compression,
        threads: options.threads,
        low_memory: options.low_memory,
        dry_run: options.dry_run,
        checkpoints: options.checkpoints,
    }
}

/// Walks, and reports lost sources and patterns that matched nothing.
fn walk_and_report(
    contexts: Contexts,
    root: NewDirectory,
    cutting: Cutting,
    lanes: usize,
    earlier: &mut EarlierFiles,
) -> Result<(DirEntry, bool), Error> {
    let walked = walk::run(contexts, root, cutting, lanes)?;
    let source = contexts.source;
    source.losses.refuse_nothing()?;
    report_unmatched(source.monitor, &source.excludes.unmatched());
    source.losses.report(earlier, source.allows_empty, source.monitor)?;
    Ok(walked)
}

/// Most patterns that are reported one by one; the rest are counted.
const UNMATCHED_NAMED_MAX: usize = 10;

/// Reports patterns that matched nothing: often a typing error.
fn report_unmatched(monitor: &Monitor, patterns: &[String]) {
    let named = patterns.iter().take(UNMATCHED_NAMED_MAX);
    named.for_each(|pattern| {
        monitor.problem(ProblemKind::Notice, pattern.as_bytes(), "this pattern matched nothing")
    });
    if let Some(more @ 1..) = patterns.len().checked_sub(UNMATCHED_NAMED_MAX) {
        monitor.problem(ProblemKind::Notice, b"", format!("{more} more patterns matched nothing"));
    }
}

fn tree_id(entry: &DirEntry) -> ChunkId {
    match entry.entry.content {
        Content::Tree(id) => id,
        _ => unreachable!("a finished directory has a tree"),
    }
}
