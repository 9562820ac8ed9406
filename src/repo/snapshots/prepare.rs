//! Preparation of a commit: publish the intent, check for conflicts, and store again what is
//! missing.
//!
//! Spec: `format-spec/13-commit.md`, section 3, steps W4 to W7.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::present::Present;
use super::{incomplete, trash};
use crate::format::container::ChunkKind;
use crate::format::node::Totals;
use crate::format::snapshot::Snapshot;
use crate::id::{ChunkId, SnapshotId};
use crate::monitor::Monitor;
use crate::repo::error::{Error, Result};
use crate::repo::gc::generations::Generations;
use crate::repo::gc::{horizon, intents, known_whole};
use crate::repo::index::ChunkPlace;
use crate::repo::objects::layout;
use crate::repo::read::reachable::{Visitor, visit_reachable};
use crate::repo::read::trees::Trees;
use crate::repo::write::{DurablePacks, Journal, Lane, Session};
use crate::repo::{Reader, Repository};
use crate::store::{Class, Listed};
use crate::sync::{self, lock};

/// Number of rounds after conflicts before a session gives up.
const ROUNDS_MAX: usize = 8;

/// The tree to be committed.
#[derive(Clone, Copy, Debug)]
pub struct NewTree {
    /// Id of its root node.
    pub root: ChunkId,
    /// Sums over all that it contains.
    pub totals: Totals,
    /// The snapshot whose unread subtrees the tree refers to, if any.
    pub parent: Option<SnapshotId>,
}

/// Proof that no collector removes what a session relies on, unless it first fills the session's
/// slot.
pub struct Prepared {
    durable: DurablePacks,
    tree: NewTree,
    slots: BTreeMap<SnapshotId, u64>,
}

impl Prepared {
    /// Returns the id under which the snapshot must be committed.
    pub fn session(&self) -> SnapshotId {
        self.journal().session().expect("only backups are prepared")
    }

    /// Returns all commit slots and their lengths in bytes, from a listing after the intent was
    /// stored.
    pub fn slots(&self) -> &BTreeMap<SnapshotId, u64> {
        &self.slots
    }

    /// Returns the generation after which all chunks of the tree were in the index.
    pub(in crate::repo) fn whole_after(&self) -> u64 {
        self.journal().decided()
    }

    /// Notes the index after the commit: from now on the snapshot would show a loss.
    pub(in crate::repo) fn note_index(&self) {
        self.journal().horizon().note_again(&self.durable.index);
    }

    /// Returns the durable packs of the last session.
    pub fn durable(&self) -> &DurablePacks {
        &self.durable
    }

    /// Continues under a new id, because the slot was burnt, or is empty and must not be filled a
    /// second time.
    pub(in crate::repo) fn renamed(self) -> Result<(DurablePacks, NewTree)> {
        self.journal().rename(layout::new_session(&self.durable.index.repository().random_32()?));
        Ok((self.durable, self.tree))
    }

    fn journal(&self) -> &Journal {
        &self.durable.journal
    }
}

/// Publishes the intent, which tells collectors what the session relies on, and stores again what
/// they removed meanwhile.
///
/// Fails with [`Error::Swept`] if a removed chunk cannot be read any more: then the backup must
/// begin again, without a parent. Fails with [`Error::Contended`] if there are conflicts in each
/// round. In both cases only this attempt is lost.
pub fn prepare(
    mut durable: DurablePacks,
    mut tree: NewTree,
    monitor: &Monitor,
) -> Result<Prepared> {
    for _ in 0..ROUNDS_MAX {
        let repository = durable.index.repository().clone();
        durable.journal.publish_intent(&repository, Some(tree.root), tree.parent)?;
        if !durable.journal.has_conflict(&repository, tree.parent)? {
            let (slots, forgotten, present) = list_slots(&repository)?;
            trash::refuse_missing(&repository, repository.witness().heads(), &present)?;
            if durable.journal.session().is_some_and(|session| slots.contains_key(&session)) {
                // The slot is burnt. The commit would find out, too, but not on a store that
                // replaces objects.
                durable.journal.rename(layout::new_session(&repository.random_32()?));
                continue;
            }
            // Rule P: a parent with a slot and without a tombstone was a root all the time. A
            // dropped one keeps its tombstone for ever, even if its slot is filled again.
            if tree
                .parent
                .is_none_or(|parent| slots.contains_key(&parent) && !forgotten.contains(&parent))
            {
                return Ok(Prepared { durable, tree, slots });
            }
        }
        let session = durable.journal.session();
        durable = resolve(durable, &tree, monitor).inspect_err(|error| {
            if let (Error::Swept { .. }, Some(session)) = (error, session) {
                // This session will never commit, so collectors need not respect its intents for
                // two weeks. If this fails, they do.
                let _ = intents::burn_slot(&repository, &session);
                // The next backup must not refer to the lost chunks, either.
                let _ = tree.parent.map(|parent| incomplete::add(&repository, parent));
            }
        })?;
        tree.parent = None;
    }
    Err(Error::Contended { rounds: ROUNDS_MAX })
}

/// Checks that the index still has all chunks of a snapshot from which the sources do not differ,
/// if the store is local, so that the check is cheap.
///
/// Fails with [`Error::Swept`] if it lacks one: the backup must begin again, without a parent.
pub fn confirm_unchanged(
    reader: &Arc<Reader>,
    snapshot: &Snapshot,
    threads: usize,
    monitor: &Monitor,
) -> Result<()> {
    let repository = reader.repository();
    if !repository.store().properties().is_local
        || !horizon::may_lack_chunks(repository, &Generations::list(repository)?, &snapshot.id)?
    {
        return Ok(());
    }
    let pool = pool_of(repository, threads)?;
    let (horizon, check) = renewing(reader, || {
        let (horizon, check) = (horizon::sync(reader.chunk_index())?, TrustCheck(Mutex::new(None)));
        visit_reachable(
            &Trees::new(reader.clone()),
            &[(snapshot.root, snapshot.stats.totals)],
            &check,
            &pool,
            monitor,
        )?;
        Ok((horizon, check))
    })?;
    match sync::into_inner(check.0) {
        None => known_whole::note(repository, &snapshot.id, horizon.decided),
        Some(error) => {
            incomplete::add(repository, snapshot.id)?;
            Err(error)
        }
    }
}

/// Calls `walk`, and once more if a local copy of an index run was damaged: then no chunk is lost.
fn renewing<T>(reader: &Reader, walk: impl Fn() -> Result<T>) -> Result<T> {
    match walk() {
        Err(error) if error.is_of_index() && reader.drop_bad_copies() => {
            // The sync also adds new runs, on which nobody may rely before generations are checked.
            horizon::sync(reader.chunk_index())?;
            horizon::forget(reader.repository());
            walk()
        }
        walked => walked,
    }
}

/// Visitor that checks whether all chunks of a tree have trusted places.
struct TrustCheck(Mutex<Option<Error>>);

impl TrustCheck {
    fn fail(&self, error: Error) {
        lock(&self.0).get_or_insert(error);
    }
}

impl Visitor for TrustCheck {
    fn reached(
        &self,
        _kind: ChunkKind,
        id: &ChunkId,
        _len_bytes: Option<u32>,
        place: &ChunkPlace,
    ) -> bool {
        if !place.is_trusted {
            self.fail(Error::Swept { id: *id });
        }
        place.is_trusted
    }

    fn missing(&self, _kind: ChunkKind, id: &ChunkId) {
        self.fail(Error::Swept { id: *id });
    }

    fn fault(&self, _kind: ChunkKind, id: &ChunkId, _error: Error) {
        self.fail(Error::Swept { id: *id });
    }
}

fn pool_of(repository: &Repository, threads: usize) -> Result<rayon::ThreadPool> {
    let threads = repository.readers(threads);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|at| format!("resolve-{at}"))
        .build();
    pool.map_err(|error| Error::Threads(error.to_string()))
}

/// Lists the commit slots and their lengths, the snapshots with tombstones, and the names present.
fn list_slots(
    repository: &Repository,
) -> Result<(BTreeMap<SnapshotId, u64>, Vec<SnapshotId>, Present)> {
    let listed = repository.store().list(Class::Snapshots, "")?;
    let length_of = |object: &Listed| Some((SnapshotId::from_hex(&object.name)?, object.len_bytes));
    let slots: BTreeMap<SnapshotId, u64> = listed.iter().filter_map(length_of).collect();
    let forgotten = listed.iter().filter_map(|object| layout::tombstone_of(&object.name)).collect();
    Ok((slots, forgotten, Present::of(&listed)))
}

/// Looks up every chunk of the tree again, and stores those again that have no trusted place.
fn resolve(durable: DurablePacks, tree: &NewTree, monitor: &Monitor) -> Result<DurablePacks> {
    let threads = durable.options.threads;
    let session = Session::resume(durable).expect("only backups are prepared");
    let pool = pool_of(session.repository(), threads)?;
    let reader = Reader::over(session.index());
    renewing(&reader, || store_missing(&session, &reader, tree, &pool, monitor))?;
    session.finish()
}

fn store_missing(
    session: &Session,
    reader: &Arc<Reader>,
    tree: &NewTree,
    pool: &rayon::ThreadPool,
    monitor: &Monitor,
) -> Result<()> {
    let journal = session.open_journal()?;
    let rescue = Rescue {
        reader,
        journal: &journal,
        lane: Mutex::new(Lane::new(session)),
        failure: Mutex::new(None),
    };
    let trees = Trees::new(reader.clone());
    visit_reachable(&trees, &[(tree.root, tree.totals)], &rescue, pool, monitor)?;
    sync::into_inner(rescue.failure).map_or(Ok(()), Err)
}

/// Visitor that stores again all chunks without a trusted place.
struct Rescue<'a> {
    reader: &'a Reader,
    journal: &'a Journal,
    lane: Mutex<Lane<'a>>,
    failure: Mutex<Option<Error>>,
}

impl Rescue<'_> {
    fn store_again(&self, kind: ChunkKind, id: &ChunkId, place: &ChunkPlace) -> Result<()> {
        let read = self.reader.with_chunk(&place.location, kind, id, <[u8]>::to_vec);
        let is_lost = |error: &Error| error.is_damage() && !error.is_of_index();
        let bytes =
            read.map_err(|error| if is_lost(&error) { Error::Swept { id: *id } } else { error })?;
        lock(&self.lane).put(kind, id, &bytes).map(drop)
    }

    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
    }
}

impl Visitor for Rescue<'_> {
    fn reached(
        &self,
        kind: ChunkKind,
        id: &ChunkId,
        _len_bytes: Option<u32>,
        place: &ChunkPlace,
    ) -> bool {
        if place.is_trusted {
            self.journal.depend_on(place.location.pack.name);
        } else if let Err(error) = self.store_again(kind, id, place) {
            self.fail(error);
            return false;
        }
        true
    }

    fn missing(&self, _kind: ChunkKind, id: &ChunkId) {
        self.fail(Error::Swept { id: *id });
    }

    fn fault(&self, _kind: ChunkKind, id: &ChunkId, error: Error) {
        self.fail(if error.is_damage() { Error::Swept { id: *id } } else { error });
    }
}
