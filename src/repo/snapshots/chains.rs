//! Chains of snapshots: each snapshot names the previous one of its host by hash, so that a hidden
//! one is noticed.
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

/// Hash of a snapshot, as the next one in its chain names it.
pub type ChainHash = [u8; 32];

/// Explanations why snapshots are missing.
#[derive(Default)]
pub struct Explained {
    /// Hashes of the snapshots in tombstones, whether their slots exist or not.
    pub hashes: HashSet<ChainHash>,
    /// Snapshots in tombstones without a hash, which could not be read when they were forgotten.
    /// Each explains one missing snapshot.
    pub unread: HashSet<SnapshotId>,
}

impl Explained {
    /// Adds the explanation of a tombstone: the hash of its snapshot, if that could be read.
    pub fn learn(&mut self, id: &SnapshotId, hash: Option<ChainHash>) {
        match hash {
            Some(hash) => drop(self.hashes.insert(hash)),
            None => drop(self.unread.insert(*id)),
        }
    }

    /// Adds the explanations of local copies of tombstones, for snapshots that a verdict dropped
    /// and whose tombstones are gone.
    ///
    /// A verdict alone names ids but no hashes, so it would explain any gap, even one that an
    /// attacker makes by removing a tombstone.
    pub fn learn_dropped<'a>(
        &mut self,
        repository: &Repository,
        dropped: impl Iterator<Item = &'a SnapshotId>,
    ) {
        let copies = dropped.filter_map(|id| trash::load_cached(repository, id));
        self.hashes.extend(copies.filter_map(|tombstone| tombstone.hash));
    }
}

/// Fault of a snapshot's place in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The previous snapshot is missing without an explanation.
    Missing,
    /// The previous snapshot is of another host, or later in the chain.
    Misplaced,
}

/// Returns the snapshots whose place in their chain is wrong. Two simultaneous backups of one host
/// may name the same previous snapshot.
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

/// Returns the hashes that snapshots name, and that are neither known nor explained.
fn missing<'a>(
    all: impl Iterator<Item = &'a Snapshot>,
    known: &HashMap<ChainHash, &Snapshot>,
    explained: &Explained,
) -> HashSet<ChainHash> {
    let is_missing =
        |hash: &ChainHash| !known.contains_key(hash) && !explained.hashes.contains(hash);
    all.filter_map(|one| one.previous).filter(is_missing).collect()
}

/// Fails with `RolledBack` if a snapshot of this listing names one that is missing without an
/// explanation.
///
/// For commands that are about to remove objects: they would take the chunks of a hidden snapshot
/// for garbage. Tombstones of removed snapshots are read only as needed, local copies first.
/// Damaged snapshots in the listing prove nothing.
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

/// Returns the error that the snapshot before `after` is hidden.
pub fn hidden_before(repository: &Repository, after: &Snapshot) -> Error {
    let what = format!("the snapshot of {} before {}", after.host, after.id.short());
    Error::RolledBack { location: repository.location().to_owned(), what }
}

/// Returns the snapshots of this listing that name one which is missing and which nothing on this
/// machine can explain.
///
/// A tombstone without a local copy, or a damaged snapshot, may explain any missing one; they are
/// not read. The only requests are for protections, if they decide whether a tombstone counts.
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
    // Each protection that is read either is valid or lets a tombstone explain a gap, so forged
    // protections cost at most one read for each gap.
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

/// Returns the hash of the snapshot in a tombstone from the local copy, if that has the listed
/// length.
fn hash_in_copy(repository: &Repository, id: &SnapshotId, len_bytes: u64) -> Option<ChainHash> {
    trash::load_copy_of(repository, id, len_bytes).and_then(|tombstone| tombstone.hash)
}

/// Returns whether a tombstone with this hash may explain one of these gaps.
fn is_about(hash: Option<ChainHash>, open: &HashSet<ChainHash>) -> bool {
    hash.is_none_or(|hash| open.contains(&hash))
}

/// Returns the snapshots of a listing that can be read, including those in the trash.
fn good_of(listing: &Listing) -> Vec<&Snapshot> {
    let listed = listing.snapshots.iter().filter_map(|(_, snapshot)| snapshot.as_ref().ok());
    listed.chain(listing.forgotten.iter().filter_map(|one| one.snapshot.as_ref().ok())).collect()
}

fn hashes_of<'a>(all: &[&'a Snapshot]) -> HashMap<ChainHash, &'a Snapshot> {
    all.iter().map(|one| (snapshots::chain_hash(one), *one)).collect()
}

/// Returns the snapshots in the trash that can neither be read now nor could be when they were
/// forgotten.
fn unread_in_trash(listing: &Listing) -> HashSet<SnapshotId> {
    let in_trash = listing
        .forgotten
        .iter()
        .filter(|one| one.tombstone.hash.is_none() && one.snapshot.is_err());
    in_trash.map(|one| one.tombstone.snapshot).collect()
}

/// Reads the tombstones of removed snapshots, and verdicts, until these hashes are explained or all
/// are read.
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
            // A damaged tombstone explains nothing, and one that was removed since belongs to a
            // snapshot that is back.
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

/// Adds the explanations of tombstones that may explain these gaps, except for snapshots with a
/// valid protection.
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
