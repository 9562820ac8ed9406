//! What the chains of snapshots prove: each snapshot names the one before it of its host by hash,
//! so one that is hidden is missed.
//!
//! Spec: `format-spec/08-snapshots.md`, section 5.

use std::collections::{HashMap, HashSet};

use super::Listing;
use super::{protect, trash};
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::error::{Error, Result};
use crate::repo::gc::generations::Generations;
use crate::repo::objects::parallel;
use crate::repo::open::Repository;
use crate::repo::snapshots;

/// The hash of a snapshot that another one names.
pub type ChainHash = [u8; 32];

/// What explains that snapshots are not there any more.
#[derive(Default)]
pub struct Explained {
    /// Hashes of the snapshots that tombstones are about, there or not any more.
    pub hashes: HashSet<ChainHash>,
    /// What tombstones without a hash are about: snapshots that nobody could read. Each explains
    /// one.
    pub unread: HashSet<SnapshotId>,
}

impl Explained {
    /// Takes in what a tombstone says: the hash of what it is about, if that could be read.
    pub fn learn(&mut self, id: &SnapshotId, hash: Option<ChainHash>) {
        match hash {
            Some(hash) => drop(self.hashes.insert(hash)),
            None => drop(self.unread.insert(*id)),
        }
    }

    /// Takes in what local copies say of snapshots that a verdict dropped and whose tombstones are
    /// gone.
    ///
    /// A verdict names ids and no hashes, so that by itself it would explain any gap, also one that
    /// is made by removing a tombstone.
    pub fn learn_dropped<'a>(
        &mut self,
        repository: &Repository,
        dropped: impl Iterator<Item = &'a SnapshotId>,
    ) {
        let copies = dropped.filter_map(|id| trash::load_cached(repository, id));
        self.hashes.extend(copies.filter_map(|tombstone| tombstone.hash));
    }
}

/// What is wrong with a snapshot's place in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The one before it is not there, and nothing explains where it went.
    Missing,
    /// The one before it is of another host, or later than itself.
    Misplaced,
}

/// Returns the snapshots whose place in their chain is wrong. Two backups of one host at once may
/// name the same one.
pub fn breaks<'a>(all: &'a [Snapshot], explained: &Explained) -> Vec<(&'a Snapshot, Break)> {
    let known: HashMap<ChainHash, &Snapshot> =
        all.iter().map(|one| (snapshots::chain_hash(one), one)).collect();
    let missing = missing(all.iter(), &known, explained);
    let is_explained = missing.len() <= explained.unread.len();
    let judge = |snapshot: &Snapshot| match known.get(&snapshot.previous?) {
        None => (!is_explained && missing.contains(&snapshot.previous?)).then_some(Break::Missing),
        Some(before) => {
            let fits = before.host == snapshot.host && before.sequence < snapshot.sequence;
            (!fits).then_some(Break::Misplaced)
        }
    };
    all.iter().filter_map(|snapshot| Some((snapshot, judge(snapshot)?))).collect()
}

/// Returns the hashes that snapshots name and that nothing explains.
fn missing<'a>(
    all: impl Iterator<Item = &'a Snapshot>,
    known: &HashMap<ChainHash, &Snapshot>,
    explained: &Explained,
) -> HashSet<ChainHash> {
    let is_missing =
        |hash: &ChainHash| !known.contains_key(hash) && !explained.hashes.contains(hash);
    all.filter_map(|one| one.previous).filter(is_missing).collect()
}

/// Fails with `RolledBack` if a snapshot of this listing names one that is not there, and nothing
/// explains where it went.
///
/// For commands that are about to remove something: what is hidden would be taken for garbage.
/// Tombstones of what was removed are read only as far as they are needed, local copies first. What
/// is damaged in the listing proves nothing.
pub fn refuse_hidden(repository: &Repository, listing: &Listing) -> Result<()> {
    let good = good_of(listing);
    let known = hashes_of(&good);
    let mut explained =
        Explained { hashes: listing.explained.clone(), unread: unread_in_trash(listing) };
    let open = missing(good.iter().copied(), &known, &explained);
    if open.is_empty() {
        return Ok(());
    }
    explain(repository, listing, &open, &mut explained)?;
    let mut open = missing(good.iter().copied(), &known, &explained);
    open.retain(|hash| !repository.witness().accepts_missing(hash));
    if open.len() <= explained.unread.len() {
        return Ok(());
    }
    let names_it = |one: &&&Snapshot| one.previous.is_some_and(|previous| open.contains(&previous));
    match good.iter().find(names_it) {
        None => Ok(()),
        Some(after) => Err(hidden_before(repository, after)),
    }
}

/// Returns the error that the snapshot before another one is hidden.
pub fn hidden_before(repository: &Repository, after: &Snapshot) -> Error {
    let what = format!("the snapshot of {} before {}", after.host, after.id.short());
    Error::RolledBack { location: repository.location().to_owned(), what }
}

/// Returns the snapshots of this listing that name one which is not there, where nothing that is at
/// hand can explain where it went.
///
/// A tombstone of which there is no local copy may explain any one, and so may what is damaged;
/// they are not read. The store is asked only for protections of what would be explained otherwise.
/// [`refuse_hidden`] is stricter.
pub fn name_hidden<'a>(repository: &Repository, listing: &'a Listing) -> Result<Vec<&'a Snapshot>> {
    let good = good_of(listing);
    let known = hashes_of(&good);
    let mut explained =
        Explained { hashes: listing.explained.clone(), unread: unread_in_trash(listing) };
    if missing(good.iter().copied(), &known, &explained).is_empty() {
        return Ok(Vec::new());
    }
    let removed = listing
        .removed
        .iter()
        .map(|(id, len_bytes)| (*id, hash_in_copy(repository, id, *len_bytes)));
    let copies = trash::hashes_of_copies(repository).into_iter().map(|(id, hash)| (id, Some(hash)));
    let (doubtful, sure): (Vec<_>, Vec<_>) =
        removed.chain(copies).partition(|(id, _)| listing.bare.contains(id));
    sure.iter().for_each(|(id, hash)| explained.learn(id, *hash));
    let mut open = missing(good.iter().copied(), &known, &explained);
    open.retain(|hash| !repository.witness().accepts_missing(hash));
    let damaged = listing.snapshots.iter().filter(|(_, snapshot)| snapshot.is_err()).count();
    // Each protection that is read explains one, or holds, so that garbage is read for what is
    // missing at most.
    for (id, hash) in doubtful {
        if open.len() <= explained.unread.len() + damaged {
            break;
        }
        if is_about(hash, &open) && !protect::holds(repository, &id)? {
            explained.learn(&id, hash);
            open.retain(|gap| hash != Some(*gap));
        }
    }
    if open.len() <= explained.unread.len() + damaged {
        return Ok(Vec::new());
    }
    Ok(good
        .into_iter()
        .filter(|one| one.previous.is_some_and(|previous| open.contains(&previous)))
        .collect())
}

/// Returns the hash of what a tombstone of this length is about, from its local copy.
fn hash_in_copy(repository: &Repository, id: &SnapshotId, len_bytes: u64) -> Option<ChainHash> {
    trash::load_copy_of(repository, id, len_bytes).and_then(|tombstone| tombstone.hash)
}

/// Returns whether a tombstone that says this may explain one of these gaps.
fn is_about(hash: Option<ChainHash>, open: &HashSet<ChainHash>) -> bool {
    hash.is_none_or(|hash| open.contains(&hash))
}

/// Returns the snapshots of a listing that can be read, those in the trash among them. What is
/// damaged proves nothing.
fn good_of(listing: &Listing) -> Vec<&Snapshot> {
    let listed = listing.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok());
    listed.chain(listing.forgotten.iter().filter_map(|one| one.snapshot.as_ref().ok())).collect()
}

fn hashes_of<'a>(all: &[&'a Snapshot]) -> HashMap<ChainHash, &'a Snapshot> {
    all.iter().map(|one| (snapshots::chain_hash(one), *one)).collect()
}

/// Returns what cannot be read and was forgotten as such, and is in the trash.
fn unread_in_trash(listing: &Listing) -> HashSet<SnapshotId> {
    let in_trash = listing
        .forgotten
        .iter()
        .filter(|one| one.tombstone.hash.is_none() && one.snapshot.is_err());
    in_trash.map(|one| one.tombstone.snapshot).collect()
}

/// Learns from the tombstones of removed snapshots, and from verdicts, until these hashes are
/// explained or nothing is left.
fn explain(
    repository: &Repository,
    listing: &Listing,
    open: &HashSet<ChainHash>,
    explained: &mut Explained,
) -> Result<()> {
    let (mut told, mut unknown) = (Vec::new(), Vec::new());
    for (id, len_bytes) in &listing.removed {
        match trash::load_copy_of(repository, id, *len_bytes) {
            Some(tombstone) => told.push((*id, tombstone.hash)),
            None => unknown.push((*id, *len_bytes)),
        }
    }
    learn_from(repository, listing, &told, open, explained)?;
    if open.is_subset(&explained.hashes) {
        return Ok(());
    }
    told.clear();
    let load = |(id, len_bytes): &(SnapshotId, u64)| trash::load_listed(repository, id, *len_bytes);
    for ((id, _), read) in
        unknown.iter().zip(parallel::for_each(repository.store(), &unknown, load)?)
    {
        match read {
            // It explains nothing; and one that was taken away since belongs to a snapshot that is
            // back.
            Err(error) if error.is_damage() => {}
            read => told.push((*id, read?.hash)),
        }
    }
    learn_from(repository, listing, &told, open, explained)?;
    if !open.is_subset(&explained.hashes) {
        let dropped = Generations::list(repository)?.dropped(repository)?;
        let has_tombstone = |id: &SnapshotId| {
            listing.removed.contains_key(id)
                || listing.forgotten.iter().any(|one| one.tombstone.snapshot == *id)
        };
        explained.learn_dropped(repository, dropped.iter().filter(|id| !has_tombstone(id)));
    }
    Ok(())
}

/// Takes in what tombstones that hold say of these gaps, but of what a protection holds for.
fn learn_from(
    repository: &Repository,
    listing: &Listing,
    told: &[(SnapshotId, Option<ChainHash>)],
    open: &HashSet<ChainHash>,
    explained: &mut Explained,
) -> Result<()> {
    let told: Vec<_> = told.iter().filter(|(_, hash)| is_about(*hash, open)).collect();
    let guarded = listing.bare.guarded(repository, told.iter().map(|(id, _)| *id))?;
    told.iter()
        .filter(|(id, _)| !guarded.contains(id))
        .for_each(|(id, hash)| explained.learn(id, *hash));
    Ok(())
}
