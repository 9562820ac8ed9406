//! Backup: one flow from sources to a snapshot, with one barrier before the commit.
//!
//! ```text
//! walk ─ compare with parent ─ changed → read │ cut │ hash │ put → references ─┐
//!                            unchanged → parent's entry ──────────────────────┴→ trees → root → finish → commit
//! ```
//!
//! Ids are keyed hashes of plaintext, known before anything is stored, so trees never wait for packs. The session's
//! `finish` yields the token that `commit` demands: the write order stands in the types. If the process dies anywhere
//! before the commit there is no snapshot, nothing older is touched, and what was stored and indexed is not sent again.

mod before;
mod chunk_stream;
mod context;
mod describe;
mod enter;
mod excludes;
mod file;
mod folder;
mod gather;
mod list_builder;
mod options;
mod parent;
mod queue;
mod sources;
mod stream;
mod tree_builder;
mod walk;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use options::{BackupOptions, BackupReport, Error, ExcludeOptions, Stream, StreamSource};

use self::context::{Context, Counts, HardLinks, trust_before};
use self::excludes::Excludes;
use self::folder::NewFolder;
use self::parent::Parent;
use self::sources::SourceNode;
use crate::format::entry::Timestamp;
use crate::format::limits::{SNAPSHOT_PROBLEMS_LEN_MAX_BYTES, SNAPSHOT_PROBLEMS_MAX};
use crate::format::node::Totals;
use crate::format::snapshot::{Snapshot, SnapshotProblem, SnapshotStats};
use crate::id::ChunkId;
use crate::monitor::{Monitor, ProblemKind};
use crate::os::owners::OwnerNames;
use crate::repo::{Reader, Repository, Session, SessionOptions, Trees, snapshots};

/// Takes a snapshot.
///
/// Files that could not be read are recorded as problems in `monitor` and in the snapshot, and do not stop it. Fails without a
/// snapshot if the repository fails, a stream is incomplete, a named source does not exist, or `monitor` is cancelled.
pub fn run(repository: &Arc<Repository>, mut options: BackupOptions, monitor: &Monitor) -> Result<BackupReport, Error> {
    let started = (options.clock)();
    let paths = sources::absolute_paths(&options.paths)?;
    if paths.is_empty() && options.streams.is_empty() {
        return Err(Error::NoSource);
    }
    let streams = std::mem::take(&mut options.streams);
    let mut named = paths.clone();
    named.extend(streams.iter().map(|stream| stream.path.clone()));
    named.sort();
    let reader = Reader::offline(repository)?;
    let parent = Parent::find(&reader, &options, &named)?;
    let session_options = SessionOptions {
        compression: options.compression,
        threads: options.threads,
        low_memory: options.low_memory,
        dry_run: options.dry_run,
    };
    let session = Session::new(reader.clone(), session_options);
    let context = Context {
        session: &session,
        trees: Trees::new(reader),
        excludes: Excludes::new(std::mem::take(&mut options.excludes))?,
        owners: OwnerNames::new(),
        links: HardLinks::default(),
        monitor,
        trust_before: parent.snapshot.as_ref().map_or(Timestamp::default(), |parent| trust_before(parent.started)),
        counts: Counts::default(),
    };
    let profile = options.chunker.unwrap_or(repository.config().profile);
    let mut way = SourceNode::empty();
    paths.iter().for_each(|path| way.insert(path, SourceNode::Whole));
    for source in streams {
        stream::store(&context, profile, source, started, &mut way)?;
    }
    let root = root_folder(&context, way, parent.snapshot.as_ref())?;
    let walked = walk::run(&context, root, profile, session_options.lanes());
    let counts = context.counts;
    let (root, totals, same) = match walked {
        Ok((entry, same)) => (tree_id(&entry), entry.totals.unwrap_or_default(), same),
        Err(error) => {
            // What is stored so far is kept and indexed for the next backup; the first error is the one to tell.
            let _ = session.abandon();
            return Err(error.into());
        }
    };
    let stats = |session: crate::repo::session::SessionStats| stats_of(&counts, totals, session);
    if options.dry_run {
        return Ok(BackupReport { snapshot: None, unchanged_since: None, stats: stats(session.stats()) });
    }
    if let (true, false, Some(parent)) = (same, options.always_snapshot, &parent.snapshot) {
        let stats = stats(session.stats());
        return Ok(BackupReport { snapshot: None, unchanged_since: Some(parent.id), stats });
    }
    let stored = session.finish()?;
    let stats = stats(stored.stats());
    let snapshot = describe_snapshot(repository, &options, (started, named, root), monitor, (&parent, stats))?;
    snapshots::commit(repository, &snapshot, stored)?;
    parent::remember(repository, &options, &snapshot)?;
    Ok(BackupReport { snapshot: Some(snapshot), unchanged_since: None, stats })
}

fn tree_id(entry: &crate::repo::DirEntry) -> ChunkId {
    match entry.entry.content {
        crate::format::entry::Content::Tree(id) => id,
        _ => unreachable!("a finished folder has a tree"),
    }
}

/// Makes the walk's beginning: the folder `/`, with the parent's root as what it was before.
fn root_folder(context: &Context, way: SourceNode, parent: Option<&Snapshot>) -> Result<NewFolder, Error> {
    let failed = |source| Error::Source { path: "/".to_owned(), source };
    let stat = sources::open_way(b"/").and_then(|dir| dir.stat_self()).map_err(failed)?;
    let before = parent.map(|parent| {
        let content = crate::format::entry::Content::Tree(parent.root);
        let mut entry = describe::describe(context, b"", &stat, content, Vec::new());
        entry.totals = Some(parent.stats.totals);
        entry
    });
    let way = match way {
        SourceNode::Way(children) => Some(children),
        _ => None,
    };
    Ok(NewFolder { above: None, name: Vec::new(), way, before, gap: false, is_source: true })
}

fn stats_of(counts: &Counts, totals: Totals, session: crate::repo::session::SessionStats) -> SnapshotStats {
    let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    SnapshotStats {
        totals,
        files_new: get(&counts.new),
        files_changed: get(&counts.changed),
        files_unchanged: get(&counts.unchanged),
        bytes_read: get(&counts.bytes_read),
        chunks_new: session.chunks_new,
        bytes_new_raw: session.bytes_new_raw,
        bytes_stored: session.bytes_stored,
    }
}

fn describe_snapshot(
    repository: &Repository,
    options: &BackupOptions,
    (started, sources, root): (Timestamp, Vec<Vec<u8>>, ChunkId),
    monitor: &Monitor,
    (parent, stats): (&Parent, SnapshotStats),
) -> Result<Snapshot, Error> {
    let previous = parent.check_still_there(repository)?;
    let mut tags = options.tags.clone();
    tags.sort();
    tags.dedup();
    let lost: Vec<_> = monitor.problems().into_iter().filter(|problem| problem.kind != ProblemKind::Notice).collect();
    let kind = |kind| match kind {
        ProblemKind::Vanished => 2,
        ProblemKind::Changed => 3,
        _ => 1,
    };
    let problem_count = lost.len() as u64;
    let mut room = SNAPSHOT_PROBLEMS_LEN_MAX_BYTES;
    let in_words = lost.into_iter().take(SNAPSHOT_PROBLEMS_MAX).take_while(|lost| {
        let left = room.checked_sub(lost.path.len() + lost.message.len());
        room = left.unwrap_or(0);
        left.is_some()
    });
    let problems = in_words.map(|lost| SnapshotProblem { path: lost.path, kind: kind(lost.kind), message: lost.message });
    Ok(Snapshot {
        id: snapshots::new_id()?,
        repository: repository.config().repository,
        host: options.host.clone(),
        user: options.user.clone(),
        app: options.app.clone(),
        sequence: previous.as_ref().map_or(1, |previous| previous.sequence + 1),
        previous: previous.as_ref().map(snapshots::chain_hash),
        parent: parent.snapshot.as_ref().map(|parent| parent.id),
        started,
        ended: (options.clock)(),
        program: options.program.clone(),
        sources,
        tags,
        root,
        consistency: options.consistency,
        stats,
        problem_count,
        problems: problems.collect(),
        extensions: Vec::new(),
        writer: repository.keyring().verifying_key(),
    })
}
