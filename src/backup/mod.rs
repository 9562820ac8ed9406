//! Backup: one flow from sources to a snapshot, with one barrier before the commit.
//!
//! ```text
//! walk ─ compare with parent ─ changed → read │ cut │ hash │ put → references ─┐
//!                            unchanged → parent's entry ──────────────────────┴→ trees → root → finish → commit
//! ```
//!
//! Ids are keyed hashes of plaintext, known before anything is stored, so trees never wait for
//! packs. The session's `finish` yields the token that `commit` demands: the write order stands in
//! the types. If the process dies anywhere before the commit there is no snapshot, nothing older is
//! touched, and what was stored and indexed is not sent again.

mod before;
mod chunk_stream;
mod clock;
mod content;
mod context;
mod describe;
mod devices;
mod doubts;
mod earlier;
mod enter;
mod excludes;
mod file;
mod folder;
mod followed;
mod found;
mod gather;
mod gone;
mod ignore_file;
mod known;
mod losses;
mod options;
mod parent;
mod path;
mod queue;
mod sources;
mod stamps;
mod stream;
mod task;
mod trust;
mod visit;
mod walk;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use options::{BackupOptions, BackupReport, Error, ExcludeOptions, Stream, StreamSource};

use self::context::{Context, Counts, HardLinks};
use self::devices::Devices;
use self::doubts::Doubts;
use self::earlier::Earlier;
use self::excludes::Excludes;
use self::found::{Scope, Was};
use self::gone::Listings;
use self::known::KnownFolders;
use self::losses::Losses;
use self::parent::Parent;
use self::sources::{Source, SourceNode};
use self::stamps::trust_before;
use self::task::NewFolder;
use crate::format::config::Profile;
use crate::format::entry::Timestamp;
use crate::format::limits::{SNAPSHOT_PROBLEMS_LEN_MAX_BYTES, SNAPSHOT_PROBLEMS_MAX};
use crate::format::node::Totals;
use crate::format::snapshot::{Snapshot, SnapshotProblem, SnapshotStats};
use crate::id::ChunkId;
use crate::monitor::{Monitor, ProblemKind};
use crate::os::owners::OwnerNames;
use crate::repo::snapshots::prepare::{self, NewTree, Secured};
use crate::repo::snapshots::{self, Commit};
use crate::repo::write::Identity;
use crate::repo::{DirEntry, Reader, Repository, Session, SessionOptions, Stored, Trees};

/// How often a backup begins because a collector removed what it relied on. More than twice is
/// rare: what is young is left alone.
const ATTEMPTS_MAX: usize = 8;

/// Takes a snapshot.
///
/// Files that could not be read are recorded as problems in `monitor` and in the snapshot, and do
/// not stop it. Fails without a snapshot if the repository fails, a stream is incomplete, a named
/// source does not exist, or `monitor` is cancelled.
///
/// If a collector removed what the backup relied on, it begins again without a parent; fails if
/// streams make that impossible.
pub fn run(
    repository: &Arc<Repository>,
    mut options: BackupOptions,
    monitor: &Monitor,
) -> Result<BackupReport, Error> {
    let streams = std::mem::take(&mut options.streams);
    let can_repeat = streams.is_empty();
    let mut outcome = attempt(repository, &options, (streams, true), monitor);
    for _ in 1..ATTEMPTS_MAX {
        match outcome {
            Err(Error::Repository(error)) if can_repeat && error.is_damage() => {
                monitor.begin_again();
                outcome = attempt(repository, &options, (Vec::new(), false), monitor);
            }
            other => return other,
        }
    }
    outcome
}

fn attempt(
    repository: &Arc<Repository>,
    options: &BackupOptions,
    (streams, use_parent): (Vec<StreamSource>, bool),
    monitor: &Monitor,
) -> Result<BackupReport, Error> {
    let started = (options.clock)();
    let sources = sources_of(options, &streams)?;
    let reader = Reader::offline(repository)?;
    let (parent, mut earlier) = went_before(&reader, options, &sources, use_parent)?;
    let Sources { named, readable, losses, .. } = sources;
    let (series, session_options) =
        (parent::series_name(options, &named), session_options(options));
    let parent_id = parent.snapshot.as_ref().map(|parent| parent.id);
    let identity =
        Identity { host: options.host.clone(), parent: parent_id, clock: options.clock.clone() };
    let session = Session::new(reader.clone(), session_options, identity);
    let context = Context {
        session: &session,
        trees: Trees::new(reader),
        excludes: Excludes::new(options.excludes.clone(), &named)?,
        owners: OwnerNames::new(),
        links: HardLinks::default(),
        devices: Devices::of_sources(&named, options.ignore_inodes),
        monitor,
        started,
        known: KnownFolders::load(repository, &series, parent_id, options),
        trust_before: parent
            .snapshot
            .as_ref()
            .map_or(Timestamp::default(), |parent| trust_before(parent.started)),
        counts: Counts::default(),
        losses,
        allows_empty: options.allow_empty,
        doubts: Doubts::of(parent.snapshot.as_ref()),
        listings: Listings::default(),
    };
    let profile = options.chunker.unwrap_or(repository.config().profile);
    let root = root_folder(
        &context,
        way_to(&context, profile, &readable, streams)?,
        parent.snapshot.as_ref(),
    )?;
    let walked = walk_and_tell(&context, root, (profile, session_options.lanes()), &mut earlier);
    let (counts, known) = (context.counts, context.known);
    let (root, totals, same) = match walked {
        Ok((entry, same)) => (tree_id(&entry), entry.totals.unwrap_or_default(), same),
        Err(error) => {
            // What is stored so far is kept and indexed for the next backup; the first error is the
            // one to tell.
            let _ = session.abandon();
            return Err(error);
        }
    };
    // It must not be told again next time.
    let accepts_loss =
        options.allow_empty && parent.snapshot.as_ref().is_some_and(losses::is_told_in);
    let stats = |session| stats_of(&counts, totals, session);
    if options.dry_run {
        return Ok(BackupReport {
            snapshot: None,
            unchanged_since: None,
            stats: stats(session.stats()),
        });
    }
    if let (true, false, Some(parent)) =
        (same, options.always_snapshot || accepts_loss, &parent.snapshot)
    {
        prepare::confirm_unchanged(session.reader(), parent, options.threads, monitor)?;
        note(monitor, known.save(repository, &series, parent.id, true));
        return Ok(BackupReport {
            snapshot: None,
            unchanged_since: Some(parent.id),
            stats: stats(session.stats()),
        });
    }
    let stored = session.finish()?;
    let stats = stats(stored.stats());
    let tree = NewTree { root, totals, parent: parent_id };
    let describe = |secured: &Secured| {
        let described = (started, named.clone(), root);
        describe_snapshot((repository, secured), options, described, monitor, (&parent, stats))
    };
    let snapshot = commit_tree(repository, (stored, tree), describe, monitor)?;
    clock::look(repository, &snapshot, parent.snapshot.as_ref(), monitor);
    note(monitor, known.save(repository, &series, snapshot.id, false));
    note(monitor, parent::remember(repository, options, &snapshot));
    Ok(BackupReport { snapshot: Some(snapshot), unchanged_since: None, stats })
}

/// Returns the parent, if one is to be used, and what losses are compared with, which is there
/// without a parent, too.
fn went_before(
    reader: &Arc<Reader>,
    options: &BackupOptions,
    sources: &Sources,
    use_parent: bool,
) -> Result<(Parent, Earlier), Error> {
    let mut parent = match use_parent && !options.read_all {
        true => Parent::find(reader, options, &sources.named)?,
        false => Parent::none(reader, options, &sources.all)?,
    };
    let others = std::mem::take(&mut parent.others);
    let earlier =
        Earlier::of(&Trees::new(reader.clone()), parent.snapshot.as_ref(), &others, &sources.all)?;
    Ok((parent, earlier))
}

/// Walks, and says what became of the sources and of the patterns.
fn walk_and_tell(
    context: &Context,
    root: NewFolder,
    (profile, lanes): (Profile, usize),
    earlier: &mut Earlier,
) -> Result<(DirEntry, bool), Error> {
    let walked = walk::run(context, root, profile, lanes)?;
    context.losses.refuse_nothing()?;
    tell_unmatched(context.monitor, &context.excludes.unmatched());
    context.losses.tell(earlier, context.allows_empty, context.monitor)?;
    Ok(walked)
}

/// What is backed up.
struct Sources {
    /// The names of all, sorted.
    named: Vec<Vec<u8>>,
    /// Those of files and folders of the host, sorted.
    all: Vec<Vec<u8>>,
    /// Those that can be read.
    readable: Vec<Source>,
    losses: Losses,
}

/// Finds out what is backed up.
fn sources_of(options: &BackupOptions, streams: &[StreamSource]) -> Result<Sources, Error> {
    let paths = sources::absolute(&options.paths, options.follow_sources)?;
    if paths.is_empty() && streams.is_empty() {
        return Err(Error::NoSource);
    }
    // One that is missing today still belongs to the series.
    let all: Vec<Vec<u8>> = paths.iter().map(|source| source.path.clone()).collect();
    let losses = Losses::of(&all);
    let readable = sources::readable(&paths, !streams.is_empty(), &losses)?;
    Ok(Sources { named: names_of(&all, streams), all, readable, losses })
}

/// Puts all sources into one tree, and stores the streams among them.
fn way_to(
    context: &Context,
    profile: Profile,
    paths: &[Source],
    streams: Vec<StreamSource>,
) -> Result<SourceNode, Error> {
    let mut way = SourceNode::empty();
    paths.iter().for_each(|path| way.insert(path));
    stream::check_places(&streams, &way)?;
    for source in streams {
        stream::store(context, profile, source, &mut way)?;
    }
    Ok(way)
}

/// Patterns that are named one by one when they matched nothing.
const UNMATCHED_NAMED_MAX: usize = 10;

/// Says which patterns matched nothing: a typing error shows only here.
fn tell_unmatched(monitor: &Monitor, patterns: &[String]) {
    let named = patterns.iter().take(UNMATCHED_NAMED_MAX);
    named.for_each(|pattern| {
        monitor.problem(ProblemKind::Notice, pattern.as_bytes(), "this pattern matched nothing")
    });
    if let Some(more @ 1..) = patterns.len().checked_sub(UNMATCHED_NAMED_MAX) {
        monitor.problem(ProblemKind::Notice, b"", format!("{more} more patterns matched nothing"));
    }
}

/// Notes for the next backup are hints: that one could not be written must not make a good snapshot
/// look like a failure.
fn note(monitor: &Monitor, noted: crate::repo::Result<()>) {
    if let Err(error) = noted {
        let cause =
            std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let what = format!(
            "the next backup will be slower, its notes could not be written: {error}{cause}"
        );
        monitor.problem(ProblemKind::Notice, b"", what);
    }
}

/// How often a snapshot whose commit was not confirmed is committed under a new id.
const LOST_MAX: usize = 4;

/// Commits a tree, under a new id each time that a collector took the session for dead, or that the
/// answer was lost.
fn commit_tree(
    repository: &Repository,
    (mut stored, mut tree): (Stored, NewTree),
    describe: impl Fn(&Secured) -> Result<Snapshot, Error>,
    monitor: &Monitor,
) -> Result<Snapshot, Error> {
    let mut lost = 0;
    loop {
        let secured = prepare::secure(stored, tree, monitor)?;
        let snapshot = describe(&secured)?;
        match snapshots::commit(repository, &snapshot, secured)? {
            Commit::Done => return Ok(snapshot),
            Commit::Lost(_, _, error) if lost == LOST_MAX => return Err(error.into()),
            Commit::Lost(again, same, _) => {
                (stored, tree) = (again, same);
                lost += 1;
            }
            Commit::Aborted(again, same) => (stored, tree) = (again, same),
        }
    }
}

/// Returns the paths of all sources, sorted.
fn names_of(paths: &[Vec<u8>], streams: &[StreamSource]) -> Vec<Vec<u8>> {
    let mut named = paths.to_vec();
    named.extend(streams.iter().map(|stream| stream.path.clone()));
    named.sort();
    named.dedup();
    named
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

fn tree_id(entry: &DirEntry) -> ChunkId {
    match entry.entry.content {
        crate::format::entry::Content::Tree(id) => id,
        _ => unreachable!("a finished folder has a tree"),
    }
}

/// Makes the walk's beginning: the folder `/`, with the parent's root as what it was before.
fn root_folder(
    context: &Context,
    way: SourceNode,
    parent: Option<&Snapshot>,
) -> Result<NewFolder, Error> {
    let failed = |source| Error::Source { path: "/".to_owned(), source };
    let stat = sources::open_way(b"/").and_then(|dir| dir.stat_self()).map_err(failed)?;
    let was = parent.map_or(Was::Unknown, |parent| {
        let content = crate::format::entry::Content::Tree(parent.root);
        let mut entry = describe::describe(context, b"", &stat, content, Vec::new());
        entry.totals = Some(parent.stats.totals);
        Was::Entry(Box::new(entry))
    });
    let (only_named, named) = match way {
        SourceNode::Way(named) => (true, named),
        SourceNode::Whole { named, .. } => (false, named),
        SourceNode::Made(_) => unreachable!("a stream has a name"),
    };
    let scope = Scope { only_named, named, is_source: !only_named, ..Scope::default() };
    Ok(NewFolder {
        above: None,
        name: Vec::new(),
        scope,
        was,
        seen: None,
        gap: false,
        is_same: true,
    })
}

fn stats_of(
    counts: &Counts,
    totals: Totals,
    session: crate::repo::write::SessionStats,
) -> SnapshotStats {
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
    (repository, secured): (&Repository, &Secured),
    options: &BackupOptions,
    (started, sources, root): (Timestamp, Vec<Vec<u8>>, ChunkId),
    monitor: &Monitor,
    (parent, stats): (&Parent, SnapshotStats),
) -> Result<Snapshot, Error> {
    let previous = parent.check_still_there(repository, secured.slots())?;
    let (sequence, previous) = snapshots::place_after(previous.as_ref());
    let mut tags = options.tags.clone();
    tags.sort();
    tags.dedup();
    let mut lost = monitor.problems();
    lost.retain(|problem| problem.kind != ProblemKind::Notice);
    // There may be no room for all: what is not in the snapshot comes first, and whole sources
    // before the rest.
    lost.sort_by_key(|problem| problem.kind != ProblemKind::Unreadable);
    let kind = |kind| match kind {
        ProblemKind::Vanished => 2,
        ProblemKind::Changed => 3,
        _ => 1,
    };
    let problem_count = monitor.problem_count() - monitor.count_of(ProblemKind::Notice);
    let mut room = SNAPSHOT_PROBLEMS_LEN_MAX_BYTES;
    let in_words = lost.into_iter().take(SNAPSHOT_PROBLEMS_MAX).take_while(|lost| {
        let left = room.checked_sub(lost.path.len() + lost.message.len());
        room = left.unwrap_or(0);
        left.is_some()
    });
    let problems = in_words.map(|lost| SnapshotProblem {
        path: lost.path,
        kind: kind(lost.kind),
        message: lost.message,
    });
    Ok(Snapshot {
        id: secured.session(),
        repository: repository.config().repository,
        host: options.host.clone(),
        user: options.user.clone(),
        app: options.app.clone(),
        sequence,
        previous,
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
