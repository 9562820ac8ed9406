//! What is needed: snapshots, and what running sessions rely on.

use std::collections::HashSet;

use super::options::{Exclusion, PruneOptions};
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::{ObjectId, SnapshotId};
use crate::repo::gc::intents;
use crate::repo::gc::intents::SessionIntents;
use crate::repo::snapshots::chains;
use crate::repo::snapshots::{self, Listing};
use crate::repo::{Repository, Result};

/// The roots, as one look at `intents/` and then at `snapshots/` found them.
#[derive(Default)]
pub struct Roots {
    /// Snapshots that must stay whole, those in the trash among them.
    pub snapshots: Vec<Snapshot>,
    /// Snapshots in the trash that may be dropped, and that are not what is judged: what is reached
    /// of them must stay, but they may lack something.
    pub expired: Vec<Snapshot>,
    /// Forgotten snapshots that cease to be roots, ascending.
    pub dropped: Vec<SnapshotId>,
    /// Snapshots that are in the trash and stay there, and when their windows are over.
    pub waiting: Vec<(SnapshotId, Timestamp)>,
    /// Snapshots that are in the trash and protected: they stay until one of both ends.
    pub guarded: Vec<SnapshotId>,
    /// Packs that intents name.
    pub relied: HashSet<ObjectId>,
    /// Sessions whose slot is filled.
    pub ended_sessions: HashSet<SnapshotId>,
    /// Sessions that have intents and no slot, and so may be running.
    pub running: usize,
}

impl Roots {
    /// Returns whether all of these snapshots are among others, to which they were reduced or
    /// equal.
    pub fn are_among(&self, others: &Self) -> bool {
        let ids = |roots: &Self| -> HashSet<SnapshotId> {
            roots.snapshots.iter().chain(&roots.expired).map(|snapshot| snapshot.id).collect()
        };
        ids(self).is_subset(&ids(others))
    }
}

/// Which forgotten snapshots are dropped: never one that is protected, or whose window is not over.
pub enum DropSet<'a> {
    /// All, but for those that a running session has as its parent.
    Expired,
    /// Only these, but for those that a running session has as its parent.
    Only(&'a [SnapshotId]),
    /// Only these, no matter what relies on them: a verdict names them, so a committing session
    /// knows (step W5).
    Decided(&'a [SnapshotId]),
}

impl DropSet<'_> {
    fn concerns(&self, id: &SnapshotId) -> bool {
        match self {
            Self::Expired => true,
            Self::Only(ids) | Self::Decided(ids) => ids.binary_search(id).is_ok(),
        }
    }
}

/// Lists and reads intents, then snapshots, and takes sessions for dead that are too old.
///
/// Fails if a snapshot cannot be read: what it needs would be taken for garbage; and with
/// `RolledBack`, before anything is created, if the chains or this machine know of one that is not
/// there and that nobody forgot; with `Unjustified` if a tombstone is there again that
/// this machine took back.
pub fn scan_roots(
    repository: &Repository,
    options: &PruneOptions,
    drop: &DropSet,
) -> Result<Roots> {
    let sessions = intents::read_all(repository)?;
    let mut listing = list(repository)?;
    if !options.dry_run && options.exclusion == Exclusion::Store {
        let is_dead = |found: &SessionIntents| is_dead(found, &listing, options);
        let is_filled =
            |id: &SnapshotId| listing.slots.contains_key(id) || listing.removed.contains_key(id);
        let dead: Vec<SnapshotId> = sessions
            .iter()
            .filter(|(id, found)| !is_filled(id) && is_dead(found))
            .map(|(id, _)| *id)
            .collect();
        if !dead.is_empty() {
            dead.iter().try_for_each(|session| intents::burn_slot(repository, session))?;
            // One of them may have committed at the last moment.
            listing = list(repository)?;
        }
    }
    let clock = listing.clock(options.now);
    let in_trash = listing.forgotten.iter().filter_map(|one| one.snapshot.as_ref().ok());
    let good =
        listing.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok()).chain(in_trash);
    let replaced: HashSet<SnapshotId> = good.filter_map(Snapshot::instead_of).collect();
    let mut roots =
        Roots { ended_sessions: listing.slots.into_keys().collect(), ..Roots::default() };
    let mut parents = HashSet::new();
    for (session, found) in sessions {
        if !roots.ended_sessions.contains(&session) {
            roots.running += 1;
            roots.relied.extend(found.packs);
            parents.extend(found.parents);
        } else if !options.dry_run {
            // Its slot is filled, and that was seen by the listing that says what the roots are.
            intents::remove(repository, &session, &found.numbers)?;
        }
    }
    let is_relied_on =
        |id: &SnapshotId| !matches!(drop, DropSet::Decided(_)) && parents.contains(id);
    for (_, snapshot) in listing.snapshots {
        roots.snapshots.extend(present(snapshot)?);
    }
    for forgotten in listing.forgotten {
        let id = forgotten.tombstone.snapshot;
        let is_guarded = listing.protected.contains(&id) && !replaced.contains(&id);
        let is_over = forgotten.is_over(options.trash_window_s, clock);
        if is_over && !is_guarded && !is_relied_on(&id) {
            match drop.concerns(&id) {
                true => roots.dropped.push(id),
                false => roots.expired.extend(present_if_readable(forgotten.snapshot)?),
            }
            continue;
        }
        match is_guarded {
            true => roots.guarded.push(id),
            false => roots.waiting.push((id, forgotten.ends(options.trash_window_s))),
        }
        roots.snapshots.extend(present(forgotten.snapshot)?);
    }
    roots.dropped.sort_unstable();
    Ok(roots)
}

/// Lists the snapshots, and makes sure that none is hidden (step C2).
fn list(repository: &Repository) -> Result<Listing> {
    let mut listing = snapshots::listing(repository)?;
    let is_damaged = |(_, snapshot): &(SnapshotId, Result<Snapshot>)| {
        snapshot.as_ref().is_err_and(|error| !error.is_not_found())
    };
    if let Some(at) = listing.snapshots.iter().position(is_damaged) {
        present(listing.snapshots.swap_remove(at).1)?;
    }
    chains::refuse_hidden(repository, &listing)?;
    Ok(listing)
}

/// Returns whether a session is taken for dead: by the store's clock compared with itself where it
/// states times, else by this host's.
///
/// A date in the future keeps no session alive, no matter who states it: one that is further away
/// than the age itself counts as old. The store's time is the newest that it states of a snapshot,
/// or this host's if that is later: where the store's clock was set back, a live session may be
/// taken for dead, too, and goes on under another id.
fn is_dead(found: &SessionIntents, listing: &Listing, options: &PruneOptions) -> bool {
    let now = options.now.seconds;
    let age_s = match found.stored_s {
        Some(stored) => listing.store_s.map_or(now, |store| store.max(now)).saturating_sub(stored),
        None => now.saturating_sub(found.newest.seconds),
    };
    age_s > options.intent_max_age_s || age_s < options.intent_max_age_s.saturating_neg()
}

/// What is due anyway and is damaged keeps nothing, and must not stop the end of another's work:
/// its own end comes after that.
fn present_if_readable(snapshot: Result<Snapshot>) -> Result<Option<Snapshot>> {
    match present(snapshot) {
        Err(error) if error.is_damage() && !error.is_unreadable() => Ok(None),
        other => other,
    }
}

/// A slot that vanished since the listing was removed by another collector, and is no root any
/// more.
fn present(snapshot: Result<Snapshot>) -> Result<Option<Snapshot>> {
    match snapshot {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}
