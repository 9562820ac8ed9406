//! Replacement of incomplete snapshots by new ones.
//!
//! The new snapshot is committed like that of a backup, with the old one as its parent; only then
//! the old one is moved to the trash. A repair that dies in between leaves both, and a repeated
//! repair finds the new one and continues. Spec: `format-spec/08-snapshots.md`, section 7.

use std::sync::Arc;

use super::leave_out::{LeaveOut, LossList, NewRoot, SoundTrees, TreeRemainder};
use super::{Broken, RepairOptions, RepairPlan, Replaced};
use crate::compress::Compression;
use crate::format::entry::{Extension, Timestamp};
use crate::format::snapshot::{EXTENSION_INSTEAD_OF, Snapshot, SnapshotStats};
use crate::id::ChunkSet;
use crate::maintain::check::Damage;
use crate::maintain::forget::REPAIRED;
use crate::monitor::Monitor;
use crate::repo::gc::generations::Generations;
use crate::repo::gc::intents;
use crate::repo::open::probe;
use crate::repo::snapshots::prepare::{self, NewTree, Prepared};
use crate::repo::snapshots::present::Present;
use crate::repo::snapshots::protect;
use crate::repo::snapshots::trash::{self, ForgetNote};
use crate::repo::snapshots::{self, Commit, series_notes};
use crate::repo::write::{Checkpoints, SessionIdentity, SessionStats};
use crate::repo::{
    DurablePacks, Error, Lane, Reader, Repository, Result, Session, SessionOptions, Trees,
};

/// Most walks of one tree, which is walked again if a prune ran meanwhile.
const LOOKS_MAX: usize = 3;

/// Replaces incomplete snapshots.
pub(super) struct Replacing<'a> {
    repository: &'a Arc<Repository>,
    options: &'a RepairOptions,
    damage: &'a Damage,
    monitor: &'a Monitor,
    /// Complete directories.
    whole: ChunkSet,
    /// Snapshots that an earlier repair made in place of others.
    made: Vec<Snapshot>,
    note: ForgetNote,
}

/// The remainder of a snapshot's tree, and what its session stored.
struct RebuiltTree {
    left: TreeRemainder,
    stored: Option<DurablePacks>,
}

/// Replaces the broken snapshots of a plan, oldest first.
///
/// A snapshot that is complete again, because a backup stored what it lacked, is left alone.
/// Replacements before a failure are not undone, and are in `replaced`.
pub(super) fn replace_all(
    plan: &RepairPlan,
    replaced: &mut Vec<Replaced>,
    monitor: &Monitor,
) -> Result<()> {
    let RepairPlan { repository, broken, options, lost: damage, .. } = plan;
    if broken.is_empty() {
        return Ok(());
    }
    repository.confirm_key()?;
    let mut known = Present::list(repository)?;
    known.slots.extend(broken.iter().map(|broken| broken.snapshot.id));
    trash::refuse_hidden(repository, &known)?;
    let listing = snapshots::listing_as_it_is(repository)?;
    let now = (options.clock)();
    // A slow clock of this host must not backdate a tombstone.
    let store = listing.store_s.map_or(now, |seconds| Timestamp { seconds, nanos: 0 });
    let good = listing.snapshots.into_iter().filter_map(|(_, snapshot)| snapshot.ok());
    let mut replacing = Replacing {
        repository,
        options,
        damage,
        monitor,
        whole: ChunkSet::default(),
        made: good.filter(|snapshot| snapshot.instead_of().is_some()).collect(),
        note: ForgetNote {
            host: options.host.clone(),
            user: options.user.clone(),
            program: options.program.clone(),
            now: now.max(store),
            reason: String::new(),
        },
    };
    for broken in broken {
        replaced.extend(replacing.replace(broken)?);
    }
    Ok(())
}

impl Replacing<'_> {
    fn replace(&mut self, broken: &Broken) -> Result<Option<Replaced>> {
        let old = &broken.snapshot;
        let RebuiltTree { left, stored } = self.walk(old)?;
        let new_root = match left {
            TreeRemainder::Whole if !broken.is_slot_lost => return Ok(None),
            TreeRemainder::Whole => {
                NewRoot { root: old.root, totals: old.stats.totals, lost: LossList::default() }
            }
            TreeRemainder::Nothing => {
                // Prune keeps a protected snapshot unless it was replaced; this one would make it
                // fail for ever.
                protect::unprotect(self.repository, &old.id)?;
                self.forget(old, &format!("{REPAIRED}: nothing of it could be read"))?;
                return Ok(Some(Replaced { old: old.id, new: None, left_out: 1 }));
            }
            TreeRemainder::Without(new_root) => new_root,
        };
        let left_out = new_root.lost.count;
        let twin = self
            .made
            .iter()
            .find(|made| made.instead_of() == Some(old.id) && made.root == new_root.root);
        let new = match (twin, stored) {
            (Some(twin), _) => twin.clone(),
            (None, Some(stored)) => self.commit(old, new_root, stored)?,
            (None, None) => return Err(Error::Stopped),
        };
        if protect::is_protected(self.repository, &old.id)? {
            let note = ForgetNote {
                reason: format!("{REPAIRED}: instead of {}", old.id),
                ..self.note.clone()
            };
            protect::protect(self.repository, &new.id, snapshots::chain_hash(&new), &note)?;
            // Without the old slot, its protection would look like a hidden snapshot.
            if !Present::list(self.repository)?.slots.contains(&old.id) {
                protect::unprotect(self.repository, &old.id)?;
            }
        }
        self.forget(old, &format!("{REPAIRED}: replaced by {}", new.id.short()))?;
        Ok(Some(Replaced { old: old.id, new: Some(new.id), left_out }))
    }

    fn forget(&self, old: &Snapshot, reason: &str) -> Result<()> {
        // The intent of a repair that died before its commit would protect the old snapshot from
        // prune until it expires.
        let mut naming = intents::read_all(self.repository)?;
        naming.retain(|_, told| told.parents.contains(&old.id));
        let slots = snapshots::list_ids(self.repository)?;
        naming.retain(|session, _| !slots.contains(session));
        // On a store that replaces objects that could undo a commit, so the intent stays there, and
        // the old snapshot with it.
        if !naming.is_empty() && probe::is_exclusive(self.repository)? {
            naming.keys().try_for_each(|session| intents::burn_slot(self.repository, session))?;
        }
        let note = ForgetNote { reason: reason.to_owned(), ..self.note.clone() };
        trash::forget(self.repository, &old.id, Some(snapshots::chain_hash(old)), &note).map(drop)
    }

    /// Walks a snapshot's tree until no prune began or ended meanwhile, which may look like damage.
    fn walk(&mut self, old: &Snapshot) -> Result<RebuiltTree> {
        for _ in 0..LOOKS_MAX {
            let before = Generations::list(self.repository)?;
            let reader = Reader::new(self.repository)?;
            let identity = SessionIdentity {
                host: self.options.host.clone(),
                parent: Some(old.id),
                clock: Arc::new(self.options.clock),
            };
            let session =
                Session::new(reader.chunk_index().clone(), self.session_options(), identity);
            let trees = Trees::new(reader);
            let sound = SoundTrees { trees: &trees, damage: self.damage };
            let left = {
                let mut lane = Lane::new(&session);
                LeaveOut::new(&sound, &mut self.whole, &mut lane, self.monitor).run(&old.root)?
            };
            if Generations::list(self.repository)? == before {
                let stored = match left {
                    TreeRemainder::Nothing => None,
                    TreeRemainder::Whole | TreeRemainder::Without(_) => Some(session.finish()?),
                };
                return Ok(RebuiltTree { left, stored });
            }
        }
        Err(Error::Contended { rounds: LOOKS_MAX })
    }

    fn session_options(&self) -> SessionOptions {
        SessionOptions {
            compression: Compression::DEFAULT,
            threads: self.options.threads,
            low_memory: true,
            dry_run: false,
            checkpoints: Checkpoints::default(),
        }
    }

    /// Commits the remainder; under a new id if a prune declared the session dead.
    fn commit(
        &self,
        old: &Snapshot,
        new_root: NewRoot,
        mut stored: DurablePacks,
    ) -> Result<Snapshot> {
        let mut tree =
            NewTree { root: new_root.root, totals: new_root.totals, parent: Some(old.id) };
        let mut lost = new_root.lost;
        lost.add_all(old.problem_count, &old.problems);
        loop {
            let stats = stored.stats();
            let secured = prepare::prepare(stored, tree, self.monitor)?;
            let snapshot = self.describe(old, &secured, tree, &lost, stats)?;
            match snapshots::commit(self.repository, &snapshot, secured)? {
                Commit::Done => {
                    // A missing note costs the next backup only a listing.
                    let _ =
                        series_notes::remember_chain(self.repository, &snapshot.host, snapshot.id);
                    return Ok(snapshot);
                }
                // No harm is done, and a repeated repair reuses what was stored.
                Commit::Lost(_, _, error) => return Err(error),
                Commit::Aborted(again, same) => (stored, tree) = (again, same),
            }
        }
    }

    /// Describes the new snapshot: as the old one, with its own tree, statistics and place in the
    /// chain.
    fn describe(
        &self,
        old: &Snapshot,
        secured: &Prepared,
        tree: NewTree,
        lost: &LossList,
        stats: SessionStats,
    ) -> Result<Snapshot> {
        let previous = snapshots::newest_of_host(self.repository, &old.host, secured.slots())?;
        let (sequence, previous) = snapshots::place_after(previous.as_ref());
        let mut extensions = old.extensions.clone();
        extensions.retain(|extension| extension.tag != EXTENSION_INSTEAD_OF);
        extensions.push(Extension { tag: EXTENSION_INSTEAD_OF, bytes: old.id.0.to_vec() });
        extensions.sort_by_key(|extension| extension.tag);
        Ok(Snapshot {
            id: secured.session(),
            sequence,
            previous,
            parent: Some(old.id),
            program: self.options.program.clone(),
            root: tree.root,
            stats: SnapshotStats {
                totals: tree.totals,
                files_unchanged: tree.totals.files,
                chunks_new: stats.chunks_new,
                bytes_new_raw: stats.bytes_new_raw,
                bytes_stored: stats.bytes_stored,
                ..SnapshotStats::default()
            },
            problem_count: lost.count,
            problems: lost.problems.clone(),
            extensions,
            writer: self.repository.writer(),
            ..old.clone()
        })
    }
}
