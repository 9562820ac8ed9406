//! Roots of a prune: snapshots, and the packs on which running sessions rely.

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

/// The roots, from one listing of `intents/` and then of `snapshots/`.
#[derive(Default)]
pub(super) struct Roots {
    /// Snapshots that must stay complete, including those in the trash.
    pub snapshots: Vec<Snapshot>,
    /// Snapshots in the trash that may be dropped, but not by the verdict that is judged. What they
    /// reach must stay, but they may be incomplete.
    pub expired: Vec<Snapshot>,
    /// Forgotten snapshots that are dropped from the roots, ascending.
    pub dropped: Vec<SnapshotId>,
    /// Snapshots in the trash that stay there, and when their windows end.
    pub waiting: Vec<(SnapshotId, Timestamp)>,
    /// Snapshots in the trash that are protected: they stay until they are unprotected or
    /// undeleted.
    pub guarded: Vec<SnapshotId>,
    /// Packs that intents of running sessions name.
    pub relied: HashSet<ObjectId>,
    /// Sessions whose slot is filled, so that they have ended.
    pub ended_sessions: HashSet<SnapshotId>,
    /// Number of sessions with intents and without a slot, which may be running.
    pub running: usize,
}

impl Roots {
    /// Returns whether these snapshots are a subset of those of `others`.
    pub(super) fn are_among(&self, others: &Self) -> bool {
        let ids = |roots: &Self| -> HashSet<SnapshotId> {
            roots.snapshots.iter().chain(&roots.expired).map(|snapshot| snapshot.id).collect()
        };
        ids(self).is_subset(&ids(others))
    }
}

/// The forgotten snapshots to drop. Protected ones, and those whose window has not ended, are never
/// dropped.
pub(super) enum DropSet<'a> {
    /// All, except parents of running sessions.
    Expired,
    /// Only these, except parents of running sessions.
    Only(&'a [SnapshotId]),
    /// Only these, even if a session relies on them: a verdict names them, which a committing
    /// session notices (step W5).
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

/// Reads intents, then snapshots, and declares sessions dead that are too old.
///
/// Fails if a snapshot cannot be read, because what it needs would be removed. Fails with
/// `RolledBack`, before anything is created, if a snapshot that the chains or this machine know is
/// missing and was not forgotten. Fails with `Unjustified` if a tombstone exists again that this
/// machine removed.
pub(super) fn scan_roots(
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
            // One of them may have committed just before.
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
            // Its slot is filled, and the listing that determined the roots has seen that.
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
        let is_over = forgotten.has_expired(options.trash_window_s, clock);
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

/// Returns whether a session is declared dead: by the store's clock if it states times, else by
/// this host's.
///
/// A date in the future keeps no session alive: if it is further away than the maximum age, it
/// counts as old. The store's present time is the newest time of a snapshot, or this host's time if
/// that is later. If the store's clock was set back, a live session may be declared dead, too; it
/// then continues under another id.
fn is_dead(found: &SessionIntents, listing: &Listing, options: &PruneOptions) -> bool {
    let now = options.now.seconds;
    let age_s = match found.stored_s {
        Some(stored) => listing.store_s.map_or(now, |store| store.max(now)).saturating_sub(stored),
        None => now.saturating_sub(found.newest.seconds),
    };
    age_s > options.intent_max_age_s || age_s < options.intent_max_age_s.saturating_neg()
}

/// Returns an expired snapshot unless it is lost: damage to it must not prevent an earlier verdict
/// from being carried out.
fn present_if_readable(snapshot: Result<Snapshot>) -> Result<Option<Snapshot>> {
    match present(snapshot) {
        Err(error) if error.is_damage() && !error.is_unreadable() => Ok(None),
        other => other,
    }
}

/// Returns a snapshot unless its slot vanished since the listing: then another prune dropped it.
fn present(snapshot: Result<Snapshot>) -> Result<Option<Snapshot>> {
    match snapshot {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}
